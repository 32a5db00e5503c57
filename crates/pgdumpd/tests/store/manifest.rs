//! The manifest as it is documented, written and read.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use pgdumpd::store::{MAX_WARNINGS, Manifest, ObjectKey, Storage};
use pgdumpd_testkit::manifest_text;
use serde_json::{Value, json};

use crate::support::{back_up, content, count, manifest_of, new_key, store};

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
    let manifest = manifest_of(&new_key().encrypted(), b"");
    let mut written = BTreeSet::from(["checksum".to_owned()]);
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
    let text = manifest_text(&json);
    assert_eq!(Manifest::parse(key, text.as_bytes()).unwrap(), manifest);

    let fault = Manifest::parse(key, br#"{"format": 3, "everything": "else"}"#).unwrap_err();
    assert_eq!(fault.code().as_str(), "manifest_newer");
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
        let put = objects.put(&path, manifest_text(&json).into_bytes().into());
        put.await.unwrap();
        assert!(storage.read_manifest(key).await.unwrap().is_some());
        let fault = storage.read_manifest_to_copy(key).await.unwrap_err();
        assert_eq!(fault.code().as_str(), "manifest_newer");
        assert!(fault.is_transient() && fault.report().contains(&format!(" {field},")));
    }
}

#[test]
fn a_manifest_that_speaks_of_another_object_is_refused() {
    let manifest = manifest_of(&new_key(), b"abc");
    let mut json = serde_json::to_value(&manifest).unwrap();
    let text = manifest_text(&json);
    Manifest::parse(&manifest.object.key, text.as_bytes()).unwrap();
    let other = Manifest::parse(&new_key(), text.as_bytes());
    assert_eq!(other.unwrap_err().code().as_str(), "manifest_invalid");
    for key in ["../../etc/passwd.dump", "/etc/passwd", ""] {
        json["object"]["key"] = key.into();
        let fault = Manifest::parse(&manifest.object.key, manifest_text(&json).as_bytes());
        assert_eq!(
            fault.unwrap_err().code().as_str(),
            "manifest_invalid",
            "{key}"
        );
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
        assert_eq!(fault.code().as_str(), "manifest_invalid");
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
    let mut manifest = manifest_of(&key, &content);
    count(&mut manifest, &index);
    storage
        .write_manifest(&manifest, Some(&std::sync::Arc::new(index.clone())))
        .await
        .unwrap();
    let read = storage.read_manifest_with_index(&key).await.unwrap();
    let (read, read_index) = read.unwrap();
    assert_eq!(
        (&read, read_index.unwrap().as_ref()),
        (&manifest, Some(&index))
    );

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
    assert_eq!(fault.code().as_str(), "manifest_invalid");
}

/// Every place in a JSON value that is not an object, as pointers.
fn leaves(value: &Value, above: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                leaves(value, &format!("{above}/{name}"), found);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (at, value) in list.iter().enumerate() {
                leaves(value, &format!("{above}/{at}"), found);
            }
        }
        _ => found.push(above.to_owned()),
    }
}

/// Where a value stands in a manifest's text: its text is made to be found there alone.
fn places(text: &str, json: &Value) -> Vec<(String, std::ops::Range<usize>)> {
    let mut pointers = Vec::new();
    leaves(json, "", &mut pointers);
    let mark = "a-mark-that-stands-nowhere-else";
    pointers
        .into_iter()
        .map(|pointer| {
            let mut marked = json.clone();
            let old = std::mem::replace(marked.pointer_mut(&pointer).unwrap(), json!(mark));
            let marked = serde_json::to_string_pretty(&marked).unwrap();
            let at = marked.find(&format!("\"{mark}\"")).unwrap();
            let end = at + serde_json::to_string(&old).unwrap().len();
            assert_eq!(
                text[at..end],
                serde_json::to_string(&old).unwrap(),
                "{pointer}"
            );
            (pointer, at..end)
        })
        .collect()
}

#[tokio::test]
async fn a_bit_that_changes_in_any_field_of_a_manifest_is_found() {
    let content = crate::archive::archive(&[("orders", 3, 40), ("lines", 5, 7)]);
    let mut parser = pgdump_archive::IndexingParser::new();
    parser.push(&content, &mut |_| {}).unwrap();
    let (_, index) = parser.finish().unwrap();
    let key = new_key().encrypted();
    let mut json = serde_json::to_value(manifest_of(&key, &content)).unwrap();
    json["index"] = serde_json::to_value(&index).unwrap();
    json["of_a_newer_version"] = json!({ "field": [1, "a"] });
    let text = manifest_text(&json);
    Manifest::parse(&key, text.as_bytes()).unwrap();
    let places = places(&text, &json);
    assert!(places.len() > 60, "{}", places.len());
    for (field, range) in places {
        for at in range {
            for bit in 0..8 {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1 << bit;
                let fault = Manifest::parse(&key, &changed);
                let fault = fault.expect_err(&format!("{field}, bit {bit} of byte {at}"));
                assert_eq!(fault.code().as_str(), "manifest_invalid", "{field}");
                assert!(fault.advice().unwrap().contains("sha256sum"));
            }
        }
    }
    // Names, punctuation and white space.
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1 << (at % 8);
        let fault = Manifest::parse(&key, &changed);
        let fault = fault.expect_err(&format!("byte {at}: {:?}", &text[at..=at]));
        assert_eq!(fault.code().as_str(), "manifest_invalid");
    }
}

