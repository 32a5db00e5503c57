//! The state machine under random events: several simulated workers, some of whose leases are stale, against
//! a real database. After each event every invariant of the queue is looked at.

use std::collections::BTreeMap;

use pgdumpd::queue::{Beat, ClaimedJob, CopyOrder, Finished, Lease, Outcome, Success, Work};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;
use uuid::Uuid;

use crate::copies::{storages, success_with};
use crate::fixture::{Fixture, LEASE, failure, fixture, names, progress, success};

const TARGETS: &[&str] = &["a", "b", "c"];
/// Where each backup is copied to, and with the first storage all there are.
const COPIES: [&str; 2] = ["offsite", "tape"];
const STORAGES: [&str; 3] = ["local", "offsite", "tape"];
const MAX_RESCUES: u16 = 2;
/// Rounds times events: about 20 s. Raise PGDUMPD_MODEL_ROUNDS for a longer search.
const ROUNDS: u32 = 12;
const EVENTS: usize = 120;

/// Something happens. Numbers choose among what there is, whatever that is by then.
#[derive(Debug, Clone)]
enum Event {
    Enqueue {
        target: usize,
        priority: u8,
        max_attempts: u8,
    },
    Claim {
        worker: usize,
    },
    ClaimCopy {
        worker: usize,
    },
    /// A stored copy of a backup is deleted.
    Delete {
        backup: usize,
    },
    Heartbeat {
        lease: usize,
        percent: f32,
    },
    NoteUpload {
        lease: usize,
    },
    Cancel {
        job: usize,
    },
    Expire {
        lease: usize,
    },
    Reap,
    Due,
    Finish {
        lease: usize,
        how: How,
        twice: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Succeeded,
    Transient,
    Permanent,
    Cancelled,
    Released,
}

fn event() -> impl Strategy<Value = Event> {
    let how = prop_oneof![
        4 => Just(How::Succeeded),
        3 => Just(How::Transient),
        1 => Just(How::Permanent),
        1 => Just(How::Cancelled),
        2 => Just(How::Released),
    ];
    prop_oneof![
        3 => (0..TARGETS.len(), 1..=5_u8, 1..=4_u8)
            .prop_map(|(target, priority, max_attempts)| Event::Enqueue { target, priority, max_attempts }),
        5 => (0..3_usize).prop_map(|worker| Event::Claim { worker }),
        5 => (0..3_usize).prop_map(|worker| Event::ClaimCopy { worker }),
        1 => any::<usize>().prop_map(|backup| Event::Delete { backup }),
        4 => (any::<usize>(), -10.0..200.0_f32).prop_map(|(lease, percent)| Event::Heartbeat { lease, percent }),
        1 => any::<usize>().prop_map(|lease| Event::NoteUpload { lease }),
        1 => any::<usize>().prop_map(|job| Event::Cancel { job }),
        2 => any::<usize>().prop_map(|lease| Event::Expire { lease }),
        2 => Just(Event::Reap),
        2 => Just(Event::Due),
        4 => (any::<usize>(), how, any::<bool>()).prop_map(|(lease, how, twice)| Event::Finish { lease, how, twice }),
    ]
}

/// What the invariants are about.
#[derive(Debug, Clone, PartialEq)]
struct Job {
    id: Uuid,
    copy_of: Option<Uuid>,
    copy_to: Option<String>,
    target: String,
    state: String,
    attempt: i16,
    max_attempts: i16,
    rescues: i16,
    progress: f32,
    lease_token: Option<Uuid>,
    finished_at: Option<chrono::DateTime<chrono::Utc>>,
    whole: String,
}

#[derive(Default)]
struct World {
    jobs: BTreeMap<Uuid, Job>,
    /// Every lease that was ever given, stale ones too; a quarter of the events goes to any of them.
    leases: Vec<Lease>,
}

#[test]
fn no_order_of_events_breaks_an_invariant() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rounds = std::env::var("PGDUMPD_MODEL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config::default());
    let f = runtime.block_on(fixture());
    let mut seen = BTreeMap::<&str, u32>::new();
    // The search is worth something only if it went everywhere: by chance it may take longer.
    let everywhere = [
        "claimed",
        "claimed a copy",
        "copied",
        "deleted",
        "renewed",
        "renewed with cancel",
        "stale",
        "reaped",
        "ended",
        "requeued",
        "repeated",
    ];
    let is_everywhere =
        |seen: &BTreeMap<&str, u32>| everywhere.iter().all(|way| seen.contains_key(way));
    let mut round = 0;
    while round < rounds || (rounds >= ROUNDS && round < 10 * rounds && !is_everywhere(&seen)) {
        let events = proptest::collection::vec(event(), EVENTS)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        runtime.block_on(async {
            f.db.execute("TRUNCATE pgdumpd.backup_jobs CASCADE").await;
            let mut world = World::default();
            for (step, event) in events.iter().enumerate() {
                let before = world.jobs.clone();
                let done = world.apply(&f, event).await;
                let says = done.unwrap_or_else(|error| {
                    panic!(
                        "round {round}, step {step}: {error}\n{:#?}",
                        &events[..=step]
                    )
                });
                *seen.entry(says).or_default() += 1;
                world.jobs = read(&f).await;
                if let Err(broken) = check(&f, &before, &world.jobs).await {
                    panic!(
                        "round {round}, step {step}: {broken}\n{:#?}",
                        &events[..=step]
                    );
                }
            }
        });
        round += 1;
    }
    if rounds >= ROUNDS {
        let never = everywhere.iter().filter(|way| !seen.contains_key(**way));
        let never: Vec<_> = never.collect();
        assert!(never.is_empty(), "it never came to {never:?}: {seen:?}");
    }
}

impl World {
    fn lease(&self, number: usize) -> Option<Lease> {
        let live: Vec<&Lease> = self
            .leases
            .iter()
            .filter(|lease| self.is_live(lease))
            .collect();
        if number.is_multiple_of(4) || live.is_empty() {
            return self
                .leases
                .get(number.checked_rem(self.leases.len())?)
                .cloned();
        }
        live.get(number % live.len()).map(|lease| (*lease).clone())
    }

