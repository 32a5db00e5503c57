//! Any number of retentions, each with a view of any age, between everything else that happens to backups: whatever the
//! order of events, the newest good ones of each scope stay.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use pgdumpd::queue::{ClaimedJob, KeptBackup, KnownBackup, Outcome, Queue, Success, Work};
use pgdumpd::retention::{DumpedDatabase, Owner, Rules, Scope, Standing};
use pgdumpd::store::Filters;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use crate::copies::storages;
use crate::fixture::{Fixture, LEASE, config, fixture, success};

const STORAGES: [Uuid; 2] = [Uuid::from_u128(7), Uuid::from_u128(8)];
const NAMES: [&str; 2] = ["local", "offsite"];
const DAEMONS: usize = 4;
/// Rounds times events: about 20 s. Raise PGDUMPD_MODEL_ROUNDS for a longer search.
const ROUNDS: u32 = 10;
const EVENTS: usize = 250;

#[derive(Debug, Clone)]
enum Event {
    /// Somebody asks for a backup of this scope, to be copied or not.
    Ask {
        scope: usize,
    },
    /// The same, and a daemon claims a job, stores its backup, or adopts what an earlier attempt stored, and notes it; or dies before
    /// that, so that the job is queued again, or has failed.
    Work {
        scope: usize,
        dies: bool,
        gives_up: bool,
        copied: bool,
    },
    /// `fsck --repair` notes what a storage holds of a job that has ended.
    Repair,
    ClaimCopy,
    FinishCopy {
        which: usize,
    },
    /// The database's clock is set back by hours.
    ClockBack,
    /// The queue is lost, and rebuilt from what the storages hold.
    Rebuild,
    /// A person deletes a backup.
    Remove {
        which: usize,
    },
    /// A daemon lists a storage and asks the queue what it notes there.
    Look {
        daemon: usize,
        storage: usize,
        keep_last: u32,
    },
    /// It deletes the next backup that it takes for one that may go; or dies in the midst of that.
    Delete {
        daemon: usize,
        dies: bool,
    },
    /// Some daemon finishes what was begun.
    FinishBegun {
        storage: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let daemon = 0..DAEMONS;
    prop_oneof![
        4 => (0..4_usize).prop_map(|scope| Event::Ask { scope: scope / 2 }),
        16 => (0..4_usize, prop::bool::weighted(0.3), any::<bool>(), any::<bool>())
            .prop_map(|(scope, dies, gives_up, copied)| Event::Work {
                scope: scope / 2,
                dies,
                gives_up,
                copied,
            }),
        3 => Just(Event::Repair),
        6 => Just(Event::ClaimCopy),
        6 => any::<usize>().prop_map(|which| Event::FinishCopy { which }),
        1 => Just(Event::ClockBack),
        1 => Just(Event::Rebuild),
        1 => any::<usize>().prop_map(|which| Event::Remove { which }),
        8 => (daemon, 0..2_usize, 1..4_u32)
            .prop_map(|(daemon, storage, keep_last)| Event::Look { daemon, storage, keep_last }),
        24 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(daemon, dies)| Event::Delete { daemon, dies }),
        1 => (0..2_usize).prop_map(|storage| Event::FinishBegun { storage }),
    ]
}

/// What a storage holds, as its manifest says it.
#[derive(Debug, Clone)]
struct Object {
    job: Uuid,
    spec: Value,
    claimed_at: DateTime<Utc>,
}

/// What a daemon is about to delete.
#[derive(Debug, Clone)]
struct Intent {
    storage: usize,
    key: String,
    kept: Vec<String>,
}

struct Model<'a> {
    f: &'a Fixture,
    owner: &'a Queue,
    /// By storage and key.
    shelf: [BTreeMap<String, Object>; 2],
    copying: Vec<ClaimedJob>,
    intents: [Vec<Intent>; DAEMONS],
}

fn spec_of(scope: usize) -> Value {
    match scope {
        0 => json!({}),
        other => json!({ "tables": [format!("t{other}")] }),
    }
}

fn scope_of(recorded: &KeptBackup) -> Scope {
    let filters: Filters = serde_json::from_value(recorded.spec.clone()).unwrap();
    let owner = Owner {
        producer: recorded.producer.clone(),
        database: DumpedDatabase {
            system_identifier: "1".into(),
            name: "shop".into(),
        },
    };
    Scope::new(owner, filters != Filters::default(), filters)
}

