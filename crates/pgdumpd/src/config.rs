//! The configuration: defaults, then a TOML file, then the environment.
//!
//! [`Config::load`] merges the layers (`sources`), reads every value by the table of keys (`keys`), and
//! collects all problems before it gives up (`reader`). One file a section says what its keys mean together.
//! docs/CONFIG.md describes each key; a test holds table, document and example file together.

mod daemon;
mod describe;
mod error;
mod http;
#[cfg(test)]
mod http_tests;
mod keys;
mod notify;
#[cfg(test)]
mod notify_tests;
mod origin;
mod queue;
mod reader;
mod remote;
mod secrets;
mod sources;
#[cfg(test)]
mod storage_tests;
mod storage_url;
mod storages;
mod targets;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::compression::Compression;
use crate::compressor::Compressor;
use crate::database_url::DatabaseUrl;
use crate::encryption::{ManifestForm, Recipients};
use crate::globals::Globals;
use crate::schedule::Schedule;

pub use describe::{Entry, Loaded};
pub use error::{ConfigError, Problem};
pub use http::{HttpConfig, HttpLimits, Listen, Scope, TlsFiles, TokenConfig};
pub use keys::{KEYS, Key, Kind, MOST_AT_ONCE, did_you_mean};
pub use notify::{MailConfig, NotifyEvent, NotifyForm, ReceiverConfig};
pub use origin::Origin;
pub(crate) use remote::LARGEST_PART;
pub use remote::{Ambient, Azure, Credentials, Gcs, Provider, RemoteConfig, S3, UploadLimits};
pub use secrets::Secret;
pub use sources::{DEFAULT_FILE, Sources};
pub use targets::NAME_MAX as TARGET_NAME_MAX;

/// The daemon's whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the queue lives.
    pub queue: QueueConfig,
    /// How this daemon works.
    pub daemon: DaemonConfig,
    /// Where pg_dump is found.
    pub pg_dump: PgDumpConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Who may ask over HTTP, and where.
    pub http: HttpConfig,
    /// Who is told what, by name.
    pub notify: BTreeMap<String, ReceiverConfig>,
    /// The databases that may be backed up, by name.
    pub targets: BTreeMap<String, TargetConfig>,
    /// The places that backups may go to, by name.
    pub storages: BTreeMap<String, StorageConfig>,
}

impl Config {
    /// Lets the uploads under way and those to come share one limit, where a storage keeps its own.
    pub fn share_bandwidths(&mut self, before: &Self) {
        for (name, storage) in &mut self.storages {
            if let PlaceConfig::Remote(remote) = &mut storage.place
                && let Some(before) = before.storages.get(name)
                && let PlaceConfig::Remote(before) = &before.place
                && remote.bandwidth == before.bandwidth
            {
                remote.bandwidth.clone_from(&before.bandwidth);
            }
        }
    }

    /// Reads the configuration from these sources.
    ///
    /// # Errors
    /// Every problem found, each with its key and where its value came from; never a secret.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut reader = reader::Reader::open(sources)?;
        let queue = queue::read(&mut reader);
        let daemon = daemon::read(&mut reader);
        let pg_dump = daemon::read_pg_dump(&mut reader);
        let log = daemon::read_log(&mut reader);
        let http = http::read(&mut reader);
        let notify = notify::read(&mut reader);
        let storages = storages::read(&mut reader);
        let url = queue.as_ref().map(|queue| &queue.url);
        let targets = targets::read(&mut reader, url, &storages);
        match queue {
            Some(queue) => reader.finish(Config {
                queue,
                daemon,
                pg_dump,
                log,
                http,
                notify,
                targets,
                storages,
            }),
            None => Err(reader.give_up()),
        }
    }
}

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// The queue's database.
    pub url: DatabaseUrl,
    /// The id that the queue must have; any, if none.
    pub queue_id: Option<Uuid>,
    /// Whether `url` leads through a transaction pooler: no statement cache, no start-up parameters.
    pub pooled: bool,
    /// A direct connection for LISTEN; `url` if none and not pooled; without both there is no LISTEN.
    pub listen_url: Option<DatabaseUrl>,
    /// Whether to LISTEN at all.
    pub listen: bool,
    /// Whether `run` migrates by itself (by default only in the mode without configuration).
    pub migrate_at_start: bool,
}

