//! Percent-encoding as libpq reads it: `+` is a plus, an escaped zero byte is refused.

use super::DatabaseUrlError;

/// Decodes `%XX`; `part` names the part of the address in the error.
pub(super) fn decode(text: &str, part: &str) -> Result<String, DatabaseUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(DatabaseUrlError(format!(
                "the {part} has a \"%\" without two hexadecimal digits (a percent sign itself is written %25)"
            )));
        };
        bytes.extend(u8::try_from(high * 16 + low));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| DatabaseUrlError(format!("the {part} is not UTF-8 once decoded")))?;
    if text.chars().any(char::is_control) {
        return Err(DatabaseUrlError(format!(
            "the {part} contains a control character"
        )));
    }
    Ok(text)
}

/// Encodes what has a meaning in an address, and what is not printable ASCII.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
