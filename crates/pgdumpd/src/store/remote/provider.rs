//! Clients of object_store for a configured object store.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector as _;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::http::Connector;
use super::uploads::UploadList;
use crate::code::Code;
use crate::config::{Ambient, Azure, Credentials, Gcs, Provider, RemoteConfig, S3};
use crate::fault::Fault;
use crate::store::stall::BytesMoved;

/// The region that a server takes which has none.
const DEFAULT_REGION: &str = "us-east-1";

/// What a storage in an object store is reached by.
pub(in crate::store) struct Clients {
    /// For what reads; tries again by itself.
    pub(in crate::store) objects: Arc<dyn ObjectStore>,
    /// For uploads and deletions; does not.
    pub(in crate::store) once: Arc<dyn NoRetryStore>,
    /// Lists unfinished uploads, where the store can.
    pub(in crate::store) list: Option<UploadList>,
    /// Counts what they send.
    pub(in crate::store) moved: BytesMoved,
}

/// A client that asks once.
pub(in crate::store) trait NoRetryStore: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> NoRetryStore for S {}

/// Makes the clients of a storage. Nothing is sent yet.
pub(in crate::store) fn clients(name: &str, config: &RemoteConfig) -> Result<Clients, Fault> {
    let certificates = certificates(config.ca_file.as_deref())?;
    let deadline = config.request_deadline;
    let connector = Connector::new(certificates, config.bandwidth.clone(), deadline);
    let unusable = |error: object_store::Error| {
        let what = format!("storage \"{name}\" cannot be used as it is configured");
        Fault::permanent(Code::StorageMisconfigured, what).caused_by(error)
    };
    match &config.provider {
        Provider::S3(s3) => {
            let objects = s3_builder(config, s3, &connector)
                .with_retry(retries(deadline))
                .build()
                .map_err(unusable)?;
            let once = s3_builder(config, s3, &connector)
                .with_credentials(Arc::clone(objects.credentials()))
                .with_retry(no_retries())
                .build()
                .map_err(unusable)?;
            let list = upload_list(config, &objects, &connector).map_err(unusable)?;
            Ok(Clients {
                list: Some(list),
                ..below_prefix(&config.prefix, objects, once, connector.moved())
            })
        }
        Provider::Gcs(gcs) => {
            // What object_store says of a key that it cannot read may quote it.
            let unusable = |_| {
                let what = format!("storage \"{name}\" has an unusable service account");
                Fault::permanent(Code::StorageMisconfigured, what).hint(
                    "Name the JSON key that Google gives out for a service account in service_account_file.",
                )
            };
            let built = |retry| {
                gcs_builder(config, gcs, &connector)
                    .with_retry(retry)
                    .build()
            };
            let objects = built(retries(deadline)).map_err(unusable)?;
            let once = built(no_retries()).map_err(unusable)?;
            Ok(below_prefix(
                &config.prefix,
                objects,
                once,
                connector.moved(),
            ))
        }
        Provider::Azure(azure) => {
            let unusable = |_| {
                let what = format!("storage \"{name}\" has an unusable access_key");
                Fault::permanent(Code::StorageMisconfigured, what)
                    .hint("Write the account's key as Azure shows it, in base64.")
            };
            let built = |retry| {
                azure_builder(config, azure, &connector)
                    .with_retry(retry)
                    .build()
            };
            let objects = built(retries(deadline)).map_err(unusable)?;
            let once = built(no_retries()).map_err(unusable)?;
            Ok(below_prefix(
                &config.prefix,
                objects,
                once,
                connector.moved(),
            ))
        }
    }
}

/// The same over any store: without a list of uploads.
pub(in crate::store) fn below_prefix<S: NoRetryStore>(
    prefix: &str,
    objects: S,
    once: S,
    moved: BytesMoved,
) -> Clients {
    Clients {
        objects: Arc::new(PrefixStore::new(objects, prefix)),
        once: Arc::new(PrefixStore::new(once, prefix)),
        list: None,
        moved,
    }
}

