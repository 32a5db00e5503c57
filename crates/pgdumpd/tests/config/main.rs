//! The configuration held to its documents, and its addresses to real servers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod database_url;
mod deploy;
mod documents;
