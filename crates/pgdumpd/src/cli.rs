//! The command line: one file a command.

mod adopt;
mod backup;
mod backup_id;
mod byte_bar;
mod cancel;
mod check;
mod completions;
mod config;
mod copy;
mod delete;
mod enqueue;
mod exit;
mod fetch;
mod fsck;
mod identity;
mod list;
mod migrate;
mod notify;
mod out;
mod progress_bar;
mod queue_access;
mod rehearse;
mod restore;
mod runtime;
mod show;
mod status;
mod storages;
mod values;
mod verify;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, Loaded, Sources};
use crate::redact::without_secrets;
use crate::store::probes_ended;
use crate::text::printable;
use crate::{daemon, telemetry};
use exit::Exit;

/// PostgreSQL backups as jobs: enqueue them with SQL, watch them with SQL, restore them with pg_restore.
#[derive(Debug, Parser)]
#[command(name = "pgdumpd", version = VERSION.as_str(), after_help = AFTER_HELP)]
pub struct Cli {
    /// The configuration file; by default $PGDUMPD_CONFIG, else /etc/pgdumpd/pgdumpd.toml if it exists
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
With nothing but DATABASE_URL set, the queue is in that database, the one target is that database (by its \
name), and backups go to a local directory.

Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 not found, 4 the backup failed, 5 the backup was \
cancelled, 6 a check found something that would fail or is damaged, 7 only a part could be done or checked, 8 no \
daemon serves what was waited for, 130 a wait was ended by Ctrl-C (the job continues).";

/// With the commit, where the build was told.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("PGDUMPD_COMMIT").map(|commit| format!(" ({commit})"));
    format!(
        "{}{}",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or_default()
    )
});

/// How long the process waits at its end for checks of storages, so that they take away what they have put there.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// How long the process waits at its end for threads that work or hang in a storage; it exits without them.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: claim jobs and take backups until stopped
    Run,
    /// Create or update the queue's schema, and grant roles their rights
    Migrate(migrate::Args),
    /// Give a cloned queue its own id, and cancel the jobs that were cloned with it
    Adopt(adopt::Args),
    /// Connect to everything and report what would fail tonight
    Check(check::Args),
    /// Request a backup
    Enqueue(enqueue::Args),
    /// Show one job, or what is queued and running
    Status(status::Args),
    /// Follow a job to its end
    Watch(watch::Args),
    /// List jobs, or (with --storage) the backups that a storage holds
    List(list::Args),
    /// Show what a backup holds: its tables, their rows and sizes
    Show(show::Args),
    /// Read a backup again and compare it with its manifest
    Verify(verify::Args),
    /// Write a backup, or a few tables of it, to a local file
    Fetch(fetch::Args),
    /// Restore a backup into a database, and say what came back
    Restore(restore::Args),
    /// Restore a backup into a server that exists only for that, and compare what came back
    Rehearse(rehearse::Args),
    /// Compare the queue with what the storages hold, and clean up
    Fsck(fsck::Args),
    /// Request copies of a backup in further storages
    Copy(copy::Args),
    /// Remove a backup from its storage
    Delete(delete::Args),
    /// Cancel a job
    Cancel(cancel::Args),
    /// Try whether notifications arrive
    Notify(notify::Args),
    /// Show the configuration in effect, and where each value came from
    Config(config::Args),
    /// Print a script that completes commands and options in a shell
    Completions(completions::Args),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let runtime = match runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::complain(&error.into()),
    };
    let ended = runtime.block_on(async {
        let ended = cli.run().await;
        probes_ended(PROBE_LIMIT).await;
        ended
    });
    runtime.shutdown_timeout(EXIT_LIMIT);
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => exit::complain(&error),
    }
}

/// Help and version, or what is wrong with the arguments, which may hold a secret in the wrong place.
fn refuse(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if without_secrets(&text) == text {
        // With its colours, where a terminal shows them.
        error.exit();
    }
    // Nobody reads it if standard error is closed.
    let _ = write!(std::io::stderr(), "{}", printable(&without_secrets(&text)));
    ExitCode::from(2)
}

impl Cli {
    async fn run(self) -> anyhow::Result<Exit> {
        let load = || Config::load(&Sources::of_process(self.config.clone()));
        match self.command {
            // What is asked before there is any configuration.
            Command::Migrate(args) if args.print => migrate::print(&args),
            Command::Completions(args) => completions::run(&args, Self::command()),
            Command::Run => run_daemon(load()?, self.config).await,
            Command::Migrate(args) => migrate::run(&load()?.config, &args).await,
            Command::Adopt(args) => adopt::run(&load()?.config, &args).await,
            Command::Check(args) => check::run(&load()?, &args).await,
            Command::Enqueue(args) => enqueue::run(&load()?.config, args).await,
            Command::Status(args) => status::run(&load()?.config, &args).await,
            Command::Watch(args) => watch::run(&load()?.config, &args).await,
            Command::List(args) => list::run(&load()?.config, &args).await,
            Command::Show(args) => show::run(&load()?.config, &args).await,
            Command::Verify(args) => verify::run(&load()?.config, &args).await,
            Command::Fetch(args) => fetch::run(&load()?.config, &args).await,
            Command::Restore(args) => restore::run(&load()?.config, &args).await,
            Command::Rehearse(args) => rehearse::run(&load()?.config, &args).await,
            Command::Fsck(args) => fsck::run(&load()?.config, &args).await,
            Command::Copy(args) => copy::run(&load()?.config, &args).await,
            Command::Delete(args) => delete::run(&load()?.config, &args).await,
            Command::Cancel(args) => cancel::run(&load()?.config, &args).await,
            Command::Notify(args) => notify::run(&load()?.config, &args).await,
            Command::Config(args) => config::run(&load()?, &args),
        }
    }
}

async fn run_daemon(loaded: Loaded, file: Option<PathBuf>) -> anyhow::Result<Exit> {
    telemetry::init(&loaded.config.log)?;
    daemon::log_warnings(&loaded.warnings);
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    daemon::run(loaded.config, file).await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_every_command_reads_as_it_did() {
        let mut all = Cli::command().term_width(100);
        all.build();
        let mut text = all.render_long_help().to_string();
        for command in all.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            if name == "help" {
                continue;
            }
            text.push_str(&format!("\n\n===== pgdumpd {name}\n"));
            // A command built by its parent does not inherit the width.
            let mut command = command.clone().term_width(100);
            text.push_str(&command.render_long_help().to_string());
        }
        insta::assert_snapshot!(text);
    }
}
