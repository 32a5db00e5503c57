//! The keys of a storage that is an object store: where it is, who we are to it, and how it is sent to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::reader::{Reader, Section};
use super::secrets::{self, Secret};
use super::storage_url::Scheme;
use crate::bandwidth::Bandwidth;

/// The least that S3 takes for a part that is not the last.
const SMALLEST_PART: u64 = 5 << 20;
/// The most that a server takes for one part: Azure 4,000 MiB, the others 5 GiB.
pub(crate) const LARGEST_PART: u64 = 4_000 << 20;
/// The most parts that S3 and Google take; Azure takes five times as many.
const MOST_PARTS: u32 = 10_000;
/// Slower than this one part would take hours.
const SLOWEST: u64 = 64 << 10;

/// The keys that belong to one kind of object store, and to which.
const PARTICULAR: &[(&str, Scheme)] = &[
    ("region", Scheme::S3),
    ("path_style", Scheme::S3),
    ("access_key_id", Scheme::S3),
    ("secret_access_key", Scheme::S3),
    ("secret_access_key_file", Scheme::S3),
    ("session_token", Scheme::S3),
    ("part_checksums", Scheme::S3),
    ("service_account_file", Scheme::Gcs),
    ("account", Scheme::Azure),
    ("access_key", Scheme::Azure),
    ("access_key_file", Scheme::Azure),
];
/// The keys that every object store has and a local directory has not.
const COMMON: &[&str] = &[
    "endpoint",
    "ca_file",
    "bandwidth",
    "max_parts",
    "part_size",
    "upload_memory",
    "request_deadline",
];

/// The variables by which a program on Amazon's machines learns its identity, by Amazon's own names.
const AMAZON: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];
/// The same for Google's.
const GOOGLE: &[&str] = &["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"];
/// The same for Microsoft's.
const MICROSOFT: &[&str] = &[
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_IDENTITY_ENDPOINT",
];

/// An object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Whose, and who we are to it.
    pub provider: Provider,
    /// What every key begins with, without a slash at its end; may be empty.
    pub prefix: String,
    /// Where it is reached, if not at its provider's own address.
    pub endpoint: Option<Url>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How an upload is cut into parts.
    pub limits: UploadLimits,
    /// How many bytes a second it may be sent.
    pub bandwidth: Option<Bandwidth>,
    /// How long a request that fails is tried again.
    pub request_deadline: Duration,
}

/// Whose object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, or what speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Gcs(Gcs),
    /// Azure Blob Storage.
    Azure(Azure),
}

/// Amazon S3, or what speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Where it is.
    pub region: Option<String>,
    /// Whether the bucket is named in the path, and not in the host's name.
    pub path_style: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether each part is sent with its SHA-256.
    pub checksums: bool,
}

/// Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gcs {
    /// Its name.
    pub bucket: String,
    /// The key of a service account, as Google gives it out (JSON).
    pub service_account_file: Option<PathBuf>,
    /// What the environment says, where there is no such file.
    pub ambient: Ambient,
}

/// Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// Its name.
    pub container: String,
    /// The storage account.
    pub account: String,
    /// The account's key.
    pub access_key: Option<Secret>,
    /// What the environment says, where there is no key.
    pub ambient: Ambient,
}

/// Who we are to an S3 server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A pair of keys.
    Keys {
        /// No secret.
        id: String,
        /// The secret one.
        secret: Secret,
        /// What belongs to temporary keys.
        session_token: Option<Secret>,
    },
    /// What the environment says; if nothing, the role of the machine.
    Ambient(Ambient),
}

/// What a provider's own variables say, by name, if they are about credentials.
pub type Ambient = BTreeMap<&'static str, Secret>;

/// How an upload is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// The most parts that the server takes.
    pub max_parts: u32,
    /// The least size of a part in bytes.
    pub part_size: u64,
    /// Bytes that the parts of one upload may take in memory, but that two always may.
    pub memory: u64,
}

