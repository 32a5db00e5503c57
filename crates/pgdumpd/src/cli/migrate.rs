//! `pgdumpd migrate`: creates or updates the queue's schema and grants rights to roles.

use anyhow::Context;

use super::exit::Exit;
use super::{out, queue_access};
use crate::config::Config;
use crate::migrate::{self, Grants};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it as the role that will own the schema. Running it again changes nothing."
)]
pub(super) struct Args {
    /// Print all of it as SQL for a DBA, without touching any database
    #[arg(long)]
    pub(super) print: bool,
    /// With --print: only what a queue lacks that is at this version
    #[arg(long, value_name = "VERSION", requires = "print", value_parser = clap::value_parser!(i64).range(1..=migrate::VERSION))]
    from: Option<i64>,
    /// Revoke every right on the queue from this role
    #[arg(long, value_name = "ROLE")]
    revoke: Vec<String>,
    /// Let this role enqueue backups, and see and cancel its own
    #[arg(long, value_name = "ROLE")]
    grant_producer: Vec<String>,
    /// Let this role see all jobs
    #[arg(long, value_name = "ROLE")]
    grant_reader: Vec<String>,
    /// Let this role run the daemon
    #[arg(long, value_name = "ROLE")]
    grant_daemon: Vec<String>,
    /// Let this role see and cancel all jobs
    #[arg(long, value_name = "ROLE")]
    grant_operator: Vec<String>,
}

impl Args {
    fn grants(&self) -> Grants {
        Grants {
            revoked: self.revoke.clone(),
            producers: self.grant_producer.clone(),
            readers: self.grant_reader.clone(),
            daemons: self.grant_daemon.clone(),
            operators: self.grant_operator.clone(),
        }
    }
}

pub(super) fn print(args: &Args) -> anyhow::Result<Exit> {
    out::lines(migrate::print(&args.grants(), args.from))?;
    Ok(Exit::Done)
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let pool = queue_access::pool(&config.queue).await?;
    let applied = migrate::migrate(&pool, &args.grants())
        .await
        .with_context(|| format!("cannot migrate the queue at {}", config.queue.url))?;
    if applied.versions.is_empty() {
        out::line(format!(
            "the queue at {} is at version {} already",
            config.queue.url,
            migrate::VERSION
        ))?;
    } else {
        out::line(format!(
            "the queue at {} is at version {} now",
            config.queue.url,
            migrate::VERSION
        ))?;
    }
    for (done, roles) in [
        ("all rights were revoked from", &args.revoke),
        ("may enqueue backups:", &args.grant_producer),
        ("may see all jobs:", &args.grant_reader),
        ("may see and cancel all jobs:", &args.grant_operator),
        ("may run the daemon:", &args.grant_daemon),
    ] {
        if !roles.is_empty() {
            out::line(format!("{done} {}", roles.join(", ")))?;
        }
    }
    Ok(Exit::Done)
}
