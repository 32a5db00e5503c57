//! The roles that an archive names: who owns, who is granted something, whom a policy is for.

use std::collections::BTreeSet;

use pgdump_archive::{Toc, TocEntry};

/// Words after which roles come.
const BEFORE: [&str; 3] = ["TO", "FROM", "ROLE"];
/// Words that are no roles of a server.
const NO_ROLES: [&str; 6] = [
    "public",
    "current_user",
    "session_user",
    "current_role",
    "group",
    "role",
];

/// All of them, those of grants and policies where the text of a statement shows them.
pub(super) fn of(toc: &Toc) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for entry in toc.entries() {
        let owner = entry.owner.as_ref().and_then(|owner| owner.as_str());
        roles.extend(owner.filter(|owner| !owner.is_empty()).map(str::to_owned));
        roles.extend(granted(entry));
    }
    roles
}

fn granted(entry: &TocEntry) -> Vec<String> {
    let kind = entry.description.as_str().unwrap_or_default();
    if !(kind.ends_with("ACL") || kind == "POLICY") {
        return Vec::new();
    }
    let definition = entry.definition.as_ref().and_then(|text| text.as_str());
    let definition = definition.unwrap_or_default();
    if kind != "POLICY" {
        return named(definition);
    }
    // Its conditions have a FROM of their own.
    let conditions = [" USING (", " WITH CHECK ("];
    let ends = conditions.iter().filter_map(|word| definition.find(word));
    named(&definition[..ends.min().unwrap_or(definition.len())])
}

/// The names in lists after certain words.
fn named(statement: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = statement;
    let mut expects = false;
    while let Some(token) = next(&mut rest) {
        match token {
            Token::Word(word) if !expects => expects = BEFORE.contains(&word),
            Token::Word(word) if NO_ROLES.contains(&word.to_lowercase().as_str()) => {
                expects = matches!(word, "GROUP" | "ROLE");
            }
            Token::Word(word) => {
                names.push(word.to_owned());
                expects = false;
            }
            Token::Quoted(name) => {
                if expects {
                    names.push(name);
                }
                expects = false;
            }
            // Another one of the same list follows only a name.
            Token::Comma => expects = true,
            Token::Other => expects = false,
        }
    }
    names
}

enum Token<'a> {
    Word(&'a str),
    Quoted(String),
    Comma,
    Other,
}

fn next<'a>(rest: &mut &'a str) -> Option<Token<'a>> {
    let text = rest.trim_start();
    let first = text.chars().next()?;
    let (token, length) = match first {
        '"' => {
            let mut name = String::new();
            let mut signs = text.char_indices().skip(1).peekable();
            let mut end = text.len();
            while let Some((at, sign)) = signs.next() {
                if sign == '"' {
                    match signs.peek() {
                        Some((_, '"')) => {
                            signs.next();
                        }
                        _ => {
                            end = at + 1;
                            break;
                        }
                    }
                }
                name.push(sign);
            }
            (Token::Quoted(name), end)
        }
        ',' => (Token::Comma, 1),
        _ => {
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
            match end {
                0 => (Token::Other, first.len_utf8()),
                end => (Token::Word(&text[..end]), end),
            }
        }
    };
    *rest = &text[length..];
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_in_grants_and_policies() {
        for (statement, expected) in [
            ("GRANT SELECT ON TABLE a.b TO reader;", vec!["reader"]),
            (
                "REVOKE ALL ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO \"Odd \"\"role\";",
                vec!["Odd \"role"],
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA s GRANT SELECT ON TABLES TO reader;",
                vec!["maker", "reader"],
            ),
            (
                "CREATE POLICY p ON a.b FOR SELECT TO one, two USING (true);",
                vec!["one", "two"],
            ),
            (
                "SET SESSION AUTHORIZATION x; GRANT ALL ON a TO CURRENT_USER",
                vec![],
            ),
        ] {
            let found = named(statement);
            for role in &expected {
                assert!(
                    found.iter().any(|name| name == role),
                    "{statement}: {found:?}"
                );
            }
            assert!(!found.iter().any(|name| name == "PUBLIC"), "{found:?}");
        }
    }
}
