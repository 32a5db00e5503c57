//! docs/MONITORING.md and the files for monitoring agree with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pgdumpd::metrics::{ALL, Metric};

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn unit(metric: &Metric) -> &'static str {
    let name = metric.name.trim_end_matches("_total");
    if name.ends_with("_timestamp_seconds") {
        "Unix time"
    } else if name.ends_with("_seconds") {
        "seconds"
    } else if name.ends_with("_bytes") {
        "bytes"
    } else {
        "1"
    }
}

#[test]
fn the_document_describes_every_metric_as_the_code_has_it() {
    let expected: Vec<String> = ALL
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let labels = if labels.is_empty() {
                "none".to_owned()
            } else {
                labels.join(", ")
            };
            let (name, kind, unit) = (metric.name, metric.kind.word(), unit(metric));
            format!(
                "| `{name}` | {kind} | {labels} | {unit} | {} |",
                metric.help
            )
        })
        .collect();
    let document = read("docs/MONITORING.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `pgdumpd_"));
    let rows: Vec<String> = rows.map(str::to_owned).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_document_explains_every_alert_and_no_other() {
    let rules = read("deploy/prometheus/pgdumpd.rules.yml");
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    let document = read("docs/MONITORING.md");
    let explained = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `Pgdumpd"));
    let explained: Vec<String> = explained
        .map(|row| format!("Pgdumpd{}", row.split('`').next().unwrap()))
        .collect();
    let unique: BTreeSet<&str> = explained.iter().map(String::as_str).collect();
    assert_eq!((unique.len(), &unique), (explained.len(), &alerts));
}

#[test]
fn the_collector_exports_what_the_daemon_exports_of_the_queue() {
    let collector = read("deploy/sql_exporter/pgdumpd.collector.yml");
    let mut written: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut name = "";
    for line in collector.lines() {
        let line = line.trim().trim_start_matches("- ");
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        if key == "metric_name" {
            name = value;
        } else if !name.is_empty() {
            written.entry(name).or_default().insert(key, value);
        }
    }
    assert!(written.len() > 10, "{written:#?}");
    for (name, keys) in written {
        let metric = ALL.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not exported"));
        assert_eq!(keys["help"], metric.help, "{name}");
        assert_eq!(keys["type"], metric.kind.word(), "{name}");
        let labels = format!("[{}]", metric.labels.join(", "));
        assert_eq!(keys["key_labels"], labels, "{name}");
        assert_eq!(keys["values"], "[value]", "{name}");
    }
}
