//! `[daemon]`, `[pg_dump]` and `[log]`: how this process works.

use std::path::PathBuf;

use super::reader::Reader;
use super::{DaemonConfig, LogConfig, PgDumpConfig};

/// A lease outlives this many missed heartbeats, so that one slow answer costs no dump.
const HEARTBEATS_PER_LEASE: u32 = 4;

pub(super) fn read(reader: &mut Reader<'_>) -> DaemonConfig {
    let section = reader.section("daemon");
    let config = DaemonConfig {
        max_jobs: reader.integer(&section, "max_jobs"),
        max_copies: reader.integer(&section, "max_copies"),
        lease: reader.duration(&section, "lease"),
        heartbeat: reader.duration(&section, "heartbeat"),
        poll_interval: reader.duration(&section, "poll_interval"),
        drain_timeout: reader.duration(&section, "drain_timeout"),
        check_interval: reader.duration(&section, "check_interval"),
        max_rescues: reader.integer(&section, "max_rescues"),
    };
    // Zero stands for a value that was refused already.
    if !config.lease.is_zero() && config.lease < config.heartbeat * HEARTBEATS_PER_LEASE {
        let origin = reader
            .find(&section, "lease")
            .or_else(|| reader.find(&section, "heartbeat"))
            .map(|found| found.origin);
        let text = format!(
            "\"{}\" is shorter than {HEARTBEATS_PER_LEASE} heartbeats of \"{}\": raise daemon.lease or lower daemon.heartbeat",
            humantime::format_duration(config.lease),
            humantime::format_duration(config.heartbeat),
        );
        reader.problem(section.key("lease"), origin, text);
    }
    config
}

pub(super) fn read_pg_dump(reader: &mut Reader<'_>) -> PgDumpConfig {
    let section = reader.section("pg_dump");
    let directories: Vec<PathBuf> = reader
        .list(&section, "directories")
        .into_iter()
        .map(PathBuf::from)
        .collect();
    if let Some(relative) = directories.iter().find(|path| !path.is_absolute()) {
        let origin = reader
            .find(&section, "directories")
            .map(|found| found.origin);
        let text = format!("{relative:?} is not an absolute path");
        reader.problem(section.key("directories"), origin, text);
    }
    PgDumpConfig { directories }
}

pub(super) fn read_log(reader: &mut Reader<'_>) -> LogConfig {
    let section = reader.section("log");
    let filter = reader.text(&section, "filter").unwrap_or_default();
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter)
        && let Some(found) = reader.find(&section, "filter")
    {
        let why = format!(
            "is not a filter: {error} (write error, warn, info, debug, trace, or such as \"info,pgdumpd::dump=debug\")"
        );
        reader.refuse(&section, "filter", &found, &why);
    }
    LogConfig {
        filter,
        json: reader.text(&section, "format").as_deref() == Some("json"),
    }
}
