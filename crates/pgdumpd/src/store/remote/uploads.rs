//! Uploads that were begun and neither completed nor aborted: invisible, and paid for.
//!
//! object_store cannot list them. The request is signed by its client, as an address that is good for a moment.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer as _};
use serde::Deserialize;

use super::error::RequestError;
use super::retry::Retry;
use crate::code::Code;
use crate::fault::Fault;
use crate::store::faults;
use crate::store::found::UnfinishedUpload;
use crate::store::key::ObjectKey;
use crate::store::remote::Remote;

/// How long a signed address is good.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// What S3 gives at once, at most.
const PAGE: usize = 1000;
/// More pages than this are a server that goes round in circles.
const MOST_PAGES: usize = 1000;

/// The list of an S3 bucket's unfinished uploads.
#[derive(Debug)]
pub(in crate::store) struct UploadList {
    bucket: AmazonS3,
    client: HttpClient,
    prefix: Path,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    upload: Vec<Listed>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
}

/// Where a page begins: behind this key, and behind this upload of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Markers {
    key: String,
    upload_id: String,
}

impl Page {
    /// Where the next page begins, in the server's own words: AWS wants both markers back, and SeaweedFS, which names
    /// an upload alone, finds nothing behind a key. Some servers say that there is more and not where.
    fn next(&self) -> Option<Markers> {
        let (key, upload_id) = (&self.next_key_marker, &self.next_upload_id_marker);
        let (key, upload_id) = match self.upload.last() {
            _ if !self.is_truncated => return None,
            Some(last) if key.is_empty() && upload_id.is_empty() => (&last.key, &last.upload_id),
            _ => (key, upload_id),
        };
        Some(Markers {
            key: key.clone(),
            upload_id: upload_id.clone(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

impl Remote {
    /// Aborts every upload of a key; without a list none.
    pub(in crate::store) async fn abort_all_of(&self, key: &ObjectKey) -> Result<(), Fault> {
        let Some(list) = &self.list else {
            return Ok(());
        };
        let uploads = list.below(key.as_str(), &self.retry).await?;
        for upload in uploads.unwrap_or_default() {
            if upload.key == key.as_str() {
                self.abort(key, &upload.upload_id).await?;
            }
        }
        Ok(())
    }
}

impl UploadList {
    pub(in crate::store) fn new(bucket: AmazonS3, client: HttpClient, prefix: Path) -> Self {
        Self {
            bucket,
            client,
            prefix,
        }
    }

    /// The uploads whose key, below the storage's own prefix, begins so; `None` if the server has no such list, or
    /// does not show it to us.
    pub(super) async fn below(
        &self,
        prefix: &str,
        retry: &Retry,
    ) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
        let root = match self.prefix.as_ref() {
            "" => String::new(),
            root => format!("{root}/"),
        };
        let prefix = format!("{root}{prefix}");
        let mut found = BTreeSet::new();
        let mut after = Some(Markers::default());
        let mut pages = 0;
        while let Some(from) = after {
            let page = retry
                .run("list uploads", || self.page(&prefix, &from))
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) => return unless_unknown(error),
            };
            after = page.next();
            pages += 1;
            // Half a list is none: what it leaves out would be taken for gone.
            if pages == MOST_PAGES || after.as_ref() == Some(&from) {
                return Err(Fault::transient(
                    Code::StorageFailed,
                    format!(
                        "the list of unfinished uploads does not end after {} of them",
                        found.len()
                    ),
                ));
            }
            found.extend(page.upload.into_iter().filter_map(|listed| {
                // Whoever does not filter by prefix is filtered here.
                let whole = listed.key.strip_prefix(&prefix).map(|_| &listed.key)?;
                let key = whole.strip_prefix(&root)?.to_owned();
                Some(UnfinishedUpload {
                    key,
                    upload_id: listed.upload_id,
                    started_at: listed.initiated,
                })
            }));
        }
        Ok(Some(found.into_iter().collect()))
    }

    async fn page(&self, prefix: &str, from: &Markers) -> object_store::Result<Page> {
        let mut query = vec![
            ("uploads".to_owned(), String::new()),
            ("prefix".to_owned(), prefix.to_owned()),
            ("max-uploads".to_owned(), PAGE.to_string()),
        ];
        let markers = [
            ("key-marker", &from.key),
            ("upload-id-marker", &from.upload_id),
        ];
        let given = markers.into_iter().filter(|(_, marker)| !marker.is_empty());
        query.extend(given.map(|(name, marker)| (name.to_owned(), marker.clone())));
        let options = SignedUrlOptions::new().with_query(query);
        let bucket = Path::default();
        let url = self
            .bucket
            .signed_url_opts(Method::GET, &bucket, GOOD_FOR, &options)
            .await?;
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
                store: "S3",
                source: error,
            };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|e| failed(Box::new(e)))?;
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|e| failed(Box::new(e)))?;
        if answer.status() == http::StatusCode::NOT_FOUND {
            return Err(object_store::Error::NotSupported {
                source: "the server cannot list uploads".into(),
            });
        }
        let body = answer.into_body().bytes().await;
        let body = body.map_err(|e| failed(Box::new(e)))?;
        quick_xml::de::from_reader(body.as_ref()).map_err(|e| failed(Box::new(e)))
    }
}

/// A server that does not have the list, or does not give it to us, says so in one of these ways.
fn unless_unknown(error: object_store::Error) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
    let unknown = match RequestError::inside(&error) {
        Some(RequestError::Refused(refusal)) => {
            refusal.is_of_rights() || [400, 405, 501].contains(&refusal.status)
        }
        _ => matches!(error, object_store::Error::NotSupported { .. }),
    };
    if unknown {
        tracing::debug!("unfinished uploads cannot be listed: {error}");
        return Ok(None);
    }
    Err(faults::of_object_store(
        "cannot list unfinished uploads",
        error,
    ))
}
