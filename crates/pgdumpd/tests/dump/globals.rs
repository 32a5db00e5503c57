//! Roles and tablespaces, by pg_dumpall.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pgdumpd::dump::dump_globals;
use pgdumpd::globals::Globals;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{Database, cluster, eventually};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, SOON, plan};

/// The real pg_dump, and beside it a pg_dumpall that does this.
fn stand_in(bin_dir: &Path, script: &str) -> TempDir {
    let dir = TempDir::with_prefix("pgdumpd-test-").unwrap();
    std::os::unix::fs::symlink(bin_dir.join("pg_dump"), dir.path().join("pg_dump")).unwrap();
    let program = dir.path().join("pg_dumpall");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

async fn refused(script: &str, limit: Duration) -> &'static str {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let dir = stand_in(&cluster.bin_dir(), script);
    let plan = plan(dir.path(), &db.url(), BackupSpec::default()).await;
    let never = CancellationToken::new();
    let dumped = dump_globals(&plan, Globals::WithoutPasswords, limit, &never).await;
    dumped.unwrap_err().code().as_str()
}

#[tokio::test]
async fn a_database_may_have_any_name() {
    let cluster = cluster().await;
    let owner = cluster.database().await;
    let name = format!("it's \\ = \"{}\" host=nowhere", owner.name());
    let quoted = name.replace('"', "\"\"");
    owner
        .execute(&format!("CREATE DATABASE \"{quoted}\""))
        .await;
    let url = Database::existing(cluster, &name).url();
    let plan = plan(&cluster.bin_dir(), &url, BackupSpec::default()).await;
    let never = CancellationToken::new();
    let dumped = dump_globals(&plan, Globals::WithoutPasswords, SOON, &never).await;
    assert!(dumped.unwrap().is_some());
    owner.execute(&format!("DROP DATABASE \"{quoted}\"")).await;
}

#[tokio::test]
async fn output_without_its_last_line_is_refused_whatever_the_exit() {
    assert_eq!(
        refused("echo 'CREATE ROLE r;'", SOON).await,
        "globals_incomplete"
    );
    let whole = "echo '-- PostgreSQL database cluster dump complete'; exit 1";
    assert_eq!(refused(whole, SOON).await, "dump_failed");
}

#[tokio::test]
async fn a_pg_dumpall_that_hangs_is_ended_at_its_limit() {
    assert_eq!(
        refused("exec sleep 600", Duration::from_millis(200)).await,
        "dump_stalled"
    );
}

#[tokio::test]
async fn a_cancel_ends_pg_dumpall() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let dir = stand_in(
        &cluster.bin_dir(),
        "echo $$ >\"$(dirname \"$0\")/pid\"; exec sleep 600",
    );
    let plan = plan(dir.path(), &db.url(), BackupSpec::default()).await;
    let cancel = CancellationToken::new();
    let pid_file = dir.path().join("pid");
    let (dumped, pid) = tokio::join!(
        dump_globals(&plan, Globals::WithoutPasswords, LONG, &cancel),
        async {
            let pid = eventually("it runs", SOON, async || {
                let pid = std::fs::read_to_string(&pid_file).ok()?;
                pid.ends_with('\n').then_some(pid)
            })
            .await;
            cancel.cancel();
            pid
        }
    );
    assert!(dumped.unwrap().is_none());
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}
