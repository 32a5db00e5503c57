//! The steps of one attempt to copy a backup to a further storage. They need no connection to the database that was
//! dumped: what is read is a storage.

mod flow;
mod source;

use std::time::Duration;

use tracing::{error, info, warn};

use super::abort::abort;
use super::cancel::Cancelled;
use super::error::{AttemptError, Failed, InStep, Step};
use super::job_context::JobContext;
use super::progress::reporter::Phase;
use super::publish::{Publication, publish};
use super::upload_record::record_upload;
use super::{manifest, recovery};
use crate::code::Code;
use crate::fault::Fault;
use crate::queue::{CopyOrder, CopyRow, Damaged, Place, Progress, Success};
use crate::readback::compare_with_row;
use crate::store::{Copied, Manifest, Object, ObjectKey, Storage, Upload, in_time};

use flow::{Broken, Compared, Flow};
use source::{Found, Source};

/// How long a storage may give no answer where the copy's target is none of this daemon's: as a target's
/// `stall_timeout` without configuration.
const STALL_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// One attempt of one copy.
pub(super) struct CopyJob<'a> {
    pub(super) context: JobContext<'a>,
    pub(super) order: &'a CopyOrder,
}

/// A backup on its way: everything is sent and compared, and nothing is visible yet.
struct Sent {
    upload: Upload,
    /// Roles and tablespaces as they are stored beside the archive: small, and stored in the end.
    globals: Option<Vec<u8>>,
    compared: Compared,
    source: Source,
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
        Box::pin(self.run_steps()).await.map_err(|error| {
            error.map(|failed| Failed {
                fault: passing(failed.fault),
                ..failed
            })
        })
    }

    async fn run_steps(&self) -> Result<Success, AttemptError> {
        let JobContext {
            catalog, reporter, ..
        } = self.context;
        reporter.enter(Phase::Preparing);
        reporter.explain("looking for the backup and the storage".to_owned());
        let to = &self.order.to;
        let config = catalog.storages.get(to).ok_or_else(|| {
            Fault::transient(
                Code::StorageUnknown,
                format!("storage \"{to}\" is not configured here"),
            )
        });
        let opened = catalog.known.open(to, config.in_step(Step::Prepare)?);
        let storage = self.in_time(Step::Prepare, opened).await?;
        // May be left off in the middle and repeated: hashing a large archive takes its time.
        let adopted = recovery::adopt(self.context.job, catalog, &storage, self.limit());
        if let Some((manifest, place)) = self.context.in_step(Step::Prepare, adopted).await? {
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
            let found = self.context.or_cancelled(self.find(&held)).await?;
            let fault = match found {
                Found::Source(source) => match self.send(*source, storage).await? {
                    Tried::Sent(sent) => return Ok(*sent),
                    // Deleted while it was read.
                    Tried::Unusable(_) if self.is_gone_by_now(&held).await? => continue,
                    Tried::Unusable(fault) => passing(fault),
                },
                Found::Deleted => continue,
                Found::Unusable(fault) => passing(fault),
            };
            self.report(&held, &fault).await;
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
    /// will name the copy. What is stored there by now is another attempt's, which was faster than this one.
    async fn finish_deletion(&self, storage: &Storage) -> Result<(), AttemptError> {
        let queue = &self.context.services.queue;
        let finished = async {
            let places = queue.places_of_backup(self.order.of).await?;
            let here = |place: &&Place| place.is_being_deleted && place.storage_id == storage.id();
            for place in places.iter().filter(here) {
                let key = ObjectKey::parse(&place.object_key).map_err(|error| {
                    Fault::permanent(Code::KeyUnreadable, "a backup's object key is unreadable")
                        .caused_by(error)
                })?;
                storage.delete_backup(&key).await?;
                queue.mark_copy_deleted(storage.id(), key.as_str()).await?;
            }
            Ok::<(), Fault>(())
        };
        self.in_time(Step::Prepare, finished).await
    }

    async fn report(&self, held: &CopyRow, fault: &Fault) {
        let counters = &self.context.services.counters;
        counters.storage_failed(&held.storage, fault.code());
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
        if fault.code().is_of_a_damage() {
            self.note_damaged(held, fault).await;
        }
    }

    /// Lets those who want to know it hear of it. A queue that does not answer has been reported by the heartbeat.
    async fn note_damaged(&self, held: &CopyRow, fault: &Fault) {
        let what = fault.report();
        let damaged = Damaged {
            job: self.order.of,
            storage: &held.storage,
            storage_id: held.storage_id,
            object_key: &held.object_key,
            code: fault.code(),
            what: &what,
        };
        let noted = self.context.services.queue.note_damaged(&damaged).await;
        if let Err(error) = noted {
            warn!("a damaged backup could not be noted for notifications: {error}");
        }
    }

    /// Sends the archive, and compares it with its manifest as it passes. On an error nothing that was sent is left.
    async fn send(&self, source: Source, storage: &Storage) -> Result<Tried, AttemptError> {
        let JobContext { reporter, .. } = self.context;
        let archive = &source.manifest.object;
        let size = archive.size_bytes;
        self.in_time(Step::Prepare, storage.ensure_room(size))
            .await?;
        let read = in_time(self.limit(), source.storage.read_globals(&source.manifest));
        let globals = match self.context.or_cancelled(read).await? {
            Ok(globals) => globals,
            Err(fault) => return Ok(Tried::Unusable(fault)),
        };
        info!(
            copy.of = %self.order.of,
            copy.from = source.storage.name(),
            copy.to = storage.name(),
            object.size_bytes = size,
            "copying"
        );
        reporter.enter(Phase::CopyJob);
        let mut upload = self.begin(archive, storage).await?;
        let flow = Flow {
            source: &source.storage,
            archive,
            limit: self.limit(),
            moved: storage.moved(),
            report: &|passed| reporter.copied(storage.name(), passed, size),
        };
        let flowed = self.context.or_cancelled(async {
            let compared = flow.run(source.index.as_ref(), &mut upload).await?;
            // So that the commit, which has a limit, does not wait for parts that are still on their way.
            upload.flush().await.map_err(Broken::Sink)?;
            Ok(compared)
        });
        let broken = match flowed.await {
            Ok(Ok(compared)) => {
                return Ok(Tried::Sent(Box::new(Sent {
                    upload,
                    globals,
                    compared,
                    source,
                })));
            }
            Ok(Err(Broken::Source(fault))) => Ok(Tried::Unusable(fault)),
            Ok(Err(Broken::Sink(fault))) => Err(fault).in_step(Step::Store),
            Err(cancelled) => Err(cancelled.into()),
        };
        abort(upload).await;
        broken
    }

    /// Begins the upload, recorded before and, where the storage has a name for it, after.
    async fn begin(&self, archive: &Object, storage: &Storage) -> Result<Upload, AttemptError> {
        let key = archive.key.with_token(self.context.job.lease.token);
        record_upload(self.context, storage, &key, None).await?;
        // Where that hangs it is left alone: begun too late, it removes itself.
        let begun = storage.begin(&key, Some(archive.size_bytes));
        let upload = self.in_time(Step::Store, begun).await?;
        if let Some(id) = upload.id()
            && let Err(stop) = record_upload(self.context, storage, &key, Some(id)).await
        {
            abort(upload).await;
            return Err(stop);
        }
        Ok(upload)
    }

    async fn publish(&self, sent: Sent, storage: &Storage) -> Result<Success, AttemptError> {
        self.context.reporter.enter(Phase::Publishing);
        let Sent {
            upload,
            globals,
            compared,
            source,
        } = sent;
        let publication = Publication {
            context: self.context,
            limit: self.limit(),
            storage,
            globals: globals.as_deref(),
        };
        let lease = &self.context.job.lease;
        let written = publish(&compared, upload, publication, |_| {
            let original = &source.manifest;
            let key = original.object.key.with_token(lease.token);
            manifest::of_copy(original, key, source.storage.id(), lease.job)
        })
        .await?;
        Ok(self.success(&written, storage))
    }

    /// Why what an earlier attempt left is not a copy of the backup that the queue knows; `None` if it is one.
    async fn difference(&self, manifest: &Manifest) -> Result<Option<Fault>, AttemptError> {
        let made_here = |copied: &Copied| copied.job_id == self.context.job.lease.job;
        if manifest.backup_id != self.order.of || !manifest.copied.as_ref().is_some_and(made_here) {
            let text = format!("{} is not of this copy", manifest.object.key.manifest());
            return Ok(Some(Fault::permanent(Code::CopySourceDamaged, text)));
        }
        let held = self.held().await?;
        let compared = held.iter().try_for_each(|held| {
            compare_with_row(manifest, held.size_bytes.try_into().ok(), &held.recorded)
        });
        Ok(compared.err())
    }

    /// The stored copies of the backup, by the queue.
    async fn held(&self) -> Result<Vec<CopyRow>, Cancelled> {
        let queue = &self.context.services.queue;
        let failed = "the queue cannot be queried for the backup's storages";
        let asked = self
            .context
            .until_answered(failed, || queue.copies_of(self.order.of));
        asked.await
    }

    async fn is_gone_by_now(&self, held: &CopyRow) -> Result<bool, Cancelled> {
        self.context.or_cancelled(self.is_gone(held)).await
    }

    async fn in_time<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, AttemptError> {
        self.context.in_time(step, self.limit(), work).await
    }

    fn limit(&self) -> Duration {
        let JobContext { catalog, job, .. } = self.context;
        let target = catalog.targets.get(&job.target);
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
                ..self.context.reporter.progress()
            },
            copies: Vec::new(),
        }
    }
}

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
