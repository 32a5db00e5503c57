//! The words of an SQL text, as PostgreSQL's own lexer splits it.
//!
//! Any bytes are taken: what has no end extends to the end of the text.

use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword: folded to lower case, or as it was quoted.
    Name { name: Cow<'a, [u8]>, quoted: bool },
    /// Without a sign at its end that PostgreSQL takes for the next token.
    Operator(&'a [u8]),
    /// What is between the quotes of a string; doubled quotes are one.
    Text(Cow<'a, [u8]>),
    /// A number.
    Number,
    /// A bracket, a comma, a period, …
    Sign(u8),
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Name { name, quoted: false } if **name == *keyword.as_bytes())
    }
}

/// Splits a text; comments and blanks are left out.
pub(super) fn tokens(text: &[u8]) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        rest: text,
        signs: 0,
    };
    std::iter::from_fn(|| lexer.next()).collect()
}

/// The position after the first place where these keywords follow one another.
pub(super) fn after(tokens: &[Token<'_>], keywords: &[&str]) -> Option<usize> {
    let are_here = |window: &[Token<'_>]| {
        let mut pairs = window.iter().zip(keywords);
        pairs.all(|(token, keyword)| token.is(keyword))
    };
    Some(tokens.windows(keywords.len()).position(are_here)? + keywords.len())
}

struct Lexer<'a> {
    rest: &'a [u8],
    /// So many bytes that come next are operators of one byte each. Without the count each of them would be found by
    /// reading all that follow.
    signs: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            if self.rest.starts_with(b"--") {
                self.take_while(|byte| byte != b'\n' && byte != b'\r');
            } else if self.rest.starts_with(b"/*") {
                self.skip_comment();
            } else {
                break;
            }
        }
        let first = *self.rest.first()?;
        let second = self.rest.get(1).copied();
        Some(match (first, second) {
            (b'"', _) => self.quoted_name(),
            (b'\'', _) => Token::Text(self.between(b'\'')),
            (b'e' | b'E', Some(b'\'')) => {
                self.take(1);
                self.escaped_text()
            }
            (b'b' | b'B' | b'n' | b'N' | b'x' | b'X', Some(b'\'')) => {
                self.take(1);
                Token::Text(self.between(b'\''))
            }
            (b'u' | b'U', Some(b'&')) if self.rest.get(2) == Some(&b'"') => {
                self.take(2);
                self.unicode_name()
            }
            (b'u' | b'U', Some(b'&')) if self.rest.get(2) == Some(&b'\'') => {
                self.take(2);
                Token::Text(self.between(b'\''))
            }
            (b'$', _) => match self.dollar_quoted() {
                Some(text) => Token::Text(text.into()),
                None => Token::Sign(self.take(1)[0]),
            },
            (b'0'..=b'9', _) => {
                self.take_while(|byte| is_word(byte) || byte == b'.');
                Token::Number
            }
            _ if is_word(first) => {
                let word = self.take_while(is_word);
                let folded = word.iter().any(u8::is_ascii_uppercase);
                let name = if folded {
                    word.to_ascii_lowercase().into()
                } else {
                    word.into()
                };
                let quoted = false;
                Token::Name { name, quoted }
            }
            _ if is_operator(first) => Token::Operator(self.operator()),
            _ => Token::Sign(self.take(1)[0]),
        })
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| !wanted(*byte));
        self.take(length.unwrap_or(self.rest.len()))
    }

    /// Comments of C nest in SQL.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with(b"/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with(b"*/") {
                depth -= 1;
                self.take(2);
            } else if self.rest.is_empty() {
                return;
            } else {
                self.take(1);
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// What is between this quote and its pair.
    fn between(&mut self, quote: u8) -> Cow<'a, [u8]> {
        self.take(1);
        let mut text = Cow::Borrowed(self.take_while(|byte| byte != quote));
        self.take(1);
        while self.rest.first() == Some(&quote) {
            text.to_mut().extend_from_slice(self.take(1));
            text.to_mut()
                .extend_from_slice(self.take_while(|byte| byte != quote));
            self.take(1);
        }
        text
    }

    fn quoted_name(&mut self) -> Token<'a> {
        let (name, quoted) = (self.between(b'"'), true);
        Token::Name { name, quoted }
    }

    /// `U&"d\0061t\+000061"`, with the usual escape character.
    fn unicode_name(&mut self) -> Token<'a> {
        let text = self.between(b'"');
        let mut name = Vec::with_capacity(text.len());
        let mut rest = &text[..];
        while let [first, after @ ..] = rest {
            rest = after;
            if *first != b'\\' {
                name.push(*first);
                continue;
            }
            let digits = match after {
                [b'+', after @ ..] => after.get(..6).map(|digits| (digits, 7)),
                _ => after.get(..4).map(|digits| (digits, 4)),
            };
            let decoded =
                digits.and_then(|(digits, length)| Some((character(Some(digits))?, length)));
            if let Some((character, length)) = decoded {
                push(&mut name, character);
                rest = &after[length..];
            } else {
                name.push(b'\\');
                rest = after.strip_prefix(b"\\").unwrap_or(after);
            }
        }
        let (name, quoted) = (name.into(), true);
        Token::Name { name, quoted }
    }

    /// `E'…'`. Of the escapes, those are decoded that a name may be written with.
    fn escaped_text(&mut self) -> Token<'a> {
        self.take(1);
        let mut text = Vec::new();
        while let [first, rest @ ..] = self.rest {
            self.rest = rest;
            match (first, rest.first()) {
                (b'\\', Some(next)) => {
                    self.take(1);
                    let digits = match next {
                        b'u' => 4,
                        b'U' => 8,
                        _ => 0,
                    };
                    match character(self.rest.get(..digits)) {
                        Some(character) if digits > 0 => {
                            push(&mut text, character);
                            self.take(digits);
                        }
                        _ if matches!(next, b'n' | b'r' | b't') => text.push(b' '),
                        _ => text.push(*next),
                    }
                }
                (b'\'', Some(b'\'')) => text.extend_from_slice(self.take(1)),
                (b'\'', _) => break,
                _ => text.push(*first),
            }
        }
        Token::Text(text.into())
    }

    /// `$tag$…$tag$`; `None` where no such quote begins.
    fn dollar_quoted(&mut self) -> Option<&'a [u8]> {
        let after = &self.rest[1..];
        let tag = after.iter().position(|byte| *byte == b'$')?;
        let plain = |byte: &u8| is_word(*byte) && *byte != b'$';
        if !after[..tag].iter().all(plain) || after[0].is_ascii_digit() {
            return None;
        }
        let quote = self.take(tag + 2);
        let end = memchr::memmem::find(self.rest, quote).unwrap_or(self.rest.len());
        let text = self.take(end);
        self.take(quote.len());
        Some(text)
    }

    fn operator(&mut self) -> &'a [u8] {
        if self.signs > 0 {
            self.signs -= 1;
            return self.take(1);
        }
        let ends = |at: usize| {
            let rest = &self.rest[at..];
            !is_operator(rest[0]) || rest.starts_with(b"--") || rest.starts_with(b"/*")
        };
        let length = (1..self.rest.len()).find(|at| ends(*at));
        let found = &self.rest[..length.unwrap_or(self.rest.len())];
        // A sign belongs to what follows, unless the operator has a character that SQL's own have not.
        if !found.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            let signs = found[1..].iter().rev();
            self.signs = signs.take_while(|byte| b"+-".contains(byte)).count();
        }
        self.take(found.len() - self.signs)
    }
}

