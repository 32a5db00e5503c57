//! One archive on its way into a local directory.
//!
//! Not object_store's own local multipart upload, for three reasons. It sets no file mode, so a loose umask
//! would show a database to everyone. It leaves all write-back to one fsync at the end, so the disk idles while
//! pg_dump works and pg_dump's time and the disk's add up; here the disk is kept busy from the start. And what
//! it leaves when it is dropped is removed at some later time, if the runtime still lives; here the writing
//! thread itself removes it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::Advice;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::directory::{self, Root};
use crate::code::Code;
use crate::fault::Fault;
use crate::store::backend::BackendUpload;
use crate::store::faults;
use crate::store::key::ObjectKey;
use crate::store::room::no_room;
use crate::text::size;

/// Buffers between the caller and the writing thread: enough that neither waits for the other's wake-up.
/// Memory in flight is this many buffers and the one being written.
const BUFFERS_IN_FLIGHT: usize = 4;
/// After this many bytes write-back is requested and free space is checked: often enough that little is left
/// for the last fsync, seldom enough that neither costs anything.
const FLUSH_EVERY: u64 = 32 << 20;

enum Message {
    Part(Bytes),
    Commit,
}

/// The caller's end. Dropped without `commit`, it leaves nothing, as soon as the writing thread sees it.
#[derive(Debug)]
pub(super) struct LocalUpload {
    parts: Option<mpsc::Sender<Message>>,
    writer: Option<JoinHandle<Result<u64, Fault>>>,
}

impl LocalUpload {
    /// Blocks. Opens the temporary file, and starts the writing thread on `runtime`.
    pub(super) fn begin(
        root: &Root,
        key: &ObjectKey,
        min_free: u64,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Fault> {
        let (file, temporary) = root.create_temporary(key.as_str()).map_err(|error| {
            let target = root.join(key.as_str());
            faults::of_io(
                format!("cannot create {}", target.display()),
                root.path(),
                error,
            )
        })?;
        let writer = Writer {
            root: root.clone(),
            key: key.clone(),
            file,
            temporary,
            min_free,
            written: 0,
        };
        let (parts, receiver) = mpsc::channel(BUFFERS_IN_FLIGHT);
        let writer = runtime.spawn_blocking(move || writer.run(receiver));
        Ok(Self {
            parts: Some(parts),
            writer: Some(writer),
        })
    }

    async fn send(&mut self, message: Message) -> Result<(), Fault> {
        let sent = match &self.parts {
            Some(parts) => parts.send(message).await.is_ok(),
            None => false,
        };
        if sent {
            return Ok(());
        }
        // The writing thread ended by itself: it knows why.
        Err(self.end().await.err().unwrap_or_else(died))
    }

    async fn end(&mut self) -> Result<u64, Fault> {
        self.parts = None;
        match self.writer.take() {
            Some(writer) => writer.await.unwrap_or_else(|_| Err(died())),
            None => Err(died()),
        }
    }
}

#[async_trait]
impl BackendUpload for LocalUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), Fault> {
        self.send(Message::Part(part)).await
    }

    async fn commit(mut self: Box<Self>) -> Result<u64, Fault> {
        self.send(Message::Commit).await?;
        self.end().await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Fault> {
        match self.end().await {
            // What made the caller abort is not news to it; a temporary file that stays is.
            Err(fault) if fault.code() == Code::StorageLeftover => Err(fault),
            _ => Ok(()),
        }
    }
}

fn died() -> Fault {
    Fault::transient(Code::StorageFailed, "the upload has already ended")
}

/// The writing thread's side.
struct Writer {
    root: Root,
    key: ObjectKey,
    file: File,
    /// Its key while it is written.
    temporary: String,
    min_free: u64,
    written: u64,
}

impl Writer {
    fn run(mut self, receiver: mpsc::Receiver<Message>) -> Result<u64, Fault> {
        match self.receive(receiver) {
            Ok(true) => match self.publish() {
                Ok(()) => Ok(self.written),
                Err(error) => Err(self.failed("cannot finish", error)),
            },
            Ok(false) => self.clean_up().map(|()| self.written),
            Err(Stop::Io(error)) => Err(self.failed("cannot write", error)),
            Err(Stop::Fault(fault)) => {
                let cleaned = self.clean_up();
                Err(fault).inspect_err(|_| log_leftover(cleaned))
            }
        }
    }

