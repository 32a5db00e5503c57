//! Whom a backup is encrypted to.

use std::io::Write;

use age::armor::{ArmoredWriter, Format};
use age::stream::StreamWriter;
use age::x25519::Recipient;

use super::encryptor::failed;
use crate::fault::Fault;

/// More are refused: each takes its place at the head of every archive.
pub const MAX_RECIPIENTS: usize = 20;

/// One or more public keys; each secret half of one of them decrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(Vec<Recipient>);

/// Why a text is not a recipient; in words that continue "this recipient …". Never shows the text: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecipient {
    /// An identity.
    #[error(
        "is a secret key (an identity): write its public key, which `age-keygen -y FILE` prints, keep the secret one \
         away from this host, and make a new pair if others could have read this one here"
    )]
    Secret,
    /// `ssh-ed25519 …`
    #[error("is an SSH key, which is not supported: make an age key with `age-keygen`")]
    Ssh,
    /// `age1pq1…`, `age1tag1…`, `age1yubikey1…`
    #[error(
        "is a key of a plugin or a post-quantum key, which are not supported: make an X25519 key with `age-keygen`"
    )]
    Kind,
    /// A letter is wrong or missing.
    #[error("is mistyped: its letters do not fit its checksum")]
    Mistyped,
    /// Anything else.
    #[error("is not an age public key: those begin with \"age1\", and `age-keygen` makes them")]
    NoKey,
    /// None at all.
    #[error("is missing")]
    Missing,
    /// More than [`MAX_RECIPIENTS`].
    #[error("is one too many: at most {MAX_RECIPIENTS} are allowed")]
    TooMany,
}

impl Recipients {
    /// Reads public keys as `age-keygen` prints them (`age1…`).
    ///
    /// # Errors
    /// The place of the first that is none, from 0, and why.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, (usize, BadRecipient)> {
        if texts.is_empty() {
            return Err((0, BadRecipient::Missing));
        }
        if texts.len() > MAX_RECIPIENTS {
            return Err((MAX_RECIPIENTS, BadRecipient::TooMany));
        }
        let parsed = texts.iter().enumerate().map(|(at, text)| {
            let text = text.as_ref().trim();
            text.parse().map_err(|_| (at, why_not(text)))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// As configuration and manifest write them.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Encrypts something small: a whole age file.
    ///
    /// # Errors
    /// `encryption_failed`.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut writer = self.writer(Vec::new())?;
        writer.write_all(plaintext).map_err(failed)?;
        writer.finish().map_err(failed)
    }

    /// The same as text, in age's armor.
    ///
    /// # Errors
    /// `encryption_failed`.
    pub fn encrypt_to_text(&self, plaintext: &[u8]) -> Result<String, Fault> {
        let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(failed)?;
        let mut writer = self.writer(armor)?;
        writer.write_all(plaintext).map_err(failed)?;
        let armor = writer.finish().map_err(failed)?;
        String::from_utf8(armor.finish().map_err(failed)?).map_err(failed)
    }

    /// Encrypts what is written to it; call `finish` at the end.
    ///
    /// # Errors
    /// `encryption_failed`, also where `to` does not take the header.
    pub fn writer<W: Write>(&self, to: W) -> Result<StreamWriter<W>, Fault> {
        let recipients = self
            .0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(failed)?;
        encryptor.wrap_output(to).map_err(failed)
    }
}

fn why_not(text: &str) -> BadRecipient {
    let lower = text.to_ascii_lowercase();
    if lower.contains("age-secret-key-") || lower.starts_with("age-plugin-") {
        BadRecipient::Secret
    } else if lower.starts_with("ssh-") {
        BadRecipient::Ssh
    } else if let Some(rest) = lower.strip_prefix("age1") {
        // A "1" separates a key's kind from its digits, and is not a digit itself.
        if rest.contains('1') {
            BadRecipient::Kind
        } else {
            BadRecipient::Mistyped
        }
    } else if text.is_empty() {
        BadRecipient::Missing
    } else {
        BadRecipient::NoKey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn what_is_parsed_is_written_alike() {
        let recipients = Recipients::parse(&[KEY, &format!(" {KEY} ")]).unwrap();
        assert_eq!(recipients.texts(), [KEY, KEY]);
    }

    #[test]
    fn what_is_no_x25519_key_is_refused_with_the_reason_and_its_place() {
        let mut mistyped = KEY.to_owned();
        mistyped.replace_range(20..21, "q");
        let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        for (text, why) in [
            (secret, BadRecipient::Secret),
            (&secret.to_lowercase(), BadRecipient::Secret),
            (&secret[..30], BadRecipient::Secret),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", BadRecipient::Ssh),
            (
                "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
                BadRecipient::Kind,
            ),
            ("age1pq1qqqq", BadRecipient::Kind),
            (&mistyped, BadRecipient::Mistyped),
            (&KEY[..40], BadRecipient::Mistyped),
            ("", BadRecipient::Missing),
            ("bob@example.com", BadRecipient::NoKey),
        ] {
            assert_eq!(Recipients::parse(&[KEY, text]), Err((1, why)), "{text}");
            assert!(text.len() < 5 || !why.to_string().contains(text), "{why}");
        }
        assert_eq!(
            Recipients::parse::<&str>(&[]),
            Err((0, BadRecipient::Missing))
        );
        assert_eq!(
            Recipients::parse(&[KEY; 21]),
            Err((20, BadRecipient::TooMany))
        );
    }
}
