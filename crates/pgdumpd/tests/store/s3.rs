//! Storages in an S3 server: what every storage must do, and what only an object store can get wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use pgdumpd::config::{
    Credentials, PlaceConfig, Provider, RemoteConfig, S3, Secret, StorageConfig, UploadLimits,
};
use pgdumpd::readback::{self, Stored};
use pgdumpd::store::{ObjectKey, Storage};
use pgdumpd_testkit::{S3Server, s3_server};

use crate::conformance::conforms;
use crate::support::{back_up_archive, content, manifest_of, new_key, store};

/// The configuration of a storage at an S3 server, in small parts.
pub(crate) fn remote(server: &S3Server, bucket: &str, prefix: &str) -> RemoteConfig {
    RemoteConfig {
        provider: Provider::S3(S3 {
            bucket: bucket.to_owned(),
            region: Some(server.region.clone()),
            path_style: true,
            credentials: Credentials::Keys {
                id: server.keys.id.clone(),
                secret: Secret::new(&server.keys.secret),
                session_token: None,
            },
            checksums: true,
        }),
        prefix: prefix.to_owned(),
        endpoint: Some(server.endpoint.parse().unwrap()),
        ca_file: None,
        limits: UploadLimits {
            max_parts: 10_000,
            part_size: 5 << 20,
            memory: 32 << 20,
        },
        bandwidth: None,
        request_deadline: Duration::from_secs(20),
    }
}

pub(crate) fn storage_config(remote: RemoteConfig) -> StorageConfig {
    StorageConfig {
        place: PlaceConfig::Remote(Box::new(remote)),
        storage_id: None,
    }
}

