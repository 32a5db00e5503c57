//! Where PostgreSQL's programs are: the system's packages, or what `script/bootstrap` fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Majors that pgdumpd supports and tests.
pub(crate) const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// The programs of one PostgreSQL major.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    pub(crate) major: u32,
    pub(crate) dir: PathBuf,
}

impl Binaries {
    /// The default major: `PGDUMPD_TEST_PG_BIN`, else the system's newest, else the cache's newest.
    pub(crate) fn default_major() -> Binaries {
        if let Some(dir) = std::env::var_os("PGDUMPD_TEST_PG_BIN") {
            let dir = PathBuf::from(dir);
            let major = major_of(&dir).unwrap_or_else(|| {
                panic!(
                    "PGDUMPD_TEST_PG_BIN={} has no initdb and postgres",
                    dir.display()
                )
            });
            return Binaries { major, dir };
        }
        let majors = MAJORS.rev();
        majors
            .clone()
            .find_map(system)
            .or_else(|| majors.clone().find_map(cached))
            .unwrap_or_else(|| panic!("no PostgreSQL server is installed: run script/bootstrap"))
    }

    /// The programs of `major`, where they are installed.
    pub(crate) fn of(major: u32) -> Option<Binaries> {
        system(major).or_else(|| cached(major))
    }
}

/// The Python with the packages that the examples need, which `script/bootstrap` makes.
#[must_use]
pub fn python() -> PathBuf {
    in_cache("venv/bin/python")
        .unwrap_or_else(|| panic!("there is no Python environment: run script/bootstrap"))
}

/// A file that `script/bootstrap` puts into its cache.
pub(crate) fn in_cache(name: &str) -> Option<PathBuf> {
    let mut caches = cache_dirs().into_iter();
    caches.find_map(|cache| Some(cache.join(name)).filter(|path| path.exists()))
}

fn system(major: u32) -> Option<Binaries> {
    at(
        major,
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
    )
}

fn cached(major: u32) -> Option<Binaries> {
    cache_dirs()
        .into_iter()
        .find_map(|cache| at(major, cache.join(format!("postgresql/{major}/bin"))))
}

fn at(major: u32, dir: PathBuf) -> Option<Binaries> {
    let complete = ["initdb", "postgres", "pg_ctl"]
        .iter()
        .all(|tool| dir.join(tool).is_file());
    complete.then_some(Binaries { major, dir })
}

/// Where `script/lib/env.sh` may have put things: the two agree.
fn cache_dirs() -> Vec<PathBuf> {
    if let Some(dir) = std::env::var_os("PGDUMPD_CACHE") {
        return vec![PathBuf::from(dir)];
    }
    let mut dirs = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
        PathBuf::from("/var/cache/pgdumpd-dev"),
    ];
    if let Some(home) = std::env::home_dir() {
        dirs.push(home.join(".cache/pgdumpd-dev"));
    }
    dirs
}

/// Reads the major out of `postgres (PostgreSQL) 15.9 (Debian …)`.
fn major_of(dir: &Path) -> Option<u32> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?;
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}
