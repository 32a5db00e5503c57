//! Lists of a manifest, read within the bounds that it is written in: a list of empty texts takes many times the memory
//! of its JSON.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, SeqAccess, Visitor};

use super::manifest::{LONGEST_WARNING, MAX_WARNINGS};

/// The most texts of one list: a job's spec, of at most 16 kB, has room for fewer patterns.
const MOST: usize = 5000;

/// Reads patterns, arguments or public keys.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_seq(List {
        most: MOST,
        longest: usize::MAX,
    })
}

/// Reads pg_dump's warnings.
pub(super) fn warnings<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_seq(List {
        most: MAX_WARNINGS,
        longest: LONGEST_WARNING,
    })
}

struct List {
    most: usize,
    /// In bytes.
    longest: usize,
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} texts", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = texts.next_element::<String>()? {
            if list.len() == self.most {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            if text.len() > self.longest {
                let what = format!("a text of a list has {} bytes", text.len());
                return Err(A::Error::custom(format!(
                    "{what}, not at most {}",
                    self.longest
                )));
            }
            list.push(text);
        }
        Ok(list)
    }
}
