//! Backups in an S3 server, by a real daemon: taken, told of, read back whole and in part, and deleted.

use std::time::{Duration, Instant};

use pgdumpd_testkit::{contents, eventually, fill, s3_server};

use crate::encryption::pair;
use crate::harness::{SOON, World, quoted};

/// A world whose storage `local` is a place of its own in a bucket.
pub(crate) async fn world() -> World {
    let bucket = s3_server().await.bucket().await;
    world_below(&format!("s3://{bucket}/{}", uuid::Uuid::new_v4())).await
}

/// The same with a place that others may have too.
async fn world_below(place: &str) -> World {
    let server = s3_server().await;
    let mut world = World::new().await;
    world.unset("storages.local");
    for (key, value) in [
        ("url", quoted(place)),
        ("endpoint", quoted(&server.endpoint)),
        ("region", quoted(&server.region)),
        ("access_key_id", quoted(&server.keys.id)),
        ("secret_access_key", quoted(&server.keys.secret)),
    ] {
        world.set("storages.local", key, value);
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_a_bucket_and_comes_back() {
    let world = world().await;
    fill(&world.shop, 4).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.succeeded(id).await;
    // Uploaded by the server's own name for it, which was recorded.
    let upload: Option<String> =
        sqlx::query_scalar("SELECT upload_id FROM pgdumpd.backup_attempts WHERE job_id = $1")
            .bind(id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(upload.is_some_and(|upload| !upload.is_empty()));

    let id = id.to_string();
    let listed = world.say(&["list", "--storage", "local", "--json"]).code(0);
    assert!(listed.out.contains(&id), "{}", listed.out);
    world.say(&["show", &id]).code(0);
    let verified = world.say(&["verify", &id]).code(0);
    assert!(verified.out.contains("is good"), "{}", verified.out);
    world.say(&["check"]).code(0);

    let file = world.dir.path().join("whole.dump");
    let shown = file.display().to_string();
    world.say(&["fetch", &id, "--output", &shown]).code(0);
    assert_eq!(
        std::fs::metadata(&file).unwrap().len(),
        u64::try_from(status.bytes_stored.unwrap()).unwrap()
    );
    let restored = world.restore(&file).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);

    let part = world.dir.path().join("part.dump").display().to_string();
    let fetched = world
        .say(&[
            "fetch",
            &id,
            "--storage",
            "local",
            "--table",
            "public.wide_text",
            "--output",
            &part,
        ])
        .code(0);
    assert!(fetched.out.contains("wide_text"), "{}", fetched.out);

    world.say(&["delete", "--yes", &id]).code(0);
    let listed = world.say(&["list", "--storage", "local"]).code(0);
    assert!(!listed.out.contains(&id), "{}", listed.out);
    daemon.stop().await;
    assert!(!daemon_log_has(&world, &s3_server().await.keys.secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_encrypted_backup_in_a_bucket_costs_little_more_than_itself() {
    let mut world = world().await;
    let own = pair(&world, "own.key");
    world.set(
        "targets.shop",
        "encrypt_to",
        format!("[{}]", quoted(&own.public)),
    );
    fill(&world.shop, 24).await;
    world
        .shop
        .execute("CREATE TABLE small AS SELECT i, md5(i::text) AS text FROM generate_series(1, 1000) AS i")
        .await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let stored = world.succeeded(id).await.bytes_stored.unwrap();
    daemon.stop().await;
    let id = id.to_string();
    world.say(&["verify", &id, "-i", &own.file]).code(0);
    let to = world.dir.path().join("small.dump");
    let name = to.display().to_string();
    let said = world
        .say(&[
            "fetch",
            &id,
            "-o",
            &name,
            "-i",
            &own.file,
            "--table",
            "public.small",
            "--json",
        ])
        .code(0)
        .json();
    let read = said["read_bytes"].as_i64().unwrap();
    assert!(read < 400_000 && stored > 10 * read, "{read} of {stored}");
    let restored = world.restore(&to).await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM small")
        .fetch_one(&mut restored.connect().await)
        .await
        .unwrap();
    assert_eq!(count, 1000);
    world.assert_explained();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_queues_in_one_bucket_leave_each_other_alone() {
    let bucket = s3_server().await.bucket().await;
    let place = format!("s3://{bucket}/{}", uuid::Uuid::new_v4());
    let (one, other) = (world_below(&place).await, world_below(&place).await);
    for world in [&one, &other] {
        let daemon = world.daemon().await;
        world.succeeded(world.enqueue().await).await;
        daemon.stop().await;
    }
    // Now the first one knows nothing of its own backup, and the other one nothing of the first.
    one.queue.execute("DELETE FROM pgdumpd.backup_copies").await;
    let repair = ["fsck", "--repair", "--json", "--safe-age", "0s"];
    let report = other.say(&repair).code(0).json();
    let storage = &report["storages"][0];
    assert_eq!(
        (&storage["good"], &storage["of_other_queues"]),
        (&1.into(), &2.into())
    );
    assert_eq!(storage["findings"], serde_json::json!([]));
    one.say(&repair).code(0);
    other.assert_explained();
    one.assert_explained();
    for world in [&one, &other] {
        let listed = world.say(&["list", "--storage", "local", "--json"]).code(0);
        assert_eq!(listed.json().as_array().unwrap().len(), 2, "{}", listed.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_takes_longer_than_the_storage_may_stall_fails_no_backup() {
    let mut world = world().await;
    for (key, value) in [
        ("part_size", "5MiB"),
        ("upload_memory", "10MiB"),
        ("bandwidth", "2MiB"),
    ] {
        world.set("storages.local", key, quoted(value));
    }
    world.set("targets.shop", "compression", quoted("none"));
    // A part takes 2.5 s.
    world.set("targets.shop", "stall_timeout", quoted("1s"));
    fill(&world.shop, 40).await;
    let daemon = world.daemon().await;
    // Which takes longer, too.
    eventually("the storage is made", SOON, async || {
        daemon
            .log()
            .contains("a new storage was made")
            .then_some(())
    })
    .await;
    let status = world.succeeded(world.enqueue().await).await;
    assert_eq!(status.attempt, 1, "{}", daemon.log());
    assert!(status.bytes_stored > Some(16 << 20), "{status:#?}");
}

fn daemon_log_has(world: &World, text: &str) -> bool {
    std::fs::read_dir(world.dir.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .any(|entry| {
            std::fs::read_to_string(entry.path())
                .unwrap()
                .contains(text)
        })
}

/// Slow enough that the manifest takes longer than the storage may give no answer, and moves all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_manifest_over_a_slow_link_takes_longer_than_the_storage_may_be_silent() {
    const SILENCE: Duration = Duration::from_secs(3);
    let mut world = world().await;
    world.set("storages.local", "bandwidth", quoted("64KiB"));
    world.set("targets.shop", "stall_timeout", quoted("3s"));
    world
        .shop
        .execute(
            "DO $$ BEGIN FOR i IN 1..1000 LOOP
                 EXECUTE format('CREATE TABLE %I AS SELECT 1 AS a', repeat('a', 50) || i);
             END LOOP; END $$",
        )
        .await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    eventually("the backup is published", SOON, async || {
        let status = world.status(id).await;
        (status.phase.as_deref() == Some("publishing")).then_some(())
    })
    .await;
    let began = Instant::now();
    world.succeeded(id).await;
    let took = began.elapsed();
    assert!(took > SILENCE, "it took {took:?} alone");
}
