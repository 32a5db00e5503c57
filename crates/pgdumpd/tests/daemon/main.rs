//! The daemon as it really runs: the binary, a real PostgreSQL, real files, real signals.

mod harness;
mod main_job;
