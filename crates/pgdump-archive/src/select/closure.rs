//! Walks from the wanted tables to everything that must come with them.

use std::collections::HashSet;

use super::mentions::Mentions;
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
    /// What the texts of functions may refer to; made when the first function is kept.
    mentions: Option<Mentions<'a>>,
    kept: Vec<bool>,
    wanted: Vec<bool>,
    /// Entries that are kept, and whose neighbours have not been looked at.
    pending: Vec<usize>,
}

/// For each entry of the archive, whether it is kept, and whether it is a table with its data.
pub(super) struct Closed {
    pub(super) kept: Vec<bool>,
    pub(super) wanted: Vec<bool>,
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
        let mut closure = Self {
            entries,
            missing: needs.iter().map(Vec::len).collect(),
            needs,
            dependents,
            mentions: None,
            kept: vec![false; entries.len()],
            wanted: vec![false; entries.len()],
            pending: Vec::new(),
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
        while let Some(at) = self.pending.pop() {
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
            if role::has_text(&self.entries[at]) {
                let entries = self.entries;
                let mentions = self.mentions.get_or_insert_with(|| Mentions::new(entries));
                for mentioned in mentions.of(&entries[at]) {
                    self.keep(mentioned);
                }
            }
        }
        self.keep_statistics();
        self.keep_notes_on_absent_schemas();
        let Self { kept, wanted, .. } = self;
        Closed { kept, wanted }
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
