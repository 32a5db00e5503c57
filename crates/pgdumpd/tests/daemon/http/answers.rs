//! The daemon answers what the handlers of the TypeScript package answer: the same fields, the same problems.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pgdumpd::http::{BackupAnswer, ProblemType};
use serde_json::Value;

fn typescript(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript/src");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// What stands between the braces that follow `start`.
fn braces<'a>(text: &'a str, start: &str) -> &'a str {
    assert!(text.contains(start), "there is no {start}");
    let at = text.find(start).unwrap();
    let text = &text[at + start.len()..];
    let text = &text[text.find('{').unwrap() + 1..];
    let mut depth = 1;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    unreachable!("{start} does not end");
}

/// The names of the fields between an interface's braces, without those of inner ones.
fn fields(body: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut depth, mut statement) = (0, String::new());
    let without_comments: String = body
        .lines()
        .filter(|line| !line.trim_start().starts_with(['/', '*']))
        .collect();
    for character in without_comments.chars() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ';' if depth == 0 => {
                if let Some((name, _)) = statement.split_once(':') {
                    names.insert(name.trim().trim_end_matches('?').to_owned());
                }
                statement.clear();
                continue;
            }
            _ => {}
        }
        statement.push(character);
    }
    // The last one of a line may stand without a semicolon.
    if let Some((name, _)) = statement.split_once(':') {
        names.insert(name.trim().trim_end_matches('?').to_owned());
    }
    names
}

/// The names of a schema's properties in the document.
fn properties(document: &Value, schema: &str) -> BTreeSet<String> {
    let schema = &document["components"]["schemas"][schema];
    let all_of = schema["allOf"].as_array().cloned().unwrap_or_default();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for part in all_of.iter().chain([schema]) {
        if let Some(named) = part["$ref"].as_str() {
            names.extend(properties(document, named.rsplit('/').next().unwrap()));
        }
        names.extend(
            part["properties"]
                .as_object()
                .into_iter()
                .flat_map(|map| map.keys().cloned()),
        );
    }
    names
}

#[test]
fn an_answer_has_the_fields_of_the_typescript_package() {
    let (answers, document) = (typescript("answer.ts"), pgdumpd::http::document());
    let backup = braces(&answers, "export interface BackupAnswer");
    assert_eq!(properties(&document, "BackupAnswer"), fields(backup));
    assert_eq!(fields(backup).len(), 29, "the interface is read");
    for (field, schema) in [
        ("tables:", "Tables"),
        ("rows:", "Rows"),
        ("bytes:", "Bytes"),
        ("copies:", "Copies"),
        ("result:", "Stored"),
        ("error:", "Failure"),
    ] {
        let inner = fields(braces(backup, field));
        assert_eq!(properties(&document, schema), inner, "{field}");
    }
    let span = braces(&answers, "export interface TimeSpan");
    assert_eq!(properties(&document, "TimeSpan"), fields(span));

    let monitoring = typescript("monitoring.ts");
    let mut monitored = fields(braces(&monitoring, "export interface MonitoredBackup"));
    // The handlers leave these two out.
    let handlers = typescript("next/handlers.ts");
    assert!(handlers.contains("metadata: _, requestedBy: __, ...shown"));
    assert!(monitored.remove("metadata") && monitored.remove("requestedBy"));
    assert_eq!(properties(&document, "MonitoredBackup"), monitored);
    let target = typescript("targets.ts");
    let target = fields(braces(&target, "export interface Target "));
    assert_eq!(properties(&document, "Target"), target);
    let answer = fields(braces(&handlers, "export interface MonitoringAnswer"));
    assert_eq!(properties(&document, "MonitoringAnswer"), answer);
    let list = typescript("next/list.ts");
    let list = fields(braces(&list, "export interface ListAnswer"));
    assert_eq!(properties(&document, "ListAnswer"), list);
    let cancel = fields(braces(&handlers, "export interface CancelAnswer"));
    let both: BTreeSet<String> = cancel.union(&fields(backup)).cloned().collect();
    assert_eq!(properties(&document, "CancelAnswer"), both);
    let create = typescript("next/create.ts");
    let create = fields(braces(&create, "export interface CreateBody"));
    assert_eq!(properties(&document, "CreateBody"), create);
    let spec = typescript("enqueue.ts");
    let spec = fields(braces(&spec, "export interface BackupSpec"));
    assert_eq!(properties(&document, "Spec"), spec);
    let problem = typescript("next/problem.ts");
    let problem = fields(braces(&problem, "export interface Problem "));
    assert_eq!(properties(&document, "Problem"), problem);
}

