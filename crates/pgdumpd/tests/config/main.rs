//! The configuration held to its documents, its addresses to real servers; what needs no configuration.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod completions;
mod database_url;
mod deploy;
mod documents;
mod monitoring;
