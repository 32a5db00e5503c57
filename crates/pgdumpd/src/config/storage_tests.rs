//! Storages as the configuration may write them, and what it refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// No part of any output may contain it.
const MARKER: &str = "hunter2marker";

/// Loads a configuration whose storage `s` has these keys.
fn load(keys: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("pgdumpd.toml");
    let text = format!(
        "[queue]\nurl = \"postgres://q@db/queue\"\n[targets.app]\nurl = \"postgres://b@db/app\"\n[storages.s]\n{keys}\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(directory.path().join("secret"), format!("{MARKER}\n")).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = Config::load(&Sources {
        file: Some(file),
        default_file: PathBuf::new(),
        variables: variables.collect(),
    });
    loaded.map_err(|error| {
        let error = error.to_string();
        assert!(!error.contains(MARKER), "{error}");
        error.replace(directory.path().to_str().unwrap(), "DIR")
    })
}

fn remote(keys: &str, variables: &[(&str, &str)]) -> RemoteConfig {
    let loaded = load(keys, variables).unwrap_or_else(|error| panic!("{error}"));
    let shown = format!("{}{loaded:?}", loaded.describe());
    assert!(!shown.contains(MARKER), "{shown}");
    match &loaded.config.storages["s"].place {
        PlaceConfig::Remote(remote) => (**remote).clone(),
        PlaceConfig::Local { path, .. } => panic!("{}", path.display()),
    }
}

fn s3(remote: &RemoteConfig) -> &S3 {
    match &remote.provider {
        Provider::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bucket_needs_its_url_alone_and_the_rest_has_defaults() {
    let remote = remote("url = \"s3://backups/pg/prod/\"", &[]);
    assert_eq!(remote.address(), "s3://backups/pg/prod");
    assert_eq!(remote.request_deadline, Duration::from_secs(120));
    assert_eq!(remote.bandwidth, None);
    assert_eq!(
        remote.limits,
        UploadLimits {
            max_parts: 10_000,
            part_size: 8 << 20,
            memory: 64 << 20,
        }
    );
    let s3 = s3(&remote);
    assert!(s3.checksums && !s3.path_style);
    assert_eq!(s3.region, None);
    assert_eq!(s3.credentials, Credentials::Ambient(BTreeMap::new()));
}

#[test]
fn a_server_of_ones_own_takes_the_bucket_in_the_path() {
    let keys = "url = \"s3://b\"\nendpoint = \"https://s3.example.com:9000\"\naccess_key_id = \"id\"\nsecret_access_key_file = \"secret\"\n\
                part_checksums = \"none\"\nbandwidth = \"1MiB\"";
    let configured = remote(keys, &[]);
    let server = s3(&configured);
    assert!(server.path_style && !server.checksums);
    let bandwidth = configured.bandwidth.as_ref().unwrap();
    assert_eq!(bandwidth.bytes_per_second(), 1 << 20);
    let Credentials::Keys { id, secret, .. } = &server.credentials else {
        panic!("{server:?}");
    };
    assert_eq!((id.as_str(), secret.expose()), ("id", MARKER));
    let virtual_hosted = remote(&format!("{keys}\npath_style = false"), &[]);
    assert!(!s3(&virtual_hosted).path_style);
    // A dot in a bucket's name breaks the certificate of its own host.
    assert!(s3(&remote("url = \"s3://a.b\"", &[])).path_style);
}

#[test]
fn the_environment_says_who_we_are_only_where_the_configuration_does_not() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "theirs"),
        ("AWS_SECRET_ACCESS_KEY", MARKER),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", "http://elsewhere"),
    ];
    let ambient = remote("url = \"s3://b\"", &variables);
    assert_eq!(ambient.endpoint, None);
    assert_eq!(s3(&ambient).region.as_deref(), Some("eu-central-1"));
    let Credentials::Ambient(found) = &s3(&ambient).credentials else {
        panic!("{ambient:?}");
    };
    assert_eq!(found["AWS_SECRET_ACCESS_KEY"].expose(), MARKER);
    assert_eq!(found.len(), 2);
    let keys = "url = \"s3://b\"\naccess_key_id = \"ours\"\nsecret_access_key = \"x\"\nregion = \"us-west-2\"";
    let configured = remote(keys, &variables);
    assert_eq!(s3(&configured).region.as_deref(), Some("us-west-2"));
    assert!(matches!(&s3(&configured).credentials, Credentials::Keys { id, .. } if id == "ours"));
}

