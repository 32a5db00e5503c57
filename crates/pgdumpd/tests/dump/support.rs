//! What tests of dumps and targets share.

use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use pgdumpd::compression::Compression;
use pgdumpd::compressor::Compressor;
use pgdumpd::database_url::DatabaseUrl;
use pgdumpd::dump::{DumpOutput, Plan, Program};
use pgdumpd::server;
use pgdumpd_client::BackupSpec;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Long enough for anything that should be quick, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A lock wait that no test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

/// A plan with `pg_dump` from `directory`.
pub(crate) async fn plan(directory: &Path, address: &str, spec: BackupSpec) -> Plan {
    let program = Program::ask(&directory.join("pg_dump")).await.unwrap();
    Plan::new(
        program.clone(),
        program.major(),
        url(address),
        server::application_name(Uuid::new_v4()),
        spec,
        Compression::Auto,
        Some(Compressor::PgDump),
        LONG,
    )
    .unwrap()
}

/// Reads an output to its end.
pub(crate) fn drain(mut output: DumpOutput) -> JoinHandle<BytesMut> {
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        while let Some(bytes) = output.next().await.unwrap() {
            buffer.extend_from_slice(&bytes);
        }
        buffer
    })
}
