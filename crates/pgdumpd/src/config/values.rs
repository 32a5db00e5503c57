//! From a value as written to what it means. An error says what is allowed; the reader adds key and value.

use std::time::Duration;

use figment::value::Value;

/// A value as a person would write it, for messages and for `pgdumpd config`.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, c) => format!("{:?}", c.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, Some(number)) => number.to_string(),
            _ => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, values) => {
            let values: Vec<_> = values.iter().map(shown).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// A text in quotes.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        _ => None,
    }
}

/// A number with units. A bare number is refused: seconds here, milliseconds there is how outages begin.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    humantime::parse_duration(text(value)?.trim()).ok()
}

/// A whole number, or bytes with a unit: powers of 1000 (kB, MB, …) or of 1024 (KiB, MiB, …).
pub(super) fn size(value: &Value) -> Option<u64> {
    let Some(text) = text(value) else {
        return integer(value);
    };
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A whole number that is not negative.
pub(super) fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Num(_, number) => number
            .to_u128()
            .or_else(|| number.to_i128().and_then(|n| u128::try_from(n).ok()))
            .and_then(|n| u64::try_from(n).ok()),
        other => text(other)?.parse().ok(),
    }
}

/// `true` or `false`, in a variable too.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(_, flag) => Some(*flag),
        other => text(other)?.parse().ok(),
    }
}

/// A list of texts, or one text with commas.
pub(super) fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(_, values) => values.iter().map(text).collect(),
        other => Some(
            text(other)?
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
        ),
    }
}
