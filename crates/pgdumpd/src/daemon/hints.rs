//! Hints with a pause between them: whoever may connect to the queue's database may notify, as often as he
//! likes, and must not make the daemon hammer its queue.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use tokio::time::Instant;

/// Between two hints, once the burst is used up.
const SPACING: Duration = Duration::from_millis(20);
/// Hints that may follow one another at once; one is earned back in each [`SPACING`]. A job's own end notifies,
/// too, and must not make the next job wait.
const BURST: u32 = 8;

/// Gives a hint at each wake-up while there are few, and one for all that come within [`SPACING`] when there are
/// many. `wakes` is not meant to end.
pub(super) async fn spaced<T>(wakes: impl Stream<Item = T>, give: impl Fn()) {
    let mut wakes = pin!(wakes);
    let mut waiting = false;
    let mut left = BURST;
    let mut earned = Instant::now();
    while waiting || wakes.next().await.is_some() {
        give();
        waiting = false;
        let gained = earned.elapsed().as_millis() / SPACING.as_millis();
        if gained > 0 {
            left = BURST.min(left.saturating_add(u32::try_from(gained).unwrap_or(BURST)));
            earned = Instant::now();
        }
        if left > 0 {
            left -= 1;
            continue;
        }
        let until = Instant::now() + SPACING;
        // Read all the same: what nobody reads fills the server's own queue.
        while Instant::now() < until {
            match tokio::time::timeout_at(until, wakes.next()).await {
                Ok(Some(_)) => waiting = true,
                Ok(None) => return,
                Err(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_flood_of_notifications_gives_few_hints_and_the_last_is_not_lost() {
        let given = Cell::new(0);
        let give = || given.set(given.get() + 1);
        let wakes = stream::iter(0..20_000).chain(stream::pending());
        let waited = tokio::time::timeout(SPACING * 4, spaced(wakes, give)).await;
        assert!(waited.is_err());
        // The burst, and after what came meanwhile; a slow machine may need a few more.
        assert!((2..=24).contains(&given.get()), "{}", given.get());
    }
}
