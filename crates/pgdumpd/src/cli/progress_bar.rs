//! How a job's progress is shown: a bar on a terminal, a line for each change of phase or whole 5 %
//! elsewhere, JSON where asked for.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pgdumpd_client::{JobState, JobStatus};

use super::out;
use crate::text::{count_of, on_one_line};

/// Where and how progress is shown.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines { reported: Option<String> },
    Json,
}

impl Display {
    /// A bar if standard error is a terminal.
    pub(super) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{bar:24} {prefix} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            Self::Bar(bar)
        } else {
            Self::Lines { reported: None }
        }
    }

    /// Shows a status.
    pub(super) fn show(&mut self, status: &JobStatus) -> anyhow::Result<()> {
        match self {
            Self::Json => out::json(status)?,
            Self::Bar(bar) => {
                bar.set_prefix(format!("{:>5.1} %", status.progress));
                bar.set_message(on_one_line(&bar_message(status)).into_owned());
                bar.set_position((status.progress * 10.0) as u64);
                if status.state.has_ended() {
                    bar.finish_and_clear();
                    out::lines(last_line(status))?;
                }
            }
            Self::Lines { reported } => {
                let step = (status.progress / 5.0) as u32;
                let now = format!(
                    "{:?} {:?} {step} {:?}",
                    status.state, status.phase, status.waits_because
                );
                if reported.as_deref() != Some(&now) {
                    if status.state.has_ended() {
                        out::lines(last_line(status))?;
                    } else {
                        out::lines(format!(
                            "{} {:>5.1} % {}",
                            status.id,
                            status.progress,
                            on_one_line(&message(status))
                        ))?;
                    }
                    *reported = Some(now);
                }
            }
        }
        Ok(())
    }

    /// Leaves the terminal as it was.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// On a line as long as it needs to be.
fn message(status: &JobStatus) -> String {
    let facts = facts(status);
    if facts.is_empty() {
        message_of(status)
    } else {
        format!("{}, {facts}", message_of(status))
    }
}

/// The figures first, because a terminal may cut the line.
fn bar_message(status: &JobStatus) -> String {
    let facts = facts(status);
    if facts.is_empty() {
        message_of(status)
    } else {
        format!("{facts}: {}", message_of(status))
    }
}

fn message_of(status: &JobStatus) -> String {
    if status.state == JobState::Queued {
        let why = status.waits_because.as_deref().unwrap_or("waits");
        return match &status.error {
            Some(error) => format!("queued: {why}; the last attempt failed: {error}"),
            None => format!("queued: {why}"),
        };
    }
    // Between the claim and the first heartbeat there is no message.
    status
        .message
        .clone()
        .unwrap_or_else(|| "starting".to_owned())
}

fn facts(status: &JobStatus) -> String {
    if status.state != JobState::Running {
        return String::new();
    }
    let bytes = status
        .bytes_dumped
        .map(|bytes| HumanBytes(bytes.unsigned_abs()).to_string());
    let left = status.estimated_end.map(|end| {
        let left = (end - status.last_update).num_seconds().max(0);
        let left = Duration::from_secs(left.unsigned_abs());
        format!("{} left", humantime::format_duration(left))
    });
    let facts = [bytes, status.elapsed.clone(), left];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The line that stays when a job has ended.
pub(super) fn last_line(status: &JobStatus) -> String {
    let mut text = format!("{} {}", status.id, status.state);
    if let Some(elapsed) = &status.elapsed {
        text.push_str(&format!(" after {elapsed}"));
    }
    if let Some(bytes) = status.size_bytes {
        text.push_str(&format!(", {} stored", HumanBytes(bytes.unsigned_abs())));
    }
    if status.state == JobState::Failed {
        let step = status.error_step.as_deref().unwrap_or("unknown");
        let error = status.error.as_deref().unwrap_or("unknown error");
        let error = on_one_line(error);
        text.push_str(&format!("\nerror in step {step}: {error}"));
        if let Some(hint) = &status.error_hint {
            text.push_str(&format!("\nhint: {}", on_one_line(hint)));
        }
    }
    if status.warnings_total > 0 && status.warnings.is_empty() {
        text.push_str(&format!(
            "\n{} in the manifest alone: `pgdumpd show ID --identity FILE` shows what",
            count_of(u64::from(status.warnings_total.unsigned_abs()), "warning")
        ));
    } else if status.warnings_total > 0 {
        text.push_str(&format!(
            "\n{}:",
            count_of(u64::from(status.warnings_total.unsigned_abs()), "warning")
        ));
        for warning in &status.warnings {
            text.push_str(&format!("\n  {}", on_one_line(warning)));
        }
    }
    text
}
