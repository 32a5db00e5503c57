//! What a server refuses, and what it says of its data: one target for each, on one server.

use std::os::unix::fs::FileExt as _;

use pgdumpd_client::{BackupRequest, BackupSpec};
use pgdumpd_testkit::{Database, Language, Role};
use uuid::Uuid;

use super::{Ends, checked_daemon, has_failed, is_english, world};
use crate::harness::{World, quoted};

const AUTHENTICATION: Ends = Ends {
    code: "authentication_failed",
    step: "connect",
    again: false,
    hint: "Check the target's user and password, and the server's pg_hba.conf.",
};
const REJECTED: Ends = Ends {
    hint: "Check the target's user and password, and the server's pg_hba.conf: it may ask for TLS (sslmode) or for a \
           client's certificate (sslcert, sslkey).",
    ..AUTHENTICATION
};
const PERMISSION: Ends = Ends {
    code: "permission_denied",
    step: "dump",
    again: false,
    hint: "Grant the backup role what it lacks; `pgdumpd check` lists it.",
};
const ROW_SECURITY: Ends = Ends {
    code: "row_security",
    step: "dump",
    again: false,
    hint: "Give the backup role BYPASSRLS, or dump as the owner of the table.",
};
pub(super) const LIMIT: Ends = Ends {
    code: "too_many_connections",
    step: "dump",
    again: true,
    hint: "The server, the database or the backup role is at its connection limit: a backup needs three connections.",
};

/// A target that fails, how it does, and what an English server says of it.
struct Case {
    name: &'static str,
    ends: Ends,
    english: &'static str,
    tables: &'static [&'static str],
}

/// What makes the targets of a world.
struct Cases {
    world: World,
    all: Vec<Case>,
}

impl Cases {
    /// A database of its own, with a role that may read everything unless the SQL takes that away: `{role}` and
    /// `{database}` in it are their names.
    async fn database(&self, sql: &str) -> (Database, Role) {
        let database = self.world.cluster.database().await;
        let role = self.world.cluster.role("").await;
        let sql = format!("GRANT pg_read_all_data TO {{role}}; {sql}")
            .replace("{role}", &role.name)
            .replace("{database}", database.name());
        database.execute(&sql).await;
        (database, role)
    }

    fn add(&mut self, name: &'static str, url: &str, english: &'static str, ends: Ends) {
        let section = format!("targets.{name}");
        self.world.set(&section, "url", quoted(url));
        self.all.push(Case {
            name,
            ends,
            english,
            tables: &[],
        });
    }

    /// A target whose database is made by this SQL.
    async fn add_made(&mut self, name: &'static str, sql: &str, english: &'static str, ends: Ends) {
        let (database, role) = self.database(sql).await;
        self.add(name, &database.url_as(&role.name), english, ends);
    }

    /// Who is not let in at all.
    async fn who_is_not_let_in(&mut self) {
        let (database, role) = self.database("CREATE TABLE t (id int)").await;
        let other = |name: &str, password: &str| Role {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        for (name, url, english) in [
            (
                "password",
                database.tcp_url(&other(&role.name, "wrong")),
                "password authentication failed",
            ),
            (
                "role",
                database.tcp_url(&other("nosuchrole", "wrong")),
                "password authentication failed",
            ),
        ] {
            self.add(name, &url, english, AUTHENTICATION);
        }
        let rejected = database.tcp_url(&other("rejected", "wrong"));
        self.add("rejected", &rejected, "pg_hba.conf rejects", REJECTED);
        let missing = Database::existing(self.world.cluster, "nosuchdatabase");
        self.add(
            "database",
            &missing.url_as(&role.name),
            "does not exist",
            Ends {
                code: "database_missing",
                step: "connect",
                again: false,
                hint: "Check the database's name in the target's url.",
            },
        );
        self.add_made(
            "connect",
            "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
            "permission denied for database",
            Ends {
                code: "permission_denied",
                step: "connect",
                again: false,
                hint: "Grant CONNECT on the database to the backup role.",
            },
        )
        .await;
    }

    /// A database that lets nobody in.
    async fn closed(&mut self) {
        let (database, role) = self.database("").await;
        let close = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name());
        self.world.shop.execute(&close).await;
        self.add(
            "closed",
            &database.url_as(&role.name),
            "is not currently accepting connections",
            Ends {
                code: "database_closed",
                step: "connect",
                again: false,
                hint: "The database has ALLOW_CONNECTIONS false.",
            },
        );
    }

    /// Limits of connections: for anybody, and for pg_dump alone, beside our own connection.
    async fn limits(&mut self) {
        let at_connect = || Ends {
            step: "connect",
            hint: "The server, the database or the backup role is at its connection limit; raise it, or let the \
                   backup run at another time.",
            ..LIMIT
        };
        for (name, sql, english) in [
            (
                "role_limit",
                "ALTER ROLE {role} CONNECTION LIMIT 0",
                "too many connections for role",
            ),
            (
                "database_limit",
                "ALTER DATABASE {database} CONNECTION LIMIT 0",
                "too many connections for database",
            ),
        ] {
            self.add_made(name, sql, english, at_connect()).await;
        }
        for (name, sql, english) in [
            (
                "role_limit_1",
                "ALTER ROLE {role} CONNECTION LIMIT 1",
                "too many connections for role",
            ),
            (
                "database_limit_1",
                "ALTER DATABASE {database} CONNECTION LIMIT 1",
                "too many connections for database",
            ),
        ] {
            self.add_made(name, sql, english, LIMIT).await;
        }
    }

