//! What a check finds of an object store: whether uploads can be begun and aborted, and which were left behind.

use std::sync::Arc;

use chrono::TimeDelta;
use uuid::Uuid;

use super::Remote;
use crate::code::Code;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::store::backend::Backend as _;
use crate::store::found::UnfinishedUpload;
use crate::store::key::{ARCHIVE_SUFFIX, ObjectKey};
use crate::store::name::PROBE_PREFIX;

/// An upload that has been under way for longer than any dump takes was left behind.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(2);

/// Starts an upload, lists all uploads, and aborts it: its own start shows the store's time.
pub(super) async fn uploads(remote: &Arc<Remote>, storage: &str) -> Vec<Finding> {
    let name = format!("{PROBE_PREFIX}{}{ARCHIVE_SUFFIX}", Uuid::new_v4());
    let begun = match ObjectKey::parse(&name) {
        Ok(key) => remote.begin(&key, Some(0)).await,
        Err(error) => Err(Fault::permanent(Code::Internal, "a probe has no key").caused_by(error)),
    };
    let upload = match begun {
        Ok(upload) => upload,
        Err(fault) => return vec![(&fault).into()],
    };
    let listed = remote.unfinished_uploads("").await;
    let mut findings = vec![match upload.abort().await {
        Ok(()) => Finding::ok(format!(
            "uploads of up to {} parts can be begun and aborted",
            remote.limits.max_parts
        )),
        Err(fault) => (&fault).into(),
    }];
    findings.extend(match listed {
        Ok(Some(uploads)) => forgotten(storage, &uploads, &name),
        Ok(None) if remote.forgets_by_itself => None,
        Ok(None) => {
            let what = "unfinished uploads cannot be listed here";
            Some(Finding::ok(what).hint(
                "Give the bucket a rule that aborts unfinished uploads after some days: they cost money and are not listed as objects.",
            ))
        }
        Err(fault) => Some((&fault).into()),
    });
    findings
}

fn forgotten(storage: &str, uploads: &[UnfinishedUpload], ours: &str) -> Option<Finding> {
    let now = uploads.iter().find(|upload| upload.key == ours)?.started_at;
    let old = uploads
        .iter()
        .map(|upload| upload.started_at)
        .filter(|started_at| now - *started_at > FORGOTTEN_AFTER);
    let count = old.clone().count();
    let what = format!(
        "{count} unfinished uploads are in storage \"{storage}\", the oldest since {}",
        old.min()?.format("%F %T UTC")
    );
    Some(Finding::warning("uploads_unfinished", what).hint(
        "List them with `pgdumpd fsck`, and give the bucket a rule that aborts unfinished uploads after some days.",
    ))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::finding::Severity;

    #[test]
    fn uploads_older_than_any_dump_are_warned_of_by_the_storages_clock() {
        let upload = |key: &str, hours: i64| UnfinishedUpload {
            key: key.to_owned(),
            upload_id: "1".to_owned(),
            started_at: DateTime::UNIX_EPOCH - TimeDelta::hours(hours),
        };
        let running = [upload("ours", 0), upload("a", 47)];
        assert_eq!(forgotten("s3", &running, "ours"), None);
        let left = [upload("a", 49), upload("ours", 0), upload("b", 72)];
        let finding = forgotten("s3", &left, "ours").unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.what.starts_with("2 unfinished"), "{}", finding.what);
        assert!(
            finding.what.contains("1969-12-29 00:00:00"),
            "{}",
            finding.what
        );
    }
}
