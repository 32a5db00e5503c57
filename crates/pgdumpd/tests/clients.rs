//! The scripts of `examples/` as an application would run them: against a real daemon that knows nothing
//! but `DATABASE_URL` and a directory, with the rights of a producer.
#![expect(
    clippy::unwrap_used,
    reason = "test code: what is not as expected ends the test"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pgdumpd_testkit::{Cluster, Database, Role, cluster, eventually};
use sqlx::{PgPool, Row as _};
use tempfile::TempDir;

/// No condition of these tests takes nearly so long.
const DEADLINE: Duration = Duration::from_secs(60);

async fn a_script_follows_a_backup_to_its_end(script: Script) {
    let service = Service::start().await;
    let ran = service.run(script, false).await;
    assert_eq!(
        ran.code,
        Some(script.exit_codes().succeeded),
        "{}",
        ran.text
    );
    let (state, size, sha256) = service.job().await;
    assert_eq!(state, "succeeded");
    for word in ["100.0 %  succeeded", sha256.unwrap().as_str()] {
        assert!(ran.text.contains(word), "{word}: {}", ran.text);
    }
    assert!(
        service.stored().contains(&size.unwrap()),
        "the object is in the storage"
    );
}

async fn a_script_cancels_a_running_backup(script: Script) {
    let service = Service::start().await;
    // pg_dump waits for this lock, so the job runs until it is cancelled.
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let ran = service.run(script, true).await;
    assert_eq!(
        ran.code,
        Some(script.exit_codes().cancelled),
        "{}",
        ran.text
    );
    for word in ["running", "cancel: cancelling", "cancelled"] {
        assert!(ran.text.contains(word), "{word}: {}", ran.text);
    }
    assert_eq!(service.job().await, ("cancelled".to_owned(), None, None));
    assert_eq!(
        service.stored(),
        Vec::<i64>::new(),
        "nothing of it is left in the storage"
    );
}

async fn a_script_says_what_the_server_said(script: Script) {
    let cluster = cluster().await;
    let database = cluster.database().await;
    let ran = script.run(cluster, &database.url(), "shop", false).await;
    assert_eq!(ran.code, Some(script.exit_codes().refused), "{}", ran.text);
    assert!(
        ran.text.contains("schema \"pgdumpd\" does not exist"),
        "{}",
        ran.text
    );
}

macro_rules! tests_of_each {
    ($($module:ident $script:ident),*) => {$(
        mod $module {
            use super::Script::$script;

            #[tokio::test]
            async fn follows_a_backup_to_its_end() {
                super::a_script_follows_a_backup_to_its_end($script).await;
            }

            #[tokio::test]
            async fn cancels_a_running_backup() {
                super::a_script_cancels_a_running_backup($script).await;
            }

            #[tokio::test]
            async fn says_what_the_server_said() {
                super::a_script_says_what_the_server_said($script).await;
            }
        }
    )*};
}
tests_of_each!(psql Psql, python Python, node Node);

#[derive(Clone, Copy, Debug)]
enum Script {
    Psql,
    Python,
    Node,
}

/// What a script documents.
struct ExitCodes {
    succeeded: i32,
    cancelled: i32,
    refused: i32,
}

/// What a script did.
struct Ran {
    code: Option<i32>,
    text: String,
}

impl Script {
    fn exit_codes(self) -> ExitCodes {
        ExitCodes {
            succeeded: 0,
            cancelled: 3,
            refused: if matches!(self, Self::Psql) { 3 } else { 1 },
        }
    }

    /// Runs it to ask the queue at `url` for a backup of `target`.
    async fn run(self, cluster: &Cluster, url: &str, target: &str, cancel: bool) -> Ran {
        let mut command = match self {
            Self::Psql => psql(cluster, url, target, cancel),
            Self::Python => {
                let mut python = Command::new(python_environment().join("bin/python"));
                python.arg(examples().join("python/backup.py")).arg(target);
                python
            }
            Self::Node => {
                let mut node = Command::new("node");
                node.arg(node_environment().join("backup.mjs")).arg(target);
                node
            }
        };
        if !matches!(self, Self::Psql) {
            command
                .env("DATABASE_URL", url)
                .args(cancel.then_some("--cancel"))
                .stdin(Stdio::null());
        }
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Guarded(Some(pipes.spawn().unwrap()));
        eventually(&format!("{self:?} ends"), DEADLINE, async || child.ended()).await;
        let output = child.output();
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ran {
            code: output.status.code(),
            text: text.concat(),
        }
    }
}

fn psql(cluster: &Cluster, url: &str, target: &str, cancel: bool) -> Command {
    let mut psql = Command::new(cluster.bin("psql"));
    psql.args([
        "--no-psqlrc",
        "--dbname",
        url,
        "--variable",
        &format!("target={target}"),
    ]);
    if cancel {
        psql.args(["--variable", "cancel=yes"]);
    }
    psql.stdin(File::open(examples().join("psql/backup.sql")).unwrap());
    psql
}

