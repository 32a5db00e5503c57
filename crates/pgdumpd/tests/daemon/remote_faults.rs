//! Backups in an S3 server that fails: in mid-dump, at its end, and when they are read back.

use std::collections::BTreeMap;
use std::time::Duration;

use pgdumpd::config::{Config, Sources};
use pgdumpd::store::Storage;
use pgdumpd_testkit::{FaultyS3, S3Fault, S3Operation, contents, eventually, fill, s3_server};
use uuid::Uuid;

use crate::harness::{SOON, World, quoted};
use crate::remote::world;

/// The same world, with a server in between that fails when told to.
pub(crate) async fn behind_faults() -> (World, FaultyS3) {
    let mut world = world().await;
    let faults = FaultyS3::start(s3_server().await).await;
    world.set("storages.local", "endpoint", quoted(faults.endpoint()));
    world.set("storages.local", "part_size", quoted("5MiB"));
    world.set("targets.shop", "compression", quoted("none"));
    fill(&world.shop, 24).await;
    (world, faults)
}

/// The storage as the daemon's configuration has it.
async fn storage(world: &World) -> Storage {
    let sources = Sources {
        file: Some(world.config()),
        default_file: world.config(),
        variables: BTreeMap::new(),
    };
    let config = Config::load(&sources).unwrap().config;
    let storage = Storage::open_existing("local", &config.storages["local"], &[]).await;
    storage.unwrap()
}

