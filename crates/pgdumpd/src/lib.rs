//! pgdumpd takes PostgreSQL backups as jobs: it claims rows of `pgdumpd.backup_jobs`, runs `pg_dump`,
//! streams its archive into storage, and ends each row with what it proved.
//!
//! `docs/ARCHITECTURE.md` walks one job through these modules.

pub mod bandwidth;
pub mod checks;
pub mod cli;
pub mod code;
pub mod compression;
pub mod compressor;
pub mod config;
pub mod context;
pub mod daemon;
pub mod database_url;
pub mod dump;
pub mod encryption;
pub mod fault;
pub mod finding;
mod former_database;
pub mod fsck;
pub mod globals;
mod hex;
pub mod http;
pub mod job;
pub mod lifecycle;
pub mod metrics;
pub mod migrate;
pub mod notify;
mod off_runtime;
pub mod pipeline;
pub mod queue;
pub mod readback;
pub mod redact;
pub mod rehearsal;
pub mod restore;
pub mod retention;
pub mod schedule;
pub mod server;
pub mod spec;
pub mod store;
pub mod telemetry;
pub mod text;
