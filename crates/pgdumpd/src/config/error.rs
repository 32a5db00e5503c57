//! What is wrong with a configuration: all of it at once.

use std::fmt;

use super::origin::Origin;
use crate::redact::without_secrets;

/// A configuration that cannot be used, with every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one, in the order of the sections.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `daemon.lease`; empty if the problem is not of a single key.
    pub key: String,
    /// Where the offending value came from; `None` if there is no value.
    pub origin: Option<Origin>,
    /// What is wrong with it and what is allowed; with the value, unless it is secret.
    pub text: String,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "the configuration has a problem: {problem}"),
            problems => {
                write!(f, "the configuration has {} problems:", problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n- {problem}"))
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A person may have written a secret into any place, also into a name.
        let (key, text) = (without_secrets(&self.key), without_secrets(&self.text));
        match (&self.origin, key.is_empty()) {
            (Some(origin), false) => write!(f, "{key} ({origin}): {text}"),
            (None, false) => write!(f, "{key}: {text}"),
            (Some(origin), true) => write!(f, "{origin}: {text}"),
            (None, true) => f.write_str(&text),
        }
    }
}
