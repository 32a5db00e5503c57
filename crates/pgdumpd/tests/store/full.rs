//! A full disk. A program of its own: the limit that stands in for the disk holds for a whole process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use pgdumpd::store::{ObjectKey, Storage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uuid::Uuid;

use crate::support::local;

/// A limit on the size of files fails a write as a full disk does (EFBIG for ENOSPC), for any user.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_in_mid_upload_leaves_nothing() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("root");
    let storage = Storage::open("local", &local(path.clone())).await.unwrap();
    let before = count(&path);
    // Without a handler the signal that comes with the error would end the process.
    let signal = rustix::process::Signal::XFSZ.as_raw();
    signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(5_000_000),
            ..unlimited
        },
    )
    .unwrap();

    let mut upload = storage.begin(&new_key(), None).await.unwrap();
    let mut fault = None;
    for _ in 0..100 {
        if let Err(error) = upload.write(content(1_000_000)).await {
            fault = Some(error);
            break;
        }
    }
    let fault = fault.expect("100 MB do not fit");
    assert_eq!(fault.code().as_str(), "storage_full");
    assert!(fault.is_transient());
    upload.abort().await.unwrap();

    // The last bytes may fail only when the upload is committed.
    let mut upload = storage.begin(&new_key(), None).await.unwrap();
    upload.write(content(5_000_001)).await.unwrap();
    assert_eq!(
        upload.commit().await.unwrap_err().code().as_str(),
        "storage_full"
    );
    setrlimit(Resource::Fsize, unlimited).unwrap();
    assert_eq!(count(&path), before);
}

fn count(path: &std::path::Path) -> usize {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { count(&path) } else { 1 })
        .sum()
}

fn new_key() -> ObjectKey {
    ObjectKey::new(
        Uuid::new_v4(),
        "full",
        Uuid::new_v4(),
        Uuid::new_v4(),
        chrono::Utc::now(),
    )
}

fn content(size: usize) -> Bytes {
    vec![7; size].into()
}