#[tokio::test]
async fn the_checksum_is_what_the_documented_command_prints() {
    let dir = tempfile::tempdir().unwrap();
    let config = crate::support::local(dir.path().join("s"));
    let storage = Storage::open("local", &config).await.unwrap();
    let key = new_key();
    store(&storage, &key, &content(100)).await;
    let mut manifest = manifest_of(&key, &content(100));
    // What JSON writers disagree about.
    manifest.label = Some("\u{7f}\u{1}\u{2028}/<é😀\\\"".into());
    manifest.archive.rows = Some(u64::MAX);
    storage.write_manifest(&manifest, None).await.unwrap();
    assert_eq!(storage.read_manifest(&key).await.unwrap(), Some(manifest));
    let file = dir.path().join("s").join(key.manifest());
    let text = std::fs::read_to_string(&file).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();

    let page = include_str!("../../../../docs/MANIFEST.md");
    let command = "head -n -2 TOKEN.dump.manifest.json | sha256sum";
    assert!(page.contains(command));
    let command = command.replace("TOKEN.dump.manifest.json", file.to_str().unwrap());
    let output = std::process::Command::new("sh")
        .args(["-c", &command])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let digits = printed.split(' ').next().unwrap();
    assert_eq!(json["checksum"], digits);
    assert!(text.ends_with(&format!("\n  \"checksum\": \"{digits}\"\n}}\n")));
    // What this test and others write by hand is what is written.
    assert_eq!(
        Manifest::parse(&key, manifest_text(&json).as_bytes()).unwrap(),
        Manifest::parse(&key, text.as_bytes()).unwrap()
    );
}

#[test]
fn a_manifest_of_format_2_without_its_checksum_is_refused_and_one_of_format_1_is_read() {
    let key = new_key();
    let mut json = serde_json::to_value(manifest_of(&key, b"abc")).unwrap();
    let parse = |json: &Value| Manifest::parse(&key, json.to_string().as_bytes());
    let fault = parse(&json).unwrap_err();
    assert!(fault.to_string().contains("no checksum"), "{fault}");
    json["format"] = json!(1);
    let read = parse(&json).unwrap();
    assert!(!read.has_checksum());
    json["format"] = json!(0);
    assert_eq!(
        parse(&json).unwrap_err().code().as_str(),
        "manifest_invalid"
    );
}

#[test]
fn a_manifest_that_says_something_else_than_its_key_names_the_field() {
    let key = new_key();
    let mut original = serde_json::to_value(manifest_of(&key, b"abc")).unwrap();
    original["copied"] = Value::Null;
    original["lease_token"] = json!(
        key.as_str()
            .rsplit('/')
            .next()
            .unwrap()
            .trim_end_matches(".dump")
    );
    Manifest::parse(&key, manifest_text(&original).as_bytes()).unwrap();
    let other = uuid::Uuid::new_v4();
    for (field, value) in [
        ("queue_id", json!(other)),
        ("backup_id", json!(other)),
        ("lease_token", json!(other)),
        ("target", json!("shop/orders")),
        ("claimed_at", json!("2026-12-01T00:00:00Z")),
        ("object.key", json!(new_key())),
        ("globals.key", json!(new_key().globals())),
        (
            "encryption",
            json!({ "format": "age", "recipients": [], "manifest": "clear" }),
        ),
    ] {
        let mut changed = original.clone();
        *changed
            .pointer_mut(&format!("/{}", field.replace('.', "/")))
            .unwrap() = value;
        let fault = Manifest::parse(&key, manifest_text(&changed).as_bytes()).unwrap_err();
        assert_eq!(fault.code().as_str(), "manifest_invalid");
        assert!(
            fault.to_string().ends_with(&format!("another {field}")),
            "{field}: {fault}"
        );
    }
    let odd = ObjectKey::parse("somewhere/else.dump").unwrap();
    original["object"]["key"] = json!(odd);
    let fault = Manifest::parse(&odd, manifest_text(&original).as_bytes()).unwrap_err();
    assert!(fault.to_string().contains("no daemon gives"), "{fault}");
}

#[tokio::test]
async fn a_manifest_of_a_backup_in_another_storage_is_refused_and_that_of_a_copy_is_not() {
    let storage = memory().await;
    let key = new_key();
    store(&storage, &key, &content(100)).await;
    let mut manifest = manifest_of(&key, &content(100));
    storage.write_manifest(&manifest, None).await.unwrap();
    assert!(storage.read_manifest(&key).await.unwrap().is_some());
    manifest.copied = None;
    let pgdumpd::store::Name::Part(part) = pgdumpd::store::Name::of(key.as_str()) else {
        panic!("{key}");
    };
    manifest.lease_token = part.token;
    storage.write_manifest(&manifest, None).await.unwrap();
    let fault = storage.read_manifest(&key).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "manifest_invalid");
    assert!(fault.to_string().contains("in another storage"), "{fault}");
    manifest.storage_id = storage.id();
    storage.write_manifest(&manifest, None).await.unwrap();
    assert_eq!(storage.read_manifest(&key).await.unwrap(), Some(manifest));
}
