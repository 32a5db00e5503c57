//! Storages in Azure, against the emulator that `script/test --azurite` starts.

use object_store::azure::MicrosoftAzureBuilder;
use object_store::prefix::PrefixStore;
use pgdumpd::config::{Azure, Provider, RemoteConfig, Secret};
use pgdumpd::store::Storage;
use pgdumpd_testkit::s3_server;

use crate::conformance::conforms;
use crate::s3::{remote, storage_config};

fn variable(name: &str) -> String {
    let name = format!("PGDUMPD_TEST_AZURE_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run script/test --azurite"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azurite: script/test --azurite"]
async fn the_emulator_conforms() {
    let prefix = uuid::Uuid::new_v4().to_string();
    let (account, container) = (variable("ACCOUNT"), variable("CONTAINER"));
    let (endpoint, key) = (variable("ENDPOINT"), variable("KEY"));
    let config = RemoteConfig {
        provider: Provider::Azure(Azure {
            container: container.clone(),
            account: account.clone(),
            access_key: Some(Secret::new(&key)),
            ambient: Default::default(),
        }),
        endpoint: Some(endpoint.parse().unwrap()),
        ..remote(s3_server().await, "", &prefix)
    };
    let storage = Storage::open("azure", &storage_config(config))
        .await
        .unwrap();
    let objects = MicrosoftAzureBuilder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_account(account)
        .with_container_name(container)
        .with_access_key(key)
        .build()
        .unwrap();
    conforms(&storage, &PrefixStore::new(objects, prefix)).await;
}
