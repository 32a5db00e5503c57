use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::code::Code;
use crate::queue::Recorded;

/// One attempt's traces, in the storage and in the queue.
#[derive(Debug, Clone)]
struct Trace {
    own: bool,
    archive: bool,
    manifest: bool,
    globals: bool,
    temporary: bool,
    upload: bool,
    age_hours: i64,
    attempt: Option<Known>,
    copy: Option<CopyState>,
}

/// An attempt as the queue knows it.
#[derive(Debug, Clone, Copy)]
struct Known {
    running: bool,
    job_has_ended: bool,
    cleared: bool,
}

fn trace() -> impl Strategy<Value = Trace> {
    let known = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        any::<[bool; 6]>(),
        -3..60_i64,
        prop::option::of(known),
        prop::option::of(prop_oneof![
            Just(CopyState::Stored),
            Just(CopyState::Deleting),
            Just(CopyState::Deleted)
        ]),
    )
        .prop_map(|(has, age_hours, known, copy)| Trace {
            own: has[0],
            archive: has[1],
            manifest: has[2],
            globals: has[3],
            temporary: has[4],
            upload: has[5],
            age_hours,
            attempt: known.map(|(running, job_has_ended, cleared)| Known {
                running,
                job_has_ended: job_has_ended && !running,
                cleared,
            }),
            copy,
        })
}

const SAFE_HOURS: i64 = 24;

proptest! {
    #[test]
    fn what_may_be_a_backup_or_in_use_is_never_removed(
        traces in prop::collection::vec(trace(), 0..12), lists_uploads: bool,
    ) {
        let (queue_id, other, storage_id) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut contents = StorageContents {
            name: "local".to_owned(),
            id: storage_id,
            objects: Vec::new(),
            manifests: BTreeMap::new(),
            uploads: lists_uploads.then(Vec::new),
        };
        let mut audit = Audit { now, attempts: Vec::new(), copies: Vec::new() };
        let mut kept = HashMap::new();
        for trace in &traces {
            let (job, token) = (Uuid::new_v4(), Uuid::new_v4());
            let of = if trace.own { queue_id } else { other };
            let key = ObjectKey::new(of, "shop", job, token, now);
            let modified_at = now - TimeDelta::hours(trace.age_hours);
            let mut put = |there: bool, key: String| {
                if there {
                    contents.objects.push(FoundObject { key, size_bytes: 5, modified_at });
                }
            };
            put(trace.archive, key.to_string());
            put(trace.manifest, key.manifest());
            put(trace.globals, key.globals());
            put(trace.temporary, format!("{key}#1"));
            if trace.manifest && trace.own {
                let unread = Fault::permanent(Code::ManifestInvalid, "unreadable");
                contents.manifests.insert(key.clone(), Err(unread));
            }
            if trace.upload && let Some(uploads) = &mut contents.uploads {
                uploads.push(UnfinishedUpload {
                    key: key.to_string(),
                    upload_id: "u".to_owned(),
                    started_at: modified_at,
                });
            }
            if let Some(known) = trace.attempt {
                audit.attempts.push(AuditedAttempt {
                    token,
                    job,
                    running: known.running,
                    cleared: known.cleared,
                    storage_id,
                    object_key: key.to_string(),
                    upload_id: trace.upload.then(|| "u".to_owned()),
                    job_has_ended: known.job_has_ended,
                    deletion_requested: false,
                });
            }
            if let Some(state) = trace.copy {
                audit.copies.push(AuditedCopy {
                    job,
                    storage: "local".to_owned(),
                    storage_id,
                    object_key: key.to_string(),
                    size_bytes: 5,
                    state,
                    recorded: Recorded::default(),
                });
            }
            kept.insert(key.to_string(), trace.clone());
        }
        let age = Age { now, safe: TimeDelta::hours(SAFE_HOURS) };
        let report = judge(queue_id, &contents, &audit, age);
        for finding in &report.findings {
            let trace = &kept[&finding.key];
            match &finding.remedy {
                Some(Remedy::RemoveAttempt { .. }) => {
                    prop_assert!(trace.own, "another queue's");
                    prop_assert!(!trace.manifest, "{finding:?} has a manifest");
                    let spoken_of = matches!(trace.copy, Some(CopyState::Stored | CopyState::Deleting));
                    prop_assert!(!spoken_of, "{finding:?}: a row speaks of it");
                    let in_use = trace.attempt.is_some_and(|known| known.running || !known.job_has_ended);
                    prop_assert!(!in_use, "{finding:?} is in use");
                    prop_assert!(trace.age_hours >= SAFE_HOURS, "{finding:?} is too young");
                }
                Some(Remedy::AbortUpload { .. }) => {
                    prop_assert!(trace.own && trace.upload, "{finding:?}");
                    let in_use = trace.attempt.is_some_and(|known| known.running || !known.job_has_ended);
                    prop_assert!(!in_use, "{finding:?} is in use");
                    // Without a list there is no age, but an attempt that has ended for good.
                    prop_assert!(!lists_uploads || trace.age_hours >= SAFE_HOURS, "{finding:?} is too young");
                }
                Some(Remedy::RemoveTemporaries { .. }) => {
                    let in_use = trace.attempt.is_some_and(|known| known.running || !known.job_has_ended);
                    prop_assert!(trace.own && trace.temporary && !in_use, "{finding:?}");
                    prop_assert!(trace.age_hours >= SAFE_HOURS, "{finding:?} is too young");
                }
                Some(Remedy::NoteDeleted) => {
                    prop_assert!(!trace.archive && !trace.manifest, "{finding:?} is there");
                }
                Some(Remedy::FinishDeletion) => {
                    prop_assert!(trace.own && trace.copy == Some(CopyState::Deleting), "{finding:?}");
                }
                Some(Remedy::NoteCopy { .. }) => prop_assert!(trace.manifest),
                Some(Remedy::RemoveScrap) => prop_assert!(false, "there is none"),
                None => {}
            }
        }
        // And nothing that is old, ours and useless is overlooked.
        for (key, trace) in &kept {
            let in_use = trace.attempt.is_some_and(|known| known.running || !known.job_has_ended);
            let useless = trace.own && trace.archive && !trace.manifest && trace.copy != Some(CopyState::Stored)
                && !in_use && trace.age_hours >= SAFE_HOURS;
            if useless {
                let found = report.findings.iter().any(|f| f.key == *key && f.remedy.is_some());
                prop_assert!(found, "{key} is overlooked: {trace:?}");
            }
        }
    }
}

