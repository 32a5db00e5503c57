//! `/metrics`: what is exported, who may see it, and what a scrape costs. Alerts and dashboard are judged by Prometheus' own
//! tool, on metrics of real backups.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgdumpd::metrics::{ALL, Kind};
use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Cluster, cluster, eventually, promtool};
use serde_json::{Value, json};

use super::face::{Face, set_token};
use crate::harness::copies::copying;
use crate::harness::{SOON, World, quoted};

/// Longer than an answer of the queue counts.
const STALE: Duration = Duration::from_secs(6);

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(path)
}

/// The series of a scrape, with their labels, and their values.
type Scrape = BTreeMap<String, f64>;

async fn scrape(face: &Face) -> String {
    let answer = face.get("/metrics").send().await.status(200);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    answer.text
}

fn series(text: &str) -> Scrape {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    parsed.collect()
}

/// The name and the names of the labels of each series.
fn shapes(scrape: &Scrape) -> BTreeMap<String, BTreeSet<String>> {
    let mut shapes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in scrape.keys() {
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels
            .split("\",")
            .filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned());
        shapes.entry(name.to_owned()).or_default().extend(labels);
    }
    shapes
}

/// A scrape that was read from the queue after this call.
async fn fresh(face: &Face) -> String {
    tokio::time::sleep(STALE).await;
    scrape(face).await
}

async fn fail(world: &World) {
    let spec = json!({"tables": ["public.nowhere"]});
    let id = uuid::Uuid::now_v7();
    sqlx::query("INSERT INTO pgdumpd.backup_jobs (id, target, spec) VALUES ($1, 'shop', $2)")
        .bind(id)
        .bind(spec)
        .execute(&world.pool)
        .await
        .unwrap();
    world.failed(id).await;
}

/// A daemon that has done everything that is counted: a backup and its copy, a verification, a failure, an error of a storage.
async fn busy() -> Face {
    let mut world = copying(&["second"]).await;
    world.set("targets.shop", "alert_after", quoted("10m"));
    // Nobody listens there.
    world.set("notify.nobody", "url", quoted("http://127.0.0.1:1/"));
    let face = Face::of(world).await;
    let world = &face.world;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    world.say(&["verify", &id.to_string()]).code(0);
    fail(world).await;
    // Where the storage was, a file is.
    let (storage, aside) = (world.storage(), world.dir.path().join("aside"));
    std::fs::rename(&storage, &aside).unwrap();
    std::fs::write(&storage, "").unwrap();
    let request = BackupRequest::new("shop");
    let broken = world.enqueue_request(request).await;
    let ended = world.until(broken, "an attempt has failed", |status| {
        status.error.is_some()
    });
    let ended = ended.await;
    std::fs::remove_file(&storage).unwrap();
    std::fs::rename(&aside, &storage).unwrap();
    if ended.state == JobState::Queued {
        world.make_due(broken).await;
    }
    world.ended(broken).await;
    // What is due and nobody does.
    let nowhere = BackupRequest::new("nowhere");
    world.enqueue_request(nowhere).await;
    eventually(
        "the daemon has checked itself, and tried to tell somebody",
        SOON,
        async || {
            let text = scrape(&face).await;
            let has = |name| text.contains(name);
            (has("pgdumpd_check_findings") && has("pgdumpd_notifications_total")).then_some(())
        },
    )
    .await;
    face
}

