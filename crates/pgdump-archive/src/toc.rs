//! The table of contents.

use std::collections::HashMap;
use std::fmt;

use crate::text::escape;
use crate::{DataKind, Text};

/// The table of contents: what the archive holds, in the order in which it is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    entries: Vec<TocEntry>,
    /// Positions in `entries`, by dump id: ids are sparse in a filtered dump.
    by_id: Vec<(DumpId, u32)>,
}

impl Toc {
    /// Fails with the dump id that two entries share.
    pub(crate) fn new(mut entries: Vec<TocEntry>) -> Result<Self, DumpId> {
        entries.shrink_to_fit();
        let mut by_id: Vec<_> = entries.iter().map(|e| e.dump_id).zip(0u32..).collect();
        by_id.sort_unstable();
        match by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0),
            None => Ok(Self { entries, by_id }),
        }
    }

    /// The entries, in the archive's order.
    #[must_use]
    pub fn entries(&self) -> &[TocEntry] {
        &self.entries
    }

    /// Two entries that are the data of one table, as pg_restore finds them: by the table's entry; and by its oid.
    pub(crate) fn table_data_twice(&self) -> Option<(&TocEntry, &TocEntry)> {
        let mut tables = HashMap::new();
        let data = self.entries.iter().filter(|entry| entry.is_table_data());
        for entry in data {
            let of = entry.dependencies.first().and_then(|id| self.get(*id));
            let of = of.filter(|table| table.description == "TABLE");
            let keys = [
                of.map(|table| (true, table.dump_id.get().cast_unsigned())),
                (entry.oid != 0).then_some((false, entry.oid)),
            ];
            for key in keys.into_iter().flatten() {
                if let Some(other) = tables.insert(key, entry) {
                    return Some((other, entry));
                }
            }
        }
        None
    }

    /// For changes that leave the dump ids as they are.
    pub(crate) fn entries_mut(&mut self) -> &mut [TocEntry] {
        &mut self.entries
    }

    /// The same without some entries. Others may still depend on them, which pg_restore takes.
    #[must_use]
    pub fn filtered(&self, keep: impl FnMut(&&TocEntry) -> bool) -> Self {
        let entries: Vec<TocEntry> = self.entries.iter().filter(keep).cloned().collect();
        let mut by_id: Vec<_> = entries.iter().map(|e| e.dump_id).zip(0u32..).collect();
        by_id.sort_unstable();
        Self { entries, by_id }
    }

    /// The entries that owe data, in the archive's order, which is that of pg_dump's data blocks.
    pub fn data_entries(&self) -> impl Iterator<Item = &TocEntry> {
        self.entries.iter().filter(|entry| entry.owes_data)
    }

    /// The entry with this dump id.
    #[must_use]
    pub fn get(&self, dump_id: DumpId) -> Option<&TocEntry> {
        self.position(dump_id).map(|at| &self.entries[at])
    }

    /// Where in [`entries`](Self::entries) the entry with this dump id is.
    pub(crate) fn position(&self, dump_id: DumpId) -> Option<usize> {
        let at = self
            .by_id
            .binary_search_by_key(&dump_id, |(id, _)| *id)
            .ok()?;
        Some(self.by_id[at].1 as usize)
    }
}

