//! The archive's objects by the names that a text may call them.

use std::collections::{HashMap, HashSet};

use super::role;
use super::tokens::{self, Token, tokens};
use crate::TocEntry;

/// PostgreSQL cuts names to 63 bytes; builds for longer ones are rare.
const MAX_NAME_BYTES: usize = 256;

/// Positions of entries, by their names without schema: in the order of their schemas, then of the archive.
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
    /// Schemas that extensions are said to be in.
    schemas_of_extensions: HashSet<Vec<u8>>,
    /// Whether of some it is not said.
    extensions_without_schema: bool,
    /// By its name without schema, the type that a range type makes beside itself, and that has no entry: its schema,
    /// and the range type's entry.
    multiranges: HashMap<Vec<u8>, Vec<(Vec<u8>, usize)>>,
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
            schemas_of_extensions: HashSet::new(),
            extensions_without_schema: false,
            multiranges: HashMap::new(),
        };
        for (at, entry) in entries.iter().enumerate() {
            names.add(at, entry);
        }
        let lists = names.objects.values_mut();
        let lists = lists.chain(names.relations.values_mut());
        let lists = lists.chain(names.operators.values_mut());
        for list in lists.chain(names.operator_classes.values_mut()) {
            list.sort_by_key(|at| schema_of(&entries[*at]));
        }
        names
    }

    fn add(&mut self, at: usize, entry: &'a TocEntry) {
        let tag = entry.tag.as_bytes();
        let (map, name) = match role::text(entry) {
            "EXTENSION" => {
                let schema = after(entry, &["with", "schema"]).map(|(_, name)| name);
                self.extensions_without_schema |= schema.is_none();
                self.schemas_of_extensions.extend(schema.clone());
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
                    self.multiranges.entry(name).or_default().push((schema, at));
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

    /// Objects other than relations and operators, in whatever schema, and their name as the archive has it.
    pub(super) fn objects(&self, name: &[u8]) -> Option<(&'a [u8], &[usize])> {
        let (name, all) = self.objects.get_key_value(name)?;
        Some((*name, all.as_slice()))
    }

    pub(super) fn relations(&self, name: &[u8]) -> &[usize] {
        list(&self.relations, name)
    }

    /// In whatever schema, with their name as the archive has it.
    pub(super) fn operators(&self, name: &[u8]) -> Option<(&'a [u8], &[usize])> {
        let (name, all) = self.operators.get_key_value(name)?;
        Some((*name, all.as_slice()))
    }

    pub(super) fn access_methods(&self, name: &[u8]) -> &[usize] {
        list(&self.access_methods, name)
    }

    /// Those of one name that are in this schema.
    pub(super) fn within<'s>(&self, all: &'s [usize], schema: &[u8]) -> &'s [usize] {
        let begin = all.partition_point(|at| schema_of(&self.entries[*at]) < schema);
        let all = &all[begin..];
        &all[..all.partition_point(|at| schema_of(&self.entries[*at]) == schema)]
    }

    /// What has exactly this name, by kind: functions of all arguments, relations, operators of all operands.
    pub(super) fn kinds_named(&self, of: Qualified<'_>) -> [&[usize]; 4] {
        let maps = [
            &self.objects,
            &self.relations,
            &self.operators,
            &self.operator_classes,
        ];
        maps.map(|map| self.within(list(map, of.name), of.schema))
    }

    /// The type whose multirange has this name.
    pub(super) fn multirange(&self, of: Qualified<'_>) -> Option<usize> {
        let mut all = self.multiranges.get(of.name)?.iter();
        all.find(|(schema, _)| schema == of.schema)
            .map(|(_, at)| *at)
    }

    /// Functions, types, sequences and the like of exactly this name.
    pub(super) fn objects_named(&self, of: Qualified<'_>) -> impl Iterator<Item = usize> {
        let [objects, ..] = self.kinds_named(of);
        objects.iter().copied().chain(self.multirange(of))
    }

    /// The type of this name, which may be that of a table's rows.
    pub(super) fn type_named(&self, of: Qualified<'_>) -> Option<usize> {
        let [objects, relations, ..] = self.kinds_named(of);
        let mut all = objects.iter().chain(relations).copied();
        all.find(|at| role::is_type(&self.entries[*at]))
            .or_else(|| self.multirange(of))
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
    pub(super) fn extensions_in(&self, schema: &[u8]) -> impl Iterator<Item = usize> {
        let own = self.is_of_nobody(schema);
        let all = self.extensions.iter().filter(move |extension| {
            own || extension
                .schema
                .as_deref()
                .is_none_or(|known| known == schema)
        });
        all.map(|extension| extension.at)
    }

    /// Whether there is such an extension.
    pub(super) fn may_be_of_extension(&self, schema: &[u8]) -> bool {
        let of_any = self.is_of_nobody(schema) || self.extensions_without_schema;
        of_any && !self.extensions.is_empty() || self.schemas_of_extensions.contains(schema)
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

fn list<'m>(map: &'m ByName<'_>, name: &[u8]) -> &'m [usize] {
    map.get(name).map_or(&[], Vec::as_slice)
}

fn schema_of(entry: &TocEntry) -> &[u8] {
    entry
        .schema
        .as_ref()
        .map_or(&[], |schema| schema.as_bytes())
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
