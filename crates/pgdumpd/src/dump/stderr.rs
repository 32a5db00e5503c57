//! What pg_dump says on stderr: read as it comes, bounded, without secrets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::causes::Causes;
use crate::redact::Redactor;

/// A line is cut here while it is read; more of it is only counted as read.
const LINE_BYTES: usize = 8 * 1024;
/// A line is kept up to here. Shorter than what is read, so that no half of a secret is left at a cut.
const KEPT_CHARACTERS: usize = 1_000;
/// Last lines kept for an error.
const KEPT_LINES: usize = 20;
/// Warnings kept; more are counted.
const KEPT_WARNINGS: usize = 50;

/// pg_dump's warnings, redacted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// The first 50, each at most about 1,000 characters.
    pub texts: Vec<String>,
    /// How many there were.
    pub total: u32,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) warnings: Warnings,
    /// The last lines, oldest first, without the program's name.
    pub(super) tail: VecDeque<Line>,
}

/// A line that is kept.
#[derive(Debug)]
pub(super) struct Line {
    /// Redacted.
    pub(super) text: String,
    /// What it says of the cause, before it was redacted: a password may be a usual word.
    pub(super) causes: Causes,
}

impl Record {
    fn add(&mut self, line: &[u8], redactor: &Redactor) {
        let line = String::from_utf8_lossy(line);
        let causes = Causes::of(&line);
        let line = redactor.redact(line.trim_end());
        let own = ["pg_dump: ", "pg_dumpall: "];
        let line = own
            .iter()
            .find_map(|name| line.strip_prefix(name))
            .unwrap_or(&line);
        if line.is_empty() {
            return;
        }
        let line: String = line.chars().take(KEPT_CHARACTERS).collect();
        // "warning:" is pg_dump's own, "WARNING:" the server's.
        let warning = line
            .strip_prefix("warning:")
            .or_else(|| line.strip_prefix("WARNING:"));
        if let Some(warning) = warning {
            self.warnings.total = self.warnings.total.saturating_add(1);
            if self.warnings.texts.len() < KEPT_WARNINGS {
                self.warnings.texts.push(warning.trim().to_owned());
            }
        }
        if self.tail.len() == KEPT_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(Line { text: line, causes });
    }
}

/// The task that reads stderr to its end.
#[derive(Debug)]
pub(super) struct Drain {
    record: Arc<Mutex<Record>>,
    task: Option<JoinHandle<()>>,
}

impl Drain {
    pub(super) fn start(stderr: ChildStderr, redactor: Redactor) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        #[expect(clippy::disallowed_methods, reason = "waited for with pg_dump's exit")]
        let task = tokio::spawn(drain(stderr, redactor, Arc::clone(&record)));
        Self {
            record,
            task: Some(task),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything is read, but not for a process that inherited stderr and outlives pg_dump.
    pub(super) async fn finish(&mut self, limit: Duration) {
        if let Some(task) = &mut self.task {
            if tokio::time::timeout(limit, &mut *task).await.is_err() {
                task.abort();
            }
            self.task = None;
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn drain(mut stderr: ChildStderr, redactor: Redactor, record: Arc<Mutex<Record>>) {
    let add = |line: &[u8]| {
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        record.add(line, &redactor);
    };
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match stderr.read(&mut chunk).await {
            Ok(0) => break,
            Ok(count) => &chunk[..count],
            Err(error) => {
                tracing::warn!(%error, "pg_dump's stderr can no longer be read");
                break;
            }
        };
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                add(&line);
                line.clear();
            }
        }
    }
    add(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &[&str]) -> Record {
        let redactor = Redactor::new(["hunter2".into()]);
        let mut record = Record::default();
        for line in lines {
            record.add(line.as_bytes(), &redactor);
        }
        record
    }

    #[test]
    fn warnings_of_pg_dump_and_of_the_server_are_counted_and_bounded() {
        let mut lines = vec!["pg_dump: warning: subscriptions not dumped because hunter2\n"];
        lines.extend([
            "pg_dump: WARNING:  careful\n",
            "pg_dump: detail: more\n",
            "\n",
        ]);
        lines.extend(["pg_dump: warning: again\n"; 100]);
        let warnings = record(&lines).warnings;
        assert_eq!(warnings.total, 102);
        assert_eq!(warnings.texts.len(), KEPT_WARNINGS);
        assert_eq!(
            warnings.texts[0],
            "subscriptions not dumped because ********"
        );
        assert_eq!(warnings.texts[1], "careful");
    }

    /// A missing right stays one where the password is the word `permission`.
    #[test]
    fn the_cause_is_judged_before_the_text_is_redacted() {
        let redactor = Redactor::new(["permission".into()]);
        let mut record = Record::default();
        record.add(b"pg_dump: error: permission denied for table t", &redactor);
        let line = record.tail.back().unwrap();
        assert_eq!(line.text, "error: ******** denied for table t");
        assert_eq!(line.causes, Causes::of("permission denied"));
        assert_ne!(line.causes, Causes::default());
    }

    #[test]
    fn only_the_last_lines_are_kept_and_each_is_cut() {
        let long = "x".repeat(LINE_BYTES);
        let mut lines = vec!["first"; 50];
        lines.push(&long);
        let tail = record(&lines).tail;
        assert_eq!(tail.len(), KEPT_LINES);
        assert_eq!(tail.back().unwrap().text.len(), KEPT_CHARACTERS);
    }
}
