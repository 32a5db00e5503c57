//! pg_dump and the databases it dumps: real servers, real processes.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod filters;
mod globals;
mod majors;
mod patterns;
mod process;
mod samples;
mod support;
mod target_connect;
mod target_guard;
