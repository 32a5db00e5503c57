//! Which module may import which: one table for the top-level modules, and no circles below them. The compiler allows
//! any import inside a crate, so this test reads every `use` and every path of the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each top-level module may import, from the top down. Each imports only what stands below it.
const MAY_IMPORT: &[(&str, &str)] = &[
    ("main", "cli"),
    (
        "cli",
        "daemon notify checks context fsck rehearsal restore readback store pipeline queue migrate config database_url telemetry encryption finding off_runtime redact fault code text",
    ),
    (
        "daemon",
        "job notify checks http context metrics readback retention store queue config schedule spec lifecycle telemetry finding fault code",
    ),
    (
        "job",
        "context metrics readback former_database store server database_url dump pipeline queue config spec lifecycle telemetry compressor compression \
         globals hex off_runtime fault code text",
    ),
    (
        "checks",
        "http context former_database server dump queue config finding text code",
    ),
    ("http", "metrics queue config schedule finding hex"),
    ("notify", "config fault text"),
    (
        "context",
        "metrics store server queue config database_url encryption globals finding fault code",
    ),
    ("metrics", "code"),
    ("former_database", "server queue finding"),
    ("fsck", "readback store queue finding fault code"),
    (
        "rehearsal",
        "restore readback server dump database_url fault code",
    ),
    (
        "restore",
        "readback server dump database_url finding off_runtime redact fault code text",
    ),
    (
        "readback",
        "store queue encryption hex off_runtime fault code",
    ),
    ("retention", "store"),
    (
        "store",
        "config encryption bandwidth compressor hex finding text off_runtime fault code",
    ),
    (
        "server",
        "dump database_url globals finding off_runtime redact fault code text",
    ),
    (
        "dump",
        "database_url compressor compression globals redact fault code",
    ),
    ("pipeline", "encryption hex off_runtime fault code"),
    (
        "queue",
        "migrate config database_url spec finding fault code",
    ),
    ("telemetry", "config text"),
    (
        "config",
        "redact database_url encryption compressor compression schedule globals bandwidth",
    ),
    ("migrate", ""),
    ("database_url", ""),
    ("encryption", "fault code"),
    ("compressor", "compression"),
    ("compression", ""),
    ("spec", "fault code"),
    ("finding", "fault"),
    ("lifecycle", ""),
    ("schedule", ""),
    ("bandwidth", ""),
    ("globals", ""),
    ("hex", ""),
    ("text", ""),
    ("redact", ""),
    ("off_runtime", "fault code"),
    ("fault", "code"),
    ("code", ""),
];

/// The top-level modules that may name sqlx: all others know nothing of SQL.
const MAY_USE_SQLX: &[&str] = &["cli", "database_url", "fault", "migrate", "queue", "server"];

/// A module's path from the crate's root: `["store", "local", "walk"]`.
type Module = Vec<String>;
type Imports = BTreeMap<Module, BTreeSet<Module>>;

fn sources() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    collect(&root, &mut Vec::new(), &mut sources);
    sources.remove(["lib".to_owned()].as_slice());
    sources
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn collect(folder: &Path, module: &mut Module, sources: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        module.push(name);
        if path.is_dir() {
            collect(&path, module, sources);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            sources.insert(module.clone(), code_of(&fs::read_to_string(&path).unwrap()));
        }
        module.pop();
    }
}

/// What stands before and after each module of unit tests, which is in the file or in one of its own.
fn without_unit_tests(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\nmod ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let head = part.lines().next().unwrap_or_default();
        let end = if head.ends_with(';') { ";\n" } else { "\n}\n" };
        kept.push_str(part.split_once(end).map_or("", |(_, after)| after));
    }
    kept
}

/// A file's text without comments, without the content of its strings, and without its unit tests.
fn code_of(text: &str) -> String {
    let text = without_unit_tests(text);
    let mut code = String::new();
    for line in text.lines() {
        let mut in_string = false;
        let mut before = ' ';
        for (at, character) in line.char_indices() {
            if !in_string && line[at..].starts_with("//") {
                break;
            }
            if character == '"' && before != '\\' && before != '\'' {
                in_string = !in_string;
            }
            if !in_string {
                code.push(character);
            }
            before = character;
        }
        code.push('\n');
    }
    code
}

/// The paths of one `use`: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inside = inside.strip_suffix('}').unwrap_or(inside);
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[from..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(expand)
        .map(|part| format!("{}{part}", before.trim()))
        .collect()
}

