//! A storage that fills up, goes away, or is another one than before.

use std::path::Path;
use std::process::Command;

use pgdumpd_client::{BackupRequest, BackupSpec, JobState, JobStatus};
use pgdumpd_testkit::{Needs, fill};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use uuid::Uuid;

use crate::harness::{Daemon, World, quoted};

/// About four megabytes that do not compress away.
async fn world_with_data() -> World {
    let mut world = World::new().await;
    fill(&world.shop, 4).await;
    world.set("targets.shop", "compression", quoted("none"));
    world.set("storages.local", "min_free", quoted("1KiB"));
    world
}

/// Bounds the size of any file that a daemon writes; None lifts the bound.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: bytes.or(maximum),
        maximum,
    };
    prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
}

async fn is_full(world: &World, status: &JobStatus) {
    assert_eq!(
        status.error_code.as_deref(),
        Some("storage_full"),
        "{status:#?}"
    );
    assert_eq!(status.error_step.as_deref(), Some("store"), "{status:#?}");
    assert!(status.error_hint.as_deref().unwrap().contains("Free space"));
    world.assert_clean(0).await;
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_may_not_grow_further_fails_the_attempt_and_not_the_daemon() {
    let world = world_with_data().await;
    let daemon = world.daemon().await;
    limit_files(&daemon, Some(1 << 20));
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    is_full(&world, &status).await;
    limit_files(&daemon, None);
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
}

/// A small file system in memory; unmounted when dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    /// None where this user may not mount.
    fn mount(path: &'a Path, size: &str) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let options = format!("size={size},mode=700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], path).then_some(Self(path))
    }

    fn resize(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], self.0));
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(path);
    command.output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_fails_the_attempt_leaves_nothing_and_the_next_one_succeeds() {
    let world = world_with_data().await;
    let storage = world.storage();
    let Some(disk) = Tmpfs::mount(&storage, "4m") else {
        Needs::Mounts.missing(
            "this user may not mount a file system; the test of file sizes covers the rest",
        );
        return;
    };
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    is_full(&world, &status).await;
    disk.resize("64m");
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_disk_without_room_for_the_dump_fails_it_before_pg_dump_starts() {
    let mut world = world_with_data().await;
    world.set("storages.local", "min_free", quoted("1000000GiB"));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("storage_full"),
        "{status:#?}"
    );
    assert_eq!(status.error_step.as_deref(), Some("prepare"));
    assert!(!daemon.log().contains("pg_dump started"));
    world.assert_clean(0).await;
}

/// A first backup; then the storage's root is moved aside.
async fn world_whose_storage_went() -> (World, Daemon) {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    std::fs::rename(world.storage(), aside(&world)).unwrap();
    (world, daemon)
}

fn aside(world: &World) -> std::path::PathBuf {
    world.dir.path().join("aside")
}

#[tokio::test]
async fn a_storage_that_went_away_is_not_made_anew_in_its_place() {
    let (world, _daemon) = world_whose_storage_went().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("storage_missing"),
        "{status:#?}"
    );
    assert_eq!(status.error_step.as_deref(), Some("prepare"));
    assert!(status.error_hint.unwrap().contains("mounted"));
    assert!(!world.storage().exists());
    // An empty mount point is no storage either.
    std::fs::create_dir(world.storage()).unwrap();
    world.make_due(id).await;
    world
        .until(id, "the second attempt has ended", |status| {
            status.attempt == 2 && status.state == JobState::Queued
        })
        .await;
    assert_eq!(std::fs::read_dir(world.storage()).unwrap().count(), 0);
    // It comes back, and so does the job.
    std::fs::remove_dir(world.storage()).unwrap();
    std::fs::rename(aside(&world), world.storage()).unwrap();
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 3);
    world.assert_clean(2).await;
}

#[tokio::test]
async fn a_storage_with_a_configured_id_is_never_made_anew_nor_mistaken() {
    let mut world = World::new().await;
    // The mount point of a file system that is not mounted.
    std::fs::create_dir(world.storage()).unwrap();
    let id = Uuid::new_v4();
    world.set("storages.local", "storage_id", quoted(&id.to_string()));
    let daemon = world.daemon().await;
    let job = world.enqueue().await;
    let status = world.requeued(job).await;
    assert_eq!(status.error_code.as_deref(), Some("storage_missing"));
    assert_eq!(world.files(), Vec::<String>::new());

    world.make_storage(Uuid::new_v4());
    world.make_due(job).await;
    let replaced = |status: &JobStatus| status.error_code.as_deref() == Some("storage_replaced");
    world
        .until(job, "the other storage is refused", replaced)
        .await;

    world.make_storage(id);
    world.make_due(job).await;
    world.succeeded(job).await;
    daemon.stop().await;
}