#[test]
fn plain_http_is_warned_of_but_not_to_this_machine() {
    let warnings = |endpoint: &str| {
        let keys = format!("url = \"s3://b\"\nendpoint = \"{endpoint}\"");
        load(&keys, &[]).unwrap().warnings
    };
    for endpoint in [
        "https://s3.example.com",
        "http://127.0.0.1:9000",
        "http://[::1]",
        "http://localhost:1",
    ] {
        assert_eq!(warnings(endpoint), Vec::<String>::new(), "{endpoint}");
    }
    let warned = warnings("http://s3.example.com");
    assert!(
        warned[0].contains("storages.s.endpoint is plain http"),
        "{warned:?}"
    );
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_key() {
    let mut told = String::new();
    for keys in [
        "",
        "path = \"/srv\"\nurl = \"s3://b\"",
        "url = \"ftp://b\"",
        "url = \"s3://key:hunter2marker@b\"",
        "url = 7",
        "path = \"/srv\"\nregion = \"eu\"\nbandwidth = \"1MiB\"",
        "url = \"file:///srv\"\naccess_key_id = \"x\"",
        "url = \"s3://b\"\nmin_free = \"1GiB\"\nservice_account_file = \"secret\"\naccount = \"a\"",
        "url = \"gs://b\"\nregion = \"eu\"\nsecret_access_key = \"hunter2marker\"",
        "url = \"az://b\"",
        "url = \"az://b\"\naccount = \"a\"\naccess_key = \"hunter2marker\"\naccess_key_file = \"secret\"",
        "url = \"s3://b\"\naccess_key_id = \"x\"",
        "url = \"s3://b\"\nsecret_access_key = \"hunter2marker\"",
        "url = \"s3://b\"\nsecret_access_key_file = \"absent\"\naccess_key_id = \"x\"",
        "url = \"s3://b\"\nendpoint = \"s3.example.com\"",
        "url = \"s3://b\"\nendpoint = \"https://u:hunter2marker@s3.example.com\"",
        "url = \"s3://b\"\nendpoint = \"https://s3.example.com/b\"",
        "url = \"s3://b\"\nca_file = \"absent.pem\"",
        "url = \"s3://b\"\nmax_parts = 20000\npart_size = \"4MiB\"\nbandwidth = \"1KiB\"\nrequest_deadline = \"0s\"",
        "url = \"s3://b\"\npart_checksums = \"md5\"\nupload_memory = \"much\"",
    ] {
        let error = load(keys, &[]).unwrap_err();
        told.push_str(&keys.replace(MARKER, "***"));
        told.push('\n');
        told.push_str(&error);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_configuration_that_is_read_again_shares_the_bandwidth_that_is_in_use() {
    let loaded = |bandwidth: &str| {
        let keys = format!("url = \"s3://b\"\nbandwidth = \"{bandwidth}\"");
        load(&keys, &[]).unwrap().config
    };
    let bandwidth = |config: &Config| match &config.storages["s"].place {
        PlaceConfig::Remote(remote) => remote.bandwidth.clone().unwrap(),
        PlaceConfig::Local { path, .. } => panic!("{}", path.display()),
    };
    let (before, mut same, mut other) = (loaded("1MiB"), loaded("1MiB"), loaded("2MiB"));
    same.share_bandwidths(&before);
    other.share_bandwidths(&before);
    // What one has reserved, the other waits for.
    bandwidth(&before).take(10 << 20);
    assert!(bandwidth(&same).take(1) > Duration::from_secs(9));
    assert_eq!(bandwidth(&other).take(1), Duration::ZERO);
}
