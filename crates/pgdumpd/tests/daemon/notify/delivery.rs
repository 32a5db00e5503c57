//! That messages arrive: across dead daemons, dead receivers and refusals.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use pgdumpd_testkit::eventually;
use sqlx::Executor as _;
use tokio::net::TcpListener;

use super::inbox::{Inbox, fail, set_receiver, settled};
use crate::harness::{SOON, World, logged};

#[tokio::test]
async fn a_daemon_that_is_killed_between_the_event_and_the_sending_loses_no_message() {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), "json");
    let mut killed = world.daemon().await;
    // No daemon can take the receiver: what happens is written, and waits.
    let mut holder = world.queue.connect().await;
    holder
        .execute("BEGIN; SELECT FROM pgdumpd.receivers WHERE name = 'ops' FOR UPDATE")
        .await
        .unwrap();
    let id = fail(&world).await;
    let waiting: Vec<(String, Option<uuid::Uuid>)> =
        sqlx::query_as("SELECT event, job_id FROM pgdumpd.notifications WHERE sent_at IS NULL")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(waiting, [("failed".to_owned(), Some(id))]);
    killed.kill();
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(inbox.posted().len(), 0);

    let others = [world.daemon().await, world.daemon().await];
    inbox.wait_for(1).await;
    assert_eq!(settled(&world).await, (1, 0));
    for daemon in others {
        daemon.stop().await;
    }
    assert_eq!(inbox.events(), ["failed"]);
}

#[tokio::test]
async fn what_was_sent_and_could_not_be_noted_comes_once_more_with_the_same_id() {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), "json");
    let mut killed = world.daemon().await;
    // Messages are read and sent, and nothing can be noted.
    let mut holder = world.queue.connect().await;
    let held = "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(42); RETURN NEW; END $$;
                CREATE TRIGGER hold BEFORE UPDATE ON pgdumpd.notifications FOR EACH ROW EXECUTE FUNCTION public.hold();
                SELECT pg_catalog.pg_advisory_lock(42)";
    holder.execute(held).await.unwrap();
    fail(&world).await;
    inbox.wait_for(1).await;
    killed.kill();
    let end = "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_locks
               WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    holder.execute(end).await.unwrap();
    holder
        .execute(
            "DROP TRIGGER hold ON pgdumpd.notifications; SELECT pg_catalog.pg_advisory_unlock(42)",
        )
        .await
        .unwrap();
    let other = world.daemon().await;
    // The receiver is the dead daemon's for a minute.
    sqlx::query("UPDATE pgdumpd.receivers SET claimed_until = now()")
        .execute(&world.pool)
        .await
        .unwrap();
    inbox.wait_for(2).await;
    assert_eq!(settled(&world).await, (1, 0));
    other.stop().await;
    let posted = inbox.posted();
    assert_eq!(posted.len(), 2);
    assert_eq!(
        posted[0].headers["webhook-id"],
        posted[1].headers["webhook-id"]
    );
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_nothing_up_and_is_given_up_in_the_end() {
    let inbox = Inbox::new().await;
    // Takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::new().await;
    let address = format!("http://{}/secret-path", silent.local_addr().unwrap());
    set_receiver(&mut world, "dead", &address, "json");
    set_receiver(&mut world, "ops", &inbox.url(), "json");
    let daemon = world.daemon().await;
    let began = Instant::now();
    fail(&world).await;
    world.back_up().await;
    inbox.wait_for(2).await;
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    eventually("the dead one was given its time", SOON, async || {
        logged(&daemon, "WARN", "no answer within 10 s").then_some(())
    })
    .await;
    let found = world.say(&["check"]);
    assert!(
        found.out.contains("notify dead") && found.out.contains("could not send 1 message yet"),
        "{}",
        found.out
    );

    sqlx::query(
        "UPDATE pgdumpd.notifications SET happened_at = happened_at - interval '25 hours', next_try_at = now() WHERE receiver = 'dead'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(settled(&world).await, (2, 2));
    assert!(
        logged(&daemon, "ERROR", "gave a message up after 24 h"),
        "{}",
        daemon.log()
    );
    let found = world.say(&["check", "--json"]).code(6);
    assert!(
        found.out.contains("notifications_given_up"),
        "{}",
        found.out
    );
    let stopping = Instant::now();
    let log = daemon.log();
    daemon.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(15));
    assert!(!log.contains("secret-path"), "{log}");
    assert_eq!(inbox.events(), ["failed", "recovered"]);
}

#[tokio::test]
async fn what_a_receiver_refuses_is_tried_again_and_keeps_nothing_else_from_it() {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), "json");
    let _daemon = world.daemon().await;
    inbox.answer(StatusCode::FORBIDDEN);
    fail(&world).await;
    inbox.wait_for(1).await;
    let (attempts, why): (i32, String) = eventually("the refusal is noted", SOON, async || {
        sqlx::query_as(
            "SELECT attempts, last_error FROM pgdumpd.notifications WHERE last_error IS NOT NULL",
        )
        .fetch_optional(&world.pool)
        .await
        .unwrap()
    })
    .await;
    assert_eq!(attempts, 1);
    assert!(
        why.contains("403") && why.contains("noted") && !why.contains('\u{1b}'),
        "{why}"
    );
    inbox.answer(StatusCode::NO_CONTENT);
    world.back_up().await;
    settled(&world).await;
    let (first, last) = (&inbox.posted()[0], inbox.posted().pop().unwrap());
    assert_eq!(inbox.posted().len(), 3);
    assert_eq!(
        first.headers["webhook-id"], last.headers["webhook-id"],
        "the same message has the same id"
    );
    assert_eq!(inbox.events(), ["failed", "recovered", "failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_says_what_the_receiver_answered() {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), "slack");
    let said = world.say(&["notify", "test", "ops"]).code(0);
    assert!(
        said.out.contains("200 OK: noted") && !said.out.contains('\u{1b}'),
        "{}",
        said.out
    );
    assert!(
        inbox.posted()[0].json()["text"]
            .as_str()
            .unwrap()
            .contains("a test of pgdumpd")
    );
    inbox.answer(StatusCode::NOT_FOUND);
    let said = world.say(&["notify", "test", "ops"]).code(1);
    assert!(
        said.err.contains("404 Not Found") && said.err.contains("hint:"),
        "{}",
        said.err
    );
    let said = world.say(&["notify", "test", "obs"]).code(1);
    assert!(said.err.contains("Did you mean \"ops\"?"), "{}", said.err);
    // Never the address, which may be a secret.
    assert!(!world.say(&["config"]).out.contains(&inbox.url()));
}
