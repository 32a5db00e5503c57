//! A failure has the same code, the same hint and the same "tried again" whatever language the server speaks.
//!
//! What decides on our own connections is the SQLSTATE. pg_dump passes on the server's words alone, so the rest is what
//! the server says over a connection of ours, what words have in common in all languages, and the words themselves.

mod ends;
mod refusals;
mod servers;

use pgdumpd_client::{JobState, JobStatus};
use pgdumpd_testkit::{Cluster, Language, cluster, cluster_speaking, eventually};

use crate::harness::{Daemon, SOON, World, quoted};

/// How a job must end.
struct Ends {
    code: &'static str,
    step: &'static str,
    /// Whether it is tried again.
    again: bool,
    hint: &'static str,
}

impl Ends {
    fn check(&self, status: &JobStatus, what: &str) {
        let found = (
            status.error_code.as_deref().unwrap_or_default(),
            status.error_step.as_deref().unwrap_or_default(),
            status.state == JobState::Queued,
        );
        let wanted = (self.code, self.step, self.again);
        assert_eq!(found, wanted, "{what}: {status:#?}");
        let hint = status.error_hint.as_deref().unwrap_or_default();
        assert_eq!(hint, self.hint, "{what}: {status:#?}");
    }
}

/// Whether an attempt of a job has ended.
fn has_failed(status: &JobStatus) -> bool {
    status.state.has_ended() || (status.state == JobState::Queued && status.error.is_some())
}

/// A server that speaks this language, or English; `None` where there is none.
async fn server(language: Option<Language>) -> Option<&'static Cluster> {
    match language {
        None => Some(cluster().await),
        Some(language) => cluster_speaking(language).await,
    }
}

/// A world whose target is on such a server. The pg_dump is everywhere the same.
async fn world(language: Option<Language>) -> Option<World> {
    let mut world = World::on(cluster().await, server(language).await?).await;
    let directory = cluster().await.bin_dir().display().to_string();
    world.set("pg_dump", "directories", format!("[{directory:?}]"));
    world.set("daemon", "max_jobs", "4");
    // Many things happen at once.
    world.set("daemon", "lease", quoted("60s"));
    Some(world)
}

/// Starts a daemon, and waits until its own checks of the targets are over: they count in limits of connections.
async fn checked_daemon(world: &World) -> Daemon {
    let daemon = world.daemon().await;
    eventually("the daemon has checked its targets", SOON, async || {
        let checked = "SELECT count(*) FROM pgdumpd.workers WHERE checks IS NOT NULL";
        let checked: i64 = sqlx::query_scalar(checked)
            .fetch_one(&world.pool)
            .await
            .unwrap();
        (checked > 0).then_some(())
    })
    .await;
    daemon
}

/// Whether the server's words are English, which a text of an error shows where it has them.
fn is_english(language: Option<Language>) -> bool {
    language.is_none()
}
