//! Compresses an archive of `pg_dump -Fc -Z0` anew, in one thread, and says what each step took.
//!
//! `cargo run --release -p pgdump-archive --example recompress -- IN.dump zstd:1 OUT.dump`

use std::error::Error;
use std::time::{Duration, Instant};

use pgdump_archive::{
    Assembler, Codec, IndexingParser, Packer, Piece, Recompression, Recompressor,
};

/// Adds up what some steps take.
struct Watch(Duration);

impl Watch {
    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        self.0 += start.elapsed();
        result
    }

    fn say(&self, what: &str, bytes: usize) {
        let seconds = self.0.as_secs_f64();
        let speed = bytes as f64 / 1e6 / seconds;
        println!("{what}: {seconds:.3} s, {speed:.0} MB/s");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(codec)) = (arguments.next(), arguments.next()) else {
        return Err("usage: recompress IN.dump CODEC [OUT.dump]".into());
    };
    let source = std::fs::read(from)?;
    let codec: Codec = codec.parse()?;
    let mut recompressor = Recompressor::new(Recompression::new(codec).with_raise_version(true));
    let (mut packer, mut assembler) = (Packer::new(codec)?, Assembler::new());
    let [mut splits, mut packs, mut assembles] = [const { Watch(Duration::ZERO) }; 3];
    let mut out = Vec::with_capacity(source.len());
    let mut write = |piece: Piece| -> Result<(), Box<dyn Error>> {
        let packed = packs.time(|| piece.pack(&mut packer))?;
        let bytes = assembles.time(|| assembler.push(packed))?;
        out.extend_from_slice(&bytes);
        Ok(())
    };
    for bytes in source.chunks(1 << 20) {
        splits.time(|| recompressor.push(bytes, &mut |_| {}))?;
        while let Some(piece) = recompressor.take_piece() {
            write(piece)?;
        }
    }
    let (last, proof) = recompressor.finish()?;
    last.into_iter().try_for_each(&mut write)?;
    let (proof, index) = assembler.finish(proof)?;
    println!("{codec}: {} of {} bytes", proof.archive_bytes, source.len());
    splits.say("split", source.len());
    packs.say("pack", source.len());
    assembles.say("assemble", source.len());

    let mut check = Watch(Duration::ZERO);
    let mut parser = IndexingParser::new();
    for bytes in out.chunks(1 << 20) {
        check.time(|| parser.push(bytes, &mut |_| {}))?;
    }
    assert_eq!(parser.finish()?, (proof, index));
    check.say("read again", source.len());
    if let Some(to) = arguments.next() {
        std::fs::write(to, out)?;
    }
    Ok(())
}
