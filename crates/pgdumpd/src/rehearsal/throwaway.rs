//! A PostgreSQL that exists only for a rehearsal: reached by a socket alone, and gone afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, Command};

use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::server::Restored;

/// How long a new server may take to let somebody in.
const START_LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A socket's path may not be longer.
const SOCKET_BYTES: usize = 107;
/// The role that owns it.
const OWNER: &str = "postgres";
/// The port is only a part of the socket's name.
const PORT: u16 = 5432;

/// Runs the server until standard input ends, also when whoever holds the other end was killed: nothing is left then.
const KEEPER: &str = r#"
trap '' TERM INT HUP
folder=$1; shift
nice -n 10 "$@" >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// What nobody needs of a server that is thrown away.
const SETTINGS: [&str; 11] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=2GB",
    "shared_buffers=128MB",
    "maintenance_work_mem=128MB",
    "unix_socket_permissions=0700",
];

/// A running one.
#[derive(Debug)]
pub(super) struct Throwaway {
    folder: PathBuf,
    keeper: Child,
    /// The server ends with it.
    held: Option<ChildStdin>,
}

impl Throwaway {
    /// Makes one below a folder with the programs of `bin`, and waits until it lets us in.
    ///
    /// # Errors
    /// `rehearsal_refused`.
    pub(super) async fn start(bin: &Path, below: &Path) -> Result<Self, Fault> {
        if rustix::process::geteuid().is_root() {
            return Err(refused("PostgreSQL runs no server as root")
                .hint("Run it as the daemon's user: sudo -u pgdumpd pgdumpd rehearse …"));
        }
        for program in ["initdb", "postgres"] {
            if !bin.join(program).is_file() {
                let what = format!("there is no {}", bin.join(program).display());
                return Err(refused(&what).hint(
                    "A rehearsal runs a server of its own: install PostgreSQL's server package of this version, too.",
                ));
            }
        }
        let folder = TempDir::with_prefix_in("pgdumpd-rehearsal-", below)
            .map_err(|error| refused("no folder can be made for the server").caused_by(error))?;
        if folder.path().join(".s.PGSQL.5432").as_os_str().len() > SOCKET_BYTES {
            let what = format!(
                "the path of {} is too long for a socket",
                folder.path().display()
            );
            return Err(refused(&what).hint("Name a folder with a shorter path: --directory."));
        }
        initialize(bin, folder.path()).await?;
        // From here on the keeper removes it.
        let folder = folder.keep();
        let mut server = Self::run(bin, &folder)?;
        server.wait().await?;
        Ok(server)
    }

    fn run(bin: &Path, folder: &Path) -> Result<Self, Fault> {
        let cannot = |error| refused("the server cannot be started").caused_by(error);
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "sh"])
            .arg(folder)
            .arg(bin.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Neither Ctrl-C may reach the server but through us.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let held = keeper.stdin.take();
        Ok(Self {
            folder: folder.to_owned(),
            keeper,
            held,
        })
    }

    async fn wait(&mut self) -> Result<(), Fault> {
        let url = self.url("postgres")?;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            match Restored::connect(&url, None).await {
                Ok(_) => return Ok(()),
                Err(fault) if tokio::time::Instant::now() > deadline => {
                    let log = tokio::fs::read_to_string(self.folder.join("log")).await;
                    let last = log.unwrap_or_default();
                    let last = last.lines().last().unwrap_or_default().to_owned();
                    return Err(
                        refused(&format!("the server does not start: {last}")).caused_by(fault)
                    );
                }
                Err(_) => tokio::time::sleep(STEP).await,
            }
        }
    }

    /// The address of a database of it.
    ///
    /// # Errors
    /// `rehearsal_refused`.
    pub(super) fn url(&self, database: &str) -> Result<DatabaseUrl, Fault> {
        let host = self.folder.display().to_string().replace('/', "%2F");
        let url = format!("postgres://{OWNER}@{host}:{PORT}/{database}");
        DatabaseUrl::parse(&url)
            .map_err(|error| refused("the folder's path makes no address").caused_by(error))
    }

    /// Ends it. Its folder is gone when this returns.
    pub(super) async fn stop(mut self) {
        drop(self.held.take());
        if tokio::time::timeout(STOP_LIMIT, self.keeper.wait())
            .await
            .is_err()
        {
            tracing::warn!(folder = %self.folder.display(), "the rehearsal's server does not end");
        }
    }
}

async fn initialize(bin: &Path, folder: &Path) -> Result<(), Fault> {
    let log = folder.join("initdb.log");
    let cannot = |error| refused("initdb cannot be run").caused_by(error);
    let file = File::create(&log).map_err(cannot)?;
    let status = Command::new(bin.join("initdb"))
        .arg("--pgdata")
        .arg(folder.join("data"))
        // Nobody else reaches the folder, and so the socket.
        .args(["--auth=trust", "--username", OWNER, "--no-sync"])
        .args(["--locale=C", "--encoding=UTF8", "--no-instructions"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(cannot)?)
        .stderr(file)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let said = tokio::fs::read_to_string(&log).await.unwrap_or_default();
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Err(refused(&format!(
        "initdb ended with {status}: {}",
        last.unwrap_or_default()
    )))
}

pub(super) fn refused(what: &str) -> Fault {
    Fault::permanent(Code::RehearsalRefused, what)
}
