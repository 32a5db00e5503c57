//! Reading in a storage's local directory. Only regular files are opened: an open of a FIFO waits for a writer, and one
//! of a device may do anything.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directory::Root;

/// What is under a key.
#[derive(Debug)]
pub(in crate::store) enum Entry<T> {
    /// A file.
    File(T),
    /// Neither a file nor a directory.
    Special,
    /// Nothing, or a directory.
    None,
}

impl Root {
    /// Its size. What is not a regular file has none, and takes the place of one all the same.
    pub(in crate::store) fn size_of(&self, key: &str) -> io::Result<Option<u64>> {
        Ok(match self.look(key)? {
            Entry::File(size) => Some(size),
            Entry::Special => Some(0),
            Entry::None => None,
        })
    }

    /// Opens a file to read it.
    pub(in crate::store) fn open_file(&self, key: &str) -> io::Result<Entry<File>> {
        match self.look(key)? {
            Entry::File(_) => {}
            Entry::Special => return Ok(Entry::Special),
            Entry::None => return Ok(Entry::None),
        }
        // NONBLOCK, for what may have taken its place in this moment; a regular file does not know it.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::openat(self, key, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Entry::None),
            Err(error) => return Err(error.into()),
        };
        Ok(if file.metadata()?.is_file() {
            Entry::File(file)
        } else {
            Entry::Special
        })
    }

    /// Reads a file whole; `None` of one that has more bytes than `most`.
    pub(in crate::store) fn read(
        &self,
        key: &str,
        most: u64,
    ) -> io::Result<Entry<Option<Vec<u8>>>> {
        let file = match self.open_file(key)? {
            Entry::File(file) => file,
            Entry::Special => return Ok(Entry::Special),
            Entry::None => return Ok(Entry::None),
        };
        let length = file.metadata()?.len();
        if length > most {
            return Ok(Entry::File(None));
        }
        // No more than the file has: a vector that grows takes up to twice as much.
        let mut content =
            Vec::with_capacity(usize::try_from(length).map_or(0, |length| length + 1));
        file.take(most.saturating_add(1))
            .read_to_end(&mut content)?;
        // It may have grown meanwhile.
        Ok(Entry::File(
            Some(content).filter(|read| read.len() as u64 <= most),
        ))
    }

    fn look(&self, key: &str) -> io::Result<Entry<u64>> {
        let found = match rustix::fs::statat(self, key, AtFlags::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                self.expect_within_reach(Path::new(key))?;
                return Ok(Entry::None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Entry::File(found.st_size.try_into().unwrap_or(0)),
            FileType::Directory => Entry::None,
            _ => Entry::Special,
        })
    }
}
