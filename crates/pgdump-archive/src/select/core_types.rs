//! PostgreSQL's own types: which of them texts name, and for which PostgreSQL 14 to 18 has a default operator class.

use std::collections::HashSet;

use super::tokens::{Token, tokens};
use crate::TocEntry;

/// First words of types that people also write otherwise: `int8`, `bool`, `decimal`, …
const WITH_OTHER_NAMES: [&str; 12] = [
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "double",
    "integer",
    "numeric",
    "real",
    "smallint",
    "time",
    "timestamp",
];

/// The words of texts, among which are the names of the types that they use.
#[derive(Debug, Default)]
pub(super) struct CoreTypes<'a> {
    words: HashSet<&'a [u8]>,
}

impl<'a> CoreTypes<'a> {
    pub(super) fn read(&mut self, entry: &'a TocEntry) {
        let text = entry.definition_bytes();
        // Without the underscore, so that `row_to_json` names json.
        self.words
            .extend(text.split(|byte| !byte.is_ascii_alphanumeric()));
    }

    /// Whether there may be values of the type whose name begins with this word.
    pub(super) fn has(&self, word: &[u8]) -> bool {
        WITH_OTHER_NAMES.iter().any(|name| name.as_bytes() == word) || self.words.contains(word)
    }

    /// The same of each of an operator's operands.
    pub(super) fn has_all(&self, operands: &Operands) -> bool {
        operands.0.iter().all(|name| self.has(name))
    }
}

/// The first words of PostgreSQL's own types that are an operator's operands; with an underscore they are not read.
#[derive(Debug)]
pub(super) struct Operands(Vec<Vec<u8>>);

impl Operands {
    pub(super) fn of(operator: &TocEntry) -> Self {
        let tokens = tokens(operator.definition_bytes());
        let operands = tokens.windows(4).filter_map(|window| match window {
            // With a schema it is none of PostgreSQL's own.
            [
                _,
                Token::Operator(b"="),
                Token::Name { .. },
                Token::Sign(b'.'),
            ] => None,
            [argument, Token::Operator(b"="), Token::Name { name, .. }, _] => {
                (argument.is("leftarg") || argument.is("rightarg")).then_some(name)
            }
            _ => None,
        });
        let operands = operands.filter(|name| !name.contains(&b'_'));
        Self(operands.map(|name| name.to_vec()).collect())
    }
}

/// Types that have none for `btree`. No other type of PostgreSQL's can get one from an extension.
const NOT_BTREE: [&str; 19] = [
    "aclitem",
    "box",
    "cid",
    "circle",
    "gtsvector",
    "json",
    "jsonpath",
    "line",
    "lseg",
    "path",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_snapshot",
    "point",
    "polygon",
    "refcursor",
    "txid_snapshot",
    "xid",
    "xml",
];

/// Types that have none for `hash`, beside those above.
const NOT_HASH: [&str; 5] = ["bit", "money", "pg_lsn", "tsquery", "tsvector"];

/// Types that have none for `btree` but one for `hash`.
const HASH_ALONE: [&str; 3] = ["aclitem", "cid", "xid"];

const GIST: [&str; 18] = [
    "box",
    "circle",
    "datemultirange",
    "daterange",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "nummultirange",
    "numrange",
    "point",
    "polygon",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
];

const SPGIST: [&str; 12] = [
    "box",
    "cidr",
    "daterange",
    "inet",
    "int4range",
    "int8range",
    "numrange",
    "point",
    "polygon",
    "text",
    "tsrange",
    "tstzrange",
];

/// Types for which the extension `btree_gist` has the default operator class of `gist`.
const BTREE_GIST: [&str; 25] = [
    "bigint",
    "bit",
    "boolean",
    "bytea",
    "character",
    "cidr",
    "date",
    "double",
    "inet",
    "integer",
    "interval",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "oid",
    "real",
    "smallint",
    "text",
    "time",
    "timestamp",
    "uuid",
    "varbit",
    "varchar",
];

/// Whether PostgreSQL itself has a default operator class for this type of its own, named by its first word.
pub(super) fn has_default(access_method: &[u8], of: &[u8], is_array: bool) -> bool {
    let is_in = |list: &[&str]| list.iter().any(|name| name.as_bytes() == of);
    match access_method {
        b"btree" => is_array || !is_in(&NOT_BTREE),
        b"hash" => is_array || is_in(&HASH_ALONE) || !is_in(&NOT_BTREE) && !is_in(&NOT_HASH),
        b"gist" => !is_array && is_in(&GIST),
        b"spgist" => !is_array && is_in(&SPGIST),
        _ => false,
    }
}

/// Whether `btree_gist` has the default operator class, which then no other extension can have.
pub(super) fn is_of_btree_gist(access_method: &[u8], of: &[u8], is_array: bool) -> bool {
    let is_in = BTREE_GIST.iter().any(|name| name.as_bytes() == of);
    access_method == b"gist" && !is_array && is_in
}
