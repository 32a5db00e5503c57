//! Whether a dump holds what was asked for: what was in the database before pg_dump started and is there after it, and
//! no filter leaves out, against the archive's table of contents.
//!
//! pg_dump takes its snapshot between the two lists, so what is in both, with one oid, is in the snapshot. What was
//! created or dropped meanwhile is in one of them alone, and decides nothing.

use std::collections::HashSet;

use pgdump_archive::{Toc, TocEntry};
use pgdumpd_client::BackupSpec;
use tracing::warn;

use crate::code::Code;
use crate::fault::Fault;
use crate::pipeline::{ArchiveEnd, Proved, Streamed};
use crate::server::{Contents, Matches, NamedRelation, Relation, Sizes, Target};

/// `pg_class`, whose oids the entries that define relations have.
const PG_CLASS: u32 = 1259;
/// How many objects a text names.
const NAMED: usize = 5;

/// What a dump must hold, from before it started.
#[derive(Debug)]
pub(super) struct AskedFor {
    spec: BackupSpec,
    matches: Matches,
    /// `None` if it could not be listed.
    contents: Option<Contents>,
}

/// What the archive does not hold, although it was there all the time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    /// Relations that are not defined.
    relations: Vec<u32>,
    /// Tables without their rows, sequences without their value.
    data: Vec<u32>,
    large_objects: usize,
}

impl AskedFor {
    /// Lists what is in the database, and what the filters match.
    ///
    /// # Errors
    /// A permanent `spec_invalid`; `filter_matches_nothing` of an exclusion that leaves out nothing, where the target
    /// is strict; others as [`Target::matches`].
    pub(super) async fn list(
        target: &Target,
        spec: &BackupSpec,
        strict: bool,
    ) -> Result<Self, Fault> {
        let matches = target.matches(spec).await?;
        if strict && let Some(idle) = matches.idle.first() {
            return Err(Fault::permanent(Code::FilterMatchesNothing, idle.as_str()).hint(
                "Correct the pattern: what is not between double quotes folds to lower case. The target has strict_filters = true.",
            ));
        }
        let contents = target.contents().await;
        if let Err(fault) = &contents {
            warn!("the archive will not be compared: {}", fault.report());
        }
        Ok(Self {
            spec: spec.clone(),
            matches,
            contents: contents.ok(),
        })
    }

    /// Compares a dump that ended well, and gives what is to be said of it.
    ///
    /// # Errors
    /// A transient `dump_incomplete` that names what is missing, or with `withholds_names` counts it; those of the
    /// target, where what is missing may have been dropped and nobody can say.
    pub(super) async fn compare(
        &self,
        target: &Target,
        streamed: &Streamed,
        withholds_names: bool,
    ) -> Result<Vec<String>, Fault> {
        let mut remarks = self.remarks();
        let ArchiveEnd::Proved(proved) = streamed.end() else {
            return Ok(remarks);
        };
        let toc = proved.toc();
        remarks.extend(foreign_rows(toc));
        if let Some(contents) = &self.contents {
            remarks.extend(self.unlogged_rows(contents, toc));
            let missing = self.missing(contents, toc, large_objects(proved));
            if !missing.is_empty() {
                self.confirm(target, missing, withholds_names).await?;
            }
        }
        Ok(remarks)
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.matches.idle.clone();
        if self.contents.is_none() {
            remarks.push(
                "the archive was not compared with what is in the database, which could not be listed"
                    .to_owned(),
            );
        }
        remarks
    }

    /// What was there before the dump and is not in the archive.
    fn missing(&self, contents: &Contents, toc: &Toc, dumped_objects: usize) -> Missing {
        let (defined, filled) = held(toc);
        let wanted = self.wanted(contents.relations.iter().copied());
        let lost_on_standby = |relation: &Relation| contents.is_standby && relation.is_unlogged;
        let owes_data = |relation: &Relation| {
            matches!(relation.kind, b'r' | b'S')
                && !self.matches.exclude_table_data.contains(&relation.oid)
                && !lost_on_standby(relation)
        };
        let mut missing = Missing::default();
        for relation in wanted {
            if !defined.contains(&relation.oid) {
                missing.relations.push(relation.oid);
            } else if owes_data(&relation) && !filled.contains(&relation.oid) {
                missing.data.push(relation.oid);
            }
        }
        if self.takes_large_objects() {
            missing.large_objects = contents.large_objects.len().saturating_sub(dumped_objects);
        }
        missing
    }

