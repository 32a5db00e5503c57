//! The steps of one attempt, in order.

use chrono::Utc;
use pgdumpd_client::BackupSpec;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, warn};

use super::asked_for::AskedFor;
use super::cancel::{CancelReason, JobCancel};
use super::dumping::{Dumped, Dumping};
use super::error::{AttemptError, InStep, Step};
use super::progress::reporter::{Phase, Reporter};
use super::publish::{Publication, publish};
use super::room::Expected;
use super::{globals, manifest, recovery};
use crate::code::Code;
use crate::config::{StorageConfig, TargetConfig};
use crate::context::agreement::agree;
use crate::context::{Catalog, Services};
use crate::dump::{self, Plan};
use crate::fault::Fault;
use crate::former_database;
use crate::queue::{ClaimedJob, Progress, Success};
use crate::server::{self, Sizes, Target};
use crate::spec;
use crate::store::{ArchiveState, Manifest, ObjectKey, Storage, in_time};

/// One attempt of one job.
pub(super) struct BackupJob<'a> {
    pub(super) services: &'a Services,
    pub(super) catalog: &'a Catalog,
    pub(super) job: &'a ClaimedJob,
    pub(super) reporter: &'a Reporter,
    pub(super) cancel: &'a std::sync::Arc<JobCancel>,
}

