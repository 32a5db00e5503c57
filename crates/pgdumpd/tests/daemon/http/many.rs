//! A page that polls from the moment of its request, first with an id that it has invented: it never meets a 404, and
//! never a percentage that goes back.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::face::{Face, set_token};
use crate::harness::{World, quoted};

const JOBS: usize = 200;
const POLLERS: usize = 20;
const TARGETS: usize = 8;

/// Follows one backup as a page does.
async fn follow(face: &Face, target: &str) {
    let status = async |id: &str| {
        let path = format!("/api/backup/status/{id}");
        face.get(&path).token("all").send().await
    };
    let temporary = format!("temp_{}", Uuid::new_v4());
    let waiting = status(&temporary).await.status(200).json();
    assert_eq!(waiting["progress"], 0.0);
    // The id is asked for before, while and after the request that makes it exists.
    let create = face
        .post("/api/backup/create")
        .token("all")
        .json(&json!({"target": target}));
    let (created, meanwhile) = tokio::join!(create.send(), status(&temporary));
    meanwhile.status(200);
    let id = created.status(202).id();
    let mut highest: HashMap<i64, f64> = HashMap::new();
    loop {
        let answer = status(&id).await.status(200).json();
        let (attempt, progress) = (
            answer["attempt"].as_i64().unwrap(),
            answer["progress"].as_f64().unwrap(),
        );
        let before = highest.insert(attempt, progress).unwrap_or(0.0);
        assert!(progress >= before, "{id}: {before} % and then {progress} %");
        if answer["status"] != "in_progress" {
            assert_eq!(answer["status"], "completed", "{answer:#}");
            assert_eq!(progress, 100.0);
            return;
        }
        // As fast as a page that is in a hurry.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn of_200_backups_that_20_pages_follow_none_is_ever_unknown_or_goes_back() {
    let mut world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE t AS SELECT generate_series(1, 2000) AS id")
        .await;
    let url = world.shop.url();
    for number in 0..TARGETS {
        world.set(&format!("targets.t{number}"), "url", quoted(&url));
    }
    // Many things happen at once.
    world.set("daemon", "lease", quoted("60s"));
    world.set("daemon", "max_jobs", TARGETS.to_string());
    world.set("http", "requests_per_second", "100000");
    set_token(&mut world, "all", &["read", "enqueue"], &["*"]);
    let face = Face::of(world).await;
    join_all((0..POLLERS).map(|poller| {
        let face = &face;
        async move {
            for number in 0..JOBS / POLLERS {
                let target = format!("t{}", (poller + number) % TARGETS);
                follow(face, &target).await;
            }
        }
    }))
    .await;
    let succeeded: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pgdumpd.backup_jobs WHERE kind = 'backup' AND state = 'succeeded'",
    )
    .fetch_one(&face.world.pool)
    .await
    .unwrap();
    assert_eq!(succeeded, i64::try_from(JOBS).unwrap());
    face.daemon.stop().await;
}
