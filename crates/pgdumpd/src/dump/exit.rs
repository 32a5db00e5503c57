//! How pg_dump ended, and what that means.
//!
//! pg_dump exits with 1 for every failure and reports no SQLSTATE; the server's messages are in the server's
//! language. So what we did ourselves decides first, then the signal, and the text last.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::code::Code;
use crate::fault::Fault;

use super::causes::Causes;
use super::stderr::{Line, Record, Warnings};

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
            Code::DumpStopped,
            format!("{program} was stopped by this daemon with {signal}"),
        ));
    }
    let (message, causes) = last_error(record);
    let fault = match status.signal() {
        Some(signal) => killed(program, signal),
        None => causes.fault(&format!("{program} ended with {status}")),
    };
    Err(if message.is_empty() {
        fault
    } else {
        fault.caused_by(message)
    })
}

fn killed(program: &str, signal: i32) -> Fault {
    let crashes = [
        Signal::SEGV,
        Signal::ABORT,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
    ];
    let fault = Fault::transient(
        Code::DumpKilled,
        format!("{program} was killed by {}", name(signal)),
    );
    match Signal::from_named_raw(signal) {
        Some(signal) if crashes.contains(&signal) => fault.hint(
            "pg_dump itself crashed: try another minor version of it, and report it to PostgreSQL's developers.",
        ),
        _ => fault.hint("Check whether the kernel's out-of-memory killer ended it, or somebody else on this host."),
    }
}

/// The lines from the last error on, in one, and what they say of the cause.
fn last_error(record: &Record) -> (String, Causes) {
    let is_error = |line: &Line| line.text.starts_with("error:") || line.text.starts_with("fatal:");
    let begin = record.tail.iter().rposition(is_error).unwrap_or(0);
    let (mut texts, mut causes) = (Vec::new(), Causes::default());
    for line in record.tail.iter().skip(begin) {
        let text = line.text.as_str();
        // What was only warned of is kept by itself, and may be withheld.
        if !text.starts_with("warning:") && !text.starts_with("WARNING:") {
            texts.push(text.strip_prefix("error:").unwrap_or(text).trim());
            causes.add(line.causes);
        }
    }
    let message = texts.join("; ").chars().take(REPORTED).collect();
    (message, causes)
}

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
            tail: lines.iter().map(|line| line_of(line)).collect(),
            ..Record::default()
        };
        judge("pg_dump", ExitStatus::from_raw(raw), sent, &record)
    }

    fn line_of(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            causes: Causes::of(text),
        }
    }

    #[test]
    fn a_crash_is_not_taken_for_the_out_of_memory_killer() {
        const BY_SEGV: i32 = 11;
        let hint = |raw| end(raw, None, &[]).unwrap_err().advice().map(str::to_owned);
        assert!(hint(BY_SEGV).unwrap().contains("crashed"));
        assert!(hint(BY_KILL).unwrap().contains("out-of-memory"));
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
        assert_eq!(fault.code(), Code::DumpStopped);
        let fault = end(BY_KILL, None, &[]).unwrap_err();
        assert_eq!(fault.code(), Code::DumpKilled);
        assert!(fault.to_string().contains("SIGKILL"));
    }

    #[test]
    fn a_failure_is_reported_by_its_last_error() {
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
        assert_eq!(fault.code(), Code::PermissionDenied);
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
    fn what_a_program_or_a_server_says_names_the_cause() {
        for (line, code, transient) in [
            (
                "error: connection to server at \"db\" failed: FATAL:  too many connections for role \"backup\"",
                Code::TooManyConnections,
                true,
            ),
            (
                "error: connection to server at \"db\" failed: FATAL:  the database system is starting up",
                Code::TargetStarting,
                true,
            ),
            (
                "error: connection to server at \"db\" failed: private key file \"/k\" has group or world access",
                Code::TlsFailed,
                false,
            ),
            (
                "error: connection to server at \"db\" failed: SSL error: certificate verify failed",
                Code::TlsFailed,
                false,
            ),
            (
                "error: connection to server at \"db\" failed: Connection refused",
                Code::TargetUnreachable,
                true,
            ),
            (
                "error: query failed: FEHLER:  kein Shared Memory mehr; TIPP:  max_locks_per_transaction",
                Code::LockTableFull,
                false,
            ),
            (
                "error: Error message from server: ERROR:  invalid memory alloc request size 1258291203",
                Code::ValueTooLarge,
                false,
            ),
            (
                "error: Error message from server: ERROR:  invalid page in block 20 of relation base/5/16390",
                Code::DataCorrupted,
                false,
            ),
            (
                "error: Error message from server: FEHLER:  missing chunk number 0 for toast value 16399 in pg_toast_16390",
                Code::DataCorrupted,
                false,
            ),
        ] {
            let fault = end(EXIT_1, None, &[line]).unwrap_err();
            assert_eq!(
                (fault.code(), fault.is_transient()),
                (code, transient),
                "{line}"
            );
            assert!(fault.advice().is_some(), "{line}");
        }
    }

    #[test]
    fn an_unknown_failure_may_be_tried_again() {
        let fault = end(EXIT_1, None, &["error: FEHLER:  etwas"]).unwrap_err();
        assert_eq!(fault.code(), Code::DumpFailed);
        assert!(fault.is_transient());
    }
}
