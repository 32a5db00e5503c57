//! One job, from its claim to its end.
//!
//! `attempt` takes the steps in order; `heart` renews the lease beside it and throws the `halt` switch;
//! whatever happens, the job ends here with one outcome written to its row.

mod asked_for;
mod attempt;
mod copy;
mod cost;
mod dumping;
mod earlier;
mod estimate;
mod flowing;
mod globals;
mod halt;
mod heart;
mod manifest;
mod measure;
mod noting;
mod publish;
mod relations;
mod reporter;
mod room;
mod settle;
mod stop;
mod weighing;

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::daemon::{Served, Services};
use crate::lifecycle::Lifecycle;
use crate::queue::{ClaimedJob, Finished, Outcome, Work};
use crate::telemetry::BACKUP_PROGRESS;
use attempt::Attempt;
use copy::Copying;
pub use earlier::clear;
use halt::{Halt, HaltSwitch};
use heart::{Heart, Pace};
use reporter::Reporter;
use settle::Unwritten;

/// Runs a claimed job to its end. `claimed_at` is when the claim was sent; `lifecycle.halt` hands the job back.
pub async fn run(
    services: &Services,
    served: &Served,
    job: ClaimedJob,
    claimed_at: Instant,
    lifecycle: Lifecycle,
) {
    let span = info_span!(
        "job",
        job.id = %job.lease.job,
        job.attempt = job.lease.attempt,
        target = %job.target
    );
    run_in_span(services, served, job, claimed_at, lifecycle)
        .instrument(span)
        .await;
}

async fn run_in_span(
    services: &Services,
    served: &Served,
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
    let switch = Arc::new(HaltSwitch::default());
    let reporter = Arc::new(Reporter::new(job.lease.job));
    let heart = Heart::start(
        services.queue.clone(),
        job.lease.clone(),
        Pace {
            lease: services.daemon.lease,
            tick: services.daemon.heartbeat,
        },
        claimed_at,
        services.hints(),
        Arc::clone(&reporter),
        Arc::clone(&switch),
    );
    let over = CancellationToken::new();
    let _over = over.clone().drop_guard();
    let halt = lifecycle.halt.clone();
    tokio::spawn(throw_at_shutdown(halt, Arc::clone(&switch), over).in_current_span());

    let ended = match &job.work {
        Work::Backup => {
            let attempt = Attempt {
                services,
                served,
                job: &job,
                reporter: &reporter,
                switch: &switch,
            };
            let success = attempt.run().await;
            success.map(|success| Outcome::Succeeded(Box::new(success)))
        }
        Work::Copy(order) => {
            let copying = Copying {
                services,
                served,
                job: &job,
                order,
                reporter: &reporter,
                switch: &switch,
            };
            let success = copying.run().await;
            success.map(|success| Outcome::Copied(Box::new(success)))
        }
    };
    let outcome = match ended {
        Ok(outcome) => outcome,
        Err(stop) => match stop.into_outcome(switch.reason()) {
            Some(outcome) => outcome,
            None => {
                // The row belongs to somebody else by now; everything of this attempt is cleaned up.
                warn!("gave the job up: its lease was lost");
                heart.stop().await;
                return;
            }
        },
    };
    heart.job_ends();
    let finished = settle::finish(
        &services.queue,
        &job.lease,
        &outcome,
        services.daemon.lease,
        &lifecycle,
    )
    .await;
    heart.stop().await;
    if matches!(finished, Ok(Finished::Ended(_)))
        && let Outcome::Succeeded(success) | Outcome::Copied(success) = &outcome
    {
        services.retention.stored(&job.target, success);
    }
    log_end(&outcome, finished, claimed_at);
}

async fn throw_at_shutdown(
    shutdown: CancellationToken,
    switch: Arc<HaltSwitch>,
    over: CancellationToken,
) {
    tokio::select! {
        () = over.cancelled() => {}
        () = shutdown.cancelled() => switch.throw(Halt::Released),
    }
}

fn log_end(outcome: &Outcome, finished: Result<Finished, Unwritten>, claimed_at: Instant) {
    let seconds = claimed_at.elapsed().as_secs_f64();
    match (outcome, finished) {
        (Outcome::Succeeded(_) | Outcome::Copied(_), Err(unwritten)) => error!(
            error = unwritten.reason,
            error.hint = unwritten.hint,
            "the backup is whole, and its job's end could not be written; another daemon will adopt the backup"
        ),
        (_, Err(unwritten)) => error!(
            error = unwritten.reason,
            error.hint = unwritten.hint,
            "the job's end could not be written to the queue; another daemon will settle it"
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
            error.code = failure.code,
            job.run_at = %run_at,
            "failed and will be tried again: {}",
            failure.error
        ),
        (Outcome::Failed(failure), Ok(_)) => error!(
            job.seconds = seconds,
            error.step = failure.step,
            error.code = failure.code,
            error.hint = failure.hint,
            "failed: {}",
            failure.error
        ),
        (Outcome::Moot(why), Ok(_)) => info!(job.seconds = seconds, "ended: {why}"),
        (Outcome::Cancelled, Ok(_)) => info!(job.seconds = seconds, "cancelled"),
        (Outcome::Released, Ok(_)) => info!(job.seconds = seconds, "handed back"),
    }
}
