//! `pg_dumpall --globals-only`: what restores a server's roles and tablespaces.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::code::Code;
use crate::fault::Fault;
use crate::globals::Globals;

use super::plan::Plan;
use super::process::{PgDump, STOP_GRACE};
use super::program::Program;

/// No server has that many roles: 64 MiB are several hundred thousand.
const LARGEST: usize = 64 << 20;
/// The last line of whole output, but for what pg_dumpall 17 and newer add about restricting psql.
const LAST_LINE: &[u8] = b"-- PostgreSQL database cluster dump complete";

/// Runs the pg_dumpall that belongs to the plan's pg_dump, for so long at most, and gives its SQL; none when `cancel`
/// came first.
///
/// # Errors
/// A permanent `pg_dumpall_missing` or `globals_too_large`; a transient `globals_incomplete` or `dump_stalled`; and as
/// [`PgDump::start`] and [`PgDump::wait`], such as `permission_denied` where passwords are asked for and the role is
/// no superuser.
pub async fn dump_globals(
    plan: &Plan,
    globals: Globals,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Vec<u8>>, Fault> {
    let program = globals_program(plan.program())?;
    let arguments = arguments(plan, globals);
    let (mut dump, mut output) = PgDump::start_program(&program, &arguments, plan)?;
    let read = async {
        let mut text = Vec::new();
        while let Some(bytes) = output.next().await.map_err(|error| {
            Fault::transient(Code::DumpReadFailed, "cannot read pg_dumpall's output")
                .caused_by(error)
        })? {
            if text.len() + bytes.len() > LARGEST {
                let what = format!("pg_dumpall wrote more than {LARGEST} bytes of globals");
                return Err(Fault::permanent(Code::GlobalsTooLarge, what));
            }
            text.extend_from_slice(&bytes);
        }
        dump.wait().await?;
        Ok(text)
    };
    let read = tokio::select! {
        () = cancel.cancelled() => None,
        read = tokio::time::timeout(limit, read) => Some(read.unwrap_or_else(|_| Err(stalled(limit)))),
    };
    match read {
        Some(Ok(text)) if is_whole(&text) => Ok(Some(text)),
        Some(Ok(_)) => Err(Fault::transient(
            Code::GlobalsIncomplete,
            "pg_dumpall exited with 0, but its output is incomplete",
        )),
        Some(Err(fault)) => {
            dump.stop(STOP_GRACE).await?;
            Err(fault)
        }
        None => {
            dump.stop(STOP_GRACE).await?;
            Ok(None)
        }
    }
}

fn stalled(limit: Duration) -> Fault {
    let limit = humantime::format_duration(limit);
    Fault::transient(
        Code::DumpStalled,
        format!("pg_dumpall took longer than {limit}"),
    )
}

/// The pg_dumpall that belongs to this pg_dump.
///
/// # Errors
/// A permanent `pg_dumpall_missing`.
pub fn globals_program(pg_dump: &Program) -> Result<PathBuf, Fault> {
    let program = pg_dump.path().with_file_name("pg_dumpall");
    if program.is_file() {
        return Ok(program);
    }
    let what = format!(
        "{} is missing, which is needed to dump the globals",
        program.display()
    );
    Err(Fault::permanent(Code::PgDumpallMissing, what).hint(
        "Install all client programs of that PostgreSQL in one directory, or set the target's globals to \"none\".",
    ))
}

/// They hold no secret and no address.
fn arguments(plan: &Plan, globals: Globals) -> Vec<OsString> {
    // As a connection string, so that no name is taken for one.
    let database = plan.url().database();
    let quoted = database.replace('\\', "\\\\").replace('\'', "\\'");
    let mut arguments = vec![
        "--globals-only".to_owned(),
        "--no-password".to_owned(),
        format!("--encoding={}", plan.encoding().name()),
        format!("--database=dbname='{quoted}'"),
    ];
    if globals == Globals::WithoutPasswords {
        arguments.push("--no-role-passwords".to_owned());
    }
    arguments.into_iter().map(OsString::from).collect()
}

fn is_whole(text: &[u8]) -> bool {
    text.rsplit(|byte| *byte == b'\n')
        .any(|line| line == LAST_LINE)
}