/// One entry: an object, a property of one, or the data of one.
///
/// Every field that the archive holds is here; `None` is the archive's NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// The entry's id within this archive.
    pub dump_id: DumpId,
    /// Whether a data block must follow for this entry (pg_dump's `hadDumper`).
    pub owes_data: bool,
    /// The oid of the catalog that the object is in: 1259 (`pg_class`) for a table.
    pub catalog_oid: u32,
    /// The object's oid in that catalog; for `TABLE DATA` the table's. 0 where there is none.
    pub oid: u32,
    /// The object's name within its schema, sometimes with more: `orders`, `COLUMN orders.id`.
    pub tag: Text,
    /// What the entry is: `TABLE`, `TABLE DATA`, `BLOBS`, `ACL`, …
    pub description: Text,
    /// The part of a restore that the entry belongs to.
    pub section: Section,
    /// The SQL that creates the object.
    pub definition: Option<Text>,
    /// The SQL that drops the object.
    pub drop_statement: Option<Text>,
    /// The `COPY … FROM stdin;` for the data; NULL or empty where the data is INSERT commands.
    pub copy_statement: Option<Text>,
    /// The schema; NULL or empty outside any.
    pub schema: Option<Text>,
    /// The tablespace; empty for the database's own.
    pub tablespace: Option<Text>,
    /// A table's access method (from 1.14 on).
    pub access_method: Option<Text>,
    /// A relation's kind, `pg_class.relkind` (from 1.16 on).
    pub relkind: Option<u8>,
    /// The role that owns the object.
    pub owner: Option<Text>,
    /// `WITH OIDS`, which only archives of PostgreSQL 11 and older have.
    pub with_oids: bool,
    /// Dump ids of the entries that must be restored first; some may not be in this archive.
    pub dependencies: Vec<DumpId>,
    /// Where the data block is said to be.
    pub data_offset: DataOffset,
}

impl TocEntry {
    /// The description of a table's data.
    pub(crate) const TABLE_DATA: &str = "TABLE DATA";
    /// The description of large objects' data.
    pub(crate) const LARGE_OBJECTS: &str = "BLOBS";

    /// Whether this is the data of one table.
    #[must_use]
    pub fn is_table_data(&self) -> bool {
        self.description == Self::TABLE_DATA
    }

    /// Whether the data is for COPY: a row a line.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.copy_statement
            .as_ref()
            .is_some_and(|statement| !statement.is_empty())
    }

    /// How many columns a row of COPY data has; `None` where that is not said, as of a table without columns.
    #[must_use]
    pub fn copy_columns(&self) -> Option<u64> {
        let statement = self.copy_statement.as_ref()?;
        crate::copy::columns(statement.as_bytes())
    }

    /// The bytes of the definition: none where there is no definition.
    pub(crate) fn definition_bytes(&self) -> &[u8] {
        let definition = self.definition.as_ref();
        definition.map_or(&[], |text| text.as_bytes())
    }

    /// What the data block of this entry holds, if it owes one.
    #[must_use]
    pub fn data_kind(&self) -> Option<DataKind> {
        // As pg_dump decides it: by this one name.
        let kind = if self.description == Self::LARGE_OBJECTS {
            DataKind::LargeObjects
        } else {
            DataKind::Table
        };
        self.owes_data.then_some(kind)
    }

    /// `schema.name`, each part quoted where an SQL identifier needs it (but for keywords); only
    /// the name outside any schema. Of a function, the types of its arguments follow in brackets,
    /// and an operator is not quoted. For people; bytes that are not UTF-8 are written as [`Text`]
    /// writes them.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        match &self.schema {
            Some(schema) if !schema.is_empty() => {
                format!("{}.{}", identifier(schema.as_bytes()), self.name())
            }
            _ => self.tag.to_string(),
        }
    }

    fn name(&self) -> String {
        let tag = self.tag.as_bytes();
        match self.description.as_str() {
            Some("OPERATOR") => self.tag.to_string(),
            Some("FUNCTION" | "PROCEDURE" | "AGGREGATE") => {
                let (name, arguments) = tag.split_at(arguments(tag));
                format!("{}{}", identifier(name), escape(arguments))
            }
            _ => identifier(tag),
        }
    }
}

/// Where the brackets with a function's arguments begin in its tag. The name before them is not quoted, and may have
/// brackets itself; within them names are quoted.
fn arguments(tag: &[u8]) -> usize {
    let mut quoted = false;
    let begin = tag.iter().rposition(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'(' && !quoted
    });
    begin.unwrap_or(tag.len())
}

/// A name as SQL writes it: quoted where needed, but for keywords. For people.
pub(crate) fn identifier(name: &[u8]) -> String {
    quoted(&escape(name))
}

