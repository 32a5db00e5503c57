//! What a text refers to that PostgreSQL records no dependency of.
//!
//! Of a function, PostgreSQL records its arguments and a body that it has parsed, but not a body that is a string.
//! Words that are names of objects are taken for references: one object too many does no harm, one too few makes an
//! index, a check or a default fail.

use std::collections::HashSet;

use super::names::{Names, Qualified, qualified};
use super::role;
use super::tokens::{Token, is_word, tokens};
use crate::TocEntry;

/// Strings within strings within … that are looked into.
const MAX_DEPTH: usize = 4;

/// What a text refers to; entries are known by their positions.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    pub(super) entries: HashSet<usize>,
    /// Operators of this name: they are meant only if the types of their operands are there.
    pub(super) operators: HashSet<usize>,
    /// Tables, whose rows may matter: only who asks for a table gets it.
    pub(super) tables: HashSet<usize>,
    /// `schema.name` of what is not in the archive, nor can be an extension's.
    pub(super) absent: HashSet<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct Mentions<'n, 'a> {
    pub(super) entries: &'a [TocEntry],
    pub(super) names: &'n Names<'a>,
}

impl Mentions<'_, '_> {
    /// What this function may refer to.
    pub(super) fn of_function(&self, function: &TocEntry) -> Mentioned {
        let text = function.definition_bytes();
        let mut found = Mentioned::default();
        found.entries.extend(self.names.extensions());
        for word in text
            .split(|byte| !is_word(*byte))
            .filter(|word| !word.is_empty())
        {
            self.object(word, &mut found);
            // As it is if quoted, in lower case if not.
            self.object(&word.to_ascii_lowercase(), &mut found);
        }
        // In other languages quotes may not come in pairs.
        for skip in [0, 1] {
            let parts = text.split(|byte| *byte == b'"').skip(skip);
            parts
                .skip(1)
                .step_by(2)
                .for_each(|name| self.object(name, &mut found));
        }
        let is_sql = ["sql", "plpgsql"];
        let tokens = tokens(text);
        let language = tokens.windows(2).find(|window| window[0].is("language"));
        let is_sql = language.is_some_and(|window| is_sql.iter().any(|name| window[1].is(name)));
        self.walk(
            function,
            &tokens,
            if is_sql { MAX_DEPTH } else { 1 },
            &mut found,
        );
        if !is_sql {
            found.tables.clear();
            found.absent.clear();
        }
        found
    }

    /// What a text refers to in which PostgreSQL has written each name with its schema.
    pub(super) fn of_definition(&self, entry: &TocEntry) -> Mentioned {
        let tokens = tokens(entry.definition_bytes());
        // What follows is about the object.
        let end = tokens.iter().position(|token| *token == Token::Sign(b';'));
        let tokens = &tokens[..end.unwrap_or(tokens.len())];
        let mut found = Mentioned::default();
        for (of, end) in qualified(tokens) {
            // `toast.autovacuum_enabled='false'`
            let is_setting =
                of.schema == b"toast" && tokens.get(end) == Some(&Token::Operator(b"="));
            if !is_setting && !self.qualified(of, &mut found) {
                found.absent.insert((of.schema.to_vec(), of.name.to_vec()));
            }
        }
        for window in tokens.windows(2).filter(|window| window[0].is("using")) {
            if let Token::Name { name, .. } = &window[1] {
                found.entries.extend(self.names.access_methods(name));
            }
        }
        found
    }

    /// A function's text, and the strings in it: they may be its body, or be executed.
    fn walk(&self, function: &TocEntry, tokens: &[Token<'_>], depth: usize, found: &mut Mentioned) {
        for (of, end) in qualified(tokens) {
            let is_call = tokens.get(end) == Some(&Token::Sign(b'('));
            let known = self.names.has_schema(of.schema) || of.schema == b"public";
            // A string that is not executed may name anything, and `a.b (` may be a column of a list.
            if !self.qualified(of, found) && known && depth + 1 >= MAX_DEPTH {
                let before = end.checked_sub(4).map(|at| &tokens[at]);
                if is_call || before.is_some_and(is_before_relation) {
                    found.absent.insert((of.schema.to_vec(), of.name.to_vec()));
                }
            }
        }
        let queries = queries(tokens);
        for (at, token) in tokens.iter().enumerate() {
            match token {
                Token::Name { name, .. } => {
                    self.object(name, found);
                    let is_qualified = tokens.get(at + 1) == Some(&Token::Sign(b'.'));
                    if !is_qualified && names_relation(&tokens[..at]) && !queries.contains(&**name)
                    {
                        self.relation(function, name, found);
                    }
                }
                Token::Operator(sign) => found.operators.extend(self.names.operators(sign)),
                Token::Text(text) => {
                    self.object(text, found);
                    if depth > 0 {
                        self.walk(function, &super::tokens::tokens(text), depth - 1, found);
                    }
                }
                Token::Number | Token::Sign(_) => {}
            }
        }
    }

    /// Of any schema: the function's search path is not known.
    fn object(&self, name: &[u8], found: &mut Mentioned) {
        found.entries.extend(self.names.objects(name));
    }

    /// A relation without its schema. Of several tables, the one in the function's own schema is meant.
    fn relation(&self, function: &TocEntry, name: &[u8], found: &mut Mentioned) {
        let all = self.names.relations(name);
        for at in all {
            let nearest = || self.entries[*at].schema == function.schema;
            match role::text(&self.entries[*at]) {
                "VIEW" | "MATERIALIZED VIEW" => found.entries.insert(*at),
                _ if all.len() == 1 || nearest() => found.tables.insert(*at),
                _ => false,
            };
        }
    }

    /// Whether there may be something of this name.
    fn qualified(&self, of: Qualified<'_>, found: &mut Mentioned) -> bool {
        let named = self.names.named(of);
        for at in &named {
            let among = match role::text(&self.entries[*at]) {
                "OPERATOR" => &mut found.operators,
                "TABLE" | "FOREIGN TABLE" => &mut found.tables,
                _ => &mut found.entries,
            };
            among.insert(*at);
        }
        if named.is_empty() {
            let extensions = self.names.extensions_in(of.schema);
            found.entries.extend(&extensions);
            return !extensions.is_empty();
        }
        true
    }
}

/// Whether what comes next is the name of a relation.
fn names_relation(before: &[Token<'_>]) -> bool {
    match before {
        // Neither `IS DISTINCT FROM x` nor `SELECT … INTO x` of PL/pgSQL.
        [.., distinct, from] if from.is("from") => !distinct.is("distinct"),
        [.., insert, into] if into.is("into") => insert.is("insert"),
        [.., last] => is_before_relation(last),
        [] => false,
    }
}

fn is_before_relation(token: &Token<'_>) -> bool {
    ["from", "join", "update", "into", "only"]
        .iter()
        .any(|keyword| token.is(keyword))
}

/// The names that a text gives to queries: `WITH name (…) AS MATERIALIZED (…)`.
fn queries<'t>(tokens: &'t [Token<'_>]) -> HashSet<&'t [u8]> {
    let mut found = HashSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Name { name, .. } = token else {
            continue;
        };
        let begins = at.checked_sub(1).is_some_and(|before| {
            let before = &tokens[before];
            before.is("with") || before.is("recursive") || *before == Token::Sign(b',')
        });
        let is_query = match &tokens[at + 1..] {
            [after, what, ..] if after.is("as") => {
                *what == Token::Sign(b'(') || what.is("materialized") || what.is("not")
            }
            [Token::Sign(b'('), ..] => begins,
            _ => false,
        };
        if is_query {
            found.insert(&**name);
        }
    }
    found
}
