//! Holds the documents to the sources: tests and files that docs/ARCHITECTURE.md and its details name exist,
//! docs/ERRORS.md has every error code and no other, and links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pgdumpd::code::Code;

/// The documents that name tests and files of the sources.
const NAMING: [&str; 3] = ["ARCHITECTURE.md", "COPIES.md", "PROGRESS.md"];

/// Every Rust and SQL file below `crates/`, with its path from there and its text.
type Sources = BTreeMap<String, String>;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn document(name: &str) -> String {
    fs::read_to_string(repository().join("docs").join(name)).unwrap()
}

fn sources() -> Sources {
    let mut sources = Sources::new();
    let crates = repository().join("crates");
    collect(&crates, &crates, &mut sources);
    sources
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn collect(root: &Path, folder: &Path, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, sources);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "sql")
        {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            sources.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// The words in back-quotes, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
}

/// The Rust and SQL files that a document names.
fn named_files(text: &str) -> impl Iterator<Item = &str> {
    quoted(text)
        .into_iter()
        .filter(|word| word.ends_with(".rs") || word.ends_with(".sql"))
}

/// The files whose path ends with these whole components.
fn files<'s>(sources: &'s Sources, end: &str) -> Vec<&'s str> {
    sources
        .iter()
        .filter(|(path, _)| Path::new(path).ends_with(end))
        .map(|(_, text)| text.as_str())
        .collect()
}

/// Whether a text has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(number, line)| {
        line.contains(&head)
            && lines[number.saturating_sub(6)..number]
                .iter()
                .any(|above| above.contains("#[test]") || above.contains("#[tokio::test"))
    })
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let sources = sources();
    let texts = NAMING.map(document);
    let named: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| quoted(text))
        .filter(|word| word.contains(".rs::"))
        .collect();
    assert!(named.len() > 30, "{named:?}");
    let missing: Vec<&&str> = named
        .iter()
        .filter(|word| {
            let (file, test) = word.split_once("::").unwrap();
            !files(&sources, file)
                .iter()
                .any(|text| has_test(text, test))
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_invariant_names_a_test() {
    let text = document("ARCHITECTURE.md");
    let section = text.split("\n## Invariants").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let invariants: Vec<&str> = section.split("\n### ").skip(1).collect();
    assert!(invariants.len() >= 16, "{}", invariants.len());
    for invariant in invariants {
        let rows: Vec<&str> = invariant
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(2)
            .collect();
        assert!(!rows.is_empty(), "no table: {invariant}");
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let &["", clause, enforced, tests, ""] = cells.as_slice() else {
                panic!("not clause, what enforces it, tests: {row}");
            };
            assert!(!clause.is_empty() && !enforced.is_empty(), "{row}");
            let tests = quoted(tests);
            assert!(!tests.is_empty(), "no test: {row}");
            assert!(tests.iter().all(|test| test.contains(".rs::")), "{row}");
        }
    }
}

#[test]
fn every_file_that_the_architecture_names_exists_and_every_room_is_named() {
    let sources = sources();
    let texts = NAMING.map(document);
    let named: BTreeSet<&str> = texts.iter().flat_map(|text| named_files(text)).collect();
    let missing: Vec<&&str> = named
        .iter()
        .filter(|file| files(&sources, file).is_empty() && !repository().join(file).exists())
        .collect();
    assert!(missing.is_empty(), "no such files: {missing:#?}");
    let named: BTreeSet<&str> = named_files(&texts[0]).collect();
    let unnamed: Vec<&str> = sources
        .keys()
        .filter_map(|path| path.strip_prefix("pgdumpd/src/"))
        .filter(|path| path.ends_with(".rs") && (!path.contains('/') || path.starts_with("job/")))
        .filter(|path| !named.contains(path))
        .collect();
    assert!(
        unnamed.is_empty(),
        "not in the code map, as they should be: {unnamed:#?}"
    );
}

#[test]
fn statements_take_no_times() {
    let sources = sources();
    let statements = sources
        .iter()
        .filter(|(path, _)| path.starts_with("pgdumpd/src/") && path.ends_with(".sql"));
    for (path, text) in statements {
        for cast in text.split('$').skip(1) {
            let cast = cast.trim_start_matches(|c: char| c.is_ascii_digit());
            assert!(
                !cast.starts_with("::timestamp"),
                "{path} takes a time as a parameter"
            );
        }
    }
}

#[test]
fn only_publish_commits_an_upload() {
    let committing: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| {
            path.starts_with("pgdumpd/src/")
                && !path.starts_with("pgdumpd/src/store")
                // Transactions have a commit too.
                && text.replace("transaction.commit()", "").contains(".commit()")
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(committing, ["pgdumpd/src/job/publish.rs"]);
}

#[test]
fn only_the_queue_writes_its_tables() {
    for (path, text) in sources() {
        let library = path.starts_with("pgdumpd/src/") || path.starts_with("pgdumpd-client/src/");
        // The history of migrations is the migrations' own.
        if !library
            || path.starts_with("pgdumpd/src/queue")
            || path.starts_with("pgdumpd/src/migrate")
        {
            continue;
        }
        for verb in [
            "UPDATE pgdumpd.",
            "INSERT INTO pgdumpd.",
            "DELETE FROM pgdumpd.",
        ] {
            assert!(!text.contains(verb), "{path} has a statement {verb}");
        }
    }
}

/// What follows each `marker`, without the space between.
fn after<'t>(text: &'t str, marker: &str) -> Vec<&'t str> {
    text.split(marker).skip(1).map(str::trim_start).collect()
}

