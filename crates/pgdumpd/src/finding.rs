//! What a check found: of a target, a storage, the queue.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

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
    /// What was found: lower case, no final period.
    pub what: String,
    /// What to do, in full sentences.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without advice.
    pub fn new(severity: Severity, what: impl Into<String>) -> Self {
        Self {
            severity,
            what: what.into(),
            hint: None,
        }
    }

    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, what)
    }

    /// Works, but a person should look.
    pub fn warning(what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what)
    }

    /// A backup would fail.
    pub fn error(what: impl Into<String>) -> Self {
        Self::new(Severity::Error, what)
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

impl From<crate::target::Finding> for Finding {
    fn from(found: crate::target::Finding) -> Self {
        let severity = match found.severity {
            crate::target::Severity::Warning => Severity::Warning,
            crate::target::Severity::Failure => Severity::Error,
        };
        Self {
            severity,
            what: found.what,
            hint: Some(found.hint).filter(|hint| !hint.is_empty()),
        }
    }
}

impl From<Fault> for Finding {
    fn from(fault: Fault) -> Self {
        Self {
            severity: Severity::Error,
            what: fault.report(),
            hint: fault.advice().map(str::to_owned),
        }
    }
}
