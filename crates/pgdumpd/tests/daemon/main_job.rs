//! From a row to an archive that restores.

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{contents, eventually, fill};
use sqlx::Connection;

use crate::harness::{SOON, World, quoted};

#[tokio::test]
async fn a_job_row_becomes_an_archive_that_restores_to_the_same_content() {
    let world = World::new().await;
    fill(&world.shop, 5).await;
    let _daemon = world.daemon().await;
    let id = world
        .enqueue_request(BackupRequest::new("shop").label("first"))
        .await;
    let status = world.succeeded(id).await;
    assert_eq!(status.status, "completed");
    assert_eq!(status.progress, 100.0);
    assert_eq!(status.copies, "1 of 1");
    let backups = world.backups();
    assert_eq!(backups.len(), 1);
    assert_eq!(
        std::fs::metadata(&backups[0]).unwrap().len() as i64,
        status.size_bytes.unwrap()
    );
    let restored = world.restore(&backups[0]).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
}

#[tokio::test]
async fn every_log_line_of_a_job_has_the_trace_of_its_request() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let said = world.say(&["enqueue", "shop", "--trace-parent", trace, "--json"]);
    let id = said.code(0).json()["id"].as_str().unwrap().parse().unwrap();
    world.succeeded(id).await;
    let log = daemon.log();
    let span = format!("job.id={id} ");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&span)).collect();
    assert!(lines.len() > 3, "{log}");
    for line in lines {
        assert!(
            line.contains(&format!("trace_parent=\"{trace}\"")),
            "{line}"
        );
    }
    let wrong = world.say(&["enqueue", "shop", "--trace-parent", "00-1-2-3"]);
    assert!(wrong.code(1).err.contains("trace_parent is not"));
}

#[tokio::test]
async fn an_enqueue_that_is_rolled_back_leaves_nothing() {
    let world = World::new().await;
    let mut connection = world.queue.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    let request = BackupRequest::new("shop");
    let id = pgdumpd_client::enqueue(&mut *transaction, &request)
        .await
        .unwrap()
        .id;
    assert!(
        pgdumpd_client::status(&mut *transaction, id)
            .await
            .unwrap()
            .is_some()
    );
    transaction.rollback().await.unwrap();
    assert!(
        pgdumpd_client::status(&world.pool, id)
            .await
            .unwrap()
            .is_none()
    );
    // And one that commits starts after the commit, not before.
    let _daemon = world.daemon().await;
    let mut transaction = connection.begin().await.unwrap();
    let id = pgdumpd_client::enqueue(&mut *transaction, &request)
        .await
        .unwrap()
        .id;
    let other = world.enqueue_request(BackupRequest::new("shop")).await;
    world.succeeded(other).await;
    let status = pgdumpd_client::status(&mut *transaction, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.state, JobState::Queued);
    transaction.commit().await.unwrap();
    world.succeeded(id).await;
}

#[tokio::test]
async fn progress_never_falls_and_100_comes_only_with_success() {
    let world = World::new().await;
    fill(&world.shop, 30).await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let mut seen: Vec<(f32, JobState)> = Vec::new();
    eventually("the job has ended", SOON, async || {
        let status = world.status(id).await;
        if let Some((before, _)) = seen.last() {
            assert!(status.progress >= *before, "{seen:?} {status:?}");
        }
        assert_eq!(
            status.progress == 100.0,
            status.state == JobState::Succeeded,
            "{status:?}"
        );
        seen.push((status.progress, status.state));
        status.state.has_ended().then_some(())
    })
    .await;
    assert_eq!(seen.last().unwrap().1, JobState::Succeeded);
}

#[tokio::test]
async fn a_lost_queue_loses_no_backup() {
    let mut world = World::new().await;
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let before = contents(&world.shop).await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    world
        .queue
        .execute("DROP SCHEMA pgdumpd CASCADE; DROP TABLE IF EXISTS _sqlx_migrations")
        .await;
    // Not even a server that could be asked.
    world.set("queue", "url", quoted("postgres://127.0.0.1:1/gone"));
    let listed = world.say(&["list", "--storage", "local", "--json"]).code(0);
    let listed = listed.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["backup_id"], id.to_string());
    let key = listed[0]["object"]["key"].as_str().unwrap();
    let restored = world.restore(&world.storage().join(key)).await;
    assert_eq!(contents(&restored).await, before);

    // A new queue goes on in the same storage.
    let url = quoted(&world.queue.url());
    world.set("queue", "url", url);
    world.say(&["migrate"]).code(0);
    let _daemon = world.daemon().await;
    let again = world.enqueue().await;
    world.succeeded(again).await;
    let listed = world.say(&["list", "--storage", "local", "--json"]).code(0);
    let ids: Vec<String> = listed
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["backup_id"].to_string())
        .collect();
    assert_eq!(ids, [format!("\"{again}\""), format!("\"{id}\"")]);
}
