//! How fast dumps are on this machine: what the next one's percentage begins with.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many times what was expected the last dumps of this daemon took.
#[derive(Debug, Default)]
pub struct Paces {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    of_targets: HashMap<String, f64>,
    latest: Option<f64>,
}

/// Beyond these a pace says more of an accident, such as a pause of the machine, than of the next dump.
const POSSIBLE: (f64, f64) = (0.1, 100.0);

impl Paces {
    /// Of the target's last dump, or else of any target's; nothing before the first.
    pub fn of(&self, target: &str) -> Option<f64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.of_targets.get(target).copied().or(known.latest)
    }

    /// Remembers what a dump of the target takes.
    pub fn learn(&self, target: &str, pace: f64) {
        if !pace.is_finite() {
            return;
        }
        let pace = pace.clamp(POSSIBLE.0, POSSIBLE.1);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.of_targets.insert(target.to_owned(), pace);
        known.latest = Some(pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_targets_own_pace_is_known_best_and_anothers_better_than_none() {
        let paces = Paces::default();
        assert_eq!(paces.of("shop"), None);
        paces.learn("shop", 3.0);
        assert_eq!(paces.of("blog"), Some(3.0));
        paces.learn("blog", 0.5);
        assert_eq!((paces.of("shop"), paces.of("new")), (Some(3.0), Some(0.5)));
        paces.learn("blog", f64::NAN);
        paces.learn("shop", 1e9);
        assert_eq!(
            (paces.of("blog"), paces.of("shop")),
            (Some(0.5), Some(100.0))
        );
    }
}
