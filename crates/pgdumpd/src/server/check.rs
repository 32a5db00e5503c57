//! What would keep tonight's dump of a target from working, and what it would silently leave out.

use std::borrow::Cow;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use crate::code::Code;
use crate::dump::{self, Program};
use crate::fault::Fault;
use crate::finding::Finding;
use crate::globals::Globals;

use super::Target;
use super::name::names;
use crate::text::count_of;

pub(super) struct Refused {
    kind: String,
    total: i64,
    pub(super) examples: Vec<String>,
}

impl FromRow<'_, PgRow> for Refused {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            kind: row.try_get("kind")?,
            total: row.try_get("total")?,
            examples: names(row, "examples")?,
        })
    }
}

struct Server {
    foreign_large_object_owner: Option<String>,
    skipped_subscriptions: i64,
    tables: i64,
    lock_room: i64,
    in_recovery: bool,
}

impl FromRow<'_, PgRow> for Server {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            foreign_large_object_owner: row.try_get("foreign_large_object_owner")?,
            skipped_subscriptions: row.try_get("skipped_subscriptions")?,
            tables: row.try_get("tables")?,
            lock_room: row.try_get("lock_room")?,
            in_recovery: row.try_get("in_recovery")?,
        })
    }
}

impl Refused {
    /// How many, and which: "2 tables (public.a, public.b)".
    fn objects(&self, thing: &str) -> String {
        let more = if self.total > self.examples.len() as i64 {
            ", ..."
        } else {
            ""
        };
        let total = count_of(self.total.unsigned_abs(), thing);
        format!("{total} ({}{more})", self.examples.join(", "))
    }
}

