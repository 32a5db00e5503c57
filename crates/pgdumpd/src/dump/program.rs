//! Finding the pg_dump that fits a server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use crate::code::Code;
use crate::fault::Fault;

/// How long a program may take to print its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A socket directory that does not exist: a pg_dump that tries to connect names it in its error.
const NOWHERE: &str = "/nonexistent/pgdumpd-probe";

/// A pg_dump that was run and asked for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    version: String,
    major: u32,
    zstd: bool,
}

impl Program {
    /// Runs the program at `path` and asks for its version and its compressions.
    ///
    /// # Errors
    /// A permanent `pg_dump_missing` when it cannot be run or is not a pg_dump.
    pub async fn ask(path: &Path) -> Result<Self, Fault> {
        let unusable = |why: &str| {
            Fault::permanent(
                Code::PgDumpMissing,
                format!("{} cannot be used as pg_dump: {why}", path.display()),
            )
        };
        let output = run(path, &["--version"])
            .await
            .map_err(|error| unusable("it does not run").caused_by(error))?;
        if !output.status.success() {
            return Err(unusable(&format!("--version ended with {}", output.status)));
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let Some(major) = parse_major(&version) else {
            return Err(unusable("it does not print a PostgreSQL version"));
        };
        let zstd = major >= 16 && compresses_with_zstd(path).await;
        Ok(Self {
            path: path.to_owned(),
            version,
            major,
            zstd,
        })
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself, such as `pg_dump (PostgreSQL) 16.14`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether this build really compresses with zstd.
    pub fn has_zstd(&self) -> bool {
        self.zstd
    }

    /// Whether its archives may be unreadable for the server's own pg_restore.
    pub fn is_newer_than(&self, server_major: u32) -> bool {
        self.major > server_major
    }
}

/// Finds the pg_dump for a server of this major version: the same major wherever it is, else the nearest newer.
///
/// Looks in `directories`, in the usual places of packages, and in PATH, in that order. Answers are remembered
/// for as long as the file stays the same.
///
/// # Errors
/// `pg_dump_missing` when there is none at all, `pg_dump_too_old` when there are only older ones: permanent, unless one
/// was found before.
pub async fn find(directories: &[PathBuf], server_major: u32) -> Result<Program, Fault> {
    let mut newer: Option<Program> = None;
    let mut older = BTreeMap::new();
    let places = directories.to_vec();
    // Reading directories blocks.
    let found = tokio::task::spawn_blocking(move || candidates(&places)).await;
    for path in found.unwrap_or_default() {
        let program = match remembered(&path).await {
            Ok(program) => program,
            Err(fault) => {
                tracing::debug!(path = %path.display(), error = fault.report(), "not a usable pg_dump");
                continue;
            }
        };
        if program.major == server_major {
            found_majors().insert(server_major);
            return Ok(program);
        }
        if program.major < server_major {
            older.entry(program.major).or_insert(program.path);
        } else if newer.as_ref().is_none_or(|best| program.major < best.major) {
            newer = Some(program);
        }
    }
    if let Some(program) = newer {
        found_majors().insert(server_major);
        return Ok(program);
    }
    let hint = format!(
        "Install the client programs of PostgreSQL {server_major} (postgresql-client-{server_major} on Debian \
         and Ubuntu, postgresql{server_major} on Red Hat), or name their directory in [pg_dump] directories."
    );
    let missing = match older.last_key_value() {
        None => Fault::permanent(
            Code::PgDumpMissing,
            format!("no pg_dump was found for PostgreSQL {server_major}"),
        ),
        Some((major, path)) => Fault::permanent(
            Code::PgDumpTooOld,
            format!(
                "the newest pg_dump found, {}, is of PostgreSQL {major} and cannot dump a server of {server_major}",
                path.display()
            ),
        ),
    }
    .hint(hint);
    // A package that is being upgraded is away for a moment.
    Err(if found_majors().contains(&server_major) {
        missing.tried_again()
    } else {
        missing
    })
}

/// The majors of servers for which this process has found a pg_dump.
fn found_majors() -> MutexGuard<'static, HashSet<u32>> {
    static FOUND: LazyLock<Mutex<HashSet<u32>>> = LazyLock::new(Mutex::default);
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every place where a pg_dump may be, best first, each file once.
fn candidates(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut places = directories.to_vec();
    places.extend(versioned("/usr/lib/postgresql", ""));
    places.extend(versioned("/usr", "pgsql-"));
    places.push("/usr/local/pgsql/bin".into());
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        places.extend(versioned(brew, "postgresql@"));
        places.push(Path::new(brew).join("libpq/bin"));
    }
    places.extend(
        std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths),
    );

