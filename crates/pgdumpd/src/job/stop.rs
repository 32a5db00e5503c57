//! How an attempt that did not succeed ended: with a fault of one step, or halted.

use super::halt::Halt;
use crate::fault::Fault;
use crate::queue::{Failure, Outcome};

/// The step of a job that failed, as its row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reading the job's spec, finding its target and storage in the configuration.
    Spec,
    /// Connecting to the target.
    Connect,
    /// Opening the storage, clearing up after earlier attempts, looking for room.
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
    fn as_str(self) -> &'static str {
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
pub(super) enum Stop {
    /// A step failed.
    Failed {
        step: Step,
        fault: Fault,
        warnings: Vec<String>,
        warnings_total: i32,
    },
    /// The halt switch was thrown.
    Halted,
    /// There is nothing to do any more, for this reason.
    Moot(String),
}

impl Stop {
    /// Adds what pg_dump warned of before it failed.
    pub(super) fn with_warnings(self, texts: Vec<String>, total: u32) -> Self {
        match self {
            Self::Failed { step, fault, .. } => {
                let warnings_total = i32::try_from(total).unwrap_or(i32::MAX);
                Self::Failed {
                    step,
                    fault,
                    warnings: texts,
                    warnings_total,
                }
            }
            other => other,
        }
    }

    /// Changes the fault, where there is one.
    pub(super) fn with_fault(self, change: impl FnOnce(Fault) -> Fault) -> Self {
        match self {
            Self::Failed {
                step,
                fault,
                warnings,
                warnings_total,
            } => Self::Failed {
                step,
                fault: change(fault),
                warnings,
                warnings_total,
            },
            other => other,
        }
    }

    /// Withholds the texts of the warnings; they stay counted.
    pub(super) fn without_warnings(self) -> Self {
        match self {
            Self::Failed {
                step,
                fault,
                warnings_total,
                ..
            } => Self::Failed {
                step,
                fault,
                warnings: Vec::new(),
                warnings_total,
            },
            other => other,
        }
    }

    /// The outcome for the row; none when the lease is lost and the row is another's.
    pub(super) fn into_outcome(self, halt: Option<Halt>) -> Option<Outcome> {
        match (halt, self) {
            (Some(Halt::LeaseLost), _) => None,
            (Some(Halt::Cancelled), _) => Some(Outcome::Cancelled),
            (
                _,
                Self::Failed {
                    step,
                    fault,
                    warnings,
                    warnings_total,
                },
            ) => Some(Outcome::Failed(Failure {
                step: step.as_str(),
                code: fault.code(),
                error: fault.report(),
                hint: fault.advice().map(str::to_owned),
                transient: fault.is_transient(),
                warnings,
                warnings_total,
            })),
            (_, Self::Moot(why)) => Some(Outcome::Moot(why)),
            (Some(Halt::TimedOut(limit)), Self::Halted) => Some(Outcome::Failed(Failure {
                step: Step::Dump.as_str(),
                code: "timeout",
                error: format!(
                    "the backup ran for longer than its timeout of {}",
                    humantime::format_duration(limit)
                ),
                hint: Some(
                    "Raise the timeout of the job or of its target, or dump less.".to_owned(),
                ),
                transient: false,
                warnings: Vec::new(),
                warnings_total: 0,
            })),
            (Some(Halt::Released) | None, Self::Halted) => Some(Outcome::Released),
        }
    }
}

/// Names the step in which a fault happened.
pub(super) trait InStep<T> {
    fn in_step(self, step: Step) -> Result<T, Stop>;
}

impl<T> InStep<T> for Result<T, Fault> {
    fn in_step(self, step: Step) -> Result<T, Stop> {
        self.map_err(|fault| Stop::Failed {
            step,
            fault,
            warnings: Vec::new(),
            warnings_total: 0,
        })
    }
}
