//! Finds out which backups of a target one storage holds that the queue records, and which of them are good.

use std::collections::{BTreeSet, HashMap};

use tracing::warn;
use uuid::Uuid;

use crate::fault::{Fault, chain};
use crate::queue::{KeptBackup, Queue, Recorded};
use crate::readback::compare_with_row;
use crate::retention::{DumpedDatabase, Owner, Scope, Standing};
use crate::spec;
use crate::store::{Filters, Listed, Manifest, Name, ObjectKey, Storage};

/// What is needed to judge.
pub(super) struct Judging<'a> {
    pub(super) queue: &'a Queue,
    pub(super) storage: &'a Storage,
    pub(super) target: &'a str,
    /// The keys of what was just stored, the last one last.
    pub(super) pinned: &'a [String],
}

/// A backup that may be counted, and deleted.
#[derive(Debug)]
pub(super) struct Backup {
    pub(super) job: Uuid,
    pub(super) key: ObjectKey,
    pub(super) scope: Scope,
    pub(super) standing: Standing,
    pub(super) size_bytes: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Newest first by the queue's order.
    pub(super) backups: Vec<Backup>,
    /// The databases of what was just stored: nobody else's backups are deleted now. None: it is not known.
    pub(super) databases: BTreeSet<DumpedDatabase>,
    /// Backups whose age the queue does not know, one of their keys last.
    pub(super) without_age: Vec<String>,
    /// Backups whose database is not known.
    pub(super) without_database: Vec<String>,
    /// Backups of this queue that no row of it records.
    pub(super) without_row: Vec<String>,
}

/// What there is to know of a backup without its age.
struct Known {
    /// `None` if the manifest does not say it, or is gone.
    database: Option<DumpedDatabase>,
    partial: bool,
    filters: Filters,
    standing: Standing,
    size_bytes: u64,
}

