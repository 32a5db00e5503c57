//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Polls `check` every 10 ms until it gives a value.
///
/// # Panics
/// With `what` in the message, when `deadline` has passed without one.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            started.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
