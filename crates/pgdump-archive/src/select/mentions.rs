//! What the text of a function may refer to.
//!
//! PostgreSQL records dependencies of a function's arguments and of a body that it has parsed, but
//! not of a body that is a string. Words that are names of objects are taken for references: one
//! object too many does no harm, one too few makes an index, a check or a default fail.

use std::collections::HashMap;

use super::role;
use crate::TocEntry;

pub(super) struct Mentions<'a> {
    /// Positions of entries, by name without schema.
    by_name: HashMap<&'a [u8], Vec<usize>>,
    /// Functions of an extension have no entries of their own.
    extensions: Vec<usize>,
}

impl<'a> Mentions<'a> {
    pub(super) fn new(entries: &'a [TocEntry]) -> Self {
        let (mut by_name, mut extensions) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            let tag = entry.tag.as_bytes();
            let name = match role::text(entry) {
                "EXTENSION" => {
                    extensions.push(at);
                    continue;
                }
                // Named with the types of their arguments.
                "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
                    tag.split(|byte| *byte == b'(').next().unwrap_or(tag)
                }
                "TYPE" | "DOMAIN" | "SEQUENCE" | "COLLATION" => tag,
                "TEXT SEARCH CONFIGURATION" | "TEXT SEARCH DICTIONARY" => tag,
                _ => continue,
            };
            by_name.entry(name).or_default().push(at);
        }
        Self {
            by_name,
            extensions,
        }
    }

    /// What this function may refer to.
    pub(super) fn of(&self, function: &TocEntry) -> Vec<usize> {
        let definition = function.definition.as_ref();
        let text = definition.map_or(&[][..], |text| text.as_bytes());
        let mut found = self.extensions.clone();
        let words = text.split(|byte| !is_word(*byte));
        for word in words.filter(|word| !word.is_empty()) {
            let exact = self.by_name.get(word);
            // As it is if quoted, in lower case if not.
            let folded = word.to_ascii_lowercase();
            let folded = self.by_name.get(&folded[..]).filter(|_| folded != word);
            found.extend(exact.into_iter().chain(folded).flatten());
        }
        found
    }
}

/// Whether an identifier that needs no quotes may contain the byte.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}
