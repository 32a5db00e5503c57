//! Weighs the tables while they are dumped: samples them, the largest first, and works out what each will cost.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;

use super::cost::Costs;
use super::estimate::{Load, Sampled};
use crate::fault::Fault;
use crate::server::{Sample, Sampler, Sizes, TableSize, Target};

/// How long sampling may take in all: it reads what the dump reads, and a dump is worth more than its percentage.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Tables that are sampled at most. The text of each is dropped before the next one is read.
const MOST_TABLES: usize = 200;
/// The share of all bytes on disk that is sampled: the smallest tables move nobody's percentage.
const ENOUGH: f64 = 0.995;
/// Measurements that wait for the watch, which takes them between two observations.
pub(in crate::job) const WAITING: usize = 16;

/// What was measured.
#[derive(Debug)]
pub(in crate::job) enum Measured {
    /// By a sample, of the table with this oid.
    Table(i64, Sampled),
    /// By a sample, of all large objects.
    LargeObjects(Sampled),
}

/// All that was measured so far.
#[derive(Debug)]
pub(in crate::job) struct Weights<'a> {
    /// On disk; nothing where that could not be measured.
    pub(in crate::job) sizes: &'a Sizes,
    /// By samples, by the table's oid.
    pub(in crate::job) tables: HashMap<i64, Sampled>,
    /// By a sample, of all large objects.
    pub(in crate::job) large_objects: Option<Sampled>,
    /// Whether something has come since this was last asked.
    is_new: bool,
}

impl<'a> Weights<'a> {
    /// Nothing is sampled yet.
    pub(in crate::job) fn new(sizes: &'a Sizes) -> Self {
        Self {
            sizes,
            tables: HashMap::new(),
            large_objects: None,
            is_new: true,
        }
    }

    /// Adds what has come.
    pub(in crate::job) fn add(&mut self, measured: Measured) {
        self.is_new = true;
        match measured {
            Measured::Table(oid, sampled) => {
                self.tables.insert(oid, sampled);
            }
            Measured::LargeObjects(sampled) => self.large_objects = Some(sampled),
        }
    }

    /// What is known of one table.
    pub(in crate::job) fn of_table(&self, size: &TableSize) -> Load {
        Load {
            disk_bytes: size.bytes.unsigned_abs(),
            estimated_rows: size.estimated_rows.map(|rows| rows as f64),
            sampled: self.tables.get(&size.oid).copied(),
        }
    }

    /// What is known of one of so many equal shares of the large objects.
    pub(in crate::job) fn of_large_objects(&self, shares: usize) -> Load {
        let shares = shares.max(1);
        Load {
            disk_bytes: self.sizes.large_objects.unsigned_abs() / shares as u64,
            estimated_rows: None,
            sampled: self.large_objects.map(|all| Sampled {
                dump_bytes: all.dump_bytes / shares as f64,
                seconds: all.seconds / shares as f64,
            }),
        }
    }

    /// Whether something has come since the last call; at first the sizes.
    pub(in crate::job) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }
}

/// Samples what weighs most of a database, or of the tables of it that are dumped, and sends what it finds. Whatever
/// cannot be sampled is left out: the dump continues without it. Cancel-safe: it only reads.
pub(in crate::job) async fn weigh(
    target: &Target,
    sizes: &Sizes,
    dumped: Option<&HashSet<i64>>,
    costs: Costs,
    found: &mpsc::Sender<Measured>,
) {
    let sampling = sample(target, sizes, dumped, costs, found);
    match tokio::time::timeout(TIME_LIMIT, sampling).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => debug!("sampling ended early: {}", fault.report()),
        Err(_) => debug!("sampling ended early: its time is over"),
    }
}

async fn sample(
    target: &Target,
    sizes: &Sizes,
    dumped: Option<&HashSet<i64>>,
    costs: Costs,
    found: &mpsc::Sender<Measured>,
) -> Result<(), Fault> {
    let mut sampler = target.sampler().await?;
    let mut tables: Vec<_> = sizes
        .tables
        .iter()
        .filter(|table| table.bytes > 0)
        .filter(|table| dumped.is_none_or(|dumped| dumped.contains(&table.oid)))
        .collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let all = tables.iter().map(|table| table.bytes).sum::<i64>() + sizes.large_objects;
    let enough = all as f64 * ENOUGH;
    let mut seen = 0;
    // Filters leave out large objects.
    if dumped.is_none() && sizes.large_objects as f64 > all as f64 - enough {
        seen += sizes.large_objects;
        if let Some(sample) = one(sampler.large_objects().await)? {
            let sampled = priced(sample, move |sample| costs.of_large_objects(sample)).await;
            send(found, sampled.map(Measured::LargeObjects)).await;
        }
    }
    for table in tables.into_iter().take(MOST_TABLES) {
        if seen as f64 >= enough {
            break;
        }
        seen += table.bytes;
        if let Some(sample) = one(sampler.table(table.oid, table.bytes).await)? {
            let sample = sample.with_rows(table.estimated_rows);
            let sampled = priced(sample, move |sample| costs.of_table(sample)).await;
            send(
                found,
                sampled.map(|sampled| Measured::Table(table.oid, sampled)),
            )
            .await;
        }
    }
    Ok(())
}

/// What the server refused for one table says nothing of the next one.
fn one(sampled: Result<Option<Sample>, Fault>) -> Result<Option<Sample>, Fault> {
    match sampled {
        Err(fault) if Sampler::can_go_on_after(&fault) => {
            debug!("not sampled: {}", fault.report());
            Ok(None)
        }
        sampled => sampled,
    }
}

/// Tries the dump's compression on a sample, on a thread where that keeps nobody waiting, and lets its text go.
async fn priced(
    sample: Sample,
    price: impl FnOnce(&Sample) -> Sampled + Send + 'static,
) -> Option<Sampled> {
    tokio::task::spawn_blocking(move || price(&sample))
        .await
        .ok()
}

async fn send(found: &mpsc::Sender<Measured>, measured: Option<Measured>) {
    if let Some(measured) = measured {
        debug!("sampled: {measured:?}");
        // Nobody takes it any more: the dump is over.
        let _ = found.send(measured).await;
    }
}
