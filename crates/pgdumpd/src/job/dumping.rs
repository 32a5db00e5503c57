//! Runs pg_dump into an upload: the process, the pipeline and the watch beside them, and their end in every
//! case. Nothing is published here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::asked_for::AskedFor;
use super::attempt::STOP_GRACE;
use super::cost::Costs;
use super::flowing::counts;
use super::halt::HaltSwitch;
use super::measure::Watch;
use super::noting::Noting;
use super::relations::Relations;
use super::reporter::{Phase, Reporter};
use super::stop::{InStep, Step, Stop};
use crate::config::TargetConfig;
use crate::daemon::Services;
use crate::dump::{CleanExit, DumpOutput, PgDump, Plan};
use crate::fault::Fault;
use crate::pipeline::{self, ArchiveEnd, Meter, Mode, Outcome, Passage, Streamed};
use crate::queue::Lease;
use crate::store::{ObjectKey, STORAGE_STALLED, Storage, Upload, in_time};
use crate::target::{Sizes, Target};

/// How long the server may take to end pg_dump's session after SIGTERM before it is ended for it.
const SESSION_GRACE: Duration = Duration::from_secs(3);
/// How long pg_dump may take to exit after it has closed its output; less where a target's stall_timeout is less.
const EXIT_GRACE: Duration = Duration::from_secs(60);
/// Codes of the pipeline that say that the stream ended early.
const ENDED_EARLY: [&str; 2] = ["archive_incomplete", "dump_read_failed"];
/// What would not restore, or is not an archive at all: pg_dump may be well, and still be writing into the closed pipe.
const NO_ARCHIVE: [&str; 2] = ["archive_corrupt", "archive_ambiguous"];
/// How long the target may take to say why pg_dump failed: long enough for an address that does not answer.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(20);
/// How long a storage may take to remove a partial object. What it does not manage, a later daemon does.
const ABORT_LIMIT: Duration = Duration::from_secs(30);

/// What a dump is run with.
pub(super) struct Dumping<'a> {
    pub(super) services: &'a Services,
    pub(super) lease: &'a Lease,
    pub(super) target: &'a Target,
    /// What the dump must hold.
    pub(super) asked: &'a AskedFor,
    /// Whether filters leave out a part of the database.
    pub(super) partial: bool,
    pub(super) config: &'a TargetConfig,
    pub(super) storage: &'a Storage,
    pub(super) key: &'a ObjectKey,
    /// How many bytes will hardly be exceeded; none where nobody knows.
    pub(super) expected_bytes: Option<u64>,
    /// Of the target's tables; nothing where that could not be measured.
    pub(super) sizes: Sizes,
    pub(super) reporter: &'a Reporter,
    pub(super) switch: &'a Arc<HaltSwitch>,
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

/// What one run of pg_dump came to.
enum Once {
    Dumped(Box<Dumped>),
    Unreadable { reason: String },
}

/// How the flow of bytes ended.
enum End {
    Flowed(Result<Outcome, Fault>),
    Guarded(Fault),
    Halted,
}

