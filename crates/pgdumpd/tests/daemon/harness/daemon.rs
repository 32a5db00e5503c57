//! Daemons' processes.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgdumpd_testkit::eventually;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Executor as _;
use uuid::Uuid;

use super::{SOON, World};

/// A daemon's process; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    kills: Arc<AtomicUsize>,
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its pg_dump children.
    pub(crate) fn pg_dumps(&self) -> Vec<Pid> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut pids = Vec::new();
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(
                text.split_whitespace()
                    .filter_map(|pid| Pid::from_raw(pid.parse().ok()?)),
            );
        }
        pids
    }

    /// SIGKILL, and reaped.
    pub(crate) fn kill(&mut self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its exit; true is status 0.
    pub(crate) async fn exited(&mut self) -> bool {
        eventually("the daemon has exited", SOON, async || {
            self.child.try_wait().unwrap()
        })
        .await
        .success()
    }

    /// SIGTERM, and waits for a clean exit.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.exited().await, "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What a test has stopped must not stay.
        for pid in self.pg_dumps() {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of daemon {}:\n{}", self.child.id(), self.log());
        }
    }
}

/// Whether a line of this level says this.
pub(crate) fn logged(daemon: &Daemon, level: &str, text: &str) -> bool {
    let log = daemon.log();
    log.lines()
        .any(|line| line.contains(level) && line.contains(text))
}

impl World {
    /// Starts a daemon and waits until it claims.
    pub(crate) async fn daemon(&self) -> Daemon {
        let daemon = self.daemon_unready();
        eventually("the daemon has started", SOON, async || {
            daemon.log().contains(" started ").then_some(())
        })
        .await;
        daemon
    }

    /// Starts a daemon and waits for nothing.
    pub(crate) fn daemon_unready(&self) -> Daemon {
        self.daemon_unready_with(&[])
    }

    /// The same, with these variables set.
    pub(crate) fn daemon_unready_with(&self, variables: &[(&str, &str)]) -> Daemon {
        let log = self
            .dir
            .path()
            .join(format!("daemon-{}.log", Uuid::new_v4()));
        let child = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .args([
                "--config".as_ref(),
                self.config().as_os_str(),
                "run".as_ref(),
            ])
            .env_remove("DATABASE_URL")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let kills = self.kills.clone();
        Daemon { child, log, kills }
    }

    /// A backup whose daemon was killed after it was stored and before its row could end.
    pub(crate) async fn killed_before_its_row_ends(&self) -> (Uuid, Daemon) {
        let mut holder = self.queue.connect().await;
        holder
            .execute("BEGIN; LOCK TABLE pgdumpd.backup_copies IN EXCLUSIVE MODE")
            .await
            .unwrap();
        let mut killed = self.daemon().await;
        let id = self.enqueue().await;
        eventually("the row's end waits for the lock", SOON, async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks WHERE relation = 'pgdumpd.backup_copies'::regclass AND NOT granted",
            )
            .fetch_one(&self.pool)
            .await
            .unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        killed.kill();
        // What it had asked for must not happen after its death.
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
             WHERE relation = 'pgdumpd.backup_copies'::regclass AND NOT granted",
        )
        .execute(&self.pool)
        .await
        .unwrap();
        holder.execute("ROLLBACK").await.unwrap();
        (id, killed)
    }
}
