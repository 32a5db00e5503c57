//! `pgdumpd restore`: what comes back, and what is said of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use pgdumpd_testkit::{
    Database, S3Fault, S3Operation, cluster_of, contents, eventually, fill, fill_large_objects,
};
use serde_json::Value;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::encryption::pair;
use crate::harness::{SOON, Said, World, quoted};
use crate::remote;

/// What pgdump-archive's golden archives were made from, and what a table's definition may need beside that.
const GOLDEN: &str = include_str!("../../../pgdump-archive/tests/golden/schema.sql");
const RICH: &str = include_str!("../partial/schema.sql");

/// Fills the target with all kinds of objects.
pub(crate) async fn everything(world: &World) {
    let (owner, reader) = (world.cluster.role("").await, world.cluster.role("").await);
    world.shop.execute(GOLDEN).await;
    let rich = RICH
        .replace("owner_", &owner.name)
        .replace("reader_", &reader.name);
    world.shop.execute(&rich).await;
    fill_large_objects(&world.shop, 20, 10_000).await;
}

/// One backup, with no daemon left.
pub(crate) async fn backed_up(world: &World) -> Uuid {
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    id
}

pub(crate) fn restore(world: &World, id: Uuid, into: &Database, more: &[&str]) -> Said {
    let (id, url) = (id.to_string(), into.url());
    world.say(&[&["restore", &id, "--into", &url], more].concat())
}

/// What pg_dump says of a database, but for what is of one dump alone.
fn schema_of(world: &World, db: &Database) -> Vec<String> {
    let dumped = Command::new(world.cluster.bin("pg_dump"))
        .args(["--schema-only", "--dbname", &db.url()])
        .output()
        .unwrap();
    assert!(dumped.status.success());
    let text = String::from_utf8(dumped.stdout).unwrap();
    let of_one_dump =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines()
        .filter(of_one_dump)
        .map(str::to_owned)
        .collect()
}

