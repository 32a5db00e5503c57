//! Runs pg_dump into an upload: the process, the pipeline and the watch beside them, and their end in every
//! case. Nothing is published here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::abort::abort;
use super::asked_for::AskedFor;
use super::error::{AttemptError, Failed, InStep, Step};
use super::job_context::JobContext;
use super::progress::cost::Costs;
use super::progress::reporter::Phase;
use super::progress::tracker::counts;
use super::progress::watch::Watch;
use super::relations::Relations;
use super::upload_record::record_upload;
use crate::code::Code;
use crate::config::TargetConfig;
use crate::dump::{CleanExit, DumpOutput, PgDump, Plan, STOP_GRACE};
use crate::fault::Fault;
use crate::pipeline::{self, ArchiveEnd, Meter, Mode, Options, Outcome, PipelineError, Streamed};
use crate::server::{Sizes, Target};
use crate::store::{ObjectKey, Storage, Upload};

/// How long the server may take to end pg_dump's session after SIGTERM before it is ended for it.
const SESSION_GRACE: Duration = Duration::from_secs(3);
/// How long pg_dump may take to exit after it has closed its output; less where a target's stall_timeout is less.
const EXIT_GRACE: Duration = Duration::from_secs(60);

/// What a dump is run with.
pub(super) struct Dumping<'a> {
    pub(super) context: JobContext<'a>,
    pub(super) target: &'a Target,
    /// What the dump must hold.
    pub(super) asked: &'a AskedFor,
    /// Whether filters leave out a part of the database.
    pub(super) partial: bool,
    pub(super) config: &'a TargetConfig,
    pub(super) storage: &'a Storage,
    pub(super) key: &'a ObjectKey,
    /// How many bytes will hardly be exceeded; `None` if unknown.
    pub(super) expected_bytes: Option<u64>,
    /// Of the target's tables; nothing where that could not be measured.
    pub(super) sizes: Sizes,
}

/// A dump that ended well, its archive uploaded and not yet visible.
pub(super) struct Dumped {
    pub(super) exit: CleanExit,
    pub(super) streamed: Streamed,
    /// What is to be said of it.
    pub(super) remarks: Vec<String>,
    pub(super) upload: Upload,
    pub(super) plan: Plan,
}

/// One run of pg_dump, and what it is watched with.
struct Run<'a> {
    plan: &'a Plan,
    relations: Relations<'a>,
    meter: Arc<Meter>,
}

/// How one run of pg_dump ended.
enum DumpEnd {
    /// Whole: its archive is in the upload, which is flushed.
    Whole {
        exit: CleanExit,
        streamed: Streamed,
        remarks: Vec<String>,
    },
    /// This build cannot read the archive.
    Unreadable { reason: String },
}

/// The result of one run of pg_dump.
enum Once {
    Dumped(Box<Dumped>),
    Unreadable { reason: String },
}

/// How the flow of bytes ended.
enum End {
    Flowed(Result<Outcome, PipelineError>),
    Guarded(Fault),
    Cancelled,
}