    let mut seen = Vec::new();
    places
        .into_iter()
        .filter(|place| place.is_absolute())
        .map(|place| place.join("pg_dump"))
        .filter(|path| match fs::canonicalize(path) {
            // Debian's wrapper picks a version by a local cluster, not by the server that is dumped.
            Ok(real) if real.file_name() == Some(OsStr::new("pg_wrapper")) => false,
            Ok(real) if seen.contains(&real) => false,
            Ok(real) => {
                seen.push(real);
                true
            }
            Err(_) => false,
        })
        .collect()
}

/// The `bin` folders of the versions installed side by side under `parent`, newest first.
fn versioned(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.strip_prefix(prefix)?.parse();
            Some((major.ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// What distinguishes a file from another that took its place.
type FileMark = (PathBuf, u64, u64, i64, i64);

/// Asks a program once for each state of its file: the answer costs two processes.
async fn remembered(path: &Path) -> Result<Program, Fault> {
    static ANSWERS: OnceLock<Mutex<HashMap<FileMark, Program>>> = OnceLock::new();
    let answers = ANSWERS.get_or_init(Mutex::default);
    let mark = fs::metadata(path).ok().map(|file| {
        let changed = (file.ctime(), file.ctime_nsec());
        (
            path.to_owned(),
            file.ino(),
            file.size(),
            changed.0,
            changed.1,
        )
    });
    if let Some(mark) = &mark
        && let Some(program) = answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(mark)
    {
        return Ok(program.clone());
    }
    let program = Program::ask(path).await?;
    if let Some(mark) = mark {
        answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(mark, program.clone());
    }
    Ok(program)
}

/// Whether this build has zstd. pg_dump checks its compression before it connects, so one that gets as far as
/// the socket accepts it; the socket's name is in the error in any language.
async fn compresses_with_zstd(path: &Path) -> bool {
    let arguments = ["--no-password", "--format=custom", "--compress=zstd:1"];
    match run(path, &arguments).await {
        Ok(output) => String::from_utf8_lossy(&output.stderr).contains(NOWHERE),
        Err(_) => false,
    }
}

async fn run(path: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    let child = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGHOST", NOWHERE)
        .env("PGUSER", "nobody")
        .env("PGDATABASE", "nothing")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(ANSWER_LIMIT, child).await?
}

/// The major version in `pg_dump (PostgreSQL) 16.14 (Debian 16.14-1)`, `… 18beta1`, `… 19devel`.
fn parse_major(text: &str) -> Option<u32> {
    let number = text
        .strip_prefix("pg_dump (PostgreSQL) ")?
        .split_whitespace()
        .next()?;
    let digits = number.find(|c: char| !c.is_ascii_digit());
    number[..digits.unwrap_or(number.len())].parse().ok()
}

#[cfg(test)]
impl Program {
    /// A program as tests of arguments want it.
    pub(super) fn for_test(major: u32, zstd: bool) -> Self {
        Self {
            path: format!("/usr/lib/postgresql/{major}/bin/pg_dump").into(),
            version: format!("pg_dump (PostgreSQL) {major}.1"),
            major,
            zstd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_kind_of_build() {
        for (text, major) in [
            ("pg_dump (PostgreSQL) 16.14", Some(16)),
            ("pg_dump (PostgreSQL) 15.19 (Debian 15.19-1)", Some(15)),
            ("pg_dump (PostgreSQL) 18beta1", Some(18)),
            ("pg_dump (PostgreSQL) 19devel", Some(19)),
            ("pg_dump (PostgreSQL) 9.6.24", Some(9)),
            ("pg_restore (PostgreSQL) 16.14", None),
            ("pg_dump (PostgreSQL) ", None),
            ("", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }
}
