//! What came back, read out again: the rows of each table, and the schema.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use pgdump_archive::{Checksummer, Limits, Parser, Toc, TocEntry};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::throwaway::refused;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::restore::Comparable;
use crate::server::Loader;

/// What pg_dump writes after the last row.
const END: &[u8] = b"\\.\n\n\n";

/// Entries that are no part of a database's schema, or not of one that has another name.
const NO_SCHEMA: [&str; 11] = [
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "DATABASE",
    "DATABASE PROPERTIES",
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "STATISTICS DATA",
    "BLOB",
    "BLOBS",
];

/// The tables whose rows are others than those that were backed up.
///
/// # Errors
/// The server's.
pub async fn other_rows(url: &DatabaseUrl, tables: &[Comparable]) -> Result<Vec<String>, Fault> {
    let mut loader = Loader::connect(url, None).await?;
    let mut other = Vec::new();
    for table in tables {
        if let Some(encoding) = &table.encoding {
            loader
                .run("the archive's encoding", encoding.clone())
                .await?;
        }
        let mut checksum = Checksummer::default();
        let read = loader
            .read(&table.copy_out, |piece| checksum.add(piece))
            .await;
        if let Err(fault) = read {
            // It is not there; the restore has said why. The session may be of no use any more.
            other.push(format!("{} ({})", table.name, fault.report()));
            loader = Loader::connect(url, None).await?;
            continue;
        }
        checksum.add(END);
        if checksum.take() != table.checksum {
            other.push(table.name.clone());
        }
    }
    Ok(other)
}

/// In what the schema differs from the archive's, each in words: by another dump of it, with the archive's own pg_dump.
///
/// # Errors
/// `rehearsal_refused` where pg_dump does not run.
pub(super) async fn other_schema(
    pg_dump: &Path,
    url: &DatabaseUrl,
    wanted: &Toc,
) -> Result<Vec<String>, Fault> {
    let found = dumped(pg_dump, url).await?;
    let (mut wanted, mut found) = (definitions(wanted), definitions(&found));
    let mut other = Vec::new();
    for (name, definition) in &mut wanted {
        match found.remove(name) {
            None => other.push(format!("{name} is not there")),
            Some(found) if found != *definition => other.push(format!("{name} is another one")),
            Some(_) => {}
        }
    }
    other.extend(
        found
            .into_keys()
            .map(|name| format!("{name} is not in the backup")),
    );
    Ok(other)
}

/// The table of contents of a schema.
async fn dumped(pg_dump: &Path, url: &DatabaseUrl) -> Result<Toc, Fault> {
    let cannot = |error: std::io::Error| refused("pg_dump cannot be run").caused_by(error);
    let mut child = Command::new(pg_dump)
        .args([
            "--format=custom",
            "--schema-only",
            "--no-password",
            "--compress=0",
        ])
        .args(["--exclude-schema=pgdumpd_restore"])
        .env_clear()
        .envs(url.libpq_environment())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let mut archive = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut archive).await.map_err(cannot)?;
    }
    let status = child.wait().await.map_err(cannot)?;
    let mut parser = Parser::with_limits(Limits::default());
    let parsed = parser.push(&archive, &mut |_| {});
    match parser.toc() {
        Some(toc) if status.success() && parsed.is_ok() => Ok(Toc::clone(toc)),
        _ => Err(refused(&format!(
            "pg_dump of the restored schema ended with {status}"
        ))),
    }
}

/// What makes each object, by its kind and name; of several of one name in order.
fn definitions(toc: &Toc) -> BTreeMap<String, Vec<String>> {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in toc.entries().iter().filter(|entry| is_schema(entry)) {
        let name = format!("{} {}", entry.description, entry.qualified_name());
        let text = entry.definition.as_ref().map(ToString::to_string);
        definitions.entry(name).or_default().extend(text);
    }
    for texts in definitions.values_mut() {
        texts.sort();
    }
    definitions
}

fn is_schema(entry: &TocEntry) -> bool {
    let kind = entry.description.as_str().unwrap_or_default();
    let of_others = entry
        .tag
        .as_str()
        .is_some_and(|tag| tag.starts_with("DATABASE ") || tag.starts_with("LARGE OBJECT"));
    // Grants are of roles that a throwaway server need not have; large objects are counted with the data.
    !NO_SCHEMA.contains(&kind) && !of_others && !kind.ends_with("ACL") && !kind.starts_with("BLOB")
}
