//! The marker of a storage in an object store. A store may ignore the condition "only if there is none", so two daemons
//! that make one storage at once may both write theirs.
//!
//! Each therefore waits after writing, or after finding a marker that it has not seen before. The marker that is there
//! afterwards counts: it is the last one. (The age of a marker would need a comparison of two clocks.) A daemon that is
//! suspended in between for longer may keep an id that the storage does not have. It finds out when it next opens the
//! storage, which it then refuses as another one until the daemon is restarted. Only an attempt is lost.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, path::Path};
use uuid::Uuid;

use super::error::RequestError;
use crate::code::Code;
use crate::fault::Fault;
use crate::store::faults;
use crate::store::marker::{self, LARGEST, Marker, NAME};
use crate::store::remote::Remote;

/// Longer than a small object takes to be written.
const SETTLE: Duration = Duration::from_secs(2);

/// The storage's id; written first where nothing is there yet.
pub(in crate::store) async fn read_or_create(remote: &Remote) -> Result<Uuid, Fault> {
    let mut found = read(remote).await?;
    if found.is_none()
        && let Some(fault) = foreign(remote).await?
    {
        found = Some(read(remote).await?.ok_or(fault)?);
    }
    let marker = Marker::new();
    if found.is_none() {
        write(remote, &marker).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let id = read(remote).await?.ok_or_else(|| {
        let what = format!("{} in {} appeared and disappeared", NAME, remote.address);
        Fault::transient(Code::StorageFailed, what)
    })?;
    if id == marker.storage_id {
        tracing::info!(
            storage.id = %id,
            url = remote.address,
            "a new storage was made; set its id as storage_id in the configuration, and no other one will be made"
        );
    }
    Ok(id)
}

/// The id of the storage that is there, which must be one of those `expected`, if any are; creates nothing.
pub(in crate::store) async fn expect(remote: &Remote, expected: &[Uuid]) -> Result<Uuid, Fault> {
    let address = &remote.address;
    let Some(found) = read(remote).await? else {
        let missing = marker::missing(address, expected).hint(
            "Check whether the url is the right one. A new storage is made by the daemon, when it starts or reloads, \
             unless the configuration or the queue knows the id of another.",
        );
        return Err(match expected {
            [] => foreign(remote).await?.unwrap_or(missing),
            _ => missing,
        });
    };
    match expected {
        [first, ..] if !expected.contains(&found) => {
            Err(marker::replaced(address, found, *first).hint(
                "Correct the url. If the other storage is meant, name its id as storage_id in the storage's section.",
            ))
        }
        _ => Ok(found),
    }
}

async fn read(remote: &Remote) -> Result<Option<Uuid>, Fault> {
    let cannot =
        |e| faults::of_object_store(format!("cannot read {NAME} in {}", remote.address), e);
    let found = match remote.objects.get(&Path::from(NAME)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    if found.meta.size > LARGEST {
        let what = format!("{NAME} in {} is too large", remote.address);
        return Err(marker::invalid(what));
    }
    let text = found.bytes().await.map_err(cannot)?;
    let shown = format!("{NAME} in {}", remote.address);
    marker::parse(&shown, &text).map(Some)
}

/// Writes the marker, on condition that there is none where the server knows conditions.
async fn write(remote: &Remote, marker: &Marker) -> Result<(), Fault> {
    let path = Path::from(NAME);
    let content = PutPayload::from(marker.to_json()?);
    let put = |mode| {
        let options = PutOptions::from(mode);
        remote.objects.put_opts(&path, content.clone(), options)
    };
    let written = match put(PutMode::Create).await {
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => {
            return Ok(());
        }
        // Some servers refuse what they do not know. Whoever may not write is refused again.
        Err(error) if !RequestError::inside(&error).is_some_and(RequestError::may_pass) => {
            put(PutMode::Overwrite).await
        }
        written => written,
    };
    let what = || format!("cannot write {NAME} in {}", remote.address);
    written
        .map(drop)
        .map_err(|e| faults::of_object_store(what(), e))
}

/// Why a place without a marker must not become a storage, if it must not.
async fn foreign(remote: &Remote) -> Result<Option<Fault>, Fault> {
    let cannot = |e| faults::of_object_store(format!("cannot list {}", remote.address), e);
    let foreign = remote.objects.list(None).try_filter(|object| {
        let only_a_place = object.size == 0 && marker::is_placeholder(object.location.as_ref());
        std::future::ready(!only_a_place)
    });
    // The first will do: a bucket may hold millions.
    let first = pin!(foreign).try_next().await.map_err(cannot)?;
    Ok(first.map(|object| marker::foreign_fault(&remote.address, object.location.as_ref())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    /// What keeps the place `name` from becoming a storage, if these bytes lie under it.
    async fn foreign_with(name: &str, bytes: &'static [u8]) -> Option<Fault> {
        let objects = Arc::new(InMemory::new());
        objects.put(&Path::from(name), bytes.into()).await.unwrap();
        foreign(&Remote::over("memory", objects)).await.unwrap()
    }

    #[tokio::test]
    async fn what_only_keeps_the_place_does_not_make_a_prefix_somebody_elses() {
        // The first is what a console's "create folder" stores, as it is seen from the prefix.
        for name in ["", ".keep", "_$folder$"] {
            assert!(foreign_with(name, b"").await.is_none(), "{name:?}");
        }
        for name in [".keep", "_$folder$"] {
            let fault = foreign_with(name, b"x").await.unwrap();
            assert_eq!(fault.code(), Code::StorageForeign, "{name:?}");
        }
        for name in ["folder", "thesis.txt"] {
            assert!(foreign_with(name, b"").await.is_some(), "{name:?}");
        }
    }
}