impl Dumping<'_> {
    /// Dumps. On an error pg_dump, its session and the upload are gone, as far as they can be reached.
    pub(super) async fn run(&self, plan: Plan) -> Result<Dumped, Stop> {
        self.note_upload(None).await?;
        match self.once(plan.clone(), mode_of(&plan)).await {
            Ok(Once::Dumped(dumped)) => Ok(*dumped),
            // We cannot read what this pg_dump writes: store it as it comes, and say so.
            Ok(Once::Unreadable { reason }) => {
                warn!("dumping again without reading the archive: {reason}");
                match self
                    .once(plan.by_pg_dump(), Mode::Unread { reason })
                    .await?
                {
                    Once::Dumped(dumped) => Ok(*dumped),
                    Once::Unreadable { reason } => Err(failed(
                        Step::Store,
                        Fault::permanent("archive_unreadable", reason),
                    )),
                }
            }
            Err(stop) => Err(stop),
        }
    }

    /// Notes where this attempt will store, before an upload is begun; then what the storage calls the upload, before
    /// the first part is sent.
    async fn note_upload(&self, upload_id: Option<&str>) -> Result<(), Stop> {
        let noting = Noting {
            queue: &self.services.queue,
            lease: self.lease,
            storage: self.storage,
            switch: self.switch,
        };
        noting.note(self.key, upload_id).await
    }

    async fn once(&self, plan: Plan, mode: Mode) -> Result<Once, Stop> {
        let mut upload = self.begin().await?;
        if upload.id().is_some()
            && let Err(stop) = self.note_upload(upload.id()).await
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
        self.reporter.enter(Phase::Catalog);
        let end = self.flow(&run, &mut dump, output, &mut upload, mode).await;
        let mut ended = match end {
            End::Flowed(Ok(Outcome::Streamed(streamed))) => {
                let counts = counts(&run.meter.snapshot(), &run.meter.counted_from(0));
                self.reporter.advance(1.0, None, counts);
                self.reporter.enter(Phase::Finishing);
                match self.clean_exit(&mut dump).await {
                    Ok(_) if self.partial && is_empty(&streamed) => {
                        Err(failed(Step::Dump, nothing_matched()))
                    }
                    Ok(exit) => {
                        let compared = match self.verdict(&run.relations, &streamed).await {
                            Ok(()) => self.compared(&streamed).await,
                            Err(stop) => Err(stop),
                        };
                        compared.map(|remarks| Ok((exit, streamed, remarks)))
                    }
                    Err(stop) => Err(stop),
                }
            }
            End::Flowed(Ok(Outcome::Unreadable { reason })) => Ok(Err(reason)),
            End::Flowed(Err(fault)) => Err(self.blame(&mut dump, fault).await),
            End::Guarded(fault) if fault.code() == STORAGE_STALLED => {
                Err(failed(Step::Store, fault))
            }
            End::Guarded(fault) => Err(failed(Step::Dump, fault)),
            End::Flowed(Ok(Outcome::Cancelled)) | End::Halted => Err(Stop::Halted),
        };
        if let Ok(Ok(_)) = ended
            && let Err(stop) = self.flush(&mut upload).await
        {
            ended = Err(stop);
        }
        if let Ok(Ok((exit, streamed, remarks))) = ended {
            return Ok(Once::Dumped(Box::new(Dumped {
                exit,
                streamed,
                remarks,
                upload,
                plan,
            })));
        }
        let warnings = dump.warnings();
        self.end(&plan, dump).await;
        abort(upload).await;
        match ended {
            Err(stop) => Err(stop.with_warnings(warnings.texts, warnings.total)),
            Ok(ended) => Ok(Once::Unreadable {
                reason: ended.err().unwrap_or_default(),
            }),
        }
    }

    /// Begins the upload. Where that hangs it is left alone: begun too late, it removes itself.
    async fn begin(&self) -> Result<Upload, Stop> {
        let begun = self.storage.begin(self.key, self.expected_bytes);
        let begun = in_time(self.config.stall_timeout, begun);
        tokio::select! {
            () = self.switch.token().cancelled() => Err(Stop::Halted),
            begun = begun => begun.in_step(Step::Store),
        }
    }

    /// Looks at the target's tables, which has to come before pg_dump.
    async fn look<'t>(&'t self, plan: &'t Plan) -> Result<Run<'t>, Stop> {
        let withholds_names = self.reporter.names_are_withheld();
        let look = Relations::look(self.target, plan.application_name(), withholds_names);
        let relations = tokio::select! {
            () = self.switch.token().cancelled() => return Err(Stop::Halted),
            look = look => look.in_step(Step::Dump)?,
        };
        Ok(Run {
            plan,
            relations,
            meter: Meter::new(),
        })
    }

    /// Whether the tables that were dumped are those that pg_dump found.
    async fn verdict(&self, relations: &Relations<'_>, streamed: &Streamed) -> Result<(), Stop> {
        tokio::select! {
            () = self.switch.token().cancelled() => Err(Stop::Halted),
            verdict = relations.verdict(streamed) => verdict.in_step(Step::Dump),
        }
    }

    /// Waits until the storage has all, when pg_dump and its locks are gone. However much is still on its way, this ends:
    /// a request that does not get on fails.
    async fn flush(&self, upload: &mut Upload) -> Result<(), Stop> {
        tokio::select! {
            () = self.switch.token().cancelled() => Err(Stop::Halted),
            flushed = upload.flush() => flushed.in_step(Step::Store),
        }
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
            reporter: self.reporter,
            partial: self.partial,
            sizes: &self.sizes,
            costs: Costs::new(plan.compression(), plan.compressor()),
        };
        let stop = CancellationToken::new();
        let mut source = Output(output);
        let mut sink = Into { upload };
        let meter = Arc::clone(meter);
        let encryption = self.config.encryption.as_ref();
        let how = Passage {
            mode,
            encrypt_to: encryption.map(|own| own.encrypt_to.clone()),
        };
        let replaced = run.relations.watch(Arc::clone(&meter));
        let mut flow = std::pin::pin!(pipeline::run(&mut source, &mut sink, how, meter, &stop));
        let end = tokio::select! {
            biased;
            flowed = &mut flow => return End::Flowed(flowed),
            () = self.switch.token().cancelled() => End::Halted,
            fault = watch.run() => End::Guarded(fault),
            fault = replaced => End::Guarded(fault),
        };
        // pg_dump first: its session holds locks.
        dump.terminate();
        stop.cancel();
        if let Err(fault) = flow.await {
            warn!("while the dump was being stopped: {}", fault.report());
        }
        end
    }

    /// pg_dump's exit, after its output has ended.
    async fn clean_exit(&self, dump: &mut PgDump) -> Result<CleanExit, Stop> {
        let grace = EXIT_GRACE.min(self.config.stall_timeout);
        tokio::select! {
            () = self.switch.token().cancelled() => Err(Stop::Halted),
            exit = tokio::time::timeout(grace, dump.wait()) => match exit {
                Ok(Ok(exit)) => Ok(exit),
                Ok(Err(fault)) => Err(failed(Step::Dump, self.explain(fault).await)),
                Err(_) => Err(failed(Step::Dump, Fault::transient(
                    "dump_stalled",
                    format!("pg_dump closed its output and did not exit within {} s", grace.as_secs_f64()),
                ))),
            },
        }
    }

    /// Whether the archive holds what was asked for, and what is to be said of it.
    async fn compared(&self, streamed: &Streamed) -> Result<Vec<String>, Stop> {
        let compared =
            self.asked
                .compare(self.target, streamed, self.reporter.names_are_withheld());
        let remarks = tokio::select! {
            () = self.switch.token().cancelled() => return Err(Stop::Halted),
            compared = compared => compared.in_step(Step::Dump)?,
        };
        for remark in &remarks {
            // A sealed backup's log must not name what is inside either.
            match self.reporter.names_are_withheld() {
                true => warn!("the backup has a warning that is in its manifest alone"),
                false => warn!("{remark}"),
            }
        }
        Ok(remarks)
    }

    /// A stream that ended early is pg_dump's doing where pg_dump failed: its own words say why.
    async fn blame(&self, dump: &mut PgDump, mut fault: Fault) -> Stop {
        if self.reporter.names_are_withheld() && fault.code().starts_with("archive_") {
            // Its causes name tables.
            fault = fault.without_causes();
        }
        if !ENDED_EARLY.contains(&fault.code()) {
            let step = if NO_ARCHIVE.contains(&fault.code()) {
                Step::Dump
            } else {
                Step::Store
            };
            return failed(step, fault);
        }
        let grace = STOP_GRACE.min(self.config.stall_timeout);
        tokio::select! {
            () = self.switch.token().cancelled() => Stop::Halted,
            exit = tokio::time::timeout(grace, dump.wait()) => match exit {
                Ok(Err(exit)) => failed(Step::Dump, self.explain(exit).await),
                Ok(Ok(_)) | Err(_) => failed(Step::Dump, fault),
            },
        }
    }

    /// Asks the target why pg_dump failed; as pg_dump told it where the job is to stop, or there is no answer in time.
    async fn explain(&self, fault: Fault) -> Fault {
        let cause = self.target.cause_of(&fault, self.partial);
        let cause = tokio::select! {
            () = self.switch.token().cancelled() => None,
            cause = tokio::time::timeout(EXPLAIN_LIMIT, cause) => cause.ok().flatten(),
        };
        cause.unwrap_or(fault)
    }

    /// SIGTERM, the session seen gone, SIGKILL last.
    async fn end(&self, plan: &Plan, mut dump: PgDump) {
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
    Fault::permanent("nothing_matched", "the filters leave nothing to back up").hint(
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

/// Gives an upload up, within a limit: a storage that hangs must not keep the job, or the daemon's stop.
pub(super) async fn abort(upload: Upload) {
    match tokio::time::timeout(ABORT_LIMIT, upload.abort()).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => warn!(
            "the partial object could not be removed: {}",
            fault.report()
        ),
        Err(_) => warn!(
            "the partial object could not be removed: no answer from the storage in {} s",
            ABORT_LIMIT.as_secs()
        ),
    }
}

fn failed(step: Step, fault: Fault) -> Stop {
    Stop::Failed {
        step,
        fault,
        warnings: Vec::new(),
        warnings_total: 0,
    }
}