#[test]
fn whatever_any_daemon_believes_the_newest_backups_of_each_scope_stay() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rounds = std::env::var("PGDUMPD_MODEL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config::default());
    let mut seen = BTreeMap::<&str, u32>::new();
    let f = runtime.block_on(fixture());
    let owner = runtime
        .block_on(Queue::connect(&config(&f.db.url())))
        .unwrap();
    for round in 0..rounds {
        let events = prop::collection::vec(event(), EVENTS)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        runtime.block_on(async {
            f.db.execute("TRUNCATE pgdumpd.backup_jobs CASCADE").await;
            let mut model = Model {
                f: &f,
                owner: &owner,
                shelf: Default::default(),
                copying: Vec::new(),
                intents: Default::default(),
            };
            for (step, event) in events.iter().enumerate() {
                match model.apply(event).await {
                    Ok(says) => *seen.entry(says).or_default() += 1,
                    Err(broken) => panic!(
                        "round {round}, step {step}: {broken}\n{:#?}",
                        &events[..=step]
                    ),
                }
                model.check().await;
            }
        });
    }
    // The search is worth something only if it went everywhere.
    if rounds >= ROUNDS {
        for way in [
            "stored",
            "adopted",
            "died",
            "repaired",
            "copied",
            "rebuilt",
            "looked",
            "deleted",
            "refused",
            "left in the midst of it",
        ] {
            assert!(
                seen.contains_key(way),
                "it never came to \"{way}\": {seen:?}"
            );
        }
    }
}

