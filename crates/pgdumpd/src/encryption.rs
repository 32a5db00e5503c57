//! Encryption of what is stored, in the age format, to public keys whose secret halves this host need not have.
//!
//! [`Recipients`] encrypt and cannot decrypt: all that a daemon is given. [`Identities`] decrypt: a person hands
//! them to a command that reads a backup again. Nobody here knows pipelines or storages.

mod encryptor;
mod identities;
mod recipients;

use serde::{Deserialize, Serialize};

pub use self::encryptor::Encryptor;
pub use self::identities::{HEAD_BYTES, Identities, fault_of_reading, is_damage, is_truncation};
pub use self::recipients::{BadRecipient, MAX_RECIPIENTS, Recipients};

/// Plaintext bytes that age encrypts, and authenticates, together.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// The same chunk as it is stored: with its tag.
pub const SEALED_CHUNK_BYTES: u64 = CHUNK_BYTES + 16;

/// Whether the manifest of an encrypted backup shows what is in the backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestForm {
    /// Everything is readable.
    #[default]
    Clear,
    /// What is inside the database is encrypted: its index, filters, warnings and counts.
    Sealed,
}
