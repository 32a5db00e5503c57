//! What the selected tables need or have, and the small archive does not.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::closure::Closed;
use super::reads::Reads;
use super::tokens::{Token, tokens};
use super::{large_objects, role};
use crate::toc::identifier;
use crate::{Toc, TocEntry};

/// Something that is missing in a small archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete {
    /// Why it is missing.
    pub reason: Missing,
    /// Its name with its schema, quoted where SQL needs it.
    pub name: String,
    /// What it belongs to, or what names it, as `function shop.tax(numeric)`; `None` for a selected table.
    pub of: Option<String>,
}

/// Why something is missing in a small archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// The archive has no rows of this selected table, or of this partition of one: they were excluded, it was dumped
    /// without data, or the table was unlogged on a standby.
    Rows,
    /// A partition that is a foreign table: its rows are elsewhere.
    ForeignPartition,
    /// A table that the text of a function names, or that a view reads which the text names. Its rows may matter, so
    /// they come only if it is selected.
    NamedTable,
    /// The same of a foreign table, which cannot be selected: its rows are elsewhere.
    NamedForeignTable,
    /// A materialized view that is there, and not filled.
    NotFilled,
    /// A table or a sequence of an extension whose rows or value the archive has, since the extension counts them as
    /// its user's. The extension comes along without them.
    ExtensionData,
    /// A selected table with a column that may refer to large objects, which never come along.
    LargeObjects,
    /// A name that the archive has no entry for.
    NotInArchive,
    /// The schema of what is kept, where the archive does not create it: it was dumped by names of tables.
    Schema,
}

/// `shop.orders has no rows in the archive`
impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, of) = (&self.name, self.of.as_deref().unwrap_or_default());
        match self.reason {
            Missing::Rows => write!(f, "{name} has no rows in the archive"),
            Missing::ForeignPartition => {
                write!(
                    f,
                    "{name} of {of} is a foreign table: its rows are not in the archive"
                )
            }
            Missing::NamedTable => write!(f, "{of} reads {name}, which was not selected"),
            Missing::NamedForeignTable => {
                write!(
                    f,
                    "{of} reads {name}, a foreign table: its rows are not in the archive"
                )
            }
            Missing::ExtensionData => write!(f, "{of} has data in {name}, which is left out"),
            Missing::LargeObjects => {
                write!(f, "{name} may refer to large objects, which are left out")
            }
            Missing::NotFilled => write!(f, "materialized view {name} is not filled: refresh it"),
            Missing::Schema => write!(f, "schema {name} is not in the archive"),
            Missing::NotInArchive => write!(f, "{of} needs {name}, which is not in the archive"),
        }
    }
}

/// In the archive's order.
pub(super) fn list(toc: &Toc, closed: &Closed) -> Vec<Incomplete> {
    let entries = toc.entries();
    let kept = |at: &usize| closed.kept[*at];
    let with_rows: HashSet<_> = (0..entries.len())
        .filter(|at| entries[*at].is_table_data() && entries[*at].owes_data && kept(at))
        .flat_map(|at| closed.needs[at].iter().copied())
        .collect();
    let partitioned: HashSet<_> = (0..entries.len())
        .filter(|at| closed.wanted[*at] && is_partitioned(&entries[*at]))
        .collect();
    let mut named = named(entries, closed);
    let attached = attached(entries, closed);
    let has_large_objects = large_objects::are_in(entries);
    let with_extension = (0..entries.len()).any(|at| kept(&at) && is_extension(&entries[at]));
    let mut found = absent_schemas(entries, closed);
    for (at, entry) in entries.iter().enumerate() {
        let own = |reason, of| Incomplete {
            reason,
            name: entry.qualified_name(),
            of,
        };
        match role::text(entry) {
            "TABLE"
                if closed.wanted[at] && !with_rows.contains(&at) && !partitioned.contains(&at) =>
            {
                found.push(own(Missing::Rows, None));
            }
            "TABLE"
                if closed.wanted[at]
                    && has_large_objects
                    && !attached.contains(&at)
                    && large_objects::may_be_meant(entries, &closed.needs, at) =>
            {
                found.push(own(Missing::LargeObjects, None));
            }
            "TABLE DATA" | "SEQUENCE SET" if with_extension => {
                let of = extension_with_data(entries, closed, at);
                found.extend(of.map(|of| own(Missing::ExtensionData, Some(of))));
            }
            "FOREIGN TABLE" => {
                let mut parent = closed.needs[at].iter();
                if let Some(parent) = parent.find(|at| partitioned.contains(at)) {
                    found.push(own(
                        Missing::ForeignPartition,
                        Some(entries[*parent].qualified_name()),
                    ));
                }
            }
            "MATERIALIZED VIEW" if kept(&at) => found.push(own(Missing::NotFilled, None)),
            _ => {}
        }
        let mut names = named.remove(&at).unwrap_or_default();
        names.sort_by(|one, other| one.name.cmp(&other.name));
        found.append(&mut names);
    }
    found
}