fn s3_builder(config: &RemoteConfig, s3: &S3, connector: &Connector) -> AmazonS3Builder {
    let region = s3.region.as_deref().unwrap_or(DEFAULT_REGION);
    let mut builder = AmazonS3Builder::new()
        .with_client_options(Connector::options())
        .with_http_connector(connector.clone())
        .with_bucket_name(&s3.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!s3.path_style)
        // Not every server has a request that deletes many.
        .with_disable_bulk_delete(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &config.endpoint {
        builder = builder
            .with_allow_http(endpoint.scheme() == "http")
            .with_endpoint(s3_endpoint(endpoint, s3));
    }
    if s3.checksums {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    match &s3.credentials {
        Credentials::Keys {
            id,
            secret,
            session_token,
        } => {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.expose());
            match session_token {
                Some(token) => builder.with_token(token.expose()),
                None => builder,
            }
        }
        Credentials::Ambient(ambient) => {
            with_ambient(builder, ambient, AmazonS3Builder::with_config)
        }
    }
}

/// object_store takes the endpoint of a bucket whose name is in the host's as it is.
fn s3_endpoint(endpoint: &url::Url, s3: &S3) -> String {
    let text = endpoint.as_str().trim_end_matches('/');
    match text.split_once("://") {
        Some((scheme, host)) if !s3.path_style => format!("{scheme}://{}.{host}", s3.bucket),
        _ => text.to_owned(),
    }
}

fn gcs_builder(
    config: &RemoteConfig,
    gcs: &Gcs,
    connector: &Connector,
) -> GoogleCloudStorageBuilder {
    let mut options = Connector::options();
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_http_connector(connector.clone())
        .with_bucket_name(&gcs.bucket);
    if let Some(endpoint) = &config.endpoint {
        options = options.with_allow_http(endpoint.scheme() == "http");
        builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
    }
    builder = builder.with_client_options(options);
    match &gcs.service_account_file {
        Some(file) => builder.with_service_account_path(file.to_string_lossy()),
        None => with_ambient(
            builder,
            &gcs.ambient,
            GoogleCloudStorageBuilder::with_config,
        ),
    }
}

fn azure_builder(
    config: &RemoteConfig,
    azure: &Azure,
    connector: &Connector,
) -> MicrosoftAzureBuilder {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(Connector::options())
        .with_http_connector(connector.clone())
        .with_account(&azure.account)
        .with_container_name(&azure.container);
    if let Some(endpoint) = &config.endpoint {
        builder = builder
            .with_allow_http(endpoint.scheme() == "http")
            .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
    }
    match &azure.access_key {
        Some(key) => builder.with_access_key(key.expose()),
        None => with_ambient(builder, &azure.ambient, MicrosoftAzureBuilder::with_config),
    }
}

/// Hands a provider's own variables on, under the names that object_store knows them by too.
fn with_ambient<B, K: FromStr>(
    builder: B,
    ambient: &Ambient,
    with: impl Fn(B, K, String) -> B,
) -> B {
    ambient.iter().fold(builder, |builder, (name, value)| {
        match name.to_ascii_lowercase().parse() {
            Ok(key) => with(builder, key, value.expose().to_owned()),
            Err(_) => builder,
        }
    })
}

fn upload_list(
    config: &RemoteConfig,
    objects: &AmazonS3,
    connector: &Connector,
) -> object_store::Result<UploadList> {
    let plain = config
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.scheme() == "http");
    let client = connector.connect(&Connector::options().with_allow_http(plain))?;
    let prefix = Key::parse(&config.prefix)?;
    Ok(UploadList::new(objects.clone(), client, prefix))
}

fn certificates(file: Option<&Path>) -> Result<Vec<reqwest::Certificate>, Fault> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let cannot = || {
        let what = format!("cannot use the certificates in {}", file.display());
        Fault::permanent(Code::StorageMisconfigured, what)
            .hint("Name a file of certificates in PEM form in ca_file.")
    };
    let pem = fs::read(file).map_err(|error| cannot().caused_by(error))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem);
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(cannot()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(cannot().caused_by(error)),
    }
}

fn retries(deadline: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: usize::MAX,
        retry_timeout: deadline,
    }
}

fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}
