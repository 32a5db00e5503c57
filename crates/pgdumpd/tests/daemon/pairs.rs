//! Pairs of operations at random moments, on two daemons and two storages; a judge looks after each. A few pairs run
//! with all other tests, all of them with `script/faults`.

mod judge;
mod matrix;
mod operation;
mod scene;

use std::time::Duration;

use rand::RngExt as _;

use self::matrix::Matrix;
use self::operation::Operation;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number is expected in this variable"))
}

fn seed() -> u64 {
    number("PGDUMPD_FAULTS_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000))
}

async fn play_all(pairs: &[(Operation, Operation)]) {
    let found = Matrix::new(pairs.to_vec(), 1, seed()).play(1, None).await;
    assert_eq!(found, 0, "rounds in which the judge found something");
}

use Operation::{
    Backup, Cancel, ClockOff, Copy, Delete, Fetch, Freeze, FsckRepair, Full, Kill, MoveAway,
    ReadOnly, Rebuild, Reload, Retention, Verify,
};

#[tokio::test(flavor = "multi_thread")]
async fn backups_beside_faults_of_daemons_lose_nothing() {
    play_all(&[
        (Backup, Kill),
        (Retention, Freeze),
        (Retention, Retention),
        (Backup, ClockOff),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_beside_faults_of_storages_lose_nothing() {
    play_all(&[
        (Backup, MoveAway),
        (Copy, MoveAway),
        (Backup, Full),
        (Reload, MoveAway),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_ask_for_beside_running_work_loses_nothing() {
    play_all(&[
        (Delete, Copy),
        (Delete, Kill),
        (Cancel, Kill),
        (FsckRepair, Backup),
        (Rebuild, Backup),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_backups_beside_what_deletes_them_gives_no_wrong_file() {
    play_all(&[(Fetch, Delete), (Verify, Retention), (Fetch, ReadOnly)]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes hours: script/faults"]
async fn every_pair() {
    let rounds = number("PGDUMPD_FAULTS_ROUNDS").unwrap_or(30);
    let lanes = number("PGDUMPD_FAULTS_LANES").unwrap_or(4);
    let minutes = number("PGDUMPD_FAULTS_MINUTES");
    let mut pairs = Vec::new();
    for (index, first) in Operation::ALL.iter().enumerate() {
        for second in &Operation::ALL[index..] {
            pairs.push((*first, *second));
        }
    }
    if let Ok(names) = std::env::var("PGDUMPD_FAULTS_PAIR") {
        pairs.retain(|(first, second)| names == format!("{first:?} {second:?}"));
        assert_eq!(pairs.len(), 1, "PGDUMPD_FAULTS_PAIR: there is no {names:?}");
    }
    let limit = minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let found = Matrix::new(pairs, rounds, seed()).play(lanes, limit).await;
    assert_eq!(found, 0, "rounds in which the judge found something");
}
