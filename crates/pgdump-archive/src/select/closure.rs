//! Walks from the wanted tables to everything that must come with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::core_types::{CoreTypes, Operands};
use super::hidden_index::HiddenIndex;
use super::mentions::{LookedUp, Mentioned, Mentions};
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
    /// Entries that are kept, and whose neighbours have not been visited.
    pending: Vec<usize>,
    looked_up: LookedUp<'a>,
    /// Operators that are not kept and that a text may mean, if values of their operands' types are there.
    operators: BTreeMap<usize, Operands>,
    /// Types of PostgreSQL's own that kept texts name.
    core_types: CoreTypes<'a>,
    /// Casts that are not kept, of types that a text names: it may convert from and to them.
    casts: BTreeSet<usize>,
    /// Casts by functions of the archive that name none of its types: any text may mean them.
    casts_of_core_types: BTreeSet<usize>,
    /// Whether something is kept that may compare values by the default operator classes of their types.
    compares: bool,
    /// Access methods for which a constraint's index needs a default operator class that is not its type's own.
    lacking: HashSet<Vec<u8>>,
    reads: BTreeMap<usize, Vec<usize>>,
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
    /// For each entry of the archive, those that it depends on.
    pub(super) needs: Vec<Vec<usize>>,
    /// By function, the tables and views that its text names.
    pub(super) reads: BTreeMap<usize, Vec<usize>>,
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
            looked_up: LookedUp::default(),
            operators: BTreeMap::new(),
            core_types: CoreTypes::default(),
            casts: BTreeSet::new(),
            casts_of_core_types: BTreeSet::new(),
            compares: false,
            lacking: HashSet::new(),
            reads: BTreeMap::new(),
            absent: BTreeMap::new(),
        };
        for (at, entry) in entries.iter().enumerate() {
            if role::is_setting(entry) {
                closure.keep(at);
            } else if role::is_cast(entry) {
                closure.add_cast(at);
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
            needs: self.needs,
            reads: self.reads,
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
        self.compares |= role::compares(entry);
        if role::has_values(entry) {
            self.core_types.read(entry);
        }
        if role::has_text(entry) {
            self.casts.append(&mut self.casts_of_core_types);
            let mentioned = self.mentions().of_function(entry);
            self.take(at, mentioned);
        } else if role::names_its_needs(entry) {
            let mut mentioned = self.mentions().of_definition(entry);
            mentioned.entries.extend(mentioned.relations.drain());
            self.take(at, mentioned);
            self.look_for_operator_classes(at);
        } else if role::is_read_for_names(entry) {
            let absent = self.mentions().of_definition(entry).absent;
            let mentioned = Mentioned {
                absent,
                ..Mentioned::default()
            };
            self.take(at, mentioned);
        }
        if role::has_constants(entry) {
            let entries = self.mentions().of_constants(entry);
            let mentioned = Mentioned {
                entries,
                ..Mentioned::default()
            };
            self.take(at, mentioned);
        }
    }

    fn mentions(&mut self) -> Mentions<'_, 'a> {
        Mentions {
            entries: self.entries,
            names: &self.names,
            looked_up: &mut self.looked_up,
        }
    }

    /// Keeps what a text mentions.
    fn take(&mut self, by: usize, mentioned: Mentioned) {
        for at in mentioned.entries {
            if role::is_type(&self.entries[at]) {
                let dependents = self.dependents[at].iter().copied();
                let is_cast = |at: &usize| role::is_cast(&self.entries[*at]) && !self.kept[*at];
                self.casts.extend(dependents.filter(is_cast));
            }
            self.keep(at);
        }
        for at in mentioned.operators.into_iter().filter(|at| !self.kept[*at]) {
            let operands = || Operands::of(&self.entries[at]);
            self.operators.entry(at).or_insert_with(operands);
        }
        if !mentioned.relations.is_empty() {
            self.reads
                .insert(by, mentioned.relations.into_iter().collect());
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
    fn now_meant(&mut self) -> Vec<usize> {
        let kept = &self.kept;
        self.operators.retain(|at, _| !kept[*at]);
        self.casts.retain(|at| !kept[*at]);
        let has_kept_types = |at: usize| {
            let mut types = self.needs[at]
                .iter()
                .filter(|at| role::is_type(&self.entries[**at]));
            types.all(|at| self.kept[*at])
        };
        let operators = self.operators.iter();
        let operators = operators
            .filter(|(at, operands)| has_kept_types(**at) && self.core_types.has_all(operands));
        let casts = self.casts.iter().filter(|at| has_kept_types(**at));
        let classes = self.classes.iter();
        let classes = classes.filter(|class| !self.kept[class.at] && self.is_meant(class));
        let all = operators.map(|(at, _)| *at).chain(casts.copied());
        all.chain(classes.map(|class| class.at)).collect()
    }

    /// Whether PostgreSQL would take the operator class for what is kept, though it is not named: a type is compared by
    /// its default one, by keys, extended statistics, and queries alike.
    fn is_meant(&self, class: &OperatorClass) -> bool {
        class.is_default
            && match class.of {
                Some(of) => self.kept[of],
                None if self.lacking.contains(&class.access_method) => true,
                None => {
                    matches!(&class.access_method[..], b"btree" | b"hash")
                        && self.compares
                        && self.core_types.has(&class.type_word)
                }
            }
    }

    /// Keeps a cast between types of PostgreSQL's own by nothing but what PostgreSQL has: no other entry says that it
    /// uses the cast. One by a function is used without a record only by texts. One of a type that the archive lacks
    /// cannot be restored.
    fn add_cast(&mut self, at: usize) {
        let types = |need: &usize| role::is_type(&self.entries[*need]);
        let of_own = self.needs[at].iter().any(types);
        let entry = &self.entries[at];
        if of_own || !self.mentions().of_definition(entry).absent.is_empty() {
            return;
        }
        if self.needs[at].is_empty() {
            self.keep(at);
        } else {
            self.casts_of_core_types.insert(at);
        }
    }

    /// Whether it never comes along. Of rules, only that comes which is a view's query.
    fn is_left_out(&self, at: usize) -> bool {
        let entry = &self.entries[at];
        let is_query = || {
            let mut of = self.needs[at].iter().map(|of| &self.entries[*of]);
            of.any(|view| role::is_query_of(entry, view))
        };
        role::is_left_out(entry) || role::text(entry) == "RULE" && !is_query()
    }

    fn keep(&mut self, at: usize) {
        if !self.kept[at] && !self.is_left_out(at) {
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
            if entry.description == "STATISTICS DATA" && self.needs[at].iter().any(filled) {
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
