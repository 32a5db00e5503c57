//! The daemon as it really runs: the binary, a real PostgreSQL, real files, real signals.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code: a broken environment ends the test"
)]

mod bad_input;
mod cancel;
mod check;
mod cli;
mod config_free;
mod copies;
mod copies_kept;
mod copies_later;
mod crash;
mod delete;
mod dump_faults;
mod encryption;
mod filters;
mod fsck;
mod globals;
mod harness;
mod hung_storage;
mod loops;
mod main_job;
mod many;
mod outage;
mod pairs;
mod progress;
mod rebuild;
mod remote;
mod remote_faults;
mod retention;
mod roles;
mod scenes;
mod schedules;
mod shutdown;
mod storage_faults;
mod stored;
mod target_faults;
mod timeout;
