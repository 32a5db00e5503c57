//! A storage's work, done in a local directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::range::{FileRange, open};
use super::read::Entry;
use super::upload::LocalUpload;
use super::{LocalBackend, acting_on, marker, probe};
use crate::fault::Fault;
use crate::finding::Finding;
use crate::hex::hex;
use crate::off_runtime::off_runtime;
use crate::store::backend::{Backend, BackendRead, BackendUpload};
use crate::store::faults;
use crate::store::found::{FoundObject, Reach};
use crate::store::key::ObjectKey;
use crate::store::room::no_room;
use crate::store::small::Small;
use crate::store::stall::BytesMoved;
use crate::text::size;

#[async_trait]
impl Backend for LocalBackend {
    async fn confirm(&self, id: Uuid) -> Result<(), Fault> {
        let root = self.root.clone();
        off_runtime("reads the marker", move || marker::confirm(&root, id)).await?
    }

    async fn list(&self, prefix: &str, reach: Reach) -> Result<Vec<FoundObject>, Fault> {
        let prefix = prefix.to_owned();
        let what = acting_on("list", "");
        self.run(what, move |root| root.walk(&prefix, reach)).await
    }

    async fn size_of(&self, key: &str) -> Result<Option<u64>, Fault> {
        let (what, key) = (acting_on("inspect", key), key.to_owned());
        self.run(what, move |root| root.size_of(&key)).await
    }

    async fn read_small(&self, key: &str, most: u64) -> Result<Small, Fault> {
        let (what, key) = (acting_on("read", key), key.to_owned());
        let read = self.run(what, move |root| root.read(&key, most)).await?;
        Ok(match read {
            Entry::File(None) => Small::TooLarge,
            Entry::File(Some(content)) => Small::Whole(content.into()),
            Entry::Special => Small::NotAFile,
            Entry::None => Small::Missing,
        })
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Box<dyn BackendRead>, Fault> {
        let (root, key) = (self.root.clone(), key.clone());
        let path = root.join(key.as_str());
        let file = off_runtime("opens the object", move || open(&root, &key)).await??;
        Ok(Box::new(FileRange::new(file, path, range)))
    }

    async fn sha256(
        &self,
        key: &ObjectKey,
        _size: u64,
        timeout: Duration,
    ) -> Result<String, Fault> {
        let (root, key) = (self.root.clone(), key.clone());
        let reading = Reading::default();
        let _leave = reading.abandoned.clone().drop_guard();
        let read = reading.clone();
        let hashing = off_runtime("hashes the object", move || {
            let file = open(&root, &key)?;
            let what = || format!("cannot read {key}");
            sha256_of_file(file, &read).map_err(|e| faults::of_io(what(), root.path(), e))
        });
        reading
            .bytes
            .in_time(timeout, async { hashing.await? })
            .await
    }

    async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), Fault> {
        let (what, key) = (acting_on("write", key), key.to_owned());
        self.run(what, move |root| root.write_whole(&key, &content))
            .await
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        _expected_bytes: Option<u64>,
    ) -> Result<Box<dyn BackendUpload>, Fault> {
        let (root, key, min_free) = (self.root.clone(), key.clone(), self.min_free);
        let runtime = Handle::current();
        let begin = move || LocalUpload::begin(&root, &key, min_free, &runtime);
        let begun = off_runtime("begins the upload", begin).await??;
        Ok(Box::new(begun))
    }

    async fn remove(&self, key: &str) -> Result<bool, Fault> {
        let (what, key) = (acting_on("remove", key), key.to_owned());
        self.run(what, move |root| root.remove(&key)).await
    }

    async fn probe(&self, storage: &str) -> Vec<Finding> {
        let mut findings = vec![probe::space(self, storage).await];
        findings.extend(probe::mode(self).await);
        findings
    }

    async fn remove_temporaries(&self, key: &ObjectKey) -> Result<(), Fault> {
        let (what, key) = (
            acting_on("remove what is left of", key.as_str()),
            key.clone(),
        );
        self.run(what, move |root| {
            root.remove_temporaries(key.as_str())
                .and_then(|()| root.remove_temporaries(&key.globals()))
                .and_then(|()| root.remove_temporaries(&key.manifest()))
        })
        .await
    }

    async fn remove_directory(&self, key: &ObjectKey) -> Result<(), Fault> {
        let (what, key) = (
            acting_on("remove the directory of", key.as_str()),
            key.clone(),
        );
        self.run(what, move |root| root.remove_empty_directory(key.as_str()))
            .await
    }

    async fn free_space(&self) -> Result<Option<u64>, Fault> {
        let what = acting_on("measure", "");
        self.run(what, |root| root.free_space().map(Some)).await
    }

    async fn ensure_room(&self, expected_bytes: u64) -> Result<(), Fault> {
        // What cannot be measured does not end a dump: a full disk still shows when writing.
        let Ok(Some(free)) = self.free_space().await else {
            return Ok(());
        };
        if free >= expected_bytes.saturating_add(self.min_free) {
            return Ok(());
        }
        Err(no_room(format!(
            "{} has {} free, a backup may need {}, and {} are to be left",
            Path::display(self.root.path()),
            size(free),
            size(expected_bytes),
            size(self.min_free)
        )))
    }
}

/// How far a thread has read, and whether anybody still wants to know.
#[derive(Debug, Clone, Default)]
struct Reading {
    bytes: BytesMoved,
    abandoned: CancellationToken,
}

fn sha256_of_file(mut file: File, reading: &Reading) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(_) if reading.abandoned.is_cancelled() => {
                return Err(io::Error::other("nobody waits for the hash any more"));
            }
            Ok(read) => {
                hash.update(&buffer[..read]);
                reading.bytes.add(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
