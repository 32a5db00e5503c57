//! The part of a sealed manifest that only an identity opens: what the backup holds, and what was asked for.

use std::fmt;

use pgdump_archive::Index;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::bounded;
use super::{Filters, Manifest, invalid};
use crate::code::Code;
use crate::encryption::{Identities, Recipients};
use crate::fault::Fault;

/// The sealed part: an age file in its armor. A listing leaves it out, because it is as large as an index.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(Option<String>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "{} bytes", text.len()),
            None => f.write_str("left out"),
        }
    }
}

/// What is sealed: fields of the manifest, with their names and places.
#[derive(Serialize, Deserialize)]
struct Secrets<I> {
    backup_id: Uuid,
    /// The object that they are of: of a copy, too. Manifests of format 1 do not say it here.
    object: Option<SealedObject>,
    pg_dump: Arguments,
    spec: Filters,
    archive: Counts,
    #[serde(deserialize_with = "bounded::warnings")]
    warnings: Vec<String>,
    index: Option<I>,
}

#[derive(Serialize, Deserialize)]
struct SealedObject {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Arguments {
    #[serde(deserialize_with = "bounded::list")]
    arguments: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Counts {
    entries: Option<u64>,
    tables: Option<u64>,
    rows: Option<u64>,
    large_objects: Option<u64>,
    raw_bytes: Option<u64>,
}

impl Manifest {
    /// The manifest without what a sealed one must not show, all of which, and the index, is in its sealed part. One
    /// that has such a part keeps it.
    pub(in crate::store) fn seal(&self, index: Option<&Index>) -> Result<Self, Fault> {
        let key = &self.object.key;
        let part = match &self.sealed {
            Some(Sealed(Some(text))) => text.clone(),
            // Sealed again, it would be empty.
            Some(Sealed(None)) => {
                return Err(invalid(key, "was read without its sealed part"));
            }
            None => {
                let secrets = serde_json::to_vec(&self.secrets(index))
                    .map_err(|error| invalid(key, "cannot be written").caused_by(error))?;
                self.recipients()?.encrypt_to_text(&secrets)?
            }
        };
        let mut public = self.clone();
        public.pg_dump.arguments = Vec::new();
        public.spec = Filters::default();
        let archive = &mut public.archive;
        archive.entries = None;
        archive.tables = None;
        archive.rows = None;
        archive.large_objects = None;
        archive.raw_bytes = None;
        public.warnings = Vec::new();
        public.sealed = Some(Sealed(Some(part)));
        Ok(public)
    }

    /// Fills in what the sealed part holds. The index, if it holds one, or why that is of no use.
    ///
    /// # Errors
    /// `identity_mismatch`; `manifest_invalid` where the part is damaged, missing, or of another backup.
    pub fn unseal(
        &mut self,
        identities: &Identities,
    ) -> Result<Result<Option<Index>, Fault>, Fault> {
        let key = &self.object.key;
        let Some(Sealed(Some(part))) = &self.sealed else {
            return Err(invalid(key, "has no sealed part"));
        };
        let what = format!("the sealed part of {}", key.manifest());
        let opened = identities.decrypt_text(&what, part).map_err(|fault| {
            if fault.code() == Code::IdentityMismatch {
                fault
            } else {
                invalid(key, "has a sealed part that is damaged").caused_by(fault)
            }
        })?;
        let secrets: Secrets<Box<RawValue>> = serde_json::from_slice(&opened).map_err(|error| {
            invalid(key, "has a sealed part that cannot be read").caused_by(error)
        })?;
        let of_another = |object: &SealedObject| object.sha256 != self.object.sha256;
        if secrets.backup_id != self.backup_id || secrets.object.as_ref().is_some_and(of_another) {
            return Err(invalid(key, "has a sealed part of another backup"));
        }
        self.pg_dump.arguments = secrets.pg_dump.arguments;
        self.spec = secrets.spec;
        self.archive.entries = secrets.archive.entries;
        self.archive.tables = secrets.archive.tables;
        self.archive.rows = secrets.archive.rows;
        self.archive.large_objects = secrets.archive.large_objects;
        self.archive.raw_bytes = secrets.archive.raw_bytes;
        self.warnings = secrets.warnings;
        let index = secrets.index.as_deref();
        Ok(index
            .map(|index| self.checked_index(index.get()))
            .transpose())
    }

    /// Leaves the sealed part out: a listing of many backups must not hold the indexes of all.
    pub(in crate::store) fn without_sealed_part(mut self) -> Self {
        if let Some(Sealed(part)) = &mut self.sealed {
            *part = None;
        }
        self
    }

    fn secrets<'a>(&self, index: Option<&'a Index>) -> Secrets<&'a Index> {
        let archive = &self.archive;
        Secrets {
            backup_id: self.backup_id,
            object: Some(SealedObject {
                sha256: self.object.sha256.clone(),
            }),
            pg_dump: Arguments {
                arguments: self.pg_dump.arguments.clone(),
            },
            spec: self.spec.clone(),
            archive: Counts {
                entries: archive.entries,
                tables: archive.tables,
                rows: archive.rows,
                large_objects: archive.large_objects,
                raw_bytes: archive.raw_bytes,
            },
            warnings: self.warnings.clone(),
            index,
        }
    }

    fn recipients(&self) -> Result<Recipients, Fault> {
        let texts = self
            .encryption
            .as_ref()
            .map(|own| own.recipients.as_slice());
        Recipients::parse(texts.unwrap_or_default()).map_err(|(_, why)| {
            invalid(&self.object.key, "has an invalid recipient").caused_by(why)
        })
    }
}