/// Every path that begins in this crate, in a `use` or anywhere else, and what begins at a child module.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    for (number, statement) in code.split("use ").enumerate() {
        if number == 0 {
            rest.push_str(statement);
            continue;
        }
        let (tree, after) = statement.split_once(';').unwrap_or((statement, ""));
        if ["crate::", "super::", "self::"]
            .iter()
            .any(|start| tree.starts_with(start))
        {
            paths.extend(expand(tree));
        }
        rest.push_str(after);
    }
    let mut children = Vec::new();
    for piece in rest.split("mod ").skip(1) {
        let name: String = piece
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if piece[name.len()..].starts_with(';') {
            children.push(name);
        }
    }
    let is_of_a_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_of_a_path(c)) {
        let first = word.split("::").next().unwrap_or_default();
        if word.contains("::") && ["crate", "super"].contains(&first) {
            paths.push(word.to_owned());
        } else if word.contains("::") && children.iter().any(|child| child == first) {
            paths.push(format!("self::{word}"));
        }
    }
    // `use child::Thing;` in the file of its parent.
    for child in &children {
        if code.contains(&format!("use {child}::")) {
            paths.push(format!("self::{child}::"));
        }
    }
    paths
}

/// The file that a path leads to from a module; none where it leads to the crate's root itself.
fn resolve(from: &Module, path: &str, sources: &BTreeMap<Module, String>) -> Option<Module> {
    let mut at: Module = Vec::new();
    let mut steps = path.split("::").map(str::trim).peekable();
    match steps.next() {
        Some("crate") => {}
        Some("self") => at.clone_from(from),
        Some("super") => {
            at.clone_from(from);
            at.pop();
            while steps.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        _ => return None,
    }
    for step in steps {
        at.push(step.to_owned());
        if !sources.contains_key(&at) {
            at.pop();
            break;
        }
    }
    (!at.is_empty()).then_some(at)
}

fn imports(sources: &BTreeMap<Module, String>) -> Imports {
    let of_one = |(module, code): (&Module, &String)| {
        let targets = paths(code);
        let targets = targets
            .iter()
            .filter_map(|path| resolve(module, path, sources));
        (module.clone(), targets.filter(|to| to != module).collect())
    };
    sources.iter().map(of_one).collect()
}

#[test]
fn modules_import_only_what_the_table_allows_and_the_table_has_no_more() {
    let imports = imports(&sources());
    assert!(imports.len() > 150, "{}", imports.len());
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, all) in &imports {
        // The library's name in the binary.
        found.entry(&from[0]).or_default();
        for to in all.iter().filter(|to| to[0] != from[0]) {
            found.entry(&from[0]).or_default().insert(&to[0]);
        }
    }
    found.insert("main", BTreeSet::from(["cli"]));
    let allowed: BTreeMap<&str, BTreeSet<&str>> = MAY_IMPORT
        .iter()
        .map(|(from, to)| (*from, to.split_whitespace().collect()))
        .collect();
    assert_eq!(found, allowed, "found, and allowed by the table");
}

#[test]
fn the_table_points_down() {
    for (number, (from, to)) in MAY_IMPORT.iter().enumerate() {
        for to in to.split_whitespace() {
            let at = MAY_IMPORT.iter().position(|(module, _)| *module == to);
            assert!(
                at.is_some_and(|at| at > number),
                "{from} imports {to}, which stands above it"
            );
        }
    }
}

/// Whether a module leads back to itself.
fn is_on_a_circle(start: &Module, imports: &Imports) -> bool {
    let mut seen = BTreeSet::new();
    let mut ahead: Vec<&Module> = imports[start].iter().collect();
    while let Some(module) = ahead.pop() {
        if module == start {
            return true;
        }
        if seen.insert(module) {
            ahead.extend(imports.get(module).into_iter().flatten());
        }
    }
    false
}

#[test]
fn no_modules_import_each_other_but_a_child_its_parent() {
    let mut imports = imports(&sources());
    for (from, all) in &mut imports {
        all.retain(|to| !from.starts_with(to));
    }
    let circles: Vec<String> = imports
        .keys()
        .filter(|module| is_on_a_circle(module, &imports))
        .map(|module| module.join("/"))
        .collect();
    assert!(circles.is_empty(), "on a circle of imports: {circles:#?}");
}

#[test]
fn only_modules_of_databases_know_sqlx() {
    let using: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, code)| code.contains("sqlx::"))
        .map(|(module, _)| module[0].clone())
        .collect();
    let allowed: BTreeSet<String> = MAY_USE_SQLX.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(using, allowed);
}
