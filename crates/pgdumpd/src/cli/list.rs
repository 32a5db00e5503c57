//! `pgdumpd list --storage NAME`: how what a storage holds is shown.

use std::fmt::Write as _;

use serde_json::json;

use crate::store::{ArchiveState, Listed, Manifest, Storage};

/// The columns' titles.
const TITLES: [&str; 6] = [
    "STARTED (UTC)",
    "TARGET",
    "SIZE",
    "ARCHIVE",
    "LABEL",
    "BACKUP",
];

/// The backups as a table for people, newest first, then what could not be read, each with its reason.
pub fn render(listed: &[Listed]) -> String {
    let manifests = listed
        .iter()
        .filter_map(|listed| listed.manifest.as_ref().ok());
    let rows: Vec<_> = manifests.map(row).collect();
    let mut text = if rows.is_empty() {
        "no backups\n".to_owned()
    } else {
        table(&rows)
    };
    for listed in listed {
        if let Err(fault) = &listed.manifest {
            writeln!(text, "unreadable: {}", fault.report())
                .expect("writing to a String cannot fail");
        }
    }
    text
}

/// The same for programs: whole manifests (`docs/MANIFEST.md`), and what could not be read.
pub fn render_json(storage: &Storage, listed: &[Listed]) -> serde_json::Value {
    let backups: Vec<_> = listed
        .iter()
        .filter_map(|listed| listed.manifest.as_ref().ok())
        .collect();
    let unreadable: Vec<_> = listed
        .iter()
        .filter_map(|listed| {
            let fault = listed.manifest.as_ref().err()?;
            Some(json!({ "key": listed.key, "code": fault.code(), "error": fault.report() }))
        })
        .collect();
    json!({
        "storage": storage.name(),
        "storage_id": storage.id(),
        "backups": backups,
        "unreadable": unreadable,
    })
}

fn row(manifest: &Manifest) -> [String; 6] {
    let state = match manifest.archive.state {
        ArchiveState::Proved => "proved",
        ArchiveState::Unread => "unread",
    };
    let partial = if manifest.partial { ", partial" } else { "" };
    [
        manifest.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        printable(&manifest.target),
        size(manifest.object.size_bytes),
        format!("{state}{partial}"),
        printable(manifest.label.as_deref().unwrap_or("-")),
        manifest.backup_id.to_string(),
    ]
}

fn table(rows: &[[String; 6]]) -> String {
    let mut widths = TITLES.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in [&TITLES.map(str::to_owned)].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("writing to a String cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A label comes from a producer: what would move a terminal's cursor is not passed on.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::store::ObjectKey;

    fn manifest(target: &str, label: Option<&str>, partial: bool) -> Listed {
        let key = "q/t/2026/11/j/t.dump";
        let json = json!({
            "format": 1, "backup_id": uuid::Uuid::from_u128(7), "queue_id": uuid::Uuid::nil(),
            "storage_id": uuid::Uuid::nil(), "target": target, "label": label, "requested_by": "shop",
            "attempt": 1, "lease_token": uuid::Uuid::nil(), "started_at": "2026-11-23T20:00:00Z",
            "finished_at": "2026-11-23T20:00:05Z",
            "database": { "name": "d", "server_version": "16.1", "system_identifier": null },
            "pg_dump": { "version": "16.1", "arguments": [] }, "spec": {}, "partial": partial,
            "archive": { "state": "proved", "compression": "none", "dump_bytes": 0 },
            "object": { "key": key, "size_bytes": 1_572_864, "sha256": "0".repeat(64) },
            "warnings": [], "warnings_total": 0,
            "restore": { "minimum_pg_restore": null, "hint": "" },
            "daemon": { "version": "0.1.0", "host": "db1" },
        });
        let key = ObjectKey::parse(key).unwrap();
        let manifest = Manifest::parse(&key, json.to_string().as_bytes());
        Listed { key, manifest }
    }

    #[test]
    fn backups_are_a_table_and_what_is_unreadable_follows() {
        let broken = Listed {
            key: ObjectKey::parse("a/b.dump").unwrap(),
            manifest: Err(Fault::permanent(
                "manifest_invalid",
                "a/b.dump.manifest.json cannot be read",
            )),
        };
        let listed = [
            manifest("shop", Some("before 4.2"), false),
            manifest("shop/ü\n", None, true),
            broken,
        ];
        insta::assert_snapshot!(render(&listed), @"
        STARTED (UTC)        TARGET   SIZE      ARCHIVE          LABEL       BACKUP
        2026-11-23 20:00:00  shop     1.50 MiB  proved           before 4.2  00000000-0000-0000-0000-000000000007
        2026-11-23 20:00:00  shop/ü�  1.50 MiB  proved, partial  -           00000000-0000-0000-0000-000000000007
        unreadable: a/b.dump.manifest.json cannot be read
        ");
    }

    #[test]
    fn an_empty_storage_says_so() {
        assert_eq!(render(&[]), "no backups\n");
    }
}
