//! What every storage must do, written once and run over each kind.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use pgdumpd::finding::Severity;
use pgdumpd::store::{ObjectKey, Storage};
use uuid::Uuid;

use crate::support::{TIMEOUT, back_up, content, local, manifest_of, new_key, store};

async fn what_is_committed_reads_back(storage: &Storage) {
    for size in [0, 1, 3_000_000, 40_000_000] {
        let content = content(size);
        let key = new_key();
        let stored = store(storage, &key, &content).await;
        assert_eq!(stored.size, size as u64);
        assert_eq!(stored.key, key);
        let manifest = manifest_of(&key, &content);
        storage.write_manifest(&manifest, None).await.unwrap();
        assert_eq!(
            storage.find_backup(&key, TIMEOUT).await.unwrap(),
            Some(manifest.clone())
        );
        assert_eq!(storage.read_manifest(&key).await.unwrap(), Some(manifest));
        storage.delete_backup(&key).await.unwrap();
    }
}

async fn nothing_is_a_backup_without_its_manifest(storage: &Storage) {
    let key = new_key();
    store(storage, &key, &content(1000)).await;
    assert!(storage.list().await.unwrap().is_empty());
    assert_eq!(storage.find_backup(&key, TIMEOUT).await.unwrap(), None);
    assert_eq!(storage.read_manifest(&key).await.unwrap(), None);
    storage.remove_partial(&key, None).await.unwrap();
}

async fn a_manifest_without_its_object_is_refused(storage: &Storage) {
    let manifest = manifest_of(&new_key(), &content(1000));
    let fault = storage.write_manifest(&manifest, None).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "object_missing");
    let shorter = new_key();
    store(storage, &shorter, &content(999)).await;
    let fault = storage
        .write_manifest(&manifest_of(&shorter, &content(1000)), None)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "object_missing");
    assert!(storage.list().await.unwrap().is_empty());
    storage.remove_partial(&shorter, None).await.unwrap();
}

async fn an_aborted_or_dropped_upload_is_never_visible(storage: &Storage) {
    let key = new_key();
    let mut upload = storage.begin(&key, None).await.unwrap();
    upload.write(content(3_000_000)).await.unwrap();
    upload.abort().await.unwrap();
    let mut upload = storage.begin(&key, None).await.unwrap();
    upload.write(content(3_000_000)).await.unwrap();
    drop(upload);
    let manifest = manifest_of(&key, &content(3_000_000));
    let fault = storage.write_manifest(&manifest, None).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "object_missing");
    storage.remove_partial(&key, None).await.unwrap();
}

async fn remove_partial_leaves_backups_alone_and_may_be_repeated(storage: &Storage) {
    let backup = back_up(storage, &content(1000)).await;
    let key = &backup.object.key;
    storage.remove_partial(key, None).await.unwrap();
    assert_eq!(
        storage.find_backup(key, TIMEOUT).await.unwrap().as_ref(),
        Some(&backup)
    );

    let partial = new_key();
    store(storage, &partial, &content(1000)).await;
    for _ in 0..2 {
        storage.remove_partial(&partial, None).await.unwrap();
    }
    let fault = storage
        .write_manifest(&manifest_of(&partial, &content(1000)), None)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "object_missing");
    storage.delete_backup(key).await.unwrap();
}

async fn a_manifest_of_nothing_is_left_of_an_attempt(storage: &Storage, objects: &dyn ObjectStore) {
    let backup = back_up(storage, &content(1000)).await;
    let key = &backup.object.key;
    objects
        .delete(&Path::parse(key.as_str()).unwrap())
        .await
        .unwrap();
    storage.remove_partial(key, None).await.unwrap();
    assert_eq!(storage.read_manifest(key).await.unwrap(), None);
}

async fn a_deleted_backup_is_gone_and_deleting_may_be_repeated(storage: &Storage) {
    let kept = back_up(storage, &content(10)).await;
    let gone = back_up(storage, &content(10)).await;
    for _ in 0..2 {
        storage.delete_backup(&gone.object.key).await.unwrap();
        let listed = storage.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key, kept.object.key);
    }
    storage.delete_backup(&kept.object.key).await.unwrap();
}

async fn a_changed_object_is_no_backup(storage: &Storage, objects: &dyn ObjectStore) {
    let backup = back_up(storage, &content(100_000)).await;
    let key = &backup.object.key;
    let mut changed = content(100_000).to_vec();
    changed[50_000] ^= 1;
    put(objects, key.as_str(), &changed).await;
    assert_eq!(storage.find_backup(key, TIMEOUT).await.unwrap(), None);
    put(objects, key.as_str(), &changed[1..]).await;
    assert_eq!(storage.find_backup(key, TIMEOUT).await.unwrap(), None);
    put(objects, key.as_str(), &content(100_000)).await;
    assert_eq!(
        storage.find_backup(key, TIMEOUT).await.unwrap().as_ref(),
        Some(&backup)
    );
    storage.delete_backup(key).await.unwrap();
}

