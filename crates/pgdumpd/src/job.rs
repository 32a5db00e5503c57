//! One job, from its claim to its end.
//!
//! `backup` takes the steps in order; `heartbeat` renews the lease beside it and requests the `cancel`;
//! whatever happens, the job ends here with one outcome written to its row.

mod abort;
mod asked_for;
mod backup;
mod cancel;
mod copy;
mod count;
mod dumping;
mod error;
mod finish;
mod globals;
mod heartbeat;
mod job_context;
mod manifest;
mod outage;
mod progress;
mod publish;
mod recovery;
mod relations;
mod room;
mod upload_record;

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

use crate::context::{Catalog, Services};
use crate::lifecycle::Lifecycle;
use crate::metrics::Ended;
use crate::queue::{ClaimedJob, Finished, Outcome, Work};
use crate::telemetry::BACKUP_PROGRESS;
use backup::BackupJob;
use cancel::{CancelReason, JobCancel};
use copy::CopyJob;
use error::AttemptError;
use finish::Unwritten;
use heartbeat::{Heartbeat, LeaseTiming};
use job_context::JobContext;
use progress::reporter::Reporter;
pub use recovery::clear;

/// Runs a claimed job to its end. `claimed_at` is when the claim was sent; `lifecycle.stop` hands the job back.
pub async fn run(
    services: &Services,
    catalog: &Catalog,
    job: ClaimedJob,
    claimed_at: Instant,
    lifecycle: Lifecycle,
) {
    let span = info_span!(
        "job",
        job.id = %job.lease.job,
        job.attempt = job.lease.attempt,
        target = %job.target,
        trace_parent = job.trace_parent
    );
    run_in_span(services, catalog, job, claimed_at, lifecycle)
        .instrument(span)
        .await;
}

async fn run_in_span(
    services: &Services,
    catalog: &Catalog,
    job: ClaimedJob,
    claimed_at: Instant,
    lifecycle: Lifecycle,
) {
    match &job.work {
        Work::Backup => info!(job.requested_by = job.requested_by, "started"),
        Work::Copy(order) => info!(
            job.requested_by = job.requested_by,
            copy.of = %order.of,
            copy.to = order.to,
            "started a copy"
        ),
    }
    let cancel = Arc::new(JobCancel::default());
    let reporter = Arc::new(Reporter::new(job.lease.job));
    let heartbeat = Heartbeat::start(
        services.queue.clone(),
        job.lease.clone(),
        LeaseTiming {
            lease: services.daemon.lease,
            tick: services.daemon.heartbeat,
        },
        claimed_at,
        services.hints(),
        Arc::clone(&reporter),
        Arc::clone(&cancel),
    );
    let context = JobContext {
        services,
        catalog,
        job: &job,
        reporter: &reporter,
        cancel: &cancel,
    };
    let work = work(context);
    let work = cancel.requested_after(lifecycle.stop.cancelled(), CancelReason::Shutdown, work);
    let outcome = match work.await {
        Ok(outcome) => outcome,
        Err(stop) => match stop.into_outcome(cancel.reason()) {
            Some(outcome) => outcome,
            None => {
                // The row belongs to somebody else by now; everything of this attempt is cleaned up.
                warn!("abandoned the job: its lease was lost");
                let counters = &services.counters;
                counters.lease_lost();
                counters.ended(job.work.word(), Ended::Lost, claimed_at.elapsed());
                heartbeat.stop().await;
                return;
            }
        },
    };
    heartbeat.job_ends();
    let finished = finish::finish(
        &services.queue,
        &job.lease,
        &outcome,
        services.daemon.lease,
        &lifecycle,
    )
    .await;
    heartbeat.stop().await;
    if matches!(finished, Ok(Finished::Ended(_)))
        && let Outcome::Succeeded(success) | Outcome::Copied(success) = &outcome
    {
        services.retention.stored(&job.target, success);
    }
    count::count_end(context, &outcome, &finished, claimed_at);
    log_end(&outcome, finished, claimed_at);
}

async fn work(context: JobContext<'_>) -> Result<Outcome, AttemptError> {
    match &context.job.work {
        Work::Backup => {
            let success = BackupJob { context }.run().await?;
            Ok(Outcome::Succeeded(Box::new(success)))
        }
        Work::Copy(order) => {
            let success = CopyJob { context, order }.run().await?;
            Ok(Outcome::Copied(Box::new(success)))
        }
    }
}

fn log_end(outcome: &Outcome, finished: Result<Finished, Unwritten>, claimed_at: Instant) {
    let seconds = claimed_at.elapsed().as_secs_f64();
    match (outcome, finished) {
        (Outcome::Succeeded(_) | Outcome::Copied(_), Err(unwritten)) => error!(
            error = unwritten.reason,
            error.hint = unwritten.hint,
            "the backup is whole, but its job's end could not be written; another daemon will adopt the backup"
        ),
        (_, Err(unwritten)) => error!(
            error = unwritten.reason,
            error.hint = unwritten.hint,
            "the job's end could not be written to the queue; another daemon will end it"
        ),
        (_, Ok(Finished::LeaseLost)) => {
            warn!("the job's end was not written: its lease was lost")
        }
        (Outcome::Succeeded(success) | Outcome::Copied(success), Ok(_)) => info!(
            event = %BACKUP_PROGRESS,
            progress.percent = 100,
            job.seconds = seconds,
            object.key = success.object_key,
            object.size_bytes = success.size_bytes,
            object.sha256 = success.sha256,
            dump.warnings = success.warnings_total,
            "succeeded"
        ),
        (Outcome::Failed(failure), Ok(Finished::Requeued { run_at })) => warn!(
            job.seconds = seconds,
            error.step = failure.step,
            error.code = failure.code.as_str(),
            job.run_at = %run_at,
            "failed and will be retried: {}",
            failure.error
        ),
        (Outcome::Failed(failure), Ok(_)) => error!(
            job.seconds = seconds,
            error.step = failure.step,
            error.code = failure.code.as_str(),
            error.hint = failure.hint,
            "failed: {}",
            failure.error
        ),
        (Outcome::Moot(why), Ok(_)) => info!(job.seconds = seconds, "ended: {why}"),
        (Outcome::Cancelled, Ok(_)) => info!(job.seconds = seconds, "cancelled"),
        (Outcome::Released, Ok(_)) => info!(job.seconds = seconds, "handed back"),
    }
}
