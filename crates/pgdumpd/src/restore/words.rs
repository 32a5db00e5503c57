//! A report in words: for a terminal's last line, and as a file for who must show that a backup restores.

use std::fmt::Write as _;

use super::report::{Report, Verdict, Weight};
use crate::text::{count_of, on_one_line, size};

/// A verdict as people read it.
pub fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "restored and equal",
        Verdict::Remarks => "restored with remarks",
        Verdict::Lost => "LOST",
    }
}

/// What came back, in one sentence.
pub fn in_a_sentence(report: &Report) -> String {
    let seconds = &report.seconds;
    let total = seconds.pre_data + seconds.data + seconds.post_data + seconds.analyze;
    let lost = report
        .tables
        .iter()
        .filter(|table| table.verdict == Verdict::Lost)
        .count();
    let verdict = match report.verdict {
        Verdict::Equal => "all of it is equal to what was backed up".to_owned(),
        Verdict::Remarks => "all rows are there, with remarks".to_owned(),
        Verdict::Lost if lost == 0 => "something that holds or needs data is not there".to_owned(),
        Verdict::Lost => format!("{} lost", count_of(lost as u64, "table")),
    };
    format!(
        "{}, {}, {} in {total:.1} s: {verdict}",
        count_of(report.tables.len() as u64, "table"),
        count_of(report.rows, "row"),
        size(report.raw_bytes),
    )
}

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# Restore of backup {}\n\n", report.backup_id);
    let seconds = &report.seconds;
    let facts = [
        ("Target", report.target.clone()),
        ("Into", report.into.clone()),
        ("Server", format!("PostgreSQL {}", report.server_version)),
        ("Schema by", format!("pg_restore {}", report.pg_restore)),
        ("Verdict", in_words(report.verdict).to_owned()),
        ("In short", in_a_sentence(report)),
        (
            "Seconds",
            format!(
                "schema {:.1}, rows {:.1}, indexes and constraints {:.1}, statistics {:.1}",
                seconds.pre_data, seconds.data, seconds.post_data, seconds.analyze
            ),
        ),
    ];
    for (name, value) in facts {
        let _ = writeln!(text, "- {name}: {}", cell(&value));
    }
    text.push_str("\n| Table | Rows | Verdict | Remarks |\n|---|---|---|---|\n");
    for table in &report.tables {
        let rows = table.rows.map(|rows| rows.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {rows} | {} | {} |",
            cell(&table.table),
            in_words(table.verdict),
            cell(&table.remarks.join("; "))
        );
    }
    if report.objects.is_empty() {
        return text;
    }
    text.push_str("\n| Not restored | Weight | Error |\n|---|---|---|\n");
    for object in &report.objects {
        let weight = match object.weight {
            Weight::Data => "data",
            Weight::Constraint => "index or constraint",
            Weight::Cosmetic => "cosmetic",
        };
        let (name, error) = (cell(&object.object), cell(&object.error));
        let _ = writeln!(text, "| {name} | {weight} | {error} |");
    }
    text
}

/// A text in a table of Markdown, whoever wrote it.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in on_one_line(text).chars() {
        if "\\|<>`*_[]#".contains(sign) {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}
