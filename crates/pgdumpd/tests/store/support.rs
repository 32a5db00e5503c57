//! What the storage tests share: keys, manifests, bytes.

use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pgdump_archive::{Index, IndexingParser};
use pgdumpd::compressor::Compressor;
use pgdumpd::config::{PlaceConfig, StorageConfig};
use pgdumpd::encryption::ManifestForm;
use pgdumpd::store::{
    Archive, ArchiveState, Copied, Counts, Daemon, Database, Encryption, FORMAT, Globals, Manifest,
    Name, Object, ObjectKey, PgDump, Restore, Storage, StoredObject,
};
use pgdumpd_client::BackupSpec;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a storage of a test may give no answer.
pub(crate) const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// A public key, and the secret half of it.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// The configuration of a local directory.
pub(crate) fn local(path: PathBuf) -> StorageConfig {
    StorageConfig {
        place: PlaceConfig::Local { path, min_free: 0 },
        storage_id: None,
    }
}

/// A key that no other test has.
pub(crate) fn new_key() -> ObjectKey {
    let started = time("2026-11-23T20:00:00Z");
    ObjectKey::new(
        Uuid::new_v4(),
        "shop/orders %",
        Uuid::new_v4(),
        Uuid::new_v4(),
        started,
    )
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a key says of its target and its month.
fn target_and_time(key: &ObjectKey) -> (String, DateTime<Utc>) {
    let segments: Vec<&str> = key.as_str().split('/').collect();
    let mut parts = segments[1].split('%');
    let mut target = parts.next().unwrap().to_owned();
    for part in parts {
        target.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        target.push_str(&part[2..]);
    }
    let claimed = format!("{}-{}-23T20:00:00Z", segments[2], segments[3]);
    (target, time(&claimed))
}

/// A manifest in which every field has a value, but for those of encryption where its key is not of an encrypted archive:
/// of a copy.
pub(crate) fn manifest_of(key: &ObjectKey, content: &[u8]) -> Manifest {
    let Name::Part(part) = Name::of(key.as_str()) else {
        panic!("{key} is not a key that a daemon makes");
    };
    let (target, claimed_at) = target_and_time(key);
    let recipients = vec![RECIPIENT.into()];
    let encryption = key.as_str().ends_with(".age").then(|| Encryption {
        format: "age".into(),
        recipients,
        manifest: ManifestForm::Clear,
    });
    let spec = BackupSpec {
        schemas: vec!["app".into()],
        exclude_schemas: vec!["scratch".into()],
        tables: vec!["app.orders".into()],
        exclude_tables: vec!["app.log".into()],
        exclude_table_data: vec!["app.cache".into()],
        label: Some("before 4.2".into()),
    };
    Manifest {
        format: FORMAT,
        backup_id: part.job,
        queue_id: part.queue_id,
        storage_id: Uuid::new_v4(),
        target,
        label: spec.label.clone(),
        requested_by: "shop".into(),
        attempt: 2,
        lease_token: Uuid::new_v4(),
        claimed_at: Some(claimed_at),
        started_at: time("2026-11-23T20:00:00Z"),
        finished_at: time("2026-11-23T20:00:05Z"),
        database: Database {
            name: "orders".into(),
            server_version: "16.14".into(),
            system_identifier: Some("7401234567890123456".into()),
        },
        pg_dump: PgDump {
            version: "16.14".into(),
            arguments: vec!["--format=custom".into()],
        },
        spec: (&spec).into(),
        partial: pgdumpd::spec::is_partial(&spec),
        archive: Archive {
            state: ArchiveState::Unread,
            unread_reason: Some("version 1.17".into()),
            format_version: Some("1.17".into()),
            compression: "zstd:1".into(),
            compressor: Compressor::Pgdumpd,
            size_bytes: Some(content.len() as u64),
            dump_bytes: content.len() as u64,
            entries: Some(12),
            tables: Some(3),
            rows: Some(70),
            large_objects: Some(1),
            raw_bytes: Some(5000),
        },
        encryption,
        object: Object {
            key: key.clone(),
            size_bytes: content.len() as u64,
            sha256: sha256(content),
        },
        globals: Some(Globals::of(key, b"CREATE ROLE r;\n", false)),
        warnings: vec!["pg_dump: warning: something".into()],
        warnings_total: 1,
        restore: Restore {
            minimum_pg_restore: Some(16),
            hint: "pg_restore --dbname=NEW FILE".into(),
        },
        daemon: Daemon {
            version: "0.1.0".into(),
            host: "db1".into(),
        },
        sealed: None,
        copied: Some(Copied {
            from_storage_id: Uuid::new_v4(),
            job_id: Uuid::new_v4(),
            copied_at: time("2026-11-23T20:01:00Z"),
        }),
    }
}

/// Bytes that differ everywhere, so that a part in the wrong place shows.
pub(crate) fn content(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// Uploads in pieces of odd sizes and commits.
pub(crate) async fn store(storage: &Storage, key: &ObjectKey, content: &Bytes) -> StoredObject {
    let mut upload = storage.begin(key, None).await.unwrap();
    for (at, piece) in pieces(content) {
        assert!(at < content.len());
        upload.write(piece).await.unwrap();
    }
    upload.commit().await.unwrap()
}

fn pieces(content: &Bytes) -> impl Iterator<Item = (usize, Bytes)> {
    let mut at = 0;
    let content = content.clone();
    std::iter::from_fn(move || {
        let size = (1 + at % 700_001).min(content.len() - at);
        let piece = (size > 0).then(|| (at, content.slice(at..at + size)));
        at += size;
        piece
    })
}

/// A whole backup: object and manifest.
pub(crate) async fn back_up(storage: &Storage, content: &Bytes) -> Manifest {
    let key = new_key();
    store(storage, &key, content).await;
    let manifest = manifest_of(&key, content);
    storage.write_manifest(&manifest, None).await.unwrap();
    manifest
}

/// Lets a manifest count what an index does.
pub(crate) fn count(manifest: &mut Manifest, index: &Index) {
    let counts = Counts::of(index);
    let archive = &mut manifest.archive;
    archive.tables = Some(counts.tables);
    archive.rows = counts.rows;
    archive.large_objects = counts.large_objects;
    archive.raw_bytes = counts.raw_bytes;
}

/// A whole backup with an index: an archive that was made by hand, without compression. Its manifest says what the
/// archive does.
pub(crate) async fn back_up_archive(
    storage: &Storage,
    tables: &[(&str, usize, usize)],
) -> (Manifest, Bytes) {
    let content = crate::archive::archive(tables);
    let mut parser = IndexingParser::new();
    parser.push(&content, &mut |_| {}).unwrap();
    let (proof, index) = parser.finish().unwrap();
    let key = new_key();
    let mut manifest = manifest_of(&key, &content);
    count(&mut manifest, &index);
    manifest.archive.state = ArchiveState::Proved;
    manifest.archive.format_version = Some("1.14".into());
    manifest.archive.compression = "none".into();
    manifest.archive.entries = Some(proof.entries as u64);
    manifest.database.server_version = "15.19".into();
    manifest.pg_dump.version = "15.19".into();
    let content = Bytes::from(content);
    store(storage, &key, &content).await;
    storage
        .write_manifest(&manifest, Some(&std::sync::Arc::new(index.clone())))
        .await
        .unwrap();
    (manifest, content)
}
