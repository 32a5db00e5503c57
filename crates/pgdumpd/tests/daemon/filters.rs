//! What a job's filters take, and that the queue itself is never taken.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pgdumpd::store::Manifest;
use pgdumpd_client::{BackupRequest, BackupSpec};

use crate::harness::{World, quoted};

/// A world whose queue lives in the database that is dumped, beside an application's own tables.
async fn shared_world() -> World {
    let mut world = World::new().await;
    world
        .queue
        .execute(
            "CREATE TABLE public.orders (id int); INSERT INTO public.orders SELECT generate_series(1, 3);
             CREATE TABLE public.customers (id int); INSERT INTO public.customers VALUES (7);
             CREATE SCHEMA audit; CREATE TABLE audit.log (id int); INSERT INTO audit.log VALUES (1);",
        )
        .await;
    let url = quoted(&world.queue.url());
    world.set("targets.shop", "url", url);
    world
}

fn patterns(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|text| (*text).to_owned()).collect()
}

/// pg_restore's list of an archive, a line an entry.
fn listing(world: &World, archive: &Path) -> String {
    let output = Command::new(world.cluster.bin("pg_restore"))
        .arg("--list")
        .arg(archive)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// `schema.table` of each entry of a kind.
fn tables(listing: &str, kind: &str) -> BTreeSet<String> {
    let marker = format!(" {kind} ");
    listing
        .lines()
        .filter(|line| !line.starts_with(';'))
        .filter_map(|line| line.split_once(&marker))
        .filter(|(_, rest)| kind == "TABLE DATA" || !rest.starts_with("DATA "))
        .map(|(_, rest)| {
            let words: Vec<&str> = rest.split(' ').collect();
            format!("{}.{}", words[0], words[1])
        })
        .collect()
}

async fn back_up(world: &World, spec: BackupSpec) -> (String, Manifest) {
    let id = world
        .enqueue_request(BackupRequest::new("shop").spec(spec))
        .await;
    world.succeeded(id).await;
    let archive = world
        .backups()
        .into_iter()
        .find(|archive| archive.display().to_string().contains(&id.to_string()))
        .unwrap();
    (listing(world, &archive), world.manifest(&archive))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const ALL: [&str; 3] = ["audit.log", "public.customers", "public.orders"];

#[tokio::test]
async fn each_filter_takes_what_it_says_and_never_the_queue() {
    let world = shared_world().await;
    let _daemon = world.daemon().await;
    let none = BackupSpec::default;
    // The spec, the tables whose definition is taken, those whose rows are.
    let cases: Vec<(BackupSpec, &[&str], &[&str])> = vec![
        (none(), &ALL, &ALL),
        (
            BackupSpec {
                schemas: patterns(&["audit", "pgdumpd", "pgd*"]),
                ..none()
            },
            &["audit.log"],
            &["audit.log"],
        ),
        (
            BackupSpec {
                exclude_schemas: patterns(&["audit"]),
                ..none()
            },
            &["public.customers", "public.orders"],
            &["public.customers", "public.orders"],
        ),
        (
            BackupSpec {
                tables: patterns(&[
                    "public.ord*",
                    "pgdumpd.*",
                    "*.backup_jobs",
                    "\"pgdumpd\".\"queue\"",
                ]),
                ..none()
            },
            &["public.orders"],
            &["public.orders"],
        ),
        (
            BackupSpec {
                tables: patterns(&["public.*", "audit.*"]),
                exclude_tables: patterns(&["audit.*"]),
                ..none()
            },
            &["public.customers", "public.orders"],
            &["public.customers", "public.orders"],
        ),
        (
            BackupSpec {
                exclude_tables: patterns(&["orders"]),
                ..none()
            },
            &["audit.log", "public.customers"],
            &["audit.log", "public.customers"],
        ),
        (
            BackupSpec {
                exclude_table_data: patterns(&["public.*"]),
                ..none()
            },
            &ALL,
            &["audit.log"],
        ),
        (
            BackupSpec {
                schemas: patterns(&["pgdumpd", "audit"]),
                tables: patterns(&["public.orders", "pgdumpd.backup_*"]),
                ..none()
            },
            &["public.orders"],
            &["public.orders"],
        ),
    ];
    for (spec, defined, filled) in cases {
        let (listing, manifest) = back_up(&world, spec.clone()).await;
        assert_eq!(
            tables(&listing, "TABLE"),
            set(defined),
            "{spec:?}:\n{listing}"
        );
        assert_eq!(tables(&listing, "TABLE DATA"), set(filled), "{spec:?}");
        let entries = listing.lines().filter(|line| !line.starts_with(';'));
        for entry in entries {
            assert!(!entry.contains("pgdumpd"), "{spec:?}: {entry}");
        }
        assert_eq!(manifest.partial, spec != none(), "{spec:?}");
        assert_eq!(manifest.spec.tables, spec.tables);
        assert_eq!(manifest.spec.exclude_table_data, spec.exclude_table_data);
        let chooses = !(spec.schemas.is_empty() && spec.tables.is_empty());
        let told = manifest
            .warnings
            .iter()
            .any(|warning| warning.contains("large objects"));
        assert_eq!(told, chooses, "{spec:?}: {:?}", manifest.warnings);
    }
}

#[tokio::test]
async fn a_filter_that_matches_nothing_fails_for_good_and_says_so() {
    let world = shared_world().await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        tables: patterns(&["no_such_table"]),
        ..BackupSpec::default()
    };
    let id = world
        .enqueue_request(BackupRequest::new("shop").spec(spec))
        .await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("nothing_matched"));
    assert_eq!(status.attempt, 1);
    assert!(status.error_hint.unwrap().contains("match nothing"));
    world.assert_clean(0).await;
}

