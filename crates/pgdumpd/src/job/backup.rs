//! The steps of one attempt, in order.

use pgdumpd_client::BackupSpec;
use tracing::{debug, info, warn};

use super::asked_for::AskedFor;
use super::cancel::CancelReason;
use super::dumping::{Dumped, Dumping};
use super::error::{AttemptError, InStep, Step};
use super::job_context::JobContext;
use super::progress::reporter::Phase;
use super::publish::{Publication, publish};
use super::room::Expected;
use super::{globals, manifest, recovery};
use crate::code::Code;
use crate::config::{StorageConfig, TargetConfig};
use crate::context::agreement::agree;
use crate::database_url::DatabaseUrl;
use crate::dump::{self, Plan};
use crate::fault::Fault;
use crate::former_database;
use crate::queue::{Progress, Success};
use crate::server::{self, Sizes, Target};
use crate::spec;
use crate::store::{ArchiveState, Manifest, ObjectKey, Storage};
use crate::text::count_of;

/// One attempt of one job.
pub(super) struct BackupJob<'a> {
    pub(super) context: JobContext<'a>,
}

/// A target and a storage that are ready for a dump, and what was found out before it.
struct Prepared {
    plan: Plan,
    asked: AskedFor,
    sizes: Option<Sizes>,
    expected: Expected,
    globals: Option<globals::Dumped>,
}