/// What texts name and is not there, by the entry that has the text.
fn named(entries: &[TocEntry], closed: &Closed) -> BTreeMap<usize, Vec<Incomplete>> {
    let mut named: BTreeMap<usize, Vec<Incomplete>> = BTreeMap::new();
    let described = |at| Some(described(entries, closed, at));
    let reads = Reads::new(entries, closed);
    for (of, relations) in &closed.reads {
        let tables = reads.tables(relations).into_iter();
        let absent = tables.filter(|at| !closed.wanted[*at]);
        let one = absent.map(|at| Incomplete {
            reason: match role::text(&entries[at]) {
                "FOREIGN TABLE" => Missing::NamedForeignTable,
                _ => Missing::NamedTable,
            },
            name: entries[at].qualified_name(),
            of: described(*of),
        });
        named.entry(*of).or_default().extend(one);
    }
    for (of, names) in &closed.absent {
        let one = names.iter().map(|(schema, name)| Incomplete {
            reason: Missing::NotInArchive,
            name: format!("{}.{}", identifier(schema), identifier(name)),
            of: described(*of),
        });
        named.entry(*of).or_default().extend(one);
    }
    named
}

/// Selected tables that are partitions of selected ones.
fn attached(entries: &[TocEntry], closed: &Closed) -> HashSet<usize> {
    let all = entries.iter().enumerate();
    let all = all.filter(|(_, entry)| entry.description == "TABLE ATTACH");
    let attached = all.filter_map(|(at, entry)| {
        let mut tables = closed.needs[at].iter().filter(|at| closed.wanted[**at]);
        let is_partition = |at: &&usize| role::same_name(entry, &entries[**at]);
        let partition = *tables.clone().find(is_partition)?;
        tables.any(|at| *at != partition).then_some(partition)
    });
    attached.collect()
}

/// The extension that these rows, or this value of a sequence, belong to, if it comes along, as some do: its tables and
/// sequences have no entries themselves.
fn extension_with_data(entries: &[TocEntry], closed: &Closed, data: usize) -> Option<String> {
    let mut needs = closed.needs[data].iter();
    let is_whole = |at: &usize| {
        let whole = &entries[*at];
        role::is_relation(whole) || role::text(whole) == "SEQUENCE"
    };
    if closed.kept[data] || needs.clone().any(is_whole) {
        return None;
    }
    match needs.find(|at| is_extension(&entries[**at])) {
        Some(at) => closed.kept[*at].then(|| described(entries, closed, *at)),
        None => Some("an extension".to_owned()),
    }
}

fn is_extension(entry: &TocEntry) -> bool {
    role::text(entry) == "EXTENSION"
}

/// Schemas that the archive does not create; extensions make some.
fn absent_schemas(entries: &[TocEntry], closed: &Closed) -> Vec<Incomplete> {
    let has_extension = entries.iter().any(is_extension);
    let schemas = entries.iter().filter(|entry| role::text(entry) == "SCHEMA");
    let mut known: HashSet<_> = schemas.map(|entry| entry.tag.as_bytes()).collect();
    known.extend([&b"public"[..], b"pg_catalog", b""]);
    let kept = entries
        .iter()
        .zip(&closed.kept)
        .filter(|(_, kept)| **kept && !has_extension);
    let used = kept.filter_map(|(entry, _)| Some(entry.schema.as_ref()?.as_bytes()));
    let absent = used.filter(|schema| known.insert(schema));
    let absent = absent.map(|schema| Incomplete {
        reason: Missing::Schema,
        name: identifier(schema),
        of: None,
    });
    absent.collect()
}

/// `function shop.tax(numeric)`, `check constraint positive of shop.orders`
fn described(entries: &[TocEntry], closed: &Closed, at: usize) -> String {
    let entry = &entries[at];
    let kind = role::text(entry).to_lowercase();
    let mut wholes = closed.needs[at].iter().map(|at| &entries[*at]);
    let part = wholes.find_map(|whole| Some((role::part_of(entry, whole)?, whole)));
    match part {
        Some((own, whole)) if role::is_part(entry) => {
            format!("{kind} {} of {}", identifier(own), whole.qualified_name())
        }
        _ => format!("{kind} {}", entry.qualified_name()),
    }
}

/// Whether a table has partitions in place of rows: archives say so from 1.16 on.
fn is_partitioned(table: &TocEntry) -> bool {
    if let Some(kind) = table.relkind.filter(|kind| *kind != 0) {
        return kind == b'p';
    }
    // PARTITION BY comes after the columns' closing bracket; in it there are more brackets, but no such words.
    let mut depth = 0_i64;
    let tokens = tokens(table.definition_bytes());
    tokens.windows(2).any(|pair| {
        match pair[0] {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth -= 1,
            _ => {}
        }
        depth == 0 && pair[0].is("partition") && pair[1].is("by")
    })
}