/// The same of a name that is escaped already.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    if name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b.is_ascii_digit())
    {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// An entry's id within one archive: 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DumpId(i32);

impl DumpId {
    /// The id; `None` below 1.
    #[must_use]
    pub fn new(id: i32) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DumpId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for DumpId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = i32::deserialize(deserializer)?;
        Self::new(id).ok_or_else(|| serde::de::Error::custom("a dump id is below 1"))
    }
}

impl fmt::Display for DumpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a restore that an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Goes with the object that it is about: comments, grants.
    None,
    /// Before the data: tables, types, functions.
    PreData,
    /// The data.
    Data,
    /// After the data: indexes, constraints, triggers.
    PostData,
}

impl Section {
    pub(crate) fn from_int(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::None,
            2 => Self::PreData,
            3 => Self::Data,
            4 => Self::PostData,
            _ => return None,
        })
    }
}

/// What an entry says of its data block's place in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataOffset {
    /// There is a block, but its place was not known: the archive was written to a pipe.
    Unknown,
    /// The block begins at this byte: the archive was written to a file. The parser has compared
    /// it with where the block was, once that has passed.
    At(u64),
    /// There is no block.
    NoData,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArchiveError, Parser};

    #[test]
    fn identifiers_are_quoted_only_where_needed() {
        for (raw, shown) in [
            ("orders", "orders"),
            ("_a1", "_a1"),
            ("1a", "\"1a\""),
            ("Orders", "\"Orders\""),
            ("a.b", "\"a.b\""),
            ("a\"b", "\"a\"\"b\""),
            ("", "\"\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(identifier(raw.as_bytes()), shown);
        }
        assert_eq!(identifier(b"t\xe9l"), r#""t\xE9l""#);
    }

    #[test]
    fn a_function_is_shown_with_its_arguments_and_only_its_name_is_quoted() {
        let shown = |tag: &str| {
            let (name, arguments) = tag.split_at(arguments(tag.as_bytes()));
            format!("{}{arguments}", identifier(name.as_bytes()))
        };
        for (tag, expected) in [
            (
                "tax(numeric, double precision)",
                "tax(numeric, double precision)",
            ),
            ("Tax()", "\"Tax\"()"),
            ("odd (fn) \"x\"(integer)", "\"odd (fn) \"\"x\"\"\"(integer)"),
            (
                "f(s.\"a (b)\", s.\"c\"\"(\")",
                "f(s.\"a (b)\", s.\"c\"\"(\")",
            ),
            ("none", "none"),
        ] {
            assert_eq!(shown(tag), expected);
        }
    }

    /// Reads a golden archive's head again, with its table of contents changed.
    fn changed(change: impl FnOnce(&mut Vec<TocEntry>)) -> Option<ArchiveError> {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/pg16-pipe-zstd.dump"
        );
        let mut parser = Parser::new();
        parser
            .push(&std::fs::read(file).unwrap(), &mut |_| {})
            .unwrap();
        let mut entries = parser.toc().unwrap().entries().to_vec();
        change(&mut entries);
        let by_id = Vec::new();
        let head = crate::encode(parser.header().unwrap(), &Toc { entries, by_id }).unwrap();
        Parser::new().push(&head, &mut |_| {}).err()
    }

    fn data(entries: &mut [TocEntry]) -> [usize; 2] {
        let mut data = (0..entries.len()).filter(|at| entries[*at].is_table_data());
        [data.next().unwrap(), data.next().unwrap()]
    }

    #[test]
    fn a_table_of_contents_that_pg_restore_would_take_wrongly_is_refused() {
        assert_eq!(changed(|_| {}), None);
        let error = changed(|entries| entries[5].dump_id = entries[2].dump_id);
        assert!(matches!(error, Some(ArchiveError::DuplicateEntry { .. })));
        let by_oid = changed(|entries| {
            let [one, other] = data(entries);
            entries[other].oid = entries[one].oid;
        });
        let by_table = changed(|entries| {
            let [one, other] = data(entries);
            entries[other].dependencies = entries[one].dependencies.clone();
        });
        for error in [by_oid, by_table] {
            assert!(
                matches!(error, Some(ArchiveError::DuplicateTableData { .. })),
                "{error:?}"
            );
        }
    }
}
