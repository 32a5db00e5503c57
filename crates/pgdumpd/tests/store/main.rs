//! Storage and pipeline: real directories, hostile streams.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod any_manifest;
mod archive;
mod azure;
mod compress;
mod conformance;
mod counting;
mod encryption;
mod full;
mod inspection;
mod local;
mod manifest;
mod s3;
mod s3_faults;
mod speed;
mod stream;
mod support;
