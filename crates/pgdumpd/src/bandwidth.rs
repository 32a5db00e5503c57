//! How many bytes a second a storage may be sent, by all uploads of this daemon together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit that its clones share: bytes are let through one after the other, each when those before it have had
/// their time.
#[derive(Debug, Clone)]
pub struct Bandwidth {
    bytes_per_second: u64,
    free_at: Arc<Mutex<Option<Instant>>>,
}

impl Bandwidth {
    /// At least one byte a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Arc::default(),
        }
    }

    /// The limit.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Reserves the next bytes, and returns how long to wait before they are sent.
    pub(crate) fn take(&self, bytes: u64) -> Duration {
        self.take_at(bytes, Instant::now())
    }

    fn take_at(&self, bytes: u64, now: Instant) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used before now is lost: no burst follows a pause.
        let starts = free_at.map_or(now, |free_at| free_at.max(now));
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *free_at = Some(starts + takes);
        starts - now
    }
}

/// By the limit alone.
impl PartialEq for Bandwidth {
    fn eq(&self, other: &Self) -> bool {
        self.bytes_per_second == other.bytes_per_second
    }
}

impl Eq for Bandwidth {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_limit_and_a_pause_earns_nothing() {
        let one = Bandwidth::new(1000);
        let other = one.clone();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(one.take_at(1000, now), Duration::ZERO);
        assert_eq!(other.take_at(500, now), second);
        assert_eq!(one.take_at(1, now + second), second / 2);
        let later = now + 60 * second;
        assert_eq!(other.take_at(1000, later), Duration::ZERO);
        assert_eq!(one.take_at(1, later), second);
    }
}
