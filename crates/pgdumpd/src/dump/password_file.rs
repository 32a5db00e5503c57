//! A password file that exists only in memory.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use secrecy::{ExposeSecret, SecretString};

/// What PGPASSFILE must say for a process that has such a file as its stdin.
pub(super) const PATH: &str = "/proc/self/fd/0";

/// Makes an unnamed file with this line in it, to be some process's stdin.
///
/// libpq opens it by its path in /proc, and so reads it from the start each time it connects.
pub(crate) fn create(line: &SecretString) -> io::Result<File> {
    let memory = memfd_create("pgdumpd-password", MemfdFlags::CLOEXEC)?;
    // libpq ignores a password file that others may read, and a memfd begins as 0777.
    fchmod(&memory, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(memory);
    file.write_all(line.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file)
}