    fn is_live(&self, lease: &Lease) -> bool {
        let job = self.jobs.get(&lease.job);
        job.is_some_and(|job| job.state == "running" && job.lease_token == Some(lease.token))
    }

    /// Does it, compares the answer with what the model expects, and says what happened.
    async fn apply(&mut self, f: &Fixture, event: &Event) -> Result<&'static str, String> {
        match event {
            Event::Enqueue {
                target,
                priority,
                max_attempts,
            } => {
                let (priority, attempts) = (priority.to_string(), max_attempts.to_string());
                f.enqueue(
                    TARGETS[*target],
                    &[("priority", &priority), ("max_attempts", &attempts)],
                )
                .await;
                Ok("enqueued")
            }
            Event::Claim { worker } => {
                let worker = Uuid::from_u128(*worker as u128 + 1);
                let claimed = f
                    .queue
                    .claim(worker, &names(TARGETS), LEASE)
                    .await
                    .map_err(|error| error.to_string())?;
                let Some(job) = claimed else {
                    return Ok("nothing to claim");
                };
                if job.work != Work::Backup {
                    return Err(format!("claimed {job:?} as a backup"));
                }
                self.take(job)?;
                Ok("claimed")
            }
            Event::ClaimCopy { worker } => {
                let worker = Uuid::from_u128(*worker as u128 + 1);
                let claimed = f
                    .queue
                    .claim_copy(worker, &storages(&STORAGES), LEASE)
                    .await
                    .map_err(|error| error.to_string())?;
                let Some(job) = claimed else {
                    return Ok("nothing to copy");
                };
                let before = &self.jobs[&job.lease.job];
                let of = before.copy_of.zip(before.copy_to.clone());
                let order = of.map(|(of, to)| Work::Copy(CopyOrder { of, to }));
                if order.as_ref() != Some(&job.work) {
                    return Err(format!("claimed {before:?} as {job:?}"));
                }
                self.take(job)?;
                Ok("claimed a copy")
            }
            Event::Delete { backup } => {
                let rows: Vec<(Uuid, String)> = sqlx::query_as(
                    "SELECT storage_id, object_key FROM pgdumpd.backup_copies WHERE state = 'stored' ORDER BY object_key",
                )
                .fetch_all(&f.admin)
                .await
                .unwrap();
                let Some(number) = backup.checked_rem(rows.len()) else {
                    return Ok("nothing to delete");
                };
                let (storage, key) = &rows[number];
                let recorded = f.queue.mark_copy_deleted(*storage, key).await;
                match recorded.map_err(|error| error.to_string())? {
                    true => Ok("deleted"),
                    false => Err(format!("{key} could not be recorded as deleted")),
                }
            }
            Event::Heartbeat { lease, percent } => {
                let Some(lease) = self.lease(*lease) else {
                    return Ok("no lease");
                };
                match f
                    .queue
                    .heartbeat(&lease, LEASE, &progress(*percent))
                    .await
                    .map_err(|error| error.to_string())?
                {
                    Beat::Renewed { cancel } if self.is_live(&lease) => Ok(if cancel {
                        "renewed with cancel"
                    } else {
                        "renewed"
                    }),
                    Beat::LeaseLost if !self.is_live(&lease) => self.nothing_changed(f).await,
                    other => Err(format!("{other:?} for {lease:?}")),
                }
            }
            Event::NoteUpload { lease } => {
                let Some(lease) = self.lease(*lease) else {
                    return Ok("no lease");
                };
                let recorded = f
                    .queue
                    .record_upload(&lease, "local", Uuid::nil(), "key", None)
                    .await;
                if recorded.map_err(|error| error.to_string())? == self.is_live(&lease) {
                    Ok("recorded")
                } else {
                    Err(format!("an upload of {lease:?} was recorded wrongly"))
                }
            }
            Event::Cancel { job } => {
                let Some(number) = job.checked_rem(self.jobs.len()) else {
                    return Ok("no job");
                };
                let Some(job) = self.jobs.values().nth(number) else {
                    return Ok("no job");
                };
                let expected = match job.state.as_str() {
                    "queued" => "cancelled".to_owned(),
                    "running" => "cancelling".to_owned(),
                    ended => format!("already_{ended}"),
                };
                let said = f.cancel(job.id).await;
                if said == expected {
                    Ok("cancelled")
                } else {
                    Err(format!("cancel said {said} of {job:?}"))
                }
            }
            Event::Expire { lease } => {
                let Some(lease) = self.lease(*lease).filter(|lease| self.is_live(lease)) else {
                    return Ok("no lease");
                };
                f.expire(lease.job).await;
                Ok("expired")
            }
            Event::Reap => {
                let changed = f
                    .queue
                    .reap(MAX_RESCUES)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(if changed > 0 {
                    "reaped"
                } else {
                    "nothing to reap"
                })
            }
            Event::Due => {
                f.make_due().await;
                Ok("due")
            }
            Event::Finish { lease, how, twice } => {
                let Some(lease) = self.lease(*lease) else {
                    return Ok("no lease");
                };
                let live = self.is_live(&lease);
                let copy = self
                    .jobs
                    .get(&lease.job)
                    .filter(|job| job.copy_of.is_some());
                let outcome = how.outcome(&lease, copy);
                let first = f
                    .queue
                    .finish(&lease, &outcome)
                    .await
                    .map_err(|error| error.to_string())?;
                if !live {
                    // It ended before by this token, or was lost: whatever it says, nothing changes.
                    return self.nothing_changed(f).await;
                }
                self.jobs = read(f).await;
                how.fits(&first, &self.jobs[&lease.job])?;
                if *twice {
                    let again = f
                        .queue
                        .finish(&lease, &outcome)
                        .await
                        .map_err(|error| error.to_string())?;
                    if again != first {
                        return Err(format!("{first:?}, and the second time {again:?}"));
                    }
                    self.nothing_changed(f).await?;
                    if !matches!(outcome, Outcome::Copied(_)) {
                        return Ok("repeated");
                    }
                }
                if matches!(outcome, Outcome::Copied(_)) {
                    return Ok("copied");
                }
                Ok(if matches!(first, Finished::Requeued { .. }) {
                    "requeued"
                } else {
                    "ended"
                })
            }
        }
    }

