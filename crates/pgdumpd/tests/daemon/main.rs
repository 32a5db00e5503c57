//! The daemon as it really runs: the binary, a real PostgreSQL, real files, real signals.

mod cancel;
mod dump_faults;
mod filters;
mod harness;
mod main_job;
mod storage_faults;
mod target_faults;
mod timeout;
