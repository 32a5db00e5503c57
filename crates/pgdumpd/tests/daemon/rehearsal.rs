//! `pgdumpd rehearse`: what was restored into a server of its own is equal, or it is said in what it is not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgdumpd::database_url::DatabaseUrl;
use pgdumpd::rehearsal::other_rows;
use pgdumpd::restore::Comparable;
use pgdumpd_testkit::{cluster, cluster_of, eventually, fill, unprivileged};
use uuid::Uuid;

use crate::harness::{SOON, Said, World};
use crate::restore::{backed_up, damage, everything, restore, verdict_of};

/// The command, with a folder for its server, as somebody who is not root.
fn command(world: &World, id: Uuid, more: &[&str]) -> (Command, PathBuf) {
    // Short, for the socket in it.
    let below = world.dir.path().join("r");
    std::fs::create_dir_all(&below).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgdumpd"));
    command
        .arg("--config")
        .arg(world.config())
        .args(["rehearse", &id.to_string(), "--directory"])
        .arg(&below)
        .args(more)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null());
    unprivileged(&mut command, world.dir.path());
    (command, below)
}

fn rehearse(world: &World, id: Uuid, more: &[&str]) -> Said {
    let (mut command, below) = command(world, id, more);
    let said = command.output().unwrap().into();
    assert!(is_empty(&below), "the server is not gone");
    said
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

async fn is_proved(major: u32) {
    let Some(of_major) = cluster_of(major).await else {
        return;
    };
    let world = World::on(cluster().await, of_major).await;
    everything(&world).await;
    let id = backed_up(&world).await;
    let check = "SELECT count(*) > 0 FROM app.items";
    let said = rehearse(&world, id, &["--check", check, "--json"]);
    let found = said.code(0).json();
    assert_eq!(found["proved"], true, "{found:#}");
    assert_eq!(found["other_schema"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["checks"][0]["passed"], true);
    let proved: bool = sqlx::query_scalar(
        "SELECT last_proved_at IS NOT NULL FROM pgdumpd.backup_copies WHERE job_id = $1",
    )
    .bind(id)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(proved, "the queue notes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_proved_on_postgresql_14() {
    is_proved(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_proved_on_postgresql_16() {
    is_proved(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_proved_on_postgresql_18() {
    is_proved(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE a AS SELECT n, md5(n::text) AS m FROM generate_series(1, 5000) AS n;
             CREATE TABLE b AS SELECT n FROM generate_series(1, 70) AS n",
        )
        .await;
    let id = backed_up(&world).await;
    for (check, error) in [
        ("SELECT count(*) > 70 FROM public.b", None),
        ("SELECT count(*) > 70 FROM public.c", Some("does not exist")),
        ("SELECT 'text'", Some("mismatched types")),
    ] {
        let found = rehearse(&world, id, &["--check", check, "--json"]);
        let found = found.code(6).json();
        assert_eq!(found["proved"], false);
        assert_eq!(found["restore"]["verdict"], "equal");
        let said = found["checks"][0]["error"].as_str();
        assert_eq!(said.is_some(), error.is_some(), "{found:#}");
        assert!(
            said.unwrap_or_default().contains(error.unwrap_or_default()),
            "{found:#}"
        );
    }
    damage(&world, "a", id);
    let found = rehearse(&world, id, &["--json"]).code(6).json();
    assert_eq!(verdict_of(&found["restore"], "public.a")["verdict"], "lost");
    assert_eq!(
        verdict_of(&found["restore"], "public.b")["verdict"],
        "equal"
    );
    let said = rehearse(&world, id, &[]).code(6);
    assert!(said.out.contains("is NOT proved"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_of_one_row_is_found() {
    let world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE a AS SELECT n, md5(n::text) AS m FROM generate_series(1, 5000) AS n")
        .await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    restore(&world, id, &into, &[]).code(0);
    let shown = world.say(&["show", &id.to_string(), "--json"]).code(0);
    let checksum = &shown.json()["index"]["entries"][0]["raw_xxh3_128"];
    let table = Comparable {
        name: "public.a".to_owned(),
        copy_out: "COPY public.a (n, m) TO stdout".to_owned(),
        encoding: None,
        checksum: checksum.as_str().unwrap().parse().unwrap(),
    };
    let url = DatabaseUrl::parse(&into.url()).unwrap();
    let tables = [table];
    assert_eq!(other_rows(&url, &tables).await.unwrap(), [""; 0]);
    // In place, where no other row moves.
    into.execute("ALTER TABLE a ALTER m TYPE text USING CASE n WHEN 4711 THEN overlay(m PLACING 'x' FROM 5) ELSE m END")
        .await;
    assert_eq!(other_rows(&url, &tables).await.unwrap(), ["public.a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_gone_after_a_rehearsal_that_was_killed() {
    let world = World::new().await;
    fill(&world.shop, 16).await;
    let id = backed_up(&world).await;
    let (mut command, below) = command(&world, id, &[]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    eventually("its server runs", SOON, async || {
        let mut folders = std::fs::read_dir(&below).unwrap().flatten();
        folders.find(|folder| folder.path().join(".s.PGSQL.5432").exists())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its server is gone", SOON, async || {
        is_empty(&below).then_some(())
    })
    .await;
}