async fn comes_back_equal(major: u32) {
    let Some(cluster) = cluster_of(major).await else {
        return;
    };
    let world = World::on(pgdumpd_testkit::cluster().await, cluster).await;
    everything(&world).await;
    let id = backed_up(&world).await;
    let into = cluster.database().await;
    let said = restore(&world, id, &into, &["--jobs", "4", "--json"]);
    let report = said.code(0).json();
    assert_eq!(report["verdict"], "equal", "{report:#}");
    assert!(
        report["tables"].as_array().unwrap().len() > 20,
        "{report:#}"
    );
    assert_eq!(contents(&world.shop).await, contents(&into).await);
    assert_eq!(schema_of(&world, &world.shop), schema_of(&world, &into));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_equal_on_postgresql_14() {
    comes_back_equal(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_equal_on_postgresql_15() {
    comes_back_equal(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_equal_on_postgresql_16() {
    comes_back_equal(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_equal_on_postgresql_17() {
    comes_back_equal(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_equal_on_postgresql_18() {
    comes_back_equal(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_comes_back_from_a_bucket() {
    let mut world = remote::world().await;
    let own = pair(&world, "own.key");
    let to = format!("[{}]", quoted(&own.public));
    world.set("targets.shop", "encrypt_to", to);
    fill(&world.shop, 4).await;
    fill_large_objects(&world.shop, 3, 100_000).await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    let said = restore(&world, id, &into, &[]).code(1);
    assert!(said.err.contains("--identity"), "{}", said.err);
    let said = restore(&world, id, &into, &["--identity", &own.file]).code(0);
    assert!(
        said.out
            .contains("all of it is equal to what was backed up"),
        "{}",
        said.out
    );
    assert_eq!(contents(&world.shop).await, contents(&into).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_empty_is_left_alone_unless_told() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    into.execute("CREATE TABLE mine (a integer); INSERT INTO mine VALUES (1)")
        .await;
    let before = contents(&into).await;
    let said = restore(&world, id, &into, &[]).code(1);
    assert!(
        said.err.contains("is not empty: table public.mine"),
        "{}",
        said.err
    );
    assert_eq!(contents(&into).await, before);
    let report = restore(&world, id, &into, &["--not-empty", "--json"]).code(0);
    assert_eq!(report.json()["verdict"], "equal");
    // What is there already is not mixed with the backup's.
    let before = contents(&into).await;
    let said = restore(&world, id, &into, &["--not-empty"]).code(1);
    assert!(
        said.err.contains("has what the backup has, too"),
        "{}",
        said.err
    );
    assert_eq!(contents(&into).await, before);

    // One that was killed there does not go on: it would drop what was there as if it were its own.
    into.execute(&format!(
        "CREATE SCHEMA pgdumpd_restore;
         CREATE TABLE pgdumpd_restore.backup AS SELECT '{id}'::uuid AS id, '' AS tables, false AS was_empty;
         CREATE TABLE pgdumpd_restore.done (phase text PRIMARY KEY);
         CREATE TABLE pgdumpd_restore.errors (dump_id integer, message text, command text);
         CREATE TABLE pgdumpd_restore.loaded (dump_id integer PRIMARY KEY, rows bigint)"
    ))
    .await;
    let said = restore(&world, id, &into, &["--resume"]).code(1);
    assert!(said.err.contains("was told --not-empty"), "{}", said.err);
    let mut after = contents(&into).await;
    assert_eq!(
        after.remove("public.mine"),
        before.get("public.mine").cloned()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_tables_and_changes_nothing() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    let before = schema_of(&world, &into);
    let said = restore(&world, id, &into, &["--dry-run"]).code(0);
    assert!(said.out.contains("nothing was changed"), "{}", said.out);
    assert_eq!(schema_of(&world, &into), before);
}

/// Of the table `public.a`, whose rows were made; the archive has other bytes there than the index says.
pub(crate) fn damage(world: &World, table: &str, id: Uuid) {
    let shown = world.say(&["show", &id.to_string(), "--json"]).code(0);
    let index = &shown.json()["index"]["entries"];
    let entries = index.as_array().unwrap().iter();
    let entry = entries.clone().find(|entry| entry["name"] == table);
    let entry = entry.unwrap();
    let (offset, bytes) = (
        entry["offset_bytes"].as_u64().unwrap(),
        entry["block_bytes"].as_u64().unwrap(),
    );
    let archive = world.backups().remove(0);
    let mut stored = std::fs::read(&archive).unwrap();
    let at = usize::try_from(offset + bytes / 2).unwrap();
    stored[at] ^= 0x40;
    std::fs::remove_file(&archive).unwrap();
    std::fs::write(&archive, stored).unwrap();
}

pub(crate) fn verdict_of<'a>(report: &'a Value, table: &str) -> &'a Value {
    let tables = report["tables"].as_array().unwrap();
    tables.iter().find(|found| found["table"] == table).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_damaged_backup_all_other_tables_come_back() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE a AS SELECT n, md5(n::text) AS m FROM generate_series(1, 5000) AS n;
             CREATE TABLE b AS SELECT n FROM generate_series(1, 70) AS n;
             CREATE TABLE c (id integer PRIMARY KEY); INSERT INTO c VALUES (7)",
        )
        .await;
    let id = backed_up(&world).await;
    damage(&world, "a", id);
    let into = world.cluster.database().await;
    let report = restore(&world, id, &into, &["--json"]).code(6).json();
    assert_eq!(report["verdict"], "lost");
    let lost = verdict_of(&report, "public.a");
    assert_eq!(lost["verdict"], "lost", "{lost:#}");
    assert!(
        lost["remarks"][0]
            .as_str()
            .unwrap()
            .contains("its stored data")
    );
    for (table, rows) in [("public.b", 70), ("public.c", 1)] {
        assert_eq!(verdict_of(&report, table)["verdict"], "equal");
        assert_eq!(verdict_of(&report, table)["rows"], rows);
    }
    let there = contents(&into).await;
    assert_eq!(there["public.a"].0, 0, "nothing of what is not whole");
    assert_eq!(there["public.b"], contents(&world.shop).await["public.b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_by_what_it_means() {
    let world = World::new().await;
    let role = world.cluster.role("").await;
    world
        .shop
        .execute(&format!(
            "CREATE TABLE parent (id integer PRIMARY KEY); INSERT INTO parent VALUES (1);
             CREATE TABLE child (id integer REFERENCES parent); INSERT INTO child VALUES (1);
             ALTER TABLE child OWNER TO {0};
             SET session_replication_role = replica;
             INSERT INTO child VALUES (99)",
            role.name
        ))
        .await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    // A foreign key that its rows do not keep, as only a superuser can make them.
    let report = restore(&world, id, &into, &["--json"]).code(7).json();
    assert_eq!(report["verdict"], "remarks", "{report:#}");
    let child = verdict_of(&report, "public.child");
    assert_eq!(
        (&child["verdict"], &child["rows"]),
        (&"remarks".into(), &2.into())
    );
    assert!(
        child["remarks"][0]
            .as_str()
            .unwrap()
            .contains("FK CONSTRAINT"),
        "{child:#}"
    );
    assert_eq!(verdict_of(&report, "public.parent")["verdict"], "equal");
    assert_eq!(report["objects"][0]["weight"], "constraint");

    // A server that has not the role: all of it is there, but for whose it is.
    world.shop.execute("ALTER TABLE child OWNER TO CURRENT_USER; DELETE FROM child WHERE id = 99; ALTER TABLE parent OWNER TO CURRENT_USER").await;
    world
        .shop
        .execute(&format!("GRANT SELECT ON child TO {}", role.name))
        .await;
    let id = backed_up(&world).await;
    world
        .shop
        .execute(&format!("DROP OWNED BY {}", role.name))
        .await;
    into.execute(&format!("DROP OWNED BY {}", role.name)).await;
    let dropped = format!("DROP ROLE {}", role.name);
    world.shop.execute(&dropped).await;
    let into = world.cluster.database().await;
    let report = restore(&world, id, &into, &["--json"]).code(7).json();
    assert_eq!(report["objects"][0]["weight"], "cosmetic", "{report:#}");
    assert_eq!(verdict_of(&report, "public.child")["verdict"], "equal");
    let into = world.cluster.database().await;
    restore(&world, id, &into, &["--no-privileges"]).code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_tables_come_back_with_what_they_need() {
    let world = World::new().await;
    everything(&world).await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    let tables = ["--table", "app.items", "--table", "app.members", "--json"];
    // What acts on them and is not restored with them is said.
    let report = restore(&world, id, &into, &tables).code(7).json();
    let objects = report["objects"].to_string();
    assert!(
        objects.contains("foreign key items_last_order_fkey of app.items"),
        "{objects}"
    );
    let (want, have) = (contents(&world.shop).await, contents(&into).await);
    for table in ["app.items", "app.members"] {
        assert_eq!(verdict_of(&report, table)["verdict"], "equal");
        assert_eq!(have[table], want[table]);
    }
    assert!(have.len() < want.len() / 2, "{have:#?}");
    let said = restore(&world, id, &into, &["--table", "app.item", "--not-empty"]).code(1);
    assert!(said.err.contains("pgdumpd show"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_killed_goes_on_where_it_was() {
    let world = World::new().await;
    fill(&world.shop, 16).await;
    let id = backed_up(&world).await;
    let want = contents(&world.shop).await;
    let mut interrupted = 0;
    // From the first connection to the end of the indexes, each at another moment.
    for milliseconds in (0..20).map(|number| 40 + 55 * number + number * number % 37) {
        let into = world.cluster.database().await;
        let (id_text, url) = (id.to_string(), into.url());
        let arguments = ["restore", &id_text, "--into", &url, "--jobs", "2"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .arg("-c")
            .arg(world.config())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        nobody_restores(&into).await;
        if ended.success() {
            continue;
        }
        let begun: bool =
            sqlx::query_scalar("SELECT to_regnamespace('pgdumpd_restore') IS NOT NULL")
                .fetch_one(&mut into.connect().await)
                .await
                .unwrap();
        if begun {
            interrupted += 1;
            let said = restore(&world, id, &into, &[]).code(1);
            assert!(said.err.contains("--resume"), "{}", said.err);
            restore(&world, id, &into, &["--resume"]).code(0);
        } else if contents(&into).await != want {
            // It had not begun; else it had ended, and was killed before it could say so.
            restore(&world, id, &into, &[]).code(0);
        }
        assert_eq!(
            contents(&into).await,
            want,
            "killed after {milliseconds} ms"
        );
    }
    assert!(
        interrupted > 5,
        "{interrupted} of 20 were killed in the middle"
    );
}

/// The server's own sessions go on for a moment after their client is dead.
async fn nobody_restores(into: &Database) {
    eventually("the sessions of the restore are gone", SOON, async || {
        let mut connection = into.connect().await;
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgdumpd restore'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_for_a_moment_costs_no_table() {
    let (world, faults) = crate::remote_faults::behind_faults().await;
    let id = backed_up(&world).await;
    let into = world.cluster.database().await;
    faults.fail(S3Operation::Get, 3, S3Fault::HalfAnswer);
    let report = restore(&world, id, &into, &["--json"]).code(0).json();
    assert_eq!(report["verdict"], "equal");
    assert_eq!(contents(&world.shop).await, contents(&into).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_for_who_must_show_it() {
    let world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE \"a|b\nc\" AS SELECT 1 AS n")
        .await;
    let id = backed_up(&world).await;
    let file = world.dir.path().join("report.md");
    let path = file.display().to_string();
    let into = world.cluster.database().await;
    restore(&world, id, &into, &["--report", &path]).code(0);
    let text = std::fs::read_to_string(&file).unwrap();
    let row = text
        .lines()
        .find(|line| line.contains("restored and equal |"));
    assert_eq!(
        row,
        Some(r#"| public."a\|b\\nc" | 1 | restored and equal |  |"#),
        "{text}"
    );
    assert!(!text.contains("password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_deleted_come_back_into_a_table_in_use() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, day date NOT NULL DEFAULT '2026-01-01',
                 \"Odd (name)\" text, twice bigint GENERATED ALWAYS AS (2 * id) STORED);
             INSERT INTO orders (\"Odd (name)\") SELECT 'order ' || n FROM generate_series(1, 100) AS n;
             CREATE TABLE heap AS SELECT 1 AS n",
        )
        .await;
    let id = backed_up(&world).await;
    let before = contents(&world.shop).await["public.orders"].clone();
    let merge = |more: &[&str]| {
        restore(
            &world,
            id,
            &world.shop,
            &[&["--table", "public.orders", "--merge"], more].concat(),
        )
    };
    // Some by accident, and one that was changed since: it stays as it is.
    world
        .shop
        .execute("DELETE FROM orders WHERE id BETWEEN 10 AND 39")
        .await;
    let said = merge(&["--rows", "id BETWEEN 10 AND 19"]).code(0);
    assert_eq!(
        said.out.lines().last(),
        Some("public.orders: 10 rows came back")
    );
    let said = merge(&[]).code(0);
    assert_eq!(
        said.out.lines().last(),
        Some("public.orders: 20 rows came back, 80 rows of the backup were there already")
    );
    assert_eq!(contents(&world.shop).await["public.orders"], before);
    world
        .shop
        .execute(
            "UPDATE orders SET day = '2026-12-01' WHERE id = 7; DELETE FROM orders WHERE id = 8",
        )
        .await;
    merge(&[]).code(0);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT day::text FROM orders WHERE id IN (7, 8) ORDER BY id")
            .fetch_all(&mut world.shop.connect().await)
            .await
            .unwrap();
    assert_eq!(kept, ["2026-12-01", "2026-01-01"]);

    // Nothing is changed where it cannot be told what is missing, nor by a condition that is none.
    let said = merge(&["--rows", "no_such_column = 1"]).code(6);
    assert!(
        said.out
            .contains("nothing was changed: column \"no_such_column\" does not exist"),
        "{}",
        said.out
    );
    let heap = ["--table", "public.heap", "--merge"];
    let said = restore(&world, id, &world.shop, &heap).code(1);
    assert!(said.err.contains("no primary key"), "{}", said.err);
    // NULLs are never the same.
    world.shop.execute("CREATE UNIQUE INDEX ON heap (n)").await;
    let said = restore(&world, id, &world.shop, &heap).code(1);
    assert!(said.err.contains("never NULL"), "{}", said.err);
    let into = world.cluster.database().await;
    let said = restore(&world, id, &into, &["--table", "public.orders", "--merge"]).code(1);
    assert!(
        said.err.contains("has no table public.orders"),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_a_time_comes_back_into_a_database_that_is_made() {
    let world = World::new().await;
    world.shop.execute("CREATE TABLE a AS SELECT 1 AS n").await;
    let first = backed_up(&world).await;
    world.shop.execute("UPDATE a SET n = 2").await;
    backed_up(&world).await;
    let at: String = sqlx::query_scalar(
        "SELECT to_char((started_at + interval '1 millisecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         FROM pgdumpd.backup_jobs WHERE id = $1",
    )
    .bind(first)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let made = world.cluster.database().await;
    let (name, url) = (made.name().to_owned(), made.url());
    world.shop.execute(&format!("DROP DATABASE {name}")).await;
    let arguments = [
        "restore", "--target", "shop", "--at", &at, "--into", &url, "--create",
    ];
    world.say(&arguments).code(0);
    let n: i32 = sqlx::query_scalar("SELECT n FROM a")
        .fetch_one(&mut made.connect().await)
        .await
        .unwrap();
    assert_eq!(n, 1, "as it was then");
    let said = world.say(&arguments).code(1);
    assert!(said.err.contains("already exists"), "{}", said.err);
    let before = [
        "restore",
        "--target",
        "shop",
        "--at",
        "2020-01-01T00:00:00Z",
        "--into",
        &url,
    ];
    let said = world.say(&before).code(3);
    assert!(said.err.contains("or before"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_before_a_kill_is_not_forgotten() {
    let world = World::new().await;
    fill(&world.shop, 4).await;
    world
        .shop
        .execute(
            "CREATE FUNCTION only_superusers(integer) RETURNS integer LANGUAGE internal IMMUTABLE AS 'int4up';
             CREATE UNLOGGED TABLE forgetful AS SELECT 1 AS n",
        )
        .await;
    let id = backed_up(&world).await;
    let role = world.cluster.role("").await;
    let into = world.cluster.database().await;
    into.execute(&format!(
        "ALTER DATABASE {} OWNER TO {}",
        into.name(),
        role.name
    ))
    .await;
    let id = id.to_string();
    let url = into.url_as(&role.name);
    let common = [
        "restore",
        &id,
        "--into",
        &url,
        "--no-owner",
        "--no-privileges",
        "--json",
    ];
    let whole = world.say(&common).code(6).json();
    let refused = |report: &Value| {
        let objects = report["objects"].as_array().unwrap().iter();
        let names = objects.map(|object| object["object"].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(
        refused(&whole)
            .iter()
            .any(|name| name.contains("only_superusers"))
    );

    // The same, ended after the rows were loaded: as a kill and a crash of the server leave it.
    let into = world.cluster.database().await;
    into.execute(&format!(
        "ALTER DATABASE {} OWNER TO {}",
        into.name(),
        role.name
    ))
    .await;
    let url = into.url_as(&role.name);
    let common = [
        "restore",
        &id,
        "--into",
        &url,
        "--no-owner",
        "--no-privileges",
        "--json",
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
        .arg("-c")
        .arg(world.config())
        .args(common)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let noted = "SELECT count(*) FROM pgdumpd_restore.loaded";
    let count = async |sql: &'static str| {
        let count: Result<i64, _> = sqlx::query_scalar(sql)
            .fetch_one(&mut into.connect().await)
            .await;
        count.unwrap_or(0)
    };
    eventually("rows are loaded", SOON, async || {
        (count(noted).await > 0).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    nobody_restores(&into).await;
    assert!(
        count(noted).await > 0,
        "the restore had ended before it was killed"
    );
    into.execute("TRUNCATE forgetful").await;
    let resumed = world
        .say(&[&common[..], &["--resume"]].concat())
        .code(6)
        .json();
    assert_eq!(refused(&resumed), refused(&whole), "{resumed:#}");
    assert_eq!(count("SELECT count(*) FROM forgetful").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_of_large_objects_costs_no_table() {
    let world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE a AS SELECT n FROM generate_series(1, 70) AS n; CREATE SEQUENCE s; SELECT nextval('s')")
        .await;
    fill_large_objects(&world.shop, 5, 200_000).await;
    let id = backed_up(&world).await;
    damage(&world, "BLOBS", id);
    let into = world.cluster.database().await;
    let report = restore(&world, id, &into, &["--json"]).code(6).json();
    assert_eq!(
        verdict_of(&report, "public.a")["verdict"],
        "equal",
        "{report:#}"
    );
    let objects = report["objects"].as_array().unwrap();
    assert!(
        objects.iter().any(|object| object["weight"] == "data"
            && object["error"]
                .as_str()
                .unwrap()
                .contains("its stored data")),
        "{report:#}"
    );
    let (want, have) = (contents(&world.shop).await, contents(&into).await);
    assert_eq!(
        (&have["public.a"], &have["public.s"]),
        (&want["public.a"], &want["public.s"])
    );
}
