//! The pipeline that compresses what passes: what comes out, and how it ends.

use std::sync::Arc;

use bytes::Bytes;
use pgdump_archive::{Codec, Compression, Index, IndexingParser, Recompression};
use pgdumpd::pipeline::{ArchiveEnd, Meter, Mode, Outcome, Streamed, pieces_in_flight, run};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::archive::archive;
use crate::stream::{DEADLINE, Kept, Pieces, Then, run_through};

fn compressed(codec: Codec) -> Mode {
    Mode::Recompress(Recompression::new(codec).with_raise_version(true))
}

fn codecs() -> [Codec; 3] {
    [
        Codec::NONE,
        Codec::gzip(6).unwrap(),
        Codec::zstd(1).unwrap(),
    ]
}

fn index_of(archive: &[u8]) -> Index {
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).unwrap();
    parser.finish().unwrap().1
}

async fn streamed(content: &Bytes, size: usize, codec: Codec) -> (Streamed, Vec<u8>) {
    let mut source = Pieces::new(content.clone(), size, Then::End);
    let mut sink = Kept::default();
    match run_through(&mut source, &mut sink, compressed(codec)).await {
        Ok(Outcome::Streamed(streamed)) => (streamed, sink.bytes),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_comes_out_holds_what_went_in_and_is_proved_indexed_and_hashed() {
    let content: Bytes =
        archive(&[("orders", 3000, 2000), ("empty", 0, 0), ("lines", 500, 70)]).into();
    let before = index_of(&content);
    for codec in codecs() {
        let (streamed, stored) = streamed(&content, 100_000, codec).await;
        assert_eq!(streamed.dump_bytes(), content.len() as u64);
        assert_eq!(streamed.size(), stored.len() as u64);
        let sha256: String = Sha256::digest(&stored)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(streamed.sha256(), sha256);
        let ArchiveEnd::Proved(proved) = streamed.end() else {
            panic!("{codec}: {streamed:?}");
        };
        assert_eq!(**proved.index(), index_of(&stored), "{codec}");
        assert_eq!(proved.proof().archive_bytes, streamed.size());
        assert_eq!(proved.header().compression, codec.compression());
        for (before, after) in before.entries.iter().zip(&proved.index().entries) {
            assert_eq!(before.raw_xxh3_128, after.raw_xxh3_128, "{codec}");
        }
        if codec.compression() != Compression::None {
            assert!(
                stored.len() < content.len() / 2,
                "{codec}: {}",
                stored.len()
            );
        }
        // However it is cut, the same comes out.
        let (again, _) = self::streamed(&content, 4097, codec).await;
        assert_eq!(again.sha256(), sha256);
    }
}

#[tokio::test]
async fn an_archive_cut_anywhere_has_no_end_when_it_is_compressed_either() {
    let whole = archive(&[("orders", 3, 40), ("empty", 0, 0), ("lines", 5, 7)]);
    for length in 0..whole.len() {
        let mut source = Pieces::new(whole[..length].to_vec(), 64, Then::End);
        let mode = compressed(Codec::zstd(1).unwrap());
        let outcome = run_through(&mut source, &mut Kept::default(), mode).await;
        let code = outcome.as_ref().err().map(|fault| fault.code().as_str());
        assert_eq!(
            code,
            Some("archive_incomplete"),
            "cut to {length}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_archive_that_is_compressed_already_is_refused() {
    let content: Bytes = archive(&[("orders", 30, 100)]).into();
    let (_, stored) = streamed(&content, 1000, Codec::gzip(1).unwrap()).await;
    let mut source = Pieces::new(stored, 1000, Then::End);
    let outcome = run_through(&mut source, &mut Kept::default(), compressed(Codec::NONE)).await;
    assert_eq!(outcome.unwrap_err().code().as_str(), "archive_corrupt");
}

#[tokio::test]
async fn a_sink_that_hangs_bounds_what_is_in_flight_and_cancel_still_ends_the_run() {
    const PIECE: usize = 1 << 20;
    let pieces = 4 * pieces_in_flight(Codec::NONE) + 20;
    let content = archive(&[("orders", pieces * 1050, 1000)]);
    let total = content.len();
    let mut source = Pieces::new(content, 10_000, Then::End);
    let mut sink = Kept {
        hang_at: Some(1),
        ..Kept::default()
    };
    let hanging = Arc::clone(&sink.hanging);
    let (cancel, meter) = (CancellationToken::new(), Meter::new());
    let mode = compressed(Codec::NONE);
    let run = run(&mut source, &mut sink, mode, Arc::clone(&meter), &cancel);
    let canceller = async {
        hanging.notified().await;
        // Until nothing moves any more.
        let mut before = u64::MAX;
        loop {
            let now = meter.snapshot().bytes_in;
            if now == before {
                break;
            }
            before = now;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        cancel.cancel();
    };
    let (outcome, ()) = tokio::time::timeout(DEADLINE, async { tokio::join!(run, canceller) })
        .await
        .expect("cancel ends the run");
    assert!(matches!(outcome, Ok(Outcome::Cancelled)), "{outcome:?}");
    let taken = total - source.content.len();
    // Beside those in flight: one that is split, one that is assembled, those that wait for the sink.
    let most = (pieces_in_flight(Codec::NONE) + 8) * PIECE;
    assert!(
        taken < most,
        "{taken} of {total} bytes were taken, {most} are allowed"
    );
}