impl BackupJob<'_> {
    /// Takes the backup. Whatever is returned, no process, session or partial object of it is left that
    /// could be removed.
    pub(super) async fn run(&self) -> Result<Success, AttemptError> {
        let ended = self.run_steps().await;
        if !self.reporter.names_are_withheld() {
            return ended;
        }
        ended.map_err(|error| {
            error.map(|mut failed| {
                // Their number stays.
                failed.warnings.texts.clear();
                failed
            })
        })
    }

    async fn run_steps(&self) -> Result<Success, AttemptError> {
        let spec = spec::parse(&self.job.spec).in_step(Step::Spec)?;
        let (target_config, storage_config) = self.configured().in_step(Step::Spec)?;
        if target_config.is_sealed() {
            self.reporter.withhold_names();
        }
        let limit = target_config.stall_timeout;
        let done = CancellationToken::new();
        let _done = done.clone().drop_guard();
        self.limit_time(target_config, done);

        self.reporter.enter(Phase::Preparing);
        let (storage, target) = tokio::join!(
            self.cancel.or_cancelled(in_time(
                limit,
                self.catalog
                    .known
                    .open(&target_config.storage, storage_config)
            )),
            self.cancel
                .or_cancelled(Target::connect(&self.job.target, &target_config.url)),
        );
        let storage = storage?.in_step(Step::Prepare)?;
        // May be left off in the middle and repeated: hashing a large archive takes its time.
        let adopted = self
            .cancel
            .or_cancelled(recovery::adopt(self.job, self.catalog, &storage, limit))
            .await?
            .in_step(Step::Prepare)?;
        if let Some((manifest, place)) = adopted {
            return Ok(self.success(&manifest, &place, target_config));
        }
        let target = target?.in_step(Step::Connect)?;
        self.catalog.servers.note(&target);
        self.cancel
            .or_cancelled(agree(self.services, self.catalog, &self.job.target))
            .await?
            .in_step(Step::Prepare)?;
        self.cancel
            .or_cancelled(self.note_database(&target))
            .await?;
        self.cancel
            .or_cancelled(recovery::end_sessions(self.job, &target))
            .await?;
        let plan = self.plan(&target, target_config, spec.clone()).await?;
        let asked = self
            .cancel
            .or_cancelled(AskedFor::list(&target, &spec, target_config.strict_filters))
            .await?
            .in_step(Step::Prepare)?;
        let sizes = self.cancel.or_cancelled(measure(&target)).await?;
        let expected = self
            .cancel
            .or_cancelled(self.expected(&asked, sizes.as_ref(), &plan))
            .await?;
        self.cancel
            .or_cancelled(in_time(limit, storage.ensure_room(expected.least)))
            .await?
            .in_step(Step::Prepare)?;
        let globals = globals::dump(&plan, target_config, self.cancel).await?;
        let mut key = ObjectKey::new(
            self.services.queue.id(),
            &self.job.target,
            self.job.lease.job,
            self.job.lease.token,
            self.job.claimed_at,
        );
        if target_config.encryption.is_some() {
            key = key.encrypted();
        }
        let started_at = Utc::now();
        let dumping = Dumping {
            services: self.services,
            lease: &self.job.lease,
            target: &target,
            asked: &asked,
            partial: spec::is_partial(&spec),
            config: target_config,
            storage: &storage,
            key: &key,
            expected_bytes: expected.most,
            sizes: sizes.unwrap_or_default(),
            reporter: self.reporter,
            cancel: self.cancel,
        };
        let Dumped {
            exit,
            streamed,
            remarks,
            upload,
            plan,
        } = dumping.run(plan).await?;

        self.reporter.enter(Phase::Publishing);
        let publication = Publication {
            queue: &self.services.queue,
            lease: &self.job.lease,
            lease_time: self.services.daemon.lease,
            limit,
            progress: self.reporter.progress(),
            storage: &storage,
            globals: globals.as_ref().map(|globals| &globals.stored[..]),
            cancel: self.cancel,
        };
        let proof = (&exit, &streamed);
        let manifest = publish(&proof, vec![upload], publication, |(exit, streamed)| {
            manifest::write(&manifest::Facts {
                queue_id: self.services.queue.id(),
                job: self.job,
                worker: &self.services.worker,
                storage_id: storage.id(),
                target: &target,
                plan: &plan,
                spec: &spec,
                key: &key,
                started_at,
                globals: globals.as_ref(),
                exit,
                streamed,
                remarks: &remarks,
                encryption: target_config.encryption.as_ref(),
            })
        })
        .await?;
        Ok(self.success(&manifest, &storage, target_config))
    }

    /// How much will be stored. A queue that cannot be asked knows of no earlier backup.
    async fn expected(&self, asked: &AskedFor, sizes: Option<&Sizes>, plan: &Plan) -> Expected {
        let last = self
            .services
            .queue
            .last_size(&self.job.target, &self.job.spec);
        let last = last.await.unwrap_or_else(|error| {
            debug!(
                error = &error as &dyn std::error::Error,
                "the last backup's size is not known"
            );
            None
        });
        let on_disk = sizes.map(|sizes| asked.bytes_on_disk(sizes));
        let expected = Expected::new(on_disk, last, plan.compression());
        debug!(?on_disk, ?last, ?expected, "expected size");
        expected
    }

    /// Notes which database is dumped, and says where the last backup is of another one.
    async fn note_database(&self, target: &Target) {
        let queue = &self.services.queue;
        if let Some(change) = former_database::change(queue, target).await {
            warn!(check.hint = change.hint, "{}", change.what);
        }
        let database = former_database::database_of(target);
        if let Err(error) = queue.note_database(&self.job.lease, &database).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "the queue could not record which database is dumped"
            );
        }
    }

    fn configured(&self) -> Result<(&TargetConfig, &StorageConfig), Fault> {
        let target = self.catalog.targets.get(&self.job.target).ok_or_else(|| {
            Fault::transient(
                Code::TargetUnknown,
                format!("target \"{}\" is not configured here", self.job.target),
            )
            .hint("It was when the job was claimed: the configuration has changed since.")
        })?;
        let storage = self.catalog.storages.get(&target.storage).ok_or_else(|| {
            Fault::transient(
                Code::StorageUnknown,
                format!("storage \"{}\" is not configured here", target.storage),
            )
        })?;
        Ok((target, storage))
    }

    /// Requests the cancel when the job's own limit or its target's is over, whichever is shorter: who asks for a
    /// backup may ask for less time than the operator allows, not for more.
    fn limit_time(&self, config: &TargetConfig, done: CancellationToken) {
        let limits = [self.job.timeout, config.timeout];
        let Some(limit) = limits.into_iter().flatten().min() else {
            return;
        };
        let cancel = std::sync::Arc::clone(self.cancel);
        let watch = async move {
            tokio::select! {
                () = done.cancelled() => {}
                () = tokio::time::sleep(limit) => cancel.request(CancelReason::Timeout(limit)),
            }
        };
        tokio::spawn(watch.in_current_span());
    }

    async fn plan(
        &self,
        target: &Target,
        config: &TargetConfig,
        spec: BackupSpec,
    ) -> Result<Plan, AttemptError> {
        let major = target.server_major();
        let program = self
            .cancel
            .or_cancelled(dump::find(&self.services.pg_dump.directories, major))
            .await?
            .in_step(Step::Prepare)?;
        let plan = Plan::new(
            program,
            major,
            config.url.clone(),
            server::application_name(self.job.lease.token),
            spec,
            config.compression,
            config.compressor,
            config.lock_wait_timeout,
        )
        .in_step(Step::Prepare)?
        .with_encoding(dump::Encoding::of_database(target.encoding()));
        for caveat in plan.caveats() {
            warn!("{caveat}");
        }
        info!(
            pg_dump.version = %plan.program().version(),
            server.version = target.server_version(),
            compression = %plan.compression(),
            compressor = ?plan.compressor(),
            "dumping"
        );
        Ok(plan)
    }

    fn success(&self, manifest: &Manifest, storage: &Storage, config: &TargetConfig) -> Success {
        Success {
            storage: storage.name().to_owned(),
            storage_id: storage.id(),
            object_key: manifest.object.key.to_string(),
            size_bytes: i64::try_from(manifest.object.size_bytes).unwrap_or(i64::MAX),
            sha256: manifest.object.sha256.clone(),
            warnings: if manifest.is_sealed() {
                Vec::new()
            } else {
                manifest.warnings.clone()
            },
            warnings_total: i32::try_from(manifest.warnings_total).unwrap_or(i32::MAX),
            progress: self.final_progress(manifest),
            // A backup that is adopted may be where the configuration of today has its copies, or where nothing is
            // dumped to any more.
            copies: std::iter::once(&config.storage)
                .chain(&config.copies)
                .filter(|copy| *copy != storage.name())
                .cloned()
                .collect(),
        }
    }

    /// What the row of a success says, from what its manifest proves: an adopted backup's, too.
    fn final_progress(&self, manifest: &Manifest) -> Progress {
        let counted = self.reporter.progress();
        let tables = manifest
            .archive
            .tables
            .and_then(|tables| i32::try_from(tables).ok());
        let bytes = i64::try_from(manifest.object.size_bytes).ok();
        let message = match (tables, manifest.archive.state) {
            (Some(tables), _) => format!("the backup of {tables} tables is stored and proved"),
            // Adopted, and sealed.
            (None, ArchiveState::Proved) => "the backup is stored and proved".to_owned(),
            (None, ArchiveState::Unread) => {
                "the backup is stored; its archive was not read".to_owned()
            }
        };
        let rows = manifest
            .archive
            .rows
            .and_then(|rows| i64::try_from(rows).ok());
        Progress {
            message,
            tables_done: tables,
            tables_total: tables,
            rows_done: rows,
            bytes_dumped: i64::try_from(manifest.archive.dump_bytes).ok(),
            bytes_stored: bytes,
            ..counted
        }
    }
}

/// Measures the target's tables; `None` if that fails: they are dumped all the same.
async fn measure(target: &Target) -> Option<Sizes> {
    target
        .size()
        .await
        .inspect_err(|fault| debug!("the tables' sizes are unknown: {}", fault.report()))
        .ok()
}