    /// Notes the lease of a job that was queued.
    fn take(&mut self, job: ClaimedJob) -> Result<(), String> {
        let before = &self.jobs[&job.lease.job];
        if before.state != "queued" || job.lease.attempt != before.attempt + 1 {
            return Err(format!("claimed {before:?} as {:?}", job.lease));
        }
        self.leases.push(job.lease);
        Ok(())
    }

    async fn nothing_changed(&self, f: &Fixture) -> Result<&'static str, String> {
        let now = read(f).await;
        if now == self.jobs {
            Ok("stale")
        } else {
            Err(format!("a stale lease changed {:?} to {now:?}", self.jobs))
        }
    }
}

impl How {
    /// Of a lease of a backup, or of this copy. No two leases share a key.
    fn outcome(self, lease: &Lease, copy: Option<&Job>) -> Outcome {
        let key = format!("{}.dump", lease.token);
        match self {
            Self::Succeeded => match copy.and_then(|copy| copy.copy_to.as_deref()) {
                Some(to) => Outcome::Copied(Box::new(Success {
                    storage: to.to_owned(),
                    storage_id: Uuid::from_u128(if to == COPIES[0] { 8 } else { 9 }),
                    object_key: key,
                    ..success()
                })),
                None => Outcome::Succeeded(Box::new(Success {
                    object_key: key,
                    ..success_with(&COPIES)
                })),
            },
            Self::Transient => Outcome::Failed(failure(true)),
            Self::Permanent => Outcome::Failed(failure(false)),
            Self::Cancelled => Outcome::Cancelled,
            Self::Released => Outcome::Released,
        }
    }

