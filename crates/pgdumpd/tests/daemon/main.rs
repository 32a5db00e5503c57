//! The daemon as it really runs: the binary, a real PostgreSQL, real files, real signals.

mod crash;
mod harness;
mod main_job;
mod many;
mod outage;
mod scenes;
mod shutdown;