impl Judging<'_> {
    /// Judges what the storage has shown and the queue records.
    ///
    /// # Errors
    /// What was just stored is not found in the storage, or the queue cannot be asked.
    pub(super) async fn judge(
        &self,
        found: Vec<Listed>,
        recorded: Vec<KeptBackup>,
    ) -> Result<Judged, String> {
        let mut found: HashMap<String, Listed> = found
            .into_iter()
            .map(|listed| (listed.key.to_string(), listed))
            .collect();
        let newest = self.pinned.last().and_then(|key| found.get(key));
        if newest.is_none() {
            return Err("the newest backup is not found in the storage".to_owned());
        }
        let facts = self
            .queue
            .recorded_of_target(self.target, self.storage.id());
        let facts = facts.await.map_err(|error| chain(&error))?;
        let mut judged = Judged {
            databases: self.databases_of_pinned(&found),
            ..Judged::default()
        };
        // An adopted clone's rows name the keys of the original, which has an id of its own.
        let prefix = ObjectKey::prefix(self.queue.id(), self.target);
        let own = |recorded: &KeptBackup| recorded.object_key.starts_with(&prefix);
        for recorded in recorded.into_iter().filter(own) {
            let listed = found.remove(&recorded.object_key);
            if recorded.deleting {
                continue;
            }
            match self
                .look(listed, &recorded, facts.get(&recorded.object_key))
                .await
            {
                Ok(Some(known)) => judged.add(recorded, known),
                Ok(None) => {}
                Err(fault) => warn!(
                    object.key = %recorded.object_key,
                    "a backup is neither counted nor deleted: {}",
                    fault.report()
                ),
            }
        }
        judged.without_row = self.without_row(found.into_values()).await?;
        Ok(judged)
    }

    fn databases_of_pinned(&self, found: &HashMap<String, Listed>) -> BTreeSet<DumpedDatabase> {
        let manifests = self.pinned.iter().filter_map(|key| found.get(key));
        let manifests = manifests.filter_map(|listed| listed.manifest.as_ref().ok());
        manifests.filter_map(database_of).collect()
    }

    /// `None` if this backup is not ours to judge.
    ///
    /// # Errors
    /// Its manifest or its object cannot be read.
    async fn look(
        &self,
        listed: Option<Listed>,
        recorded: &KeptBackup,
        facts: Option<&Recorded>,
    ) -> Result<Option<Known>, Fault> {
        let Some(listed) = listed else {
            return self.remains(recorded).await;
        };
        let manifest = listed.manifest?;
        if manifest.queue_id != self.queue.id() || manifest.target != self.target {
            return Ok(None);
        }
        // An older backup in a newer one's place must not stand for it.
        if let Some(facts) = facts {
            compare_with_row(&manifest, None, facts)?;
        }
        let standing = if self.storage.has_object(&manifest).await? {
            Standing::Good
        } else {
            warn!(object.key = %listed.key, "a backup is not counted: its object is gone, or has another size");
            Standing::Lost
        };
        let database = database_of(&manifest);
        let filters = if manifest.is_sealed() {
            // A sealed manifest shows them only with an identity; the job's row has them, unless it was rebuilt from
            // the manifest.
            Filters::from(&spec::parse(&recorded.spec)?)
        } else {
            manifest.spec
        };
        if manifest.partial && filters == Filters::default() {
            warn!(object.key = %listed.key, "a backup is neither counted nor deleted: its filters are sealed, and its row does not have them");
            return Ok(None);
        }
        Ok(Some(Known {
            database,
            partial: manifest.partial,
            filters,
            standing,
            size_bytes: manifest.object.size_bytes,
        }))
    }

    /// A backup that is recorded and has no manifest: a person deleted that, or the storage has lost it.
    async fn remains(&self, recorded: &KeptBackup) -> Result<Option<Known>, Fault> {
        let Ok(key) = ObjectKey::parse(&recorded.object_key) else {
            return Ok(None);
        };
        // A listing that left it out is not enough to delete what may be a backup.
        if self.storage.read_manifest(&key).await?.is_some() {
            return Ok(None);
        }
        let spec = spec::parse(&recorded.spec)?;
        Ok(Some(Known {
            database: None,
            partial: spec::is_partial(&spec),
            filters: Filters::from(&spec),
            standing: Standing::Lost,
            size_bytes: 0,
        }))
    }

    /// What the storage holds and the queue does not record; not what an open job may be about to record.
    async fn without_row(
        &self,
        found: impl Iterator<Item = Listed>,
    ) -> Result<Vec<String>, String> {
        let mut found: Vec<(Uuid, String)> = found
            .filter_map(|listed| match Name::of(listed.key.as_str()) {
                Name::Part(part) => Some((part.token, listed.key.to_string())),
                _ => None,
            })
            .collect();
        let tokens: Vec<Uuid> = found.iter().map(|(token, _)| *token).collect();
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let open = self.queue.unfinished_attempts(&tokens).await;
        let open = open.map_err(|error| chain(&error))?;
        found.retain(|(token, _)| !open.contains(token));
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }
}

/// `None` if the daemon that dumped it could not ask the server for its number.
fn database_of(manifest: &Manifest) -> Option<DumpedDatabase> {
    let system_identifier = manifest.database.system_identifier.clone()?;
    Some(DumpedDatabase {
        system_identifier,
        name: manifest.database.name.clone(),
    })
}

impl Judged {
    fn add(&mut self, recorded: KeptBackup, known: Known) {
        let Ok(key) = ObjectKey::parse(&recorded.object_key) else {
            return;
        };
        if recorded.claimed_at.is_none() {
            self.without_age.push(recorded.object_key);
            return;
        }
        // What has no manifest is not a backup, and is taken for one of the only database that there is.
        let only = match known.standing {
            Standing::Lost if self.databases.len() == 1 => self.databases.first().cloned(),
            _ => None,
        };
        let Some(database) = known.database.or(only) else {
            self.without_database.push(recorded.object_key);
            return;
        };
        let owner = Owner {
            producer: recorded.producer,
            database,
        };
        self.backups.push(Backup {
            job: recorded.job,
            key,
            scope: Scope::new(owner, known.partial, known.filters),
            standing: known.standing,
            size_bytes: known.size_bytes,
        });
    }
}
