//! The pipeline between sources and sinks that are good, slow, cut, broken and hostile.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pgdumpd::code::Code;
use pgdumpd::fault::Fault;
use pgdumpd::pipeline::{
    ArchiveEnd, BUFFERS_IN_FLIGHT, Meter, Mode, Options, Outcome, PipelineError, Sink, Source,
    Waiting, run,
};
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::archive::{archive, block_end, block_start, head};

/// Longer than anything here takes, short enough to see a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a source does after its last piece.
pub(crate) enum Then {
    End,
    Fail,
    Hang,
}

/// Gives an archive in pieces, and counts those that are still alive.
pub(crate) struct Pieces {
    pub(crate) content: Bytes,
    size: usize,
    then: Then,
    alive: Arc<Alive>,
}

#[derive(Default)]
struct Alive {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Piece(Bytes, Arc<Alive>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.1.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pieces {
    pub(crate) fn new(content: impl Into<Bytes>, size: usize, then: Then) -> Self {
        let (content, alive) = (content.into(), Arc::default());
        Self {
            content,
            size,
            then,
            alive,
        }
    }
}

impl Source for Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.content.is_empty() {
            let piece = self.content.split_to(self.size.min(self.content.len()));
            let now = self.alive.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.alive.most.fetch_max(now, Ordering::SeqCst);
            return Ok(Some(Bytes::from_owner(Piece(
                piece,
                Arc::clone(&self.alive),
            ))));
        }
        match self.then {
            Then::End => Ok(None),
            Then::Fail => Err(io::Error::other("the pipe broke")),
            Then::Hang => pending().await,
        }
    }
}

/// Keeps what it is given, and fails or hangs once it has `limit` bytes.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fail_at: Option<usize>,
    pub(crate) hang_at: Option<usize>,
    pub(crate) hanging: Arc<Notify>,
}

