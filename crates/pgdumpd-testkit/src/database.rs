//! A test's own database, and roles to reach it with.

use std::fmt::Write as _;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use crate::cluster::Cluster;

/// A fresh database with a unique name, owned by the superuser `postgres`.
///
/// It is dropped some time after the test's process has ended.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    socket_dir: String,
    port: u16,
}

/// A LOGIN role with a password that has to be escaped in URLs and in password files.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name, which needs no quotes.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Database {
    /// A handle on a database that exists already, for example one that a restore made.
    #[must_use]
    pub fn existing(cluster: &Cluster, name: &str) -> Database {
        Database {
            name: name.to_owned(),
            socket_dir: cluster.socket_dir().to_string_lossy().into_owned(),
            port: cluster.port(),
        }
    }

    /// Its name, which needs no quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL for the superuser over the unix socket, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// A URL for `role` over the unix socket, which trusts everyone.
    #[must_use]
    pub fn url_as(&self, role: &str) -> String {
        let host = percent_encoded(&self.socket_dir);
        format!(
            "postgres://{}@{host}:{}/{}",
            percent_encoded(role),
            self.port,
            self.name
        )
    }

    /// A URL for `role` over TCP on 127.0.0.1, which asks for the password (SCRAM).
    #[must_use]
    pub fn tcp_url(&self, role: &Role) -> String {
        self.url_on_port(role, self.port)
    }

    /// As [`Database::tcp_url`], on another port of 127.0.0.1: a [`crate::Proxy`]'s.
    #[must_use]
    pub fn url_on_port(&self, role: &Role, port: u16) -> String {
        let (name, password) = (percent_encoded(&role.name), percent_encoded(&role.password));
        format!(
            "postgres://{name}:{password}@127.0.0.1:{port}/{}",
            self.name
        )
    }

    /// A pool of at most 10 superuser connections.
    pub async fn pool(&self) -> PgPool {
        self.pool_with(self.options()).await
    }

    /// The same, for a test's own statements beside a [`hostile_public`](crate::hostile_public): nothing of `public` is
    /// found unless it is named.
    pub async fn qualified_pool(&self) -> PgPool {
        let options = self.options().options([("search_path", "pg_catalog")]);
        self.pool_with(options).await
    }

    async fn pool_with(&self, options: PgConnectOptions) -> PgPool {
        PgPoolOptions::new()
            .max_connections(10)
            .connect_with(options)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name))
    }

    /// One superuser connection.
    pub async fn connect(&self) -> PgConnection {
        self.options()
            .connect()
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name))
    }

    /// Runs `sql`, which may hold several statements, as superuser.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{error}, in: {}", excerpt(sql)));
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(self.port)
            .username("postgres")
            .database(&self.name)
    }
}

fn excerpt(sql: &str) -> String {
    sql.chars().take(300).collect()
}

/// Escapes everything but letters, digits and `-._~`.
pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
