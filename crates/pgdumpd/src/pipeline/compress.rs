//! The threads that compress what passes: one splits it into pieces, several pack these, one puts them together
//! in order and lets the output encrypt and hash the result.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pgdump_archive::{
    AssembleError, Assembler, Codec, Header, PackError, Packed, Packer, Piece, Proof,
    RecompressError, Recompression, Recompressor, Toc,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Message;
use super::end::{ArchiveEnd, Proved, Streamed};
use super::error::{StreamEnd, corrupt, damaged, not_an_archive};
use super::meter::Meter;
use super::output::Output;
use crate::code::Code;
use crate::fault::Fault;

/// What the codecs of one archive's packers may take in memory together, in bytes: where there are many processors,
/// zstd's high levels would take several times as much.
const CODECS_BYTES: usize = 1 << 30;
/// Pieces that are packed beside those in the queue: the last one that was split, and the one that is assembled next.
const BESIDE_THE_QUEUE: usize = 2;

/// Pieces of one archive that are being packed, or wait for their turn: one for each processor, so that all have
/// work, and one more, so that none waits for the assembler; fewer where the codecs of all would take more than 1 GiB.
/// Each holds [`Codec::piece_bytes`] and its packed form. Two more are on their way in and out.
pub fn pieces_in_flight(codec: Codec) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    pieces_for(processors, codec)
}

fn pieces_for(processors: usize, codec: Codec) -> usize {
    let have_room = CODECS_BYTES / codec.memory_bytes().max(1);
    (processors + 1).min(have_room.saturating_sub(BESIDE_THE_QUEUE))
}

/// What the assembling thread receives, in the archive's order.
enum Next {
    Piece(JoinHandle<Result<Packed, PackError>>),
    End(Box<End>),
}

/// The end of what was split.
struct End {
    dump_bytes: u64,
    proof: Proof,
    header: Option<Header>,
    toc: Option<Arc<Toc>>,
}

/// Blocks until the stream ends.
pub(super) fn run(
    how: Recompression,
    meter: &Meter,
    incoming: mpsc::Receiver<Message>,
    output: Output<'_>,
    runtime: &Handle,
) -> Result<Streamed, StreamEnd> {
    let (to_assemble, assemble_from) = sync_channel(pieces_in_flight(how.codec));
    thread::scope(|scope| {
        let assembling = scope.spawn(|| assemble(assemble_from, meter, output, runtime));
        let packers = Packers::new(how.codec, runtime.clone());
        let split = split(how, meter, incoming, &packers, &to_assemble);
        drop(to_assemble);
        let assembled = assembling.join().map_err(|_| {
            StreamEnd::internal(internal("the thread that assembles the archive ended"))
        })?;
        match (split, assembled) {
            // The one that stopped first knows why; the other one only lost its peer.
            (Err(StreamEnd::Abandoned), assembled) => assembled,
            (Err(stop), _) => Err(stop),
            (Ok(()), assembled) => assembled,
        }
    })
}

fn split(
    how: Recompression,
    meter: &Meter,
    mut incoming: mpsc::Receiver<Message>,
    packers: &Packers,
    to_assemble: &SyncSender<Next>,
) -> Result<(), StreamEnd> {
    let send = |next| to_assemble.send(next).map_err(|_| StreamEnd::Abandoned);
    let mut recompressor = Recompressor::new(how);
    loop {
        match incoming.blocking_recv().ok_or(StreamEnd::Abandoned)? {
            Message::Bytes(bytes) => {
                recompressor.push(&bytes, &mut |event| meter.saw(event))?;
                while let Some(piece) = recompressor.take_piece() {
                    send(Next::Piece(packers.pack(piece)))?;
                }
            }
            Message::End => {
                let header = recompressor.stored_header().cloned();
                let toc = recompressor.toc().cloned();
                let dump_bytes = recompressor.position();
                let (pieces, proof) = recompressor.finish()?;
                for piece in pieces {
                    send(Next::Piece(packers.pack(piece)))?;
                }
                let end = End {
                    dump_bytes,
                    proof,
                    header,
                    toc,
                };
                return send(Next::End(Box::new(end)));
            }
        }
    }
}

