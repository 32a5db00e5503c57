//! The index behind a key or an exclusion: it has no entry of its own, and pg_dump does not say what it needs.

use std::collections::HashMap;

use super::core_types;
use super::names::{Names, Qualified};
use super::operator_class::OperatorClass;
use super::role;
use super::tokens::{Token, after, tokens};
use crate::TocEntry;

/// Types of types: a domain of a domain, …
const MAX_DEPTH: usize = 16;

/// Where the default operator class of one of the index's columns comes from, as far as it is not PostgreSQL's own or
/// the type's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmet {
    pub(super) access_method: Vec<u8>,
    /// If not, it may be that of any extension.
    pub(super) is_of_btree_gist: bool,
}

/// What is said of the columns of tables, by their names.
type Columns<'t, 'a> = HashMap<&'t [u8], &'t [Token<'a>]>;

pub(super) struct HiddenIndex<'a> {
    pub(super) entries: &'a [TocEntry],
    pub(super) names: &'a Names<'a>,
    pub(super) classes: &'a [OperatorClass],
    /// What the constraint's table depends on, and itself.
    pub(super) relations: &'a [usize],
}

impl HiddenIndex<'_> {
    /// What the constraint's index needs beside what the constraint's text names.
    pub(super) fn unmet(&self, constraint: &TocEntry) -> Vec<Unmet> {
        let text = tokens(constraint.definition_bytes());
        let Some(start) = after(&text, &["add", "constraint"]) else {
            return Vec::new();
        };
        let is_exclusion = text.get(start + 1).is_some_and(|token| token.is("exclude"));
        let Some(open) = text[start..]
            .iter()
            .position(|token| *token == Token::Sign(b'('))
        else {
            return Vec::new();
        };
        let elements = elements(&text[start + open + 1..]);
        let gist = || {
            elements
                .iter()
                .any(|element| after(element, &["without", "overlaps"]).is_some())
        };
        let access_method = match &text[..start + open] {
            [.., using, Token::Name { name, .. }] if is_exclusion && using.is("using") => {
                name.to_vec()
            }
            _ if !is_exclusion && gist() => b"gist".to_vec(),
            _ => b"btree".to_vec(),
        };
        let tables = self.relations.iter().map(|at| &self.entries[*at]);
        let tables: Vec<_> = tables
            .map(|table| tokens(table.definition_bytes()))
            .collect();
        let mut of_columns = Columns::new();
        for (name, of) in tables.iter().flat_map(|table| columns(table)) {
            of_columns.entry(name).or_insert(of);
        }
        let mut unmet: Vec<Unmet> = Vec::new();
        for element in elements {
            if let Some(one) = self.unmet_of(&access_method, element, &of_columns)
                && !unmet.contains(&one)
            {
                unmet.push(one);
            }
        }
        unmet
    }

    fn unmet_of(
        &self,
        access_method: &[u8],
        element: &[Token<'_>],
        columns: &Columns<'_, '_>,
    ) -> Option<Unmet> {
        let unknown = |is_of_btree_gist| {
            let access_method = access_method.to_vec();
            Some(Unmet {
                access_method,
                is_of_btree_gist,
            })
        };
        // An expression's functions are named, and with them what their types need.
        let btree = matches!(access_method, b"btree" | b"hash");
        let (column, rest) = match element {
            [Token::Name { name, .. }, rest @ ..]
                if !matches!(rest, [Token::Sign(b'(' | b'.'), ..]) =>
            {
                (name, rest)
            }
            _ if btree => return None,
            _ => return unknown(false),
        };
        if has_operator_class(rest) {
            return None;
        }
        let of = columns.get(&**column);
        match of.map(|of| self.judge(access_method, of, MAX_DEPTH)) {
            Some(Origin::Known) => None,
            Some(Origin::BtreeGist) => unknown(self.names.extension(b"btree_gist").is_some()),
            None if btree => None,
            Some(Origin::Unknown) | None => unknown(false),
        }
    }

    /// Where the default operator class of a type comes from.
    fn judge(&self, access_method: &[u8], of: &[Token<'_>], depth: usize) -> Origin {
        let is_array = of.contains(&Token::Sign(b'['));
        let btree = matches!(access_method, b"btree" | b"hash");
        let known = |is_known| {
            if is_known {
                Origin::Known
            } else {
                Origin::Unknown
            }
        };
        match of {
            _ if depth == 0 => Origin::Unknown,
            [
                Token::Name { name: schema, .. },
                Token::Sign(b'.'),
                Token::Name { name, .. },
                ..,
            ] => {
                let Some(at) = self.names.type_named(Qualified { schema, name }) else {
                    // An extension's type, and the extension comes with the table.
                    return known(btree);
                };
                let own = |class: &&OperatorClass| {
                    class.is_default && class.access_method == access_method
                };
                let own = self
                    .classes
                    .iter()
                    .filter(own)
                    .any(|class| class.of == Some(at));
                if is_array || own {
                    return known(btree || !is_array);
                }
                self.judge_own(access_method, at, depth)
            }
            [Token::Name { name, .. }, ..]
                if core_types::has_default(access_method, name, is_array) =>
            {
                Origin::Known
            }
            [Token::Name { name, .. }, ..]
                if core_types::is_of_btree_gist(access_method, name, is_array) =>
            {
                Origin::BtreeGist
            }
            _ => Origin::Unknown,
        }
    }

    /// The same of a type that is an entry of the archive.
    fn judge_own(&self, access_method: &[u8], at: usize, depth: usize) -> Origin {
        let entry = &self.entries[at];
        let tokens = tokens(entry.definition_bytes());
        let Some(start) = after(&tokens, &["as"]) else {
            // A table's row, or a type with functions of its own.
            return if role::text(entry) == "TYPE" {
                Origin::Unknown
            } else {
                Origin::Known
            };
        };
        let btree = matches!(access_method, b"btree" | b"hash");
        match &tokens[start..] {
            of if role::text(entry) == "DOMAIN" => self.judge(access_method, of, depth - 1),
            [what, ..] if what.is("range") => Origin::Known,
            [what, ..] if what.is("enum") && access_method == b"gist" => Origin::BtreeGist,
            _ if btree => Origin::Known,
            _ => Origin::Unknown,
        }
    }
}

enum Origin {
    /// PostgreSQL, or what comes along with the type.
    Known,
    BtreeGist,
    Unknown,
}

/// What commas separate, up to the bracket that closes.
fn elements<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut found, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(b'(' | b'[') => depth += 1,
            Token::Sign(b')' | b']') if depth > 0 => depth -= 1,
            Token::Sign(b')') => {
                found.push(&tokens[begin..at]);
                return found;
            }
            Token::Sign(b',') if depth == 0 => {
                found.push(&tokens[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The columns of a table or a composite type, with what is said of each; those that it inherits are not written.
pub(super) fn columns<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<(&'t [u8], &'t [Token<'a>])> {
    let Some(open) = tokens.iter().position(|token| *token == Token::Sign(b'(')) else {
        return Vec::new();
    };
    let elements = elements(&tokens[open + 1..]).into_iter();
    let columns = elements.filter_map(|element| match element {
        [Token::Name { name, .. }, of @ ..] if !of.is_empty() && !of[0].is("with") => {
            Some((&**name, of))
        }
        _ => None,
    });
    columns.collect()
}

/// Whether an operator class with a schema follows the column (and its collation).
fn has_operator_class(mut rest: &[Token<'_>]) -> bool {
    if let [collate, Token::Name { .. }, after @ ..] = rest
        && collate.is("collate")
    {
        rest = match after {
            [Token::Sign(b'.'), Token::Name { .. }, after @ ..] => after,
            _ => after,
        };
    }
    matches!(rest, [Token::Name { .. }, Token::Sign(b'.'), ..])
}
