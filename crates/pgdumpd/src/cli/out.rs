//! Standard output. A reader that has seen enough (`| head`) ends the command quietly.

use std::io::Write;

use crate::text::{on_one_line, printable};

/// Prints one line, whatever is in it: no name looks like a line of its own.
///
/// # Errors
/// Standard output is closed or full.
pub(super) fn line(text: impl AsRef<str>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", on_one_line(text.as_ref()))
}

/// Prints a text of several lines.
///
/// # Errors
/// As [`line()`].
pub(super) fn lines(text: impl AsRef<str>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", printable(text.as_ref()))
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

/// Prints what another program reads, as it is.
///
/// # Errors
/// As [`line()`].
pub(super) fn verbatim(text: &[u8]) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text)
}

/// Prints rows under headings, each column as wide as its widest cell.
///
/// # Errors
/// As [`line()`].
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let shown = |row: &Vec<String>| {
        row.iter()
            .map(|cell| on_one_line(cell).into_owned())
            .collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
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
    for row in &rows {
        line(render(&mut row.iter().map(String::as_str)))?;
    }
    Ok(())
}