    /// Writes until commit (true), or until the upload is dropped (false).
    fn receive(&mut self, receiver: mpsc::Receiver<Message>) -> Result<bool, Stop> {
        let failed = AtomicBool::new(false);
        let file = &self.file;
        let mut filling = Filling {
            file,
            root: &self.root,
            min_free: self.min_free,
            flush_failed: &failed,
            written: 0,
        };
        let (received, flushed) = thread::scope(|scope| {
            // One waiting request is enough: a flush takes everything written before it.
            let (requests, flushes) = sync_channel(1);
            let flusher = scope.spawn(|| flush_in_background(file, flushes, &failed));
            let received = filling.receive(receiver, &requests);
            drop(requests);
            (received, flusher.join())
        });
        self.written = filling.written;
        // Linux reports a failed write-back once for an open file: whoever got the report must pass it on.
        flushed.unwrap_or_else(|_| Err(io::Error::other("the flushing thread panicked")))?;
        received
    }

    fn publish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        let size = self.file.metadata()?.len();
        if size != self.written {
            return Err(io::Error::other(format!(
                "the file has {size} bytes where {} were written",
                self.written
            )));
        }
        let key = self.key.as_str();
        self.root.rename(&self.temporary, key)?;
        let synced = self.root.sync_directory(directory::parent(key));
        synced.inspect_err(|_| {
            // Not known to be durable, so it must not stay; without a manifest it is not a backup anyway.
            let _ = self.root.remove_if_there(key);
        })
    }

    fn failed(&self, what: &str, error: io::Error) -> Fault {
        log_leftover(self.clean_up());
        let what = format!("{what} {}", self.root.join(self.key.as_str()).display());
        faults::of_io(what, self.root.path(), error)
    }

    fn clean_up(&self) -> Result<(), Fault> {
        self.root
            .remove_if_there(&self.temporary)
            .map_err(|error| {
                let temporary = self.root.join(&self.temporary);
                let what = format!("cannot remove {}", temporary.display());
                Fault::transient(Code::StorageLeftover, what).caused_by(error)
            })?;
        // An empty directory is untidy, not wrong.
        let _ = self.root.remove_empty_directory(self.key.as_str());
        Ok(())
    }
}

fn log_leftover(cleaned: Result<(), Fault>) {
    if let Err(fault) = cleaned {
        tracing::warn!(error = %fault.report(), "a temporary file stays in the storage");
    }
}

/// The file while it grows.
struct Filling<'a> {
    file: &'a File,
    root: &'a Root,
    min_free: u64,
    flush_failed: &'a AtomicBool,
    written: u64,
}

impl Filling<'_> {
    fn receive(
        &mut self,
        mut receiver: mpsc::Receiver<Message>,
        flushes: &SyncSender<u64>,
    ) -> Result<bool, Stop> {
        let mut flush_at = FLUSH_EVERY;
        loop {
            match receiver.blocking_recv() {
                Some(Message::Part(part)) => self.file.write_all(&part).map(|()| {
                    self.written += part.len() as u64;
                })?,
                Some(Message::Commit) => return Ok(true),
                None => return Ok(false),
            }
            if self.written >= flush_at {
                flush_at = self.written + FLUSH_EVERY;
                // Full: a flush is already asked for. Gone: it failed, and its end says why.
                let _ = flushes.try_send(self.written);
                self.keep_free()?;
            }
            if self.flush_failed.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }

    fn keep_free(&self) -> Result<(), Stop> {
        match self.root.free_space() {
            Ok(free) if free < self.min_free => Err(Stop::Fault(no_room(format!(
                "{} has {} free, less than the {} that are to be left",
                self.root.path().display(),
                size(free),
                size(self.min_free)
            )))),
            // What cannot be measured does not end a dump: a full disk still shows when writing.
            _ => Ok(()),
        }
    }
}

enum Stop {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes back what was written, and gives up the cached pages: a backup is seldom read soon, and the
/// database's own pages are worth more.
fn flush_in_background(
    file: &File,
    requests: Receiver<u64>,
    failed: &AtomicBool,
) -> io::Result<()> {
    for written in requests {
        file.sync_data()
            .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        // Advice; a file system that does not take it loses nothing.
        let _ = rustix::fs::fadvise(
            file,
            0,
            std::num::NonZeroU64::new(written),
            Advice::DontNeed,
        );
    }
    Ok(())
}
