//! A storage's local directory: private files, made visible whole and durable, or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::faults;
use crate::fault::Fault;

/// A backup holds everything a database holds: only the daemon's user may read it, whatever the umask.
pub(super) const FILE_MODE: u32 = 0o600;
/// The same for directories.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
/// Another attempt's clean-up may remove an empty directory between our mkdir and our open; not this often.
const CREATE_TRIES: u32 = 100;

/// The root directory. Every function blocks: call it off the runtime.
#[derive(Debug, Clone)]
pub(super) struct Root {
    path: PathBuf,
}

impl Root {
    /// Creates the directory where it is missing (0700).
    pub(super) fn create(path: &Path) -> Result<Self, Fault> {
        make_directories(path)
            .map_err(|e| faults::of_io(format!("cannot create {}", path.display()), path, e))?;
        Self::open(path)
    }

    /// The directory as it is.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let path = fs::canonicalize(path)
            .map_err(|e| faults::of_io(format!("cannot open {}", path.display()), path, e))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, key: &str) -> PathBuf {
        self.path.join(key)
    }

    /// Permission bits of the root.
    pub(super) fn mode(&self) -> io::Result<u32> {
        Ok(fs::metadata(&self.path)?.permissions().mode() & 0o7777)
    }

    /// Bytes that an ordinary user may still write to this file system.
    pub(super) fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Opens a new temporary file (0600) beside where `key` will be, making directories on the way.
    ///
    /// Its name is `KEY#N`, as object_store names its own, so that object_store's listings leave it out.
    pub(super) fn create_temporary(&self, key: &str) -> io::Result<(File, PathBuf)> {
        let target = self.join(key);
        let mut number = 1;
        for _ in 0..CREATE_TRIES {
            let mut name = target.clone().into_os_string();
            name.push(format!("#{number}"));
            let path = PathBuf::from(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(FILE_MODE);
            match options.open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) if is_absent(&error) => make_directories(parent(&path))?,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no temporary name is free"))
    }

    /// Puts a small file in place: whole and on disk, or not there. Replaces what was there.
    pub(super) fn write_whole(&self, key: &str, content: &[u8]) -> io::Result<()> {
        self.write_and(key, content, |from, to| fs::rename(from, to))
    }

    /// Like `write_whole`, but leaves an existing file as it is and says so with `false`.
    pub(super) fn write_new(&self, key: &str, content: &[u8]) -> io::Result<bool> {
        match self.write_and(key, content, rename_new) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_and(
        &self,
        key: &str,
        content: &[u8],
        put: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let target = self.join(key);
        let (mut file, temporary) = self.create_temporary(key)?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| put(&temporary, &target));
        if written.is_err() {
            // The first error is what counts; the name is a temporary one in any case.
            let _ = fs::remove_file(&temporary);
            return written;
        }
        sync_directory(parent(&target))
    }

    /// Removes a file for good (its directory is synced); `false` if it was not there.
    pub(super) fn remove(&self, key: &str) -> io::Result<bool> {
        let path = self.join(key);
        match fs::remove_file(&path) {
            Ok(()) => {
                sync_directory(parent(&path))?;
                Ok(true)
            }
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes every temporary file of `key`.
    pub(super) fn remove_temporaries(&self, key: &str) -> io::Result<()> {
        let target = self.join(key);
        let directory = parent(&target);
        let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
            return Ok(());
        };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if is_temporary_of(name, &entry.file_name().to_string_lossy()) {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the directory of `key` if nothing is left in it. Months and targets stay: they are few.
    pub(super) fn remove_empty_directory(&self, key: &str) -> io::Result<()> {
        let target = self.join(key);
        match fs::remove_dir(parent(&target)) {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Removes a file, or finds it gone.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Makes names in this directory survive a crash of the machine.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_temporary_of(name: &str, found: &str) -> bool {
    let number = found
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('#'));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Creates what is missing of a path, each directory private and its name on disk.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_directories(above)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => sync_directory(above),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        Err(error) => Err(error),
    }
}

/// Renames without replacing. A hard link does so everywhere that has hard links (NFS too); FAT and SMB have
/// none, but take RENAME_NOREPLACE.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => Ok(rustix::fs::renameat_with(
            CWD,
            from,
            CWD,
            to,
            RenameFlags::NOREPLACE,
        )?),
    }
}
