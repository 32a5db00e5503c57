//! A pg_dump that goes wrong in every way we could think of: nothing of it ever becomes a backup.

use std::path::Path;

use pgdumpd::store::ArchiveState;
use pgdumpd_client::{BackupRequest, JobState, JobStatus};
use pgdumpd_testkit::{FakePgDump, Then, eventually, fill};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Daemon, SOON, World, quoted};

/// A world whose pg_dump is a stand-in, and what a real one would have written.
struct Scene {
    world: World,
    archive: Vec<u8>,
}

impl Scene {
    async fn new() -> Self {
        let mut world = World::new().await;
        fill(&world.shop, 1).await;
        world.set("targets.shop", "stall_timeout", quoted("30s"));
        let archive = world.archive();
        Self { world, archive }
    }

    /// Everything up to the middle of the rows.
    fn half(&self) -> &[u8] {
        &self.archive[..self.archive.len() / 2]
    }

    fn fake(&mut self, bytes: &[u8], then: Then) -> FakePgDump {
        let fake = FakePgDump::new(self.world.cluster.major(), bytes, then);
        self.world.use_fake(&fake);
        fake
    }

    /// Runs a job whose first attempt must fail so, leave nothing, and be tried again later.
    async fn is_tried_again(&self, code: &str, texts: &[&str]) -> (Daemon, JobStatus) {
        let daemon = self.world.daemon().await;
        let id = self.world.enqueue().await;
        let status = self.world.requeued(id).await;
        self.failed_so(&status, code, texts).await;
        (daemon, status)
    }

    async fn failed_so(&self, status: &JobStatus, code: &str, texts: &[&str]) {
        assert_eq!(status.error_code.as_deref(), Some(code), "{status:#?}");
        assert_eq!(status.error_step.as_deref(), Some("dump"), "{status:#?}");
        let error = status.error.as_deref().unwrap();
        for text in texts {
            assert!(error.contains(text), "{error}");
        }
        assert_eq!(status.attempt, 1);
        assert!(status.progress < 100.0);
        assert_eq!(status.sha256, None);
        self.world.assert_clean(0).await;
        assert_eq!(self.world.files(), Vec::<String>::new());
    }
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_dump_that_exits_nonzero_after_whole_output_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let archive = scene.archive.clone();
    let _fake = scene
        .fake(&archive, Then::Exit(1))
        .says("pg_dump: warning: careful\npg_dump: error: query failed: out of luck\n");
    let (_daemon, status) = scene
        .is_tried_again("dump_failed", &["exit status: 1", "out of luck"])
        .await;
    assert_eq!(status.warnings, ["careful"]);
}

#[tokio::test]
async fn a_dump_that_exits_nonzero_after_half_its_output_is_reported_in_pg_dumps_own_words() {
    let mut scene = Scene::new().await;
    let half = scene.half().to_vec();
    let _fake = scene
        .fake(&half, Then::Exit(1))
        .says("pg_dump: error: query failed: out of luck\n");
    scene
        .is_tried_again("dump_failed", &["exit status: 1", "out of luck"])
        .await;
}

#[tokio::test]
async fn a_dump_that_is_killed_from_outside_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let half = scene.half().to_vec();
    let fake = scene.fake(&half, Then::Hang);
    let _daemon = scene.world.daemon().await;
    let id = scene.world.enqueue().await;
    scene.world.dumping(id).await;
    let pid = Pid::from_raw(fake.runs()[0].pid).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let status = scene.world.requeued(id).await;
    scene.failed_so(&status, "dump_killed", &["SIGKILL"]).await;
    assert!(status.error_hint.unwrap().contains("out-of-memory"));
}

#[tokio::test]
async fn a_dump_that_crashes_after_whole_output_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let archive = scene.archive.clone();
    let _fake = scene.fake(&archive, Then::Signal(11));
    scene.is_tried_again("dump_killed", &["SIGSEGV"]).await;
}

#[tokio::test]
async fn a_dump_that_hangs_is_ended_as_stalled() {
    let mut scene = Scene::new().await;
    scene
        .world
        .set("targets.shop", "stall_timeout", quoted("700ms"));
    let half = scene.half().to_vec();
    let fake = scene.fake(&half, Then::Hang);
    let (_daemon, status) = scene
        .is_tried_again("dump_stalled", &["pg_dump wrote no byte for"])
        .await;
    assert!(status.error_hint.unwrap().contains("stall_timeout"));
    assert!(!is_there(fake.runs()[0].pid));
}

#[tokio::test]
async fn a_dump_that_hangs_and_ignores_sigterm_is_killed() {
    let mut scene = Scene::new().await;
    scene
        .world
        .set("targets.shop", "stall_timeout", quoted("500ms"));
    let half = scene.half().to_vec();
    let fake = scene.fake(&half, Then::HangIgnoringSignals);
    let (daemon, _) = scene.is_tried_again("dump_stalled", &[]).await;
    assert!(!is_there(fake.runs()[0].pid));
    assert!(daemon.log().contains("did not end on SIGTERM"));
}

#[tokio::test]
async fn a_dump_that_closes_its_output_and_hangs_never_becomes_visible() {
    let mut scene = Scene::new().await;
    scene
        .world
        .set("targets.shop", "stall_timeout", quoted("500ms"));
    let archive = scene.archive.clone();
    let fake = scene.fake(&archive, Then::CloseAndHang);
    scene
        .is_tried_again("dump_stalled", &["closed its output", "within 0.5 s"])
        .await;
    assert!(!is_there(fake.runs()[0].pid));
}

