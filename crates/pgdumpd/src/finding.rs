//! What a check found: of a target, a storage, the queue.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::queue::QueueError;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but a person should look.
    Warning,
    /// A backup would fail, or leave something out.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A stable word; that of the fault which a backup would end with, where there is one.
    pub code: Cow<'static, str>,
    /// What was found: lower case, no final period.
    pub what: String,
    /// What to do, in full sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(severity: Severity, code: &'static str, what: String) -> Self {
        Self {
            severity,
            code: Cow::Borrowed(code),
            what,
            hint: None,
        }
    }

    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, "ok", what.into())
    }

    /// Works, but a person should look.
    pub fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, what.into())
    }

    /// A backup would fail.
    pub fn error(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, what.into())
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl From<&Fault> for Finding {
    fn from(fault: &Fault) -> Self {
        Self {
            hint: fault.advice().map(str::to_owned),
            ..Self::error(fault.code(), fault.report())
        }
    }
}

impl From<&QueueError> for Finding {
    fn from(error: &QueueError) -> Self {
        let code = match error {
            QueueError::NotMigrated { .. } => "queue_not_migrated",
            QueueError::WrongQueue { .. } | QueueError::Replaced { .. } => "queue_wrong_id",
            _ => "queue_failed",
        };
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::error(code, crate::fault::chain(error))
        }
    }
}
