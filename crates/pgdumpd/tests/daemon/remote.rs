//! Backups in an S3 server, by a real daemon: taken, told of, read back whole and in part, and deleted.

use pgdumpd_testkit::{contents, fill, s3_server};

use crate::harness::{World, quoted};

/// A world whose storage `local` is a bucket.
pub(crate) async fn world() -> World {
    let server = s3_server().await;
    let mut world = World::new().await;
    world.unset("storages.local");
    let prefix = uuid::Uuid::new_v4();
    for (key, value) in [
        (
            "url",
            quoted(&format!("s3://{}/{prefix}", server.bucket().await)),
        ),
        ("endpoint", quoted(&server.endpoint)),
        ("region", quoted(&server.region)),
        ("access_key_id", quoted(&server.keys.id)),
        ("secret_access_key", quoted(&server.keys.secret)),
    ] {
        world.set("storages.local", key, value);
    }
    world
}

#[tokio::test]
async fn a_backup_goes_to_a_bucket_and_comes_back() {
    let world = world().await;
    fill(&world.shop, 4).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.succeeded(id).await;
    // Uploaded by the server's own name for it, which was noted.
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
