//! How far a dump is, in time: pure arithmetic.
//!
//! Each entry that owes data has a load: the bytes that will come of it and the seconds that they should take. What has
//! passed teaches how fast this machine really is, and how much text a byte on disk makes where nothing was sampled.
//! The share is the time spent of the time that it will have taken, so that an even timing is an even bar.

/// Seconds of work that an entry costs without a byte: its round trips.
const SECONDS_OF_AN_ENTRY: f64 = 0.2e-3;
/// Seconds that a byte takes while nothing is known: what gzip needs.
const SECONDS_OF_A_BYTE: f64 = 30e-9;
/// Bytes on disk that must have been learnt from before the learnt ratio is trusted alone.
const LEARNING_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
/// Seconds of expected work that must have passed before the learnt speed is trusted more than the expected one.
const LEARNING_SECONDS: f64 = 2.0;
/// By how much a machine is thought to be slower than expected before it has shown itself: a reported share that was
/// too low is corrected at once, one that was too high is not.
const CAUTION: f64 = 1.4;
/// The current entry never counts as whole before it is.
const MOST_OF_AN_ENTRY: f64 = 0.98;
/// How fast the share grows if it has run ahead, of the timing that would bring it to the end in time: slower, so
/// that the truth catches up, and never still.
const PACE_AHEAD: f64 = 0.3;

/// What is known of one entry before its data has passed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::job) struct Load {
    /// Bytes on disk.
    pub(in crate::job) disk_bytes: u64,
    /// Rows by the server's own estimate.
    pub(in crate::job) estimated_rows: Option<f64>,
    /// The result of a sample.
    pub(in crate::job) sampled: Option<Sampled>,
}

/// The result of a sample for one entry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::job) struct Sampled {
    /// Bytes that pg_dump will write, before it compresses.
    pub(in crate::job) dump_bytes: f64,
    /// Seconds that they will take.
    pub(in crate::job) seconds: f64,
}

/// What has passed of the current entry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::job) struct Passed {
    /// Rows so far.
    pub(in crate::job) rows: u64,
    /// Bytes so far, before compression.
    pub(in crate::job) dump_bytes: u64,
}

/// The time that the data takes.
#[derive(Debug, Clone)]
pub(in crate::job) struct Estimate {
    loads: Vec<Load>,
    /// How many of the loads have passed.
    done: usize,
    /// Of what has passed: bytes on disk where nothing was sampled, and what came of them.
    learnt_disk: f64,
    learnt_dump: f64,
    /// The time that all that has passed took.
    spent: f64,
    /// The time up to the end of the last entry that has passed.
    spent_before: f64,
}

/// Expected seconds, by what has passed.
struct Expected {
    /// Of what has passed.
    passed: f64,
    /// Of the current entry, all of it, and how much of it has passed.
    at_hand: f64,
    part: f64,
    /// Of the entries after it.
    later: f64,
}

impl Estimate {
    /// For entries with these loads, in the order in which they will pass.
    pub(in crate::job) fn new(loads: Vec<Load>) -> Self {
        Self {
            loads,
            done: 0,
            learnt_disk: 0.0,
            learnt_dump: 0.0,
            spent: 0.0,
            spent_before: 0.0,
        }
    }

    /// Knows the loads better.
    pub(in crate::job) fn reweigh(&mut self, loads: Vec<Load>) {
        self.loads = loads;
    }

    /// The data has flowed for N seconds more.
    pub(in crate::job) fn spend(&mut self, seconds: f64) {
        self.spent += seconds.max(0.0);
    }

    /// For how many seconds it has flowed.
    pub(in crate::job) fn spent(&self) -> f64 {
        self.spent
    }

    /// The next entry is complete; `dump_bytes` came of it.
    pub(in crate::job) fn finished(&mut self, dump_bytes: u64) {
        if let Some(load) = self.loads.get(self.done)
            && load.sampled.is_none()
        {
            self.learnt_disk += load.disk_bytes as f64;
            self.learnt_dump += dump_bytes as f64;
        }
        self.done += 1;
        self.spent_before = self.spent;
    }