#[tokio::test]
async fn every_metric_is_exported_as_the_table_has_it_and_promtool_is_content() {
    let face = busy().await;
    let text = fresh(&face).await;
    let scraped = series(&text);
    let shapes = shapes(&scraped);
    let mut expected = BTreeMap::new();
    for metric in ALL {
        let labels: BTreeSet<String> = metric
            .labels
            .iter()
            .map(|&label| label.to_owned())
            .collect();
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.word());
        assert!(text.contains(&kind), "{kind}{text}");
        let help = format!("# HELP {} {}.\n", metric.name, metric.help);
        assert!(text.contains(&help), "{help}{text}");
        if metric.kind == Kind::Histogram {
            for part in ["_sum", "_count"] {
                expected.insert(format!("{}{part}", metric.name), labels.clone());
            }
            let mut labels = labels;
            labels.insert("le".to_owned());
            expected.insert(format!("{}_bucket", metric.name), labels);
        } else {
            expected.insert(metric.name.to_owned(), labels);
        }
    }
    assert_eq!(shapes, expected);
    // What the queue does not serve makes no series.
    assert!(!text.contains("nowhere"), "{text}");
    assert!(!text.contains(face.world.shop.name()), "{text}");

    let value = |name: &str| {
        scraped
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let now = value("pgdumpd_target_last_failure_timestamp_seconds{target=\"shop\"}");
    let success = value("pgdumpd_target_last_success_timestamp_seconds{target=\"shop\"}");
    assert!((now - success).abs() < 120.0, "{now} {success}");
    let archive: u64 = face
        .world
        .backups()
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .max()
        .unwrap();
    let size = value("pgdumpd_target_last_size_bytes{target=\"shop\"}");
    assert!((size - archive as f64).abs() < 1000.0, "{size} {archive}");
    assert_eq!(
        value("pgdumpd_target_alert_after_seconds{target=\"shop\"}"),
        600.0
    );
    assert_eq!(value("pgdumpd_target_daemons{target=\"shop\"}"), 1.0);
    assert_eq!(value("pgdumpd_jobs{kind=\"backup\",state=\"queued\"}"), 1.0);
    assert_eq!(value("pgdumpd_daemons{state=\"alive\"}"), 1.0);
    assert_eq!(value("pgdumpd_queue_up"), 1.0);
    let failed =
        "pgdumpd_attempt_failures_total{kind=\"backup\",step=\"dump\",code=\"nothing_matched\"}";
    assert_eq!(value(failed), 1.0);
    let copied = "pgdumpd_attempts_total{kind=\"copy\",outcome=\"succeeded\"}";
    assert!(value(copied) >= 1.0);
    let storage_errors = scraped
        .iter()
        .find(|(name, _)| name.starts_with("pgdumpd_storage_errors_total"));
    assert!(
        storage_errors.unwrap().0.contains("storage=\"local\""),
        "{text}"
    );

    if let Some((content, said)) = promtool(Path::new("/"), &["check", "metrics"], &text) {
        assert!(content && said.trim().is_empty(), "{said}");
    }
}

#[tokio::test]
async fn scrapes_share_what_was_read_and_a_restricted_token_sees_its_targets_alone() {
    let mut world = World::new().await;
    let shop = quoted(&world.shop.url());
    world.set("targets.other", "url", shop);
    for target in ["shop", "other"] {
        world.set(&format!("targets.{target}"), "alert_after", quoted("26h"));
    }
    for (name, scopes, targets) in [
        ("metrics", &["metrics"][..], &["*"][..]),
        ("own", &["metrics"], &["shop"]),
        ("enqueue", &["enqueue"], &["*"]),
    ] {
        set_token(&mut world, name, scopes, targets);
    }
    let face = Face::of(world).await;
    let get = async |token: &str| face.get("/metrics").token(token).send().await;
    get("enqueue").await.problem(403, "forbidden");
    // Nothing but metrics.
    face.get("/api/backup")
        .token("metrics")
        .send()
        .await
        .problem(403, "forbidden");

    let jobs = |text: &str| series(text)["pgdumpd_jobs{kind=\"backup\",state=\"queued\"}"];
    let text = get("metrics").await.status(200).text;
    assert_eq!(jobs(&text), 0.0);
    let asked = std::time::Instant::now();
    face.world
        .enqueue_request(BackupRequest::new("nowhere"))
        .await;
    let text = get("metrics").await.status(200).text;
    assert!(
        asked.elapsed() > STALE || jobs(&text) == 0.0,
        "read again at once"
    );
    tokio::time::sleep(STALE).await;
    let all = get("metrics").await.status(200).text;
    assert_eq!(jobs(&all), 1.0);
    assert!(all.contains("target=\"other\""), "{all}");

    let own = get("own").await.status(200).text;
    assert!(
        own.contains("pgdumpd_target_daemons{target=\"shop\"} 1"),
        "{own}"
    );
    let shapes = shapes(&series(&own));
    assert!(!own.contains("other"), "{own}");
    for name in shapes.keys() {
        let shown = name.starts_with("pgdumpd_target_")
            || ["pgdumpd_queue_up", "pgdumpd_build_info"].contains(&name.as_str());
        assert!(shown, "{name}");
    }
}