/// `[daemon]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Backups at once.
    pub max_jobs: usize,
    /// Copies at once, beside the backups.
    pub max_copies: usize,
    /// How long a silent daemon keeps its jobs.
    pub lease: Duration,
    /// How often a running job's row is renewed when nothing else writes it.
    pub heartbeat: Duration,
    /// How often the queue is asked for work.
    pub poll_interval: Duration,
    /// How long a stopping daemon lets dumps finish.
    pub drain_timeout: Duration,
    /// How often the daemon checks targets and storages.
    pub check_interval: Duration,
    /// How many of a job's daemons may die before the job fails.
    pub max_rescues: u16,
}

/// `[pg_dump]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDumpConfig {
    /// Directories searched first, before the packages' usual places and PATH.
    pub directories: Vec<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter as tracing-subscriber's EnvFilter takes it.
    pub filter: String,
    /// JSON instead of text.
    pub json: bool,
}

/// `[targets.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// The database (with `databases`: the one to ask for the list).
    pub url: DatabaseUrl,
    /// One database, or each of the server.
    pub databases: Databases,
    /// The name of the storage.
    pub storage: String,
    /// The names of the storages that each backup is then copied to.
    pub copies: Vec<String>,
    /// How data is compressed.
    pub compression: Compression,
    /// Who compresses it; none: the faster one.
    pub compressor: Option<Compressor>,
    /// Whether roles and tablespaces are stored beside the archive; not, if none.
    pub globals: Option<Globals>,
    /// How long pg_dump's session may wait for one lock.
    pub lock_wait_timeout: Duration,
    /// How long no byte may come.
    pub stall_timeout: Duration,
    /// Whether blocks of the tables are read beforehand, so that the percentage is truer.
    pub progress_sample: bool,
    /// Whether an exclusion that leaves out nothing fails the job.
    pub strict_filters: bool,
    /// How long a dump may take at most, unless the job says less.
    pub timeout: Option<Duration>,
    /// When the daemons themselves ask for a backup; never, if none.
    pub schedule: Option<Schedule>,
    /// How old its last good backup may be before people are told; any age, if none.
    pub alert_after: Option<Duration>,
    /// How many backups of each set of filters stay, at least 1; all, if none.
    pub keep_last: Option<u32>,
    /// How many partial backups stay over all sets of filters, of each producer; none: as [`crate::retention::Rules`]
    /// says.
    pub keep_partial: Option<u32>,
    /// Who can read its backups; whoever can read the storage, if none.
    pub encryption: Option<EncryptionConfig>,
}

impl TargetConfig {
    /// Whether no text that others read may name what is inside the database.
    pub fn is_sealed(&self) -> bool {
        let sealed = |encryption: &EncryptionConfig| encryption.manifest == ManifestForm::Sealed;
        self.encryption.as_ref().is_some_and(sealed)
    }
}

/// `encrypt_to` and `manifest` of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// The public keys.
    pub encrypt_to: Recipients,
    /// Whether the manifest shows what is in a backup.
    pub manifest: ManifestForm,
}

/// What a target section stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// The database of its url.
    One,
    /// Each database of the server that can be connected to, as target `NAME/database`, but these.
    All {
        /// Left out.
        exclude: Vec<String>,
    },
}

/// `[storages.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    /// Where it is.
    pub place: PlaceConfig,
    /// The storage that must be there: any other is refused, and none is made.
    pub storage_id: Option<Uuid>,
}

impl StorageConfig {
    /// Whether both say the same of which storage is meant, and where it is.
    pub fn is_same_place_as(&self, other: &Self) -> bool {
        let is_same_place = match (&self.place, &other.place) {
            (PlaceConfig::Local { path, .. }, PlaceConfig::Local { path: other, .. }) => {
                path == other
            }
            (PlaceConfig::Remote(remote), PlaceConfig::Remote(other)) => {
                (remote.address(), &remote.endpoint) == (other.address(), &other.endpoint)
            }
            _ => false,
        };
        is_same_place && self.storage_id == other.storage_id
    }
}

impl PlaceConfig {
    /// Its path or url, without secrets, for texts.
    pub fn shown(&self) -> String {
        match self {
            Self::Local { path, .. } => path.display().to_string(),
            Self::Remote(remote) => remote.address(),
        }
    }
}

/// Where a storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceConfig {
    /// A local directory.
    Local {
        /// Absolute.
        path: PathBuf,
        /// Free bytes that a dump must leave on the file system.
        min_free: u64,
    },
    /// An object store.
    Remote(Box<RemoteConfig>),
}
