//! What an error of the server has in common in all languages: numbers, files, the names of encodings.

/// Of an error that has nothing.
pub(super) fn no_sign(_: &str) -> bool {
    false
}

/// Whether a line names bytes and an encoding, as what cannot be converted is told in every language. The dump's own
/// encoding is UTF-8.
pub(super) fn names_bytes(line: &str) -> bool {
    let is_byte = |rest: &str| {
        let mut digits = rest.chars();
        (0..2).all(|_| digits.next().is_some_and(|digit| digit.is_ascii_hexdigit()))
    };
    line.contains("UTF8") && line.split("0x").skip(1).any(is_byte)
}

/// Whether a line's numbers are of a buffer that would outgrow what PostgreSQL can hold in one: how much there is and how
/// much more was needed, or the limit itself.
pub(super) fn exceeds_a_buffer(line: &str) -> bool {
    const LIMIT: u64 = 0x3fff_ffff;
    let numbers = line.split(|c: char| !c.is_ascii_alphanumeric());
    let numbers: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
    let outgrows =
        |pair: &[u64]| pair.iter().all(|n| *n < LIMIT) && pair.iter().sum::<u64>() >= LIMIT;
    // libpq's own word; elsewhere numbers may be those of objects.
    let is_detail = line.starts_with("DETAIL:");
    numbers.contains(&LIMIT) || is_detail && numbers.windows(2).any(outgrows)
}

/// Whether a line names a file of a table or an index and a number beside it, as an error of a block does in every
/// language: `base/5/16390`. (A file that cannot be opened is named alone.)
pub(super) fn names_block_of_file(line: &str) -> bool {
    let is_path = |word: &str| {
        let parts: Vec<&str> = word.split('/').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match parts.as_slice() {
            ["base", database, file] => is_number(database) && is_number(&without_fork(file)),
            ["pg_tblspc", .., file] => is_number(&without_fork(file)),
            _ => false,
        }
    };
    let words = || line.split(|c: char| !(c.is_ascii_alphanumeric() || "/_.".contains(c)));
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    words().any(is_path) && words().any(is_number)
}

/// A file's number, without the name of its fork and the number of its segment.
fn without_fork(file: &str) -> &str {
    file.split(['_', '.']).next().unwrap_or_default()
}