impl Model<'_> {
    /// Does it, and says what happened.
    async fn apply(&mut self, event: &Event) -> Result<&'static str, String> {
        match event {
            Event::Ask { scope } => {
                self.ask(*scope).await;
                Ok("asked")
            }
            Event::Work {
                scope,
                dies,
                gives_up,
                copied,
            } => {
                self.ask(*scope).await;
                Ok(self.work(*dies, *gives_up, *copied).await)
            }
            Event::Repair => Ok(self.repair().await),
            Event::ClaimCopy => Ok(self.claim_copy().await),
            Event::FinishCopy { which } => Ok(self.finish_copy(*which).await),
            Event::ClockBack => {
                self.clock_back().await;
                Ok("set the clock back")
            }
            Event::Rebuild => {
                self.rebuild().await;
                Ok("rebuilt")
            }
            Event::Remove { which } => Ok(self.remove(*which).await),
            Event::Look {
                daemon,
                storage,
                keep_last,
            } => {
                self.look(*daemon, *storage, *keep_last).await;
                Ok("looked")
            }
            Event::Delete { daemon, dies } => self.delete(*daemon, *dies).await,
            Event::FinishBegun { storage } => Ok(self.finish_begun(*storage).await),
        }
    }

    async fn ask(&self, scope: usize) {
        let spec = format!("'{}'", spec_of(scope));
        self.f.enqueue("app", &[("spec", &spec)]).await;
    }

    async fn work(&mut self, dies: bool, gives_up: bool, copied: bool) -> &'static str {
        self.f.make_due().await;
        let Some(job) = self.f.claim(&["app"]).await else {
            return "nothing to do";
        };
        let earlier = job.earlier.iter().filter_map(|e| e.object_key.clone());
        let adopted = earlier
            .into_iter()
            .find(|key| self.shelf[0].contains_key(key));
        let key = match &adopted {
            Some(key) => key.clone(),
            None => self.store(&job).await,
        };
        if dies {
            self.f.expire(job.lease.job).await;
            let rescues = if gives_up { 0 } else { 5 };
            self.f.queue.reap(rescues).await.unwrap();
            return "died";
        }
        let further: &[&str] = if copied { &["offsite"] } else { &[] };
        self.f.ends(&job, &key, further).await;
        if adopted.is_some() {
            "adopted"
        } else {
            "stored"
        }
    }

    async fn store(&mut self, job: &ClaimedJob) -> String {
        let key = job.lease.token.to_string();
        let recorded = self
            .f
            .queue
            .record_upload(&job.lease, NAMES[0], STORAGES[0], &key, None)
            .await;
        assert!(recorded.unwrap());
        let object = Object {
            job: job.lease.job,
            spec: job.spec.clone(),
            claimed_at: job.claimed_at,
        };
        self.shelf[0].insert(key.clone(), object);
        key
    }

    async fn repair(&mut self) -> &'static str {
        for (number, shelf) in self.shelf.iter().enumerate() {
            for (key, object) in shelf {
                let (name, id) = (NAMES[number], STORAGES[number]);
                let recorded = self.f.queue.record_copy(object.job, name, id, key, 5);
                if recorded.await.unwrap() {
                    return "repaired";
                }
            }
        }
        "nothing to repair"
    }

    async fn claim_copy(&mut self) -> &'static str {
        let served = storages(&NAMES);
        let claimed = self
            .f
            .queue
            .claim_copy(self.f.worker, &served, LEASE)
            .await
            .unwrap();
        match claimed {
            Some(job) => {
                self.copying.push(job);
                "began a copy"
            }
            None => "nothing to copy",
        }
    }

    async fn finish_copy(&mut self, which: usize) -> &'static str {
        let Some(which) = which.checked_rem(self.copying.len()) else {
            return "no copy";
        };
        let job = self.copying.swap_remove(which);
        let Work::Copy(order) = &job.work else {
            return "no copy";
        };
        let held = self.f.queue.copies_of(order.of).await.unwrap();
        let source = held.iter().find_map(|copy| {
            let number = STORAGES.iter().position(|id| *id == copy.storage_id)?;
            self.shelf[number].get(&copy.object_key).cloned()
        });
        let Some(object) = source else {
            let moot = Outcome::Moot("nothing to copy".into());
            self.f.queue.finish(&job.lease, &moot).await.unwrap();
            return "copied nothing";
        };
        let key = job.lease.token.to_string();
        self.shelf[1].insert(key.clone(), object);
        let copied = Success {
            storage: NAMES[1].into(),
            storage_id: STORAGES[1],
            object_key: key,
            ..success()
        };
        let outcome = Outcome::Copied(Box::new(copied));
        self.f.queue.finish(&job.lease, &outcome).await.unwrap();
        "copied"
    }

    /// All that was claimed so far lies in the future by some hours: the same as a clock that was set back.
    async fn clock_back(&mut self) {
        self.f
            .db
            .execute(
                "UPDATE pgdumpd.backup_attempts SET started_at = started_at + interval '2 hours';
                 UPDATE pgdumpd.backup_copies SET claimed_at = claimed_at + interval '2 hours'",
            )
            .await;
        for shelf in &mut self.shelf {
            for object in shelf.values_mut() {
                object.claimed_at += TimeDelta::hours(2);
            }
        }
    }

    async fn rebuild(&mut self) {
        self.f
            .db
            .execute("TRUNCATE pgdumpd.backup_jobs CASCADE")
            .await;
        self.copying.clear();
        let mut known = Vec::new();
        for (number, shelf) in self.shelf.iter().enumerate() {
            for (key, object) in shelf {
                known.push(KnownBackup {
                    id: object.job,
                    target: "app".into(),
                    spec: object.spec.clone(),
                    requested_by: "postgres".into(),
                    attempt: 1,
                    lease_token: Uuid::new_v4(),
                    claimed_at: Some(object.claimed_at),
                    // Of a worker whose clock says anything.
                    database_name: "shop".into(),
                    system_identifier: None,
                    started_at: Utc::now() - TimeDelta::hours(i64::from(key.as_bytes()[0])),
                    finished_at: Utc::now(),
                    size_bytes: 5,
                    sha256: "ab".repeat(32),
                    tables: None,
                    rows: None,
                    dump_bytes: 5,
                    warnings: json!([]),
                    warnings_total: 0,
                    storage: NAMES[number].into(),
                    storage_id: STORAGES[number],
                    object_key: key.clone(),
                    object_token: Uuid::new_v4(),
                });
            }
        }
        self.owner.rebuild(self.owner.id(), &known).await.unwrap();
    }

    async fn remove(&mut self, which: usize) -> &'static str {
        let keys: Vec<String> = self.shelf[0].keys().cloned().collect();
        let Some(which) = which.checked_rem(keys.len()) else {
            return "nothing to remove";
        };
        let key = &keys[which];
        // As `pgdumpd delete` does: first the backup, then the row.
        self.shelf[0].remove(key);
        let recorded = self.f.queue.mark_copy_deleted(STORAGES[0], key);
        recorded.await.unwrap();
        "removed"
    }

    async fn look(&mut self, daemon: usize, storage: usize, keep_last: u32) {
        let listed: BTreeSet<String> = self.shelf[storage].keys().cloned().collect();
        let recorded = self.f.queue.kept_backups("app", STORAGES[storage]).await;
        let recorded: Vec<KeptBackup> = recorded
            .unwrap()
            .into_iter()
            .filter(|recorded| recorded.claimed_at.is_some() && !recorded.deleting)
            .filter(|recorded| listed.contains(&recorded.object_key))
            .collect();
        let candidates: Vec<(Scope, Standing)> = recorded
            .iter()
            .map(|recorded| (scope_of(recorded), Standing::Good))
            .collect();
        let expired = Rules {
            keep_last,
            keep_partial: None,
        }
        .expired(&candidates);
        let key = |index: &usize| recorded[*index].object_key.clone();
        self.intents[daemon] = (0..recorded.len())
            .filter_map(|index| {
                let grounds = expired[index].as_ref()?;
                Some(Intent {
                    storage,
                    key: key(&index),
                    kept: grounds.kept.iter().map(key).collect(),
                })
            })
            .collect();
    }

    async fn delete(&mut self, daemon: usize, dies: bool) -> Result<&'static str, String> {
        // One of the daemons that want to delete something.
        let mut wanting: Vec<_> = self.intents.iter_mut().filter(|i| !i.is_empty()).collect();
        let Some(which) = daemon.checked_rem(wanting.len()) else {
            return Ok("nothing to delete");
        };
        let Some(intent) = wanting[which].pop() else {
            return Ok("nothing to delete");
        };
        let storage_id = STORAGES[intent.storage];
        // What is true at this moment, whatever the daemon believes.
        let recorded = self.f.queue.kept_backups("app", storage_id).await.unwrap();
        let at_least = u32::try_from(intent.kept.len()).unwrap();
        let begun = self
            .f
            .queue
            .begin_deletion(storage_id, &intent.key, &intent.kept, at_least)
            .await
            .unwrap();
        if !begun {
            return Ok("refused");
        }
        let at = recorded
            .iter()
            .position(|recorded| recorded.object_key == intent.key);
        let at = at.ok_or("it deletes what is not recorded")?;
        let scope = scope_of(&recorded[at]);
        let newer = recorded[..at].iter().filter(|newer| {
            newer.claimed_at.is_some()
                && !newer.deleting
                && scope_of(newer) == scope
                && self.shelf[intent.storage].contains_key(&newer.object_key)
        });
        let newer = newer.count();
        if recorded[at].claimed_at.is_none() || newer < intent.kept.len() {
            return Err(format!(
                "{intent:?} was deleted while {newer} newer ones were stored: {recorded:#?}"
            ));
        }
        if dies {
            return Ok("left in the midst of it");
        }
        self.carry_out(intent.storage, &intent.key).await;
        Ok("deleted")
    }

    async fn carry_out(&mut self, storage: usize, key: &str) {
        self.shelf[storage].remove(key);
        let recorded = self.f.queue.mark_copy_deleted(STORAGES[storage], key);
        recorded.await.unwrap();
    }

    async fn finish_begun(&mut self, storage: usize) -> &'static str {
        let recorded = self.f.queue.kept_backups("app", STORAGES[storage]).await;
        for recorded in recorded
            .unwrap()
            .iter()
            .filter(|recorded| recorded.deleting)
        {
            self.carry_out(storage, &recorded.object_key).await;
        }
        "finished what was begun"
    }

    /// What is recorded as stored is there: nobody has deleted it.
    async fn check(&self) {
        let rows = sqlx::query(
            "SELECT storage_id, object_key FROM pgdumpd.backup_copies WHERE state = 'stored'",
        )
        .fetch_all(&self.f.admin)
        .await
        .unwrap();
        for row in rows {
            let (id, key): (Uuid, String) = (row.get("storage_id"), row.get("object_key"));
            let number = STORAGES.iter().position(|known| *known == id).unwrap();
            assert!(
                self.shelf[number].contains_key(&key),
                "{key} is recorded as stored and gone"
            );
        }
    }
}
