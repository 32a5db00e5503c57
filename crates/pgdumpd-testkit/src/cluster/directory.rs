//! The folders that clusters live in, the locks that say they are used, and the watchdog.
//!
//! Each folder holds a file `in-use` that every process using the cluster keeps locked (shared)
//! for as long as it lives. The kernel drops the lock however the process ends. A detached
//! watchdog waits for the file to be free, stops the server and removes its data: so no test,
//! killed or not, leaves a server behind.

use std::fs::{DirBuilder, File, FileTimes, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

/// How long a shared cluster outlives its last user, in seconds.
const SHARED_IDLE_SECONDS: u32 = 300;

/// Says, as long as it lives, that this process uses a cluster.
#[derive(Debug)]
pub(crate) struct Lease {
    _in_use: File,
}

/// The right to start a shared cluster, for one process at a time.
#[derive(Debug)]
pub(crate) struct StartLock {
    _lock: File,
}

/// A new folder for a private cluster.
pub(super) async fn private() -> (PathBuf, Lease) {
    let directory = base().join(format!(
        "p-{}",
        &uuid::Uuid::new_v4().simple().to_string()[..12]
    ));
    make_directory(&directory);
    let lease = take_lease(&directory).await;
    watch(&directory, 0);
    (directory, lease)
}

/// The folder of the shared cluster called `name`, marked as used by this process, and locked
/// against other starters until the lock is dropped.
pub(crate) async fn shared(name: &str) -> (PathBuf, Lease, StartLock) {
    let directory = base().join(name);
    make_directory(&directory);
    let lock = locked(directory.join("lock"), FlockOperation::LockExclusive).await;
    let lease = take_lease(&directory).await;
    watch(&directory, SHARED_IDLE_SECONDS);
    (directory, lease, StartLock { _lock: lock })
}

async fn take_lease(directory: &Path) -> Lease {
    let in_use = locked(directory.join("in-use"), FlockOperation::LockShared).await;
    in_use
        .set_times(FileTimes::new().set_modified(SystemTime::now()))
        .unwrap_or_else(|error| panic!("cannot touch in-use: {error}"));
    Lease { _in_use: in_use }
}

/// Starts the watchdog of `directory`, unless one watches already.
fn watch(directory: &Path, idle_seconds: u32) {
    // In a session of its own: what kills the test must not kill the watchdog.
    let started = Command::new("setsid")
        .args([
            "--fork",
            "sh",
            "-c",
            include_str!("watchdog.sh"),
            "pgdumpd-test-watchdog",
        ])
        .arg(directory)
        .arg(idle_seconds.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let started = started.is_ok_and(|status| status.success());
    assert!(
        started,
        "cannot start the watchdog: setsid and flock (of util-linux) are needed"
    );
}

async fn locked(path: PathBuf, operation: FlockOperation) -> File {
    let lock = move || {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        flock(&file, operation)?;
        Ok::<File, std::io::Error>(file)
    };
    tokio::task::spawn_blocking(lock)
        .await
        .expect("locking does not panic")
        .unwrap_or_else(|error| panic!("cannot lock a test cluster's folder: {error}"))
}

/// The folder below which all of this user's clusters live.
fn base() -> PathBuf {
    let base = std::env::var_os("PGDUMPD_TEST_CLUSTERS").map_or_else(
        || std::env::temp_dir().join(format!("pgdumpd-test-{}", uid())),
        PathBuf::from,
    );
    make_directory(&base);
    // Another user could have made it, to read or swap what tests write.
    let owner = base.metadata().map(|metadata| metadata.uid()).ok();
    assert!(
        owner == Some(uid()),
        "{} belongs to another user: remove it",
        base.display()
    );
    base
}

/// Makes `directory` so that the server's user can pass through it.
fn make_directory(directory: &Path) {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
