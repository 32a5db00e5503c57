//! Which tables may refer to large objects: PostgreSQL records no such reference.

use std::collections::HashSet;

use super::hidden_index::columns;
use super::role;
use super::tokens::{Token, after, tokens};
use crate::TocEntry;

/// Whether there are large objects in the archive.
pub(super) fn are_in(entries: &[TocEntry]) -> bool {
    entries.iter().any(|entry| {
        matches!(
            role::text(entry),
            TocEntry::LARGE_OBJECTS | "BLOB" | "BLOB METADATA"
        )
    })
}

/// Whether the table has a column of the type `oid`, or of the extension lo's `lo`: one of its own, one that it
/// inherits, or one of a type that it uses. `needs` has for each entry those that it depends on.
pub(super) fn may_be_meant(entries: &[TocEntry], needs: &[Vec<usize>], table: usize) -> bool {
    let mut seen = HashSet::from([table]);
    let mut pending = vec![table];
    while let Some(at) = pending.pop() {
        if has_reference(&entries[at]) {
            return true;
        }
        let more = needs[at].iter().copied();
        let more = more.filter(|need| {
            matches!(role::text(&entries[*need]), "TABLE" | "TYPE" | "DOMAIN") && seen.insert(*need)
        });
        pending.extend(more);
    }
    false
}

fn has_reference(entry: &TocEntry) -> bool {
    let tokens = tokens(entry.definition_bytes());
    if role::text(entry) == "DOMAIN" {
        return after(&tokens, &["as"]).is_some_and(|at| is_reference(&tokens[at..]));
    }
    columns(&tokens).iter().any(|(_, of)| is_reference(of))
}

fn is_reference(of: &[Token<'_>]) -> bool {
    match of {
        [Token::Name { .. }, Token::Sign(b'.'), name, ..] | [name, ..] => {
            name.is("oid") || name.is("lo")
        }
        [] => false,
    }
}
