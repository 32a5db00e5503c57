//! Pairs of operations at random moments, on two daemons and two storages; a judge looks after each. A few pairs run
//! with all other tests, all of them with `script/faults`.

mod judge;
mod operation;
mod scene;

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::operation::Operation;
use self::scene::Scene;

/// Plays this pair so many times, and says what the judge found, round by round.
async fn play(first: Operation, second: Operation, rounds: u32, seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut found = Vec::new();
    let mut scene = Scene::new().await;
    for round in 1..=rounds {
        let faults = scene.round(first, second, &mut random).await;
        if faults.is_empty() {
            continue;
        }
        let mut text = format!("{first:?} x {second:?}, round {round}, seed {seed}:\n");
        for fault in &faults {
            writeln!(text, "    {fault}").unwrap();
        }
        text.push_str(&scene.tell());
        found.push(text);
        // What is broken now would be found again in each later round.
        scene = Scene::new().await;
    }
    found
}

fn seed() -> u64 {
    match std::env::var("PGDUMPD_FAULTS_SEED") {
        Ok(text) => text.parse().expect("PGDUMPD_FAULTS_SEED is a number"),
        Err(_) => rand::rng().random_range(0..1_000_000),
    }
}

async fn play_all(pairs: &[(Operation, Operation)]) {
    let seed = seed();
    for (first, second) in pairs {
        let found = play(*first, *second, 1, seed).await;
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
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
    let rounds: u32 = match std::env::var("PGDUMPD_FAULTS_ROUNDS") {
        Ok(text) => text.parse().expect("PGDUMPD_FAULTS_ROUNDS is a number"),
        Err(_) => 30,
    };
    let seed = seed();
    let mut pairs = Vec::new();
    for (index, first) in Operation::ALL.iter().enumerate() {
        for second in &Operation::ALL[index..] {
            pairs.push((*first, *second));
        }
    }
    println!("{} pairs, {rounds} rounds each, seed {seed}", pairs.len());
    let mut broken = 0;
    for (first, second) in pairs {
        let found = play(first, second, rounds, seed).await;
        println!(
            "{:<12} {:<12} {rounds:>3} rounds, {:>2} with faults",
            format!("{first:?}"),
            format!("{second:?}"),
            found.len()
        );
        for text in &found {
            println!("{text}");
        }
        broken += found.len();
    }
    assert_eq!(broken, 0, "rounds in which the judge found something");
}
