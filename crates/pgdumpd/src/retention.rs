//! Which backups a target keeps. Rules alone: what exists is found out elsewhere, and so is what time it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::Filters;

/// Backups that can stand for one another: of one database, with the same filters, asked for by the same producer. A
/// part of a database never pushes out a backup of the whole, nor does anybody's backup that of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    owner: Owner,
    partial: bool,
    filters: Filters,
}

/// Whose backup, and of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The role that asked for it; `None` for the roles that act for all jobs, and the schedules with them.
    pub producer: Option<String>,
    /// What was dumped.
    pub database: DumpedDatabase,
}

/// A database that cannot be taken for another: an address may lead to one today and to another tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DumpedDatabase {
    /// The cluster's number, in decimal.
    pub system_identifier: String,
    /// Its name there.
    pub name: String,
}

impl std::fmt::Display for DumpedDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Manifests name both: nothing of them may reach a terminal as it is.
        let (name, identifier) = (&self.name, self.system_identifier.escape_debug());
        write!(f, "{name:?} (system identifier {identifier})")
    }
}

impl Scope {
    /// `partial` as the manifest says it: filters that this build does not know make a backup partial, too.
    pub fn new(owner: Owner, partial: bool, filters: Filters) -> Self {
        Self {
            owner,
            partial,
            filters: filters.sorted(),
        }
    }

    /// What was dumped.
    pub fn database(&self) -> &DumpedDatabase {
        &self.owner.database
    }
}

/// What is known of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its manifest can be read and its object is there.
    Good,
    /// Its manifest or its object is gone. It counts for nothing, and what remains of it goes when its time comes.
    Lost,
}

/// The rules of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How many good backups of each scope stay; 0 means 1.
    pub keep_last: u32,
    /// How many partial ones stay of each owner, whatever their filters. None: [`DEFAULT_PARTIAL`] times `keep_last` of
    /// a producer, which could fill the storage with one set of filters after another, and all of the others.
    pub keep_partial: Option<u32>,
}

/// How many times `keep_last` partial backups of a producer stay, if nothing else is said.
const DEFAULT_PARTIAL: u32 = 10;

/// Why a backup may go: these, which are newer, are kept in its place, by their indices. It goes only while all of them
/// are still stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// As many as the rule demands.
    pub kept: Arc<[usize]>,
}

/// The newest good backups, and the same once there are enough.
#[derive(Debug, Default)]
struct Kept {
    so_far: Vec<usize>,
    enough: Option<Arc<[usize]>>,
}

impl Rules {
    /// Says for each backup why it may go, if it may. `newest_first` holds everything that may be deleted, and nothing
    /// else, in the queue's order.
    ///
    /// The newest good whole backup of a scope always stays, and so does the newest partial one of an owner; nothing
    /// goes that is newer than the last that is kept for it.
    pub fn expired(self, newest_first: &[(Scope, Standing)]) -> Vec<Option<Grounds>> {
        let mut of_scopes: BTreeMap<&Scope, Kept> = BTreeMap::new();
        let mut of_parts: BTreeMap<&Owner, Kept> = BTreeMap::new();
        let mut expired = Vec::with_capacity(newest_first.len());
        for (index, (scope, standing)) in newest_first.iter().enumerate() {
            let of_scope = of_scopes.entry(scope).or_default();
            let bound = self.bound(scope);
            let of_parts = bound.map(|bound| (of_parts.entry(&scope.owner).or_default(), bound));
            let enough = of_scope.enough.as_ref();
            let enough = enough.or(of_parts.as_ref().and_then(|(kept, _)| kept.enough.as_ref()));
            let grounds = enough.map(|kept| Grounds {
                kept: Arc::clone(kept),
            });
            if grounds.is_none() && *standing == Standing::Good {
                of_scope.push(index, self.keep_last.max(1));
                if let Some((kept, bound)) = of_parts {
                    kept.push(index, bound);
                }
            }
            expired.push(grounds);
        }
        expired
    }

    /// How many partial backups of this owner stay over all sets of filters; none: no limit, or it is a whole one.
    fn bound(self, scope: &Scope) -> Option<u32> {
        let by_default = || {
            let producer = scope.owner.producer.as_ref();
            producer.map(|_| self.keep_last.max(1).saturating_mul(DEFAULT_PARTIAL))
        };
        let bound = self.keep_partial.map(|bound| bound.max(1));
        bound.or_else(by_default).filter(|_| scope.partial)
    }
}

impl Kept {
    fn push(&mut self, index: usize, enough: u32) {
        self.so_far.push(index);
        if self.so_far.len() >= usize::try_from(enough).unwrap_or(usize::MAX) {
            self.enough = Some(Arc::from(&self.so_far[..]));
        }
    }
}

#[cfg(test)]
mod tests;