/// The character of this hexadecimal number.
fn character(digits: Option<&[u8]>) -> Option<char> {
    let digits = std::str::from_utf8(digits?).ok()?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

/// Appends the character as UTF-8.
fn push(text: &mut Vec<u8>, character: char) {
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether an identifier that needs no quotes may contain the byte.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let shown = tokens(text.as_bytes())
            .into_iter()
            .map(|token| match token {
                Token::Name { name, quoted } => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    if quoted { format!("[{name}]") } else { name }
                }
                Token::Operator(operator) => format!("op{}", String::from_utf8_lossy(operator)),
                Token::Text(text) => format!("<{}>", String::from_utf8_lossy(&text)),
                Token::Number => "0".to_owned(),
                Token::Sign(sign) => char::from(sign).to_string(),
            });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_text_is_split_as_postgresql_splits_it() {
        for (text, expected) in [
            ("Select S.\"My func\"(1.5)", "select s . [My func] ( 0 )"),
            ("\"a\"\"b\".\"c.d-e\"", "[a\"b] . [c.d-e]"),
            ("U&\"d\\0061t\\+000061\\\\\"", "[data\\]"),
            ("a===-1 b<-1 c@-1", "a op=== op- 0 b op< op- 0 c op@- 0"),
            ("a OPERATOR(s.===) b", "a operator ( s . op=== ) b"),
            (
                "a=+-+b +- c -+-- d",
                "a op= op+ op- op+ b op+ op- c op- op+",
            ),
            ("a@+-+b", "a op@+-+ b"),
            ("a /* x /* y */ z */ b -- c 'd\ne", "a b e"),
            ("a +/* x */ b", "a op+ b"),
            (
                "'it''s' E'a\\'b' $$x 'y$$ $f$ $$ $f$",
                "<it's> <a'b> <x 'y> < $$ >",
            ),
            ("E'\\u00e9\\U000000e9\\u00\\'", "<ééu00'>"),
            ("$1 + f($2)", "$ 0 op+ f ( $ 0 )"),
            ("É.größe", "É . größe"),
            // Without an end.
            ("'a", "<a>"),
            ("\"a", "[a]"),
            ("$$a", "<a>"),
            ("E'a\\", "<a\\>"),
            ("/* a", ""),
            ("--", ""),
            ("U&\"\\", "[\\]"),
            ("$", "$"),
            ("$$", "<>"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    /// Where each token were found by reading all that follows it, a text of these would take minutes.
    #[test]
    fn a_long_text_is_split_in_time_that_grows_with_its_length() {
        let before = std::time::Instant::now();
        for part in [
            "+", "-+", "=", "@", "/", "+/**/", "/*", "(", ")", "$", "$a", "$ ", "$a$ ", "$$", "'",
            "''", "' ", "\"", "\"\"", "\" ", "E'", "E'\\", "U&\"\\", "U&\"\\+", "1", ".", "a",
            "a ", "a.", "\\", "é",
        ] {
            let text = part.repeat(300_000);
            let split = tokens(text.as_bytes());
            assert!(split.len() <= text.len(), "{part}");
        }
        assert!(before.elapsed() < std::time::Duration::from_secs(5));
    }
}