    /// Whether a live lease's finish may have said this, and the row says the same.
    fn fits(self, finished: &Finished, job: &Job) -> Result<(), String> {
        let legal = match (self, finished) {
            (Self::Succeeded, Finished::Ended("succeeded")) => true,
            (Self::Transient, Finished::Requeued { .. }) => job.attempt < job.max_attempts,
            (Self::Transient, Finished::Ended("failed")) => job.attempt == job.max_attempts,
            (Self::Permanent, Finished::Ended("failed"))
            | (Self::Released, Finished::Requeued { .. }) => true,
            (_, Finished::Ended("cancelled")) => self != Self::Succeeded,
            _ => false,
        };
        let state = match finished {
            Finished::Ended(state) => state,
            Finished::Requeued { .. } => "queued",
            Finished::LeaseLost => "lost",
        };
        if legal && job.state == state {
            Ok(())
        } else {
            Err(format!("{self:?} became {finished:?}: {job:?}"))
        }
    }
}

async fn read(f: &Fixture) -> BTreeMap<Uuid, Job> {
    let sql = "SELECT j.*, to_jsonb(j)::text AS whole FROM pgdumpd.backup_jobs AS j";
    let rows = sqlx::query(sql).fetch_all(&f.admin).await.unwrap();
    let jobs = rows.iter().map(|row| Job {
        id: row.get("id"),
        copy_of: row.get("copy_of"),
        copy_to: row.get("copy_to"),
        target: row.get("target"),
        state: row.get("state"),
        attempt: row.get("attempt"),
        max_attempts: row.get("max_attempts"),
        rescues: row.get("rescues"),
        progress: row.get("progress"),
        lease_token: row.get("lease_token"),
        finished_at: row.get("finished_at"),
        whole: row.get("whole"),
    });
    jobs.map(|job| (job.id, job)).collect()
}

