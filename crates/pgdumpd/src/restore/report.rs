//! What came back: a verdict on each table, and on all of it.

use std::collections::HashMap;

use pgdump_archive::{DumpId, TocEntry};
use serde::Serialize;
use uuid::Uuid;

use super::messages::EntryError;
use super::plan::Plan;

/// What a restore has done.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The backup.
    pub backup_id: Uuid,
    /// Of which target.
    pub target: String,
    /// Into which database, without a password.
    pub into: String,
    /// The server's version.
    pub server_version: String,
    /// The major version of the pg_restore that restored the schema.
    pub pg_restore: u32,
    /// All of it in a word.
    pub verdict: Verdict,
    /// Each table that has data in the backup.
    pub tables: Vec<TableReport>,
    /// What else could not be restored, or was only restored in part.
    pub objects: Vec<ObjectReport>,
    /// Rows that were loaded.
    pub rows: u64,
    /// Their bytes in the archive, without compression.
    pub raw_bytes: u64,
    /// How long each part took, in seconds.
    pub seconds: Seconds,
}

/// How good a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it is there, and equal to what was backed up.
    Equal,
    /// All rows are there; an index, a constraint, an owner or the like is not.
    Remarks,
    /// Rows, or what holds them, are not there.
    Lost,
}

/// One table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// Its name, as SQL writes it.
    pub table: String,
    /// How it is.
    pub verdict: Verdict,
    /// The rows that the server took: as many as the backup has. `None` where they are INSERT commands.
    pub rows: Option<u64>,
    /// Whether an earlier restore had loaded them, which this one continued.
    pub loaded_before: bool,
    /// What is wrong with it.
    pub remarks: Vec<String>,
}

/// One entry of the archive that could not be restored.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// What it is, such as `INDEX public.orders_day`.
    pub object: String,
    /// How much it matters.
    pub weight: Weight,
    /// What the server said.
    pub error: String,
    /// The first line of the statement.
    pub statement: Option<String>,
}

/// What it means that an entry could not be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// An owner, a grant, a comment, or something that was there already.
    Cosmetic,
    /// An index, a constraint, a trigger, a policy.
    Constraint,
    /// Data, or an object that holds or needs some.
    Data,
}

/// How long the parts took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Seconds {
    /// The schema before the data.
    pub pre_data: f64,
    /// The data.
    pub data: f64,
    /// Indexes, constraints and triggers.
    pub post_data: f64,
    /// ANALYZE.
    pub analyze: f64,
}

/// How loading one table ended.
#[derive(Debug, Clone)]
pub(super) enum TableEnd {
    Loaded(u64),
    LoadedBefore,
    Lost(String),
}

/// All that is to be judged.
pub(super) struct Ends {
    /// In the order of the plan's tables.
    pub(super) tables: Vec<TableEnd>,
    /// What pg_restore could not do.
    pub(super) errors: Vec<EntryError>,
}

/// Gives each table its verdict, and sorts the errors.
pub(super) fn judge(plan: &Plan, ends: Ends) -> (Verdict, Vec<TableReport>, Vec<ObjectReport>) {
    let mut objects = Vec::new();
    let mut of_tables: HashMap<DumpId, Vec<String>> = HashMap::new();
    for error in ends.errors {
        let entry = error.dump_id.and_then(|id| plan.toc.get(id));
        let object = object_of(entry, error);
        if let Some(entry) = entry
            && object.weight > Weight::Cosmetic
        {
            let remark = format!("{}: {}", object.object, object.error);
            // A foreign key depends on both its tables: its own comes first.
            let is_table =
                |id: &&DumpId| plan.toc.get(**id).is_some_and(|e| e.description == "TABLE");
            let own = [entry.dump_id];
            let table = own.iter().chain(&entry.dependencies).find(is_table);
            if let Some(table) = table {
                of_tables.entry(*table).or_default().push(remark);
            }
        }
        objects.push(object);
    }
    objects.extend(plan.left_out.iter().map(|what| ObjectReport {
        object: what.clone(),
        weight: Weight::Constraint,
        error: "it is left out, because only some tables were asked for".to_owned(),
        statement: None,
    }));
    objects.extend(plan.incomplete.iter().map(|what| ObjectReport {
        object: what.clone(),
        weight: Weight::Constraint,
        error: "it is not in what was restored".to_owned(),
        statement: None,
    }));
    let tables: Vec<TableReport> = plan
        .tables
        .iter()
        .zip(ends.tables)
        .map(|(load, end)| {
            let remarks = load.table.and_then(|table| of_tables.remove(&table));
            table_report(
                &load.name,
                load.entry.rows,
                end,
                remarks.unwrap_or_default(),
            )
        })
        .collect();
    let of_objects = objects.iter().map(|object| match object.weight {
        Weight::Data => Verdict::Lost,
        Weight::Constraint | Weight::Cosmetic => Verdict::Remarks,
    });
    let worst = of_objects.chain(tables.iter().map(|table| table.verdict));
    let worst = worst.max().unwrap_or(Verdict::Equal);
    (worst, tables, objects)
}

fn table_report(
    name: &str,
    rows: Option<u64>,
    end: TableEnd,
    mut remarks: Vec<String>,
) -> TableReport {
    let (rows, loaded_before) = match &end {
        TableEnd::Loaded(rows) => (Some(*rows), false),
        TableEnd::LoadedBefore => (rows, true),
        TableEnd::Lost(_) => (Some(0), false),
    };
    let verdict = match end {
        TableEnd::Lost(why) => {
            remarks.insert(0, why);
            Verdict::Lost
        }
        _ if remarks.is_empty() => Verdict::Equal,
        _ => Verdict::Remarks,
    };
    TableReport {
        table: name.to_owned(),
        verdict,
        rows,
        loaded_before,
        remarks,
    }
}

fn object_of(entry: Option<&TocEntry>, error: EntryError) -> ObjectReport {
    let object = entry.map_or_else(
        || "the session".to_owned(),
        |entry| format!("{} {}", entry.description, entry.qualified_name()),
    );
    ObjectReport {
        weight: weight_of(entry, &error),
        object,
        error: error.message,
        statement: error.command,
    }
}

/// By what the entry is, and where that says too little by the statement.
fn weight_of(entry: Option<&TocEntry>, error: &EntryError) -> Weight {
    if error.is_of_an_owner() {
        return Weight::Cosmetic;
    }
    let Some(entry) = entry else {
        return Weight::Constraint;
    };
    match entry.description.as_str().unwrap_or_default() {
        "ACL"
        | "DEFAULT ACL"
        | "COMMENT"
        | "SECURITY LABEL"
        | "SHELL TYPE"
        | "DATABASE PROPERTIES"
        | "LARGE OBJECT COMMENTS"
        | "STATISTICS DATA" => Weight::Cosmetic,
        // pg_dump has it in every archive of some versions, and every database has it.
        "SCHEMA" if entry.tag == "public" => Weight::Cosmetic,
        "INDEX"
        | "INDEX ATTACH"
        | "CONSTRAINT"
        | "FK CONSTRAINT"
        | "CHECK CONSTRAINT"
        | "TRIGGER"
        | "RULE"
        | "POLICY"
        | "ROW SECURITY"
        | "EVENT TRIGGER"
        | "STATISTICS"
        | "PUBLICATION"
        | "PUBLICATION TABLE"
        | "PUBLICATION TABLES IN SCHEMA"
        | "SUBSCRIPTION"
        | "DEFAULT" => Weight::Constraint,
        _ => Weight::Data,
    }
}