impl RemoteConfig {
    /// As the operator wrote it: the scheme, the bucket, and the prefix.
    pub fn address(&self) -> String {
        let (scheme, bucket) = match &self.provider {
            Provider::S3(s3) => (Scheme::S3, &s3.bucket),
            Provider::Gcs(gcs) => (Scheme::Gcs, &gcs.bucket),
            Provider::Azure(azure) => (Scheme::Azure, &azure.container),
        };
        let (scheme, prefix) = (scheme.name(), &self.prefix);
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{scheme}://{bucket}{slash}{prefix}")
    }
}

impl fmt::Display for RemoteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

/// Reads the keys of an object store.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Section,
    scheme: Scheme,
    bucket: String,
    prefix: String,
) -> Option<RemoteConfig> {
    refuse_local(reader, section, scheme);
    refuse_particular(reader, section, Some(scheme));
    let endpoint = endpoint(reader, section, scheme);
    let provider = match scheme {
        Scheme::S3 => Some(Provider::S3(s3(
            reader,
            section,
            bucket,
            endpoint.is_some(),
        ))),
        Scheme::Gcs => Some(Provider::Gcs(gcs(reader, section, bucket))),
        Scheme::Azure => azure(reader, section, bucket).map(Provider::Azure),
    };
    let ca_file = secrets::file(reader, section, "ca_file");
    let limits = limits(reader, section, scheme);
    let bandwidth = bandwidth(reader, section);
    let request_deadline = reader.duration(section, "request_deadline");
    Some(RemoteConfig {
        provider: provider?,
        prefix,
        endpoint,
        ca_file,
        limits,
        bandwidth,
        request_deadline,
    })
}

/// Notes every key that only an object store has.
pub(super) fn refuse_all(reader: &mut Reader<'_>, section: &Section) {
    refuse_particular(reader, section, None);
    for name in COMMON {
        if let Some(found) = reader.find(section, name) {
            reader.refuse(
                section,
                name,
                &found,
                "has no meaning for a local directory",
            );
        }
    }
}

fn refuse_local(reader: &mut Reader<'_>, section: &Section, scheme: Scheme) {
    if let Some(found) = reader.find(section, "min_free") {
        let why = format!("has no meaning for a storage at {}://", scheme.name());
        reader.refuse(section, "min_free", &found, &why);
    }
}

fn refuse_particular(reader: &mut Reader<'_>, section: &Section, scheme: Option<Scheme>) {
    for (name, whose) in PARTICULAR {
        if scheme == Some(*whose) {
            continue;
        }
        if let Some(found) = reader.find(section, name) {
            let why = format!("has a meaning only for a storage at {}://", whose.name());
            reader.refuse(section, name, &found, &why);
        }
    }
}

fn endpoint(reader: &mut Reader<'_>, section: &Section, scheme: Scheme) -> Option<Url> {
    let found = reader.find(section, "endpoint")?;
    let text = reader.text(section, "endpoint")?;
    let refused = match Url::parse(&text) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) || url.host().is_none() => None,
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            // Not quoted: it has a password in it.
            let why = "must hold no credentials: they have keys of their own";
            reader.problem(section.key("endpoint"), Some(found.origin), why);
            return None;
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => None,
        // Azure's emulator has the account in the path.
        Ok(url) if url.path() != "/" && scheme != Scheme::Azure => None,
        Ok(url) => {
            warn_of_plain_http(reader, section, &url);
            return Some(url);
        }
        Err(_) => None,
    };
    let why = "is not a server's address: write https://host or https://host:port";
    reader.refuse(section, "endpoint", &found, why);
    refused
}

fn warn_of_plain_http(reader: &mut Reader<'_>, section: &Section, url: &Url) {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !loopback {
        reader.warnings.push(format!(
            "{} is plain http: backups can be read and changed on their way to it",
            section.key("endpoint")
        ));
    }
}

fn s3(reader: &mut Reader<'_>, section: &Section, bucket: String, has_endpoint: bool) -> S3 {
    let region = reader.text(section, "region").or_else(|| {
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let mut set = variables
            .iter()
            .filter_map(|name| reader.sources.variable(name));
        set.next().map(str::to_owned)
    });
    // Only Amazon's own names are sure to lead to a bucket's host; a dot in one breaks its certificate.
    let path_style = has_endpoint || bucket.contains('.');
    let path_style = match reader.find(section, "path_style") {
        Some(_) => reader.boolean(section, "path_style"),
        None => path_style,
    };
    S3 {
        bucket,
        region,
        path_style,
        credentials: credentials(reader, section),
        checksums: reader.text(section, "part_checksums").as_deref() != Some("none"),
    }
}