/// A backup's row and, where it is there, its archive.
fn seen(archive: bool) -> StorageReport {
    let (queue_id, storage_id, job) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let key = ObjectKey::new(queue_id, "shop", job, Uuid::from_u128(4), now);
    let object = FoundObject {
        key: key.to_string(),
        size_bytes: 5,
        modified_at: now,
    };
    let contents = StorageContents {
        name: "local".to_owned(),
        id: storage_id,
        objects: archive.then_some(object).into_iter().collect(),
        manifests: BTreeMap::new(),
        uploads: None,
    };
    let copy = AuditedCopy {
        job,
        storage: "local".to_owned(),
        storage_id,
        object_key: key.to_string(),
        size_bytes: 5,
        state: CopyState::Stored,
        recorded: Recorded::default(),
    };
    let audit = Audit {
        now,
        attempts: Vec::new(),
        copies: vec![copy],
    };
    let safe = TimeDelta::hours(SAFE_HOURS);
    judge(queue_id, &contents, &audit, Age { now, safe })
}

#[test]
fn what_was_stored_between_two_looks_is_no_finding_and_what_is_found_twice_is_one() {
    let codes =
        |report: &StorageReport| -> Vec<&str> { report.findings.iter().map(|f| f.code).collect() };
    // A backup that was stored while the storage was listed, as the first reading saw it, and the second.
    assert_eq!(codes(&seen(false)), ["row_without_object"]);
    assert_eq!(codes(&seen(true)), ["row_without_manifest"]);
    let on_its_way = seen(true).confirming(&seen(false));
    assert_eq!((codes(&on_its_way), on_its_way.explained), (vec![], 1));
    let gone = seen(false).confirming(&seen(false));
    assert_eq!(
        (codes(&gone), gone.explained),
        (vec!["row_without_object"], 0)
    );
}
