//! The library against a real PostgreSQL with pgdumpd's own migrations. A daemon is played by a superuser.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test code: what is not as expected ends the test"
)]

mod asking;
mod enqueueing;
mod queue;
mod roles;
mod waiting;
mod watching;
