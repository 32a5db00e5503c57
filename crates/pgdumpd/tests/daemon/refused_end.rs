//! A backup that is whole, and whose row the queue refuses to end, for a reason that does not pass.

use pgdumpd_testkit::eventually;
use rustix::process::Signal;

use crate::harness::{Daemon, SOON, World, quoted};

const REFUSE: &str = "
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'not on a Sunday' USING ERRCODE = 'check_violation'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON pgdumpd.backup_jobs
        FOR EACH ROW WHEN (NEW.state = 'succeeded') EXECUTE FUNCTION public.refuse()";
const ALLOW: &str = "DROP TRIGGER refuse ON pgdumpd.backup_jobs";

async fn says(daemon: &Daemon, what: &str) {
    eventually(what, SOON, async || {
        daemon.log().contains(what).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_success_that_the_queue_refuses_is_given_up_after_a_lease_and_adopted_by_the_next_claim()
{
    let world = World::new().await;
    world.queue.execute(REFUSE).await;
    let id = world.enqueue().await;
    let daemon = world.daemon().await;
    says(&daemon, "another daemon will adopt the backup").await;
    assert!(daemon.log().contains("not on a Sunday"), "{}", daemon.log());
    world.queue.execute(ALLOW).await;
    let status = world.succeeded(id).await;
    assert_eq!(status.rescues, 1);
    // The row names the backup of the first attempt, and there is no other.
    let attempts = world.attempts(id).await;
    let archives = world.backups();
    assert_eq!(archives.len(), 1, "{archives:?}");
    assert_eq!(world.manifest(&archives[0]).attempt, 1);
    assert_eq!(attempts.len(), 2);
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_stops_does_not_wait_for_a_row_that_the_queue_refuses() {
    let mut world = World::new().await;
    world.set("daemon", "lease", quoted("10min"));
    world.set("daemon", "drain_timeout", quoted("10min"));
    world.queue.execute(REFUSE).await;
    let id = world.enqueue().await;
    let mut daemon = world.daemon().await;
    says(&daemon, "the job's end could not be written").await;
    daemon.signal(Signal::TERM);
    assert!(daemon.exited().await, "{}", daemon.log());
    world.queue.execute(ALLOW).await;
    // As if the lease had run out.
    world
        .queue
        .execute("UPDATE pgdumpd.backup_jobs SET lease_expires_at = now() - interval '1 second'")
        .await;
    world.set("daemon", "lease", quoted("3s"));
    let next = world.daemon().await;
    world.succeeded(id).await;
    assert_eq!(world.backups().len(), 1);
    next.stop().await;
}
