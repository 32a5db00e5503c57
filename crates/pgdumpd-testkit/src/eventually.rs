//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// The first pause. What is to happen at once is seen at once.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest: a check costs a server as much as the daemon that it waits for.
const LONGEST: Duration = Duration::from_millis(60);

/// Polls `check` until it gives a value, at first every 10 ms, later every 60 ms.
///
/// # Panics
/// With `what` in the message, when `deadline` has passed without one.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    let mut pause = SHORTEST;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            started.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST);
    }
}
