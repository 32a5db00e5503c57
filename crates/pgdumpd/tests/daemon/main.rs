//! The daemon as it really runs: the binary, a real PostgreSQL, real files, real signals.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code: a broken environment ends the test"
)]

mod asked_for;
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
mod differences;
mod dump_faults;
mod encodings;
mod encryption;
mod fetched_pipe;
mod fetched_tables;
mod filters;
mod first_day;
mod fsck;
mod globals;
mod harness;
mod http;
mod hung_storage;
mod languages;
mod lies;
mod loops;
mod main_job;
mod manifests;
mod many;
mod notify;
mod outage;
mod pairs;
mod pooler;
mod progress;
mod rebuild;
mod refused_end;
mod rehearsal;
mod relations;
mod remote;
mod remote_faults;
mod restore;
mod retention;
mod retention_order;
mod retention_soak;
mod roles;
mod scenes;
mod schedules;
mod shutdown;
mod storage_away;
mod storage_faults;
mod storage_ids;
mod stored;
mod target_faults;
mod timeout;
mod tls;
