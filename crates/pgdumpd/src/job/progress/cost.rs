//! What the bytes of a dump cost in time, by who handles them: arithmetic and one measurement.
//!
//! Server, pg_dump and pgdumpd work side by side, so the slowest of them counts. The figures are of an ordinary
//! machine. Only how they stand to one another matters: how fast this one is shows while the dump runs.

use std::num::NonZero;
use std::thread;

use pgdump_archive::{Codec, Packer};
use rustix::time::{ClockId, clock_gettime};

use super::estimate::Sampled;
use crate::compression::Compression;
use crate::compressor::Compressor;
use crate::server::Sample;

/// The server's: to make a row, and a byte of it.
const SERVER_ROW: f64 = 500e-9;
const SERVER_BYTE: f64 = 6e-9;
/// pg_dump's: to receive a row and write it, and a byte of it; and to give it to a compression, each row by itself.
const DUMP_ROW: f64 = 350e-9;
const COMPRESS_ROW: f64 = 250e-9;
const DUMP_BYTE: f64 = 1.5e-9;
/// pgdumpd's: to parse, count and hash a byte; and to decompress what pg_dump has compressed.
const READ_BYTE: f64 = 1.5e-9;
const INFLATE_BYTE: f64 = 3e-9;
/// A large object's: the questions and answers about it, and those for each of its bytes.
const OBJECT: f64 = 150e-6;
const OBJECT_BYTE: f64 = 2e-9;
/// Text that is shorter says more of a codec's start than of its speed.
const LEAST_TEXT: usize = 8 * 1024;
/// What pg_dump's zlib takes of the time that ours takes, and besides for each byte that it puts out: data that does
/// not compress is the slower for it. By compressing the same texts with both.
const ZLIB_SEARCH: f64 = 0.8;
const ZLIB_OUTPUT_BYTE: f64 = 20e-9;
/// What compressing a byte costs where too little was seen, in seconds.
const UNKNOWN_COMPRESSION: f64 = 15e-9;

/// Who handles the bytes of one dump.
#[derive(Debug, Clone, Copy)]
pub(in crate::job) struct Costs {
    compressor: Compressor,
    /// What is tried on samples.
    codec: Codec,
    /// Threads that we compress with.
    threads: f64,
}

impl Costs {
    /// Of a dump that is compressed like this.
    pub(in crate::job) fn new(compression: Compression, compressor: Compressor) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            compressor,
            codec: stand_in(compression, compressor),
            threads: threads as f64,
        }
    }

    /// Of a table, with a measurement of the sample's text. Takes milliseconds of a processor.
    pub(in crate::job) fn of_table(&self, sample: &Sample) -> Sampled {
        let compression = self.compression(&sample.text);
        let Sample {
            rows, dump_bytes, ..
        } = *sample;
        let server = rows * SERVER_ROW + dump_bytes * SERVER_BYTE;
        let dump = rows * DUMP_ROW + dump_bytes * DUMP_BYTE;
        let seconds = match self.compressor {
            Compressor::PgDump => {
                let (row, inflation) = match self.codec {
                    Codec::NONE => (0.0, 0.0),
                    _ => (COMPRESS_ROW, INFLATE_BYTE),
                };
                let read = dump_bytes * (READ_BYTE + inflation);
                let dump = dump + rows * row + dump_bytes * compression;
                server.max(dump).max(read)
            }
            Compressor::Pgdumpd => {
                let here = dump + dump_bytes * (READ_BYTE + compression);
                server.max(dump).max(here / self.threads)
            }
        };
        Sampled {
            dump_bytes,
            seconds,
        }
    }

    /// Of the large objects, which pg_dump asks for piece by piece, and compresses in between.
    pub(in crate::job) fn of_large_objects(&self, sample: &Sample) -> Sampled {
        let compression = self.compression(&sample.text);
        let asked = sample.rows * OBJECT + sample.dump_bytes * OBJECT_BYTE;
        let seconds = match self.compressor {
            Compressor::PgDump => asked + sample.dump_bytes * compression,
            Compressor::Pgdumpd => asked.max(sample.dump_bytes * compression / self.threads),
        };
        Sampled {
            dump_bytes: sample.dump_bytes,
            seconds,
        }
    }

    /// Processor seconds that compressing a byte of this text takes.
    fn compression(&self, text: &[u8]) -> f64 {
        if self.codec == Codec::NONE {
            return 0.0;
        }
        let Some(tried) = try_on(text, self.codec) else {
            return UNKNOWN_COMPRESSION;
        };
        let is_their_zlib = self.compressor == Compressor::PgDump
            && self.codec.compression() == pgdump_archive::Compression::Gzip;
        if is_their_zlib {
            ZLIB_SEARCH * tried.seconds_per_byte + ZLIB_OUTPUT_BYTE * tried.packed_share
        } else {
            tried.seconds_per_byte
        }
    }
}

