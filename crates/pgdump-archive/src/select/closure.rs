//! Walks from the wanted tables to everything that must come with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::core_types::CoreTypes;
use super::hidden_index::HiddenIndex;
use super::mentions::{Mentioned, Mentions};
use super::names::Names;
use super::operator_class::OperatorClass;
use super::role;
use crate::{Toc, TocEntry};

/// The walk: entries are known by their positions.
pub(super) struct Closure<'a> {
    entries: &'a [TocEntry],
    /// For each entry, those that it depends on, as far as they are in the archive.
    needs: Vec<Vec<usize>>,
    /// For each entry, those that depend on it.
    dependents: Vec<Vec<usize>>,
    /// For each entry, how many of its `needs` are not kept yet.
    missing: Vec<usize>,
    names: Names<'a>,
    classes: Vec<OperatorClass>,
    kept: Vec<bool>,
    wanted: Vec<bool>,
    /// Entries that are kept, and whose neighbours have not been looked at.
    pending: Vec<usize>,
    /// Operators that a text may mean, if values of their operands' types are there.
    operators: BTreeSet<usize>,
    /// Types of PostgreSQL's own that kept texts name.
    core_types: CoreTypes<'a>,
    /// Types that a text names: it may convert from and to them.
    named_types: HashSet<usize>,
    /// Access methods for which a constraint's index needs a default operator class that is not its type's own.
    lacking: HashSet<Vec<u8>>,
    named_tables: BTreeMap<usize, Vec<usize>>,
    absent: BTreeMap<usize, Vec<Name>>,
}

/// A schema and a name in it.
pub(super) type Name = (Vec<u8>, Vec<u8>);

/// What the walk found.
pub(super) struct Closed {
    /// For each entry of the archive, whether it is kept.
    pub(super) kept: Vec<bool>,
    /// For each entry of the archive, whether it is a table that is kept with its data.
    pub(super) wanted: Vec<bool>,
    /// By function, the tables that it names.
    pub(super) named_tables: BTreeMap<usize, Vec<usize>>,
    /// By entry that is kept, the names in it that the archive has nothing for.
    pub(super) absent: BTreeMap<usize, Vec<Name>>,
}

