//! What the daemon serves: the configured targets, with `databases = "*"` unfolded, and the storages.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use super::known_storages::KnownStorages;
use crate::config::{Config, Databases, StorageConfig, TargetConfig};
use crate::target::Target;

/// Targets and storages by name.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Each is one database.
    pub targets: BTreeMap<String, TargetConfig>,
    /// By name.
    pub storages: BTreeMap<String, StorageConfig>,
    /// Which storage each name has turned out to be.
    pub known: Arc<KnownStorages>,
}

/// Unfolds the configuration. Where a server cannot be asked for its databases, those known `before` stay.
pub async fn serve(config: &Config, before: Option<&Served>) -> Served {
    let mut targets = BTreeMap::new();
    for (name, target) in &config.targets {
        let Databases::All { exclude } = &target.databases else {
            targets.insert(name.clone(), target.clone());
            continue;
        };
        let asked = async { Target::connect(name, &target.url).await?.databases().await };
        match asked.await {
            Ok(databases) => {
                for database in databases
                    .into_iter()
                    .filter(|database| !exclude.contains(database))
                {
                    if database.chars().any(char::is_control) {
                        warn!(
                            target = name,
                            "a database's name has control characters and is left out"
                        );
                        continue;
                    }
                    let url = target.url.with_database(&database);
                    let one = TargetConfig {
                        url,
                        databases: Databases::One,
                        ..target.clone()
                    };
                    targets.insert(format!("{name}/{database}"), one);
                }
            }
            Err(fault) => {
                warn!(
                    target = name,
                    "the server's databases cannot be listed: {}",
                    fault.report()
                );
                let prefix = format!("{name}/");
                let known = before.into_iter().flat_map(|served| &served.targets);
                targets.extend(
                    known
                        .filter(|(known, _)| known.starts_with(&prefix))
                        .map(|(known, target)| (known.clone(), target.clone())),
                );
            }
        }
    }
    Served {
        targets,
        storages: config.storages.clone(),
        known: before.map_or_else(Arc::default, |before| Arc::clone(&before.known)),
    }
}
