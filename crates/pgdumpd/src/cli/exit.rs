//! Exit codes, and how an error is printed.

use std::io::Write;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::fault::Fault;
use crate::redact::without_secrets;
use crate::text::{on_one_line, printable};

/// How a command ended. The numbers are documented in `pgdumpd --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// No such job, backup or storage.
    NotFound = 3,
    /// The backup failed.
    Failed = 4,
    /// The backup was cancelled.
    Cancelled = 5,
    /// A check found something that would fail.
    CheckFailed = 6,
    /// Some of it is done or checked, all of that is good, and some could not be.
    Incomplete = 7,
    /// Nobody serves what was waited for; the job stays queued.
    Unserved = 8,
    /// Ctrl-C ended a wait; the job continues.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with advice: a full sentence that the command line prints on a line of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Advised {
    message: String,
    hint: String,
}

impl Advised {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Whether an error says that a backup is damaged.
pub(super) fn is_damage(error: &anyhow::Error) -> bool {
    damage(error).is_some()
}

/// The fault in an error that says that a backup is damaged.
pub(super) fn damage(error: &anyhow::Error) -> Option<&Fault> {
    let mut faults = error.chain().filter_map(|e| e.downcast_ref::<Fault>());
    faults.find(|fault| fault.code().is_of_a_damage())
}

/// Prints an error on standard error, with its causes and the advice that any of them has.
pub(super) fn complain(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed_output) {
        return ExitCode::from(1);
    }
    let mut stderr = std::io::stderr().lock();
    // Nobody reads it if standard error is closed.
    let why = crate::fault::chain(error.as_ref());
    let why = without_secrets(&why);
    // Its problems have a line each. Of anything else, a name must not look like a line of its own.
    let why = match error.is::<ConfigError>() {
        true => printable(&why),
        false => on_one_line(&why),
    };
    let _ = writeln!(stderr, "pgdumpd: {why}");
    if let Some(hint) = error.chain().find_map(hint_of) {
        let _ = writeln!(stderr, "hint: {}", on_one_line(&without_secrets(&hint)));
    }
    if is_damage(error) {
        Exit::CheckFailed.into()
    } else {
        ExitCode::from(1)
    }
}

fn is_closed_output(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault.advice().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<pgdumpd_client::ClientError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<crate::queue::QueueError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<crate::migrate::MigrateError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return crate::queue::advice(error).map(str::to_owned);
    }
    error
        .downcast_ref::<Advised>()
        .map(|advised| advised.hint.clone())
}
