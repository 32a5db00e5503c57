//! How pg_dump ended, and what that means.
//!
//! pg_dump exits with 1 for every failure and tells no SQLSTATE; the server's messages are in the server's
//! language. So what we did ourselves decides first, then the signal, and the text last.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::fault::Fault;

use super::stderr::{Record, Warnings};

/// How much of stderr an error carries, in characters.
const REPORTED: usize = 4_000;

/// The proof that a pg_dump ended with status 0. Made by [`PgDump::wait`](super::PgDump::wait) alone.
#[derive(Debug)]
pub struct CleanExit {
    warnings: Warnings,
}

impl CleanExit {
    /// What pg_dump warned of, although it succeeded.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }
}

/// Judges a program's exit. `sent` is the last signal that we sent ourselves.
pub(super) fn judge(
    program: &str,
    status: ExitStatus,
    sent: Option<Signal>,
    record: &Record,
) -> Result<CleanExit, Fault> {
    if status.success() {
        return Ok(CleanExit {
            warnings: record.warnings.clone(),
        });
    }
    if let Some(signal) = sent {
        let signal = name(signal.as_raw());
        return Err(Fault::transient(
            "dump_stopped",
            format!("{program} was stopped by this daemon with {signal}"),
        ));
    }
    let said = last_error(record);
    let fault = match status.signal() {
        Some(signal) => Fault::transient(
            "dump_killed",
            format!("{program} was killed by {}", name(signal)),
        )
        .hint("Look for the kernel's out-of-memory killer and for whoever else ends processes on this host."),
        None => by_text(&said, &format!("{program} ended with {status}")),
    };
    Err(if said.is_empty() {
        fault
    } else {
        fault.caused_by(said)
    })
}

/// The lines from the last error on, in one.
fn last_error(record: &Record) -> String {
    let is_error = |line: &String| line.starts_with("error:") || line.starts_with("fatal:");
    let begin = record.tail.iter().rposition(is_error).unwrap_or(0);
    // What was only warned of is kept by itself, and may be withheld.
    let lines: Vec<&str> = record
        .tail
        .iter()
        .skip(begin)
        .filter(|line| !line.starts_with("warning:") && !line.starts_with("WARNING:"))
        .map(|line| line.strip_prefix("error:").unwrap_or(line).trim())
        .collect();
    lines.join("; ").chars().take(REPORTED).collect()
}

/// A failure as its text gives it away: pg_dump's own words are English (LC_ALL=C), the server's may not be.
fn by_text(said: &str, message: &str) -> Fault {
    for cause in CAUSES {
        if cause.words.iter().any(|words| said.contains(words)) {
            let fault = if cause.transient {
                Fault::transient(cause.code, message)
            } else {
                Fault::permanent(cause.code, message)
            };
            return if cause.hint.is_empty() {
                fault
            } else {
                fault.hint(cause.hint)
            };
        }
    }
    Fault::transient("dump_failed", message)
}

struct Cause {
    words: &'static [&'static str],
    code: &'static str,
    transient: bool,
    hint: &'static str,
}

/// Tried in order: an error of a query repeats the query, so what is specific comes first.
const CAUSES: &[Cause] = &[
    Cause {
        words: &[
            "server version mismatch",
            "aborting because of server version",
        ],
        code: "pg_dump_too_old",
        transient: false,
        hint: "Install the pg_dump of the server's major version.",
    },
    Cause {
        words: &["row-level security"],
        code: "row_security",
        transient: false,
        hint: "Give the backup role BYPASSRLS, or dump as the owner of the table.",
    },
    Cause {
        words: &[
            "due to statement timeout",
            "due to lock timeout",
            "could not obtain lock on",
        ],
        code: "lock_not_available",
        transient: true,
        hint: "Something held a table's lock for longer than lock_wait_timeout; look at pg_locks and pg_stat_activity.",
    },
    Cause {
        words: &[
            "password authentication failed",
            "no password supplied",
            "no pg_hba.conf entry",
        ],
        code: "authentication_failed",
        transient: false,
        hint: "Check the target's user, its password and the server's pg_hba.conf.",
    },
    Cause {
        words: &[
            "no matching tables were found",
            "no matching schemas were found",
        ],
        code: "nothing_matched",
        transient: false,
        hint: "The job's filters match nothing in this database. Patterns fold to lower case unless quoted.",
    },
    Cause {
        words: &["permission denied"],
        code: "permission_denied",
        transient: false,
        hint: "Grant the backup role what it lacks; `pgdumpd check` lists it.",
    },
    Cause {
        words: &[
            "terminating connection",
            "server closed the connection unexpectedly",
            "SSL connection has been closed unexpectedly",
            "could not receive data from server",
            "could not send data to server",
        ],
        code: "connection_lost",
        transient: true,
        hint: "Look into the server's log: it was stopped or crashed, the network broke, or somebody ended pg_dump's session.",
    },
    Cause {
        words: &["canceling statement due to conflict with recovery"],
        code: "recovery_conflict",
        transient: true,
        hint: "Raise max_standby_streaming_delay or set hot_standby_feedback on the standby that is dumped.",
    },
    Cause {
        words: &["canceling statement due to user request"],
        code: "dump_cancelled_on_server",
        transient: true,
        hint: "Somebody cancelled pg_dump's query on the server.",
    },
    Cause {
        words: &["out of shared memory"],
        code: "lock_table_full",
        transient: false,
        hint: "Raise max_locks_per_transaction: pg_dump locks every table at once.",
    },
    Cause {
        words: &["could not connect", "connection to server"],
        code: "target_unreachable",
        transient: true,
        hint: "Check that the server runs and can be reached from this host.",
    },
];

