//! Reads jobs for all who ask at one time, together: however many ask, the queue answers a bounded number of
//! statements. Nobody gets what was read before the question came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pgdumpd_client::JobStatus;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::Problem;
use crate::queue::Applications;

/// From the beginning of one statement to that of the next: 20 statements a second at most.
const SPACING: Duration = Duration::from_millis(50);

/// How many jobs one statement reads: a bound on its time.
pub(super) const JOBS_A_STATEMENT: usize = 1000;

/// How many questions wait: further ones wait before they are accepted.
const WAITING: usize = 4096;

type Answer = Result<Option<Arc<JobStatus>>, Problem>;

struct Question {
    id: Uuid,
    answer: oneshot::Sender<Answer>,
}

/// Where questions go.
#[derive(Clone)]
pub(super) struct Reads(mpsc::Sender<Question>);

/// The questions that have not been answered.
pub(super) struct Questions(mpsc::Receiver<Question>);

/// Both ends.
pub(super) fn reads() -> (Reads, Questions) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Reads(sender), Questions(receiver))
}

impl Reads {
    /// Reads a job; `None` if there is none.
    pub(super) async fn read(&self, id: Uuid) -> Answer {
        let (answer, answered) = oneshot::channel();
        // Both fail only while the daemon stops.
        if self.0.send(Question { id, answer }).await.is_err() {
            return Err(Problem::unavailable());
        }
        answered
            .await
            .unwrap_or_else(|_| Err(Problem::unavailable()))
    }
}

impl Questions {
    /// Answers until nobody can ask any more.
    pub(super) async fn answer(mut self, applications: Applications) {
        let mut asked = Vec::new();
        while self.0.recv_many(&mut asked, JOBS_A_STATEMENT).await > 0 {
            let began = Instant::now();
            let ids: BTreeSet<Uuid> = asked.iter().map(|question| question.id).collect();
            let read = applications.statuses(ids.into_iter().collect()).await;
            let read = read.map(|jobs| {
                let by_id = jobs.into_iter().map(|job| (job.id, Arc::new(job)));
                by_id.collect::<HashMap<_, _>>()
            });
            let read = read.map_err(Problem::from);
            for Question { id, answer } in asked.drain(..) {
                let of_it = match &read {
                    Ok(jobs) => Ok(jobs.get(&id).cloned()),
                    Err(problem) => Err(problem.clone()),
                };
                // Whoever has gone needs no answer.
                let _ = answer.send(of_it);
            }
            tokio::time::sleep_until(began + SPACING).await;
        }
    }
}