impl BackupJob<'_> {
    /// Takes the backup. Whatever is returned, no process, session or partial object of it is left that
    /// could be removed.
    pub(super) async fn run(&self) -> Result<Success, AttemptError> {
        let ended = Box::pin(self.run_configured()).await;
        if !self.context.reporter.names_are_withheld() {
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

    async fn run_configured(&self) -> Result<Success, AttemptError> {
        let spec = spec::parse(&self.context.job.spec).in_step(Step::Spec)?;
        let (target, storage) = self.configured().in_step(Step::Spec)?;
        if target.is_sealed() {
            self.context.reporter.withhold_names();
        }
        let steps = Box::pin(self.run_steps(spec, target, storage));
        // Who asks for a backup may ask for less time than the operator allows, not for more.
        let limits = [self.context.job.timeout, target.timeout];
        match limits.into_iter().flatten().min() {
            Some(limit) => {
                let late = CancelReason::Timeout(limit);
                let due = tokio::time::sleep(limit);
                self.context.cancel.requested_after(due, late, steps).await
            }
            None => steps.await,
        }
    }

    async fn run_steps(
        &self,
        spec: BackupSpec,
        config: &TargetConfig,
        storage: &StorageConfig,
    ) -> Result<Success, AttemptError> {
        let JobContext {
            catalog,
            job,
            reporter,
            ..
        } = self.context;
        let limit = config.stall_timeout;
        reporter.enter(Phase::Preparing);
        let opened = catalog.known.open(&config.storage, storage);
        let (storage, target) = tokio::join!(
            self.context.in_time(Step::Prepare, limit, opened),
            self.context.in_step(
                Step::Connect,
                Target::connect_directly(&job.target, &config.url)
            ),
        );
        let storage = storage?;
        // May be left off in the middle and repeated: hashing a large archive takes its time.
        let adopted = recovery::adopt(job, catalog, &storage, limit);
        if let Some((manifest, place)) = self.context.in_step(Step::Prepare, adopted).await? {
            return Ok(self.success(&manifest, &place, config));
        }
        let target = target?;
        let prepared = Box::pin(self.prepare(&target, &storage, config, &spec)).await?;
        let stored = self.dump_and_publish(&target, &storage, config, &spec, prepared);
        let manifest = Box::pin(stored).await?;
        Ok(self.success(&manifest, &storage, config))
    }

    /// Everything that can be found out, cleaned up and refused before pg_dump takes its locks.
    async fn prepare(
        &self,
        target: &Target,
        storage: &Storage,
        config: &TargetConfig,
        spec: &BackupSpec,
    ) -> Result<Prepared, AttemptError> {
        let JobContext {
            services,
            catalog,
            job,
            ..
        } = self.context;
        catalog.servers.remember(target);
        let agreed = agree(services, catalog, &job.target);
        self.context.in_step(Step::Prepare, agreed).await?;
        self.context
            .or_cancelled(self.record_database(target))
            .await?;
        self.context
            .or_cancelled(recovery::end_sessions(job, target))
            .await?;
        let plan = self.plan(target, config, spec.clone()).await?;
        let asked = AskedFor::list(target, spec, config.strict_filters);
        let asked = self.context.in_step(Step::Prepare, asked).await?;
        let sizes = self.context.or_cancelled(measure(target)).await?;
        let expected = self.expected(&asked, sizes.as_ref(), &plan);
        let expected = self.context.or_cancelled(expected).await?;
        let room = storage.ensure_room(expected.least);
        self.context
            .in_time(Step::Prepare, config.stall_timeout, room)
            .await?;
        let globals = globals::dump(self.context, target, &plan, config).await?;
        Ok(Prepared {
            plan,
            asked,
            sizes,
            expected,
            globals,
        })
    }

    async fn dump_and_publish(
        &self,
        target: &Target,
        storage: &Storage,
        config: &TargetConfig,
        spec: &BackupSpec,
        prepared: Prepared,
    ) -> Result<Manifest, AttemptError> {
        let JobContext {
            services,
            job,
            reporter,
            ..
        } = self.context;
        let Prepared {
            plan,
            asked,
            sizes,
            expected,
            globals,
        } = prepared;
        let mut key = ObjectKey::new(
            services.queue.id(),
            &job.target,
            job.lease.job,
            job.lease.token,
            job.claimed_at,
        );
        if config.encryption.is_some() {
            key = key.encrypted();
        }
        let started_at = manifest::hosts_clock();
        let dumping = Dumping {
            context: self.context,
            target,
            asked: &asked,
            partial: spec::is_partial(spec),
            config,
            storage,
            key: &key,
            expected_bytes: expected.most,
            sizes: sizes.unwrap_or_default(),
        };
        let Dumped {
            exit,
            streamed,
            remarks,
            upload,
            plan,
        } = dumping.run(plan).await?;

        reporter.enter(Phase::Publishing);
        let publication = Publication {
            context: self.context,
            limit: config.stall_timeout,
            storage,
            globals: globals.as_ref().map(|globals| &globals.stored[..]),
        };
        let proof = (&exit, &streamed);
        publish(&proof, upload, publication, |(exit, streamed)| {
            manifest::write(&manifest::Facts {
                queue_id: services.queue.id(),
                job,
                worker: &services.worker,
                storage_id: storage.id(),
                target,
                plan: &plan,
                spec,
                key: &key,
                started_at,
                globals: globals.as_ref(),
                exit,
                streamed,
                remarks: &remarks,
                encryption: config.encryption.as_ref(),
            })
        })
        .await
    }

    /// How much will be stored. A queue that cannot be asked knows of no earlier backup.
    async fn expected(&self, asked: &AskedFor, sizes: Option<&Sizes>, plan: &Plan) -> Expected {
        let JobContext { services, job, .. } = self.context;
        let last = services.queue.last_size(&job.target, &job.spec);
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
    async fn record_database(&self, target: &Target) {
        let queue = &self.context.services.queue;
        if let Some(change) = former_database::change(queue, target).await {
            warn!(check.hint = change.hint, "{}", change.what);
        }
        let database = former_database::database_of(target);
        if let Err(error) = queue
            .record_database(&self.context.job.lease, &database)
            .await
        {
            warn!(
                error = &error as &dyn std::error::Error,
                "the queue could not record which database is dumped"
            );
        }
    }

    fn configured(&self) -> Result<(&TargetConfig, &StorageConfig), Fault> {
        let JobContext { catalog, job, .. } = self.context;
        let target = catalog.targets.get(&job.target).ok_or_else(|| {
            Fault::transient(
                Code::TargetUnknown,
                format!("target \"{}\" is not configured here", job.target),
            )
            .hint("It was when the job was claimed: the configuration has changed since.")
        })?;
        let storage = catalog.storages.get(&target.storage).ok_or_else(|| {
            Fault::transient(
                Code::StorageUnknown,
                format!("storage \"{}\" is not configured here", target.storage),
            )
        })?;
        Ok((target, storage))
    }

    async fn plan(
        &self,
        target: &Target,
        config: &TargetConfig,
        spec: BackupSpec,
    ) -> Result<Plan, AttemptError> {
        let major = target.server_major();
        let JobContext { services, job, .. } = self.context;
        let found = dump::find(&services.pg_dump.directories, major);
        let program = self.context.in_step(Step::Prepare, found).await?;
        let plan = Plan::new(
            program,
            major,
            with_present_password(&config.url).await,
            server::application_name(job.lease.token),
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
        let counted = self.context.reporter.progress();
        let tables = manifest
            .archive
            .tables
            .and_then(|tables| i32::try_from(tables).ok());
        let bytes = i64::try_from(manifest.object.size_bytes).ok();
        let message = match (tables, manifest.archive.state) {
            (Some(tables), _) => {
                let tables = count_of(u64::try_from(tables).unwrap_or(0), "table");
                format!("the backup of {tables} is stored and proved")
            }
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

/// The address for pg_dump, whose password may have been changed in its file since the configuration was read.
async fn with_present_password(url: &DatabaseUrl) -> DatabaseUrl {
    let read = url.clone();
    let read = tokio::task::spawn_blocking(move || read.refreshed());
    read.await.unwrap_or_else(|_| url.clone())
}

/// Measures the target's tables; `None` if that fails: they are dumped all the same.
async fn measure(target: &Target) -> Option<Sizes> {
    target
        .size()
        .await
        .inspect_err(|fault| debug!("the tables' sizes are unknown: {}", fault.report()))
        .ok()
}