#[tokio::test]
async fn a_dump_that_exits_0_with_half_an_archive_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let half = scene.half().to_vec();
    let _fake = scene.fake(&half, Then::Exit(0));
    scene
        .is_tried_again("archive_incomplete", &["pg_dump's archive is not whole"])
        .await;
}

#[tokio::test]
async fn a_dump_that_exits_0_one_byte_short_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let short = scene.archive[..scene.archive.len() - 1].to_vec();
    let _fake = scene.fake(&short, Then::Exit(0));
    scene.is_tried_again("archive_incomplete", &[]).await;
}

#[tokio::test]
async fn a_dump_that_exits_0_with_an_empty_output_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let _fake = scene.fake(&[], Then::Exit(0));
    scene.is_tried_again("archive_incomplete", &[]).await;
}

#[tokio::test]
async fn a_dump_that_exits_0_with_garbage_never_becomes_visible() {
    let mut scene = Scene::new().await;
    let _fake = scene.fake(&b"Hello, I am no archive.\n".repeat(5_000), Then::Exit(0));
    let (_daemon, status) = scene
        .is_tried_again("archive_corrupt", &["is not a custom-format archive"])
        .await;
    assert!(status.error_hint.unwrap().contains("stdout"));
}

#[tokio::test]
async fn an_archive_of_an_unknown_version_is_stored_unread_and_says_so() {
    let mut scene = Scene::new().await;
    // PGDMP, then major, minor and revision of the format.
    let mut archive = scene.archive.clone();
    archive[6] = 99;
    let fake = scene.fake(&archive, Then::Exit(0));
    let _daemon = scene.world.daemon().await;
    let id = scene.world.enqueue().await;
    let status = scene.world.succeeded(id).await;
    assert_eq!(status.attempt, 1);
    assert_eq!(
        fake.runs().len(),
        2,
        "pg_dump ran again, to be stored unread"
    );
    scene.world.assert_clean(1).await;
    let stored = &scene.world.backups()[0];
    assert!(std::fs::read(stored).unwrap() == archive);
    let manifest = scene.world.manifest(stored);
    assert_eq!(manifest.archive.state, ArchiveState::Unread);
    let reason = manifest.archive.unread_reason.unwrap();
    assert!(reason.contains("1.99"), "{reason}");
    assert_eq!(manifest.archive.tables, None);
    assert_eq!(Some(manifest.object.sha256), status.sha256);
}

#[tokio::test]
async fn an_unknown_version_does_not_excuse_a_failed_dump() {
    let mut scene = Scene::new().await;
    let mut archive = scene.archive.clone();
    archive[6] = 99;
    let _fake = scene.fake(&archive, Then::Exit(1));
    scene.is_tried_again("dump_failed", &[]).await;
}

#[tokio::test]
async fn a_transient_fault_is_tried_again_until_the_attempts_are_used_up() {
    let mut scene = Scene::new().await;
    let archive = scene.archive.clone();
    let fake = scene.fake(&archive, Then::Exit(1));
    let world = &scene.world;
    let _daemon = world.daemon().await;
    let id = world
        .enqueue_request(BackupRequest::new("shop").max_attempts(2))
        .await;
    let status = world.requeued(id).await;
    assert_eq!((status.attempt, fake.runs().len()), (1, 1));
    world.make_due(id).await;
    let status = world.failed(id).await;
    assert_eq!((status.attempt, fake.runs().len()), (2, 2));
    assert_eq!(status.error_code.as_deref(), Some("dump_failed"));
    let failed = || ("failed".to_owned(), Some("dump_failed".to_owned()));
    assert_eq!(world.ends(id).await, [failed(), failed()]);
    world.assert_clean(0).await;
}

#[tokio::test]
async fn a_later_attempt_that_succeeds_leaves_one_backup_and_no_error() {
    let mut scene = Scene::new().await;
    let half = scene.half().to_vec();
    let archive = scene.archive.clone();
    let mut fake = scene.fake(&half, Then::Exit(0));
    let world = &scene.world;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    assert_eq!(status.state, JobState::Queued);
    fake.become_(&archive, Then::Exit(0));
    world.make_due(id).await;
    let status = world.succeeded(id).await;
    assert_eq!(status.attempt, 2);
    assert_eq!((status.error_code, status.error), (None, None));
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_permanent_fault_is_not_tried_again() {
    let mut scene = Scene::new().await;
    let _fake = scene
        .fake(&[], Then::Exit(1))
        .says("pg_dump: error: aborting because of server version mismatch\n");
    let _daemon = scene.world.daemon().await;
    let id = scene.world.enqueue().await;
    let status = scene.world.failed(id).await;
    scene
        .failed_so(&status, "pg_dump_too_old", &["version mismatch"])
        .await;
    assert!(status.error_hint.unwrap().contains("Install the pg_dump"));
}

#[tokio::test]
async fn a_dump_that_fails_to_end_after_half_an_archive_can_still_be_cancelled_at_once() {
    let mut scene = Scene::new().await;
    let half = scene.half().to_vec();
    let fake = scene.fake(&half, Then::CloseAndHang);
    let world = &scene.world;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let pid = eventually("pg_dump has closed its output", SOON, async || {
        let pid = fake.runs().first()?.pid;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "sleep").then_some(pid)
    })
    .await;
    world.cancel(id).await;
    let status = world.ended(id).await;
    assert_eq!(status.state, JobState::Cancelled, "{status:#?}");
    assert!(world.cancel_took(id).await < 2.0);
    assert!(!is_there(pid));
    world.assert_clean(0).await;
}
