//! The steps of one attempt to copy a backup to a further storage. They need no connection to the database that was
//! dumped: what is read is a storage.

mod flow;
mod source;

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::abort::{abort, abort_all};
use super::cancel::JobCancel;
use super::error::{AttemptError, Failed, InStep, Step};
use super::progress::reporter::{Phase, Reporter};
use super::publish::{Publication, publish};
use super::upload_record::UploadRecord;
use super::{manifest, recovery};
use crate::code::Code;
use crate::context::{Catalog, Services};
use crate::fault::Fault;
use crate::queue::{ClaimedJob, CopyOrder, CopyRow, Place, Progress, Success};
use crate::readback::compare_with_row;
use crate::store::{Copied, Manifest, ObjectKey, Storage, Upload, in_time};

use flow::{Broken, Compared, ComparedPart, Flow, Part};
use source::{Found, Source};

/// How long a storage may give no answer where the copy's target is none of this daemon's: as a target's
/// `stall_timeout` without configuration.
const STALL_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// One attempt of one copy.
pub(super) struct CopyJob<'a> {
    pub(super) services: &'a Services,
    pub(super) catalog: &'a Catalog,
    pub(super) job: &'a ClaimedJob,
    pub(super) order: &'a CopyOrder,
    pub(super) reporter: &'a Reporter,
    pub(super) cancel: &'a Arc<JobCancel>,
}

/// A backup on its way: everything is sent and compared, and nothing is visible yet.
struct Sent {
    uploads: Vec<Upload>,
    /// Roles and tablespaces as they are stored beside the archive: small, and stored in the end.
    globals: Option<Vec<u8>>,
    compared: Compared,
    source: Source,
}

/// How sending one object ended.
enum PartEnd {
    Sent(ComparedPart),
    /// The source is of no use: another may be.
    Unusable(Fault),
}

/// How the flow from one source ended that this attempt may survive.
enum Tried {
    Sent(Box<Sent>),
    /// The source is of no use: another may be.
    Unusable(Fault),
}

