//! When a running dump has to be ended: decisions without a clock or a connection of their own.

use std::time::{Duration, Instant};

use crate::code::Code;
use crate::fault::Fault;
use crate::redact::Redactor;

use super::session_state::{Blocker, LockWait, SessionState};

/// Ends a dump that waits too long for one lock, whatever it is doing: while it waits it holds the locks that it
/// has, and others queue behind those.
#[derive(Debug)]
pub struct LockGuard {
    limit: Duration,
    wait: Option<(Instant, LockWait)>,
    tells_statements: bool,
}

impl LockGuard {
    /// A guard that allows each wait this long.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            wait: None,
            tells_statements: true,
        }
    }

    /// Leaves out what the sessions in the way were doing.
    #[must_use]
    pub fn without_statements(self) -> Self {
        Self {
            tells_statements: false,
            ..self
        }
    }

    /// Takes in an observation, made at `now`. Gives a transient `lock_not_available` once a wait is too long.
    pub fn observe(&mut self, now: Instant, look: &SessionState) -> Option<Fault> {
        let Some(seen) = &look.waiting_for_lock else {
            self.wait = None;
            return None;
        };
        let since = match &self.wait {
            Some((since, earlier)) if is_same_wait(earlier, seen) => *since,
            _ => now,
        };
        self.wait = Some((since, seen.clone()));
        let waited = now.saturating_duration_since(since);
        (waited >= self.limit).then(|| lock_not_available(seen, waited, self.tells_statements))
    }
}

/// Ends a dump that gives nothing any more, while nothing of ours keeps it from it.
#[derive(Debug)]
pub struct StallGuard {
    limit: Duration,
    moved: Option<(Instant, Position)>,
}

/// What changes while a dump moves: bytes that came out, and bytes of the COPY that goes in.
type Position = (u64, Option<i64>);

impl StallGuard {
    /// A guard that allows this long without a byte.
    pub fn new(limit: Duration) -> Self {
        Self { limit, moved: None }
    }

    /// Takes in how many bytes have come out of pg_dump at `now`, whether our reader waits for more
    /// ([`OutputMeter::reader_waits`](crate::dump::OutputMeter::reader_waits)), and the last observation of the
    /// session, where there is one. Gives a transient `dump_stalled` once nothing has moved for too long.
    ///
    /// Time spent waiting for a lock is the [`LockGuard`]'s, and time in which our own reader is held up is the
    /// store's: neither counts.
    pub fn observe(
        &mut self,
        now: Instant,
        bytes: u64,
        reader_waits: bool,
        look: Option<&SessionState>,
    ) -> Option<Fault> {
        let copied = look.and_then(|look| look.copy_bytes);
        let position = (bytes, copied);
        let excused = !reader_waits || look.is_some_and(|look| look.waiting_for_lock.is_some());
        let since = match self.moved {
            Some((since, earlier)) if earlier == position && !excused => since,
            _ => now,
        };
        self.moved = Some((since, position));
        let still = now.saturating_duration_since(since);
        (still >= self.limit).then(|| {
            Fault::transient(
                Code::DumpStalled,
                format!("pg_dump wrote no byte for {} s", still.as_secs()),
            )
            .hint(
                "Check pg_dump's session in pg_stat_activity while it runs; raise stall_timeout if the \
                 database needs longer for its catalog.",
            )
        })
    }
}

/// Whether two observations saw the same wait. The server records the start of a wait a moment after it.
fn is_same_wait(earlier: &LockWait, later: &LockWait) -> bool {
    earlier.relation == later.relation
        && (earlier.since_epoch_us.is_none() || earlier.since_epoch_us == later.since_epoch_us)
}

fn lock_not_available(wait: &LockWait, waited: Duration, tells_statements: bool) -> Fault {
    let relation = wait.relation.as_deref().unwrap_or("a relation");
    let mut message = format!(
        "pg_dump waited {} s for a lock on {relation}",
        waited.as_secs()
    );
    for (index, blocker) in wait.blockers.iter().enumerate() {
        message.push_str(if index == 0 {
            ", blocked by "
        } else {
            ", and by "
        });
        message.push_str(&describe(blocker, tells_statements));
    }
    Fault::transient(Code::LockNotAvailable, message).hint(
        "Let the blocking transaction end, back up at another time, or raise the target's lock_wait_timeout.",
    )
}

fn describe(blocker: &Blocker, tells_statement: bool) -> String {
    if blocker.pid == 0 {
        return "a prepared transaction".to_owned();
    }
    let mut text = format!("pid {}", blocker.pid);
    let about: Vec<&str> = [blocker.user.as_deref(), blocker.state.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    if !about.is_empty() {
        text.push_str(&format!(" ({})", about.join(", ")));
    }
    if let Some(query) = &blocker.query
        && tells_statement
    {
        // Somebody else's statement: it may set a password, and may be of many lines.
        let query = Redactor::default().redact(query);
        let query: Vec<&str> = query.split_whitespace().collect();
        text.push_str(&format!(": {}", query.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests;
