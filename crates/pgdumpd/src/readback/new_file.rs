//! A local file that is there whole, or not at all.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use crate::code::Code;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// Written (0600) where it will be, and gone when dropped without being kept.
#[derive(Clone)]
pub(super) struct NewFile {
    file: Arc<Unkept>,
    path: PathBuf,
}

/// A file that has not got its name yet.
enum Unkept {
    /// It has none: whatever ends the process, nothing is left, of an encrypted backup's text above all.
    Nameless(File),
    /// It has another one, where the file system knows no files without.
    Named(NamedTempFile),
}

impl Unkept {
    fn create(folder: &Path) -> io::Result<Self> {
        match Self::nameless(folder) {
            Ok(file) => Ok(Self::Nameless(file)),
            Err(_) => Self::named(folder),
        }
    }

    fn nameless(folder: &Path) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?);
        // Without it the file could not be given a name later.
        std::fs::symlink_metadata(link_to(&file))?;
        Ok(file)
    }

    fn named(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            .prefix(".pgdumpd-")
            .suffix(".partial")
            .tempfile_in(folder)?;
        Ok(Self::Named(file))
    }

    fn as_file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Gives it this name, unless something has it.
    fn keep(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Nameless(file) => {
                let from = link_to(&file);
                rustix::fs::linkat(CWD, &from, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
                Ok(())
            }
            Self::Named(file) => file
                .persist_noclobber(path)
                .map(drop)
                .map_err(|error| error.error),
        }
    }
}

fn link_to(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

impl NewFile {
    pub(super) async fn create(path: &Path) -> Result<Self, Fault> {
        let path = path.to_owned();
        off_runtime("writes the file", move || {
            if path.symlink_metadata().is_ok() {
                return Err(exists(&path));
            }
            let file = Unkept::create(folder_of(&path));
            let file = file.map_err(|error| cannot("create", &path, error))?;
            let file = Arc::new(file);
            Ok(Self { file, path })
        })
        .await?
    }

    pub(super) async fn write(&self, bytes: Bytes, offset: u64) -> Result<(), Fault> {
        let new = self.clone();
        off_runtime("writes the file", move || {
            let written = new.file.as_file().write_all_at(&bytes, offset);
            written.map_err(|error| cannot("write", &new.path, error))
        })
        .await?
    }

    /// The first bytes.
    pub(super) async fn read_start(&self, length: usize) -> Result<Vec<u8>, Fault> {
        let new = self.clone();
        off_runtime("writes the file", move || {
            let mut bytes = vec![0; length];
            let read = new.file.as_file().read_exact_at(&mut bytes, 0);
            read.map_err(|error| cannot("read", &new.path, error))?;
            Ok(bytes)
        })
        .await?
    }

    /// Makes it durable under its name. No other clone may be left. Dropped before it has one, it gets none, whatever
    /// its thread is still at.
    pub(super) async fn keep(self) -> Result<(), Fault> {
        let Self { file, path } = self;
        let awaited = CancellationToken::new();
        let (given_up, _awaited) = (awaited.clone(), awaited.drop_guard());
        off_runtime("writes the file", move || {
            let file = Arc::into_inner(file).ok_or_else(|| {
                Fault::transient(Code::Internal, "the file is still being written")
            })?;
            let synced = file.as_file().sync_all();
            synced.map_err(|error| cannot("write", &path, error))?;
            if given_up.is_cancelled() {
                return Err(Fault::transient(
                    Code::Internal,
                    "nobody waits for the file",
                ));
            }
            match file.keep(&path) {
                // Its name, too, is to outlast a crash of the machine.
                Ok(()) => File::open(folder_of(&path))
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| cannot("write", &path, error)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&path)),
                Err(error) => Err(cannot("create", &path, error)),
            }
        })
        .await?
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
    Fault::permanent(Code::FileExists, what)
        .hint("Name another file with --output, or - for standard output.")
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Fault {
    let what = format!("cannot {verb} {}", path.display());
    Fault::permanent(Code::FileFailed, what).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect()
    }

    #[test]
    fn a_file_has_no_name_until_it_is_kept_and_takes_none_from_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let file = Unkept::create(folder.path()).unwrap();
        assert!(matches!(file, Unkept::Nameless(_)));
        file.as_file().write_all_at(b"text", 0).unwrap();
        assert_eq!(names(folder.path()), [""; 0]);
        file.keep(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        let error = Unkept::create(folder.path()).unwrap().keep(&path);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    }

    #[test]
    fn where_files_have_names_the_name_goes_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let file = Unkept::named(folder.path()).unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
        let file = Unkept::named(folder.path()).unwrap();
        file.as_file().write_all_at(b"text", 0).unwrap();
        file.keep(&path).unwrap();
        assert_eq!(names(folder.path()), ["kept"]);
        let error = Unkept::named(folder.path()).unwrap().keep(&path);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
