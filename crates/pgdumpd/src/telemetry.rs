//! What is logged, and how: lines for people or JSON for programs, on standard error.
//!
//! docs/LOGGING.md lists the fields. No field ever holds an address with a password: `DatabaseUrl` does not
//! show it, and sqlx, whose debug lines hold statements, is kept at warnings.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::LogConfig;
use crate::text::log_line;

/// The value of `event` on the lines that report a backup's progress.
///
/// Written `event = %BACKUP_PROGRESS`: without the `%`, text would put it in quotes.
pub const BACKUP_PROGRESS: &str = "BACKUP_PROGRESS";
/// The value of `event` where a target's `keep_last` has deleted a backup.
pub const BACKUP_DELETED: &str = "BACKUP_DELETED";
/// The value of `event` where it could not.
pub const BACKUP_NOT_DELETED: &str = "BACKUP_NOT_DELETED";

/// Levels that no general level raises; a filter that names the module does.
///
/// sqlx writes statements at debug, rustls and hyper their traffic at trace.
const QUIET: &[&str] = &["sqlx=warn", "rustls=warn", "hyper=warn"];

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// `log.filter` is wrong; loading the configuration finds this first.
    #[error("log.filter is not a valid filter")]
    Filter(#[from] ParseError),
    /// Another logger is there already.
    #[error("logging is set up twice")]
    Twice(#[from] TryInitError),
}

/// The format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text { ansi: bool, time: bool },
}

/// Sends the process's log to standard error.
///
/// Text has colours on a terminal only, and no time stamps where the journal adds its own.
///
/// # Errors
/// If the filter is wrong, or logging was set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let format = if config.json {
        Format::Json
    } else {
        Format::Text {
            ansi: io::stderr().is_terminal(),
            time: std::env::var_os("JOURNAL_STREAM").is_none(),
        }
    };
    subscriber(&config.filter, format, io::stderr)?.try_init()?;
    Ok(())
}

fn subscriber<W>(
    filter: &str,
    format: Format,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + 'static, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer();
    let one_line = OneLine(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json => lines
            .with_writer(one_line.0)
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        Format::Text { ansi, time: true } => lines.with_writer(one_line).with_ansi(ansi).boxed(),
        Format::Text { ansi, time: false } => lines
            .with_writer(one_line)
            .with_ansi(ansi)
            .without_time()
            .boxed(),
    };
    // A filter of the whole subscriber, not of the layer: a layer's own one remembers, thread by thread, what it
    // was last asked, and after a library has asked without logging (sqlx, of a server's notice) it drops lines.
    Ok(Registry::default().with(lines).with(quieted(filter)?))
}

/// Keeps each event on one line of text: a name with a newline in it must not forge another.
struct OneLine<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    /// Gets an event at once, with the newline at its end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (text.as_ref(), ""),
        };
        let line = log_line(line).into_owned() + end;
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The filter, with [`QUIET`] for the modules that it does not name itself.
fn quieted(filter: &str) -> Result<EnvFilter, ParseError> {
    let mut directives = String::new();
    for quiet in QUIET {
        let module = quiet.split('=').next().unwrap_or(quiet);
        if !filter.contains(module) {
            directives.push_str(quiet);
            directives.push(',');
        }
    }
    EnvFilter::builder().parse(directives + filter)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: Format, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(filter, format, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn progress() {
        let span = tracing::info_span!("job", job.id = %"1f", job.attempt = 2, target = %"app");
        let _guard = span.enter();
        tracing::info!(
            event = %BACKUP_PROGRESS,
            progress.percent = 45,
            "dumping public.orders"
        );
    }

    const TEXT: Format = Format::Text {
        ansi: false,
        time: false,
    };

    #[test]
    fn progress_can_be_found_in_text() {
        let line = logged("info", TEXT, progress);
        insta::assert_snapshot!(line.trim(), @"INFO job{job.id=1f job.attempt=2 target=app}: pgdumpd::telemetry::tests: dumping public.orders event=BACKUP_PROGRESS progress.percent=45");
    }

    #[test]
    fn progress_can_be_found_in_json() {
        let text = logged("info", Format::Json, progress);
        assert!(text.contains("BACKUP_PROGRESS"), "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["event"], BACKUP_PROGRESS);
        assert_eq!(line["progress.percent"], 45);
        assert_eq!(line["message"], "dumping public.orders");
        assert_eq!(line["span"]["job.id"], "1f");
        assert_eq!(line["span"]["job.attempt"], 2);
        assert_eq!(line["span"]["target"], "app");
    }

    #[test]
    fn text_has_a_time_stamp_only_where_the_journal_adds_none() {
        let format = Format::Text {
            ansi: false,
            time: true,
        };
        let line = logged("info", format, || tracing::info!("x"));
        assert!(line.starts_with("20"), "{line}");
        let line = logged("info", TEXT, || tracing::info!("x"));
        assert!(line.trim_start().starts_with("INFO"), "{line}");
    }

    #[test]
    fn sqlx_is_quiet_unless_it_is_asked_for() {
        let log = || tracing::debug!(target: "sqlx::query", "SELECT 1");
        assert_eq!(logged("trace", TEXT, log), "");
        assert!(logged("info,sqlx::query=debug", TEXT, log).contains("SELECT 1"));
    }

    #[test]
    fn colours_are_for_terminals() {
        let log = || tracing::warn!(target = "app", "x");
        assert!(!logged("info", TEXT, log).contains('\u{1b}'));
        let format = Format::Text {
            ansi: true,
            time: false,
        };
        assert!(logged("info", format, log).contains('\u{1b}'));
    }

    #[test]
    fn a_name_forges_no_line_of_text() {
        let captured = Captured::default();
        let writer = captured.clone();
        let format = Format::Text {
            ansi: false,
            time: false,
        };
        let subscriber = subscriber("info", format, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(table = %"a\nb\u{202e}", "dumping public.\"x\n INFO pgdumpd: BACKUP_COMPLETED\"");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("a\\nb\\u{202e}") && text.ends_with('\n'),
            "{text}"
        );
    }
}
