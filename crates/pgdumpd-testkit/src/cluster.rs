//! PostgreSQL clusters: the shared ones of a test run, and private ones that a test may break.

pub(crate) mod directory;
mod language;
mod server;
mod shared;
mod standby;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::binaries::{Binaries, MAJORS};
use crate::database::{Database, Role};
use crate::eventually::eventually;
use crate::skip::Needs;
use directory::Lease;
pub use language::{Language, cluster_speaking};
use server::Server;

/// In what a cluster differs from the usual one.
#[derive(Clone, Debug, Default)]
struct Flavour {
    /// Beyond the usual ones, and instead of them.
    settings: Vec<(String, String)>,
    /// What its server finds in its environment beyond the usual.
    environment: Vec<(&'static str, String)>,
}

impl Flavour {
    fn new(settings: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            settings: settings.iter().map(owned).collect(),
            environment: Vec::new(),
        }
    }
}

/// A running PostgreSQL server: trust on its unix socket, SCRAM on 127.0.0.1.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    /// Held as long as this process uses the cluster; without it the watchdog stops the server.
    _lease: Lease,
}

/// The run's shared cluster of the default major, started by whoever needs it first.
///
/// Tests share it: they must not change its settings, stop it, or rely on what else is in it.
pub async fn cluster() -> &'static Cluster {
    static DEFAULT: OnceCell<Cluster> = OnceCell::const_new();
    DEFAULT
        .get_or_init(|| async { shared::join(Binaries::default_major(), Flavour::default()).await })
        .await
}

/// A shared cluster of another major (14 to 18), where its programs are installed.
///
/// Where they are not, says so on stderr and returns None, for the test to return early.
///
/// # Panics
/// When they are not installed and `PGDUMPD_TEST_ALL_MAJORS` is set.
pub async fn cluster_of(major: u32) -> Option<&'static Cluster> {
    static MAJOR: [OnceCell<Cluster>; 5] = [const { OnceCell::const_new() }; 5];
    assert!(
        MAJORS.contains(&major),
        "no tests are meant for PostgreSQL {major}"
    );
    let Some(binaries) = Binaries::of(major) else {
        let missing =
            format!("PostgreSQL {major} is not installed: run script/bootstrap --all-majors");
        Needs::AllMajors.missing(&missing);
        return None;
    };
    let cell = &MAJOR[(major - MAJORS.start()) as usize];
    let join = || shared::join(binaries, Flavour::default());
    Some(cell.get_or_init(join).await)
}

impl Cluster {
    /// Starts a cluster that this test alone uses and may stop, start and kill; `settings` go
    /// into its configuration. It is stopped and removed on drop, or when the process dies.
    pub async fn start_private(settings: &[(&str, &str)]) -> Cluster {
        Cluster::start_private_with(Binaries::default_major(), Flavour::new(settings)).await
    }

    /// As [`Cluster::start_private`], of another major; None where that is not installed.
    pub async fn start_private_of(major: u32, settings: &[(&str, &str)]) -> Option<Cluster> {
        let flavour = Flavour::new(settings);
        Some(Cluster::start_private_with(Binaries::of(major)?, flavour).await)
    }

    async fn start_private_with(binaries: Binaries, flavour: Flavour) -> Cluster {
        let (directory, lease) = directory::private().await;
        let server = Server::create(binaries, directory, flavour).await;
        Cluster {
            server,
            _lease: lease,
        }
    }

    /// Stops the server as an administrator does: sessions are ended, nothing is lost.
    pub async fn stop(&self) {
        self.server.stop("fast").await;
    }

    /// Stops the server as a crash does: no goodbye, and recovery at the next start.
    pub async fn kill(&self) {
        self.server.stop("immediate").await;
    }

    /// Starts a stopped server again, on the same port, and waits until it takes connections.
    pub async fn start(&self) {
        self.server.start().await;
    }

    /// Its major version.
    pub fn major(&self) -> u32 {
        self.server.binaries.major
    }

    /// The folder with its programs.
    pub fn bin_dir(&self) -> PathBuf {
        self.server.binaries.dir.clone()
    }

    /// The path of one of its programs.
    pub fn bin(&self, tool: &str) -> PathBuf {
        self.server.binaries.dir.join(tool)
    }

    /// The folder of its unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.server.socket_dir
    }

    /// Its port, of the socket and on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The folder that holds its files; `log` in it is the server's log.
    pub fn directory(&self) -> &Path {
        &self.server.directory
    }

    /// Creates an empty database from `template0`.
    pub async fn database(&self) -> Database {
        self.database_of("template0").await
    }

    async fn database_of(&self, template: &str) -> Database {
        // The watchdog drops databases whose process is gone: it reads the pid in the name.
        let name = format!("t{}_{}", std::process::id(), &unique()[..12]);
        self.administer(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await;
        Database::existing(self, &name)
    }

    /// Creates a database as a copy of one that whoever comes first prepares: what all tests begin with is done once.
    ///
    /// `kind` names it, `made_of` is the text that it is made of: another text is another template.
    pub async fn prepared_database(
        &self,
        kind: &str,
        made_of: &str,
        prepare: impl AsyncFnOnce(&Database),
    ) -> Database {
        let template = format!("prepared_{kind}_{:08x}", shared::fnv(made_of));
        let mut connection = self.administrator().await;
        let sql = |sql: String| AssertSqlSafe(sql);
        // Ends with this connection, also where the preparation panics.
        let lock = format!("SELECT pg_advisory_lock(hashtext('{template}'))");
        connection
            .execute(sql(lock))
            .await
            .expect("the cluster answers");
        let is_ready =
            format!("SELECT FROM pg_database WHERE datname = '{template}' AND datistemplate");
        let ready = connection
            .fetch_optional(sql(is_ready))
            .await
            .expect("the cluster answers");
        if ready.is_none() {
            for statement in [
                format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"),
                format!("CREATE DATABASE {template} TEMPLATE template0"),
            ] {
                connection
                    .execute(sql(statement))
                    .await
                    .expect("the cluster answers");
            }
            prepare(&Database::existing(self, &template)).await;
            let done =
                format!("ALTER DATABASE {template} IS_TEMPLATE true ALLOW_CONNECTIONS false");
            connection
                .execute(sql(done))
                .await
                .expect("the cluster answers");
            // Nothing may be connected to what is copied.
            let end = format!(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{template}'"
            );
            connection
                .execute(sql(end))
                .await
                .expect("the cluster answers");
        }
        connection.close().await.expect("the cluster answers");
        self.database_of(&template).await
    }

    /// Creates a LOGIN role; `attributes` as in CREATE ROLE, for example `"CREATEDB"` or `""`.
    pub async fn role(&self, attributes: &str) -> Role {
        let name = format!("r{}_{}", std::process::id(), &unique()[..12]);
        let password = format!(r"p:a\s@s%/{}", &unique()[..16]);
        self.administer(&format!(
            "CREATE ROLE {name} LOGIN {attributes} PASSWORD '{password}'"
        ))
        .await;
        Role { name, password }
    }

    async fn administer(&self, sql: &str) {
        let mut connection = self.administrator().await;
        connection
            .execute(AssertSqlSafe(sql))
            .await
            .unwrap_or_else(|error| panic!("{error}, in: {sql}"));
    }

    async fn administrator(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.server.socket_dir)
            .port(self.server.port)
            .username("postgres")
            .database("postgres");
        // "sorry, too many clients already" passes when other tests end.
        eventually(
            "connect to the cluster",
            Duration::from_secs(30),
            async || options.connect().await.ok(),
        )
        .await
    }
}

fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}
