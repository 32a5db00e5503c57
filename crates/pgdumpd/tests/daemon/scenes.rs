//! Situations that several tests begin with: a dump that surely runs, one that is frozen, what a job's
//! attempts came to.

use chrono::{DateTime, Utc};
use pgdumpd_testkit::{Database, eventually};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// One row of `backup_attempts`.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) worker_id: Uuid,
    pub(crate) outcome: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) object_key: Option<String>,
}

impl World {
    /// Adds a target with a database of its own, for daemons started or reloaded from now on.
    pub(crate) async fn add_target(&mut self, name: &str) -> Database {
        let database = self.cluster.database().await;
        let url = quoted(&database.url());
        self.set(&format!("targets.{name}"), "url", url);
        database
    }

    /// The job's attempts, in order.
    pub(crate) async fn attempts(&self, job: Uuid) -> Vec<Attempt> {
        sqlx::query(
            "SELECT worker_id, outcome, started_at, ended_at, object_key
             FROM pgdumpd.backup_attempts WHERE job_id = $1 ORDER BY started_at",
        )
        .bind(job)
        .map(|row: PgRow| Attempt {
            worker_id: row.get("worker_id"),
            outcome: row.get("outcome"),
            started_at: row.get("started_at"),
            ended_at: row.get("ended_at"),
            object_key: row.get("object_key"),
        })
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// The attempts' outcomes, in order.
    pub(crate) async fn outcomes(&self, job: Uuid) -> Vec<String> {
        let attempts = self.attempts(job).await;
        attempts.into_iter().map(|each| each.outcome).collect()
    }

    /// The queue's clock.
    pub(crate) async fn now(&self) -> DateTime<Utc> {
        sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Holds a lock on a table of `shop` that every dump waits for until the connection is closed: a dump
    /// that runs for as long as the test likes, and obeys signals. (A partitioned table: looking at the size of
    /// an ordinary one would wait for the lock, too.)
    pub(crate) async fn hold_dumps(&self) -> PgConnection {
        self.shop
            .execute("CREATE TABLE IF NOT EXISTS held (a int) PARTITION BY LIST (a)")
            .await;
        let mut holder = self.shop.connect().await;
        holder
            .execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        holder
    }

    /// Waits until the daemon's dump of `shop` waits for the lock of [`World::hold_dumps`]; its pg_dump.
    pub(crate) async fn held(&self, daemon: &Daemon) -> Pid {
        let mut asking = self.shop.connect().await;
        eventually("a dump waits for the lock", SOON, async || {
            let waiting: Vec<String> = sqlx::query_scalar(
                "SELECT application_name FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'pgdumpd %' AND wait_event_type = 'Lock'",
            )
            .fetch_all(&mut asking)
            .await
            .unwrap();
            let mut dumps = daemon.pg_dumps().into_iter();
            dumps.find(|pid| waiting.iter().any(|name| is_called(*pid, name)))
        })
        .await
    }

    /// Waits until rows of the job flow, and freezes its pg_dump.
    pub(crate) async fn frozen(&self, job: Uuid, daemon: &Daemon) -> Frozen {
        self.dumping(job).await;
        let pids = daemon.pg_dumps();
        assert_eq!(pids.len(), 1, "{}", daemon.log());
        kill_process(pids[0], Signal::STOP).unwrap();
        let frozen = Frozen(pids[0]);
        eventually("pg_dump stands still", SOON, async || {
            (process_state(frozen.0) == Some('T')).then_some(())
        })
        .await;
        frozen
    }
}

/// Whether a process has this name for the server.
fn is_called(pid: Pid, application_name: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_pid()));
    let wanted = format!("PGAPPNAME={application_name}");
    environment.is_ok_and(|all| {
        all.split(|byte| *byte == 0)
            .any(|one| one == wanted.as_bytes())
    })
}

/// A process's state as `ps` shows it; none when it is gone.
pub(crate) fn process_state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Gone, or dead and only not yet waited for by whoever inherited it.
pub(crate) fn has_ended(pid: Pid) -> bool {
    matches!(process_state(pid), None | Some('Z' | 'X'))
}

/// A pg_dump that was stopped by SIGSTOP; killed when dropped.
pub(crate) struct Frozen(Pid);

impl Frozen {
    /// Waits until it has ended. Where its daemon is dead, the kernel thaws it: a stopped process group
    /// that is orphaned gets SIGHUP and SIGCONT.
    pub(crate) async fn gone(&self) {
        eventually("the frozen pg_dump has ended", SOON, async || {
            has_ended(self.0).then_some(())
        })
        .await;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !has_ended(self.0) {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}
