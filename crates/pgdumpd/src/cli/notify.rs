//! `pgdumpd notify test NAME`

use clap::Subcommand;

use super::exit::{Advised, Exit};
use super::out;
use crate::config::{Config, did_you_mean};
use crate::notify::{self, Message};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a test message, and print what the receiver answers
    Test {
        /// The receiver's name: NAME of [notify.NAME]
        name: String,
    },
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Command::Test { name } = &args.command;
    let Some(receiver) = config.notify.get(name) else {
        return Err(unknown(config, name).into());
    };
    let message = Message::test();
    match notify::send(receiver, &message).await {
        Ok(answer) => {
            out::line(format!("{name}: sent {}; the receiver answered: {answer}", message.id))?;
            Ok(Exit::Done)
        }
        Err(error) => Err(Advised::new(
            format!("{name}: {error}"),
            "Nothing was queued. Correct the section [notify.NAME], or the receiver, and try again.",
        )
        .into()),
    }
}

fn unknown(config: &Config, name: &str) -> Advised {
    let known: Vec<&str> = config.notify.keys().map(String::as_str).collect();
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("Did you mean \"{meant}\"?"),
        None if known.is_empty() => "Add a section [notify.NAME] to the configuration.".to_owned(),
        None => format!("There are: {}.", known.join(", ")),
    };
    Advised::new(
        format!("there is no receiver \"{name}\" in the configuration"),
        hint,
    )
}