#[tokio::test]
async fn commands_that_look_make_no_storage() {
    let world = World::new().await;
    let said = world.say(&["check"]).code(6);
    assert!(
        said.out.contains("ERROR    storage local: cannot open"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("made by the daemon, when it starts"),
        "{}",
        said.out
    );
    let said = world.say(&["list", "--storage", "local"]).code(1);
    assert!(said.err.contains("is mounted"), "{}", said.err);
    assert!(!world.storage().exists());
}

/// A storage of a megabyte, where this user may mount one.
fn small_disk(world: &mut World) -> Option<Tmpfs<'static>> {
    let path: &'static Path = Box::leak(world.storage().into_boxed_path());
    let disk = Tmpfs::mount(path, "1m");
    if disk.is_none() {
        Needs::Mounts.missing("this user may not mount a file system");
    }
    world.set("storages.local", "min_free", quoted("1KiB"));
    disk
}

#[tokio::test]
async fn room_is_asked_for_the_tables_that_are_dumped_and_neither_for_indexes_nor_catalogs() {
    let mut world = World::new().await;
    let Some(_disk) = small_disk(&mut world) else {
        return;
    };
    world
        .shop
        .execute(
            "CREATE TABLE settings AS SELECT 1 AS one;
             CREATE TABLE large AS SELECT sha256(i::text::bytea) AS hash FROM generate_series(1, 200000) AS i;
             CREATE TABLE indexed AS SELECT 'text'::text AS text FROM generate_series(1, 20000);
             CREATE INDEX ON indexed (text, (text || '1'), (text || '2'), (text || '3'));
             CREATE INDEX ON indexed ((repeat(text, 20)));
             CREATE INDEX ON indexed ((repeat(text, 21)));",
        )
        .await;
    let _daemon = world.daemon().await;
    let whole = world.enqueue().await;
    let refused = world.requeued(whole).await;
    assert_eq!(refused.error_code.as_deref(), Some("storage_full"));
    assert_eq!(refused.error_step.as_deref(), Some("prepare"));
    world.cancel(whole).await;
    for spec in [
        BackupSpec {
            tables: vec!["public.settings".to_owned()],
            ..BackupSpec::default()
        },
        BackupSpec {
            exclude_tables: vec!["public.large".to_owned()],
            ..BackupSpec::default()
        },
        BackupSpec {
            exclude_table_data: vec!["public.large".to_owned()],
            ..BackupSpec::default()
        },
    ] {
        let id = world
            .enqueue_request(BackupRequest::new("shop").spec(spec))
            .await;
        world.succeeded(id).await;
    }
}

#[tokio::test]
async fn a_disk_without_room_for_as_much_as_the_last_time_refuses_the_next_backup() {
    let mut world = World::new().await;
    let Some(disk) = small_disk(&mut world) else {
        return;
    };
    disk.resize("16m");
    world.set("targets.shop", "compression", quoted("gzip:1"));
    // Of bytes that COPY writes as digits half goes; a quarter of what lies on disk would have room.
    world
        .shop
        .execute("CREATE TABLE hashes AS SELECT sha512(i::text::bytea) AS hash FROM generate_series(1, 60000) AS i")
        .await;
    let _daemon = world.daemon().await;
    let first = world.enqueue().await;
    let stored = world.succeeded(first).await.size_bytes.unwrap();
    let on_disk: i64 = sqlx::query_scalar("SELECT pg_table_size('hashes')")
        .fetch_one(&world.shop.pool().await)
        .await
        .unwrap();
    assert!(stored > on_disk / 2, "{stored} of {on_disk}");
    let free = on_disk * 2 / 5;
    disk.resize(&format!("{}", stored + free));
    let id = world.enqueue().await;
    let refused = world.requeued(id).await;
    assert_eq!(refused.error_code.as_deref(), Some("storage_full"));
    assert_eq!(refused.error_step.as_deref(), Some("prepare"));
    // What was deleted since needs no room.
    world.shop.execute("TRUNCATE hashes").await;
    world.make_due(id).await;
    world.succeeded(id).await;
}
