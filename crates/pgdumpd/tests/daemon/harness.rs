//! A world of its own for each test: a queue, target databases, a storage, and daemons as processes.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pgdumpd::store::Manifest;
use pgdumpd_client::{BackupRequest, Cancelled, JobState, JobStatus};
use pgdumpd_testkit::{Cluster, Database, FakePgDump, cluster, eventually, hostile_public};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Executor as _, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

/// Long enough for a machine that does something else, too.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A queue in a database of its own, one target `shop`, one storage `local`.
pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) queue: Database,
    pub(crate) shop: Database,
    pub(crate) pool: PgPool,
    pub(crate) dir: TempDir,
    settings: Vec<(String, String, String)>,
}

impl World {
    /// Migrated, with an empty target database.
    pub(crate) async fn new() -> Self {
        Self::on(cluster().await, cluster().await).await
    }

    /// The same, with the queue on a cluster that the test may stop.
    pub(crate) async fn on(queues: &Cluster, cluster: &'static Cluster) -> Self {
        let queue = queues.database().await;
        let shop = cluster.database().await;
        hostile_public(&queue).await;
        let dir = TempDir::with_prefix("pgdumpd-test-").unwrap();
        let pool = queue.qualified_pool().await;
        pgdumpd::migrate::migrate(&pool, &Default::default())
            .await
            .unwrap();
        let mut world = Self {
            cluster,
            queue,
            shop,
            pool,
            dir,
            settings: Vec::new(),
        };
        let (queue_url, shop_url) = (world.queue.url(), world.shop.url());
        let storage = world.storage().display().to_string();
        let bin = cluster.bin_dir().display().to_string();
        for (section, key, value) in [
            ("queue", "url", quoted(&queue_url)),
            ("daemon", "heartbeat", quoted("250ms")),
            ("daemon", "lease", quoted("3s")),
            ("daemon", "poll_interval", quoted("500ms")),
            ("daemon", "drain_timeout", quoted("60s")),
            ("pg_dump", "directories", format!("[{}]", quoted(&bin))),
            ("log", "filter", quoted("info,pgdumpd=debug")),
            ("storages.local", "path", quoted(&storage)),
            ("storages.local", "min_free", quoted("1MiB")),
            ("targets.shop", "url", quoted(&shop_url)),
        ] {
            world.set(section, key, value);
        }
        world
    }

