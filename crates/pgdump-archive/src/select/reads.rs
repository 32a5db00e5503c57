//! The tables that functions read, be it through views.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::closure::Closed;
use super::role;
use crate::TocEntry;

pub(super) struct Reads<'a> {
    entries: &'a [TocEntry],
    closed: &'a Closed,
    /// By view, the rule that has its query, where the view was written as a dummy first.
    queries: HashMap<usize, usize>,
}

impl<'a> Reads<'a> {
    pub(super) fn new(entries: &'a [TocEntry], closed: &'a Closed) -> Self {
        let rules = (0..entries.len()).filter(|at| role::text(&entries[*at]) == "RULE");
        let queries = rules.filter_map(|rule| {
            let mut needs = closed.needs[rule].iter();
            let is_query = |view: &&usize| role::is_query_of(&entries[rule], &entries[**view]);
            Some((*needs.find(is_query)?, rule))
        });
        Self {
            entries,
            closed,
            queries: queries.collect(),
        }
    }

    /// The tables, foreign ones too, that are among these relations, or that the views among them read in turn.
    pub(super) fn tables(&self, relations: &[usize]) -> BTreeSet<usize> {
        let mut tables = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut pending = relations.to_vec();
        while let Some(at) = pending.pop() {
            if !seen.insert(at) {
                continue;
            }
            if !role::is_view(&self.entries[at]) {
                tables.insert(at);
                continue;
            }
            let query = self.queries.get(&at);
            for reader in [Some(&at), query].into_iter().flatten() {
                let needs = self.closed.needs[*reader].iter().copied();
                pending.extend(needs.filter(|need| role::is_relation(&self.entries[*need])));
            }
        }
        tables
    }
}
