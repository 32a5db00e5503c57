//! The signature of a message, as <https://www.standardwebhooks.com> has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// Of id, time and body: none of them can be replaced, and an old message cannot be sent once more as a new one.
pub(super) fn signature(secret: &str, id: Uuid, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .expect("a key of HMAC may have any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_id_time_and_body() {
        let id = Uuid::nil();
        let signed = signature("secret", id, 1_614_265_330, b"{}");
        // printf '%s' '00000000-0000-0000-0000-000000000000.1614265330.{}' | openssl dgst -sha256 -hmac secret -binary | base64
        assert_eq!(signed, "v1,16bhANL3IvbRkK3NWM9S80o6iQHJ1tdSegUqyOgwmgo=");
        assert_ne!(signature("secret", id, 1_614_265_331, b"{}"), signed);
        assert_ne!(signature("Secret", id, 1_614_265_330, b"{}"), signed);
    }
}
