//! A PgBouncer in front of a cluster.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::database::Database;
use crate::debian;
use crate::eventually::eventually;
use crate::skip::Needs;
use crate::user::ServerUser;

/// A running PgBouncer that leads every database's `postgres` to a cluster; ended on drop.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Pooler {
    /// Starts one in this mode (`session`, `transaction`, `statement`), with these settings beside.
    ///
    /// Where PgBouncer is not installed, says so on stderr and returns None, for the test to return early.
    ///
    /// # Panics
    /// When it is not installed and `PGDUMPD_TEST_POOLER` is set; when it does not start.
    pub async fn start(cluster: &Cluster, mode: &str, settings: &[(&str, &str)]) -> Option<Pooler> {
        let Some(program) = debian::file("/usr/sbin/pgbouncer") else {
            Needs::Pooler.missing("PgBouncer is not installed: script/bootstrap says why");
            return None;
        };
        let folder = TempDir::with_prefix("pgdumpd-pooler-").expect("a temporary folder is made");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port is free")
            .port();
        let pooler = Pooler {
            child: spawn(
                &program,
                folder.path(),
                &configuration(cluster, port, mode, settings),
            ),
            port,
            folder,
        };
        eventually("PgBouncer listens", Duration::from_secs(20), async || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(pooler)
    }

    /// The address of a database through it.
    #[must_use]
    pub fn url(&self, database: &Database) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{}",
            self.port,
            database.name()
        )
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(cluster: &Cluster, port: u16, mode: &str, settings: &[(&str, &str)]) -> String {
    let mut text = format!(
        "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = users\npool_mode = {mode}\n",
        cluster.socket_dir().display(),
        cluster.port()
    );
    for (key, value) in settings {
        text.push_str(&format!("{key} = {value}\n"));
    }
    text
}

fn spawn(program: &Path, folder: &Path, configuration: &str) -> Child {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    };
    // It refuses root.
    let user = ServerUser::current();
    user.own(folder);
    write("users", "\"postgres\" \"\"\n");
    let file = write("pgbouncer.ini", configuration);
    let log = std::fs::File::create(folder.join("log")).expect("the log can be made");
    user.command(program)
        .arg(file)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()))
}
