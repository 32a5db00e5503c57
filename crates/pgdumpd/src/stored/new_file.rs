//! A local file that is there whole, or not at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::fault::Fault;

/// Written under a name of its own (0600), beside where it will be; removed when dropped without being kept.
#[derive(Clone)]
pub(super) struct NewFile {
    file: Arc<NamedTempFile>,
    path: PathBuf,
}

impl NewFile {
    pub(super) async fn create(path: &Path) -> Result<Self, Fault> {
        let path = path.to_owned();
        off_runtime(move || {
            if path.symlink_metadata().is_ok() {
                return Err(exists(&path));
            }
            let file = tempfile::Builder::new()
                .prefix(".pgdumpd-")
                .suffix(".partial")
                .tempfile_in(folder_of(&path))
                .map_err(|error| cannot("create", &path, error))?;
            let file = Arc::new(file);
            Ok(Self { file, path })
        })
        .await
    }

    pub(super) async fn write(&self, bytes: Bytes, offset: u64) -> Result<(), Fault> {
        let new = self.clone();
        off_runtime(move || {
            let written = new.file.as_file().write_all_at(&bytes, offset);
            written.map_err(|error| cannot("write", &new.path, error))
        })
        .await
    }

    /// The first bytes.
    pub(super) async fn read_start(&self, length: usize) -> Result<Vec<u8>, Fault> {
        let new = self.clone();
        off_runtime(move || {
            let mut bytes = vec![0; length];
            let read = new.file.as_file().read_exact_at(&mut bytes, 0);
            read.map_err(|error| cannot("read", &new.path, error))?;
            Ok(bytes)
        })
        .await
    }

    /// Makes it durable under its name. No other clone may be left.
    pub(super) async fn keep(self) -> Result<(), Fault> {
        let Self { file, path } = self;
        off_runtime(move || {
            let file = Arc::into_inner(file)
                .ok_or_else(|| Fault::transient("internal", "the file is still being written"))?;
            let synced = file.as_file().sync_all();
            synced.map_err(|error| cannot("write", &path, error))?;
            match file.persist_noclobber(&path) {
                // Its name, too, is to outlast a crash of the machine.
                Ok(_) => File::open(folder_of(&path))
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| cannot("write", &path, error)),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(exists(&path))
                }
                Err(error) => Err(cannot("create", &path, error.error)),
            }
        })
        .await
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn exists(path: &Path) -> Fault {
    let what = format!("{} exists already", path.display());
    Fault::permanent("file_exists", what).hint("Name another file with --output.")
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Fault {
    let what = format!("cannot {verb} {}", path.display());
    Fault::permanent("file_failed", what).caused_by(error)
}

async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(
                Fault::transient("internal", "the thread that writes the file ended")
                    .caused_by(error),
            )
        })
}
