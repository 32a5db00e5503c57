//! `keep_last` under everything at once: several daemons that are killed and stopped at random, two storages whose lists are
//! late at random, several scopes. After each backup the newest good ones of every scope are in every storage.

use std::collections::{BTreeMap, BTreeSet};

use pgdumpd::config::{Config, Sources};
use pgdumpd::store::Storage;
use pgdumpd_client::{BackupRequest, BackupSpec};
use pgdumpd_testkit::{FaultyS3, Role, S3Fault, S3Operation, eventually, s3_server};
use rustix::process::Signal;
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

const STORAGES: [&str; 2] = ["local", "offsite"];
/// Jobs that wait or run at any time.
const IN_FLIGHT: usize = 3;
/// No list is late by more than so many milliseconds.
const LATEST_LIST: u64 = 1500;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Soak {
    daemons: usize,
    keep_last: usize,
    backups: usize,
    seed: u64,
}

/// Numbers that a seed repeats: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_in(&mut self, end: u64) -> bool {
        self.below(end) == 0
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// One row of `backup_copies`, in the queue's order, newest first.
#[derive(Debug, Clone)]
struct Recorded {
    key: String,
    state: String,
    storage_id: Uuid,
    /// Producer and filters.
    scope: String,
}

struct Soaking {
    world: World,
    faults: FaultyS3,
    daemons: Vec<Daemon>,
    stopped: BTreeSet<usize>,
    producer: Role,
    dice: Dice,
    soak: Soak,
    /// Straight to the server, whatever meets the daemons' requests.
    storages: Vec<Storage>,
}

async fn begin(soak: Soak) -> Soaking {
    let server = s3_server().await;
    let bucket = server.bucket().await;
    let mut world = World::new().await;
    let faults = FaultyS3::start(server).await;
    let place = Uuid::new_v4();
    world.unset("storages.local");
    for name in STORAGES {
        let section = format!("storages.{name}");
        let url = format!("s3://{bucket}/{place}/{name}");
        for (key, value) in [
            ("url", url.as_str()),
            ("endpoint", server.endpoint.as_str()),
            ("region", server.region.as_str()),
            ("access_key_id", server.keys.id.as_str()),
            ("secret_access_key", server.keys.secret.as_str()),
        ] {
            world.set(&section, key, quoted(value));
        }
    }
    world.set("targets.shop", "storage", quoted("local"));
    world.set("targets.shop", "copies", "[\"offsite\"]");
    world.set("targets.shop", "keep_last", soak.keep_last.to_string());
    world.set("daemon", "max_rescues", "50");
    let producer = world.cluster.role("").await;
    let grant = format!("SELECT pgdumpd.grant_producer('{}')", producer.name);
    world.sql(&grant).await;
    let sources = Sources {
        file: Some(world.config()),
        default_file: world.config(),
        variables: BTreeMap::new(),
    };
    let config = Config::load(&sources).unwrap().config;
    let mut storages = Vec::new();
    for name in STORAGES {
        storages.push(Storage::open(name, &config.storages[name]).await.unwrap());
        world.set(
            &format!("storages.{name}"),
            "endpoint",
            quoted(faults.endpoint()),
        );
    }
    let mut daemons = Vec::new();
    for _ in 0..soak.daemons {
        daemons.push(world.daemon().await);
    }
    Soaking {
        world,
        faults,
        daemons,
        stopped: BTreeSet::new(),
        producer,
        dice: Dice(soak.seed.max(1)),
        soak,
        storages,
    }
}

impl Soaking {
    async fn run(mut self) {
        let mut open = Vec::new();
        let mut asked = 0;
        while asked < self.soak.backups || !open.is_empty() {
            while asked < self.soak.backups && open.len() < IN_FLIGHT {
                open.push(self.ask().await);
                asked += 1;
            }
            self.disturb().await;
            let ended = eventually("one of the jobs has ended", SOON * 3, async || {
                let mut ended = None;
                for id in &open {
                    if self.world.status(*id).await.state.has_ended() {
                        ended = Some(*id);
                    }
                }
                ended
            })
            .await;
            open.retain(|id| *id != ended);
            self.judge().await;
        }
        self.finish().await;
    }

    /// Asks for a backup: an operator for the whole or a part, or a producer.
    async fn ask(&mut self) -> Uuid {
        let request = BackupRequest::new("shop").max_attempts(50);
        match self.dice.below(4) {
            0 => {
                let url = self.world.queue.url_as(&self.producer.name);
                let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
                sqlx::query_scalar(
                    "INSERT INTO pgdumpd.backup_jobs (target, max_attempts) VALUES ('shop', 50) RETURNING id",
                )
                .fetch_one(&mut session)
                .await
                .unwrap()
            }
            1 => {
                let spec = BackupSpec {
                    schemas: vec!["public".into()],
                    ..BackupSpec::default()
                };
                self.world.enqueue_request(request.spec(spec)).await
            }
            _ => self.world.enqueue_request(request).await,
        }
    }

    /// Late lists, kills and stops, at random; at least one daemon goes on.
    async fn disturb(&mut self) {
        for _ in 0..self.dice.below(4) {
            let late = S3Fault::Slow(self.dice.below(LATEST_LIST));
            self.faults.fail(S3Operation::List, 1, late);
        }
        if self.dice.one_in(3) {
            let which = self.dice.index(self.daemons.len());
            self.go_on(which);
            self.daemons[which].kill();
            self.daemons[which] = self.world.daemon_unready();
        }
        for which in 0..self.daemons.len() {
            if self.dice.one_in(3) {
                self.go_on(which);
            } else if self.dice.one_in(5) && self.stopped.len() + 1 < self.daemons.len() {
                self.daemons[which].signal(Signal::STOP);
                self.stopped.insert(which);
            }
        }
    }