    /// Seconds until all data is written, given what has passed of the current entry.
    pub(in crate::job) fn remaining(&self, passed: &Passed) -> f64 {
        let Some(expected) = self.expected(passed) else {
            return 0.0;
        };
        let Expected {
            at_hand,
            part,
            later,
            ..
        } = expected;
        let spent = (self.spent - self.spent_before).max(0.0);
        // Expected seconds that have passed, and how much longer they were.
        let slowness =
            (self.spent + LEARNING_SECONDS * CAUTION) / (expected.passed + LEARNING_SECONDS);
        // The longer it flows, the more its own timing says.
        let own = if part > 0.0 { spent / part } else { 0.0 };
        let weight = if part > 0.0 {
            spent / (spent + LEARNING_SECONDS)
        } else {
            0.0
        };
        let whole = own * weight + at_hand * slowness * (1.0 - weight);
        (whole * (1.0 - part) + later * slowness).max(0.0)
    }

    /// Nothing when all has passed.
    fn expected(&self, passed: &Passed) -> Option<Expected> {
        let guess = self.guess();
        let seconds = |load: &Load| guess.of(load).1;
        let (before, later) = self.loads.split_at(self.done.min(self.loads.len()));
        let (at_hand, later) = later.split_first()?;
        let part = part_of(at_hand, guess.of(at_hand).0, passed);
        let before: f64 = before.iter().map(seconds).sum();
        let at_hand = seconds(at_hand);
        Some(Expected {
            passed: before + part * at_hand,
            at_hand,
            part,
            later: later.iter().map(seconds).sum(),
        })
    }

    /// What stands in for a sample where there is none.
    fn guess(&self) -> Guess {
        let sampled = || {
            self.loads
                .iter()
                .filter_map(|load| Some((load, load.sampled?)))
        };
        let disk: f64 = sampled().map(|(load, _)| load.disk_bytes as f64).sum();
        let dump: f64 = sampled().map(|(_, sampled)| sampled.dump_bytes).sum();
        let seconds: f64 = sampled().map(|(_, sampled)| sampled.seconds).sum();
        let learnt_disk = disk + self.learnt_disk + LEARNING_BYTES;
        Guess {
            dump_for_disk: (dump + self.learnt_dump + LEARNING_BYTES) / learnt_disk,
            seconds_for_byte: (seconds + SECONDS_OF_A_BYTE * LEARNING_BYTES)
                / (dump + LEARNING_BYTES),
        }
    }
}

/// What the other entries say of one that was not sampled.
struct Guess {
    dump_for_disk: f64,
    seconds_for_byte: f64,
}

impl Guess {
    /// Bytes and seconds.
    fn of(&self, load: &Load) -> (f64, f64) {
        let (bytes, seconds) = match load.sampled {
            Some(sampled) => (sampled.dump_bytes, sampled.seconds),
            None => {
                let bytes = load.disk_bytes as f64 * self.dump_for_disk;
                (bytes, bytes * self.seconds_for_byte)
            }
        };
        (bytes, seconds + SECONDS_OF_AN_ENTRY)
    }
}

/// How much of an entry has passed, 0 to nearly 1.
fn part_of(load: &Load, expected_bytes: f64, passed: &Passed) -> f64 {
    let of_bytes = match expected_bytes > 0.0 {
        true => passed.dump_bytes as f64 / expected_bytes,
        false => 0.0,
    };
    let part = match (load.sampled, load.estimated_rows) {
        // Fewer than have passed: an estimate that is long out of date.
        (None, Some(rows)) if rows > 0.0 && passed.rows as f64 <= rows => {
            // A row may be long, and its bytes say where in it.
            let (so_far, next) = (passed.rows as f64, passed.rows as f64 + 1.0);
            (of_bytes * rows).clamp(so_far, next) / rows
        }
        _ => of_bytes,
    };
    part.clamp(0.0, MOST_OF_AN_ENTRY)
}

/// The share that is reported: never falls, never stops while time passes.
#[derive(Debug, Clone, Default)]
pub(in crate::job) struct Bar {
    spent: f64,
    share: f64,
}

