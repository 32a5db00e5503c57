//! A bar of bytes on a terminal, for commands that read a whole backup.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use crate::readback::Stored;

const STEP: Duration = Duration::from_millis(100);

/// Waits for work that reads this backup, and shows on standard error how much of it was read.
pub(super) async fn while_reading<T>(
    stored: &Stored,
    what: &'static str,
    work: impl Future<Output = T>,
) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(stored.manifest.object.size_bytes), target);
    let style = ProgressStyle::with_template(
        "{msg} [{bar:30}] {percent:>3} % {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = steps.tick() => bar.set_position(stored.bytes_read()),
        }
    };
    bar.finish_and_clear();
    done
}