    /// What the role may not read.
    async fn rights(&mut self) {
        const SECRET: &str = "CREATE TABLE secret (id int); REVOKE pg_read_all_data FROM {role};";
        const ROWS: &str = "CREATE TABLE tenants AS SELECT 1 AS id; ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;";
        let denied = "permission denied for table secret";
        self.add_made("secret", SECRET, denied, PERMISSION).await;
        // The other table is the one that a policy hides rows of: a right is missing first.
        let both = format!("{SECRET} {ROWS} GRANT SELECT ON tenants TO {{role}}");
        self.add_made("secret_and_rows", &both, denied, PERMISSION)
            .await;
        // A filter names the table, another table stays out.
        let more = format!("{SECRET} CREATE TABLE another (id int)");
        self.add_made("secret_chosen", &more, denied, PERMISSION)
            .await;
        self.chosen(&["public.secret"]);
        let policy = "row-level security policy for table";
        self.add_made("rows", ROWS, policy, ROW_SECURITY).await;
        self.add_made("rows_chosen", ROWS, policy, ROW_SECURITY)
            .await;
        self.chosen(&["public.tenants"]);
        let object = "SELECT lo_from_bytea(0, 'x')";
        let denied = "permission denied for large object";
        self.add_made("large_object", object, denied, PERMISSION)
            .await;
        let denied = "permission denied for table pg_authid";
        let nothing = "REVOKE pg_read_all_data FROM {role}";
        self.add_made("globals", nothing, denied, PERMISSION).await;
        self.world
            .set("targets.globals", "globals", quoted("with-passwords"));
    }

    /// The last case is a dump of these tables.
    fn chosen(&mut self, tables: &'static [&'static str]) {
        if let Some(case) = self.all.last_mut() {
            case.tables = tables;
        }
    }

    /// What is wrong with the data.
    async fn data(&mut self) {
        let name = format!(
            "t{}_{}",
            std::process::id(),
            &Uuid::new_v4().simple().to_string()[..12]
        );
        let create = format!(
            "CREATE DATABASE {name} ENCODING 'WIN1252' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        self.world.shop.execute(&create).await;
        let database = Database::existing(self.world.cluster, &name);
        let role = self.world.cluster.role("").await;
        // WIN1252 has no letter of this number, and does not check.
        let sql = format!(
            "GRANT pg_read_all_data TO {}; SET client_encoding = 'WIN1252'; CREATE TABLE t AS SELECT E'\\x81'::text AS x",
            role.name
        );
        database.execute(&sql).await;
        self.add(
            "converted",
            &database.url_as(&role.name),
            "has no equivalent in encoding",
            Ends {
                code: "not_convertible",
                step: "dump",
                again: false,
                hint: "A value or name has bytes that its database's encoding does not allow, or that UTF-8 lacks: correct \
                       it, or leave the table's rows out with exclude_table_data.",
            },
        );
        let (database, role) = self.damaged().await;
        self.add(
            "damaged",
            &database.url_as(&role.name),
            "invalid page in block",
            Ends {
                code: "data_corrupted",
                step: "dump",
                again: false,
                hint: "The error names the table. Keep the last good backup, check the server's disk and its log, and find \
                       with amcheck what else is damaged.",
            },
        );
    }

    /// A database in which a page of a table was damaged on disk, before the server has read it.
    async fn damaged(&self) -> (Database, Role) {
        let (template, role) = self
            .database("CREATE TABLE t AS SELECT generate_series(1, 5000) AS id")
            .await;
        let name = format!("{}_copy", template.name());
        let by_files = if self.world.cluster.major() >= 15 {
            "STRATEGY file_copy"
        } else {
            ""
        };
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE {} {by_files}",
            template.name()
        );
        self.world.shop.execute(&create).await;
        let database = Database::existing(self.world.cluster, &name);
        let path: String = sqlx::query_scalar(
            "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('t')",
        )
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.write_all_at(&[0xa5; 8192], 3 * 8192).unwrap();
        (database, role)
    }
}

/// Runs a job for each case, and compares how its first attempt ended.
async fn refuses(language: Option<Language>) {
    let Some(world) = world(language).await else {
        return;
    };
    let mut cases = Cases {
        world,
        all: Vec::new(),
    };
    cases.who_is_not_let_in().await;
    cases.closed().await;
    cases.limits().await;
    cases.rights().await;
    cases.data().await;
    let Cases { world, all } = cases;
    let _daemon = checked_daemon(&world).await;
    let mut jobs = Vec::new();
    for case in &all {
        let spec = BackupSpec {
            tables: case.tables.iter().map(|&table| table.to_owned()).collect(),
            ..BackupSpec::default()
        };
        let request = BackupRequest::new(case.name).spec(spec);
        jobs.push((world.enqueue_request(request).await, case));
    }
    for (id, case) in jobs {
        let status = world.until(id, case.name, has_failed).await;
        case.ends.check(&status, case.name);
        let error = status.error.as_deref().unwrap();
        let says_so = error.contains(case.english);
        assert_eq!(says_so, is_english(language), "{}: {error}", case.name);
    }
}

#[tokio::test]
async fn what_an_english_server_refuses_has_its_code() {
    refuses(None).await;
}

#[tokio::test]
async fn what_a_german_server_refuses_has_the_same_code() {
    refuses(Some(Language::German)).await;
}

#[tokio::test]
async fn what_a_japanese_server_refuses_has_the_same_code() {
    refuses(Some(Language::Japanese)).await;
}
