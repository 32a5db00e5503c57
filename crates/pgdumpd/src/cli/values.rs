//! Arguments whose own parsers' words would not help a person.

use chrono::{DateTime, Utc};
use pgdump_archive::TableName;
use uuid::Uuid;

/// A job's id.
pub(super) fn job_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| {
        "an id is a UUID such as 0190c8f2-5a6b-7c3d-8e4f-a1b2c3d4e5f6, as `pgdumpd list` shows it"
            .to_owned()
    })
}

/// A time with its zone.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| {
        "a time is written as 2030-01-31T02:00:00Z or 2030-01-31T02:00:00+01:00".to_owned()
    })
}

/// A JSON object. What it holds may be private, so that no error quotes it.
pub(super) fn json_object(text: &str) -> Result<serde_json::Value, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        format!(
            "is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("is not a JSON object, such as {\"user\": 7}".to_owned())
    }
}

/// A table's name with its schema, as SQL writes it: what is not in double quotes folds to lower case, of which
/// PostgreSQL in UTF-8 knows the letters of ASCII alone.
pub(super) fn table_name(text: &str) -> Result<TableName, String> {
    let refuse = || {
        format!(
            "{text:?} is not SCHEMA.NAME, such as public.orders; a name with capitals or signs is written in double \
             quotes, such as 'public.\"Orders\"'"
        )
    };
    let (schema, rest) = identifier(text).ok_or_else(refuse)?;
    let rest = rest.strip_prefix('.').ok_or_else(refuse)?;
    match identifier(rest) {
        Some((name, "")) => Ok(TableName::new(schema, name)),
        _ => Err(refuse()),
    }
}

/// The identifier that a text begins with, and what comes after it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let plain = !name.is_empty() && !name.contains('"');
        return plain.then(|| (name.to_ascii_lowercase(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_sql_names_them() {
        for (text, schema, name) in [
            ("public.orders", "public", "orders"),
            ("Public.Orders", "public", "orders"),
            ("public.\"Orders\"", "public", "Orders"),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d"),
            ("\u{e9}t\u{e9}.x", "\u{e9}t\u{e9}", "x"),
            ("public.\u{c9}TOILE", "public", "\u{c9}toile"),
        ] {
            assert_eq!(table_name(text), Ok(TableName::new(schema, name)), "{text}");
        }
        for bad in [
            "", "orders", "a.b.c", ".x", "x.", "\"a", "\"\".x", "a.\"b\"c", "a\"b.c",
        ] {
            assert!(table_name(bad).is_err(), "{bad}");
        }
    }
}
