//! What is in a database that a dump may have to hold: for the comparison with what it does hold.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use super::Target;
use super::name::name;
use super::relations::oid;
use crate::fault::Fault;

/// The relations and large objects of a database, without those that no dump holds.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// By oid.
    pub relations: Vec<Relation>,
    /// The oids of the first 100,000.
    pub large_objects: Vec<u32>,
    /// Whether unlogged tables have no rows here.
    pub is_standby: bool,
}

/// A table, view or sequence that a dump defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// Its oid.
    pub oid: u32,
    /// Its schema's.
    pub schema_oid: u32,
    /// The table to whose column a sequence belongs; 0 if to none.
    pub owner_oid: u32,
    /// `pg_class.relkind`.
    pub kind: u8,
    /// Whether a crash or a standby empties it.
    pub is_unlogged: bool,
}

/// A relation with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRelation {
    /// What it is.
    pub relation: Relation,
    /// Its schema's name.
    pub schema: String,
    /// Its own.
    pub name: String,
}

impl FromRow<'_, PgRow> for Relation {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let kind: &str = row.try_get("kind")?;
        Ok(Self {
            oid: oid(row, "oid")?,
            schema_oid: oid(row, "schema_oid")?,
            owner_oid: oid(row, "owner_oid")?,
            kind: kind.bytes().next().unwrap_or_default(),
            is_unlogged: row.try_get("is_unlogged")?,
        })
    }
}

impl FromRow<'_, PgRow> for NamedRelation {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            relation: Relation::from_row(row)?,
            schema: name(row, "schema")?,
            name: name(row, "name")?,
        })
    }
}

impl Target {
    /// What a dump that starts now must hold, unless it is gone before the dump reads it. Takes no table's lock.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn contents(&self) -> Result<Contents, Fault> {
        let what = "whether the server is a standby";
        let is_standby = include_str!("sql/is_standby.sql");
        let (is_standby,) = self.connections.one(what, is_standby).await?;
        let what = "what is in the database";
        let relations = include_str!("sql/dumpable.sql");
        Ok(Contents {
            relations: self.connections.all(what, relations).await?,
            large_objects: self.large_objects().await?,
            is_standby,
        })
    }

    /// The relations of now, with their names.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn named_relations(&self) -> Result<Vec<NamedRelation>, Fault> {
        let what = "what is in the database";
        let relations = include_str!("sql/dumpable.sql");
        self.connections.all(what, relations).await
    }

    /// The first large objects of now, by oid.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn large_objects(&self) -> Result<Vec<u32>, Fault> {
        let what = "the large objects";
        let oids: Vec<(i64,)> = self
            .connections
            .all(what, include_str!("sql/large_objects.sql"))
            .await?;
        let oids = oids.into_iter();
        Ok(oids.filter_map(|(oid,)| u32::try_from(oid).ok()).collect())
    }
}
