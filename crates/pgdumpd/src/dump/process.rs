//! One running pg_dump.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::code::Code;
use crate::fault::Fault;

use super::exit::{self, CleanExit};
use super::output::DumpOutput;
use super::password_file;
use super::plan::Plan;
use super::stderr::{Drain, Warnings};
use crate::redact::Redactor;

/// How long a program may take to end on SIGTERM before it is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long stderr may stay open after pg_dump's end.
const STDERR_LIMIT: Duration = Duration::from_secs(1);

/// A pg_dump that was started, in a process group of its own.
///
/// End it with [`wait`](Self::wait) or [`stop`](Self::stop). One that is dropped while it runs is killed, which
/// may leave its session on the server, queued for a lock: that is a bug and logged as one.
#[derive(Debug)]
pub struct PgDump {
    /// Its name, for what is said of its end.
    program: String,
    child: Child,
    group: Pid,
    sent: Option<Signal>,
    ended: Option<ExitStatus>,
    stderr: Drain,
}

impl PgDump {
    /// Starts pg_dump and hands back its output. Needs a tokio runtime.
    ///
    /// # Errors
    /// A transient `dump_not_started` when the process cannot be made.
    pub fn start(plan: &Plan) -> Result<(Self, DumpOutput), Fault> {
        Self::start_program(plan.program().path(), &plan.command_line(), plan)
    }

    /// Starts a program of pg_dump's kind with a plan's connection.
    pub(super) fn start_program(
        program: &Path,
        arguments: &[OsString],
        plan: &Plan,
    ) -> Result<(Self, DumpOutput), Fault> {
        let not_started = |error: io::Error| {
            let what = format!("{} cannot be started", program.display());
            Fault::transient(Code::DumpNotStarted, what).caused_by(error)
        };
        let (output, stdout) = DumpOutput::pipe().map_err(not_started)?;
        let (child, stderr) = spawn(program, arguments, plan, stdout).map_err(not_started)?;
        let Some(group) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
            return Err(not_started(io::Error::other("it has no process id")));
        };
        let name = program.file_name().unwrap_or_default();
        let dump = Self {
            program: name.to_string_lossy().into_owned(),
            child,
            group,
            sent: None,
            ended: None,
            stderr,
        };
        Ok((dump, output))
    }

    /// Its process id, which is its group's too.
    pub fn pid(&self) -> i32 {
        self.group.as_raw_pid()
    }

    /// What it warned of so far.
    pub fn warnings(&self) -> Warnings {
        self.stderr.record().warnings.clone()
    }

    /// Waits for its end, and judges it. May be called again, and beside [`stop`](Self::stop) in any order.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// Every end but status 0: `dump_stopped` when we sent the signal, `dump_killed` when someone else did, else
    /// by what pg_dump said: `permission_denied`, `row_security`, `lock_not_available`, `connection_lost` and
    /// others, `dump_failed` if that shows nothing.
    pub async fn wait(&mut self) -> Result<CleanExit, Fault> {
        let status = self.exit().await?;
        self.stderr.finish(STDERR_LIMIT).await;
        exit::judge(&self.program, status, self.sent, &self.stderr.record())
    }

    /// Whether it has ended; then [`wait`](Self::wait) answers at once.
    ///
    /// # Errors
    /// A transient `dump_failed` when the system does not report it.
    pub fn try_wait(&mut self) -> Result<bool, Fault> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().map_err(cannot_wait)?;
        }
        Ok(self.ended.is_some())
    }

    /// Asks it to end (SIGTERM to its group): pg_dump sends a cancel request, and its session goes.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends it by force (SIGKILL to its group). Its session may stay on the server: check for it first.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Ends it: SIGTERM, and SIGKILL when it is still there after `grace`. It is gone when this returns.
    ///
    /// Returns whether it went without being killed. Not cancel-safe in its promise, but may be called again.
    ///
    /// # Errors
    /// A transient `dump_failed` when the system does not report how it ended.
    pub async fn stop(&mut self, grace: Duration) -> Result<bool, Fault> {
        self.terminate();
        let obeyed = match tokio::time::timeout(grace, self.exit()).await {
            Ok(status) => status.map(|_| true)?,
            Err(_) => {
                tracing::warn!(
                    pg_dump.pid = self.pid(),
                    "pg_dump did not end on SIGTERM and is killed"
                );
                self.kill();
                self.exit().await?;
                false
            }
        };
        self.stderr.finish(STDERR_LIMIT).await;
        Ok(obeyed)
    }

    async fn exit(&mut self) -> Result<ExitStatus, Fault> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = self.child.wait().await.map_err(cannot_wait)?;
        self.ended = Some(status);
        Ok(status)
    }

    fn signal(&mut self, signal: Signal) {
        // Once reaped, the number may be another's.
        if self.ended.is_some() {
            return;
        }
        self.sent = Some(signal);
        if let Err(error) = kill_process_group(self.group, signal) {
            tracing::debug!(pg_dump.pid = self.pid(), %error, "pg_dump could not be signalled");
        }
        // One that is stopped takes no signal but SIGKILL until it is continued.
        let _ = kill_process_group(self.group, Signal::CONT);
    }
}

impl Drop for PgDump {
    fn drop(&mut self) {
        if self.ended.is_none() && !matches!(self.try_wait(), Ok(true)) {
            tracing::error!(
                pg_dump.pid = self.pid(),
                "a running pg_dump was dropped and is killed; this is a bug"
            );
            self.kill();
        }
    }
}

fn spawn(
    program: &Path,
    arguments: &[OsString],
    plan: &Plan,
    stdout: OwnedFd,
) -> io::Result<(Child, Drain)> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(plan.environment())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        // Neither Ctrl-C nor the daemon's own stop signals may reach it but through us.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(line) = plan.url().password_file_line() {
        command
            .env("PGPASSFILE", password_file::PATH)
            .stdin(password_file::create(&line)?);
    }
    let redactor = Redactor::new(plan.url().password().cloned());
    let mut child = command.spawn()?;
    let stderr = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("its stderr is missing"))?;
    Ok((child, Drain::start(stderr, redactor)))
    // `command` ends here, and with it our own copy of the pipe's writing end: without that, no end of file.
}

fn cannot_wait(error: io::Error) -> Fault {
    Fault::transient(Code::DumpFailed, "pg_dump's exit status cannot be read").caused_by(error)
}