/// What lies below a prefix of a bucket, past all of ours.
pub(crate) fn objects(server: &S3Server, bucket: &str, prefix: &str) -> impl ObjectStore {
    let bucket = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_region(&server.region)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_access_key_id(&server.keys.id)
        .with_secret_access_key(&server.keys.secret)
        .build()
        .unwrap();
    PrefixStore::new(bucket, prefix)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_conforms() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let storage = Storage::open("s3", &storage_config(remote(server, &bucket, &prefix)))
        .await
        .unwrap();
    conforms(&storage, &objects(server, &bucket, &prefix)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unfinished_upload_is_found_however_many_pages_they_fill() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let config = storage_config(remote(server, &bucket, &prefix));
    let storage = Storage::open("s3", &config).await.unwrap();
    let (queue, many) = (uuid::Uuid::new_v4(), 1_003);
    let begin = |n: u128| {
        let (storage, id) = (storage.clone(), uuid::Uuid::from_u128(n));
        let key = ObjectKey::new(queue, "shop", id, id, chrono::DateTime::UNIX_EPOCH);
        async move { storage.begin(&key, Some(1)).await.unwrap() }
    };
    let uploads = stream::iter((0..many).map(begin)).buffer_unordered(16);
    let uploads: Vec<_> = uploads.collect().await;
    let listed = storage.unfinished_uploads(queue).await.unwrap().unwrap();
    assert_eq!(listed.len() as u128, many);
    let keys: BTreeSet<_> = listed.iter().map(|upload| &upload.key).collect();
    assert_eq!(keys.len() as u128, many);
    let aborts = uploads.into_iter().map(|upload| upload.abort());
    let aborted: Vec<_> = stream::iter(aborts).buffer_unordered(16).collect().await;
    assert!(aborted.iter().all(Result::is_ok));
    let left = storage.unfinished_uploads(queue).await.unwrap();
    assert_eq!(left, Some(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_make_one_storage_at_once_end_with_one_id() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let config = storage_config(remote(server, &bucket, &prefix));
    let opened = (0..8).map(|_| Storage::open("s3", &config));
    let opened = futures_util::future::join_all(opened).await;
    let ids: BTreeSet<_> = opened
        .into_iter()
        .map(|storage| storage.unwrap().id())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let again = Storage::open_existing("s3", &config, &[]).await.unwrap();
    assert_eq!(Some(&again.id()), ids.first());
    // Another one is not taken for it, and a prefix with other things in it is none.
    let other = uuid::Uuid::new_v4();
    let fault = Storage::open_existing("s3", &config, &[other])
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_replaced");
    let above = storage_config(remote(server, &bucket, ""));
    let fault = Storage::open("s3", &above).await.unwrap_err();
    assert_eq!(
        fault.code().as_str(),
        "storage_foreign",
        "{}",
        fault.report()
    );
    let absent = storage_config(remote(server, &bucket, "absent"));
    let fault = Storage::open_existing("s3", &absent, &[])
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_missing");
    assert!(fault.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_cut_to_nothing_is_damaged_and_the_server_is_not_at_fault() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let config = storage_config(remote(server, &bucket, &prefix));
    let storage = Storage::open("s3", &config).await.unwrap();
    let (manifest, content) =
        back_up_archive(&storage, &[("orders", 3, 40), ("lines", 5, 7)]).await;
    let key = &manifest.object.key;
    let stored = Stored::open(storage.clone(), key).await.unwrap().unwrap();
    let verdict = readback::verify(&stored).await.unwrap();
    assert!(
        stored.matches(&verdict) && verdict.differences.is_empty(),
        "{verdict:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("tables");
    let last = stored
        .index
        .as_ref()
        .unwrap()
        .entries
        .last()
        .unwrap()
        .clone();
    let tables = [pgdump_archive::TableName::new("app", "lines")];
    let path = object_store::path::Path::parse(key.as_str()).unwrap();
    // Before the last table, and to nothing.
    for length in [usize::try_from(last.offset_bytes).unwrap(), 0] {
        let cut = content.slice(..length);
        let put = objects(server, &bucket, &prefix);
        put.put(&path, cut.into()).await.unwrap();
        let verdict = readback::verify(&stored).await.unwrap();
        assert!(!stored.matches(&verdict));
        assert_eq!(verdict.size_bytes, length as u64);
        assert!(!verdict.damaged.is_empty(), "{verdict:?}");
        let behind = storage.read_range(key, last.range().unwrap()).await;
        assert_eq!(behind.unwrap().next().await.unwrap(), None);
        let verdict = readback::fetch_whole(&stored, &to).await.unwrap().verdict;
        assert!(!stored.matches(&verdict) && !to.exists());
    }
    let fault = readback::fetch_tables(&stored, &tables, &to)
        .await
        .unwrap_err();
    assert_eq!(
        fault.code().as_str(),
        "archive_damaged",
        "{}",
        fault.report()
    );
    // One that is not there at all is missing, not damaged.
    objects(server, &bucket, &prefix)
        .delete(&object_store::path::Path::parse(key.as_str()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        readback::verify(&stored).await.unwrap_err().code().as_str(),
        "object_missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_emptied_or_becomes_another_storage_takes_no_backup() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let config = storage_config(remote(server, &bucket, &prefix));
    let storage = Storage::open("s3", &config).await.unwrap();
    let (key, content) = (new_key(), content(1000));
    store(&storage, &key, &content).await;
    let objects = objects(server, &bucket, &prefix);
    let marker = object_store::path::Path::from("pgdumpd-storage.json");
    let other = r#"{"format": 1, "storage_id": "00000000-0000-4000-8000-000000000001"}"#;
    for (text, code) in [(None, "storage_missing"), (Some(other), "storage_replaced")] {
        match text {
            None => objects.delete(&marker).await.unwrap(),
            Some(text) => drop(objects.put(&marker, text.into()).await.unwrap()),
        }
        let faults = [
            storage.begin(&new_key(), None).await.map(drop),
            storage
                .write_manifest(&manifest_of(&key, &content), None)
                .await,
            storage.delete_backup(&new_key()).await,
        ];
        for fault in faults.map(Result::unwrap_err) {
            assert_eq!(fault.code().as_str(), code, "{}", fault.report());
            assert!(fault.is_transient());
        }
        assert_eq!(storage.read_manifest(&key).await.unwrap(), None);
    }
}