/// Whether faults of each code are transient: true, false, or both; nothing of those that only the queue's statements write.
fn transience(sources: &Sources) -> BTreeMap<Code, BTreeSet<bool>> {
    let mut found: BTreeMap<Code, BTreeSet<bool>> = BTreeMap::new();
    let mut note = |rest: &str, transient: bool| {
        let name: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        let code = Code::ALL.iter().find(|code| format!("{code:?}") == name);
        if let Some(code) = code {
            found.entry(*code).or_default().insert(transient);
        }
    };
    let daemon = sources
        .iter()
        .filter(|(path, _)| path.starts_with("pgdumpd/src/") && !path.ends_with("tests.rs"));
    for (_, text) in daemon {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (marker, transient) in [("Fault::transient(", true), ("Fault::permanent(", false)] {
            for rest in after(text, marker) {
                note(
                    rest.trim_start().strip_prefix("Code::").unwrap_or_default(),
                    transient,
                );
            }
        }
        for rest in after(text, "code: Code::") {
            if let Some(transient) = after(rest, "transient:").first() {
                note(rest, transient.trim_start().starts_with("true"));
            }
        }
    }
    found
}

/// The codes that the queue's statements write.
fn codes_of_statements(sources: &Sources) -> BTreeSet<&str> {
    let statements = sources
        .iter()
        .filter(|(path, _)| path.starts_with("pgdumpd/src/") && path.ends_with(".sql"));
    let lines = statements.flat_map(|(_, text)| text.lines());
    lines
        .filter_map(|line| line.split_once("error_code = "))
        .filter_map(|(_, written)| match written.split_once("THEN '") {
            Some((_, code)) => Some(code),
            None => written.strip_prefix('\''),
        })
        .filter_map(|code| code.split('\'').next())
        .collect()
}

#[test]
fn every_error_code_is_in_the_operators_table_and_no_other() {
    let sources = sources();
    for code in codes_of_statements(&sources) {
        assert!(code.parse::<Code>().is_ok(), "a statement writes {code:?}");
    }
    let text = document("ERRORS.md");
    let section = text.split("\n## Error codes").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut documented = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for code in quoted(cells[1]) {
            documented.insert(code.to_owned(), cells[3].to_owned());
        }
    }
    let all: BTreeSet<String> = Code::ALL.iter().map(Code::to_string).collect();
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), all);
    let transience = transience(&sources);
    assert!(transience.len() > 70, "{transience:?}");
    for (code, transient) in transience {
        let wanted = match (transient.contains(&true), transient.contains(&false)) {
            (true, true) => "depends",
            (true, false) => "yes",
            (false, true) => "no",
            (false, false) => continue,
        };
        let said = &documented[code.as_str()];
        assert!(
            said.starts_with(wanted),
            "{code} is said to be tried again: {said}, and should be: {wanted}"
        );
    }
}

/// The anchor of a heading, as Markdown's readers make it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Where the links of a document lead within the repository, outside of blocks of code.
fn links(text: &str) -> Vec<&str> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|link| !link.contains("://"))
        .collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let mut found = 0;
    for folder in [repository(), repository().join("docs")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let page = entry.unwrap().path();
            if page.extension().is_none_or(|kind| kind != "md") {
                continue;
            }
            let text = fs::read_to_string(&page).unwrap();
            for link in links(&text) {
                found += 1;
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let linked = if file.is_empty() {
                    page.clone()
                } else {
                    folder.join(file)
                };
                assert!(linked.exists(), "{}: {link}", page.display());
                if heading.is_empty() {
                    continue;
                }
                let known = fs::read_to_string(&linked)
                    .unwrap()
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(known, "{}: no heading for {link}", page.display());
            }
        }
    }
    assert!(found > 30, "{found}");
}