async fn a_broken_manifest_spoils_no_list(storage: &Storage, objects: &dyn ObjectStore) {
    let mut older = back_up(storage, &content(10)).await;
    older.started_at -= chrono::Duration::days(1);
    storage.write_manifest(&older, None).await.unwrap();
    let newer = back_up(storage, &content(10)).await;

    let text = serde_json::to_string(&newer).unwrap();
    let broken = [
        ("", "manifest_invalid"),
        ("{", "manifest_invalid"),
        ("{\"format\": 1}", "manifest_invalid"),
        ("{\"format\": 2}", "manifest_invalid"),
        ("{\"format\": 3}", "manifest_newer"),
        // Another backup's manifest: it speaks of an object elsewhere.
        (&text, "manifest_invalid"),
        (&" ".repeat(3 << 20), "manifest_invalid"),
    ];
    for (text, code) in broken {
        let key = new_key();
        put(objects, &key.manifest(), text.as_bytes()).await;
        put(objects, "not/ours.manifest.json", b"{}").await;
        let listed = storage.list().await.unwrap();
        assert_eq!(listed.len(), 3, "{code}");
        assert_eq!(listed[0].manifest.as_ref().unwrap(), &newer);
        assert_eq!(listed[1].manifest.as_ref().unwrap(), &older);
        assert_eq!(
            listed[2].manifest.as_ref().unwrap_err().code().as_str(),
            code
        );
        assert_eq!(listed[2].key, key);
        assert_eq!(storage.find_backup(&key, TIMEOUT).await.unwrap(), None);
        storage.delete_backup(&key).await.unwrap();
    }
    storage.delete_backup(&older.object.key).await.unwrap();
    storage.delete_backup(&newer.object.key).await.unwrap();
}

