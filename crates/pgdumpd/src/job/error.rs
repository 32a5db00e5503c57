//! How an attempt that did not succeed ended: one step failed, or it was cancelled.

use super::cancel::{CancelReason, Cancelled};
use crate::code::Code;
use crate::dump::Warnings;
use crate::fault::Fault;
use crate::queue::{Failure, Outcome};

/// The step of a job that failed, as its row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reading the job's spec, finding its target and storage in the configuration.
    Spec,
    /// Connecting to the target.
    Connect,
    /// Opening the storage, cleaning up after earlier attempts, checking for room.
    Prepare,
    /// Running pg_dump, to its exit.
    Dump,
    /// Reading a stored backup and sending it to another storage.
    Copy,
    /// Reading the archive and sending it to the storage.
    Store,
    /// Making object and manifest visible.
    Publish,
}

impl Step {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Connect => "connect",
            Self::Prepare => "prepare",
            Self::Dump => "dump",
            Self::Copy => "copy",
            Self::Store => "store",
            Self::Publish => "publish",
        }
    }
}

/// Why an attempt has no result. Everything of it is cleaned up by the time this is returned.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// A step failed.
    Failed(Failed),
    /// It was asked to stop; [`JobCancel::reason`](super::cancel::JobCancel::reason) has the reason.
    Cancelled,
    /// Nothing is left to do, for this reason.
    Moot(String),
}

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) fault: Fault,
    /// What pg_dump warned of before.
    pub(super) warnings: Warnings,
}

impl Failed {
    /// Without warnings.
    pub(super) fn new(step: Step, fault: Fault) -> Self {
        Self {
            step,
            fault,
            warnings: Warnings::default(),
        }
    }

    fn into_failure(self) -> Failure {
        let Self {
            step,
            fault,
            warnings,
        } = self;
        Failure {
            step: step.as_str(),
            code: fault.code(),
            error: fault.report(),
            hint: fault.advice().map(str::to_owned),
            transient: fault.is_transient(),
            warnings: warnings.texts,
            warnings_total: i32::try_from(warnings.total).unwrap_or(i32::MAX),
        }
    }
}

impl From<Failed> for AttemptError {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<Cancelled> for AttemptError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl AttemptError {
    /// Changes the failure, if it is one.
    pub(super) fn map(self, change: impl FnOnce(Failed) -> Failed) -> Self {
        match self {
            Self::Failed(failed) => change(failed).into(),
            other => other,
        }
    }

    /// The outcome for the row; `None` if the lease is lost and the row belongs to another attempt.
    pub(super) fn into_outcome(self, reason: Option<CancelReason>) -> Option<Outcome> {
        match (reason, self) {
            (Some(CancelReason::LeaseLost), _) => None,
            (Some(CancelReason::Requested), _) => Some(Outcome::Cancelled),
            (_, Self::Failed(failed)) => Some(Outcome::Failed(failed.into_failure())),
            (_, Self::Moot(why)) => Some(Outcome::Moot(why)),
            (Some(CancelReason::Timeout(limit)), Self::Cancelled) => {
                let fault = Fault::permanent(
                    Code::Timeout,
                    format!(
                        "the backup ran for longer than its timeout of {}",
                        humantime::format_duration(limit)
                    ),
                )
                .hint("Raise the timeout of the job or of its target, or dump less.");
                Some(Outcome::Failed(
                    Failed::new(Step::Dump, fault).into_failure(),
                ))
            }
            (Some(CancelReason::Shutdown) | None, Self::Cancelled) => Some(Outcome::Released),
        }
    }
}

/// Names the step in which a fault happened.
pub(super) trait InStep<T> {
    fn in_step(self, step: Step) -> Result<T, AttemptError>;
}

impl<T> InStep<T> for Result<T, Fault> {
    fn in_step(self, step: Step) -> Result<T, AttemptError> {
        self.map_err(|fault| Failed::new(step, fault).into())
    }
}