fn credentials(reader: &mut Reader<'_>, section: &Section) -> Credentials {
    let id = reader.text(section, "access_key_id");
    let secret = secrets::optional(
        reader,
        section,
        "secret_access_key",
        "secret_access_key_file",
    );
    let session_token = reader.text(section, "session_token").map(Secret::new);
    let has = |reader: &Reader<'_>, names: &[&str]| {
        names
            .iter()
            .any(|name| reader.find(section, name).is_some())
    };
    let has_secret = has(reader, &["secret_access_key", "secret_access_key_file"]);
    match (id, secret) {
        (Some(id), Some(secret)) => Credentials::Keys {
            id,
            secret,
            session_token,
        },
        (Some(_), None) => {
            if !has_secret {
                let why = "needs secret_access_key or secret_access_key_file beside it";
                reader.problem(section.key("access_key_id"), None, why);
            }
            Credentials::Ambient(Ambient::new())
        }
        (None, secret) => {
            if secret.is_some() || session_token.is_some() {
                let why = "is missing: the secret key needs it";
                reader.problem(section.key("access_key_id"), None, why);
            }
            Credentials::Ambient(ambient(reader, AMAZON))
        }
    }
}

fn gcs(reader: &mut Reader<'_>, section: &Section, bucket: String) -> Gcs {
    let service_account_file = secrets::file(reader, section, "service_account_file");
    let ambient = match service_account_file {
        Some(_) => Ambient::new(),
        None => ambient(reader, GOOGLE),
    };
    Gcs {
        bucket,
        service_account_file,
        ambient,
    }
}

fn azure(reader: &mut Reader<'_>, section: &Section, container: String) -> Option<Azure> {
    let access_key = secrets::optional(reader, section, "access_key", "access_key_file");
    let variable = reader.sources.variable("AZURE_STORAGE_ACCOUNT_NAME");
    let variable = variable.map(str::to_owned);
    let Some(account) = reader.text(section, "account").or(variable) else {
        let why = "is missing: name the storage account";
        reader.problem(section.key("account"), None, why);
        return None;
    };
    let ambient = match access_key {
        Some(_) => Ambient::new(),
        None => ambient(reader, MICROSOFT),
    };
    Some(Azure {
        container,
        account,
        access_key,
        ambient,
    })
}

fn ambient(reader: &Reader<'_>, names: &[&'static str]) -> Ambient {
    let value = |name: &&'static str| Some((*name, Secret::new(reader.sources.variable(name)?)));
    names.iter().filter_map(value).collect()
}

fn limits(reader: &mut Reader<'_>, section: &Section, scheme: Scheme) -> UploadLimits {
    let limits = UploadLimits {
        max_parts: reader.integer(section, "max_parts"),
        part_size: reader.size(section, "part_size"),
        memory: reader.size(section, "upload_memory"),
    };
    if let Some(found) = reader.find(section, "max_parts")
        && limits.max_parts > MOST_PARTS
        && scheme != Scheme::Azure
    {
        let why = format!(
            "is more than the {MOST_PARTS} that {}:// takes",
            scheme.name()
        );
        reader.refuse(section, "max_parts", &found, &why);
    }
    if let Some(found) = reader.find(section, "part_size")
        && !(SMALLEST_PART..=LARGEST_PART).contains(&limits.part_size)
    {
        reader.refuse(section, "part_size", &found, "is not from 5MiB to 4000MiB");
    }
    limits
}

fn bandwidth(reader: &mut Reader<'_>, section: &Section) -> Option<Bandwidth> {
    let found = reader.find(section, "bandwidth")?;
    let bytes_per_second = reader.size(section, "bandwidth");
    if bytes_per_second < SLOWEST {
        reader.refuse(section, "bandwidth", &found, "is less than 64KiB a second");
    }
    Some(Bandwidth::new(bytes_per_second))
}
