//! Deletes the backups that a target no longer keeps, after each success and beside the jobs: it holds no lease,
//! delays no job's end, and fails no job. What could not be deleted is tried again after the next success, and what was
//! begun by the cleanup.
//!
//! The queue says in which order backups were taken, the same for every daemon, and a storage which of them are good.
//! What either of them does not know is neither counted nor deleted. `judging` finds out what there is,
//! `crate::retention` has the rules, and `deleting` asks the queue once more before each deletion: what was listed may
//! be long out of date.

mod deleting;
mod judging;
mod remarks;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span, warn};
use uuid::Uuid;

use crate::context::agreement::agree_for_certain;
use crate::context::{Catalog, Due, Services};
use crate::fault::chain;
use crate::finding::Finding;
use crate::retention::Rules;
use crate::store::Storage;
use crate::telemetry::BACKUP_NOT_DELETED;

use deleting::Deleting;
use judging::Judging;

/// How long one target may take: a storage that hangs must not keep the others from being tidied.
const APPLY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Applies each target's rules after its successes, until `shutdown` is cancelled.
pub(super) async fn run(services: Arc<Services>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = services.retention.wait() => {}
        }
        let mut put_off = Vec::new();
        while let Some(((target, storage_id), due)) = services.retention.take() {
            let span = info_span!("retention", target = %target);
            let application = Application {
                services: &services,
                catalog: services.catalog(),
                target: &target,
                storage_id,
                due: &due,
            };
            // May be dropped at any point: what was begun is finished by the cleanup.
            tokio::select! {
                () = shutdown.cancelled() => return,
                applied = tokio::time::timeout(APPLY_TIMEOUT, application.run().instrument(span)) => match applied {
                    Ok(Applied::Done) => {}
                    Ok(Applied::PutOff) => put_off.push(((target, storage_id), due)),
                    Err(_) => warn!(
                        target = %target,
                        event = %BACKUP_NOT_DELETED,
                        "older backups stay for now: no answer from the storage"
                    ),
                }
            }
        }
        for (place, due) in put_off {
            services.retention.put_back(place, due);
        }
    }
}

/// What came of one application.
enum Applied {
    /// Nothing more is to be done until the next success.
    Done,
    /// Other daemons have other rules for the target: once more when all agree.
    PutOff,
}

/// The rules of one target, applied to one storage.
struct Application<'a> {
    services: &'a Services,
    catalog: Arc<Catalog>,
    target: &'a str,
    storage_id: Uuid,
    due: &'a Due,
}

impl Application<'_> {
    async fn run(&self) -> Applied {
        let Some(rules) = self.rules() else {
            self.report(Vec::new());
            return Applied::Done;
        };
        match self.apply(rules).await {
            Ok(applied) => applied,
            Err(why) => {
                warn!(event = %BACKUP_NOT_DELETED, "older backups stay for now: {why}");
                Applied::Done
            }
        }
    }

    fn report(&self, findings: Vec<Finding>) {
        let place = (self.target.to_owned(), self.storage_id);
        self.services.retention.report(place, findings);
    }

    fn rules(&self) -> Option<Rules> {
        let target = self.catalog.targets.get(self.target)?;
        let keep_last = target.keep_last?;
        Some(Rules {
            keep_last,
            keep_partial: target.keep_partial,
        })
    }

    async fn apply(&self, rules: Rules) -> Result<Applied, String> {
        let queue = &self.services.queue;
        let storage = self.open().await?;
        // The storage first: what is stored meanwhile is recorded, not seen, and so neither counted nor deleted.
        let found = storage.list_target(queue.id(), self.target).await;
        let found = found.map_err(|fault| fault.report())?;
        let recorded = queue.kept_backups(self.target, self.storage_id).await;
        let recorded = recorded.map_err(|error| chain(&error))?;
        let deleting = Deleting {
            queue,
            storage: &storage,
            target: self.target,
        };
        deleting.finish_begun(&recorded).await?;
        let judging = Judging {
            queue,
            storage: &storage,
            target: self.target,
            pinned: &self.due.pinned,
        };
        let judged = judging.judge(found, recorded).await?;
        if let Err(fault) = agree_for_certain(self.services, &self.catalog, self.target).await {
            warn!(event = %BACKUP_NOT_DELETED, "older backups stay for now: {}", fault.report());
            return Ok(Applied::PutOff);
        }
        self.report(judged.remarks(&storage));
        let deleted = deleting.delete(&judged, rules, &self.due.pinned).await?;
        debug!(
            backups = judged.backups.len(),
            deleted, "applied the target's rules"
        );
        Ok(Applied::Done)
    }

    /// The storage that the success was stored in: nothing is made, and nothing deleted, where another one is mounted
    /// or configured by now.
    async fn open(&self) -> Result<Storage, String> {
        let name = &self.due.storage;
        let Some(config) = self.catalog.storages.get(name) else {
            return Err(format!(
                "storage \"{name}\" is not configured here any more"
            ));
        };
        let opened = Storage::open_existing(name, config, &[self.storage_id]).await;
        let storage = opened.map_err(|fault| fault.report())?;
        if storage.id() != self.storage_id {
            return Err(format!("storage \"{name}\" is another one by now"));
        }
        Ok(storage)
    }
}
