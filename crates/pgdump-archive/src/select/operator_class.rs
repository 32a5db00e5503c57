//! Operator classes: which of them PostgreSQL takes where none is named.

use super::names::{Names, Qualified};
use super::role;
use super::tokens::{Token, after, tokens};
use crate::TocEntry;

#[derive(Debug)]
pub(super) struct OperatorClass {
    pub(super) at: usize,
    pub(super) is_default: bool,
    /// The type's entry; `None` for a type of PostgreSQL or of an extension.
    pub(super) of: Option<usize>,
    /// The first word of the type's name, or its schema.
    pub(super) type_word: Vec<u8>,
    pub(super) access_method: Vec<u8>,
}

impl OperatorClass {
    /// Those of the archive, not those of extensions.
    pub(super) fn all(entries: &[TocEntry], names: &Names<'_>) -> Vec<Self> {
        let classes = entries.iter().enumerate();
        let classes = classes.filter(|(_, entry)| role::text(entry) == "OPERATOR CLASS");
        classes
            .filter_map(|(at, entry)| Self::read(at, entry, names))
            .collect()
    }

    /// `CREATE OPERATOR CLASS s.name DEFAULT FOR TYPE s.of USING btree FAMILY …`
    fn read(at: usize, entry: &TocEntry, names: &Names<'_>) -> Option<Self> {
        let tokens = tokens(entry.definition_bytes());
        let begin = after(&tokens, &["for", "type"])?;
        let rest = &tokens[begin..];
        let of = match rest {
            [
                Token::Name { name: schema, .. },
                Token::Sign(b'.'),
                Token::Name { name, .. },
                ..,
            ] => names.type_named(Qualified { schema, name }),
            _ => None,
        };
        let Some(Token::Name { name: word, .. }) = rest.first() else {
            return None;
        };
        let Token::Name { name, .. } = rest.get(after(rest, &["using"])?)? else {
            return None;
        };
        Some(Self {
            at,
            is_default: begin > 2 && tokens[begin - 3].is("default"),
            of,
            type_word: word.to_vec(),
            access_method: name.to_vec(),
        })
    }
}
