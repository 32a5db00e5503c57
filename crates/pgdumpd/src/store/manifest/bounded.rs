//! Lists of a manifest, read within the bounds that it is written in: a list of empty texts takes many times the memory
//! of its JSON.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};

use super::{LONGEST_WARNING, MAX_WARNINGS};

/// Bytes of one text, such as a label, of which a spec allows 200.
const LONGEST_TEXT: usize = 4000;
/// Bytes of a list's texts together: pg_dump's arguments, in which each byte of a pattern may be written as four.
const LONGEST_LIST: usize = 256 << 10;
/// The most texts of one list: a job's spec, of at most 16 kB, has room for fewer patterns.
const MOST: usize = 5000;

/// Reads a text.
pub(in crate::store) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    within(&text, LONGEST_TEXT).map(|()| text)
}

/// Reads a text, or null.
pub(in crate::store) fn text_or_null<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    if let Some(text) = &text {
        within(text, LONGEST_TEXT)?;
    }
    Ok(text)
}

fn within<E: Error>(text: &str, longest: usize) -> Result<(), E> {
    if text.len() <= longest {
        return Ok(());
    }
    Err(E::custom(format!(
        "a text has {} bytes, not at most {longest}",
        text.len()
    )))
}

/// Reads patterns, arguments or public keys.
pub(in crate::store) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_seq(List {
        most: MOST,
        longest: LONGEST_LIST,
        together: LONGEST_LIST,
    })
}

/// Reads pg_dump's warnings.
pub(in crate::store) fn warnings<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<String>, D::Error> {
    from.deserialize_seq(List {
        most: MAX_WARNINGS,
        longest: LONGEST_WARNING,
        together: MAX_WARNINGS * LONGEST_WARNING,
    })
}

struct List {
    most: usize,
    /// In bytes.
    longest: usize,
    together: usize,
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} texts", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut together) = (Vec::new(), 0);
        while let Some(text) = texts.next_element::<String>()? {
            if list.len() == self.most {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            if text.len() > self.longest {
                let what = format!("a text of a list has {} bytes", text.len());
                return Err(A::Error::custom(format!(
                    "{what}, not at most {}",
                    self.longest
                )));
            }
            together += text.len();
            if together > self.together {
                let what = format!("the texts of a list have more than {} bytes", self.together);
                return Err(A::Error::custom(what));
            }
            list.push(text);
        }
        Ok(list)
    }
}
