//! A manifest as text: written once, and read within bounds that the text itself cannot change.

use pgdump_archive::Index;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::checksum::{self, Checked};
use super::comparison::Counts;
use super::{FORMAT, LONGEST_WARNING, MAX_WARNINGS, Manifest, invalid};
use crate::code::Code;
use crate::fault::Fault;
use crate::store::key::ObjectKey;

/// No manifest is larger: what is larger is not ours. A table's index entry takes about 700 bytes.
pub(in crate::store) const LARGEST: u64 = 64 << 20;
/// The most bytes of everything in a manifest but its index and its sealed part: a spec of at most 16 kB, twice, and
/// [`MAX_WARNINGS`] of [`LONGEST_WARNING`] bytes, which JSON may write with six bytes for one.
const LARGEST_FIELDS: usize = 2 << 20;

/// A manifest as it is written: its fields, and the index.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    index: Option<&'a Index>,
}

/// What decides how a text is read. What may be large is passed over.
#[derive(Deserialize)]
struct Outline<'a> {
    format: u32,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    sealed: Option<&'a RawValue>,
}

/// A manifest's fields, without the index.
#[derive(Deserialize)]
struct Fields {
    #[serde(default, rename = "index")]
    _index: IgnoredAny,
    #[serde(flatten)]
    fields: Value,
}

impl Manifest {
    /// Reads a manifest that is beside `key`.
    ///
    /// # Errors
    /// A permanent `manifest_newer` or `manifest_invalid`; the latter too when it is not what was written, or is of
    /// another object than its key says.
    pub fn parse(key: &ObjectKey, text: &[u8]) -> Result<Self, Fault> {
        let outline = Outline::read(key, text)?;
        let large = [outline.index, outline.sealed].into_iter().flatten();
        let large: usize = large.map(|value| value.get().len()).sum();
        if text.len() - large > LARGEST_FIELDS {
            return Err(invalid(key, "has fields of more than 2 MiB"));
        }
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| unreadable(key, error))?;
        manifest.check(key)?;
        Ok(manifest)
    }

    /// Reads the index that the manifest beside `key` carries, if any.
    ///
    /// # Errors
    /// A permanent `manifest_invalid`, also for an index that is not of an archive of this size.
    pub fn parse_index(&self, text: &[u8]) -> Result<Option<Index>, Fault> {
        let key = &self.object.key;
        let outline: Outline<'_> =
            serde_json::from_slice(text).map_err(|error| unreadable(key, error))?;
        outline
            .index
            .map_or(Ok(None), |index| self.checked_index(index.get()).map(Some))
    }

    /// An index of this manifest's archive, from its JSON.
    pub(in crate::store) fn checked_index(&self, json: &str) -> Result<Index, Fault> {
        let key = &self.object.key;
        let index: Index = serde_json::from_str(json)
            .map_err(|error| invalid(key, "has an index that cannot be read").caused_by(error))?;
        index
            .check_layout(self.archive_bytes())
            .map_err(|error| invalid(key, "has an index that does not fit").caused_by(error))?;
        if let Some((field, ..)) = Counts::of(&index).differences(&self.archive).first() {
            return Err(invalid(
                key,
                &format!("has an index that does not fit {field}"),
            ));
        }
        Ok(index)
    }

    /// Refuses a text of this manifest that says anything more than what was understood.
    pub(in crate::store) fn expect_known(&self, text: &[u8]) -> Result<(), Fault> {
        let key = &self.object.key;
        let Fields { fields, .. } =
            serde_json::from_slice(text).map_err(|error| unreadable(key, error))?;
        let mut known = serde_json::to_value(self).map_err(|error| unreadable(key, error))?;
        if self.has_checksum() {
            known["checksum"] = Value::Null;
        }
        match unknown_field(&fields, &known) {
            None => Ok(()),
            Some(field) => Err(Fault::transient(
                Code::ManifestNewer,
                format!(
                    "{} has a field {field}, which this pgdumpd does not know",
                    key.manifest()
                ),
            )
            .hint("A newer pgdumpd took this backup: update this one, and it can copy it.")),
        }
    }

    /// As it is written: what a sealed one must not show goes into its sealed part, or stays there. An index that
    /// would make it too large is left out.
    pub(in crate::store) fn to_json(&self, index: Option<&Index>) -> Result<Vec<u8>, Fault> {
        let mut bounded = self.clone();
        bounded.warnings.truncate(MAX_WARNINGS);
        for warning in &mut bounded.warnings {
            warning.truncate(warning.floor_char_boundary(LONGEST_WARNING));
        }
        let key = &self.object.key;
        bounded.check(key)?;
        let text = bounded.write(index)?;
        if text.len() as u64 <= LARGEST {
            return Ok(text);
        }
        tracing::warn!(
            object.key = %key,
            "the index of {} tables does not fit the manifest and is left out",
            index.map_or(0, |index| index.entries.len())
        );
        bounded.write(None)
    }

    fn write(&self, index: Option<&Index>) -> Result<Vec<u8>, Fault> {
        let key = &self.object.key;
        let sealed;
        let (manifest, index) = if self.is_sealed() {
            sealed = self.seal(index)?;
            (&sealed, None)
        } else {
            (self, index)
        };
        let object = serde_json::to_vec_pretty(&Written { manifest, index })
            .map_err(|error| invalid(key, "cannot be written").caused_by(error))?;
        let text = checksum::add(object);
        // What could not be read again would be no backup.
        Self::parse(key, &text)?;
        Ok(text)
    }
}

impl<'a> Outline<'a> {
    fn read(key: &ObjectKey, text: &'a [u8]) -> Result<Self, Fault> {
        // In every format the checksum is in the same place, so damage is not taken for a newer format.
        let checked = checksum::check(text);
        if checked == Checked::Wrong {
            return Err(invalid(
                key,
                "is not what was written: its checksum does not fit",
            ));
        }
        let outline: Self = serde_json::from_slice(text).map_err(|error| unreadable(key, error))?;
        match outline.format {
            0 => Err(invalid(key, "has format 0")),
            1 => Ok(outline),
            format if format > FORMAT => {
                let what = format!("{} has format {format}", key.manifest());
                Err(Fault::permanent(Code::ManifestNewer, what).hint(format!(
                    "This pgdumpd understands manifests up to format {FORMAT}: use a newer one."
                )))
            }
            _ if checked == Checked::Absent => {
                Err(invalid(key, "is not what was written: it has no checksum"))
            }
            _ => Ok(outline),
        }
    }
}

fn unreadable(key: &ObjectKey, error: serde_json::Error) -> Fault {
    invalid(key, "cannot be read").caused_by(error)
}

/// The dotted name of the first field that is not `known`.
fn unknown_field(found: &Value, known: &Value) -> Option<String> {
    found.as_object()?.iter().find_map(|(name, value)| {
        let Some(known) = known.get(name) else {
            return Some(name.clone());
        };
        unknown_field(value, known).map(|below| format!("{name}.{below}"))
    })
}