#[test]
fn what_is_sent_has_the_fields_of_the_document() {
    let answer = serde_json::to_value(BackupAnswer::waiting("temp_1")).unwrap();
    let sent: BTreeSet<String> = answer.as_object().unwrap().keys().cloned().collect();
    assert_eq!(sent, properties(&pgdumpd::http::document(), "BackupAnswer"));
    // As `waitingAnswer` has them.
    let waiting = typescript("answer.ts");
    let waiting = braces(
        &waiting,
        "export function waitingAnswer(id: string): BackupAnswer",
    );
    let mut compared = 0;
    for line in waiting.lines() {
        let Some((name, value)) = line.trim().trim_end_matches(',').split_once(": ") else {
            continue;
        };
        if let Ok(value) = serde_json::from_str::<Value>(value) {
            let sent = &answer[name];
            let same = *sent == value || sent.as_f64().is_some_and(|n| value.as_f64() == Some(n));
            assert!(same, "{name}: {sent} and {value}");
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
    assert_eq!(answer["message"], "Waiting to start");
}

#[test]
fn problems_are_those_of_the_typescript_package_and_of_the_documents() {
    let text = typescript("next/problem.ts");
    let table = braces(
        &text,
        "const PROBLEMS: Record<ProblemType, { status: number; title: string; retryAfter?: number }> =",
    );
    let ours: BTreeMap<&str, ProblemType> = ProblemType::ALL
        .into_iter()
        .map(|problem| (problem.word(), problem))
        .collect();
    let mut theirs = BTreeSet::new();
    for line in table.lines() {
        let Some((word, rest)) = line.trim().split_once(": {") else {
            continue;
        };
        let word = word.trim_matches('"');
        let problem = ours
            .get(word)
            .unwrap_or_else(|| panic!("{word} is missing"));
        let status = problem.status().as_u16();
        assert!(
            rest.contains(&format!("status: {status},")),
            "{word}: {rest}"
        );
        assert!(
            rest.contains(&format!("title: \"{}\"", problem.title())),
            "{word}: {rest}"
        );
        let retry = problem
            .retry_after()
            .map(|seconds| format!("retryAfter: {seconds} "));
        assert_eq!(rest.contains("retryAfter"), retry.is_some(), "{word}");
        assert!(rest.contains(&retry.unwrap_or_default()), "{word}: {rest}");
        theirs.insert(word.to_owned());
    }
    let alone: BTreeSet<&str> = ours
        .keys()
        .copied()
        .filter(|word| !theirs.contains(*word))
        .collect();
    assert_eq!(
        alone,
        BTreeSet::from(["too-many-requests", "too-slow", "wrong-method"])
    );

    let errors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ERRORS.md");
    let errors = std::fs::read_to_string(errors).unwrap();
    let section = errors.split("\n## Problems over HTTP").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented: Vec<(String, u16)> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (
                cells[1].trim_matches('`').to_owned(),
                cells[2].parse().unwrap(),
            )
        })
        .collect();
    let documented: BTreeMap<String, u16> = documented.into_iter().collect();
    let known = ours
        .into_iter()
        .map(|(word, problem)| (word.to_owned(), problem.status().as_u16()));
    assert_eq!(documented, known.collect());
}