#[tokio::test]
async fn a_pattern_that_looks_like_an_option_stays_a_pattern() {
    let world = shared_world().await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        tables: patterns(&["orders"]),
        exclude_tables: patterns(&["--data-only", "-N audit"]),
        ..BackupSpec::default()
    };
    let (listing, manifest) = back_up(&world, spec).await;
    assert_eq!(tables(&listing, "TABLE"), set(&["public.orders"]));
    assert!(
        manifest
            .pg_dump
            .arguments
            .contains(&"--exclude-table=--data-only".to_owned())
    );
}

#[tokio::test]
async fn a_misspelt_table_beside_a_right_one_fails_the_job() {
    let world = shared_world().await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        tables: patterns(&["orders", "ordres"]),
        ..BackupSpec::default()
    };
    let id = world
        .enqueue_request(BackupRequest::new("shop").spec(spec))
        .await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("nothing_matched"));
    assert!(status.error.unwrap().contains("ordres"));
    assert_eq!(status.attempt, 1, "trying again cannot help");
}

#[tokio::test]
async fn a_filter_that_leaves_nothing_but_the_queue_is_no_backup() {
    let world = shared_world().await;
    let _daemon = world.daemon().await;
    let queue_alone = BackupSpec {
        schemas: patterns(&["pgdumpd"]),
        ..BackupSpec::default()
    };
    let its_tables = BackupSpec {
        tables: patterns(&["pgdumpd.*"]),
        ..BackupSpec::default()
    };
    let all_excluded = BackupSpec {
        tables: patterns(&["orders"]),
        exclude_tables: patterns(&["ord*"]),
        ..BackupSpec::default()
    };
    for spec in [queue_alone, its_tables, all_excluded] {
        let request = BackupRequest::new("shop").spec(spec);
        let status = world.failed(world.enqueue_request(request).await).await;
        assert_eq!(status.error_code.as_deref(), Some("nothing_matched"));
        assert_eq!(status.attempt, 1);
    }
    world.assert_clean(0).await;
}
