//! Why a program failed, where its words leave that open: as those of a server in another language do.
//!
//! The server itself says it over a connection of our own: by an SQLSTATE, by its catalogs and counters, and by the
//! words that it has for an error which we let it make.

use std::time::Duration;

use sqlx::Executor as _;

use super::Target;
use crate::code::Code;
use crate::dump;
use crate::fault::Fault;
use crate::finding::Severity;

/// How long a counter of the server may be behind what happened.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);

impl Target {
    /// Explains a failure that a program's words left open, as long as this one holds its own connection. `None` where
    /// the server says nothing of it.
    ///
    /// What a check finds need not be what failed: of a dump with filters (`is_partial`) it counts only if the failure
    /// names it.
    pub async fn cause_of(&self, fault: &Fault, is_partial: bool) -> Option<Fault> {
        let found = match fault.code() {
            Code::ConnectionLost => self.conflict(self).await?,
            Code::TargetUnreachable => match Self::connect(&self.name, &self.url).await {
                Err(cause) => cause,
                Ok(now) => self.passing_refusal(&now, fault)?,
            },
            Code::DumpFailed => match Self::connect(&self.name, &self.url).await {
                Err(cause) => cause,
                // Its connection is there; of ours nobody knows.
                Ok(now) => self.failure(&now, fault, is_partial).await?,
            },
            _ => return None,
        };
        Some(explained(found, fault))
    }

    /// Explains why the roles' passwords could not be dumped.
    pub async fn cause_of_globals(&self, fault: &Fault) -> Option<Fault> {
        let cause = self.cause_of(fault, true).await;
        if cause.is_some() || fault.code() != Code::DumpFailed {
            return cause;
        }
        let may = self.reads_passwords().await.ok()?;
        let role = self.url.user();
        let denied = || {
            let what = format!("role \"{role}\" may not read passwords");
            explained(Fault::permanent(Code::PermissionDenied, what), fault)
        };
        (!may).then(denied)
    }

    /// What keeps the dump from working, now that nothing keeps us from connecting.
    async fn failure(&self, now: &Self, fault: &Fault, is_partial: bool) -> Option<Fault> {
        let text = fault.report();
        let objects = now.refused_objects().await.unwrap_or_default();
        let named = objects
            .iter()
            .find(|refused| refused.examples.iter().any(|name| text.contains(name)));
        let refused = named.or_else(|| objects.first().filter(|_| !is_partial));
        let mut found: Vec<_> = refused
            .map(|refused| self.refusal(refused))
            .into_iter()
            .collect();
        if !is_partial {
            found.extend(now.check_server().await.unwrap_or_default());
        }
        let mut errors = found
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error);
        if let Some(finding) = errors.next() {
            // What only a check calls so ends no job.
            let code = finding.code.parse().unwrap_or(Code::DumpFailed);
            let hint = finding.hint.unwrap_or_default();
            return Some(Fault::permanent(code, finding.what).hint(hint));
        }
        match self.conflict(now).await {
            Some(conflict) => Some(conflict),
            None => now.said_so(&text).await,
        }
    }

    /// A refusal of pg_dump's connection that we do not meet a moment later (`now`), with the same address: whatever else
    /// a server says to who connects would meet us, too.
    fn passing_refusal(&self, now: &Self, fault: &Fault) -> Option<Fault> {
        if !dump::was_refused(&fault.report()) {
            return None;
        }
        let refused = |code, what: &str| Fault::transient(code, format!("{what} a moment ago"));
        Some(if now.started == self.started {
            refused(Code::TooManyConnections, "a connection limit was reached")
        } else {
            refused(Code::TargetStarting, "the server was starting")
        })
    }

    /// A conflict with recovery that a standby has counted since we connected first.
    async fn conflict(&self, now: &Self) -> Option<Fault> {
        let before = self.recovery_conflicts?;
        let asked = include_str!("sql/recovery_conflicts.sql");
        let counted = async {
            loop {
                let (count,) = now
                    .connections
                    .one::<(Option<i64>,)>("its conflicts", asked)
                    .await
                    .ok()?;
                if count? > before {
                    return Some(());
                }
                tokio::time::sleep(COUNTED_WITHIN / 10).await;
            }
        };
        tokio::time::timeout(COUNTED_WITHIN, counted).await.ok()??;
        let what = "the standby ended the dump, because recovery needed what it read";
        Some(Fault::transient(Code::RecoveryConflict, what))
    }

    /// What this server says, in its language, of a statement that was cancelled, or that took too long: whether that
    /// is what it said.
    async fn said_so(&self, text: &str) -> Option<Fault> {
        let mut connection = self.connections.open().await.ok()?;
        let said = async {
            // Each in a query of its own: a time limit begins with it.
            connection
                .execute(include_str!("sql/be_cancelled.sql"))
                .await?;
            connection.execute("SET statement_timeout = '10ms'").await?;
            connection
                .execute(include_str!("sql/be_timed_out.sql"))
                .await?;
            sqlx::query_as(include_str!("sql/what_was_said.sql"))
                .fetch_one(&mut connection)
                .await
        };
        let (cancelled, timed_out): (String, String) = self
            .connections
            .within_limit("its words", said)
            .await
            .ok()?;
        let is_said = |words: &str| !words.is_empty() && text.contains(words);
        if cancelled == timed_out {
            None
        } else if is_said(&timed_out) {
            Some(Fault::transient(
                Code::LockNotAvailable,
                "pg_dump waited too long for a lock",
            ))
        } else if is_said(&cancelled) {
            Some(Fault::transient(
                Code::DumpCancelledOnServer,
                "somebody cancelled pg_dump's query",
            ))
        } else {
            None
        }
    }
}

/// The cause of a failure, with the hint that the failure's own words would have had.
fn explained(cause: Fault, fault: &Fault) -> Fault {
    let cause = match dump::hint_of(cause.code()) {
        Some(hint) => cause.hint(hint),
        None => cause,
    };
    cause.caused_by(fault.report())
}
