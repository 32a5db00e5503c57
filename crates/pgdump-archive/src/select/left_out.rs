//! What acts on the selected tables, but does not come with them.

use std::collections::HashSet;
use std::fmt;

use super::role::{self, part_of};
use crate::toc::identifier;
use crate::{DumpId, Toc, TocEntry};

/// An object that would act on the selected tables, and is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its entry in the whole archive.
    pub dump_id: DumpId,
    /// What it is.
    pub reason: Reason,
    /// Its name, quoted where SQL needs it.
    pub name: String,
    /// The table that it acts on, with its schema and quoted where SQL needs it; `None` if it acts
    /// on the whole database or schema.
    pub table: Option<String>,
}

/// `foreign key orders_customer_fkey of shop.orders`
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reason, self.name)?;
        match &self.table {
            Some(table) => write!(f, " of {table}"),
            None => Ok(()),
        }
    }
}

/// Which kind of object is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The rows that it refers to may be missing.
    ForeignKey,
    /// Its function may use anything.
    Trigger,
    /// It may write anywhere.
    Rule,
    /// A table that inherits from a selected one, which is read together with it.
    Child,
    /// It would publish the table again.
    Publication,
    /// It would connect to another server.
    Subscription,
    /// It would act on the restore itself.
    EventTrigger,
}

/// What a person calls it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ForeignKey => "foreign key",
            Self::Trigger => "trigger",
            Self::Rule => "rule",
            Self::Child => "inheriting table",
            Self::Publication => "publication",
            Self::Subscription => "subscription",
            Self::EventTrigger => "event trigger",
        })
    }
}

/// In the archive's order; `wanted` says of each entry whether it is a selected table.
pub(super) fn list(toc: &Toc, wanted: &[bool]) -> Vec<LeftOut> {
    let all = || toc.entries().iter().zip(wanted);
    let tables = all().filter(|(_, wanted)| **wanted);
    let schemas: HashSet<_> = tables.map(|(table, _)| &table.schema).collect();
    let others = all().filter(|(_, wanted)| !**wanted);
    others
        .filter_map(|(entry, _)| {
            let needs = entry.dependencies.iter();
            let needs = needs.filter_map(|id| toc.position(*id));
            let tables: Vec<_> = needs
                .filter(|at| wanted[*at])
                .map(|at| &toc.entries()[at])
                .collect();
            left_out(entry, &tables, schemas.contains(&entry.schema))
        })
        .collect()
}

/// `tables` are the selected ones that the entry depends on.
fn left_out(entry: &TocEntry, tables: &[&TocEntry], schema_is_used: bool) -> Option<LeftOut> {
    let tag = entry.tag.as_bytes();
    // Of a part, the table that it is part of; it may refer to others.
    let part = || {
        tables
            .iter()
            .find_map(|table| Some((part_of(entry, table)?, Some(*table))))
    };
    let (reason, (name, table)) = match role::text(entry) {
        "FK CONSTRAINT" => (Reason::ForeignKey, part()?),
        "TRIGGER" => (Reason::Trigger, part()?),
        "RULE" => (Reason::Rule, part()?),
        "TABLE" | "FOREIGN TABLE" if defined_with(entry, b"\nINHERITS (") => {
            (Reason::Child, (tag, Some(*tables.first()?)))
        }
        "PUBLICATION TABLE" => {
            // Named by the publication and the table.
            let table = tables.first()?;
            let name = tag.strip_suffix(table.tag.as_bytes())?.strip_suffix(b" ")?;
            (Reason::Publication, (name, Some(*table)))
        }
        "PUBLICATION" if defined_with(entry, b" FOR ALL TABLES") => {
            (Reason::Publication, (tag, None))
        }
        "PUBLICATION TABLES IN SCHEMA" if schema_is_used => {
            // Named by the publication and the schema.
            let schema = entry.schema.as_ref()?.as_bytes();
            let name = tag.strip_suffix(schema)?.strip_suffix(b" ")?;
            (Reason::Publication, (name, None))
        }
        "SUBSCRIPTION" => (Reason::Subscription, (tag, None)),
        "EVENT TRIGGER" => (Reason::EventTrigger, (tag, None)),
        _ => return None,
    };
    Some(LeftOut {
        dump_id: entry.dump_id,
        reason,
        name: match reason {
            Reason::Child => entry.qualified_name(),
            _ => identifier(name),
        },
        table: table.map(TocEntry::qualified_name),
    })
}

fn defined_with(entry: &TocEntry, part: &[u8]) -> bool {
    memchr::memmem::find(entry.definition_bytes(), part).is_some()
}
