//! pg_dump's stdout, as a pipe that is read without blocking a thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::BytesMut;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// pg_dump writes 4 KiB at a time; a pipe of this size keeps it and its reader from waking each other for each.
const PIPE_BYTES: usize = 1024 * 1024;

/// The least room that a read is given.
const READ_BYTES: usize = 256 * 1024;

/// The reading end of pg_dump's stdout.
#[derive(Debug)]
pub struct DumpOutput {
    pipe: Receiver,
    meter: OutputMeter,
}

impl DumpOutput {
    /// Makes the pipe: the reading end, and the end that becomes the program's stdout.
    pub(super) fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
        // A system may forbid large pipes to ordinary users: slower, not wrong.
        if let Err(error) = fcntl_setpipe_size(&writing, PIPE_BYTES) {
            tracing::debug!(%error, "the pipe from pg_dump keeps its default size");
        }
        let output = Self {
            pipe: Receiver::from_owned_fd(reading)?,
            meter: OutputMeter::default(),
        };
        Ok((output, writing))
    }

    /// Appends what has come to `buffer`, making room where there is little. 0 is the end.
    ///
    /// Cancel-safe: a read that is dropped has taken nothing.
    ///
    /// # Errors
    /// The pipe's.
    pub async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() - buffer.len() < READ_BYTES / 4 {
            buffer.reserve(READ_BYTES);
        }
        let waiting = Waiting::begin(&self.meter.0);
        let count = self.pipe.read_buf(buffer).await?;
        drop(waiting);
        self.meter
            .0
            .bytes
            .fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// A view of this output's progress for whoever watches it.
    pub fn meter(&self) -> OutputMeter {
        self.meter.clone()
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
    use std::future::{Future, poll_fn};
    use std::io::Write;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_counted_to_the_end() {
        let (mut output, writing) = DumpOutput::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            let mut file = std::fs::File::from(writing);
            for _ in 0..300 {
                file.write_all(&[7; 10_000]).unwrap();
            }
        });
        let meter = output.meter();
        let mut buffer = BytesMut::new();
        while output.read(&mut buffer).await.unwrap() > 0 {}
        writer.join().unwrap();
        assert_eq!(buffer.len(), 3_000_000);
        assert_eq!(meter.bytes(), 3_000_000);
        assert!(!meter.reader_waits());
    }

    #[tokio::test]
    async fn a_full_buffer_is_not_taken_for_the_end() {
        let (mut output, writing) = DumpOutput::pipe().unwrap();
        std::fs::File::from(writing).write_all(b"more").unwrap();
        let mut full = BytesMut::from(&b"x"[..]);
        full.truncate(1);
        assert_eq!(output.read(&mut full).await.unwrap(), 4);
        assert_eq!(&full[..], b"xmore");
    }

    #[tokio::test]
    async fn the_meter_tells_who_waits() {
        let (mut output, _writing) = DumpOutput::pipe().unwrap();
        let meter = output.meter();
        let mut buffer = BytesMut::new();
        {
            let mut read = std::pin::pin!(output.read(&mut buffer));
            let pending = poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_pending()));
            assert!(pending.await);
            assert!(meter.reader_waits());
        }
        assert!(!meter.reader_waits());
    }
}