impl Target {
    /// Finds what would fail, worst first: of this role's privileges, of the server, and of the pg_dump that
    /// [`dump::find`] found for it.
    ///
    /// Reads the catalog alone: it takes no table's lock. What cannot be checked is a finding too.
    pub async fn check(&self, program: &Result<Program, Fault>) -> Vec<Finding> {
        let mut findings = match program {
            Ok(program) => self.check_program(program),
            Err(fault) => vec![fault.into()],
        };
        for found in [
            self.check_objects().await,
            self.check_server().await,
            self.check_left_out().await,
            Ok(self
                .refuse_pooler()
                .await
                .err()
                .iter()
                .map(Finding::from)
                .collect()),
        ] {
            match found {
                Ok(found) => findings.extend(found),
                Err(fault) => findings.push((&fault).into()),
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    /// Finds what would keep the globals of this server from being stored beside the dump.
    pub async fn check_globals(&self, program: &Program, globals: Globals) -> Vec<Finding> {
        let mut findings = match dump::globals_program(program) {
            Ok(_) => Vec::new(),
            Err(fault) => vec![(&fault).into()],
        };
        if globals == Globals::WithPasswords {
            match self.reads_passwords().await {
                Ok(true) => {}
                Ok(false) => findings.push(
                    Finding::error(
                        Code::PermissionDenied,
                        format!("role \"{}\" may not read passwords", self.url.user()),
                    )
                    .hint("Set the target's globals to \"without-passwords\", or back up as a superuser."),
                ),
                Err(fault) => findings.push((&fault).into()),
            }
        }
        findings
    }

    /// Whether the role may read the passwords of roles.
    pub(super) async fn reads_passwords(&self) -> Result<bool, Fault> {
        let asked = include_str!("sql/reads_passwords.sql");
        let (reads,) = self
            .connections
            .one("the rights on passwords", asked)
            .await?;
        Ok(reads)
    }

    fn check_program(&self, program: &Program) -> Vec<Finding> {
        if !program.is_newer_than(self.major) {
            return Vec::new();
        }
        vec![warning(
            "pg_dump_newer",
            format!(
                "{} is of PostgreSQL {}, the server of {}: the server's own pg_restore may not read its archives",
                program.path().display(),
                program.major(),
                self.major
            ),
            format!("Install the client programs of PostgreSQL {}.", self.major),
        )]
    }

    async fn check_objects(&self) -> Result<Vec<Finding>, Fault> {
        let refused = self.refused_objects().await?;
        Ok(refused
            .iter()
            .map(|refused| self.refusal(refused))
            .collect())
    }

    pub(super) async fn refused_objects(&self) -> Result<Vec<Refused>, Fault> {
        let sql = include_str!("sql/check_objects.sql");
        self.connections
            .all("the privileges of its role", sql)
            .await
    }

    /// Rows that a dump cannot hold, whoever dumps.
    async fn check_left_out(&self) -> Result<Vec<Finding>, Fault> {
        let what = "which rows a dump leaves out";
        let left_out: Vec<Refused> = self
            .connections
            .all(what, include_str!("sql/check_left_out.sql"))
            .await?;
        Ok(left_out.iter().map(rows_left_out).collect())
    }

    pub(super) fn refusal(&self, refused: &Refused) -> Finding {
        let role = self.url.user();
        let objects = refused.objects(match refused.kind.as_str() {
            "row_security" => "table",
            "schema" => "relation",
            kind => kind,
        });
        let grant =
            format!("GRANT pg_read_all_data TO {role}; covers every table, sequence and schema.");
        match refused.kind.as_str() {
            "row_security" => error(
                Code::RowSecurity,
                format!("row security hides rows from {role} in {objects}"),
                format!("ALTER ROLE {role} BYPASSRLS; or dump as the tables' owner."),
            ),
            "schema" => error(
                Code::PermissionDenied,
                format!("{role} may not use the schemas of {objects}"),
                grant,
            ),
            _ => error(
                Code::PermissionDenied,
                format!("{role} may not read {objects}"),
                grant,
            ),
        }
    }

    pub(super) async fn check_server(&self) -> Result<Vec<Finding>, Fault> {
        let server: Server = self
            .connections
            .one(
                "what the server allows",
                include_str!("sql/check_server.sql"),
            )
            .await?;
        let role = self.url.user();
        let mut findings = Vec::new();
        if self.becomes_another {
            findings.push(Finding::ok(format!(
                "role \"{role}\" becomes another one as it connects, whose rights count"
            )));
        }
        if let Some(owner) = server.foreign_large_object_owner {
            findings.push(error(
                Code::PermissionDenied,
                format!("{role} may not read the large objects of {owner}"),
                format!(
                    "GRANT {owner} TO {role}; or dump as a superuser: pg_read_all_data does not cover large objects."
                ),
            ));
        }
        if server.skipped_subscriptions > 0 {
            findings.push(warning(
                "subscriptions_skipped",
                format!(
                    "{} subscriptions are left out, because {role} is not a superuser",
                    server.skipped_subscriptions
                ),
                "Dump as a superuser, or keep their definitions elsewhere.",
            ));
        }
        if server.tables > server.lock_room {
            findings.push(warning(
                Code::LockTableFull,
                format!(
                    "pg_dump locks all of {} tables at once, and the server has room for about {} locks",
                    server.tables, server.lock_room
                ),
                "Raise max_locks_per_transaction.",
            ));
        }
        if server.in_recovery {
            findings.push(warning(
                "standby",
                "the server is a standby: a long dump may be ended by a conflict with recovery"
                    .to_owned(),
                "Set hot_standby_feedback on it, or raise max_standby_streaming_delay.",
            ));
        }
        Ok(findings)
    }
}

fn rows_left_out(tables: &Refused) -> Finding {
    let objects = tables.objects("table");
    let (what, hint) = match tables.kind.as_str() {
        "foreign" => (
            format!("the rows of foreign tables are not in a backup: {objects}"),
            "Back up the servers that hold them.",
        ),
        "unlogged" => (
            format!("the server is a standby, where unlogged tables have no rows: {objects}"),
            "Back up the primary server, if these rows matter.",
        ),
        "extension" => (
            format!(
                "the rows of tables that belong to an extension are not in a backup: {objects}"
            ),
            "The extension fills them when it is created; keep your own rows in your own tables.",
        ),
        _ => (
            format!("tables in the system's own schemas are not in a backup: {objects}"),
            "Move them to another schema.",
        ),
    };
    warning("rows_left_out", what, hint)
}

fn error(code: impl Into<Cow<'static, str>>, what: String, hint: impl Into<String>) -> Finding {
    Finding::error(code, what).hint(hint)
}

fn warning(code: impl Into<Cow<'static, str>>, what: String, hint: impl Into<String>) -> Finding {
    Finding::warning(code, what).hint(hint)
}
