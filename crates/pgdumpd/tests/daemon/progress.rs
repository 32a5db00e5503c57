//! The percentage, where tables cannot be sampled or must not be.

use pgdumpd_client::JobState;
use pgdumpd_testkit::{eventually, fill};

use crate::harness::{SOON, World, quoted};

/// A database with a table that is locked against everybody.
async fn locked(world: &World) -> sqlx::PgConnection {
    fill(&world.shop, 2).await;
    world
        .shop
        .execute(
            "CREATE TABLE locked AS SELECT i AS id FROM generate_series(1, 50000) AS i; ANALYZE",
        )
        .await;
    let mut holder = world.shop.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    holder
}

#[tokio::test]
async fn a_table_that_is_locked_is_left_out_of_the_samples_and_its_dump_still_shows_its_progress() {
    let mut world = World::new().await;
    world.set("log", "filter", quoted("info,pgdumpd=debug"));
    let mut holder = locked(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    eventually("the other tables are sampled", SOON, async || {
        let log = daemon.log();
        (log.contains("not sampled: ") && log.contains("sampled: Table")).then_some(())
    })
    .await;
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    let mut before = 0.0;
    let ended = eventually("the job has ended", SOON, async || {
        let status = world.status(id).await;
        assert!(status.progress >= before, "{status:?} after {before}");
        before = status.progress;
        status.state.has_ended().then_some(status)
    })
    .await;
    assert_eq!((ended.state, ended.progress), (JobState::Succeeded, 100.0));
}

#[tokio::test]
async fn a_target_whose_tables_are_not_to_be_sampled_is_backed_up_without_a_sample() {
    let mut world = World::new().await;
    world.set("log", "filter", quoted("info,pgdumpd=debug"));
    world.set("targets.shop", "progress_sample", "false");
    let mut holder = locked(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    // Where samples are taken, they are taken now.
    eventually("the sizes are known", SOON, async || {
        daemon.log().contains("tables are estimated").then_some(())
    })
    .await;
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    world.succeeded(id).await;
    assert!(!daemon.log().contains("sampled"), "{}", daemon.log());
}