#[tokio::test]
async fn a_queue_that_is_away_hides_nothing_that_the_process_counts() {
    let queues = Cluster::start_private(&[]).await;
    let world = World::on(&queues, cluster().await).await;
    let face = Face::of(world).await;
    let up = series(&scrape(&face).await);
    assert_eq!(up["pgdumpd_queue_up"], 1.0);
    queues.kill().await;
    let away = eventually("the scrape says that the queue is away", SOON, async || {
        let began = std::time::Instant::now();
        let scraped = series(&scrape(&face).await);
        assert!(began.elapsed() < Duration::from_secs(8));
        (scraped["pgdumpd_queue_up"] == 0.0).then_some(scraped)
    })
    .await;
    assert!(away.contains_key("pgdumpd_claims_total{kind=\"backup\"}"));
    // What is not known is missing: the last known value would be taken for the present one.
    assert!(
        !away.keys().any(|name| name.starts_with("pgdumpd_jobs")),
        "{away:?}"
    );
}

/// The expressions of the dashboard, with what Grafana puts into them.
fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(deployed("grafana/pgdumpd.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let panels = json["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        assert!(
            panel["title"].is_string() && panel["gridPos"]["w"].is_number(),
            "{panel}"
        );
        panel["targets"].as_array().unwrap()
    });
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    queries
        .map(|query| {
            query
                .replace("$target", ".*")
                .replace("$__rate_interval", "2m")
        })
        .collect()
}

/// Metrics that a text names, without the endings of a histogram's parts.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let names = words.filter(|word| word.starts_with("pgdumpd_"));
    let whole = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts.iter().find_map(|part| name.strip_suffix(part));
        whole.unwrap_or(name).to_owned()
    };
    names.map(whole).collect()
}

