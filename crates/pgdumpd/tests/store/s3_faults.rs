//! An S3 server, or the way to it, that fails: a backup ends whole after retries, or in a clear error with nothing left.

use std::time::Duration;

use bytes::Bytes;
use pgdumpd::config::{Credentials, Provider, RemoteConfig, Secret};
use pgdumpd::fault::Fault;
use pgdumpd::store::{ObjectKey, Storage};
use pgdumpd_testkit::{FaultyS3, S3Fault, S3Operation, s3_server};
use uuid::Uuid;

use crate::conformance::conforms;
use crate::s3::{objects, remote, storage_config};
use crate::support::{TIMEOUT, content, manifest_of, new_key, store};

/// Five parts, the last one shorter.
const SIZE: usize = 23_000_001;
const PARTS: usize = 5;
const ALWAYS: usize = usize::MAX;

/// A storage behind a faulty server, and the same one reached directly.
struct Stage {
    faults: FaultyS3,
    faulty: Storage,
    direct: Storage,
    queue: Uuid,
}

impl Stage {
    /// `deadline` is how long the storage behind the faulty server tries again.
    async fn new(deadline: Duration) -> Self {
        Self::with(|remote| remote.request_deadline = deadline).await
    }

    async fn with(change: impl Fn(&mut RemoteConfig)) -> Self {
        let server = s3_server().await;
        let faults = FaultyS3::start(server).await;
        let prefix = Uuid::new_v4().to_string();
        let mut config = remote(server, &server.bucket().await, &prefix);
        let direct = Storage::open("direct", &storage_config(config.clone())).await;
        config.endpoint = Some(faults.endpoint().parse().unwrap());
        change(&mut config);
        let faulty = Storage::open_existing("faulty", &storage_config(config), &[]).await;
        Self {
            faults,
            faulty: faulty.unwrap(),
            direct: direct.unwrap(),
            queue: Uuid::new_v4(),
        }
    }

    fn key(&self) -> ObjectKey {
        let started = chrono::DateTime::UNIX_EPOCH;
        ObjectKey::new(self.queue, "shop", Uuid::new_v4(), Uuid::new_v4(), started)
    }

    /// Uploads, commits, writes the manifest and reads all of it back.
    async fn back_up(&self, key: &ObjectKey, content: &Bytes) -> Result<(), Fault> {
        let expected = Some(content.len() as u64);
        let mut upload = self.faulty.begin(key, expected).await?;
        for piece in content.chunks(1_000_000) {
            if let Err(fault) = upload.write(content.slice_ref(piece)).await {
                upload.abort().await?;
                return Err(fault);
            }
        }
        let stored = upload.commit().await?;
        assert_eq!(stored.size, content.len() as u64);
        let manifest = manifest_of(key, content);
        self.faulty.write_manifest(&manifest, None).await?;
        let found = self.faulty.find_backup(key, TIMEOUT).await?;
        assert_eq!(found, Some(manifest));
        Ok(())
    }

    async fn nothing_is_unfinished(&self) {
        let uploads = self.direct.unfinished_uploads(self.queue).await.unwrap();
        assert_eq!(uploads, Some(Vec::new()));
    }