    /// What the target's disk holds of what is to be dumped: tables that are given rows, and the large objects. All of
    /// them where it could not be listed what there is.
    pub(super) fn bytes_on_disk(&self, sizes: &Sizes) -> u64 {
        let wanted = self.contents.as_ref().map(|contents| {
            let wanted = self.wanted(contents.relations.iter().copied());
            let excluded = &self.matches.exclude_table_data;
            let wanted = wanted.iter().map(|relation| relation.oid);
            wanted
                .filter(|oid| !excluded.contains(oid))
                .map(i64::from)
                .collect::<HashSet<i64>>()
        });
        let tables = sizes.tables.iter();
        let tables = tables.filter(|table| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&table.oid))
        });
        let large_objects = if self.takes_large_objects() {
            sizes.large_objects
        } else {
            0
        };
        let bytes = tables.map(|table| table.bytes).sum::<i64>() + large_objects;
        u64::try_from(bytes).unwrap_or(0)
    }

    /// pg_dump takes them with everything, whatever is excluded.
    fn takes_large_objects(&self) -> bool {
        self.spec.schemas.is_empty() && self.spec.tables.is_empty()
    }

    /// Of these relations, those that the filters leave in, as pg_dump decides it.
    fn wanted(&self, relations: impl Iterator<Item = Relation>) -> Vec<Relation> {
        let Self { spec, matches, .. } = self;
        let chosen = |relation: &Relation| {
            let inside = match (spec.tables.is_empty(), spec.schemas.is_empty()) {
                (false, _) => matches.tables.contains(&relation.oid),
                (true, false) => matches.schemas.contains(&relation.schema_oid),
                (true, true) => true,
            };
            inside
                && !matches.exclude_schemas.contains(&relation.schema_oid)
                && !matches.exclude_tables.contains(&relation.oid)
        };
        let mut wanted: Vec<Relation> = relations.filter(chosen).collect();
        // A sequence that belongs to a column goes with its table.
        let tables: HashSet<u32> = wanted.iter().map(|relation| relation.oid).collect();
        wanted.retain(|relation| relation.owner_oid == 0 || tables.contains(&relation.owner_oid));
        wanted
    }

    /// Whether what is missing is still there: then it was all the time.
    async fn confirm(
        &self,
        target: &Target,
        missing: Missing,
        withholds_names: bool,
    ) -> Result<(), Fault> {
        let now = Self {
            spec: self.spec.clone(),
            matches: target.matches(&self.spec).await?,
            contents: None,
        };
        let relations = target.named_relations().await?;
        let wanted = now.wanted(relations.iter().map(|named| named.relation));
        let wanted: HashSet<u32> = wanted.iter().map(|relation| relation.oid).collect();
        let excluded = &now.matches.exclude_table_data;
        let still = |oids: &[u32]| -> Vec<&NamedRelation> {
            let missing: HashSet<u32> = oids.iter().copied().collect();
            let there = relations.iter().filter(|named| {
                let oid = named.relation.oid;
                missing.contains(&oid) && wanted.contains(&oid)
            });
            there.collect()
        };
        let undefined = still(&missing.relations);
        let mut unfilled = still(&missing.data);
        unfilled.retain(|named| !excluded.contains(&named.relation.oid));
        let large_objects = match missing.large_objects {
            0 => 0,
            missing => missing.saturating_sub(self.large_objects_gone(target).await?),
        };
        let total = undefined.len() + unfilled.len() + large_objects;
        if total == 0 {
            return Ok(());
        }
        if withholds_names {
            let sequences = unfilled.iter().filter(|named| named.relation.kind == b'S');
            let sequences = sequences.count();
            let counts = [
                (undefined.len(), "", "relations"),
                (unfilled.len() - sequences, "the rows of ", "tables"),
                (sequences, "the values of ", "sequences"),
                (large_objects, "", "large objects"),
            ];
            let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
            return Err(incomplete(
                counts
                    .map(|(count, of, what)| format!("{of}{count} {what}"))
                    .collect(),
            ));
        }
        let mut parts: Vec<String> = undefined.iter().map(|named| kind_and_name(named)).collect();
        parts.extend(unfilled.iter().map(|named| match named.relation.kind {
            b'S' => format!("the value of {}", kind_and_name(named)),
            _ => format!("the rows of {}", kind_and_name(named)),
        }));
        if large_objects > 0 {
            parts.push(format!("{large_objects} large objects"));
        }
        Err(incomplete(parts))
    }

    /// How many of the large objects that were listed have gone since.
    async fn large_objects_gone(&self, target: &Target) -> Result<usize, Fault> {
        let before = self
            .contents
            .as_ref()
            .map_or(&[][..], |contents| &contents.large_objects);
        let now: HashSet<u32> = target.large_objects().await?.into_iter().collect();
        Ok(before.iter().filter(|oid| !now.contains(oid)).count())
    }

    /// On a standby, unlogged tables are empty: pg_dump leaves their rows out without a word.
    fn unlogged_rows(&self, contents: &Contents, toc: &Toc) -> Option<String> {
        if !contents.is_standby {
            return None;
        }
        let unlogged = contents.relations.iter();
        let unlogged: HashSet<u32> = unlogged
            .filter(|relation| relation.is_unlogged && relation.kind == b'r')
            .map(|relation| relation.oid)
            .collect();
        let tables = toc
            .entries()
            .iter()
            .filter(|entry| entry.catalog_oid == PG_CLASS && unlogged.contains(&entry.oid));
        let tables: Vec<String> = tables.map(TocEntry::qualified_name).collect();
        (!tables.is_empty()).then(|| {
            format!(
                "the rows of unlogged tables are not in the backup, because a standby has none: {}",
                list(tables)
            )
        })
    }
}

