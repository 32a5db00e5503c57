//! Programs of Debian's packages: the system's, or what `script/bootstrap` unpacked where there are none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::binaries::in_cache;

/// The folder of the cache that holds what was unpacked, as if it were `/`.
const UNPACKED: &str = "debian";

/// Where a file of Debian's packages is, which they install at this absolute path.
pub(crate) fn file(path: &str) -> Option<PathBuf> {
    let installed = PathBuf::from(path);
    if installed.exists() {
        return Some(installed);
    }
    in_cache(&format!("{UNPACKED}{path}"))
}

/// For a program that was unpacked: where its libraries are, as `LD_LIBRARY_PATH` has it.
pub(crate) fn libraries_of(program: &Path) -> Option<OsString> {
    let mut ancestors = program.ancestors();
    let root = ancestors.find(|folder| folder.file_name().is_some_and(|name| name == UNPACKED))?;
    let folders = ["lib", "usr/lib"].iter().flat_map(|lib| {
        let entries = std::fs::read_dir(root.join(lib));
        entries.into_iter().flatten().flatten()
    });
    let folders = folders.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().ends_with("-linux-gnu")
    });
    std::env::join_paths(folders).ok()
}
