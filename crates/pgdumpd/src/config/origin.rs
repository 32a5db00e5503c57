//! Where a value of the configuration came from.

use std::fmt;
use std::path::PathBuf;

use figment::{Metadata, Source};

/// What the names of our own variables begin with.
pub(super) const PREFIX: &str = "PGDUMPD_";

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// Worked out in the mode without configuration.
    Derived,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl Origin {
    /// Which of two keys that exclude each other was meant: the one set later.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Variable(name) if !name.starts_with(PREFIX) => 1,
            Self::Derived => 2,
            Self::File(_) => 3,
            Self::Variable(_) => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived => f.write_str("without configuration"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl From<Option<&Metadata>> for Origin {
    fn from(metadata: Option<&Metadata>) -> Self {
        match metadata.and_then(|metadata| metadata.source.as_ref()) {
            Some(Source::File(path)) => Self::File(path.clone()),
            Some(Source::Custom(name)) => Self::Variable(name.clone()),
            _ => Self::Default,
        }
    }
}