/// The codec that takes about as long as the one that is used. Our zlib is not pg_dump's: at its levels 3 to 6 it
/// searches in another way, which makes little of the differences between texts that matter here. Its level 7 is
/// closest.
fn stand_in(compression: Compression, compressor: Compressor) -> Codec {
    let codec = match (compression, compressor) {
        (Compression::None | Compression::Auto, _) => Some(Codec::NONE),
        (Compression::Gzip(level @ 4..=6), Compressor::PgDump) => Codec::gzip(level.max(7)),
        (Compression::Gzip(level), Compressor::PgDump) => Codec::gzip(level.max(2)),
        (Compression::Gzip(level), Compressor::Pgdumpd) => Codec::gzip(level),
        (Compression::Zstd(level), _) => Codec::zstd(level),
    };
    codec.unwrap_or(Codec::NONE)
}

/// What compressing a text showed.
#[derive(Debug, Clone, Copy)]
struct Tried {
    /// By this thread's processor time, which does not count what others do on a busy machine.
    seconds_per_byte: f64,
    /// What is left of a byte.
    packed_share: f64,
}

fn try_on(text: &[u8], codec: Codec) -> Option<Tried> {
    if text.len() < LEAST_TEXT {
        return None;
    }
    let mut packer = Packer::new(codec).ok()?;
    let before = processor_seconds();
    let packed = packer.try_on(text).ok()?;
    Some(Tried {
        seconds_per_byte: (processor_seconds() - before).max(0.0) / text.len() as f64,
        packed_share: packed as f64 / text.len() as f64,
    })
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of 100 MB in which this text is all there is.
    fn table(text: Vec<u8>, rows: f64) -> Sample {
        Sample {
            rows,
            rows_error: 0.0,
            dump_bytes: 100e6,
            text,
        }
    }

    /// Hexadecimal digits as they come, which halve and no more.
    fn digits() -> Vec<u8> {
        let mut state = 1u64;
        (0..100_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                b"0123456789abcdef"[(state >> 60) as usize]
            })
            .collect()
    }

    fn repeated() -> Vec<u8> {
        b"what you cannot lose; ".repeat(5000)
    }

    #[test]
    fn text_that_does_not_compress_costs_pg_dumps_gzip_several_times_what_repeated_text_does() {
        let costs = Costs::new(Compression::Gzip(6), Compressor::PgDump);
        let hard = costs.of_table(&table(digits(), 1e5)).seconds;
        let easy = costs.of_table(&table(repeated(), 1e5)).seconds;
        assert!(hard > 2.0 * easy, "{hard} and {easy}");
    }

    #[test]
    fn without_compression_the_text_does_not_matter_and_rows_do() {
        for compressor in [Compressor::PgDump, Compressor::Pgdumpd] {
            let costs = Costs::new(Compression::None, compressor);
            let few = costs.of_table(&table(digits(), 1e5));
            assert_eq!(few, costs.of_table(&table(repeated(), 1e5)));
            assert!(costs.of_table(&table(digits(), 1e7)).seconds > 2.0 * few.seconds);
        }
    }

    #[test]
    fn what_many_threads_compress_costs_what_the_slowest_other_costs() {
        let costs = |threads| Costs {
            threads,
            ..Costs::new(Compression::Zstd(1), Compressor::Pgdumpd)
        };
        let with = |threads| costs(threads).of_table(&table(digits(), 1e7)).seconds;
        let server = 1e7 * SERVER_ROW + 100e6 * SERVER_BYTE;
        assert!((with(1000.0) / server - 1.0).abs() < 1e-9);
        assert!(with(0.01) > server);
    }

    #[test]
    fn large_objects_cost_by_their_number_too() {
        let costs = Costs::new(Compression::None, Compressor::PgDump);
        let few = costs.of_large_objects(&table(digits(), 10.0)).seconds;
        let many = costs.of_large_objects(&table(digits(), 100_000.0)).seconds;
        assert!(many > 10.0 * few, "{many} and {few}");
    }
}