impl Bar {
    /// The share (0 to 1) after N seconds, with M seconds left.
    pub(in crate::job) fn advance(&mut self, spent: f64, remaining: f64) -> f64 {
        let step = (spent - self.spent).max(0.0);
        self.spent = self.spent.max(spent);
        let truth = ratio(self.spent, remaining);
        let timing = self.share + (1.0 - self.share) * ratio(step, remaining) * PACE_AHEAD;
        self.share = truth.max(timing).clamp(self.share, 1.0);
        self.share
    }
}

/// The share of what is over.
fn ratio(over: f64, remaining: f64) -> f64 {
    let all = over + remaining;
    if all > 0.0 { over / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1024 * 1024;

    fn sampled(dump_bytes: f64, seconds: f64) -> Load {
        Load {
            disk_bytes: dump_bytes as u64,
            estimated_rows: None,
            sampled: Some(Sampled {
                dump_bytes,
                seconds,
            }),
        }
    }

    fn on_disk(disk_bytes: u64, estimated_rows: Option<f64>) -> Load {
        Load {
            disk_bytes,
            estimated_rows,
            sampled: None,
        }
    }

    fn estimate(loads: Vec<Load>) -> Estimate {
        Estimate::new(loads)
    }

    fn passed(dump_bytes: u64) -> Passed {
        Passed {
            rows: 0,
            dump_bytes,
        }
    }

    /// The next entry passes between two observations.
    fn let_pass(estimate: &mut Estimate, bytes: u64, seconds: f64) {
        estimate.spend(seconds);
        estimate.finished(bytes);
    }

    #[test]
    fn nothing_remains_when_all_has_passed() {
        let mut estimate = estimate(vec![on_disk(MB, None), sampled(1e6, 3.0)]);
        let_pass(&mut estimate, MB, 1.0);
        assert!(estimate.remaining(&Passed::default()) > 0.0);
        let_pass(&mut estimate, 1_000_000, 1.0);
        assert_eq!(estimate.remaining(&Passed::default()), 0.0);
    }

    #[test]
    fn what_is_slow_to_compress_counts_for_its_time_and_not_for_its_bytes() {
        let mut estimate = estimate(vec![sampled(100e6, 9.0), sampled(900e6, 1.0)]);
        let_pass(&mut estimate, 100_000_000, 9.0);
        let remaining = estimate.remaining(&Passed::default());
        assert!((0.9..1.1).contains(&remaining), "{remaining}");
    }

    #[test]
    fn a_machine_that_is_slower_than_expected_is_found_out() {
        let mut estimate = estimate(vec![sampled(100e6, 20.0), sampled(100e6, 20.0)]);
        let_pass(&mut estimate, 100_000_000, 60.0);
        let remaining = estimate.remaining(&Passed::default());
        assert!((54.0..60.0).contains(&remaining), "{remaining}");
    }

    #[test]
    fn the_table_at_hand_is_timed_by_its_own_pace() {
        // Expected to take as long as the first one, and three times as slow.
        let mut estimate = estimate(vec![sampled(100e6, 20.0), sampled(100e6, 20.0)]);
        let_pass(&mut estimate, 100_000_000, 20.0);
        estimate.spend(30.0);
        let remaining = estimate.remaining(&passed(50_000_000));
        assert!((26.0..31.0).contains(&remaining), "{remaining}");
    }

    #[test]
    fn rows_tell_how_far_inside_a_table_that_was_not_sampled() {
        let mut estimate = estimate(vec![on_disk(1000 * MB, Some(1000.0))]);
        estimate.spend(100.0);
        let half = Passed {
            rows: 500,
            dump_bytes: MB,
        };
        let remaining = estimate.remaining(&half);
        assert!((95.0..105.0).contains(&remaining), "{remaining}");
    }

    #[test]
    fn an_estimate_that_more_rows_have_passed_is_put_aside() {
        let mut estimate = estimate(vec![on_disk(1000 * MB, Some(1000.0))]);
        estimate.spend(100.0);
        let quarter = Passed {
            rows: 50_000,
            dump_bytes: 250 * MB,
        };
        let remaining = estimate.remaining(&quarter);
        assert!((280.0..310.0).contains(&remaining), "{remaining}");
    }

    #[test]
    fn what_finished_tables_taught_scales_the_next_one() {
        // Tables whose COPY text is half of their size on disk.
        let mut estimate = estimate(vec![on_disk(1000 * MB, None), on_disk(1000 * MB, None)]);
        let_pass(&mut estimate, 500 * MB, 50.0);
        estimate.spend(25.0);
        let remaining = estimate.remaining(&passed(250 * MB));
        assert!((24.0..27.0).contains(&remaining), "{remaining}");
    }

    #[test]
    fn what_was_not_sampled_is_judged_by_what_was() {
        // Text of a tenth of the size on disk, at 10 MB a second.
        let known = Load {
            disk_bytes: 1_000_000_000,
            ..sampled(100e6, 10.0)
        };
        let estimate = estimate(vec![known, on_disk(1_000_000_000, None)]);
        let remaining = estimate.remaining(&Passed::default());
        let seconds = remaining / CAUTION;
        assert!((19.0..22.5).contains(&seconds), "{seconds}");
    }

    #[test]
    fn bytes_inside_a_long_row_move_the_bar_as_far_as_that_row_goes() {
        // Two rows of 500 MB each.
        let mut estimate = estimate(vec![on_disk(1000 * MB, Some(2.0))]);
        estimate.spend(10.0);
        let part = |rows, dump_bytes| {
            let expected = estimate.expected(&Passed { rows, dump_bytes });
            expected.unwrap().part
        };
        assert_eq!(part(0, 0), 0.0);
        assert!(
            (0.2..0.3).contains(&part(0, 250 * MB)),
            "{}",
            part(0, 250 * MB)
        );
        assert_eq!(part(0, 900 * MB), 0.5, "not beyond the row");
        assert_eq!(part(1, 100 * MB), 0.5, "not below what has passed");
    }

    #[test]
    fn a_bar_that_ran_ahead_goes_on_slower_and_is_caught_up_by_the_truth() {
        let mut bar = Bar::default();
        assert!((bar.advance(10.0, 10.0) - 0.5).abs() < 1e-9);
        // It takes twice as long as was thought.
        let mut last = 0.5;
        for spent in 11..40 {
            let share = bar.advance(f64::from(spent), f64::from(40 - spent));
            assert!(share > last, "stuck at {share} after {spent} s");
            last = share;
        }
        let truth = 39.0 / 40.0;
        assert!((last - truth).abs() < 0.02, "{last}");
    }

    #[test]
    fn a_bar_stands_where_no_time_is_spent() {
        let mut bar = Bar::default();
        let share = bar.advance(10.0, 30.0);
        assert_eq!(bar.advance(10.0, 30.0), share);
    }

    fn a_load() -> impl Strategy<Value = Load> {
        let sampled = (0.0..1e15, 0.0..1e7).prop_map(|(dump_bytes, seconds)| Sampled {
            dump_bytes,
            seconds,
        });
        (
            0u64..1 << 50,
            prop::option::of(-1.0..1e15),
            prop::option::of(sampled),
        )
            .prop_map(|(disk_bytes, estimated_rows, sampled)| Load {
                disk_bytes,
                estimated_rows,
                sampled,
            })
    }

    proptest! {
        #[test]
        fn the_share_never_falls_nor_sticks_whatever_passes_and_whatever_weights_come_midway(
            loads in prop::collection::vec(a_load(), 1..12),
            better in prop::collection::vec(a_load(), 12),
            reweighed_after in 0usize..40,
            looks in prop::collection::vec((0.01f64..100.0, any::<bool>(), 0u64..1 << 50, any::<u64>()), 1..40),
        ) {
            let count = loads.len();
            let (mut estimate, mut bar) = (estimate(loads), Bar::default());
            let mut last = 0.0;
            for (number, (seconds, finishes, dump_bytes, rows)) in looks.into_iter().enumerate() {
                if number == reweighed_after {
                    estimate.reweigh(better[..count].to_vec());
                }
                estimate.spend(seconds);
                if finishes {
                    estimate.finished(dump_bytes);
                }
                let remaining = estimate.remaining(&Passed { rows, dump_bytes });
                prop_assert!(remaining.is_finite() && remaining >= 0.0, "{remaining}");
                let share = bar.advance(estimate.spent(), remaining);
                prop_assert!((0.0..=1.0).contains(&share));
                prop_assert!(share > last || share == 1.0, "{share} after {last}");
                last = share;
            }
        }
    }
}
