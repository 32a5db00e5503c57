//! Memory that hostile manifests make their readers take, measured by the allocator. One test, so that no other allocates
//! beside it.
#![expect(
    clippy::unwrap_used,
    reason = "test code: a broken environment ends the test"
)]

use std::io::Write as _;
use std::path::Path;

use peak_alloc::PeakAlloc;
use pgdumpd::config::{PlaceConfig, StorageConfig};
use pgdumpd::readback::{self, Stored};
use pgdumpd::store::{ObjectKey, Storage};
use pgdumpd_testkit::manifest_text;
use serde_json::{Value, json};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
/// The largest manifest that is read at all.
const LARGEST: usize = 64 * MIB;
/// The same without its index.
const LARGEST_FIELDS: usize = 2 * MIB;
/// What many manifests that are read at once may take together, by `docs/MANIFEST.md`.
const TOGETHER: usize = 256 * MIB;
/// What else is allocated meanwhile.
const SLACK: usize = 16 * MIB;

/// The memory that this took at most.
async fn peak<T>(what: impl Future<Output = T>) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let done = what.await;
    (done, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// A manifest as a daemon writes it.
fn usual(key: &ObjectKey, storage: &Storage, size_bytes: usize) -> Value {
    let segments: Vec<&str> = key.as_str().split('/').collect();
    json!({
        "format": 2, "backup_id": segments[4], "queue_id": segments[0], "storage_id": storage.id(), "target": "shop",
        "label": null, "requested_by": "shop", "attempt": 1, "lease_token": segments[5].trim_end_matches(".dump"),
        "claimed_at": null, "started_at": "2026-11-23T20:00:00Z", "finished_at": "2026-11-23T20:00:00Z",
        "database": { "name": "shop", "server_version": "16.14", "system_identifier": null },
        "pg_dump": { "version": "16.14", "arguments": [] },
        "spec": { "schemas": [], "exclude_schemas": [], "tables": [], "exclude_tables": [], "exclude_table_data": [] },
        "partial": false,
        "archive": {
            "state": "proved", "unread_reason": null, "format_version": "1.15", "compression": "none",
            "compressor": "pg_dump", "size_bytes": size_bytes, "dump_bytes": size_bytes, "entries": 1, "tables": 0,
            "rows": 0, "large_objects": 0, "raw_bytes": 0
        },
        "encryption": null,
        "object": { "key": key, "size_bytes": size_bytes, "sha256": "0".repeat(64) },
        "globals": null, "warnings": [], "warnings_total": 0,
        "restore": { "minimum_pg_restore": null, "hint": "" },
        "daemon": { "version": "0", "host": "h" },
        "sealed": null, "copied": null, "index": null
    })
}

fn new_key() -> ObjectKey {
    let ids = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    ObjectKey::new(ids[0], "shop", ids[1], ids[2], chrono::DateTime::UNIX_EPOCH)
}

fn write(root: &Path, key: &str, text: &[u8]) {
    let path = root.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The largest manifest there may be, with as many of these in a place as fill it.
fn filled(manifest: &Value, field: &str, open: &str, item: &str, close: &str) -> Vec<u8> {
    let mut marked = manifest.clone();
    *marked.pointer_mut(field).unwrap() = json!("MARK");
    let text = manifest_text(&marked);
    let (before, after) = text.split_once("\"MARK\"").unwrap();
    let mut text = Vec::with_capacity(LARGEST);
    write!(text, "{before}{open}{item}").unwrap();
    let more = format!(",{item}");
    let room = LARGEST - text.len() - close.len() - after.len() - 100;
    text.extend_from_slice(more.repeat(room / more.len()).as_bytes());
    // The right checksum: only what is said may be refused.
    write!(
        text,
        "{close}{}",
        after.split("  \"checksum\"").next().unwrap()
    )
    .unwrap();
    let digest: String = <sha2::Sha256 as sha2::Digest>::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    writeln!(text, "  \"checksum\": \"{digest}\"\n}}").unwrap();
    text
}

#[tokio::test]
async fn hostile_manifests_take_no_more_memory_than_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("storage");
    let config = StorageConfig {
        place: PlaceConfig::Local {
            path: root.clone(),
            min_free: 0,
        },
        storage_id: None,
    };
    let storage = Storage::open("local", &config).await.unwrap();
    let index_entry = json!({
        "dump_id": 1, "schema": null, "name": "", "kind": "table", "raw_bytes": 0, "stored_bytes": 0,
        "offset_bytes": 0, "block_bytes": 1, "raw_xxh3_128": "0".repeat(32), "block_xxh3_128": "0".repeat(32)
    })
    .to_string();
    let entries =
        r#"{"head_bytes": 0, "head_xxh3_128": "00000000000000000000000000000000", "entries": ["#;
    // In each place the smallest thing, as often as there is room: it takes the most memory for its size.
    let hostile = [
        // Field, text around, text again and again, and how many such manifests: where they are held together, so many
        // that they would exceed the limit.
        ("/warnings", "[", "\"\"", "]", 3),
        ("/spec/tables", "[", "\"\"", "]", 1),
        ("/pg_dump/arguments", "[", "\"\"", "]", 1),
        ("/target", "\"", "a", "\"", 1),
        ("/label", "{\"a\": [", "[[]]", "]}", 1),
        ("/index", entries, &index_entry, "]}", 3),
        ("/sealed", "\"", "a", "\"", 3),
    ];
    for (field, open, item, close, count) in hostile {
        let mut keys = Vec::new();
        for _ in 0..count {
            let key = new_key();
            let text = filled(&usual(&key, &storage, 0), field, open, item, close);
            assert!(
                text.len() > LARGEST - 4096 && text.len() <= LARGEST,
                "{field}"
            );
            write(&root, &key.manifest(), &text);
            keys.push((key, text.len() as u64));
        }
        let (listed, memory) = peak(storage.list()).await;
        assert_eq!(listed.unwrap().len(), count);
        assert!(
            memory <= TOGETHER + SLACK,
            "list, {field}: {} MiB",
            memory / MIB
        );
        let key = keys[0].0.clone();
        let (checked, memory) = peak(storage.read_manifests(keys.clone())).await;
        assert_eq!(checked.len(), count);
        assert!(
            memory <= TOGETHER + SLACK,
            "fsck, {field}: {} MiB",
            memory / MIB
        );
        let (_, memory) = peak(Stored::open(storage.clone(), &key)).await;
        assert!(
            memory <= TOGETHER + SLACK,
            "open, {field}: {} MiB",
            memory / MIB
        );
        for (key, _) in keys {
            storage.delete_backup(&key).await.unwrap();
        }
    }

    // Many whose text is as long as it may be: all that was read is held together.
    let fields = LARGEST_FIELDS - (64 << 10);
    for field in ["/label", "/pg_dump/arguments/0", "/spec/tables/0"] {
        let mut keys = Vec::new();
        for _ in 0..150 {
            let key = new_key();
            let mut manifest = usual(&key, &storage, 0);
            for list in ["/pg_dump/arguments", "/spec/tables"] {
                *manifest.pointer_mut(list).unwrap() = json!([""]);
            }
            *manifest.pointer_mut(field).unwrap() = json!("a".repeat(fields));
            write(&root, &key.manifest(), manifest_text(&manifest).as_bytes());
            keys.push(key);
        }
        let (listed, memory) = peak(storage.list()).await;
        assert_eq!(listed.unwrap().len(), keys.len());
        assert!(
            memory <= TOGETHER + SLACK,
            "{field} of many: {} MiB",
            memory / MIB
        );
        for key in keys {
            storage.delete_backup(&key).await.unwrap();
        }
    }

    // A head that is as long as the object, which is not an archive, or one whose table of contents ends soon.
    let size = 200 * MIB;
    let empty = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
    let int = |value: i32| [&[0][..], &value.to_le_bytes()].concat();
    let mut soon = empty.clone();
    for number in [0, 5, 0, 20, 23, 10, 126, 0, 1] {
        soon.extend(int(number));
    }
    soon.extend(b"a");
    for _ in 0..2 {
        soon.extend(int(1));
        soon.extend(b"a");
    }
    soon.extend(int(0));
    for start in [Vec::new(), empty, soon] {
        let key = new_key();
        let mut manifest = usual(&key, &storage, size);
        manifest["index"] = json!({
            "head_bytes": size, "head_xxh3_128": "0".repeat(32), "entries": []
        });
        manifest["globals"] = json!({
            "key": key.globals(), "size_bytes": size, "sha256": "0".repeat(64), "passwords": false
        });
        write(&root, &key.manifest(), manifest_text(&manifest).as_bytes());
        for key in [key.as_str(), &key.globals()] {
            write(&root, key, &start);
            let object = std::fs::OpenOptions::new().write(true).open(root.join(key));
            object.unwrap().set_len(size as u64).unwrap();
        }
        let stored = Stored::open(storage.clone(), &key).await.unwrap().unwrap();
        assert!(stored.index.is_some(), "{:?}", stored.index_damage);
        let (read, memory) = peak(readback::read_globals(&stored)).await;
        assert_eq!(read.unwrap_err().code().as_str(), "globals_damaged");
        assert!(memory <= SLACK, "globals: {} MiB", memory / MIB);
        let (verdict, memory) = peak(readback::verify(&stored)).await;
        assert!(!stored.matches(&verdict.unwrap()));
        assert!(memory <= SLACK, "verify: {} MiB", memory / MIB);
        let to = dir.path().join("fetched");
        let tables = [pgdump_archive::TableName::new("a", "b")];
        let (fetched, memory) = peak(readback::fetch_tables(&stored, &tables, &to)).await;
        assert_eq!(fetched.unwrap_err().code().as_str(), "archive_damaged");
        assert!(memory <= SLACK, "fetch --table: {} MiB", memory / MIB);
        let (fetched, memory) = peak(readback::fetch_whole(&stored, &to)).await;
        assert!(!stored.matches(&fetched.unwrap().verdict) && !to.exists());
        assert!(memory <= SLACK, "fetch: {} MiB", memory / MIB);
    }
}
