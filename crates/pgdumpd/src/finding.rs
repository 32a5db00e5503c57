//! What a check found: of a target, a storage, the queue.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but a person should check it.
    Warning,
    /// A backup would fail, or leave something out.
    Error,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A stable word; the [`Code`](crate::code::Code) of the fault that a backup would end with, if there is one.
    pub code: Cow<'static, str>,
    /// What was found: lower case, no final period.
    pub what: String,
    /// What to do, in full sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(severity: Severity, code: Cow<'static, str>, what: String) -> Self {
        Self {
            severity,
            code,
            what,
            hint: None,
        }
    }

    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, "ok".into(), what.into())
    }

    /// Works, but a person should check it.
    pub fn warning(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code.into(), what.into())
    }

    /// A backup would fail.
    pub fn error(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, code.into(), what.into())
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