#[test]
fn dashboard_alerts_and_collector_name_only_metrics_that_are_exported() {
    let exported: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let queries = dashboard();
    assert!(queries.len() > 20, "{queries:#?}");
    let shown = named(&queries.join("\n"));
    assert_eq!(shown, exported, "the dashboard shows every metric");
    let rules = std::fs::read_to_string(deployed("prometheus/pgdumpd.rules.yml")).unwrap();
    let expressions: String = rules
        .lines()
        .filter(|line| !line.trim().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let alerted = named(&expressions);
    assert!(
        alerted.len() > 8 && alerted.is_subset(&exported),
        "{alerted:?}"
    );
}

/// A scrape of a test run, by the queue's clock, and how many minutes it lasts for Prometheus.
struct Stage {
    scrape: Scrape,
    at: f64,
    minutes: usize,
}

/// Each series as `promtool test rules` has it: times are moved so that they are as old as they were when they were scraped,
/// and what is missing is missing.
fn recorded(stages: &[Stage]) -> String {
    let names: BTreeSet<&String> = stages
        .iter()
        .flat_map(|stage| stage.scrape.keys())
        .collect();
    let mut yaml = String::new();
    for name in names {
        let mut before = 0;
        let mut values = Vec::new();
        for Stage {
            scrape,
            at,
            minutes,
        } in stages
        {
            let more = minutes - 1;
            values.push(match scrape.get(name) {
                None => format!("_x{more}"),
                Some(value) if name.contains("_timestamp_seconds") => {
                    format!("{}+0x{more}", value - at + (before * 60) as f64)
                }
                Some(value) => format!("{value}+0x{more}"),
            });
            before += minutes;
        }
        let (name, values) = (with_instance(name), values.join(" "));
        writeln!(yaml, "      - series: '{name}'\n        values: '{values}'").unwrap();
    }
    yaml
}

fn with_instance(name: &str) -> String {
    match name.split_once('{') {
        Some((name, labels)) => format!("{name}{{instance=\"a\",{labels}"),
        None => format!("{name}{{instance=\"a\"}}"),
    }
}

async fn record(face: &Face, minutes: usize) -> Stage {
    let scrape = series(&fresh(face).await);
    let at = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8");
    let at = at.fetch_one(&face.world.pool).await.unwrap();
    Stage {
        scrape,
        at,
        minutes,
    }
}

/// Lets `promtool` run a test of rules, beside the rules that are deployed.
fn test_rules(yaml: &str) {
    let dir = tempfile::TempDir::new().unwrap();
    for name in ["pgdumpd.rules.yml", "pgdumpd.rules.test.yml"] {
        std::fs::copy(deployed("prometheus").join(name), dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("test.yml"), yaml).unwrap();
    for arguments in [
        &["check", "rules", "pgdumpd.rules.yml"][..],
        &["test", "rules", "pgdumpd.rules.test.yml"],
        &["test", "rules", "test.yml"],
    ] {
        if let Some((passed, said)) = promtool(dir.path(), arguments, "") {
            assert!(passed, "{arguments:?}: {said}\n{yaml}");
        }
    }
}

#[tokio::test]
async fn a_failing_an_overdue_and_a_recovered_target_fire_what_they_should() {
    let mut world = World::new().await;
    let shop = quoted(&world.shop.url());
    world.set("targets.never", "url", shop);
    for target in ["shop", "never"] {
        world.set(&format!("targets.{target}"), "alert_after", quoted("10m"));
    }
    let face = Face::of(world).await;
    let mut stages = Vec::new();
    face.world.back_up().await;
    stages.push(record(&face, 10).await);
    fail(&face.world).await;
    stages.push(record(&face, 10).await);
    face.world.back_up().await;
    // Nothing happens any more: the last backup gets older.
    stages.push(record(&face, 1500).await);

    let mut yaml = format!(
        "rule_files: [pgdumpd.rules.yml]\nevaluation_interval: 5m\ntests:\n  - interval: 1m\n    input_series:\n{}    promql_expr_test:\n",
        recorded(&stages)
    );
    let (failed, overdue, never) = (
        ("PgdumpdBackupFailed", "warning", "shop"),
        ("PgdumpdBackupOverdue", "critical", "shop"),
        ("PgdumpdNeverBackedUp", "critical", "never"),
    );
    for (minute, firing) in [
        (5, &[][..]),
        (15, &[failed]),
        (25, &[]),
        (45, &[overdue]),
        (1450, &[overdue, never]),
    ] {
        let all = r#"count by (alertname, severity, target) (ALERTS{alertstate="firing"})"#;
        writeln!(
            yaml,
            "      - expr: '{all}'\n        eval_time: {minute}m\n        exp_samples:"
        )
        .unwrap();
        for (alert, severity, target) in firing {
            let labels =
                format!(r#"{{alertname="{alert}",severity="{severity}",target="{target}"}}"#);
            writeln!(yaml, "          - {{labels: '{labels}', value: 1}}").unwrap();
        }
    }
    test_rules(&yaml);
}

#[tokio::test]
async fn every_query_of_the_dashboard_answers_on_the_metrics_of_a_real_daemon() {
    let face = busy().await;
    let stages = [record(&face, 10).await];
    let mut yaml = format!(
        "evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{}    promql_expr_test:\n",
        recorded(&stages)
    );
    for query in dashboard() {
        let expression = json!(format!("count({query}) > bool 0"));
        writeln!(
            yaml,
            "      - expr: {expression}\n        eval_time: 5m\n        exp_samples: [{{value: 1}}]"
        )
        .unwrap();
    }
    test_rules(&yaml);
}