impl CopyJob<'_> {
    /// Makes the copy. Whatever is returned, no partial object of it is left that could be removed.
    pub(super) async fn run(&self) -> Result<Success, AttemptError> {
        self.run_steps().await.map_err(|error| {
            error.map(|failed| Failed {
                fault: passing(failed.fault),
                ..failed
            })
        })
    }

    async fn run_steps(&self) -> Result<Success, AttemptError> {
        self.reporter.enter(Phase::Preparing);
        self.reporter
            .explain("looking for the backup and the storage".to_owned());
        let to = &self.order.to;
        let config = self.catalog.storages.get(to).ok_or_else(|| {
            Fault::transient(
                Code::StorageUnknown,
                format!("storage \"{to}\" is not configured here"),
            )
        });
        let opened = self.catalog.known.open(to, config.in_step(Step::Prepare)?);
        let storage = self
            .cancel
            .or_cancelled(in_time(self.limit(), opened))
            .await?;
        let storage = storage.in_step(Step::Prepare)?;
        // May be left off in the middle and repeated: hashing a large archive takes its time.
        let adopted = recovery::adopt(self.job, self.catalog, &storage, self.limit());
        if let Some((manifest, place)) = self
            .cancel
            .or_cancelled(adopted)
            .await?
            .in_step(Step::Prepare)?
        {
            match self.difference(&manifest).await? {
                None => return Ok(self.success(&manifest, &place)),
                Some(fault) => warn!(
                    object.key = %manifest.object.key,
                    "an earlier attempt's copy is not adopted: {}",
                    fault.report()
                ),
            }
        }
        let sent = self.send_from_anywhere(&storage).await?;
        self.publish(sent, &storage).await
    }

    /// Sends the backup from the first storage that gives it whole.
    async fn send_from_anywhere(&self, storage: &Storage) -> Result<Sent, AttemptError> {
        let mut faults = Vec::new();
        let held = self.held().await?;
        if let Some(held) = held.iter().find(|held| held.storage_id == storage.id()) {
            return Err(same_storage(storage, held)).in_step(Step::Prepare);
        }
        self.finish_deletion(storage).await?;
        for held in held {
            let found = self.cancel.or_cancelled(self.find(&held)).await?;
            let fault = match found {
                Found::Source(source) => match self.send(*source, storage).await? {
                    Tried::Sent(sent) => return Ok(*sent),
                    // Deleted while it was read.
                    Tried::Unusable(_) if self.cancel.or_cancelled(self.is_gone(&held)).await? => {
                        continue;
                    }
                    Tried::Unusable(fault) => passing(fault),
                },
                Found::Deleted => continue,
                Found::Unusable(fault) => passing(fault),
            };
            self.report(&held, &fault);
            faults.push(fault);
        }
        // What may pass is tried again: the copy that is damaged need not be the last one.
        let passing = faults.iter().position(Fault::is_transient).unwrap_or(0);
        match faults.into_iter().nth(passing) {
            Some(fault) => Err(fault).in_step(Step::Copy),
            None => Err(AttemptError::Moot(
                "no storage holds the backup any more: there is nothing to copy".to_owned(),
            )),
        }
    }

    /// Finishes what a daemon began to delete in the storage that the copy goes to: the row there names one object, and
    /// will name the copy.
    async fn finish_deletion(&self, storage: &Storage) -> Result<(), AttemptError> {
        let finished = async {
            let places = self.services.queue.places_of_backup(self.order.of).await?;
            let here = |place: &&Place| place.noted && place.storage_id == storage.id();
            for place in places.iter().filter(here) {
                let key = ObjectKey::parse(&place.object_key).map_err(|error| {
                    Fault::permanent(Code::KeyUnreadable, "a backup's object key is unreadable")
                        .caused_by(error)
                })?;
                storage.delete_backup(&key).await?;
                let noted = self
                    .services
                    .queue
                    .mark_copy_deleted(storage.id(), key.as_str());
                noted.await?;
            }
            Ok::<(), Fault>(())
        };
        let finished = self
            .cancel
            .or_cancelled(in_time(self.limit(), finished))
            .await?;
        finished.in_step(Step::Prepare)
    }

    fn report(&self, held: &CopyRow, fault: &Fault) {
        if fault.is_transient() {
            warn!(
                storage = held.storage,
                "the backup cannot be copied from here: {}",
                fault.report()
            );
        } else {
            error!(
                storage = held.storage,
                backup.id = %self.order.of,
                object.key = held.object_key,
                error.code = fault.code().as_str(),
                error.hint = fault.advice(),
                "a stored backup is not what it should be: {}",
                fault.report()
            );
        }
    }

    /// Sends everything that the backup consists of, and compares it with its manifest as it passes. On an error
    /// nothing that was sent is left.
    async fn send(&self, source: Source, storage: &Storage) -> Result<Tried, AttemptError> {
        let token = self.job.lease.token;
        let parts = Part::all_of(&source.manifest, token);
        let total = parts.iter().map(|part| part.size).sum();
        let room = in_time(self.limit(), storage.ensure_room(total));
        self.cancel
            .or_cancelled(room)
            .await?
            .in_step(Step::Prepare)?;
        let read = in_time(self.limit(), source.storage.read_globals(&source.manifest));
        let globals = match self.cancel.or_cancelled(read).await? {
            Ok(globals) => globals,
            Err(fault) => return Ok(Tried::Unusable(fault)),
        };
        info!(
            copy.of = %self.order.of,
            copy.from = source.storage.name(),
            copy.to = storage.name(),
            object.size_bytes = total,
            "copying"
        );
        self.reporter.enter(Phase::CopyJob);
        let (mut uploads, mut compared) = (Vec::new(), Vec::new());
        let mut flow = Flow {
            source: &source.storage,
            limit: self.limit(),
            moved: storage.moved(),
            passed: 0,
            report: &|passed| self.reporter.copied(storage.name(), passed, total),
        };
        for part in &parts {
            let sent = self.send_part(part, &mut flow, storage, &mut uploads).await;
            match sent {
                Ok(PartEnd::Sent(part)) => compared.push(part),
                Ok(PartEnd::Unusable(fault)) => {
                    abort_all(uploads).await;
                    return Ok(Tried::Unusable(fault));
                }
                Err(stop) => {
                    abort_all(uploads).await;
                    return Err(stop);
                }
            }
        }
        let compared = Compared::all(compared, source.index.clone());
        Ok(Tried::Sent(Box::new(Sent {
            uploads,
            globals,
            compared,
            source,
        })))
    }

    /// Sends one object into an upload of its own, which stays with the others.
    async fn send_part(
        &self,
        part: &Part,
        flow: &mut Flow<'_>,
        storage: &Storage,
        uploads: &mut Vec<Upload>,
    ) -> Result<PartEnd, AttemptError> {
        let mut upload = self.begin(part, storage).await?;
        let flowed = self
            .cancel
            .or_cancelled(async {
                let compared = flow.run(part, &mut upload).await?;
                // So that the commit, which has a limit, does not wait for parts that are still on their way.
                upload.flush().await.map_err(Broken::Sink)?;
                Ok(compared)
            })
            .await;
        uploads.push(upload);
        match flowed? {
            Ok(compared) => Ok(PartEnd::Sent(compared)),
            Err(Broken::Source(fault)) => Ok(PartEnd::Unusable(fault)),
            Err(Broken::Sink(fault)) => Err(fault).in_step(Step::Store),
        }
    }

    /// Begins the upload of one object, noted before and, where the storage has a name for it, after.
    async fn begin(&self, part: &Part, storage: &Storage) -> Result<Upload, AttemptError> {
        let noting = UploadRecord {
            queue: &self.services.queue,
            lease: &self.job.lease,
            storage,
            cancel: self.cancel,
        };
        noting.note(&part.to, None).await?;
        // Where that hangs it is left alone: begun too late, it removes itself.
        let begun = in_time(self.limit(), storage.begin(&part.to, Some(part.size)));
        let upload = self
            .cancel
            .or_cancelled(begun)
            .await?
            .in_step(Step::Store)?;
        if let Some(id) = upload.id()
            && let Err(stop) = noting.note(&part.to, Some(id)).await
        {
            abort(upload).await;
            return Err(stop);
        }
        Ok(upload)
    }

    async fn publish(&self, sent: Sent, storage: &Storage) -> Result<Success, AttemptError> {
        self.reporter.enter(Phase::Publishing);
        let Sent {
            uploads,
            globals,
            compared,
            source,
        } = sent;
        let publication = Publication {
            queue: &self.services.queue,
            lease: &self.job.lease,
            lease_time: self.services.daemon.lease,
            limit: self.limit(),
            progress: self.reporter.progress(),
            storage,
            globals: globals.as_deref(),
            cancel: self.cancel,
        };
        let written = publish(&compared, uploads, publication, |_| {
            let original = &source.manifest;
            let key = original.object.key.with_token(self.job.lease.token);
            manifest::of_copy(original, key, source.storage.id(), self.job.lease.job)
        })
        .await?;
        Ok(self.success(&written, storage))
    }

    /// Why what an earlier attempt left is not a copy of the backup that the queue knows; `None` if it is one.
    async fn difference(&self, manifest: &Manifest) -> Result<Option<Fault>, AttemptError> {
        let made_here = |copied: &Copied| copied.job_id == self.job.lease.job;
        if manifest.backup_id != self.order.of || !manifest.copied.as_ref().is_some_and(made_here) {
            let text = format!("{} is not of this copy", manifest.object.key.manifest());
            return Ok(Some(Fault::permanent(Code::CopySourceDamaged, text)));
        }
        let held = self.held().await?;
        let compared = held.iter().try_for_each(|held| {
            compare_with_row(manifest, held.size_bytes.try_into().ok(), &held.noted)
        });
        Ok(compared.err())
    }

    /// The stored copies of the backup, by the queue.
    async fn held(&self) -> Result<Vec<CopyRow>, AttemptError> {
        loop {
            let held = self.services.queue.copies_of(self.order.of);
            match self.cancel.or_cancelled(held).await? {
                Ok(held) => return Ok(held),
                // The heartbeat requests the cancel if this lasts too long.
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the queue cannot be queried for the backup's storages; trying again"
                ),
            }
            self.cancel.or_cancelled(tokio::time::sleep(RETRY)).await?;
        }
    }

    fn limit(&self) -> Duration {
        let target = self.catalog.targets.get(&self.job.target);
        target.map_or(STALL_TIMEOUT, |target| target.stall_timeout)
    }

    fn success(&self, manifest: &Manifest, storage: &Storage) -> Success {
        let size = i64::try_from(manifest.object.size_bytes).unwrap_or(i64::MAX);
        Success {
            storage: storage.name().to_owned(),
            storage_id: storage.id(),
            object_key: manifest.object.key.to_string(),
            size_bytes: size,
            sha256: manifest.object.sha256.clone(),
            warnings: Vec::new(),
            warnings_total: 0,
            progress: Progress {
                message: format!("the backup is stored in {}, too", storage.name()),
                bytes_stored: Some(size),
                ..self.reporter.progress()
            },
            copies: Vec::new(),
        }
    }
}

/// Between two questions to a queue that is away.
const RETRY: Duration = Duration::from_millis(300);

/// A backup is not taken again for the sake of its copy: what a person can put right, such as a key that has expired or
/// a mount that is not there, is waited for. What the source has lost, it has lost.
fn passing(fault: Fault) -> Fault {
    let lasting = [
        Code::BackupDiffers,
        Code::CopySameStorage,
        Code::CopySourceDamaged,
        Code::CopySourceMissing,
        Code::KeyUnreadable,
        Code::GlobalsDamaged,
    ];
    if lasting.contains(&fault.code()) || fault.code().is_of_a_manifest() {
        return fault;
    }
    fault.tried_again()
}

fn same_storage(storage: &Storage, held: &CopyRow) -> Fault {
    let text = format!(
        "storage \"{}\" is the one that holds the backup already, as \"{}\"",
        storage.name(),
        held.storage
    );
    Fault::permanent(Code::CopySameStorage, text)
        .hint("In a target's copies, name storages that are somewhere else.")
}