async fn a_target_is_listed_without_its_neighbours(storage: &Storage) {
    let (queue, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut keys = Vec::new();
    for (queue, target) in [
        (queue, "shop/orders %"),
        (queue, "shop/orders"),
        (queue, "shop"),
        (other, "shop/orders %"),
    ] {
        let started = chrono::DateTime::UNIX_EPOCH;
        let key = ObjectKey::new(queue, target, Uuid::new_v4(), Uuid::new_v4(), started);
        store(storage, &key, &content(10)).await;
        let manifest = manifest_of(&key, &content(10));
        storage.write_manifest(&manifest, None).await.unwrap();
        keys.push(key);
    }
    for (key, target) in keys.iter().zip(["shop/orders %", "shop/orders", "shop"]) {
        let listed = storage.list_target(queue, target).await.unwrap();
        let found: Vec<_> = listed.iter().map(|listed| &listed.key).collect();
        assert_eq!(found, [key], "{target}");
        let manifest = listed[0].manifest.as_ref().unwrap();
        assert!(storage.has_object(manifest).await.unwrap());
    }
    let unknown = storage.list_target(queue, "sho").await.unwrap();
    assert!(unknown.is_empty());
    for key in &keys {
        storage.delete_backup(key).await.unwrap();
    }
}

async fn uploads_at_once_do_not_mix(storage: &Storage) {
    let uploads = (1..=8).map(|n| async move {
        let content = content(n * 1_000_003);
        let manifest = back_up(storage, &content).await;
        let found = storage
            .find_backup(&manifest.object.key, TIMEOUT)
            .await
            .unwrap();
        assert_eq!(found, Some(manifest));
    });
    futures_util::future::join_all(uploads).await;
    for listed in storage.list().await.unwrap() {
        storage.delete_backup(&listed.key).await.unwrap();
    }
}

async fn a_probe_finds_nothing_wrong_and_leaves_nothing(
    storage: &Storage,
    objects: &dyn ObjectStore,
) {
    let before = everything(objects).await;
    let findings = storage.probe().await;
    assert!(
        findings
            .iter()
            .any(|f| f.what.contains("can be written, read and deleted")),
        "{findings:?}"
    );
    assert!(
        findings.iter().all(|f| f.severity == Severity::Ok),
        "{findings:?}"
    );
    assert_eq!(everything(objects).await, before);
}

async fn a_range_is_read_as_it_lies(storage: &Storage) {
    let (key, content) = (new_key(), content(3_000_000));
    store(storage, &key, &content).await;
    assert_eq!(storage.object_size(&key).await.unwrap(), Some(3_000_000));
    for range in [
        0..1,
        7..2_000_007,
        2_999_999..3_000_000,
        2_999_999..4_000_000,
    ] {
        let mut pieces = storage.read_range(&key, range.clone()).await.unwrap();
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        let (from, to) = (range.start as usize, (range.end as usize).min(3_000_000));
        assert!(read == content[from..to], "{range:?}");
    }
    storage.remove_partial(&key, None).await.unwrap();
    assert_eq!(storage.object_size(&key).await.unwrap(), None);
}

/// What is under way is found by key and id where the storage can tell, and is gone after its abort, by id or without.
async fn an_upload_under_way_is_found_and_removed(storage: &Storage) {
    for by_id in [true, false] {
        let (queue, other) = (Uuid::new_v4(), Uuid::new_v4());
        let key = |queue| {
            let started = chrono::DateTime::UNIX_EPOCH;
            ObjectKey::new(
                queue,
                "shop/orders %",
                Uuid::new_v4(),
                Uuid::new_v4(),
                started,
            )
        };
        let (ours, theirs) = (key(queue), key(other));
        let mut upload = storage.begin(&ours, Some(1)).await.unwrap();
        let neighbour = storage.begin(&theirs, Some(1)).await.unwrap();
        upload.write(content(12_000_000)).await.unwrap();
        upload.flush().await.unwrap();
        assert_eq!(storage.object_size(&ours).await.unwrap(), None);
        let id = upload.id().map(str::to_owned);
        let listed = storage.unfinished_uploads(queue).await.unwrap();
        if let Some(listed) = &listed {
            // An answer that was lost may have begun one more.
            assert!(listed.iter().all(|upload| upload.key == ours.as_str()));
            let mut ids = listed.iter().map(|upload| &upload.upload_id);
            assert!(ids.any(|listed| Some(listed) == id.as_ref()), "{listed:?}");
        }
        let id = id.filter(|_| by_id);
        storage.remove_partial(&ours, id.as_deref()).await.unwrap();
        if listed.is_some() {
            let listed = storage.unfinished_uploads(queue).await.unwrap();
            assert_eq!(listed, Some(Vec::new()));
            // Whoever was cut off cannot make it visible any more.
            upload.commit().await.unwrap_err();
            let listed = storage.unfinished_uploads(other).await.unwrap();
            assert!(listed.is_some_and(|listed| !listed.is_empty()));
        } else {
            // Gone already, as the store in memory says.
            upload.abort().await.ok();
        }
        assert_eq!(storage.object_size(&ours).await.unwrap(), None);
        neighbour.abort().await.unwrap();
        storage.remove_partial(&theirs, None).await.unwrap();
    }
}

async fn put(objects: &dyn ObjectStore, key: &str, content: &[u8]) {
    let content = Bytes::copy_from_slice(content);
    objects
        .put(&Path::parse(key).unwrap(), content.into())
        .await
        .unwrap();
}

async fn everything(objects: &dyn ObjectStore) -> Vec<String> {
    use futures_util::TryStreamExt;
    let mut names: Vec<String> = objects
        .list(None)
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .unwrap();
    names.sort();
    names
}

pub(crate) async fn conforms(storage: &Storage, objects: &dyn ObjectStore) {
    what_is_committed_reads_back(storage).await;
    nothing_is_a_backup_without_its_manifest(storage).await;
    a_manifest_without_its_object_is_refused(storage).await;
    an_aborted_or_dropped_upload_is_never_visible(storage).await;
    remove_partial_leaves_backups_alone_and_may_be_repeated(storage).await;
    a_manifest_of_nothing_is_left_of_an_attempt(storage, objects).await;
    a_deleted_backup_is_gone_and_deleting_may_be_repeated(storage).await;
    a_changed_object_is_no_backup(storage, objects).await;
    a_broken_manifest_spoils_no_list(storage, objects).await;
    a_target_is_listed_without_its_neighbours(storage).await;
    uploads_at_once_do_not_mix(storage).await;
    a_range_is_read_as_it_lies(storage).await;
    an_upload_under_way_is_found_and_removed(storage).await;
    a_probe_finds_nothing_wrong_and_leaves_nothing(storage, objects).await;
    // Each step took away what it made.
    let left = everything(objects).await;
    let ours = |name: &String| name != "pgdumpd-storage.json" && name != "not/ours.manifest.json";
    assert_eq!(
        left.into_iter().filter(ours).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root");
    let config = local(path.clone());
    let storage = Storage::open("local", &config).await.unwrap();
    let objects = object_store::local::LocalFileSystem::new_with_prefix(path).unwrap();
    conforms(&storage, &objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_conforms() {
    let objects = Arc::new(InMemory::new());
    let storage = Storage::over("memory", Uuid::new_v4(), Arc::clone(&objects));
    conforms(&storage, &objects).await;
}
