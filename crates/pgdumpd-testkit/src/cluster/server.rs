//! One PostgreSQL server in a folder of its own: create, attach, start, stop.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Flavour;
use crate::binaries::Binaries;
use crate::user::ServerUser;

/// What makes a server quick to start and small; durability is not wanted.
pub(super) const SETTINGS: &str = "\
fsync = off
full_page_writes = off
shared_buffers = 64MB
max_connections = 300
max_prepared_transactions = 10
wal_level = minimal
max_wal_senders = 0
jit = off
lc_messages = 'C'
timezone = 'UTC'
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
log_line_prefix = '%m [%p] %q%u@%d %a '
";

pub(super) const HBA: &str = "\
local all all trust
local replication postgres trust
host all rejected 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
";

/// How often to try another port when someone else took the one just found free.
const PORT_ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) binaries: Binaries,
    pub(super) directory: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) port: u16,
    pub(super) flavour: Flavour,
    user: ServerUser,
}

impl Server {
    /// Initialises a cluster in `directory` and starts it.
    pub(super) async fn create(binaries: Binaries, directory: PathBuf, flavour: Flavour) -> Server {
        blocking(move || Server::create_now(binaries, directory, flavour, Server::initdb)).await
    }

    /// The same, with a copy of this running server instead of an empty one.
    pub(super) async fn copy(&self, directory: PathBuf, flavour: Flavour) -> Server {
        let binaries = self.binaries.clone();
        let (socket_dir, port) = (self.socket_dir.clone(), self.port);
        blocking(move || {
            Server::create_now(binaries, directory, flavour, |server| {
                server.base_backup(&socket_dir, port);
            })
        })
        .await
    }

    /// The server that runs in `directory`, if one does.
    pub(super) async fn attach(
        binaries: &Binaries,
        directory: &Path,
        flavour: &Flavour,
    ) -> Option<Server> {
        let (binaries, directory) = (binaries.clone(), directory.to_owned());
        let flavour = flavour.clone();
        blocking(move || {
            if !directory.join("ready").exists() {
                return None;
            }
            let port = fs::read_to_string(directory.join("port"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            let server = Server::at(binaries, directory, port, flavour);
            server.runs().then_some(server)
        })
        .await
    }

    /// Stops the server; `mode` as pg_ctl knows it.
    pub(super) async fn stop(&self, mode: &str) {
        let mut command = self.pg_ctl();
        command.args(["stop", "-m", mode]);
        blocking(move || run(command)).await;
    }

    /// Starts the stopped server on the port it had.
    pub(super) async fn start(&self) {
        let command = self.start_command();
        blocking(move || run(command)).await;
    }

    fn at(binaries: Binaries, directory: PathBuf, port: u16, flavour: Flavour) -> Server {
        let socket_dir = directory.join("socket");
        Server {
            binaries,
            directory,
            socket_dir,
            port,
            flavour,
            user: ServerUser::current(),
        }
    }

    fn create_now(
        binaries: Binaries,
        directory: PathBuf,
        flavour: Flavour,
        fill: impl FnOnce(&Server),
    ) -> Server {
        let mut server = Server::at(binaries, directory, 0, flavour);
        server.clear();
        fill(&server);
        server.configure();
        for attempt in 1.. {
            server.port = free_port();
            server.write("port", &server.port.to_string());
            let mut command = server.start_command();
            match command.status() {
                Ok(status) if status.success() => break,
                _ => assert!(
                    attempt < PORT_ATTEMPTS,
                    "the server does not start: {}",
                    server.log()
                ),
            }
        }
        server.write("ready", "");
        server
    }

    /// Removes what a crashed machine or a killed starter left.
    fn clear(&self) {
        for name in ["ready", "log"] {
            let _ = fs::remove_file(self.directory.join(name));
        }
        for name in ["data", "socket"] {
            let path = self.directory.join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path)
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o700)))
                .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
            self.user.own(&path);
        }
        self.write("log", "");
        self.user.own(&self.directory.join("log"));
        self.write("bin", &self.binaries.dir.to_string_lossy());
    }

    fn initdb(&self) {
        let mut command = self.user.command(&self.binaries.dir.join("initdb"));
        command
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(self.data());
        run(command);
    }

    fn base_backup(&self, socket_dir: &Path, port: u16) {
        let mut command = self.user.command(&self.binaries.dir.join("pg_basebackup"));
        command
            .args([
                "--username=postgres",
                "--checkpoint=fast",
                "--wal-method=fetch",
            ])
            .arg("--host")
            .arg(socket_dir)
            .args(["--port", &port.to_string(), "-D"])
            .arg(self.data());
        run(command);
        let signal = self.data().join("standby.signal");
        fs::write(&signal, "")
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", signal.display()));
        self.user.own(&signal);
    }

    fn configure(&self) {
        let mut text = format!(
            "{SETTINGS}unix_socket_directories = '{}'\n",
            self.socket_dir.display()
        );
        for (key, value) in &self.flavour.settings {
            text.push_str(&format!("{key} = '{}'\n", value.replace('\'', "''")));
        }
        self.write("data/postgresql.auto.conf", &text);
        self.write("data/pg_hba.conf", HBA);
    }

    fn start_command(&self) -> Command {
        let mut command = self.pg_ctl();
        command
            .arg("start")
            .arg("-l")
            .arg(self.directory.join("log"));
        command.args(["-o", &format!("-p {}", self.port)]);
        // The server inherits them: a test runner would wait for their end.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn pg_ctl(&self) -> Command {
        let mut command = self.user.command(&self.binaries.dir.join("pg_ctl"));
        command
            .envs(self.flavour.environment.iter().cloned())
            .args(["-s", "-w", "-t", "60", "-D"])
            .arg(self.data());
        command
    }

    /// Whether the process of the pid file is this cluster's: after a crash the number may be
    /// another's. A server that is only slow to answer must not be taken for dead.
    fn runs(&self) -> bool {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let pid = pid_file.lines().next().unwrap_or_default();
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.data())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}

/// A port of 127.0.0.1 that nobody listened on a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|error| panic!("no free port: {error}"))
        .port()
}

/// Runs a command to its end, and panics with what it said if it fails.
fn run(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command.get_program()));
    assert!(
        output.status.success(),
        "{:?} failed ({}): {}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the test's runtime ended: {error}"),
        },
    }
}