impl<'a> Closure<'a> {
    pub(super) fn new(toc: &'a Toc) -> Self {
        let entries = toc.entries();
        let mut dependents = vec![Vec::new(); entries.len()];
        let mut needs = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let known = entry.dependencies.iter().filter_map(|id| toc.position(*id));
            let mut known: Vec<_> = known.filter(|other| *other != at).collect();
            known.sort_unstable();
            known.dedup();
            known.iter().for_each(|other| dependents[*other].push(at));
            needs.push(known);
        }
        let names = Names::new(entries);
        let mut closure = Self {
            entries,
            classes: OperatorClass::all(entries, &names),
            names,
            missing: needs.iter().map(Vec::len).collect(),
            needs,
            dependents,
            kept: vec![false; entries.len()],
            wanted: vec![false; entries.len()],
            pending: Vec::new(),
            operators: BTreeSet::new(),
            core_types: CoreTypes::default(),
            named_types: HashSet::new(),
            lacking: HashSet::new(),
            named_tables: BTreeMap::new(),
            absent: BTreeMap::new(),
        };
        for (at, entry) in entries.iter().enumerate() {
            if role::is_setting(entry) {
                closure.keep(at);
            }
        }
        closure
    }

    /// Keeps the table at this position, its partitions, and the data of all.
    pub(super) fn want(&mut self, table: usize) {
        let mut tables = vec![table];
        while let Some(table) = tables.pop() {
            if std::mem::replace(&mut self.wanted[table], true) {
                continue;
            }
            self.keep(table);
            for dependent in self.dependents[table].clone() {
                let entry = &self.entries[dependent];
                if entry.is_table_data() {
                    self.keep(dependent);
                } else if entry.description == "TABLE ATTACH" {
                    // It depends on the partition, whose name it has, and on the parent.
                    tables.extend(self.needs[dependent].iter().filter(|at| {
                        let table = &self.entries[**at];
                        table.description == "TABLE" && role::same_name(entry, table)
                    }));
                }
            }
        }
    }

    /// Walks until nothing is missing.
    pub(super) fn close(mut self) -> Closed {
        loop {
            while let Some(at) = self.pending.pop() {
                self.visit(at);
            }
            let more = self.now_meant();
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|at| self.keep(at));
        }
        self.keep_statistics();
        self.keep_notes_on_absent_schemas();
        Closed {
            kept: self.kept,
            wanted: self.wanted,
            named_tables: self.named_tables,
            absent: self.absent,
        }
    }

    /// Keeps what an entry needs and what belongs to it.
    fn visit(&mut self, at: usize) {
        for need in self.needs[at].clone() {
            self.keep(need);
        }
        for dependent in self.dependents[at].clone() {
            self.missing[dependent] -= 1;
            let entry = &self.entries[dependent];
            let joins = role::joins(entry) && self.missing[dependent] == 0;
            if joins || role::belongs(entry, &self.entries[at]) {
                self.keep(dependent);
            }
        }
        let entry = &self.entries[at];
        if role::has_values(entry) {
            self.core_types.read(entry);
        }
        let (entries, names) = (self.entries, &self.names);
        let mentions = Mentions { entries, names };
        if role::has_text(entry) {
            let mentioned = mentions.of_function(entry);
            self.take(at, mentioned);
        } else if role::names_its_needs(entry) {
            let mut mentioned = mentions.of_definition(entry);
            mentioned.entries.extend(mentioned.tables.drain());
            self.take(at, mentioned);
            self.look_for_operator_classes(at);
        } else if role::is_read_for_names(entry) {
            let absent = mentions.of_definition(entry).absent;
            self.take(
                at,
                Mentioned {
                    absent,
                    ..Mentioned::default()
                },
            );
        }
    }

    /// Keeps what a text mentions.
    fn take(&mut self, by: usize, mentioned: Mentioned) {
        for at in mentioned.entries {
            if role::is_type(&self.entries[at]) {
                self.named_types.insert(at);
            }
            self.keep(at);
        }
        self.operators.extend(mentioned.operators);
        if !mentioned.tables.is_empty() {
            self.named_tables
                .insert(by, mentioned.tables.into_iter().collect());
        }
        if !mentioned.absent.is_empty() {
            self.absent
                .insert(by, mentioned.absent.into_iter().collect());
        }
    }

    /// Keeps what the index behind a constraint may take its default operator classes from.
    fn look_for_operator_classes(&mut self, constraint: usize) {
        let relations = self.with_parents(constraint);
        let index = HiddenIndex {
            entries: self.entries,
            names: &self.names,
            classes: &self.classes,
            relations: &relations,
        };
        for unmet in index.unmet(&self.entries[constraint]) {
            let extensions: Vec<_> = match self.names.extension(b"btree_gist") {
                Some(at) if unmet.is_of_btree_gist => vec![at],
                _ => self.names.extensions().collect(),
            };
            extensions.into_iter().for_each(|at| self.keep(at));
            self.lacking.insert(unmet.access_method);
        }
    }

    /// The constraint's table, what it inherits from, and the types that these depend on.
    fn with_parents(&self, constraint: usize) -> Vec<usize> {
        let relation = |at: &usize| role::is_relation(&self.entries[*at]);
        let mut found: Vec<_> = self.needs[constraint]
            .iter()
            .copied()
            .filter(relation)
            .collect();
        let mut seen: HashSet<_> = found.iter().copied().collect();
        let mut next = 0;
        while let Some(at) = found.get(next) {
            let parents = self.needs[*at].iter().copied().filter(relation);
            found.extend(parents.filter(|at| seen.insert(*at)).collect::<Vec<_>>());
            next += 1;
        }
        let tables = found.clone().into_iter();
        let types = tables.flat_map(|at| self.needs[at].iter().copied());
        found.extend(types.filter(|at| role::text(&self.entries[*at]) == "TYPE"));
        found
    }

    /// What is not kept, and is needed now that other things are.
    fn now_meant(&self) -> Vec<usize> {
        let kept_types = |at: usize| {
            let mut types = self.needs[at]
                .iter()
                .filter(|at| role::is_type(&self.entries[**at]));
            types.all(|at| self.kept[*at])
        };
        let operators = self.operators.iter().copied();
        let operators = operators
            .filter(|at| kept_types(*at) && self.core_types.has_operands(&self.entries[*at]));
        let casts = self
            .named_types
            .iter()
            .flat_map(|named| self.dependents[*named].iter().copied());
        let casts = casts.filter(|at| role::text(&self.entries[*at]) == "CAST" && kept_types(*at));
        let classes = self.classes.iter().filter(|class| self.is_meant(class));
        let all = operators.chain(casts).chain(classes.map(|class| class.at));
        all.filter(|at| !self.kept[*at]).collect()
    }

    /// Whether PostgreSQL would take the operator class for what is kept, though it is not named: a type is compared by
    /// its default one, by keys, extended statistics, and queries alike.
    fn is_meant(&self, class: &OperatorClass) -> bool {
        let compares = || {
            let mut kept = self
                .entries
                .iter()
                .zip(&self.kept)
                .filter(|(_, kept)| **kept);
            kept.any(|(entry, _)| role::compares(entry)) && self.core_types.has(&class.type_word)
        };
        class.is_default
            && match class.of {
                Some(of) => self.kept[of],
                None if self.lacking.contains(&class.access_method) => true,
                None => matches!(&class.access_method[..], b"btree" | b"hash") && compares(),
            }
    }

    fn keep(&mut self, at: usize) {
        if !self.kept[at] && !role::is_left_out(&self.entries[at]) {
            self.kept[at] = true;
            self.pending.push(at);
        }
    }

    /// Statistics of a table that is there with its data, or of an index on it.
    fn keep_statistics(&mut self) {
        for (at, entry) in self.entries.iter().enumerate() {
            let filled = |need: &usize| {
                let mut of = self.needs[*need].iter();
                self.wanted[*need] || (self.kept[*need] && of.any(|table| self.wanted[*table]))
            };
            let filled = self.needs[at].iter().any(filled);
            if entry.description == "STATISTICS DATA" && filled {
                self.kept[at] = true;
            }
        }
    }

    /// Grants and comments on a schema that every database has: `public` has no entry itself.
    fn keep_notes_on_absent_schemas(&mut self) {
        let kept = self.entries.iter().zip(&self.kept);
        let schemas: HashSet<_> = kept
            .filter(|(_, kept)| **kept)
            .filter_map(|(entry, _)| entry.schema.as_ref())
            .map(|schema| schema.as_bytes())
            .collect();
        for (at, entry) in self.entries.iter().enumerate() {
            let schema = entry.tag.as_bytes().strip_prefix(b"SCHEMA ");
            let used = schema.is_some_and(|schema| schemas.contains(schema));
            if used && role::is_note(entry) && self.needs[at].is_empty() {
                self.kept[at] = true;
            }
        }
    }
}