/// A script that does not end is killed with its test.
struct Guarded(Option<Child>);

impl Guarded {
    fn ended(&mut self) -> Option<()> {
        self.0.as_mut()?.try_wait().unwrap().map(|_| ())
    }

    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A daemon that was told a database's address and a directory, and an application's role.
struct Service {
    cluster: &'static Cluster,
    database: Database,
    pool: PgPool,
    storage: TempDir,
    producer: Role,
    daemon: Child,
}

impl Service {
    async fn start() -> Self {
        let cluster = cluster().await;
        let database = cluster.database().await;
        database
            .execute(
                "CREATE TABLE orders AS SELECT n, md5(n::text) FROM generate_series(1, 1000) AS n",
            )
            .await;
        let storage = tempfile::tempdir().unwrap();
        let pool = database.pool().await;
        let producer = cluster.role("").await;
        let daemon = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .arg("run")
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .env("DATABASE_URL", database.url())
            .env("PGDUMPD_STORAGE", storage.path())
            .env("PGDUMPD_LOG__FILTER", "warn")
            .env("PGDUMPD_PG_DUMP__DIRECTORIES", cluster.bin_dir())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self {
            cluster,
            database,
            pool,
            storage,
            producer,
            daemon,
        };
        eventually(
            "the daemon has migrated and serves the database",
            DEADLINE,
            async || {
                sqlx::query("SELECT FROM pgdumpd.workers WHERE $1 = ANY (targets)")
                    .bind(service.database.name())
                    .fetch_optional(&service.pool)
                    .await
                    .ok()
                    .flatten()
            },
        )
        .await;
        let grant = format!("SELECT pgdumpd.grant_producer('{}')", service.producer.name);
        service.database.execute(&grant).await;
        service
    }

    async fn run(&self, script: Script, cancel: bool) -> Ran {
        let url = self.database.tcp_url(&self.producer);
        script
            .run(self.cluster, &url, self.database.name(), cancel)
            .await
    }

    /// The state, size and SHA-256 of the only job.
    async fn job(&self) -> (String, Option<i64>, Option<String>) {
        let row = sqlx::query("SELECT state, size_bytes, sha256 FROM pgdumpd.backup_jobs")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        (row.get("state"), row.get("size_bytes"), row.get("sha256"))
    }

    /// The sizes of all files in the storage.
    fn stored(&self) -> Vec<i64> {
        let mut sizes = Vec::new();
        let mut folders = vec![self.storage.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("pgdumpd-storage.json") {
                    sizes.push(i64::try_from(path.metadata().unwrap().len()).unwrap());
                }
            }
        }
        sizes.sort_unstable();
        sizes
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A daemon that is asked ends its pg_dump and that one's session too.
        let daemon = rustix::process::Pid::from_child(&self.daemon);
        let asked = rustix::process::kill_process(daemon, rustix::process::Signal::TERM);
        let asked_at = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) {
            if asked.is_err() || asked_at.elapsed() > DEADLINE {
                let _ = self.daemon.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn examples() -> PathBuf {
    workspace().join("examples")
}

/// A virtual environment with what `requirements.txt` pins.
fn python_environment() -> PathBuf {
    let requirements = examples().join("python/requirements.txt");
    prepared("examples-python", &[&requirements], |folder| {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder));
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ];
        run(Command::new(folder.join("bin/python"))
            .args(pip)
            .arg(&requirements));
    })
}

/// A folder with the script and what its lock file pins, so that the source tree stays clean.
fn node_environment() -> PathBuf {
    let from = examples().join("node");
    let files = ["package.json", "package-lock.json", "backup.mjs"].map(|name| from.join(name));
    prepared(
        "examples-node",
        &files.each_ref().map(PathBuf::as_path),
        |folder| {
            for file in &files {
                fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
            }
            let ci = ["ci", "--silent", "--no-audit", "--no-fund"];
            run(Command::new("npm").args(ci).current_dir(folder));
        },
    )
}

/// A folder in the cache that `prepare` has filled from exactly these files: once, by whichever test comes first.
fn prepared(name: &str, made_from: &[&Path], prepare: impl FnOnce(&Path)) -> PathBuf {
    let cache = std::env::var_os("PGDUMPD_CACHE");
    let cache = cache.map_or_else(|| workspace().join(".cache"), PathBuf::from);
    let folder = cache.join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let stamp = cache.join(format!("{name}.stamp"));
    let wanted: String = made_from
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return folder;
    }
    prepare(&folder);
    fs::write(stamp, wanted).unwrap();
    folder
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| missing(command.get_program(), &error));
    assert!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[expect(clippy::panic, reason = "a broken test environment ends the test")]
fn missing(program: &OsStr, error: &std::io::Error) -> ! {
    panic!(
        "{} does not start ({error}): run script/bootstrap",
        program.display()
    )
}