impl Dumping<'_> {
    /// Dumps. On an error pg_dump, its session and the upload are gone, as far as they can be reached.
    pub(super) async fn run(&self, plan: Plan) -> Result<Dumped, AttemptError> {
        self.record_upload(None).await?;
        let reason = match self.dump_once(plan.clone(), mode_of(&plan)).await? {
            Once::Dumped(dumped) => return Ok(*dumped),
            Once::Unreadable { reason } => reason,
        };
        // This build cannot read what this pg_dump writes: store it as it comes, and say so.
        warn!("dumping again without reading the archive: {reason}");
        let again = self.dump_once(plan.by_pg_dump(), Mode::Unread { reason });
        match again.await? {
            Once::Dumped(dumped) => Ok(*dumped),
            Once::Unreadable { reason } => {
                Err(Fault::permanent(Code::ArchiveUnreadable, reason)).in_step(Step::Store)
            }
        }
    }

    /// Notes where this attempt will store, before an upload is begun; then what the storage calls the upload, before
    /// the first part is sent.
    async fn record_upload(&self, upload_id: Option<&str>) -> Result<(), AttemptError> {
        record_upload(self.context, self.storage, self.key, upload_id).await
    }

    async fn dump_once(&self, plan: Plan, mode: Mode) -> Result<Once, AttemptError> {
        let mut upload = self.begin().await?;
        if upload.id().is_some()
            && let Err(stop) = self.record_upload(upload.id()).await
        {
            abort(upload).await;
            return Err(stop);
        }
        let run = match self.look(&plan).await {
            Ok(run) => run,
            Err(stop) => {
                abort(upload).await;
                return Err(stop);
            }
        };
        let (mut dump, output) = match PgDump::start(&plan) {
            Ok(started) => started,
            Err(fault) => {
                abort(upload).await;
                return Err(fault).in_step(Step::Dump);
            }
        };
        info!(pg_dump.pid = dump.pid(), "pg_dump started");
        self.context.reporter.enter(Phase::Catalog);
        let end = self.flow(&run, &mut dump, output, &mut upload, mode).await;
        let error = match self.end_of(&run, &mut dump, &mut upload, end).await {
            Ok(DumpEnd::Whole {
                exit,
                streamed,
                remarks,
            }) => {
                return Ok(Once::Dumped(Box::new(Dumped {
                    exit,
                    streamed,
                    remarks,
                    upload,
                    plan,
                })));
            }
            Ok(DumpEnd::Unreadable { reason }) => Ok(Once::Unreadable { reason }),
            Err(error) => Err(error),
        };
        let warnings = dump.warnings();
        self.stop_dump(&plan, dump).await;
        abort(upload).await;
        error.map_err(|error: AttemptError| error.map(|failed| Failed { warnings, ..failed }))
    }

    /// What the end of the flow means, once pg_dump and the archive have been asked too.
    async fn end_of(
        &self,
        run: &Run<'_>,
        dump: &mut PgDump,
        upload: &mut Upload,
        end: End,
    ) -> Result<DumpEnd, AttemptError> {
        match end {
            End::Flowed(Ok(Outcome::Streamed(streamed))) => {
                let counts = counts(&run.meter.snapshot(), &run.meter.counted_from(0));
                self.context.reporter.advance(1.0, None, counts);
                self.context.reporter.enter(Phase::Finishing);
                let exit = self.clean_exit(dump).await?;
                if self.partial && is_empty(&streamed) {
                    return Err(nothing_matched()).in_step(Step::Dump);
                }
                self.verdict(&run.relations, &streamed).await?;
                let remarks = self.compared(&streamed).await?;
                self.flush(upload).await?;
                Ok(DumpEnd::Whole {
                    exit,
                    streamed,
                    remarks,
                })
            }
            End::Flowed(Ok(Outcome::Unreadable { reason })) => Ok(DumpEnd::Unreadable { reason }),
            End::Flowed(Err(error)) => Err(self.classify(dump, error).await),
            End::Guarded(fault) => {
                let step = match fault.code() {
                    Code::StorageStalled => Step::Store,
                    _ => Step::Dump,
                };
                Err(fault).in_step(step)
            }
            End::Flowed(Ok(Outcome::Cancelled)) | End::Cancelled => Err(AttemptError::Cancelled),
        }
    }

    /// Begins the upload. Where that hangs it is left alone: begun too late, it removes itself.
    async fn begin(&self) -> Result<Upload, AttemptError> {
        let begun = self.storage.begin(self.key, self.expected_bytes);
        let limit = self.config.stall_timeout;
        self.context.in_time(Step::Store, limit, begun).await
    }

    /// Reads the target's tables; this must happen before pg_dump starts.
    async fn look<'t>(&'t self, plan: &'t Plan) -> Result<Run<'t>, AttemptError> {
        let withholds_names = self.context.reporter.names_are_withheld();
        let look = Relations::look(self.target, plan.application_name(), withholds_names);
        let relations = self.context.in_step(Step::Dump, look).await?;
        Ok(Run {
            plan,
            relations,
            meter: Meter::new(),
        })
    }

    /// Whether the tables that were dumped are those that pg_dump found.
    async fn verdict(
        &self,
        relations: &Relations<'_>,
        streamed: &Streamed,
    ) -> Result<(), AttemptError> {
        let verdict = relations.verdict(streamed);
        self.context.in_step(Step::Dump, verdict).await
    }

    /// Waits until the storage has all, when pg_dump and its locks are gone. However much is still on its way, this
    /// ends: a request that makes no progress fails.
    async fn flush(&self, upload: &mut Upload) -> Result<(), AttemptError> {
        self.context.in_step(Step::Store, upload.flush()).await
    }

    /// Lets the bytes flow until they end, a guard fires, or the job is to stop.
    async fn flow(
        &self,
        run: &Run<'_>,
        dump: &mut PgDump,
        output: DumpOutput,
        upload: &mut Upload,
        mode: Mode,
    ) -> End {
        let Run { plan, meter, .. } = run;
        let watch = Watch {
            target: self.target,
            config: self.config,
            application_name: plan.application_name(),
            output: output.meter(),
            moved: self.storage.moved(),
            meter: Arc::clone(meter),
            reporter: self.context.reporter,
            partial: self.partial,
            sizes: &self.sizes,
            costs: Costs::new(plan.compression(), plan.compressor()),
            pg_dump_major: plan.program().major(),
        };
        let stop = CancellationToken::new();
        let mut source = Output(output);
        let mut sink = Into { upload };
        let meter = Arc::clone(meter);
        let encryption = self.config.encryption.as_ref();
        let how = Options {
            mode,
            encrypt_to: encryption.map(|own| own.encrypt_to.clone()),
        };
        let replaced = run.relations.watch(Arc::clone(&meter));
        let mut flow = std::pin::pin!(pipeline::run(&mut source, &mut sink, how, meter, &stop));
        let end = tokio::select! {
            biased;
            flowed = &mut flow => return End::Flowed(flowed),
            () = self.context.cancel.token().cancelled() => End::Cancelled,
            fault = watch.run() => End::Guarded(fault),
            fault = replaced => End::Guarded(fault),
        };
        // pg_dump first: its session holds locks.
        dump.terminate();
        stop.cancel();
        if let Err(error) = flow.await {
            let fault = error.into_fault();
            warn!("while the dump was being stopped: {}", fault.report());
        }
        end
    }

    /// pg_dump's exit, after its output has ended.
    async fn clean_exit(&self, dump: &mut PgDump) -> Result<CleanExit, AttemptError> {
        let grace = EXIT_GRACE.min(self.config.stall_timeout);
        let exit = tokio::time::timeout(grace, dump.wait());
        let fault = match self.context.or_cancelled(exit).await? {
            Ok(Ok(exit)) => return Ok(exit),
            Ok(Err(fault)) => self.explain(fault).await,
            Err(_) => Fault::transient(
                Code::DumpStalled,
                format!(
                    "pg_dump closed its output and did not exit within {} s",
                    grace.as_secs_f64()
                ),
            ),
        };
        Err(fault).in_step(Step::Dump)
    }

    /// Whether the archive holds what was asked for, and what is to be said of it.
    async fn compared(&self, streamed: &Streamed) -> Result<Vec<String>, AttemptError> {
        let compared = self.asked.compare(
            self.target,
            streamed,
            self.context.reporter.names_are_withheld(),
        );
        let remarks = self.context.in_step(Step::Dump, compared).await?;
        for remark in &remarks {
            // A sealed backup's log must not name what is inside either.
            if self.context.reporter.names_are_withheld() {
                warn!("the backup has a warning that is in its manifest alone")
            } else {
                warn!("{remark}")
            }
        }
        Ok(remarks)
    }

    /// Names the step that a broken flow failed in. A stream that ended early is pg_dump's doing if pg_dump failed: its
    /// own error says why.
    async fn classify(&self, dump: &mut PgDump, error: PipelineError) -> AttemptError {
        match error {
            PipelineError::Source(fault) | PipelineError::Cut(fault) => {
                self.classify_cut(dump, self.named(fault)).await
            }
            // pg_dump may be well, and still be writing into the closed pipe.
            PipelineError::NotAnArchive(fault) => Failed::new(Step::Dump, self.named(fault)).into(),
            PipelineError::Sink(fault) | PipelineError::Internal(fault) => {
                Failed::new(Step::Store, fault).into()
            }
        }
    }

    async fn classify_cut(&self, dump: &mut PgDump, fault: Fault) -> AttemptError {
        let grace = STOP_GRACE.min(self.config.stall_timeout);
        let exit = tokio::time::timeout(grace, dump.wait());
        let fault = match self.context.or_cancelled(exit).await {
            Err(cancelled) => return cancelled.into(),
            Ok(Ok(Err(exit))) => self.explain(exit).await,
            Ok(Ok(Ok(_)) | Err(_)) => fault,
        };
        Failed::new(Step::Dump, fault).into()
    }

    /// A fault of the archive, whose causes name tables.
    fn named(&self, fault: Fault) -> Fault {
        if self.context.reporter.names_are_withheld() && fault.code().is_of_an_archive() {
            return fault.without_causes();
        }
        fault
    }

    async fn explain(&self, fault: Fault) -> Fault {
        self.context.explain(self.target, self.partial, fault).await
    }

    /// SIGTERM, the session seen gone, SIGKILL last.
    async fn stop_dump(&self, plan: &Plan, mut dump: PgDump) {
        dump.terminate();
        let name = plan.application_name();
        if !self.target.sessions_gone(name, SESSION_GRACE).await {
            match self
                .target
                .end_sessions(&[name.to_owned()], SESSION_GRACE)
                .await
            {
                Ok(0) => {}
                Ok(sessions) => warn!(sessions, "pg_dump's session had to be ended by its server"),
                Err(fault) => warn!("pg_dump's session may remain: {}", fault.report()),
            }
        }
        if let Err(fault) = dump.stop(STOP_GRACE).await {
            warn!("pg_dump's end is unknown: {}", fault.report());
        }
    }
}

fn mode_of(plan: &Plan) -> Mode {
    plan.recompression().map_or(Mode::Read, Mode::Recompress)
}

fn is_empty(streamed: &Streamed) -> bool {
    matches!(streamed.end(), ArchiveEnd::Proved(proved) if proved.is_empty())
}

/// pg_dump finds a match for each pattern, and then leaves out what is excluded: the queue, or all that matched.
fn nothing_matched() -> Fault {
    Fault::permanent(Code::NothingMatched, "the filters leave nothing to back up").hint(
        "Correct the schemas and tables of the job's spec: what is excluded, and the queue's own schema, is never in a dump.",
    )
}

/// pg_dump's output, as the pipeline's source.
struct Output(DumpOutput);

impl pipeline::Source for Output {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        self.0.next().await
    }
}

/// An upload, as the pipeline's sink.
struct Into<'a> {
    upload: &'a mut Upload,
}

impl pipeline::Sink for Into<'_> {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Fault> {
        self.upload.write(bytes).await
    }
}
