//! Storages in an S3 server: what every storage must do, and what only an object store can get wrong.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use pgdumpd::config::{
    Credentials, PlaceConfig, Provider, RemoteConfig, S3, Secret, StorageConfig, UploadLimits,
};
use pgdumpd::store::Storage;
use pgdumpd_testkit::{S3Server, s3_server};

use crate::conformance::conforms;

fn remote(server: &S3Server, bucket: &str, prefix: &str) -> RemoteConfig {
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

fn storage_config(remote: RemoteConfig) -> StorageConfig {
    StorageConfig {
        place: PlaceConfig::Remote(Box::new(remote)),
        storage_id: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_conforms() {
    let server = s3_server().await;
    let (bucket, prefix) = (server.bucket().await, uuid::Uuid::new_v4().to_string());
    let storage = Storage::open("s3", &storage_config(remote(server, &bucket, &prefix)))
        .await
        .unwrap();
    let bucket = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_region(&server.region)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_access_key_id(&server.keys.id)
        .with_secret_access_key(&server.keys.secret)
        .build()
        .unwrap();
    let objects = Arc::new(PrefixStore::new(bucket, prefix));
    conforms(&storage, &objects).await;
}