impl Missing {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The oids of relations that an archive defines, and of those whose rows or value it has.
fn held(toc: &Toc) -> (HashSet<u32>, HashSet<u32>) {
    let is_relation = |entry: &&TocEntry| entry.catalog_oid == PG_CLASS;
    let defined = toc.entries().iter().filter(is_relation);
    let defined = defined.map(|entry| entry.oid).collect();
    let mut filled = HashSet::new();
    for entry in toc.entries() {
        if entry.is_table_data() {
            filled.insert(entry.oid);
        } else if entry.description == "SEQUENCE SET" {
            // It has no oid of its own.
            let needs = entry.dependencies.iter().filter_map(|id| toc.get(*id));
            filled.extend(needs.filter(is_relation).map(|sequence| sequence.oid));
        }
    }
    (defined, filled)
}

pub(super) const WRAPPER: &str =
    "Check whether the pg_dump in use is PostgreSQL's own: a script in its place may add options.";

fn incomplete(parts: Vec<String>) -> Fault {
    let what = format!(
        "pg_dump exited with 0, but its archive lacks what existed before and after the dump: {}",
        list(parts)
    );
    Fault::transient(Code::DumpIncomplete, what).hint(WRAPPER)
}

/// The rows of foreign tables are on other servers; pg_dump leaves them out without a word.
fn foreign_rows(toc: &Toc) -> Option<String> {
    let entries = toc.entries().iter();
    let tables = entries.filter(|entry| entry.description == "FOREIGN TABLE");
    let tables: Vec<String> = tables.map(TocEntry::qualified_name).collect();
    (!tables.is_empty()).then(|| {
        format!(
            "the rows of foreign tables are not in the backup: {}",
            list(tables)
        )
    })
}

fn large_objects(proved: &Proved) -> usize {
    usize::try_from(proved.proof().large_objects).unwrap_or(usize::MAX)
}

fn kind_and_name(named: &NamedRelation) -> String {
    let kind = match named.relation.kind {
        b'v' => "view",
        b'm' => "materialized view",
        b'f' => "foreign table",
        b'S' => "sequence",
        _ => "table",
    };
    let name = pgdump_archive::TableName::new(&*named.schema, &*named.name);
    format!("{kind} {name}")
}

/// The first few, and how many more.
pub(super) fn list(mut parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(NAMED);
    parts.truncate(NAMED);
    let named = parts.join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