/// A signal's name for people.
fn name(signal: i32) -> String {
    match Signal::from_named_raw(signal) {
        Some(Signal::TERM) => "SIGTERM".to_owned(),
        Some(Signal::KILL) => "SIGKILL".to_owned(),
        Some(Signal::PIPE) => "SIGPIPE".to_owned(),
        Some(Signal::INT) => "SIGINT".to_owned(),
        Some(Signal::SEGV) => "SIGSEGV".to_owned(),
        Some(Signal::ABORT) => "SIGABRT".to_owned(),
        _ => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: i32 = 0;
    const EXIT_1: i32 = 1 << 8;
    const BY_KILL: i32 = 9;

    fn end(raw: i32, sent: Option<Signal>, lines: &[&str]) -> Result<CleanExit, Fault> {
        let record = Record {
            tail: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Record::default()
        };
        judge("pg_dump", ExitStatus::from_raw(raw), sent, &record)
    }

    #[test]
    fn only_status_0_is_clean() {
        assert!(end(CLEAN, None, &["error: whatever"]).is_ok());
        // The last byte was out before our signal arrived: a success all the same.
        assert!(end(CLEAN, Some(Signal::TERM), &[]).is_ok());
        for raw in [EXIT_1, 127 << 8, BY_KILL, 15] {
            assert!(end(raw, None, &[]).is_err(), "{raw}");
        }
    }

    #[test]
    fn our_own_signal_outweighs_what_pg_dump_says() {
        let fault = end(EXIT_1, Some(Signal::TERM), &["error: permission denied"]).unwrap_err();
        assert_eq!(fault.code(), "dump_stopped");
        let fault = end(BY_KILL, None, &[]).unwrap_err();
        assert_eq!(fault.code(), "dump_killed");
        assert!(fault.to_string().contains("SIGKILL"));
    }

    #[test]
    fn a_failure_is_told_by_its_last_error() {
        let fault = end(
            EXIT_1,
            None,
            &[
                "error: an older one",
                "warning: x",
                "error: query failed: ERROR:  permission denied for table secret",
                "detail: Query was: LOCK TABLE public.secret IN ACCESS SHARE MODE",
            ],
        )
        .unwrap_err();
        assert_eq!(fault.code(), "permission_denied");
        assert!(!fault.is_transient());
        assert_eq!(
            fault.report(),
            "pg_dump ended with exit status: 1: query failed: ERROR:  permission denied for table secret; \
             detail: Query was: LOCK TABLE public.secret IN ACCESS SHARE MODE"
        );
    }

    #[test]
    fn what_was_only_warned_of_is_no_reason() {
        let fault = end(BY_KILL, None, &["warning: table secret is odd"]).unwrap_err();
        assert_eq!(fault.report(), "pg_dump was killed by SIGKILL");
        let lines = ["error: one", "warning: table secret is odd", "detail: two"];
        let fault = end(EXIT_1, None, &lines).unwrap_err();
        assert!(
            fault.report().ends_with("one; detail: two"),
            "{}",
            fault.report()
        );
    }

    #[test]
    fn an_unknown_failure_may_be_tried_again() {
        let fault = end(EXIT_1, None, &["error: FEHLER:  etwas"]).unwrap_err();
        assert_eq!(fault.code(), "dump_failed");
        assert!(fault.is_transient());
    }
}
