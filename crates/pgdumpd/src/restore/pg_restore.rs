//! The stock pg_restore, which restores the schema and whatever is not rows.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use super::messages::{EntryError, Messages};
use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::dump;
use crate::fault::Fault;
use crate::redact::Redactor;

/// A line of its messages is cut here.
const LINE_BYTES: usize = 8 << 10;

/// A pg_restore, and into what it restores.
#[derive(Debug)]
pub(super) struct PgRestore {
    program: PathBuf,
    major: u32,
    url: DatabaseUrl,
    server_major: u32,
    options: Vec<OsString>,
}

/// A part of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All that tables need.
    PreData,
    /// What is data and not rows.
    Data,
    /// Indexes, constraints, triggers.
    PostData,
}

impl Part {
    fn section(self) -> &'static str {
        match self {
            Self::PreData => "pre-data",
            Self::Data => "data",
            Self::PostData => "post-data",
        }
    }
}

/// Where the bytes of a pipe go.
pub(super) struct Pipe(ChildStdin);

impl Pipe {
    /// Whether it still reads.
    pub(super) async fn write(&mut self, piece: &Bytes) -> bool {
        self.0.write_all(piece).await.is_ok()
    }
}

impl PgRestore {
    /// The one for a server of this version and an archive that needs `oldest`.
    ///
    /// # Errors
    /// `pg_dump_missing`, `pg_dump_too_old`, `pg_restore_missing`.
    pub(super) async fn find(
        directories: &[PathBuf],
        url: &DatabaseUrl,
        server_major: u32,
        oldest: Option<u16>,
        options: Vec<OsString>,
    ) -> Result<Self, Fault> {
        let wanted = server_major.max(oldest.map_or(0, u32::from));
        let beside = dump::find(directories, wanted).await?;
        let program = beside.path().with_file_name("pg_restore");
        if !program.is_file() {
            let what = format!("there is no {}", program.display());
            return Err(Fault::permanent(Code::PgRestoreMissing, what)
                .hint("It belongs to the client programs of PostgreSQL: install them whole."));
        }
        Ok(Self {
            program,
            major: beside.major(),
            url: url.clone(),
            server_major,
            options,
        })
    }

    /// Its major version.
    pub(super) fn major(&self) -> u32 {
        self.major
    }

    /// Restores a part of an archive that has a head alone, by so many sessions; which entries it could not.
    ///
    /// # Errors
    /// `pg_restore_failed` where it did not go on to the end.
    pub(super) async fn run(
        &self,
        part: Part,
        head: &[u8],
        jobs: usize,
        clean: bool,
    ) -> Result<Vec<EntryError>, Fault> {
        let archive = in_memory("pgdumpd-archive", head).map_err(not_started)?;
        let mut arguments = vec![OsString::from(format!("--jobs={jobs}"))];
        if clean {
            // What an earlier restore had begun.
            arguments.extend(["--clean".into(), "--if-exists".into()]);
        }
        arguments.push(path_of(&archive).into());
        let (mut child, _password) = self.start(part, &arguments, Stdio::null())?;
        let messages = self.read(&mut child).await?;
        let status = child.wait().await.map_err(not_started)?;
        let mut errors = judge(status, messages)?;
        if clean {
            // What could not be dropped cannot be made again, which is said; or it went with what it belongs to, as a
            // partition's constraint does.
            errors.retain(|error| !error.is_of_a_drop());
        }
        Ok(errors)
    }

    /// Restores the data of an archive that `feed` writes; which entries it could not, and what `feed` found.
    ///
    /// # Errors
    /// `pg_restore_failed` where it did not go on to the end, and `feed`'s.
    pub(super) async fn run_piped<T>(
        &self,
        feed: impl AsyncFnOnce(Pipe) -> Result<T, Fault>,
    ) -> Result<(T, Vec<EntryError>), Fault> {
        let (mut child, _password) = self.start(Part::Data, &[], Stdio::piped())?;
        let Some(pipe) = child.stdin.take() else {
            return Err(not_started(io::Error::other("it has no standard input")));
        };
        let (fed, messages) = tokio::try_join!(feed(Pipe(pipe)), self.read(&mut child))?;
        let status = child.wait().await.map_err(not_started)?;
        judge(status, messages).map(|errors| (fed, errors))
    }

    fn start(
        &self,
        part: Part,
        arguments: &[OsString],
        stdin: Stdio,
    ) -> Result<(Child, Option<File>), Fault> {
        let mut command = Command::new(&self.program);
        command
            .arg("--no-password")
            // Only then does it say which entry an error is about.
            .arg("--verbose")
            .arg(format!("--section={}", part.section()))
            .arg(format!("--dbname={}", conninfo(self.url.database())))
            .args(&self.options)
            .args(arguments)
            .env_clear()
            .envs(self.url.libpq_environment())
            .env("LC_ALL", "C")
            .env("PGAPPNAME", "pgdumpd restore")
            .env("PGOPTIONS", self.settings())
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C reaches it through us.
            .process_group(0)
            .kill_on_drop(true);
        let mut password = None;
        if let Some(line) = self.url.password_file_line() {
            let file = dump::password_file(&line).map_err(not_started)?;
            command.env("PGPASSFILE", path_of(&file));
            password = Some(file);
        }
        let child = command.spawn().map_err(not_started)?;
        Ok((child, password))
    }

    /// What nothing that the role or the database sets may end.
    fn settings(&self) -> String {
        let mut settings = [
            "statement_timeout",
            "lock_timeout",
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
        ]
        .map(|name| format!("-c {name}=0"))
        .to_vec();
        if self.server_major >= 17 {
            settings.push("-c transaction_timeout=0".to_owned());
        }
        settings.push("-c default_transaction_read_only=off".to_owned());
        settings.join(" ")
    }

    async fn read(&self, child: &mut Child) -> Result<Messages, Fault> {
        let redactor = Redactor::new(self.url.password().cloned());
        let mut messages = Messages::default();
        if let Some(stderr) = child.stderr.take() {
            let read = lines(stderr, |line| messages.line(&redactor.redact(line))).await;
            read.map_err(not_started)?;
        }
        Ok(messages)
    }
}

/// Calls `take` for each line, cut where it is too long.
async fn lines(mut stderr: ChildStderr, mut take: impl FnMut(&str)) -> io::Result<()> {
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stderr.read(&mut chunk).await?;
        if count == 0 {
            break;
        }
        for piece in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                take(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        take(String::from_utf8_lossy(&line).trim_end());
    }
    Ok(())
}

fn judge(status: std::process::ExitStatus, messages: Messages) -> Result<Vec<EntryError>, Fault> {
    if status.success() || messages.went_on {
        return Ok(messages.errors);
    }
    let said = messages.errors.last().map(|error| error.message.as_str());
    let what = match said {
        Some(said) => format!("pg_restore ended with {status}: {said}"),
        None => format!("pg_restore ended with {status}"),
    };
    Err(Fault::transient(Code::PgRestoreFailed, what))
}

fn not_started(error: io::Error) -> Fault {
    Fault::transient(Code::PgRestoreFailed, "pg_restore cannot be run").caused_by(error)
}

/// A file that exists only in memory.
fn in_memory(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// By which a process that this one starts opens a file of ours.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// A database's name as `--dbname` takes it, whatever it looks like.
fn conninfo(database: &str) -> String {
    let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
    format!("dbname='{escaped}'")
}
