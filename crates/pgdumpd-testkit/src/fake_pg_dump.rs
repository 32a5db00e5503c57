//! A stand-in for pg_dump that misbehaves on command.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A shell script called `pg_dump` in a folder of its own, which answers `--version`, and when
/// run as a dump notes its arguments, writes given bytes to stdout, and ends as told.
///
/// The folder goes on drop.
#[derive(Debug)]
pub struct FakePgDump {
    dir: TempDir,
    major: u32,
    then: Then,
    says: String,
    bytes: Vec<u8>,
}

/// How a [`FakePgDump`] ends once its bytes are written.
#[derive(Clone, Debug)]
pub enum Then {
    /// Exits with this status.
    Exit(u8),
    /// Kills itself with this signal.
    Signal(i32),
    /// Keeps stdout open and writes no more, until a signal (or 10 minutes) ends it.
    Hang,
    /// As `Hang`, but ignores SIGTERM and SIGINT.
    HangIgnoringSignals,
    /// Closes stdout, then hangs.
    CloseAndHang,
    /// Becomes this program, with the arguments given (write no bytes before it).
    Exec(PathBuf),
    /// The same, with these arguments before those given.
    ExecWith(PathBuf, Vec<String>),
}

/// One run of a [`FakePgDump`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Its process id.
    pub pid: i32,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, as `NAME=value`, in order.
    pub environment: Vec<String>,
}

impl FakePgDump {
    /// A pg_dump of `major` that writes `bytes`, then does `then`.
    #[must_use]
    pub fn new(major: u32, bytes: &[u8], then: Then) -> FakePgDump {
        let dir = TempDir::with_prefix("pgdumpd-fake-").expect("a temporary folder can be made");
        let fake = FakePgDump {
            dir,
            major,
            then,
            says: String::new(),
            bytes: bytes.to_vec(),
        };
        fake.write();
        fake
    }

    /// The same, but first writes `text` to stderr.
    #[must_use]
    pub fn says(mut self, text: &str) -> FakePgDump {
        self.says = text.to_owned();
        self.write();
        self
    }

    /// Changes what the next run does.
    pub fn become_(&mut self, bytes: &[u8], then: Then) {
        self.bytes = bytes.to_vec();
        self.then = then;
        self.write();
    }

    /// The folder to look for pg_dump in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The script.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("pg_dump")
    }

    /// The dumps that were started so far, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        let mut number = 1_u32;
        std::iter::from_fn(|| {
            let run = self.run(number)?;
            number += 1;
            Some(run)
        })
        .collect()
    }

    fn run(&self, number: u32) -> Option<Run> {
        let lines = |name: String| {
            let text = fs::read(self.dir.path().join(name)).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            Some(
                text.split_terminator('\0')
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        // Written last, so the other two are whole.
        let pid = lines(format!("{number}.pid"))?
            .first()?
            .trim()
            .parse()
            .ok()?;
        let mut environment = lines(format!("{number}.environment"))?;
        environment.sort();
        Some(Run {
            pid,
            arguments: lines(format!("{number}.arguments"))?,
            environment,
        })
    }

    fn write(&self) {
        let dir = self.dir.path().display();
        let put = |name: &str, bytes: &[u8]| {
            fs::write(self.dir.path().join(name), bytes)
                .unwrap_or_else(|error| panic!("cannot write {dir}/{name}: {error}"));
        };
        put("bytes", &self.bytes);
        put("says", self.says.as_bytes());
        // Replaced as a whole: a shell that runs the old one reads it as it goes.
        put("pg_dump.new", self.script().as_bytes());
        let script = self.dir.path().join("pg_dump.new");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .and_then(|()| fs::rename(&script, self.program()))
            .unwrap_or_else(|error| panic!("cannot make {dir}/pg_dump: {error}"));
    }

    /// Uses absolute paths: a daemon gives its pg_dump no PATH.
    fn script(&self) -> String {
        let mut script = format!(
            r#"#!/bin/sh
case "$1" in --version | -V) echo "pg_dump (PostgreSQL) {major}.0"; exit 0 ;; esac
cd '{dir}' || exit 99
number=1
until /bin/mkdir "$number" 2>/dev/null; do number=$((number + 1)); done
printf '%s\0' "$@" >"$number.arguments"
/bin/cat "/proc/$$/environ" >"$number.environment"
echo "$$" >"$number.new" && /bin/mv "$number.new" "$number.pid"
/bin/cat says >&2
"#,
            major = self.major,
            dir = self.dir.path().display(),
        );
        if !self.bytes.is_empty() {
            script.push_str("/bin/cat bytes\n");
        }
        let _ = match &self.then {
            Then::Exit(status) => writeln!(script, "exit {status}"),
            Then::Signal(signal) => writeln!(script, "kill -{signal} $$"),
            Then::Hang => writeln!(script, "exec /bin/sleep 600"),
            Then::HangIgnoringSignals => writeln!(script, "trap '' TERM INT\nexec /bin/sleep 600"),
            Then::CloseAndHang => writeln!(script, "exec /bin/sleep 600 >&-"),
            Then::Exec(program) => writeln!(script, "exec '{}' \"$@\"", program.display()),
            Then::ExecWith(program, arguments) => writeln!(
                script,
                "exec '{}' '{}' \"$@\"",
                program.display(),
                arguments.join("' '")
            ),
        };
        script
    }
}
