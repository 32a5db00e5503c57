//! Manifests that a test has changed.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The text of a manifest with a right checksum, worked out from `docs/MANIFEST.md` alone.
#[must_use]
pub fn manifest_text(manifest: &Value) -> String {
    let mut fields = manifest.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("checksum");
    }
    let lines = format!("{fields:#}");
    let covered = format!("{},\n", lines.trim_end_matches("\n}"));
    let mut checksum = String::new();
    for byte in Sha256::digest(&covered) {
        write!(checksum, "{byte:02x}").expect("writing to a String cannot fail");
    }
    format!("{covered}  \"checksum\": \"{checksum}\"\n}}\n")
}
