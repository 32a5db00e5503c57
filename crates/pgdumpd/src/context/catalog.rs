//! What the daemon serves: the configured targets, with `databases = "*"` unfolded, and the storages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tracing::{debug, warn};
use uuid::Uuid;

use super::known_servers::KnownServers;
use super::known_storages::KnownStorages;
use crate::config::{Config, Databases, StorageConfig, TARGET_NAME_MAX, TargetConfig};
use crate::fault::Fault;
use crate::finding::Finding;
use crate::queue::ServedStorage;
use crate::server::Target;
use crate::store::Storage;

/// Servers asked at once.
const AT_ONCE: usize = 8;

/// Targets and storages by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Each is one database.
    pub targets: BTreeMap<String, TargetConfig>,
    /// By name.
    pub storages: BTreeMap<String, StorageConfig>,
    /// Configured targets whose server could not be asked for its databases: not all may be served.
    pub unlisted: BTreeSet<String>,
    /// Why servers' databases are not served: of a target that could not be asked, or of one database.
    pub unserved: Vec<(String, Finding)>,
    /// Which storage each name has turned out to be.
    pub known: Arc<KnownStorages>,
    /// Which server each target has turned out to be on.
    pub servers: Arc<KnownServers>,
}

impl Catalog {
    /// Finds the storage with this id: first under the name that it had when something was stored there, which is a
    /// hint alone, then under any other. `None` if none of the storages here has it.
    ///
    /// # Errors
    /// As [`KnownStorages::open`], where a storage that may be the one cannot be opened.
    pub async fn open_by_id(&self, name: &str, id: Uuid) -> Result<Option<Storage>, Fault> {
        let mut candidates: Vec<(&String, &StorageConfig)> = self
            .storages
            .iter()
            .filter(|(name, config)| self.id_of(name, config).is_none_or(|known| known == id))
            .collect();
        candidates.sort_by_key(|(candidate, config)| {
            (
                self.id_of(candidate, config) != Some(id),
                *candidate != name,
            )
        });
        let mut failed = None;
        for (name, config) in candidates {
            match self.known.open(name, config).await {
                Ok(storage) if storage.id() == id => return Ok(Some(storage)),
                Ok(_) => {}
                Err(fault) => {
                    failed.get_or_insert(fault);
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn id_of(&self, name: &str, config: &StorageConfig) -> Option<Uuid> {
        config.storage_id.or_else(|| self.known.id_of(name))
    }

    /// How old the last good backup of each target may be, where its configuration says so.
    pub fn alert_after(&self) -> BTreeMap<String, Duration> {
        let limited = self
            .targets
            .iter()
            .filter_map(|(name, target)| Some((name.clone(), target.alert_after?)));
        limited.collect()
    }

    /// The storages, as a claim of a copy names them.
    pub fn storages_for_copies(&self) -> Vec<ServedStorage> {
        let storages = self.storages.iter().map(|(name, config)| ServedStorage {
            name: name.clone(),
            id: self.id_of(name, config),
        });
        storages.collect()
    }
}

/// Unfolds the configuration. Where a server cannot be asked for its databases, those known `before` stay.
pub async fn resolve_targets(
    config: &Config,
    before: Option<&Catalog>,
    known: Arc<KnownStorages>,
) -> Catalog {
    let mut targets = BTreeMap::new();
    let mut unlisted = BTreeSet::new();
    let mut asking = Vec::new();
    for (name, target) in &config.targets {
        if target.databases == Databases::One {
            targets.insert(name.clone(), target.clone());
        } else {
            asking.push(list(name, target));
        }
    }
    let answers: Vec<_> = stream::iter(asking).buffered(AT_ONCE).collect().await;
    let mut unserved = Vec::new();
    for (name, target, listed) in answers {
        match listed {
            Ok(databases) => {
                for database in &databases {
                    match database_name(name, target, database) {
                        Named::Target(name, database) => {
                            targets.insert(name, of_database(target, &database));
                        }
                        Named::Excluded => {}
                        Named::Unusable(finding) => unserved.push((name.clone(), finding)),
                    }
                }
            }
            Err(fault) => {
                let reason = fault.report();
                if before.is_some_and(|catalog| catalog.unlisted.contains(name)) {
                    debug!(
                        target = name,
                        reason, "the server's databases cannot be listed yet"
                    );
                } else {
                    warn!(
                        target = name,
                        "the server's databases cannot be listed: {reason}"
                    );
                }
                unserved.push((name.clone(), (&fault).into()));
                unlisted.insert(name.clone());
                let prefix = format!("{name}/");
                let known = before.into_iter().flat_map(|catalog| &catalog.targets);
                targets.extend(
                    known
                        .filter(|(known, _)| known.starts_with(&prefix))
                        .map(|(known, target)| (known.clone(), target.clone())),
                );
            }
        }
    }
    Catalog {
        targets,
        storages: config.storages.clone(),
        unlisted,
        unserved,
        known,
        servers: before.map_or_else(Arc::default, |before| Arc::clone(&before.servers)),
    }
}

/// What a database of a server means for a target with `databases = "*"`.
enum Named {
    /// A target of this name, on this database.
    Target(String, String),
    Excluded,
    /// It cannot be a target.
    Unusable(Finding),
}

fn database_name(target: &str, config: &TargetConfig, database: &[u8]) -> Named {
    let unusable = |why: String| {
        let shown = String::from_utf8_lossy(database);
        let what = format!("the database {shown:?} is not served: {why}");
        Named::Unusable(Finding::error("database_unnamed", what).hint(
            "Rename the database, give it a target of its own if its name allows that, or leave it out with exclude_databases.",
        ))
    };
    let Ok(name) = std::str::from_utf8(database) else {
        return unusable("its name is not UTF-8".to_owned());
    };
    let excluded = match &config.databases {
        Databases::One => false,
        Databases::All { exclude } => exclude.iter().any(|excluded| excluded == name),
    };
    if excluded {
        return Named::Excluded;
    }
    if name.chars().any(char::is_control) {
        return unusable("its name has control characters".to_owned());
    }
    let whole = format!("{target}/{name}");
    if whole.len() > TARGET_NAME_MAX {
        return unusable(format!(
            "the target's name would have {} bytes, and {TARGET_NAME_MAX} are allowed",
            whole.len()
        ));
    }
    Named::Target(whole, name.to_owned())
}

fn of_database(target: &TargetConfig, database: &str) -> TargetConfig {
    TargetConfig {
        url: target.url.with_database(database),
        databases: Databases::One,
        ..target.clone()
    }
}

async fn list<'a>(
    name: &'a String,
    target: &'a TargetConfig,
) -> (&'a String, &'a TargetConfig, Result<Vec<Vec<u8>>, Fault>) {
    let asked = async { Target::connect(name, &target.url).await?.databases().await };
    (name, target, asked.await)
}
