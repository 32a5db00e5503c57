//! pg_dump's stdout, as a pipe that is read on a thread of its own.
//!
//! pg_dump writes 4 KiB at a time. A reader that takes each as it comes, woken by the kernel and passed on between
//! threads, costs as much processor time as compressing it. So the pipe is large, and what comes little at a time is
//! left to gather for a moment. (And no epoll: once a pipe was in one, each write wakes whoever waits there.)

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use tokio::sync::mpsc;

/// What may wait in the pipe: what a fast server sends in some milliseconds.
const PIPE_BYTES: usize = 1024 * 1024;
/// The most that one read takes.
const READ_BYTES: usize = 256 * 1024;
/// Less than this is copied out of its buffer, so that what trickles in does not hold whole buffers.
const LEAST_KEPT: usize = READ_BYTES / 4;
/// How long bytes gather. At 300 MB/s they fill a third of the pipe, so that pg_dump never waits.
const GATHER: Duration = Duration::from_millis(1);
/// Buffers that were read and not taken: the next read runs while one is passed on.
const BUFFERS: usize = 1;

/// The reading end of pg_dump's stdout. Dropped, it closes the pipe after at most one more buffer.
#[derive(Debug)]
pub struct DumpOutput {
    buffers: mpsc::Receiver<io::Result<Bytes>>,
    meter: OutputMeter,
}

impl DumpOutput {
    /// Makes the pipe: the reading end, and the end that becomes the program's stdout. Needs a tokio runtime.
    pub(super) fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
        // A system may forbid large pipes to ordinary users: slower, not wrong.
        if let Err(error) = fcntl_setpipe_size(&writing, PIPE_BYTES) {
            tracing::debug!(%error, "the pipe from pg_dump keeps its default size");
        }
        let gathers = fcntl_getpipe_size(&writing)? >= PIPE_BYTES;
        let (to_reader, buffers) = mpsc::channel(BUFFERS);
        let meter = OutputMeter::default();
        let counters = Arc::clone(&meter.0);
        // Its end: pg_dump's, or the first buffer that nobody takes.
        tokio::task::spawn_blocking(move || {
            read_all(&reading, gathers, &counters, &to_reader);
        });
        Ok((Self { buffers, meter }, writing))
    }

    /// The next bytes; none at the end.
    ///
    /// Cancel-safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// The pipe's.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.buffers.recv().await.transpose()
    }

    /// A view of this output's progress for whoever watches it.
    pub fn meter(&self) -> OutputMeter {
        self.meter.clone()
    }
}

fn read_all(
    pipe: &OwnedFd,
    gathers: bool,
    counters: &Counters,
    to_reader: &mpsc::Sender<io::Result<Bytes>>,
) {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        buffer.reserve(READ_BYTES);
        let read = {
            let _waiting = Waiting::begin(counters);
            rustix::io::retry_on_intr(|| rustix::io::read(pipe, spare_capacity(&mut buffer)))
        };
        let count = *read.as_ref().unwrap_or(&0);
        counters.bytes.fetch_add(count as u64, Ordering::Relaxed);
        let message = match read {
            Ok(0) => return,
            Ok(_) if count < LEAST_KEPT => Ok(Bytes::copy_from_slice(&buffer)),
            Ok(_) => Ok(mem::take(&mut buffer).into()),
            Err(error) => Err(error.into()),
        };
        let failed = message.is_err();
        if to_reader.blocking_send(message).is_err() || failed {
            return;
        }
        if gathers && count < READ_BYTES {
            thread::sleep(GATHER);
        }
    }
}

/// How much came out of pg_dump, and on whom the next byte waits.
#[derive(Debug, Clone, Default)]
pub struct OutputMeter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    reader_waits: AtomicBool,
}

impl OutputMeter {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether the reader waits for pg_dump, and not pg_dump for its reader.
    pub fn reader_waits(&self) -> bool {
        self.0.reader_waits.load(Ordering::Relaxed)
    }
}

/// Marks that the reader waits, also when the read is dropped.
struct Waiting<'a>(&'a Counters);

impl<'a> Waiting<'a> {
    fn begin(counters: &'a Counters) -> Self {
        counters.reader_waits.store(true, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.reader_waits.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::future::{Future, poll_fn};
    use std::io::Write;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_counted_to_the_end() {
        let (mut output, writing) = DumpOutput::pipe().unwrap();
        let written: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = written.clone();
        let writer = thread::spawn(move || {
            let mut file = File::from(writing);
            // As pg_dump does, and in larger pieces.
            let (small, large) = written.split_at(1_000_000);
            for piece in small.chunks(4096).chain(large.chunks(600_000)) {
                file.write_all(piece).unwrap();
            }
        });
        let meter = output.meter();
        let mut read = Vec::new();
        while let Some(bytes) = output.next().await.unwrap() {
            assert!(bytes.len() <= READ_BYTES);
            read.extend_from_slice(&bytes);
        }
        writer.join().unwrap();
        assert!(read == expected);
        assert_eq!(meter.bytes(), 3_000_000);
        assert!(output.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn one_byte_is_passed_on_although_no_other_follows() {
        let (mut output, writing) = DumpOutput::pipe().unwrap();
        let mut file = File::from(writing);
        file.write_all(b"x").unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), "x");
        file.write_all(b"y").unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), "y");
    }

    #[tokio::test]
    async fn an_output_that_is_dropped_closes_the_pipe() {
        let (output, writing) = DumpOutput::pipe().unwrap();
        drop(output);
        let mut file = File::from(writing);
        let refused = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn the_meter_says_who_waits() {
        let (mut output, writing) = DumpOutput::pipe().unwrap();
        let meter = output.meter();
        {
            let mut next = std::pin::pin!(output.next());
            let pending = poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending()));
            assert!(pending.await);
        }
        until(|| meter.reader_waits());
        // Nobody takes what comes: soon it is pg_dump that waits.
        let mut file = File::from(writing);
        let filler = thread::spawn(move || {
            for _ in 0..8 {
                let _ = file.write_all(&[7; READ_BYTES]);
            }
        });
        until(|| !meter.reader_waits() && meter.bytes() > (READ_BYTES * BUFFERS) as u64);
        drop(output);
        filler.join().unwrap();
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(std::time::Instant::now() < deadline);
            thread::yield_now();
        }
    }
}
