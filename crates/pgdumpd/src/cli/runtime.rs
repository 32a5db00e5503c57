//! The threads that everything runs on.

use std::io;

use pgdump_archive::Codec;
use tokio::runtime::{Builder, Runtime};

use crate::config::MOST_AT_ONCE;
use crate::pipeline::pieces_in_flight;

/// What a backup or a copy may have waiting at once beside the pieces that it compresses: its reader, its inspector or
/// decrypter, its hashing, its writer, eight parts of an upload, and a few steps of its storages.
const THREADS_OF_A_JOB: usize = 16;
/// Commands, checks, and names that are looked up.
const OTHER_THREADS: usize = 512;

pub(super) fn new() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .max_blocking_threads(most_blocking_threads())
        .enable_all()
        .build()
}

/// Each thread is made when something that blocks finds none idle. Were there fewer than may block, parts that are
/// being sent could hold all of them, and wait for one that looks up their server's name.
fn most_blocking_threads() -> usize {
    let of_a_job = THREADS_OF_A_JOB + pieces_in_flight(Codec::NONE);
    // Backups, and copies.
    OTHER_THREADS + 2 * MOST_AT_ONCE * of_a_job
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, mpsc};
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_most_backups_and_copies_may_all_block_at_once() {
        const BLOCKED: usize = 2 * MOST_AT_ONCE * 10;
        let runtime = new().unwrap();
        let all_block = Arc::new(Barrier::new(BLOCKED));
        let (ended, ends) = mpsc::channel();
        for _ in 0..BLOCKED {
            let (all_block, ended) = (Arc::clone(&all_block), ended.clone());
            runtime.spawn_blocking(move || {
                all_block.wait();
                ended.send(()).unwrap();
            });
        }
        for ended in 0..BLOCKED {
            let end = ends.recv_timeout(Duration::from_secs(60));
            assert!(end.is_ok(), "{ended} of {BLOCKED} blocked at once");
        }
        runtime.shutdown_background();
    }
}