fn assemble(
    assemble_from: Receiver<Next>,
    meter: &Meter,
    mut output: Output<'_>,
    runtime: &Handle,
) -> Result<Streamed, StreamEnd> {
    let mut assembler = Assembler::new();
    loop {
        match assemble_from.recv().map_err(|_| StreamEnd::Abandoned)? {
            Next::Piece(packing) => {
                let packed = runtime
                    .block_on(packing)
                    .map_err(|e| {
                        StreamEnd::internal(internal("a packing thread ended").caused_by(e))
                    })?
                    .map_err(|e| {
                        StreamEnd::internal(internal("a piece cannot be compressed").caused_by(e))
                    })?;
                let bytes = assembler.push(packed).map_err(not_assembled)?;
                meter.counts(assembler.entries(), assembler.so_far());
                output.send(bytes.into())?;
            }
            Next::End(end) => {
                let (proof, index) = assembler.finish(end.proof).map_err(|e| {
                    StreamEnd::internal(internal("pieces are missing").caused_by(e))
                })?;
                let proved = Proved::new(proof, index, end.header, end.toc)?;
                return output.end(ArchiveEnd::Proved(Box::new(proved)), Some(end.dump_bytes));
            }
        }
    }
}

/// Packs pieces on the runtime's blocking threads; keeps the codec's memory between them.
struct Packers {
    codec: Codec,
    idle: Arc<Mutex<Vec<Packer>>>,
    runtime: Handle,
}

impl Packers {
    fn new(codec: Codec, runtime: Handle) -> Self {
        Self {
            codec,
            idle: Arc::default(),
            runtime,
        }
    }

    fn pack(&self, piece: Piece) -> JoinHandle<Result<Packed, PackError>> {
        let (codec, idle) = (self.codec, Arc::clone(&self.idle));
        self.runtime.spawn_blocking(move || {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = lock().pop();
            let mut packer = match kept {
                Some(packer) => packer,
                None => Packer::new(codec)?,
            };
            let packed = piece.pack(&mut packer);
            lock().push(packer);
            packed
        })
    }
}

fn not_assembled(error: AssembleError) -> StreamEnd {
    match error {
        AssembleError::Copy { .. } => not_an_archive(damaged().caused_by(error)),
        _ => StreamEnd::internal(internal("a piece is out of order").caused_by(error)),
    }
}

fn internal(what: &str) -> Fault {
    Fault::transient(Code::Internal, what)
}

impl From<RecompressError> for StreamEnd {
    fn from(error: RecompressError) -> Self {
        match error {
            RecompressError::Archive(error) => error.into(),
            // A version that cannot say the compression that was asked for: pg_dump's own will do.
            RecompressError::Encode(error) => Self::Unreadable(error.to_string()),
            error => not_an_archive(corrupt().caused_by(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_has_work_and_codecs_take_no_more_than_a_gibibyte() {
        for processors in [1, 2, 4, 16, 64, 256] {
            for codec in [
                "none", "gzip:9", "lz4", "zstd:1", "zstd:8", "zstd:11", "zstd:22",
            ] {
                let codec: Codec = codec.parse().unwrap();
                let pieces = pieces_for(processors, codec);
                let codecs = (pieces + BESIDE_THE_QUEUE) * codec.memory_bytes();
                assert!(codecs <= CODECS_BYTES, "{processors} {codec}: {codecs}");
                let are_enough = pieces == processors + 1;
                let are_all = codecs + codec.memory_bytes() > CODECS_BYTES;
                assert!(are_enough || are_all, "{processors} {codec}: {pieces}");
            }
        }
    }
}