async fn check(
    f: &Fixture,
    before: &BTreeMap<Uuid, Job>,
    after: &BTreeMap<Uuid, Job>,
) -> Result<(), String> {
    for job in after.values() {
        let ok = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{what}: {job:?}"))
            }
        };
        ok(
            job.attempt <= job.max_attempts,
            "more attempts than allowed",
        )?;
        ok(job.rescues <= job.attempt, "more rescues than attempts")?;
        ok(
            (job.progress == 100.0) == (job.state == "succeeded"),
            "100 without success",
        )?;
        ok(
            job.finished_at.is_some() == !matches!(job.state.as_str(), "queued" | "running"),
            "an end without a time",
        )?;
        let twins = after.values().filter(|other| {
            let kin = match job.copy_of {
                None => other.copy_of.is_none() && other.target == job.target,
                Some(_) => (other.copy_of, &other.copy_to) == (job.copy_of, &job.copy_to),
            };
            kin && other.state == "running"
        });
        ok(
            job.state != "running" || twins.count() == 1,
            "two running backups of one target, or copies of one backup to one storage",
        )?;
        let copies = after.values().filter(|copy| copy.copy_of == Some(job.id));
        let wanted = if job.state == "succeeded" && job.copy_of.is_none() {
            COPIES.len()
        } else {
            0
        };
        ok(
            copies.count() == wanted,
            "a success asks for each copy once, and nothing else does",
        )?;
        let Some(old) = before.get(&job.id) else {
            ok(
                job.state == "queued" && job.attempt == 0,
                "a new job is queued",
            )?;
            continue;
        };
        ok(
            old.finished_at.is_none() || old.whole == job.whole,
            "an ended job changed",
        )?;
        ok(
            old.lease_token != job.lease_token
                || old.lease_token.is_none()
                || job.progress >= old.progress,
            "the percentage fell",
        )?;
        let legal = matches!(
            (old.state.as_str(), job.state.as_str()),
            ("queued", "queued" | "running" | "cancelled")
                | ("running", _)
                | ("succeeded" | "failed" | "cancelled", _)
        );
        ok(legal, "an illegal step")?;
    }
    if before.keys().any(|id| !after.contains_key(id)) {
        return Err("a job vanished".into());
    }
    attempts_agree(f).await
}

/// A running job has exactly its own attempt running, an ended one none; a succeeded job has one succeeded attempt, and a
/// backup as many stored or deleted copies as it and its copies have succeeded; the number of counted attempts is the
/// job's own.
async fn attempts_agree(f: &Fixture) -> Result<(), String> {
    let sql = "
        SELECT j.id::text, j.state FROM pgdumpd.backup_jobs AS j
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE a.outcome = 'running') AS running,
                   count(*) FILTER (WHERE a.outcome = 'running' AND a.lease_token = j.lease_token) AS mine,
                   count(*) FILTER (WHERE a.outcome = 'succeeded') AS succeeded,
                   count(*) FILTER (WHERE a.outcome = 'lost') AS lost,
                   count(*) FILTER (WHERE a.outcome <> 'released') AS counted
            FROM pgdumpd.backup_attempts AS a WHERE a.job_id = j.id
        ) AS n
        CROSS JOIN LATERAL (SELECT count(*) AS copies FROM pgdumpd.backup_copies AS c WHERE c.job_id = j.id) AS c
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE j.kind = 'backup' AND k.state = 'succeeded') AS stored
            FROM pgdumpd.backup_jobs AS k WHERE k.id = j.id OR k.copy_of = j.id
        ) AS k
        WHERE n.running <> (j.state = 'running')::int OR n.mine <> n.running
           OR n.succeeded <> (j.state = 'succeeded')::int OR c.copies <> k.stored
           OR n.lost <> j.rescues OR n.counted <> j.attempt";
    let rows = sqlx::query(sql).fetch_all(&f.admin).await.unwrap();
    match rows.first() {
        None => Ok(()),
        Some(row) => Err(format!(
            "attempts do not agree with job {} ({})",
            row.get::<String, _>(0),
            row.get::<String, _>(1)
        )),
    }
}