    /// Sets a key of the configuration; `value` as TOML writes it. For daemons started from now on.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: impl Into<String>) {
        self.settings
            .retain(|(s, k, _)| (s.as_str(), k.as_str()) != (section, key));
        self.settings
            .push((section.to_owned(), key.to_owned(), value.into()));
        self.write_config();
    }

    /// Takes a section away. For daemons started or reloaded from now on.
    pub(crate) fn unset(&mut self, section: &str) {
        self.settings.retain(|(s, ..)| s != section);
        self.write_config();
    }

    fn write_config(&self) {
        let mut text = String::new();
        let mut sections: Vec<&str> = self.settings.iter().map(|(s, ..)| s.as_str()).collect();
        sections.sort_unstable();
        sections.dedup();
        for section in sections {
            writeln!(text, "[{section}]").unwrap();
            for (_, key, value) in self.settings.iter().filter(|(s, ..)| s == section) {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        std::fs::write(self.config(), text).unwrap();
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("pgdumpd.toml")
    }

    /// The storage's root.
    pub(crate) fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// Makes the storage, as a daemon does when it starts.
    pub(crate) fn make_storage(&self, id: Uuid) {
        Self::make_storage_at(&self.storage(), id);
    }

    /// Makes a storage there.
    pub(crate) fn make_storage_at(root: &Path, id: Uuid) {
        std::fs::create_dir_all(root).unwrap();
        let marker = format!(r#"{{"format": 1, "storage_id": "{id}"}}"#);
        std::fs::write(root.join("pgdumpd-storage.json"), marker).unwrap();
    }

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
        Daemon { child, log }
    }

    /// Runs a command of the command line to its end.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The id of the queue that its address leads to.
    pub(crate) async fn queue_id(&self) -> Uuid {
        sqlx::query_scalar("SELECT id FROM pgdumpd.queue")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Enqueues a backup of `shop`.
    pub(crate) async fn enqueue(&self) -> Uuid {
        self.enqueue_request(BackupRequest::new("shop")).await
    }

    pub(crate) async fn enqueue_request(&self, request: BackupRequest) -> Uuid {
        pgdumpd_client::enqueue(&self.pool, &request)
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn status(&self, id: Uuid) -> JobStatus {
        pgdumpd_client::status(&self.pool, id)
            .await
            .unwrap()
            .unwrap()
    }

    /// Waits until the job's status answers the question.
    pub(crate) async fn until(
        &self,
        id: Uuid,
        what: &str,
        check: impl Fn(&JobStatus) -> bool,
    ) -> JobStatus {
        eventually(what, SOON, async || {
            Some(self.status(id).await).filter(&check)
        })
        .await
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, id: Uuid) -> JobStatus {
        self.until(id, "the job has ended", |status| status.state.has_ended())
            .await
    }

    /// Waits until the job has succeeded; another end fails the test with its error.
    pub(crate) async fn succeeded(&self, id: Uuid) -> JobStatus {
        let status = self.ended(id).await;
        assert_eq!(status.state, JobState::Succeeded, "{status:#?}");
        status
    }

    /// Waits until the job has failed.
    pub(crate) async fn failed(&self, id: Uuid) -> JobStatus {
        let status = self.ended(id).await;
        assert_eq!(status.state, JobState::Failed, "{status:#?}");
        status
    }

    /// Waits until an attempt of the job has failed and the job is queued again, due later.
    pub(crate) async fn requeued(&self, id: Uuid) -> JobStatus {
        let status = self
            .until(id, "the job's attempt has ended", |status| {
                status.state.has_ended()
                    || (status.state == JobState::Queued && status.error.is_some())
            })
            .await;
        assert_eq!(status.state, JobState::Queued, "{status:#?}");
        // Ten seconds, less at most a half: written a moment ago.
        let due_in: f64 = sqlx::query_scalar("SELECT extract(epoch FROM $1 - now())::float8")
            .bind(status.run_at)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert!((2.0..=10.0).contains(&due_in), "due in {due_in} s");
        status
    }

    /// Makes a queued job due at once.
    pub(crate) async fn make_due(&self, id: Uuid) {
        let made = sqlx::query(
            "WITH due AS (UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE id = $1 AND state = 'queued' RETURNING id)
             SELECT pg_notify('pgdumpd_jobs', '') FROM due",
        )
        .bind(id)
        .execute(&self.pool)
        .await
        .unwrap();
        assert_eq!(made.rows_affected(), 1);
    }

    /// Outcome and error code of each attempt, in order.
    pub(crate) async fn ends(&self, id: Uuid) -> Vec<(String, Option<String>)> {
        sqlx::query_as(
            "SELECT outcome, error_code FROM pgdumpd.backup_attempts WHERE job_id = $1 ORDER BY started_at",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Asks to cancel a job.
    pub(crate) async fn cancel(&self, id: Uuid) -> Cancelled {
        pgdumpd_client::cancel(&self.pool, id).await.unwrap()
    }

    /// Seconds from the request to cancel to the job's end, by the database's clock.
    pub(crate) async fn cancel_took(&self, id: Uuid) -> f64 {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM j.finished_at - c.requested_at)::float8
             FROM pgdumpd.backup_jobs AS j JOIN pgdumpd.backup_cancels AS c ON c.job_id = j.id
             WHERE j.id = $1",
        )
        .bind(id)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Lets daemons from now on use a stand-in for pg_dump.
    pub(crate) fn use_fake(&mut self, fake: &FakePgDump) {
        let dir = quoted(&fake.dir().display().to_string());
        self.set("pg_dump", "directories", format!("[{dir}]"));
    }

    /// An archive of `shop`, made by the real pg_dump as a daemon asks for it.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let output = Command::new(self.cluster.bin("pg_dump"))
            .args([
                "--format=custom",
                "--compress=0",
                "--dbname",
                &self.shop.url(),
            ])
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    }

    /// The manifest of an archive.
    pub(crate) fn manifest(&self, archive: &Path) -> Manifest {
        let text = std::fs::read(format!("{}.manifest.json", archive.display())).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Waits until pg_dump delivers rows of the job.
    pub(crate) async fn dumping(&self, id: Uuid) -> JobStatus {
        self.until(id, "rows flow", |status| {
            status.phase.as_deref() == Some("data")
        })
        .await
    }

    /// The storage's files, relative to its root, without its marker and the daemon's own probes.
    pub(crate) fn files(&self) -> Vec<String> {
        Self::files_in(&self.storage())
    }

    /// The same of another storage.
    pub(crate) fn files_in(root: &Path) -> Vec<String> {
        let mut files = Vec::new();
        collect(root, root, &mut files);
        // The daemon's own check of its storages comes and goes beside the jobs.
        files.retain(|file| file != "pgdumpd-storage.json" && !file.starts_with("pgdumpd-probe-"));
        files.sort();
        files
    }

    /// The archives that have a manifest; every file that is neither of these nor the globals beside one fails the test.
    pub(crate) fn backups(&self) -> Vec<PathBuf> {
        Self::backups_in(&self.storage())
    }

    /// The same of another storage.
    pub(crate) fn backups_in(root: &Path) -> Vec<PathBuf> {
        let files = Self::files_in(root);
        let archives: Vec<&String> = files
            .iter()
            .filter(|file| file.ends_with(".dump") || file.ends_with(".dump.age"))
            .collect();
        for file in &files {
            let globals = [(".globals.sql", ".dump"), (".globals.sql.age", ".dump.age")];
            let archive = globals.iter().find_map(|(end, archive)| {
                let stem = file.strip_suffix(end)?;
                Some(format!("{stem}{archive}"))
            });
            let archive = match archive {
                Some(archive) => archive,
                None => file
                    .strip_suffix(".manifest.json")
                    .unwrap_or(file)
                    .to_owned(),
            };
            assert!(
                archives.contains(&&archive),
                "{file} is no part of a backup: {files:#?}"
            );
        }
        for archive in &archives {
            assert!(
                files.contains(&format!("{archive}.manifest.json")),
                "{archive} has no manifest: {files:#?}"
            );
        }
        archives
            .into_iter()
            .map(|archive| root.join(archive))
            .collect()
    }

    /// Sessions on the target that are a dump's.
    pub(crate) async fn dump_sessions(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT application_name FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'pgdumpd %'",
        )
        .bind(self.shop.name())
        .fetch_all(&mut self.shop.connect().await)
        .await
        .unwrap()
    }

    /// Asserts that nothing is left of any attempt but `backups` whole backups.
    pub(crate) async fn assert_clean(&self, backups: usize) {
        assert_eq!(self.backups().len(), backups, "{:#?}", self.files());
        eventually(
            "no dump's session is left",
            Duration::from_secs(5),
            async || self.dump_sessions().await.is_empty().then_some(()),
        )
        .await;
        self.assert_explained();
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

    /// Asserts that fsck finds nothing in the storages that it reaches, however young it is, but what is there for a
    /// moment: a daemon that checks a storage writes a file into it.
    pub(crate) fn assert_explained(&self) {
        let mut tries = 0;
        loop {
            let said = self.say(&["fsck", "--json", "--safe-age", "0s"]);
            assert!(matches!(said.code, Some(0 | 6)), "{}{}", said.out, said.err);
            let report = said.json();
            let storages = report["storages"].as_array().unwrap();
            let mut findings = storages
                .iter()
                .flat_map(|storage| storage["findings"].as_array().unwrap());
            // What is ok is only told: a backup whose row was deleted.
            if findings.all(|finding| finding["severity"] == "ok") {
                return;
            }
            tries += 1;
            assert!(tries < 50, "{report:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Restores an archive into a new database with the cluster's own pg_restore.
    pub(crate) async fn restore(&self, archive: &Path) -> Database {
        let database = self.cluster.database().await;
        let output = Command::new(self.cluster.bin("pg_restore"))
            .args(["--exit-on-error", "--dbname", &database.url()])
            .arg(archive)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        database
    }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A daemon's process; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
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

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Fails the test unless the command ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl World {
    /// Runs a command of the command line to its end.
    pub(crate) fn say(&self, arguments: &[&str]) -> Said {
        self.cli(arguments).into()
    }
}
