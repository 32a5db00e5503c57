//! Hints with a pause between them: whoever may connect to the queue's database may notify, as often as he
//! likes, and must not make the daemon hammer its queue.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use tokio::time::Instant;

/// Between two hints.
const SPACING: Duration = Duration::from_millis(100);

/// Gives a hint at the first wake-up, and then one for all that come within [`SPACING`]. `wakes` is not meant to end.
pub(super) async fn spaced<T>(wakes: impl Stream<Item = T>, give: impl Fn()) {
    let mut wakes = pin!(wakes);
    let mut waiting = false;
    while waiting || wakes.next().await.is_some() {
        give();
        waiting = false;
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
        // At once, and after what came meanwhile; a slow machine may need a few more.
        assert!((2..=6).contains(&given.get()), "{}", given.get());
    }
}
