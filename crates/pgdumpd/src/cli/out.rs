//! Standard output. A reader that has seen enough (`| head`) ends the command quietly.

use std::borrow::Cow;
use std::io::Write;

/// Prints a line.
///
/// # Errors
/// Standard output is closed or full.
pub(super) fn line(text: impl AsRef<str>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", printable(text.as_ref()))
}

/// What a terminal shows and does not obey: databases and storages name things as they like. A newline stays.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let is_obeyed = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_default())
        } else {
            shown.push(character)
        }
    }
    shown.into()
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// As [`line()`].
pub(super) fn json(value: &impl serde::Serialize) -> std::io::Result<()> {
    writeln!(
        std::io::stdout().lock(),
        "{}",
        serde_json::to_string(value)?
    )
}

/// Prints rows under headings, each column as wide as its widest cell.
///
/// # Errors
/// As [`line()`].
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([headings[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let render = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        text.trim_end().to_owned()
    };
    line(render(&mut headings.iter().copied()))?;
    for row in rows {
        line(render(&mut row.iter().map(String::as_str)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        assert_eq!(printable("a\tb\nMüll"), "a\tb\nMüll");
        assert_eq!(
            printable("\u{1b}[31mred\r\u{7f}\u{9b}2J"),
            "\\u{1b}[31mred\\r\\u{7f}\\u{9b}2J"
        );
    }
}
