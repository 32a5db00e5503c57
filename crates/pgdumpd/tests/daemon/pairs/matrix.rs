//! Pairs and their rounds: first one round of every pair, then the second of every pair, in several scenes at a time; and
//! the table of what the judge found.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::operation::Operation;
use super::scene::Scene;

/// So many rounds a scene is used for: what it has stored and logged must not grow without end.
const ROUNDS_OF_A_SCENE: u32 = 40;

pub(super) struct Matrix {
    pairs: Vec<(Operation, Operation)>,
    rounds: u64,
    /// Of the first round of the first pair. Each further one has the next, so that it can be repeated by itself.
    seed: u64,
    next: Cell<usize>,
    played: RefCell<Vec<Played>>,
}

/// What came of a pair.
#[derive(Clone, Copy, Default)]
struct Played {
    rounds: u64,
    with_faults: u64,
}

impl Matrix {
    pub(super) fn new(pairs: Vec<(Operation, Operation)>, rounds: u64, seed: u64) -> Self {
        let played = RefCell::new(vec![Played::default(); pairs.len()]);
        Self {
            pairs,
            rounds,
            seed,
            next: Cell::new(0),
            played,
        }
    }

    /// Plays all rounds, or as many as begin within the limit; in how many the judge found something.
    pub(super) async fn play(&self, lanes: u64, limit: Option<Duration>) -> u64 {
        println!(
            "{} pairs, {} rounds each, {lanes} at a time, seed {}",
            self.pairs.len(),
            self.rounds,
            self.seed
        );
        let until = limit.map(|limit| Instant::now() + limit);
        join_all((0..lanes).map(|_| self.lane(until))).await;
        let played = self.played.borrow();
        for ((first, second), played) in self.pairs.iter().zip(played.iter()) {
            println!(
                "{:<12} {:<12} {:>3} rounds, {:>2} with faults",
                format!("{first:?}"),
                format!("{second:?}"),
                played.rounds,
                played.with_faults
            );
        }
        played.iter().map(|played| played.with_faults).sum()
    }

    /// Plays one round after the other, until none is left.
    async fn lane(&self, until: Option<Instant>) {
        let began = Instant::now();
        let mut scene = Scene::new().await;
        let mut left = ROUNDS_OF_A_SCENE;
        while until.is_none_or(|until| Instant::now() < until) {
            let Some((index, first, second)) = self.draw() else {
                return;
            };
            let seed = self.seed + index as u64;
            let mut random = StdRng::seed_from_u64(seed);
            let faults = scene.round(first, second, &mut random).await;
            if !faults.is_empty() {
                let mut text = format!("{first:?} {second:?}, seed {seed}:\n");
                for fault in &faults {
                    writeln!(text, "    {fault}").unwrap();
                }
                println!("{text}{}", scene.tell());
            }
            self.note(index, faults.is_empty(), began);
            left -= 1;
            // What is broken now would be found again in each later round.
            if left == 0 || !faults.is_empty() {
                scene = Scene::new().await;
                left = ROUNDS_OF_A_SCENE;
            }
        }
    }

    /// The next round: its number, and its pair.
    fn draw(&self) -> Option<(usize, Operation, Operation)> {
        let index = self.next.get();
        if index as u64 >= self.rounds * self.pairs.len() as u64 {
            return None;
        }
        self.next.set(index + 1);
        let (first, second) = self.pairs[index % self.pairs.len()];
        Some((index, first, second))
    }

    fn note(&self, index: usize, good: bool, began: Instant) {
        let mut played = self.played.borrow_mut();
        let pair = &mut played[index % self.pairs.len()];
        pair.rounds += 1;
        pair.with_faults += u64::from(!good);
        let all: u64 = played.iter().map(|pair| pair.rounds).sum();
        if all.is_multiple_of(self.pairs.len() as u64) {
            println!("{all} rounds after {} s", began.elapsed().as_secs());
        }
    }
}
