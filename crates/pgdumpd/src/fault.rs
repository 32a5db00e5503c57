//! What went wrong in a job, as its row will say it: a stable code, a text, a hint, and whether trying
//! again can help. Made where the error happens, because only there is that known.

use std::error::Error;
use std::fmt;

use crate::code::Code;

/// A failure of one step of a job.
///
/// `Display` gives the text alone; [`Fault::report`] adds the chain of causes.
#[derive(Debug)]
pub struct Fault {
    code: Code,
    message: String,
    hint: Option<String>,
    transient: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A failure that goes away by itself: the job may be tried again.
    pub fn transient(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            transient: true,
            source: None,
        }
    }

    /// A failure that stays until a person changes something: trying again cannot help.
    pub fn permanent(code: Code, message: impl Into<String>) -> Self {
        Self {
            transient: false,
            ..Self::transient(code, message)
        }
    }

    /// Adds advice to the operator: full sentences.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same without the errors that caused it, whose texts nobody else may read.
    #[must_use]
    pub fn without_causes(self) -> Self {
        Self {
            source: None,
            ..self
        }
    }

    /// The same, where who hit upon it has reason to try again.
    #[must_use]
    pub fn tried_again(self) -> Self {
        Self {
            transient: true,
            ..self
        }
    }

    /// The stable, documented word for this kind of failure, such as `authentication_failed`.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// The advice to the operator, if there is any.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The text with its causes, outermost first, separated by `: `.
    pub fn report(&self) -> String {
        chain(self)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// An error's text with its causes, outermost first, separated by `: `. What a server said is included once, in its
/// own words alone.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // sqlx shows the server's message with a line number of the server's source, and its cause again.
        let refusal = match error.downcast_ref() {
            Some(sqlx::Error::Database(refusal)) => Some(refusal.message()),
            _ => None,
        };
        let words = refusal.map_or_else(|| error.to_string(), str::to_owned);
        if text.is_empty() {
            text = words;
        } else if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = error.source().filter(|_| refusal.is_none());
    }
    text
}