impl Sink for Kept {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Fault> {
        if self.hang_at.is_some_and(|limit| self.bytes.len() >= limit) {
            self.hanging.notify_one();
            pending::<()>().await;
        }
        if self.fail_at.is_some_and(|limit| self.bytes.len() >= limit) {
            return Err(Fault::transient(Code::StorageFull, "no room"));
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }
}

fn small() -> Vec<u8> {
    archive(&[("orders", 3, 40), ("empty", 0, 0), ("lines", 5, 7)])
}

fn unread() -> Mode {
    Mode::Unread {
        reason: "of an unknown kind".into(),
    }
}

pub(crate) async fn run_through(
    source: &mut Pieces,
    sink: &mut Kept,
    how: impl Into<Options>,
) -> Result<Outcome, Fault> {
    let cancel = CancellationToken::new();
    let run = run(source, sink, how, Meter::new(), &cancel);
    let outcome = tokio::time::timeout(DEADLINE, run)
        .await
        .expect("the run ends");
    assert_eq!(
        source.alive.now.load(Ordering::SeqCst),
        0,
        "a buffer is still alive"
    );
    outcome.map_err(PipelineError::into_fault)
}

#[tokio::test]
async fn a_whole_archive_is_proved_counted_and_hashed() {
    let content = archive(&[("orders", 300, 4000), ("empty", 0, 0), ("lines", 500, 70)]);
    for size in [1, 7, 4096, 100_000, content.len()] {
        let (mut source, mut sink) = (
            Pieces::new(content.clone(), size, Then::End),
            Kept::default(),
        );
        let meter = Meter::new();
        let outcome = run(
            &mut source,
            &mut sink,
            Mode::Read,
            Arc::clone(&meter),
            &CancellationToken::new(),
        )
        .await;
        let Ok(Outcome::Streamed(streamed)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(sink.bytes == content);
        assert_eq!(streamed.size(), content.len() as u64);
        let sha256: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(streamed.sha256(), sha256);
        let ArchiveEnd::Proved(proved) = streamed.end() else {
            panic!("{streamed:?}");
        };
        assert_eq!(proved.proof().tables, 3);
        assert_eq!(proved.header().database.to_string(), "orders");
        let snapshot = meter.snapshot();
        assert_eq!(snapshot.bytes_in, content.len() as u64);
        assert_eq!(snapshot.bytes_out, content.len() as u64);
        let counted = meter.counted_from(0);
        assert_eq!((counted.tables_done, snapshot.tables_total), (3, 3));
        assert_eq!(counted.blocks.len(), 3);
        assert_eq!(meter.counted_from(2).blocks, counted.blocks[2..]);
    }
}

#[tokio::test]
async fn an_archive_cut_anywhere_has_no_end() {
    let whole = small();
    for length in 0..whole.len() {
        let mut source = Pieces::new(whole[..length].to_vec(), 64, Then::End);
        let outcome = run_through(&mut source, &mut Kept::default(), Mode::Read).await;
        let code = outcome.as_ref().err().map(|fault| fault.code().as_str());
        assert_eq!(
            code,
            Some("archive_incomplete"),
            "cut to {length}: {outcome:?}"
        );
    }
    let mut source = Pieces::new(whole, 64, Then::End);
    let outcome = run_through(&mut source, &mut Kept::default(), Mode::Read).await;
    assert!(matches!(outcome, Ok(Outcome::Streamed(_))));
}

#[tokio::test]
async fn a_source_that_fails_gives_no_end_even_after_a_whole_archive() {
    for mode in [Mode::Read, unread()] {
        let mut source = Pieces::new(small(), 64, Then::Fail);
        let fault = run_through(&mut source, &mut Kept::default(), mode)
            .await
            .unwrap_err();
        assert_eq!(fault.code().as_str(), "dump_read_failed");
        assert!(
            fault.report().ends_with("the pipe broke"),
            "{}",
            fault.report()
        );
    }
}

#[tokio::test]
async fn bytes_after_the_archive_are_refused() {
    let mut content = small();
    content.push(1);
    content.extend([0, 100, 0, 0, 0]);
    let mut source = Pieces::new(content, 64, Then::End);
    let fault = run_through(&mut source, &mut Kept::default(), Mode::Read)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "archive_corrupt");
}

#[tokio::test]
async fn a_sinks_fault_comes_through_and_ends_the_source() {
    let content = archive(&[("orders", 1000, 1000)]);
    let mut source = Pieces::new(content, 1000, Then::Hang);
    let mut sink = Kept {
        fail_at: Some(100_000),
        ..Kept::default()
    };
    let fault = run_through(&mut source, &mut sink, Mode::Read)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_full");
    assert!(
        source.content.len() > 800_000,
        "{} bytes left",
        source.content.len()
    );
}

#[tokio::test]
async fn an_unknown_version_is_distinguished_and_passes_unread() {
    let content = [head(99, &[("orders", 0, 0)]), vec![7; 10_000]].concat();
    let mut source = Pieces::new(content.clone(), 1000, Then::End);
    let outcome = run_through(&mut source, &mut Kept::default(), Mode::Read).await;
    let Ok(Outcome::Unreadable { reason }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("1.99"), "{reason}");

    let (mut source, mut sink) = (Pieces::new(content.clone(), 3, Then::End), Kept::default());
    let outcome = run_through(&mut source, &mut sink, unread()).await;
    let Ok(Outcome::Streamed(streamed)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(sink.bytes == content);
    assert_eq!(streamed.size(), content.len() as u64);
    let ArchiveEnd::Unread(end) = streamed.end() else {
        panic!("it was not read");
    };
    assert_eq!(end.reason(), "of an unknown kind");
}

#[tokio::test]
async fn what_is_no_archive_does_not_pass_even_unread() {
    for content in [&b""[..], b"PGDM", b"--\n-- PostgreSQL database dump\n--\n"] {
        for mode in [Mode::Read, unread()] {
            let mut source = Pieces::new(content, 2, Then::End);
            let fault = run_through(&mut source, &mut Kept::default(), mode)
                .await
                .unwrap_err();
            assert!(
                ["archive_incomplete", "archive_corrupt"].contains(&fault.code().as_str()),
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn cancel_ends_a_run_whose_source_hangs_and_frees_its_buffers() {
    let mut source = Pieces::new(head(14, &[("orders", 1, 1)]), 100, Then::Hang);
    let (mut sink, cancel, meter) = (Kept::default(), CancellationToken::new(), Meter::new());
    let run = run(
        &mut source,
        &mut sink,
        Mode::Read,
        Arc::clone(&meter),
        &cancel,
    );
    let canceller = async {
        until(|| meter.snapshot().toc.is_some() && meter.snapshot().waiting == Waiting::Source)
            .await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::time::timeout(DEADLINE, async { tokio::join!(run, canceller) })
        .await
        .expect("cancel ends the run");
    assert!(matches!(outcome, Ok(Outcome::Cancelled)), "{outcome:?}");
    assert_eq!(source.alive.now.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_sink_that_hangs_stops_the_source_and_cancel_still_ends_the_run() {
    let mut source = Pieces::new(archive(&[("orders", 1000, 1000)]), 1000, Then::End);
    let alive = Arc::clone(&source.alive);
    let mut sink = Kept {
        hang_at: Some(50_000),
        ..Kept::default()
    };
    let hanging = Arc::clone(&sink.hanging);
    let (cancel, meter) = (CancellationToken::new(), Meter::new());
    let run = run(
        &mut source,
        &mut sink,
        Mode::Read,
        Arc::clone(&meter),
        &cancel,
    );
    let canceller = async {
        hanging.notified().await;
        // As many as may be in flight are; none more ever comes.
        until(|| alive.now.load(Ordering::SeqCst) == BUFFERS_IN_FLIGHT).await;
        let snapshot = meter.snapshot();
        assert_eq!(snapshot.waiting, Waiting::Sink);
        let counted = meter.counted_from(0);
        assert!(counted.blocks.is_empty() && counted.so_far.raw_bytes > 0);
        assert!(snapshot.bytes_in > snapshot.bytes_out);
        cancel.cancel();
    };
    let (outcome, ()) = tokio::time::timeout(DEADLINE, async { tokio::join!(run, canceller) })
        .await
        .expect("cancel ends the run");
    assert!(matches!(outcome, Ok(Outcome::Cancelled)), "{outcome:?}");
    assert_eq!(alive.now.load(Ordering::SeqCst), 0);
    assert_eq!(alive.most.load(Ordering::SeqCst), BUFFERS_IN_FLIGHT);
}

#[tokio::test]
async fn a_dropped_run_frees_its_buffers() {
    let mut source = Pieces::new(archive(&[("orders", 1000, 1000)]), 1000, Then::End);
    let alive = Arc::clone(&source.alive);
    let mut sink = Kept {
        hang_at: Some(50_000),
        ..Kept::default()
    };
    let hanging = Arc::clone(&sink.hanging);
    let cancel = CancellationToken::new();
    tokio::select! {
        outcome = run(&mut source, &mut sink, Mode::Read, Meter::new(), &cancel) => panic!("{outcome:?}"),
        () = hanging.notified() => {}
    }
    until(|| alive.now.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn memory_does_not_grow_with_the_data() {
    // 200 MB pass; no more than a handful of buffers ever live.
    let mut start = head(14, &[("orders", 1, 1)]);
    block_start(&mut start, 0);
    let mut source = Endless {
        start: Some(start.into()),
        rows: 200,
        alive: Arc::default(),
    };
    struct Nothing;
    impl Sink for Nothing {
        async fn write(&mut self, _: Bytes) -> Result<(), Fault> {
            Ok(())
        }
    }
    let outcome = run(
        &mut source,
        &mut Nothing,
        Mode::Read,
        Meter::new(),
        &CancellationToken::new(),
    )
    .await;
    let Ok(Outcome::Streamed(streamed)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(streamed.size() > 200 << 20);
    assert!(source.alive.most.load(Ordering::SeqCst) <= BUFFERS_IN_FLIGHT);
}

/// One table of rows of 1 MiB, each made when it is asked for.
struct Endless {
    start: Option<Bytes>,
    rows: usize,
    alive: Arc<Alive>,
}

impl Source for Endless {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(start) = self.start.take() {
            return Ok(Some(start));
        }
        let Some(rows) = self.rows.checked_sub(1) else {
            return Ok(None);
        };
        self.rows = rows;
        let mut row = vec![0, 0, 0, 16, 0];
        row.resize(4 + (1 << 20), 7);
        row.push(b'\n');
        if rows == 0 {
            block_end(&mut row);
        }
        let now = self.alive.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.alive.most.fetch_max(now, Ordering::SeqCst);
        Ok(Some(Bytes::from_owner(Piece(
            row.into(),
            Arc::clone(&self.alive),
        ))))
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition comes true");
}

/// A change of some bytes, or none, of a good archive.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<proptest::sample::Index>(), any::<u8>());
    proptest::collection::vec(change, 0..8).prop_map(|changes| {
        let mut content = small();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        content
    })
}

proptest! {
    #[test]
    fn a_hostile_source_neither_panics_nor_hangs_nor_changes_what_passes(
        content in hostile(), size in 1..300_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut source, mut sink) = (Pieces::new(content.clone(), size, Then::End), Kept::default());
            if let Ok(Outcome::Streamed(streamed)) = run_through(&mut source, &mut sink, Mode::Read).await {
                prop_assert_eq!(streamed.size(), content.len() as u64);
                prop_assert_eq!(sink.bytes, content);
            }
            Ok(())
        })?;
    }
}
