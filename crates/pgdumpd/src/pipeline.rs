//! The stages between dump and storage: what comes from pg_dump is parsed, counted and hashed on a thread of
//! its own, compressed on more and encrypted where that is asked for, and is sent to the storage, with back-pressure
//! all the way.
//!
//! ```text
//! Source ──▶ feed ──▶ [BUFFERS_BEFORE] ──▶ reader thread ─────────────────────▶ [BUFFERS_AFTER] ──▶ drain ──▶ Sink
//!                                    or ──▶ splitting thread ──▶ packers ──▶ assembling thread
//! ```
//! The thread that is last encrypts, and then hashes: size and SHA-256 are of what is stored. An archive that pg_dump
//! compressed and that is not encrypted is passed on, not copied. In flight are at most [`BUFFERS_IN_FLIGHT`] of the
//! source's buffers, and [`pieces_in_flight`] pieces that are compressed; the parser keeps the table of contents
//! beside that, within pgdump-archive's limits, and the index.
//!
//! A pipeline knows neither pg_dump nor storages: [`Source`] and [`Sink`] are whatever its caller has.

mod compress;
mod end;
mod error;
mod meter;
mod output;
mod reader;

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use pgdump_archive::Recompression;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::end::{ArchiveEnd, Proved, Streamed, Unread};
pub use self::meter::{Counted, Meter, Snapshot, Waiting};

pub use self::compress::pieces_in_flight;
pub use self::error::PipelineError;
use self::error::StreamEnd;
use self::output::Output;
use self::reader::Reader;
use crate::code::Code;
use crate::encryption::Recipients;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// Buffers that wait to be inspected: so that the source is read on while the thread wakes up.
const BUFFERS_BEFORE: usize = 4;
/// Buffers that wait for the sink: so that the thread works on while the sink's write is under way.
const BUFFERS_AFTER: usize = 4;
/// The most buffers of the source that are alive at once: those that wait, and one in the hands of each stage.
pub const BUFFERS_IN_FLIGHT: usize = BUFFERS_BEFORE + BUFFERS_AFTER + 3;

/// Where an archive comes from.
pub trait Source: Send {
    /// The next bytes, none at the end. Cancel-safe: a call that is dropped has taken nothing that matters.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

impl Source for mpsc::Receiver<io::Result<Bytes>> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.recv().await.transpose()
    }
}

/// Where an archive goes.
pub trait Sink: Send {
    /// Takes the next bytes, and waits while it cannot. A call may be dropped; nothing is written after that.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Whether the archive is read on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// It is parsed and its data decompressed for counting; it must be whole. It is passed on as it is.
    Read,
    /// It comes without compression, is parsed as above, and is passed on compressed by us.
    Recompress(Recompression),
    /// It is passed on as it is: this build cannot read it.
    Unread {
        /// Why, as the manifest will say.
        reason: String,
    },
}

/// How an archive is passed on.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether it is read on its way, and who compresses.
    pub mode: Mode,
    /// Who can read it once it is stored; everybody, if none.
    pub encrypt_to: Option<Recipients>,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Self {
        Self {
            mode,
            encrypt_to: None,
        }
    }
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// Everything went through; what the parser said is inside.
    Streamed(Streamed),
    /// The archive may be good, but this build cannot read it: the dump is to be started again, for
    /// [`Mode::Unread`].
    Unreadable {
        /// Why, as the manifest will say.
        reason: String,
    },
    /// `cancel` was called.
    Cancelled,
}

/// Moves an archive from `source` to `sink` until it ends.
///
/// Whatever the result, no thread of this run is left when it returns. A run that is dropped instead leaves its
/// thread to end by itself, within one buffer.
///
/// # Errors
/// The sink's own fault; a transient `dump_read_failed` when the source fails; a transient `archive_incomplete`
/// when the archive is cut short, and `archive_corrupt` when it is not an archive; `encryption_failed`.
pub async fn run(
    source: &mut impl Source,
    sink: &mut impl Sink,
    how: impl Into<Options>,
    meter: Arc<Meter>,
    cancel: &CancellationToken,
) -> Result<Outcome, PipelineError> {
    let (to_read, reading) = mpsc::channel(BUFFERS_BEFORE);
    let (to_drain, drain) = mpsc::channel(BUFFERS_AFTER);
    let runtime = tokio::runtime::Handle::current();
    let counting = Arc::clone(&meter);
    let Options { mode, encrypt_to } = how.into();
    let thread = off_runtime("reads the archive", move || {
        let output = Output::new(encrypt_to.as_ref(), &to_drain)?;
        match mode {
            Mode::Read => Reader::reading(counting).run(reading, output),
            Mode::Unread { reason } => Reader::unread(reason, counting).run(reading, output),
            Mode::Recompress(how) => compress::run(how, &counting, reading, output, &runtime),
        }
    });
    let flow = flow(source, to_read, drain, sink, &meter);
    let flowed = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        flowed = flow => Some(flowed),
    };
    // Both channels' ends are gone with `flow`, so the thread ends.
    let read = thread.await;
    let read = read.unwrap_or_else(|fault| Err(StreamEnd::internal(fault)));
    match (flowed, read) {
        (None, _) => Ok(Outcome::Cancelled),
        (Some(Err(error)), _) | (Some(Ok(())), Err(StreamEnd::Failed(error))) => Err(error),
        (Some(Ok(())), Ok(streamed)) => Ok(Outcome::Streamed(streamed)),
        (Some(Ok(())), Err(StreamEnd::Unreadable(reason))) => Ok(Outcome::Unreadable { reason }),
        (Some(Ok(())), Err(StreamEnd::Abandoned)) => {
            Err(PipelineError::Internal(Fault::transient(
                Code::Internal,
                "the thread that reads the archive was abandoned",
            )))
        }
    }
}

/// What the reading thread receives. A channel that closes without `End` does not count as an end.
enum Message {
    Bytes(Bytes),
    End,
}

async fn flow(
    source: &mut impl Source,
    to_read: mpsc::Sender<Message>,
    drain_from: mpsc::Receiver<Bytes>,
    sink: &mut impl Sink,
    meter: &Meter,
) -> Result<(), PipelineError> {
    tokio::try_join!(feed(source, to_read, meter), drain(drain_from, sink, meter))?;
    Ok(())
}

async fn feed(
    source: &mut impl Source,
    to_read: mpsc::Sender<Message>,
    meter: &Meter,
) -> Result<(), PipelineError> {
    loop {
        meter.waits_for(Waiting::Source);
        let next = source.next().await.map_err(|error| {
            let fault = Fault::transient(Code::DumpReadFailed, "cannot read the dump");
            PipelineError::Source(fault.caused_by(error))
        })?;
        meter.waits_for(Waiting::Sink);
        let message = match next {
            Some(bytes) => {
                meter.came_in(bytes.len());
                Message::Bytes(bytes)
            }
            None => Message::End,
        };
        let ended = matches!(message, Message::End);
        // A closed channel: the reader has stopped, and says why.
        if to_read.send(message).await.is_err() || ended {
            return Ok(());
        }
    }
}

async fn drain(
    mut drain_from: mpsc::Receiver<Bytes>,
    sink: &mut impl Sink,
    meter: &Meter,
) -> Result<(), PipelineError> {
    while let Some(bytes) = drain_from.recv().await {
        let count = bytes.len();
        sink.write(bytes).await.map_err(PipelineError::Sink)?;
        meter.went_out(count);
    }
    Ok(())
}
