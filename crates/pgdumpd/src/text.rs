//! Texts that people read: nothing that a database, a storage or a server names may steer what shows them.

use std::borrow::Cow;

use indicatif::{HumanBytes, HumanCount};

/// Whether a terminal obeys a character instead of showing it: it moves, colours, rings, or turns the direction of
/// what follows.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// What a terminal shows and does not obey. Newlines and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        is_obeyed(character) && !matches!(character, '\n' | '\t')
    })
}

/// The same for a text that has only one line, whatever is in it: a name must not look like a line of its own.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// A line of a log whose formatter has escaped what a terminal obeys, but neither newlines nor directions.
pub(crate) fn log_line(line: &str) -> Cow<'_, str> {
    escaped(line, |character| {
        is_obeyed(character) && (character == '\n' || !character.is_control())
    })
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_escaped(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

/// "1.5 GiB".
pub fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// "1 table", "2,000 tables".
pub fn count_of(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_sent_nothing_but_text() {
        assert_eq!(printable("a\tb\nMüll"), "a\tb\nMüll");
        assert_eq!(
            printable("\u{1b}[31mred\r\u{7f}\u{9b}2J"),
            "\\u{1b}[31mred\\r\\u{7f}\\u{9b}2J"
        );
        assert_eq!(printable("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(on_one_line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(on_one_line("naïve \u{1f418}"), "naïve \u{1f418}");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(count_of(1, "table"), "1 table");
        assert_eq!(count_of(0, "table"), "0 tables");
        assert_eq!(count_of(1_670_000, "row"), "1,670,000 rows");
    }
}