    async fn nothing_is_left(&self) {
        self.nothing_is_unfinished().await;
        let queue = self.queue.to_string();
        let objects = self.direct.all_objects(Some(&queue)).await.unwrap();
        assert_eq!(objects, Vec::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_the_backup_is_whole() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    let content = content(SIZE);
    for (operation, times, fault) in [
        (S3Operation::Create, 2, S3Fault::Answer(503, "SlowDown")),
        (S3Operation::Create, 1, S3Fault::LoseAnswer),
        (
            S3Operation::PutPart,
            3,
            S3Fault::Answer(500, "InternalError"),
        ),
        (S3Operation::PutPart, 3, S3Fault::Answer(503, "SlowDown")),
        (
            S3Operation::PutPart,
            1,
            S3Fault::Answer(400, "RequestTimeout"),
        ),
        (
            S3Operation::PutPart,
            1,
            S3Fault::Answer(409, "OperationAborted"),
        ),
        (S3Operation::PutPart, 2, S3Fault::ResetAfter(100_000)),
        (S3Operation::PutPart, 1, S3Fault::ResetAfter(0)),
        (S3Operation::PutPart, 2, S3Fault::LoseAnswer),
        (S3Operation::PutPart, 1, S3Fault::HalfAnswer),
        (S3Operation::PutPart, 1, S3Fault::FlipBit),
        (
            S3Operation::Complete,
            2,
            S3Fault::Answer(500, "InternalError"),
        ),
        (
            S3Operation::Complete,
            1,
            S3Fault::Answer(200, "InternalError"),
        ),
        (S3Operation::Complete, 1, S3Fault::Answer(200, "SlowDown")),
        (S3Operation::Complete, 1, S3Fault::ResetAfter(0)),
        (
            S3Operation::Put,
            1,
            S3Fault::Answer(503, "ServiceUnavailable"),
        ),
        (S3Operation::Put, 1, S3Fault::LoseAnswer),
        (S3Operation::Head, 1, S3Fault::Answer(500, "InternalError")),
        (S3Operation::Get, 2, S3Fault::Answer(503, "SlowDown")),
        (S3Operation::Get, 1, S3Fault::LoseAnswer),
        // The manifest, then the object: a read that is cut goes on where it was cut.
        (S3Operation::Get, 2, S3Fault::HalfAnswer),
    ] {
        let before = stage.faults.count(operation);
        stage.faults.fail(operation, times, fault);
        let key = stage.key();
        let done = stage.back_up(&key, &content).await;
        done.unwrap_or_else(|error| panic!("{operation:?} {fault:?}: {}", error.report()));
        let tries = stage.faults.count(operation) - before;
        assert!(tries > times, "{operation:?} {fault:?}: {tries} tries");
        stage.nothing_is_unfinished().await;
        stage.direct.delete_backup(&key).await.unwrap();
    }
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_complete_is_settled_by_a_look_at_the_object() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    let content = content(SIZE);
    for fault in [S3Fault::LoseAnswer, S3Fault::HalfAnswer] {
        let before = stage.faults.count(S3Operation::Complete);
        stage.faults.fail(S3Operation::Complete, 1, fault);
        let key = stage.key();
        stage.back_up(&key, &content).await.unwrap();
        // A second request would be refused: the upload is no more.
        assert_eq!(
            stage.faults.count(S3Operation::Complete),
            before + 1,
            "{fault:?}"
        );
        stage.nothing_is_unfinished().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_stalls_is_sent_again() {
    let stage = Stage::new(Duration::from_secs(6)).await;
    let content = content(SIZE);
    for fault in [
        S3Fault::StallAfter(100_000),
        S3Fault::StallAfter(usize::MAX),
    ] {
        stage.faults.fail(S3Operation::PutPart, 1, fault);
        stage.back_up(&stage.key(), &content).await.unwrap();
    }
    assert_eq!(stage.faults.count(S3Operation::PutPart), 2 * (PARTS + 1));
    stage
        .faults
        .fail(S3Operation::Complete, 1, S3Fault::StallAfter(usize::MAX));
    stage.back_up(&stage.key(), &content).await.unwrap();
    assert_eq!(stage.faults.count(S3Operation::Complete), 4);
    stage.nothing_is_unfinished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_however_long_it_has_taken() {
    let deadline = Duration::from_secs(3);
    let stage = Stage::new(deadline).await;
    let (key, content) = (stage.key(), content(SIZE));
    stage.back_up(&key, &content).await.unwrap();
    stage.faults.fail(S3Operation::Get, 1, S3Fault::HalfAnswer);
    let before = stage.faults.count(S3Operation::Get);
    let pieces = stage.faulty.read_range(&key, 1..SIZE as u64);
    let mut pieces = pieces.await.unwrap();
    let mut read = pieces.next().await.unwrap().unwrap().to_vec();
    // What waits to be read is in buffers that are smaller than half the object.
    tokio::time::sleep(deadline + Duration::from_secs(1)).await;
    while let Some(piece) = pieces.next().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == content[1..]);
    assert_eq!(stage.faults.count(S3Operation::Get), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_to_be_left_alone_is() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    stage.faults.fail(S3Operation::PutPart, 1, S3Fault::Busy(2));
    let started = std::time::Instant::now();
    stage.back_up(&stage.key(), &content(1000)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2));
    // Not for longer than the deadline: then the attempt ends at once.
    stage
        .faults
        .fail(S3Operation::PutPart, 1, S3Fault::Busy(61));
    let started = std::time::Instant::now();
    let told = stage.back_up(&stage.key(), &content(1000)).await;
    assert_eq!(told.unwrap_err().code().as_str(), "storage_failed");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_its_way_back_is_no_backup() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    let (key, content) = (stage.key(), content(SIZE));
    stage.back_up(&key, &content).await.unwrap();
    // The second read is the object's, after its manifest.
    stage.faults.fail(S3Operation::Get, 1, S3Fault::Slow(0));
    stage
        .faults
        .fail(S3Operation::Get, 1, S3Fault::FlipAnswerBit);
    let found = stage.faulty.find_backup(&key, TIMEOUT).await;
    assert_eq!(found.unwrap(), None);
    let found = stage.faulty.find_backup(&key, TIMEOUT).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_now_and_then_conforms() {
    let server = s3_server().await;
    let faults = FaultyS3::start(server).await;
    let (bucket, prefix) = (server.bucket().await, Uuid::new_v4().to_string());
    let mut config = remote(server, &bucket, &prefix);
    config.endpoint = Some(faults.endpoint().parse().unwrap());
    let objects = objects(server, &bucket, &prefix);
    faults.fail_every(
        4,
        &[
            S3Fault::Answer(503, "SlowDown"),
            S3Fault::ResetAfter(0),
            S3Fault::LoseAnswer,
            S3Fault::Answer(500, "InternalError"),
            S3Fault::ResetAfter(100_000),
            S3Fault::HalfAnswer,
            S3Fault::Busy(0),
        ],
    );
    let storage = Storage::open("s3", &storage_config(config)).await.unwrap();
    conforms(&storage, &objects).await;
    let met = faults
        .seen()
        .iter()
        .filter(|seen| seen.fault.is_some())
        .count();
    assert!(met > 20, "{met}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_may_arrive_in_any_order() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    // The first part is answered after the last.
    stage
        .faults
        .fail(S3Operation::PutPart, 1, S3Fault::Behind(PARTS - 1));
    stage.back_up(&stage.key(), &content(SIZE)).await.unwrap();
    assert_eq!(stage.faults.count(S3Operation::PutPart), PARTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_a_clear_error_and_nothing_is_left() {
    let content = content(12_000_000);
    let cases = [
        (
            S3Operation::Create,
            S3Fault::Answer(503, "SlowDown"),
            "storage_failed",
            true,
            "503 SlowDown",
        ),
        (
            S3Operation::Create,
            S3Fault::Answer(404, "NoSuchBucket"),
            "bucket_missing",
            false,
            "NoSuchBucket",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(500, "InternalError"),
            "storage_failed",
            true,
            "500 InternalError",
        ),
        (
            S3Operation::PutPart,
            S3Fault::ResetAfter(100_000),
            "storage_failed",
            true,
            "part of",
        ),
        (
            S3Operation::PutPart,
            S3Fault::StallAfter(100_000),
            "storage_stalled",
            true,
            "no byte was sent or received",
        ),
        (
            S3Operation::PutPart,
            S3Fault::FlipBit,
            "storage_failed",
            true,
            "400",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(403, "AccessDenied"),
            "storage_denied",
            false,
            "403 AccessDenied",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(403, "ExpiredToken"),
            "storage_denied",
            false,
            "ExpiredToken",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(404, "NoSuchUpload"),
            "storage_failed",
            true,
            "does not know the upload",
        ),
        (
            S3Operation::PutPart,
            S3Fault::Answer(507, "InsufficientStorage"),
            "storage_full",
            true,
            "507",
        ),
        (
            S3Operation::Complete,
            S3Fault::Answer(500, "InternalError"),
            "storage_failed",
            true,
            "cannot complete",
        ),
        (
            S3Operation::Complete,
            S3Fault::Answer(200, "InternalError"),
            "storage_failed",
            true,
            "200 InternalError",
        ),
        (
            S3Operation::Complete,
            S3Fault::Answer(200, "InvalidPart"),
            "storage_failed",
            true,
            "200 InvalidPart",
        ),
        (
            S3Operation::Complete,
            S3Fault::Answer(403, "AccessDenied"),
            "storage_denied",
            false,
            "AccessDenied",
        ),
    ];
    // Side by side: each of them lasts as long as the deadline.
    let cases = cases.map(|(operation, fault, code, transient, words)| {
        let content = content.clone();
        async move {
            let stage = Stage::new(Duration::from_secs(4)).await;
            stage.faults.fail(operation, ALWAYS, fault);
            let told = stage.back_up(&stage.key(), &content).await.unwrap_err();
            stage.faults.heal();
            let report = told.report();
            assert_eq!(
                told.code().as_str(),
                code,
                "{operation:?} {fault:?}: {report}"
            );
            assert_eq!(
                told.is_transient(),
                transient,
                "{operation:?} {fault:?}: {report}"
            );
            assert!(report.contains(words), "{operation:?} {fault:?}: {report}");
            assert!(!report.contains("http"), "{report}");
            stage.nothing_is_left().await;
        }
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_try_can_change_is_not_tried_again() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    let denied = S3Fault::Answer(403, "AccessDenied");
    stage.faults.fail(S3Operation::Create, ALWAYS, denied);
    stage.faulty.begin(&stage.key(), None).await.unwrap_err();
    assert_eq!(stage.faults.count(S3Operation::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_that_fails_is_tried_again() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    for fault in [S3Fault::Answer(503, "SlowDown"), S3Fault::LoseAnswer] {
        let mut upload = stage.faulty.begin(&stage.key(), Some(1)).await.unwrap();
        upload.write(content(12_000_000)).await.unwrap();
        stage.faults.fail(S3Operation::Abort, 1, fault);
        upload.abort().await.unwrap();
        stage.nothing_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lists_no_uploads_is_no_error() {
    let stage = Stage::new(Duration::from_secs(6)).await;
    for fault in [
        S3Fault::Answer(501, "NotImplemented"),
        S3Fault::Answer(405, "MethodNotAllowed"),
        S3Fault::Answer(403, "AccessDenied"),
        S3Fault::Answer(404, "NotFound"),
    ] {
        stage.faults.fail(S3Operation::ListUploads, ALWAYS, fault);
        let listed = stage.faulty.unfinished_uploads(stage.queue).await;
        assert_eq!(listed.unwrap(), None, "{fault:?}");
        stage
            .faulty
            .remove_partial(&stage.key(), None)
            .await
            .unwrap();
        let findings = stage.faulty.probe().await;
        let reminded = findings
            .iter()
            .find(|finding| finding.what.contains("cannot be listed"));
        assert!(reminded.unwrap().hint.as_ref().unwrap().contains("rule"));
        stage.faults.heal();
    }
    stage.faults.fail(
        S3Operation::ListUploads,
        ALWAYS,
        S3Fault::Answer(500, "InternalError"),
    );
    let told = stage
        .faulty
        .unfinished_uploads(stage.queue)
        .await
        .unwrap_err();
    assert_eq!(told.code().as_str(), "storage_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_part_outlasts_every_limit_while_its_bytes_move() {
    let rate = 2 << 20;
    let stage = Stage::with(|remote| {
        remote.request_deadline = Duration::from_secs(3);
        remote.bandwidth = Some(pgdumpd::bandwidth::Bandwidth::new(rate));
    })
    .await;
    // Three parts that share the bandwidth: each takes seconds, where none may stall for one.
    let size = 12_000_000;
    let started = std::time::Instant::now();
    stage.back_up(&stage.key(), &content(size)).await.unwrap();
    let took = started.elapsed().as_secs_f64();
    assert!(took >= size as f64 / rate as f64, "{took} s");
    assert_eq!(stage.faults.count(S3Operation::PutPart), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outgrows_the_parts_ends_before_the_servers_limit() {
    let stage = Stage::with(|remote| remote.limits.max_parts = 3).await;
    let key = stage.key();
    // Exactly three parts fit.
    let whole = content(3 * (5 << 20));
    let mut upload = stage.faulty.begin(&key, Some(1)).await.unwrap();
    upload.write(whole.clone()).await.unwrap();
    upload.commit().await.unwrap();
    stage.direct.remove_partial(&key, None).await.unwrap();

    let parts = stage.faults.count(S3Operation::PutPart);
    let mut upload = stage.faulty.begin(&key, Some(1)).await.unwrap();
    upload.write(whole).await.unwrap();
    let told = upload.write(content(1)).await.unwrap_err();
    assert_eq!(told.code().as_str(), "upload_too_large");
    assert!(!told.is_transient());
    assert!(told.advice().unwrap().contains("part_size"));
    upload.abort().await.unwrap();
    assert!(stage.faults.count(S3Operation::PutPart) < parts + 3);
    stage.nothing_is_left().await;
}

/// The fault of opening a storage that is configured wrongly.
async fn refused(change: impl Fn(&mut RemoteConfig)) -> Fault {
    let server = s3_server().await;
    let prefix = Uuid::new_v4().to_string();
    let mut config = remote(server, &server.bucket().await, &prefix);
    config.request_deadline = Duration::from_secs(1);
    change(&mut config);
    let secret = server.keys.secret.clone();
    let fault = Storage::open("wrong", &storage_config(config))
        .await
        .unwrap_err();
    let told = format!("{} {fault:?} {:?}", fault.report(), fault.advice());
    assert!(
        !told.contains(&secret) && !told.contains("hunter2"),
        "{told}"
    );
    fault
}

fn s3(config: &mut RemoteConfig) -> &mut pgdumpd::config::S3 {
    match &mut config.provider {
        Provider::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_wrongly_is_reported_with_the_key_to_correct() {
    let keys = |id: &str, secret: &str| Credentials::Keys {
        id: id.to_owned(),
        secret: Secret::new(secret),
        session_token: None,
    };
    let server = s3_server().await;
    let wrong_secret =
        refused(|config| s3(config).credentials = keys(&server.keys.id, "hunter2")).await;
    let wrong_id = refused(|config| s3(config).credentials = keys("NOBODY", "hunter2")).await;
    for fault in [&wrong_secret, &wrong_id] {
        assert_eq!(
            fault.code().as_str(),
            "storage_denied",
            "{}",
            fault.report()
        );
        assert!(!fault.is_transient());
        let advice = fault.advice().unwrap();
        assert!(advice.contains("secret_access_key"), "{}", fault.report());
    }
    if let Some(poor) = &server.poor_keys {
        let poor = refused(|config| s3(config).credentials = keys(&poor.id, &poor.secret)).await;
        assert_eq!(poor.code().as_str(), "storage_denied", "{}", poor.report());
        assert!(
            poor.advice().unwrap().contains("policy"),
            "{:?}",
            poor.advice()
        );
    }
    let no_bucket =
        refused(|config| s3(config).bucket = format!("absent-{}", Uuid::new_v4())).await;
    assert_eq!(
        no_bucket.code().as_str(),
        "bucket_missing",
        "{}",
        no_bucket.report()
    );
    assert!(!no_bucket.is_transient());
    assert!(no_bucket.advice().unwrap().contains("url"));

    let nowhere =
        refused(|config| config.endpoint = Some("http://127.0.0.1:1".parse().unwrap())).await;
    assert_eq!(
        nowhere.code().as_str(),
        "storage_unreachable",
        "{}",
        nowhere.report()
    );
    assert!(nowhere.is_transient());
    assert!(nowhere.advice().unwrap().contains("endpoint"));
    let no_name =
        refused(|config| config.endpoint = Some("http://absent.invalid".parse().unwrap())).await;
    assert_eq!(
        no_name.code().as_str(),
        "storage_unreachable",
        "{}",
        no_name.report()
    );

    let no_role = refused(|config| {
        let metadata = [("AWS_METADATA_ENDPOINT", Secret::new("http://127.0.0.1:1"))];
        s3(config).credentials = Credentials::Ambient(metadata.into());
    })
    .await;
    assert_eq!(
        no_role.code().as_str(),
        "storage_denied",
        "{}",
        no_role.report()
    );
    assert!(no_role.advice().unwrap().contains("access_key_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_elsewhere_is_reported() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    for fault in [
        S3Fault::Answer(301, "PermanentRedirect"),
        S3Fault::Answer(400, "AuthorizationHeaderMalformed"),
    ] {
        stage.faults.fail(S3Operation::Create, 1, fault);
        let told = stage.faulty.begin(&stage.key(), None).await.unwrap_err();
        assert_eq!(
            told.code().as_str(),
            "storage_misdirected",
            "{}",
            told.report()
        );
        assert!(!told.is_transient());
        assert!(told.advice().unwrap().contains("region"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_to_its_end_although_the_connection_breaks() {
    let stage = Stage::new(Duration::from_secs(60)).await;
    let (key, content) = (new_key(), content(SIZE));
    store(&stage.direct, &key, &content).await;
    let manifest = manifest_of(&key, &content);
    stage.direct.write_manifest(&manifest, None).await.unwrap();
    stage.faulty.read_manifest(&key).await.unwrap();
    let before = stage.faults.count(S3Operation::Get);
    stage.faults.fail(S3Operation::Get, 1, S3Fault::HalfAnswer);
    let mut pieces = stage.faulty.read_range(&key, 7..SIZE as u64).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == content[7..], "{} bytes", read.len());
    assert!(stage.faults.count(S3Operation::Get) > before + 1);
}
