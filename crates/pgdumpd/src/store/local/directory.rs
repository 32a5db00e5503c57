//! A storage's local directory: private files, made visible whole and durable, or not at all.
//!
//! The directory is held open, and everything is done through the descriptor. A directory that is moved away, or whose
//! file system is unmounted lazily, stays the one that was opened; what appears at its path is never written to.
//! Whether the path still leads here, [`Root::open`] and [`Root::is_same_as`] say.
//!
//! Links below the root are followed: an operator may have put one target's directory on another disk. While that is
//! away, what is there is not gone. Whoever could make a link here could replace the backups as well.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::store::faults;

/// A backup holds everything a database holds: only the daemon's user may read it, whatever the umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// The same for directories.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o700);
/// How a directory is opened to be listed, synced and worked in.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Another attempt's clean-up may remove an empty directory between our mkdir and our open; not this often.
const CREATE_TRIES: u32 = 100;

/// The root directory. Every function blocks: call it off the runtime. Keys are names below the root: they do not
/// begin with a slash, and have no `..`.
#[derive(Debug, Clone)]
pub(in crate::store) struct Root {
    directory: Arc<OwnedFd>,
    path: PathBuf,
}

impl Root {
    /// Creates the directory where it is missing (0700), and what is missing above it. Nothing else does.
    pub(in crate::store) fn create(path: &Path) -> Result<Self, Fault> {
        create_directories(path)
            .map_err(|e| faults::of_io(format!("cannot create {}", path.display()), path, e))?;
        Self::open(path)
    }

