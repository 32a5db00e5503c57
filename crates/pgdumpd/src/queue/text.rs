//! Text as a row can hold it: without NUL, and not longer than the column's CHECK allows. What a daemon has
//! to say about a job must never be refused for its form.

/// Of `message` and `current_table`.
pub(super) const LINE_BYTES: usize = 2000;
/// Of `phase`, `error_step` and `error_code`.
pub(super) const WORD_BYTES: usize = 200;
/// Of `error`.
pub(super) const ERROR_BYTES: usize = 16384;
/// Of `error_hint`.
pub(super) const HINT_BYTES: usize = 4096;
/// Of `warnings`: half of what the CHECK allows, for jsonb prints escapes and separators longer.
const WARNINGS_BYTES: usize = 32768;

/// The text without NULs, cut at a character's end to at most `bytes`.
pub(super) fn fitted(text: &str, bytes: usize) -> String {
    let clean = text.replace('\0', "\u{fffd}");
    if clean.len() <= bytes {
        return clean;
    }
    const MARK: &str = " [...]";
    let mut end = bytes - MARK.len();
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &clean[..end])
}

/// As many warnings as fit, in order.
pub(crate) fn fitted_warnings(warnings: &[String]) -> serde_json::Value {
    let mut room = WARNINGS_BYTES;
    let mut kept = Vec::new();
    for warning in warnings {
        let text = fitted(warning, LINE_BYTES);
        let json = serde_json::Value::from(text);
        let needs = json.to_string().len() + 2;
        if needs > room {
            break;
        }
        room -= needs;
        kept.push(json);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_characters_end_and_says_so() {
        let text = "ä".repeat(600);
        let cut = fitted(&text, 101);
        assert!(cut.len() <= 101, "{}", cut.len());
        assert!(cut.ends_with(" [...]"));
        assert_eq!(fitted("short", 101), "short");
    }

    #[test]
    fn a_nul_never_reaches_the_database() {
        assert_eq!(fitted("a\0b", 10), "a\u{fffd}b");
    }

    #[test]
    fn warnings_fit_the_row_even_where_each_character_is_escaped() {
        let warnings = vec!["\u{1}\"\\\n".repeat(1000); 100];
        let json = fitted_warnings(&warnings);
        assert!(json.to_string().len() <= WARNINGS_BYTES);
        assert!(!json.as_array().unwrap().is_empty());
    }
}
