//! `pgdumpd completions`: a script that completes commands and options in a shell.

use clap::Command;
use clap_complete::Shell;

use super::exit::Exit;
use super::out;

#[derive(Debug, clap::Args)]
#[command(after_help = "The Debian package installs them. By hand, for bash:\n\
    pgdumpd completions bash >~/.local/share/bash-completion/completions/pgdumpd")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: Command) -> anyhow::Result<Exit> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out::verbatim(&script)?;
    Ok(Exit::Done)
}
