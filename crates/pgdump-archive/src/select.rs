//! Which entries a small archive must hold, so that a few tables restore by themselves.

use std::fmt;

use crate::toc::quoted;
use crate::{DataOffset, DumpId, Toc, TocEntry};
use closure::Closure;

mod closure;
mod core_types;
mod hidden_index;
mod incomplete;
mod large_objects;
mod left_out;
mod lookup;
mod mentions;
mod names;
mod operator_class;
mod reads;
mod relations;
mod role;
mod tokens;

pub use incomplete::{Incomplete, Missing};
pub use left_out::{LeftOut, Reason};

/// A table's name, as PostgreSQL's catalog has it: not quoted, not folded. Bytes that are not UTF-8
/// are written as [`Text`](crate::Text) writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The name within the schema.
    pub name: String,
}

impl TableName {
    /// The name of a table.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        let (schema, name) = (schema.into(), name.into());
        Self { schema, name }
    }
}

/// `schema.name`, each part quoted where SQL needs it (but for keywords).
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// What a small archive of some tables holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The table of contents of the small archive, with no data offset known.
    pub toc: Toc,
    /// The tables that were asked for, and their partitions: entries of the kind `TABLE`. Their
    /// data is what [`Toc::data_entries`] of [`toc`](Self::toc) names.
    pub tables: Vec<DumpId>,
    /// Tables that those depend on: they will be there, but empty.
    pub empty_tables: Vec<DumpId>,
    /// What acts on the tables, but is not in the small archive.
    pub left_out: Vec<LeftOut>,
    /// What the selected tables have or need, and is missing in the small archive.
    pub incomplete: Vec<Incomplete>,
}

/// Why tables cannot be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No relation has this name.
    #[error("there is no table {name} in the archive{}", lookup::or(similar))]
    NotFound {
        /// The name that was asked for.
        name: TableName,
        /// Names of tables that come close, the closest first, quoted where SQL needs it.
        similar: Vec<String>,
    },
    /// The name is that of a view, a sequence or another relation that holds no rows of its own.
    #[error("{name} is a {kind}, not a table")]
    NotATable {
        /// The name that was asked for.
        name: TableName,
        /// What it is instead: `view`, `sequence`, …
        kind: &'static str,
    },
    /// The archive has the table's rows alone: it was dumped with `--data-only`, or the table
    /// belongs to an extension.
    #[error("the archive holds the data of {name}, but not its definition")]
    NoDefinition {
        /// The name that was asked for.
        name: TableName,
    },
}

impl Toc {
    /// Selects what some tables need, so that they can be restored by themselves into an empty
    /// database whose roles (and tablespaces) exist.
    ///
    /// Kept are:
    /// - each table `wanted`, and all partitions below it, with their data;
    /// - whatever these depend on, and what that depends on in turn: schemas, types, domains,
    ///   functions, operators, casts, collations, extensions, sequences, parents, views. A table
    ///   that comes in so is whole, but empty ([`Selection::empty_tables`]). So a partition comes
    ///   with its parents, attached to them, and a child with the tables that it inherits from;
    /// - what belongs to each table: defaults, owned and identity sequences with their values,
    ///   keys, checks and exclusions, indexes, comments, grants, security labels, extended
    ///   statistics, and the statistics of tables whose data is there. Row security and its
    ///   policies belong to it too: without them the grants would show more than they should.
    ///
    /// Left out are foreign keys, triggers, rules, publications, subscriptions and event triggers;
    /// those that would act on the tables are listed ([`Selection::left_out`]). A table's rows
    /// alone are meant by its name, so tables that inherit from it are left out and listed too.
    /// User mappings, default privileges and properties of the database are left out and not
    /// listed. Large objects and rows of an extension's tables are left out, and listed where they
    /// may matter ([`Selection::incomplete`]). A materialised view that a function needs stays
    /// empty.
    ///
    /// PostgreSQL does not know what a function's text refers to. So with a function come the
    /// functions, types, sequences and text search objects whose names are words of its
    /// definition, the views that it names, the operators that it names for types that are there,
    /// casts of the types that it names, and all extensions. Of a name without a schema, those of
    /// the function's own schema and of its `SET search_path` are meant, or where these have none,
    /// those of all schemas. A table that is only named in a text does not come, since its rows may
    /// matter. It is listed ([`Selection::incomplete`]), as are tables that come empty and are read
    /// by a function, be it through a view.
    ///
    /// A cast between PostgreSQL's own types comes with every table, or if a function of the archive
    /// makes it, with every function. With an expression come the functions, types, sequences and text search objects
    /// that its constants name with their schemas: `nextval(('shop.numbers'::text)::regclass)`.
    ///
    /// The index behind a key or an exclusion has no entry of its own. With the constraint come the
    /// functions, operators, operator classes, collations and types that its definition names, and
    /// the extension that the name is of. Where PostgreSQL's own default operator classes do not
    /// cover a column's type, so do those that the archive may have: `btree_gist`, or all extensions
    /// and the archive's own. With a type comes its own default operator class.
    ///
    /// Listed as incomplete, too, are tables without rows in the archive, partitions that are
    /// foreign tables, and names in definitions that are neither in the archive nor, as far as one
    /// can know, in an extension.
    ///
    /// That partitions are found rests on their `TABLE ATTACH`, which pg_dump writes from 14 on.
    ///
    /// # Errors
    ///
    /// A name that is not that of a table whose definition is in the archive.
    pub fn select(&self, wanted: &[TableName]) -> Result<Selection, SelectError> {
        let mut closure = Closure::new(self);
        for name in wanted {
            closure.want(lookup::table(self, name)?);
        }
        let closed = closure.close();
        let tables = |have: &dyn Fn(usize) -> bool| {
            let all = self.entries().iter().enumerate();
            all.filter(|(at, entry)| entry.description == "TABLE" && have(*at))
                .map(|(_, entry)| entry.dump_id)
                .collect()
        };
        let kept = self.entries().iter().zip(&closed.kept);
        let kept = kept.filter(|(_, kept)| **kept).map(|(entry, _)| entry);
        Ok(Selection {
            tables: tables(&|at| closed.wanted[at]),
            empty_tables: tables(&|at| closed.kept[at] && !closed.wanted[at]),
            left_out: left_out::list(self, &closed.wanted),
            incomplete: incomplete::list(self, &closed),
            toc: Toc::new(kept.map(moved).collect())
                .expect("dump ids that differ in the whole differ in a part"),
        })
    }
}

/// The entry in another archive, where its data will be elsewhere.
fn moved(entry: &TocEntry) -> TocEntry {
    let mut entry = entry.clone();
    if entry.owes_data {
        entry.data_offset = DataOffset::Unknown;
    }
    entry
}

#[cfg(test)]
mod tests;