    fn go_on(&mut self, which: usize) {
        if self.stopped.remove(&which) {
            self.daemons[which].signal(Signal::CONT);
        }
    }

    /// What the queue notes, newest first.
    async fn recorded(&self) -> Vec<Recorded> {
        let rows = sqlx::query(
            "SELECT c.object_key, c.state, c.storage_id,
                    CASE WHEN j.requested_by = $1 THEN 'producer' ELSE 'operator' END || ' ' || j.spec::text AS scope
             FROM pgdumpd.backup_copies AS c JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id
             ORDER BY c.claimed_at DESC, c.object_key COLLATE \"C\" DESC",
        )
        .bind(&self.producer.name)
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        rows.iter()
            .map(|row| Recorded {
                key: row.get("object_key"),
                state: row.get("state"),
                storage_id: row.get("storage_id"),
                scope: row.get("scope"),
            })
            .collect()
    }

    /// The newest of each scope in one storage: nothing ever makes one of them young again that was not.
    fn newest<'a>(&self, recorded: &'a [Recorded], storage: &Storage) -> Vec<&'a Recorded> {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        recorded
            .iter()
            .filter(|recorded| recorded.storage_id == storage.id())
            .filter(|recorded| {
                let count = counted.entry(&recorded.scope).or_default();
                *count += 1;
                *count <= self.soak.keep_last
            })
            .collect()
    }

    /// Whatever is deleted at this moment, the newest of each scope are recorded as stored, and are there.
    async fn judge(&self) {
        for storage in &self.storages {
            let before: BTreeSet<String> = self
                .recorded()
                .await
                .into_iter()
                .filter(|recorded| recorded.state == "stored")
                .map(|recorded| recorded.key)
                .collect();
            let objects = storage.all_objects(None).await.unwrap();
            let there: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
            let recorded = self.recorded().await;
            for newest in self.newest(&recorded, storage) {
                let manifest = format!("{}.manifest.json", newest.key);
                let whole = there.contains(&newest.key) && there.contains(&manifest);
                assert!(
                    newest.state == "stored" && (whole || !before.contains(&newest.key)),
                    "{:?}: storage {}: {newest:?} is one of the newest {}, and {} there: {recorded:#?}",
                    self.soak,
                    storage.name(),
                    self.soak.keep_last,
                    if whole { "is" } else { "is not" }
                );
            }
        }
    }

    /// In the end all is quiet, and the rules hold exactly: nothing stays for ever either.
    async fn finish(mut self) {
        for which in 0..self.daemons.len() {
            self.go_on(which);
        }
        self.faults.heal();
        // Whoever waits for a list that was late has applied its view by the time that the last of these is applied.
        self.soak.backups = 0;
        for asked in [8, 8, 1] {
            let mut last = Vec::new();
            for _ in 0..asked {
                last.push(self.ask().await);
            }
            for id in last {
                self.world.succeeded(id).await;
            }
            eventually("the copies are made", SOON, async || {
                let open: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM pgdumpd.backup_jobs WHERE finished_at IS NULL",
                )
                .fetch_one(&self.world.pool)
                .await
                .unwrap();
                (open == 0).then_some(())
            })
            .await;
        }
        // The last success was alone, so that nothing else is pinned.
        eventually("no scope has more than it keeps", SOON, async || {
            let recorded = self.recorded().await;
            let mut stored: BTreeMap<(Uuid, &str), usize> = BTreeMap::new();
            for recorded in recorded
                .iter()
                .filter(|recorded| recorded.state != "deleted")
            {
                *stored
                    .entry((recorded.storage_id, &recorded.scope))
                    .or_default() += 1;
            }
            stored
                .values()
                .all(|count| *count <= self.soak.keep_last)
                .then_some(())
        })
        .await;
        self.judge().await;
        let recorded = self.recorded().await;
        let count = |state: &str| {
            recorded
                .iter()
                .filter(|recorded| recorded.state == state)
                .count()
        };
        let (stored, deleted) = (count("stored"), count("deleted"));
        println!("{:?}: {stored} stored, {deleted} deleted", self.soak);
        assert!(deleted > 0, "nothing was ever deleted: {recorded:#?}");
    }
}

fn seed() -> u64 {
    std::env::var("PGDUMPD_SOAK_SEED").map_or_else(
        |_| u64::try_from(Uuid::new_v4().as_u128() & u128::from(u64::MAX)).unwrap(),
        |seed| seed.parse().unwrap(),
    )
}

async fn soak(daemons: usize, keep_last: usize, backups: usize) {
    let soak = Soak {
        daemons,
        keep_last,
        backups,
        seed: seed(),
    };
    println!("{soak:?}");
    begin(soak).await.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_under_kills_and_late_lists_keep_the_newest_of_each_scope() {
    soak(2, 1, 20).await;
}

/// `script/soak-retention` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes"]
async fn two_and_five_daemons_keep_the_newest_of_two_hundred_backups() {
    for daemons in [2, 5] {
        for (keep_last, backups) in [(1, 67), (2, 67), (3, 66)] {
            soak(daemons, keep_last, backups).await;
        }
    }
}
