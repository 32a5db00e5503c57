//! The one listing of a local directory.
//!
//! What pgdumpd stores is below a queue's id. There, what cannot be read is an error: it may hide a backup. Everywhere
//! else it is somebody else's, such as the `lost+found` that only root may enter, and is passed over.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use uuid::Uuid;

use super::directory::Root;
use crate::store::found::{FoundObject, Reach};
use crate::store::marker;

impl Root {
    /// Every file below a directory, whatever it is. Links are followed, and no circle is gone round in. What goes
    /// while it is read is left out; a broken link is an error.
    pub(in crate::store) fn walk(&self, below: &str, reach: Reach) -> io::Result<Vec<FoundObject>> {
        // A directory that was removed lists as an empty one, and everything would seem to be gone.
        if rustix::fs::fstat(self)?.st_nlink == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut walk = Walk {
            root: self,
            reach,
            found: Vec::new(),
            above: Vec::new(),
        };
        walk.enter(Path::new(below))?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    root: &'a Root,
    reach: Reach,
    found: Vec<FoundObject>,
    /// The directories that lead here, each as device and inode.
    above: Vec<(u64, u64)>,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &Path) -> io::Result<()> {
        let names = match self.names(directory) {
            Ok(Some(names)) => names,
            Ok(None) => return Ok(()),
            Err(error) => return self.passed_over(directory, error),
        };
        for name in names {
            let key = directory.join(OsStr::from_bytes(name.to_bytes()));
            if directory.as_os_str().is_empty() && !self.reaches(&key) {
                continue;
            }
            match rustix::fs::statat(self.root, &key, AtFlags::empty()) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    if self.reach != Reach::Root {
                        self.enter(&key)?;
                    }
                }
                Ok(stat) => self.found.push(object(&key, &stat)),
                Err(error) => self.passed_over(&key, error.into())?,
            }
        }
        self.above.pop();
        Ok(())
    }

    /// The names in a directory, which is recorded as the last one above; `None` if it leads round in a circle.
    ///
    /// They are read at once, so that no more than one directory is open, however deep they are.
    fn names(&mut self, directory: &Path) -> io::Result<Option<Vec<Box<CStr>>>> {
        let opened = self.root.directory(directory)?;
        let stat = rustix::fs::fstat(&opened)?;
        let identity = (stat.st_dev, stat.st_ino);
        if self.above.contains(&identity) {
            return Ok(None);
        }
        let entries = Dir::new(opened)?.filter(|entry| {
            let name = entry.as_ref().map_or(c"", |entry| entry.file_name());
            name != c"." && name != c".."
        });
        let names: Result<Vec<_>, Errno> =
            entries.map(|entry| Ok(entry?.file_name().into())).collect();
        let names = names?;
        self.above.push(identity);
        Ok(Some(names))
    }

    /// Whether a name in the root is read.
    fn reaches(&self, name: &Path) -> bool {
        match self.reach {
            Reach::Queues => is_of_a_queue(name),
            Reach::Root | Reach::All => !name.to_str().is_some_and(marker::is_of_the_file_system),
        }
    }

    fn passed_over(&self, key: &Path, error: io::Error) -> io::Result<()> {
        if !is_of_a_queue(key) {
            return Ok(());
        }
        if error.kind() == io::ErrorKind::NotFound {
            return self.root.expect_within_reach(key);
        }
        let key: PathBuf = self.root.path().join(key);
        let what = format!("{}: {error}", key.display());
        Err(io::Error::new(error.kind(), what))
    }
}

/// Whether something is below a queue's id. The root itself counts: without it there is nothing to see.
fn is_of_a_queue(key: &Path) -> bool {
    let Some(first) = key.components().next() else {
        return true;
    };
    let first = first.as_os_str().to_str();
    first.is_some_and(|first| Uuid::try_parse(first).is_ok())
}

fn object(key: &Path, stat: &Stat) -> FoundObject {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    FoundObject {
        key: key.to_string_lossy().into_owned(),
        size_bytes: if is_file {
            stat.st_size.try_into().unwrap_or_default()
        } else {
            0
        },
        modified_at: DateTime::from_timestamp(stat.st_mtime, nanoseconds).unwrap_or_default(),
    }
}
