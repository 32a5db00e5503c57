//! The archive's objects by the names that a text may call them.

use std::collections::HashMap;

use super::role;
use super::tokens::{self, Token, tokens};
use crate::TocEntry;

/// PostgreSQL cuts names to 63 bytes; builds for longer ones are rare.
const MAX_NAME_BYTES: usize = 256;

/// Positions of entries, by their names without schema.
type ByName<'a> = HashMap<&'a [u8], Vec<usize>>;

/// A name in a text, with the schema that is written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Qualified<'t> {
    pub(super) schema: &'t [u8],
    pub(super) name: &'t [u8],
}

pub(super) struct Names<'a> {
    entries: &'a [TocEntry],
    /// Functions, types, sequences, collations, text search objects.
    objects: ByName<'a>,
    /// Tables, views, materialized views and foreign tables.
    relations: ByName<'a>,
    operators: ByName<'a>,
    operator_classes: ByName<'a>,
    access_methods: ByName<'a>,
    schemas: ByName<'a>,
    /// Functions, types and operators of an extension have no entries of their own.
    extensions: Vec<Extension<'a>>,
    /// A range type makes a second type, which has a name of its own and no entry.
    multiranges: Vec<(Vec<u8>, Vec<u8>, usize)>,
}

struct Extension<'a> {
    at: usize,
    name: &'a [u8],
    schema: Option<Vec<u8>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(entries: &'a [TocEntry]) -> Self {
        let mut names = Self {
            entries,
            objects: HashMap::new(),
            relations: HashMap::new(),
            operators: HashMap::new(),
            operator_classes: HashMap::new(),
            access_methods: HashMap::new(),
            schemas: HashMap::new(),
            extensions: Vec::new(),
            multiranges: Vec::new(),
        };
        for (at, entry) in entries.iter().enumerate() {
            names.add(at, entry);
        }
        names
    }

    fn add(&mut self, at: usize, entry: &'a TocEntry) {
        let tag = entry.tag.as_bytes();
        let (map, name) = match role::text(entry) {
            "EXTENSION" => {
                let schema = after(entry, &["with", "schema"]).map(|(_, name)| name);
                let name = tag;
                self.extensions.push(Extension { at, name, schema });
                return;
            }
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
                for name in function_names(tag) {
                    self.objects.entry(name).or_default().push(at);
                }
                return;
            }
            "TYPE" => {
                if let Some((schema, name)) = after(entry, &["multirange_type_name"]) {
                    self.multiranges.push((schema, name, at));
                }
                (&mut self.objects, tag)
            }
            "DOMAIN" | "SEQUENCE" | "COLLATION" => (&mut self.objects, tag),
            "TEXT SEARCH CONFIGURATION" | "TEXT SEARCH DICTIONARY" => (&mut self.objects, tag),
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => (&mut self.relations, tag),
            "OPERATOR" => (&mut self.operators, tag),
            "OPERATOR CLASS" => (&mut self.operator_classes, tag),
            "ACCESS METHOD" => (&mut self.access_methods, tag),
            "SCHEMA" => (&mut self.schemas, tag),
            _ => return,
        };
        map.entry(name).or_default().push(at);
    }

    /// Objects other than relations and operators, in whatever schema.
    pub(super) fn objects(&self, name: &[u8]) -> &[usize] {
        self.objects.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn relations(&self, name: &[u8]) -> &[usize] {
        self.relations.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn operators(&self, name: &[u8]) -> &[usize] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn access_methods(&self, name: &[u8]) -> &[usize] {
        self.access_methods.get(name).map_or(&[], Vec::as_slice)
    }

    /// What has exactly this name: functions of all arguments, operators of all operands.
    pub(super) fn named(&self, of: Qualified<'_>) -> Vec<usize> {
        let maps = [
            &self.objects,
            &self.relations,
            &self.operators,
            &self.operator_classes,
        ];
        let found = maps.into_iter().filter_map(|map| map.get(of.name));
        let found = found
            .flatten()
            .copied()
            .filter(|at| self.is_in(*at, of.schema));
        let multiranges = self.multiranges.iter();
        let multiranges =
            multiranges.filter(|(schema, name, _)| schema == of.schema && name == of.name);
        found.chain(multiranges.map(|(.., at)| *at)).collect()
    }

    /// The type of this name, which may be that of a table's rows.
    pub(super) fn type_named(&self, of: Qualified<'_>) -> Option<usize> {
        let named = self.named(of).into_iter();
        named
            .into_iter()
            .find(|at| role::is_type(&self.entries[*at]))
    }

    pub(super) fn is_in(&self, at: usize, schema: &[u8]) -> bool {
        let own = self.entries[at].schema.as_ref();
        own.is_some_and(|own| own.as_bytes() == schema)
    }

    pub(super) fn extensions(&self) -> impl Iterator<Item = usize> {
        self.extensions.iter().map(|extension| extension.at)
    }

    pub(super) fn extension(&self, name: &[u8]) -> Option<usize> {
        let mut all = self.extensions.iter();
        all.find(|extension| extension.name == name)
            .map(|extension| extension.at)
    }

    /// The extensions that may have made what is in this schema and has no entry. Some make schemas of
    /// their own, which have no entry either.
    pub(super) fn extensions_in(&self, schema: &[u8]) -> Vec<usize> {
        let all = self.extensions.iter();
        let own = self.is_of_nobody(schema);
        all.filter(|extension| {
            own || extension
                .schema
                .as_deref()
                .is_none_or(|known| known == schema)
        })
        .map(|extension| extension.at)
        .collect()
    }

    /// Whether the schema is neither in the archive nor in every database.
    fn is_of_nobody(&self, schema: &[u8]) -> bool {
        schema != b"public" && !self.has_schema(schema)
    }

    pub(super) fn has_schema(&self, schema: &[u8]) -> bool {
        self.schemas.contains_key(schema)
    }
}

/// What the function may be called: its tag has the types of its arguments in brackets, and nothing is quoted.
fn function_names(tag: &[u8]) -> impl Iterator<Item = &[u8]> {
    let brackets = tag.iter().take(MAX_NAME_BYTES).enumerate();
    let brackets = brackets.filter(|(_, byte)| **byte == b'(');
    brackets.map(|(at, _)| &tag[..at])
}

/// The name that follows these keywords in the entry's definition: its schema (or nothing) and itself.
fn after(entry: &TocEntry, keywords: &[&str]) -> Option<(Vec<u8>, Vec<u8>)> {
    let tokens = tokens(entry.definition_bytes());
    let mut rest = &tokens[tokens::after(&tokens, keywords)?..];
    if let [Token::Operator(b"="), after @ ..] = rest {
        rest = after;
    }
    match rest {
        [
            Token::Name { name: schema, .. },
            Token::Sign(b'.'),
            Token::Name { name, .. },
            ..,
        ] => Some((schema.to_vec(), name.to_vec())),
        [Token::Name { name, .. }, ..] => Some((Vec::new(), name.to_vec())),
        _ => None,
    }
}

/// Every `schema.name` and `OPERATOR(schema.sign)` of a text but those of PostgreSQL itself, with the position of
/// what follows.
pub(super) fn qualified<'t>(tokens: &'t [Token<'_>]) -> Vec<(Qualified<'t>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let name: &[u8] = match &tokens[at..] {
            [
                Token::Name { .. },
                Token::Sign(b'.'),
                Token::Name { name, .. },
                ..,
            ] => name,
            [
                Token::Name { .. },
                Token::Sign(b'.'),
                Token::Operator(sign),
                ..,
            ] if is_operator_call(&tokens[..at]) => sign,
            _ => {
                at += 1;
                continue;
            }
        };
        let Token::Name { name: schema, .. } = &tokens[at] else {
            break;
        };
        at += 3;
        if !matches!(&**schema, b"pg_catalog" | b"information_schema") {
            found.push((Qualified { schema, name }, at));
        }
    }
    found
}

fn is_operator_call(before: &[Token<'_>]) -> bool {
    matches!(before, [.., name, Token::Sign(b'(')] if name.is("operator"))
}
