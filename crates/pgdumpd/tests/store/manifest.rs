//! The manifest as it is documented, written and read.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use pgdumpd::store::{MAX_WARNINGS, Manifest, Storage};
use serde_json::Value;

use crate::support::{back_up, content, manifest_of, new_key, store};

async fn memory() -> Storage {
    let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    Storage::over("memory", uuid::Uuid::new_v4(), objects)
}

/// The dotted names of a JSON object's leaves.
fn fields(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                fields(value, &format!("{above}{name}."), found);
            }
        }
        _ => {
            found.insert(above.trim_end_matches('.').to_owned());
        }
    }
}

#[test]
fn every_field_is_documented_and_every_documented_field_exists() {
    let manifest = manifest_of(&new_key(), b"");
    let mut written = BTreeSet::new();
    fields(&serde_json::to_value(&manifest).unwrap(), "", &mut written);

    let page = include_str!("../../../../docs/MANIFEST.md");
    let table = page.split("| field | type | meaning |").nth(1).unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(written, documented);
}

#[test]
fn what_is_unknown_is_null_not_absent() {
    let mut manifest = manifest_of(&new_key(), b"");
    manifest.label = None;
    manifest.archive.unread_reason = None;
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!(json["label"], Value::Null);
    assert!(
        json["archive"]
            .as_object()
            .unwrap()
            .contains_key("unread_reason")
    );
    assert_eq!(json["archive"]["state"], "unread");
    assert_eq!(json["started_at"], "2026-11-23T20:00:00Z");
}

#[test]
fn unknown_fields_are_ignored_and_a_newer_format_is_not_guessed_at() {
    let manifest = manifest_of(&new_key(), b"abc");
    let key = &manifest.object.key;
    let mut json = serde_json::to_value(&manifest).unwrap();
    json["new"] = 1.into();
    json["spec"]["new"] = 1.into();
    json["object"]["new"] = 1.into();
    assert_eq!(
        Manifest::parse(key, json.to_string().as_bytes()).unwrap(),
        manifest
    );

    let fault = Manifest::parse(key, br#"{"format": 2, "everything": "else"}"#).unwrap_err();
    assert_eq!(fault.code(), "manifest_newer");
    assert!(fault.advice().unwrap().contains("newer"));
}

#[tokio::test]
async fn a_manifest_with_a_field_that_would_be_lost_is_read_but_not_to_be_copied() {
    let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    let storage = Storage::over("memory", uuid::Uuid::new_v4(), objects.clone());
    let manifest = back_up(&storage, &content(100)).await;
    let key = &manifest.object.key;
    let (read, _) = storage.read_manifest_to_copy(key).await.unwrap().unwrap();
    assert_eq!(read, manifest);
    for (place, field) in [("", "new"), ("/archive", "archive.new")] {
        let mut json = serde_json::to_value(&manifest).unwrap();
        json["index"] = Value::Null;
        json.pointer_mut(place).unwrap()["new"] = Value::Null;
        let path = object_store::path::Path::parse(key.manifest()).unwrap();
        let put = objects.put(&path, json.to_string().into_bytes().into());
        put.await.unwrap();
        assert!(storage.read_manifest(key).await.unwrap().is_some());
        let fault = storage.read_manifest_to_copy(key).await.unwrap_err();
        assert_eq!(fault.code(), "manifest_newer");
        assert!(fault.is_transient() && fault.report().contains(&format!(" {field},")));
    }
}

#[test]
fn a_manifest_that_speaks_of_another_object_is_refused() {
    let manifest = manifest_of(&new_key(), b"abc");
    let text = serde_json::to_vec(&manifest).unwrap();
    Manifest::parse(&manifest.object.key, &text).unwrap();
    assert_eq!(
        Manifest::parse(&new_key(), &text).unwrap_err().code(),
        "manifest_invalid"
    );
    let mut json = serde_json::to_value(&manifest).unwrap();
    for key in ["../../etc/passwd.dump", "/etc/passwd", ""] {
        json["object"]["key"] = key.into();
        let fault = Manifest::parse(&manifest.object.key, json.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.code(), "manifest_invalid", "{key}");
    }
}

#[tokio::test]
async fn warnings_are_bounded_and_counted() {
    let storage = memory().await;
    let mut manifest = back_up(&storage, &content(100)).await;
    manifest.warnings = vec!["ü".repeat(5000); 5000];
    manifest.warnings_total = 5000;
    storage.write_manifest(&manifest, None).await.unwrap();
    let read = storage
        .read_manifest(&manifest.object.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.warnings.len(), MAX_WARNINGS);
    assert_eq!(read.warnings[0].len(), 2000);
    assert_eq!(read.warnings_total, 5000);
}

#[tokio::test]
async fn a_manifest_without_a_hash_is_never_written() {
    let storage = memory().await;
    let key = new_key();
    store(&storage, &key, &content(100)).await;
    let mut manifest = manifest_of(&key, &content(100));
    for sha256 in ["", "0", &"A".repeat(64), &"é".repeat(32)] {
        manifest.object.sha256 = sha256.into();
        let fault = storage.write_manifest(&manifest, None).await.unwrap_err();
        assert_eq!(fault.code(), "manifest_invalid");
    }
    assert!(storage.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_index_is_written_beside_the_fields_and_documented_and_one_that_does_not_fit_is_refused()
 {
    let content = crate::archive::archive(&[("orders", 3, 40), ("lines", 5, 7)]);
    let mut parser = pgdump_archive::IndexingParser::new();
    parser.push(&content, &mut |_| {}).unwrap();
    let (_, index) = parser.finish().unwrap();
    let storage = memory().await;
    let key = new_key();
    store(&storage, &key, &content.clone().into()).await;
    let manifest = manifest_of(&key, &content);
    storage
        .write_manifest(&manifest, Some(&index))
        .await
        .unwrap();
    let read = storage.read_manifest_with_index(&key).await.unwrap();
    assert_eq!(read, Some((manifest.clone(), Some(index.clone()))));

    let json = serde_json::to_value(&index).unwrap();
    let page = include_str!("../../../../docs/MANIFEST.md");
    let table = page
        .split("| field of `index` | type | meaning |")
        .nth(1)
        .unwrap();
    let documented: BTreeSet<&str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).unwrap())
        .map(|field| field.trim_start_matches("entries[]."))
        .collect();
    let mut written: BTreeSet<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    written.extend(
        json["entries"][0]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str),
    );
    assert_eq!(written, documented);

    let mut other = serde_json::to_value(&manifest).unwrap();
    other["index"] = json;
    other["index"]["entries"][1]["offset_bytes"] = 7.into();
    let fault = manifest
        .parse_index(other.to_string().as_bytes())
        .unwrap_err();
    assert_eq!(fault.code(), "manifest_invalid");
}