    /// The directory as it is.
    pub(in crate::store) fn open(path: &Path) -> Result<Self, Fault> {
        let directory = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|e| {
            faults::of_io(format!("cannot open {}", path.display()), path, e.into())
        })?;
        Ok(Self {
            directory: Arc::new(directory),
            path: path.to_owned(),
        })
    }

    /// Whether both are one directory of one file system.
    pub(in crate::store) fn is_same_as(&self, other: &Self) -> io::Result<bool> {
        let (ours, theirs) = (rustix::fs::fstat(self)?, rustix::fs::fstat(other)?);
        Ok((ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino))
    }

    /// Its path, as it was opened, for texts and to find out whether it still leads here.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a key, for texts.
    pub(in crate::store) fn join(&self, key: &str) -> PathBuf {
        self.path.join(key)
    }

    /// Permission bits of the root.
    pub(in crate::store) fn mode(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(self)?.st_mode & 0o7777)
    }

    /// Bytes that an ordinary user may still write to this file system.
    pub(in crate::store) fn free_space(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(self)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Opens a new temporary file (0600) beside where `key` will be, making directories on the way; its key, too.
    ///
    /// That is `KEY#N`, as object_store names its own.
    pub(in crate::store) fn create_temporary(&self, key: &str) -> io::Result<(File, String)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut number = 1;
        for _ in 0..CREATE_TRIES {
            let temporary = format!("{key}#{number}");
            match rustix::fs::openat(self, &temporary, flags, FILE_MODE) {
                Ok(file) => return Ok((file.into(), temporary)),
                Err(Errno::EXIST) => number += 1,
                Err(Errno::NOENT) => self.make_directories(parent(key))?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("no temporary name is free"))
    }

    /// Puts a small file in place: whole and on disk, or not there. Replaces what was there.
    pub(in crate::store) fn write_whole(&self, key: &str, content: &[u8]) -> io::Result<()> {
        self.write_and(key, content, |from, to| self.rename(from, to))
    }

    /// Like `write_whole`, but leaves an existing file as it is and says so with `false`.
    pub(in crate::store) fn write_new(&self, key: &str, content: &[u8]) -> io::Result<bool> {
        match self.write_and(key, content, |from, to| self.rename_new(from, to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_and(
        &self,
        key: &str,
        content: &[u8],
        put: impl FnOnce(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut file, temporary) = self.create_temporary(key)?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| put(&temporary, key));
        if written.is_err() {
            // The first error is what counts; the name is a temporary one in any case.
            let _ = self.remove_if_there(&temporary);
            return written;
        }
        self.sync_directory(parent(key))
    }

    /// Gives a file another name, replacing what has it. It is not on disk until the directory is synced.
    pub(in crate::store) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, from, self, to)?)
    }

    /// Renames without replacing. A hard link does so everywhere that has hard links (NFS too); FAT and SMB have
    /// none, but take RENAME_NOREPLACE.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        match rustix::fs::linkat(self, from, self, to, AtFlags::empty()) {
            Ok(()) => Ok(rustix::fs::unlinkat(self, from, AtFlags::empty())?),
            Err(Errno::EXIST) => Err(Errno::EXIST.into()),
            Err(_) => Ok(rustix::fs::renameat_with(
                self,
                from,
                self,
                to,
                RenameFlags::NOREPLACE,
            )?),
        }
    }

    /// Removes a file for good (its directory is synced); `false` if it was not there.
    pub(in crate::store) fn remove(&self, key: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(self, key, AtFlags::empty()) {
            Ok(()) => {
                self.sync_directory(parent(key))?;
                Ok(true)
            }
            Err(Errno::NOENT) => {
                self.expect_within_reach(Path::new(parent(key)))?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, or finds it gone.
    pub(in crate::store) fn remove_if_there(&self, key: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(self, key, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes every temporary file of `key`.
    pub(in crate::store) fn remove_temporaries(&self, key: &str) -> io::Result<()> {
        let (directory, name) = (parent(key), key.rsplit('/').next().unwrap_or(key));
        let entries = match self.directory(directory) {
            Ok(opened) => Dir::new(opened)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.expect_within_reach(Path::new(directory));
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if let Ok(found) = entry.file_name().to_str()
                && is_temporary_of(name, found)
            {
                self.remove_if_there(&child(directory, found))?;
            }
        }
        Ok(())
    }

    /// Removes the directory of `key` if nothing is left in it. Months and targets stay: they are few.
    pub(in crate::store) fn remove_empty_directory(&self, key: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(self, parent(key), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes names in a directory survive a crash of the machine.
    pub(in crate::store) fn sync_directory(&self, key: &str) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.directory(key)?)?)
    }

    /// Fails where what is not there is only out of reach: where the name or a directory above it is a link whose
    /// target is away, such as another disk.
    pub(in crate::store) fn expect_within_reach(&self, key: &Path) -> io::Result<()> {
        let mut names: Vec<&Path> = key.ancestors().collect();
        names.reverse();
        for name in names
            .into_iter()
            .filter(|name| !name.as_os_str().is_empty())
        {
            let stat = match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if is_link
                && rustix::fs::statat(self, name, AtFlags::empty()).err() == Some(Errno::NOENT)
            {
                let what = format!("{} is a link to nothing", self.path.join(name).display());
                return Err(io::Error::new(io::ErrorKind::NotFound, what));
            }
        }
        Ok(())
    }

    /// Opens a directory below the root, or with an empty key the root, with a position of its own in the listing.
    pub(in crate::store) fn directory(&self, key: impl AsRef<Path>) -> io::Result<OwnedFd> {
        let key = key.as_ref();
        let key = if key.as_os_str().is_empty() {
            Path::new(".")
        } else {
            key
        };
        Ok(rustix::fs::openat(self, key, DIRECTORY, Mode::empty())?)
    }

    /// Creates what is missing of a directory below the root, each private and its name on disk.
    fn make_directories(&self, key: &str) -> io::Result<()> {
        let ends = key.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([key.len()]) {
            let directory = &key[..end];
            match rustix::fs::mkdirat(self, directory, DIRECTORY_MODE) {
                Ok(()) => self.sync_directory(parent(directory))?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The key of the directory that a key is in; empty for the root.
pub(in crate::store) fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn child(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_owned(),
        _ => format!("{directory}/{name}"),
    }
}

fn is_temporary_of(name: &str, found: &str) -> bool {
    let number = found
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('#'));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Creates what is missing of a path, each directory private and its name on disk.
fn create_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        create_directories(above)?;
    }
    match DirBuilder::new()
        .mode(DIRECTORY_MODE.as_raw_mode())
        .create(path)
    {
        Ok(()) => above.map_or(Ok(()), |above| File::open(above)?.sync_all()),
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