/// The names of everything that a job may have left in the storage: none of unfinished uploads.
async fn left(world: &World) -> Vec<String> {
    let (storage, queue) = (storage(world).await, world.queue_id().await);
    let uploads = storage.unfinished_uploads(queue).await.unwrap();
    assert_eq!(uploads, Some(Vec::new()));
    let objects = storage.all_objects(Some(&queue.to_string())).await.unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

/// Whether a request of this job's backup has met the fault.
fn met(faults: &FaultyS3, job: Uuid, operation: S3Operation, fault: S3Fault) -> bool {
    faults.seen().iter().any(|seen| {
        seen.operation == operation
            && seen.fault == Some(fault)
            && seen.target.contains(&job.to_string())
    })
}

/// Waits until the daemon's first look at the storage, which meets faults too, is over.
async fn settled(faults: &FaultyS3) {
    // Its last request but the list of what is unfinished.
    eventually("the storage was looked at", SOON, async || {
        (faults.count(S3Operation::Abort) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_pass_during_a_backup_do_not_fail_it() {
    let (world, faults) = behind_faults().await;
    let daemon = world.daemon().await;
    settled(&faults).await;
    for (operation, fault) in [
        (S3Operation::Create, S3Fault::LoseAnswer),
        (S3Operation::PutPart, S3Fault::Answer(503, "SlowDown")),
        (S3Operation::PutPart, S3Fault::ResetAfter(1_000_000)),
        (S3Operation::PutPart, S3Fault::FlipBit),
        (S3Operation::PutPart, S3Fault::Behind(1)),
        (S3Operation::PutPart, S3Fault::Busy(1)),
        (S3Operation::Create, S3Fault::Answer(503, "SlowDown")),
        (S3Operation::Complete, S3Fault::Answer(200, "InternalError")),
        (S3Operation::Complete, S3Fault::LoseAnswer),
        (S3Operation::Put, S3Fault::Answer(500, "InternalError")),
        (S3Operation::Head, S3Fault::ResetAfter(0)),
    ] {
        faults.fail(operation, 1, fault);
        let id = world.enqueue().await;
        let status = world.succeeded(id).await;
        assert_eq!(status.attempt, 1, "{operation:?} {fault:?}: {status:#?}");
        assert!(
            met(&faults, id, operation, fault),
            "{operation:?} {fault:?}"
        );
        faults.heal();
        world.say(&["verify", &id.to_string()]).code(0);
        world.assert_explained();
        world.say(&["delete", "--yes", &id.to_string()]).code(0);
        assert_eq!(
            left(&world).await,
            Vec::<String>::new(),
            "{operation:?} {fault:?}"
        );
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_last_fail_the_attempt_and_leave_nothing() {
    let (mut world, faults) = behind_faults().await;
    world.set("storages.local", "request_deadline", quoted("6s"));
    let _daemon = world.daemon().await;
    settled(&faults).await;
    for (operation, fault, code) in [
        (
            S3Operation::PutPart,
            S3Fault::ResetAfter(1_000_000),
            "storage_failed",
        ),
        (
            S3Operation::PutPart,
            S3Fault::StallAfter(1_000_000),
            "storage_stalled",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(503, "SlowDown"),
            "storage_failed",
        ),
        (S3Operation::PutPart, S3Fault::FlipBit, "storage_failed"),
        (
            S3Operation::Complete,
            S3Fault::Answer(200, "InternalError"),
            "storage_failed",
        ),
    ] {
        faults.fail(operation, usize::MAX, fault);
        let id = world.enqueue().await;
        let status = world.requeued(id).await;
        faults.heal();
        assert_eq!(
            status.error_code.as_deref(),
            Some(code),
            "{operation:?} {fault:?}: {status:#?}"
        );
        assert_eq!(
            left(&world).await,
            Vec::<String>::new(),
            "{operation:?} {fault:?}"
        );
        world.assert_explained();
        assert_eq!(world.dump_sessions().await, Vec::<String>::new());
        world.cancel(id).await;
        world.ended(id).await;
    }
    // What no try can change fails the job at once.
    for (operation, fault, code, advice) in [
        (
            S3Operation::PutPart,
            S3Fault::Answer(403, "AccessDenied"),
            "storage_denied",
            "policy",
        ),
        (
            S3Operation::Create,
            S3Fault::Answer(403, "InvalidAccessKeyId"),
            "storage_denied",
            "credentials",
        ),
        (
            S3Operation::Create,
            S3Fault::Answer(404, "NoSuchBucket"),
            "bucket_missing",
            "url",
        ),
    ] {
        faults.fail(operation, usize::MAX, fault);
        let status = world.failed(world.enqueue().await).await;
        faults.heal();
        assert_eq!(status.error_code.as_deref(), Some(code), "{status:#?}");
        assert!(status.error_hint.unwrap().contains(advice), "{fault:?}");
        assert_eq!(left(&world).await, Vec::<String>::new());
        world.assert_explained();
    }
}

/// A job whose parts are on their way and get nowhere.
async fn stuck(world: &World, faults: &FaultyS3) -> Uuid {
    let stall = S3Fault::StallAfter(1_000_000);
    faults.fail(S3Operation::PutPart, usize::MAX, stall);
    let id = world.enqueue().await;
    eventually("a part is on its way", SOON, async || {
        (faults.count(S3Operation::PutPart) > 0).then_some(())
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_killed_daemon_left_is_aborted_by_the_next_one() {
    let (world, faults) = behind_faults().await;
    let mut daemon = world.daemon().await;
    let id = stuck(&world, &faults).await;
    daemon.kill();
    let recorded: Option<String> =
        sqlx::query_scalar("SELECT upload_id FROM pgdumpd.backup_attempts WHERE job_id = $1")
            .bind(id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    let queue = world.queue_id().await;
    let uploads = storage(&world).await.unfinished_uploads(queue).await;
    let uploads = uploads.unwrap().unwrap();
    assert_eq!(uploads.len(), 1, "{uploads:#?}");
    assert_eq!(Some(&uploads[0].upload_id), recorded.as_ref());

    faults.heal();
    let second = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!(status.rescues, 1, "{status:#?}");
    assert_eq!(left(&world).await.len(), 2, "an archive and its manifest");
    world.assert_explained();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_leaves_no_upload() {
    let (world, faults) = behind_faults().await;
    let _daemon = world.daemon().await;
    let id = stuck(&world, &faults).await;
    world.cancel(id).await;
    world.ended(id).await;
    let took = world.cancel_took(id).await;
    assert!(took < Duration::from_secs(5).as_secs_f64(), "{took} s");
    assert_eq!(left(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_damaged_is_reported_and_not_kept() {
    let (world, faults) = behind_faults().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    let id = id.to_string();
    let to = world.dir.path().join("whole.dump");
    let name = to.display().to_string();
    let fetch = ["fetch", id.as_str(), "-o", &name];
    // Of the object's bytes: after the marker and the manifest have come.
    let before = faults.count(S3Operation::Get);
    world.say(&["verify", &id]).code(0);
    let reads = faults.count(S3Operation::Get) - before;
    assert!(reads > 2, "{reads}");
    for command in [&["verify", id.as_str()][..], &fetch] {
        for met in 0..reads {
            for _ in 0..met {
                faults.fail(S3Operation::Get, 1, S3Fault::Slow(0));
            }
            faults.fail(S3Operation::Get, 1, S3Fault::FlipAnswerBit);
            let said = world.say(command);
            faults.heal();
            assert!(said.code != Some(0), "{command:?} {met}: {}", said.out);
            assert!(!to.exists(), "{command:?} {met}");
        }
    }
    // A read that is cut, and a server that is busy, are no damage.
    faults.fail(S3Operation::Get, reads, S3Fault::HalfAnswer);
    world.say(&["verify", &id]).code(0);
    faults.heal();
    faults.fail(S3Operation::Get, 2, S3Fault::Busy(1));
    world.say(&fetch).code(0);
    let restored = world.restore(&to).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
}
