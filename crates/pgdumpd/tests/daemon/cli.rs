//! The command line as a person and a script see it: what it prints and its exit codes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Cluster, cluster, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use uuid::Uuid;

use crate::fsck::{change_manifest, manifest_of};
use crate::harness::{SOON, World, quoted};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

#[tokio::test]
async fn enqueue_with_wait_follows_a_job_to_its_success() {
    let world = World::new().await;
    world.shop.execute("CREATE TABLE t ()").await;
    let _daemon = world.daemon().await;
    let said = world
        .say(&["enqueue", "shop", "--wait", "--label", "mine"])
        .code(0);
    let lines: Vec<&str> = said.out.lines().collect();
    let id = lines[0];
    // Plain lines where there is no terminal: no bar, no control characters.
    assert!(
        !said.out.contains(['\r', '\x1b']) && said.err.is_empty(),
        "{said_out:?}{said_err:?}",
        said_out = said.out,
        said_err = said.err
    );
    assert!(lines[1..].iter().all(|line| line.starts_with(id)));
    assert!(
        lines.last().unwrap().contains(" succeeded after 0:0"),
        "{lines:?}"
    );

    // What can be asked about it afterwards.
    assert!(world.say(&["watch", id]).code(0).out.contains("succeeded"));
    assert!(world.say(&["status", id]).code(0).out.contains("sha256:"));
    let status = world.say(&["status", id, "--json"]).code(0).json();
    assert_eq!(status["state"], "succeeded");
    assert_eq!(status["label"], "mine");
    let listed = world.say(&["list", "--json"]).code(0).json();
    assert_eq!(listed[0]["id"], id);
    assert_eq!(
        world.say(&["list", "--state", "failed"]).code(0).out,
        "no jobs\n"
    );
    assert_eq!(world.say(&["status"]).code(0).out, "no jobs\n");
    let said = world.say(&["cancel", id]).code(0);
    assert!(said.out.contains("already succeeded"), "{}", said.out);
}

#[tokio::test]
async fn a_failed_job_ends_a_wait_with_4_and_says_why_and_what_to_do() {
    let mut world = World::new().await;
    let url = format!("{}_gone", world.shop.url());
    world.set("targets.shop", "url", quoted(&url));
    let _daemon = world.daemon().await;
    let said = world.say(&["enqueue", "shop", "--wait"]).code(4);
    assert!(said.out.contains("error in step connect:"), "{}", said.out);
    assert!(said.out.contains("does not exist"), "{}", said.out);
    assert!(said.out.contains("\nhint: "), "{}", said.out);
    let id = said.out.lines().next().unwrap();
    let again = world.say(&["status", id]).code(4);
    assert!(again.out.contains("hint: "), "{}", again.out);
    world.say(&["watch", id, "--json"]).code(4);
}

#[tokio::test]
async fn a_cancelled_job_is_reported_by_5_and_an_unknown_one_by_3() {
    let world = World::new().await;
    let id = world.enqueue().await.to_string();
    world.say(&["status", &id]).code(0);
    let said = world.say(&["cancel", &id, "--json"]).code(0);
    assert_eq!(said.json()["outcome"], "cancelled");
    world.say(&["status", &id]).code(5);
    let watched = world.say(&["watch", &id, "--json"]).code(5);
    assert_eq!(watched.json()["state"], "cancelled");
    let again = world.say(&["cancel", &id]).code(0);
    assert!(again.out.contains("already cancelled"), "{}", again.out);
    for command in ["status", "watch", "cancel", "delete"] {
        let said = world.say(&[command, NOBODY]).code(3);
        assert!(
            format!("{}{}", said.out, said.err).contains(NOBODY),
            "{command}"
        );
        let said = world.say(&[command, "abc"]).code(2);
        assert!(said.err.contains("a UUID such as"), "{}", said.err);
    }
}

#[tokio::test]
async fn an_interrupted_watch_leaves_the_job_alone_and_says_how_to_cancel_it() {
    let world = World::new().await;
    let id = world.enqueue().await;
    let watch = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
        .arg("--config")
        .arg(world.config())
        .args(["watch", &id.to_string()])
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the watch listens", SOON, async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap()
        .then_some(())
    })
    .await;
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("`pgdumpd cancel {id}` cancels it")),
        "{said}"
    );
    assert_eq!(world.status(id).await.state, JobState::Queued);
}

#[tokio::test]
async fn a_command_that_is_killed_leaves_no_query_in_the_server() {
    let world = World::new().await;
    let mut other = world.queue.connect().await;
    let mut locked = sqlx::Connection::begin(&mut other).await.unwrap();
    // What the command asks waits for as long as this is open.
    sqlx::query("LOCK TABLE pgdumpd.backup_jobs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();
    let mut status = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
        .arg("--config")
        .arg(world.config())
        .arg("status")
        .env_remove("DATABASE_URL")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let waits = async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                            AND wait_event_type = 'Lock' AND application_name = 'pgdumpd')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap()
    };
    eventually("the query waits", SOON, async || {
        waits().await.then_some(())
    })
    .await;
    status.kill().unwrap();
    status.wait().unwrap();
    // Its statement timeout would end it, too, but not so soon.
    eventually("the server notices", Duration::from_secs(20), async || {
        (!waits().await).then_some(())
    })
    .await;
    locked.rollback().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let world = World::new().await;
    let output = Command::new("bash")
        .args([
            "-c",
            "set -o pipefail; { \"$0\" --config \"$1\" config; echo \"code $?\" >&2; } | head -c 0",
        ])
        .arg(env!("CARGO_BIN_EXE_pgdumpd"))
        .arg(world.config())
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(["code 0\n", "code 1\n"].contains(&said.as_str()), "{said}");
}

#[tokio::test]
async fn a_storage_is_listed_while_the_queue_is_down() {
    let queues = Cluster::start_private(&[]).await;
    let mut world = World::on(&queues, cluster().await).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    queues.stop().await;
    let said = world.say(&["list", "--storage", "local"]).code(0);
    assert!(said.out.contains(&id.to_string()), "{}", said.out);
    let listed = world
        .say(&["list", "--storage", "local", "--json"])
        .code(0)
        .json();
    assert_eq!(listed[0]["backup_id"], id.to_string());
    let other = world
        .say(&["list", "--storage", "local", "--target", "other"])
        .code(0);
    assert_eq!(other.out, "no backups\n");
    // And what does need it says so at once.
    let said = world.say(&["list"]).code(1);
    assert!(
        said.err.contains("cannot connect to the queue"),
        "{}",
        said.err
    );
    assert!(
        said.err
            .contains("hint: Check that the queue's server runs")
    );
    let said = world.say(&["list", "--storage", "shelf"]).code(1);
    assert!(
        said.err.contains("hint: Configured storages: local."),
        "{}",
        said.err
    );
    world.set("storages.local", "path", quoted("/proc/none"));
    let said = world.say(&["list", "--storage", "local"]).code(1);
    assert!(said.err.contains("/proc/none"), "{}", said.err);
}

#[tokio::test]
async fn delete_says_what_it_would_remove_and_then_removes_it() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let id = id.to_string();
    let said = world.say(&["delete", &id]).code(0);
    assert!(
        said.out.contains("would remove") && said.out.contains("--yes"),
        "{}",
        said.out
    );
    world.assert_clean(1).await;
    let said = world.say(&["delete", &id, "--yes"]).code(0);
    // By this command, or by a daemon that was faster.
    assert!(said.out.contains("removed "), "{}", said.out);
    assert_eq!(world.files(), Vec::<String>::new());
    let status = world.say(&["status", &id, "--json"]).code(0).json();
    assert_eq!(status["copies"], "0 of 1");
    world.say(&["delete", &id, "--yes"]).code(3);
}

/// A second whole backup of one job, as when the first attempt's did not check out for a while; its key.
fn another_backup(world: &World, archive: &Path) -> String {
    let manifest = world.manifest(archive);
    let token = Uuid::new_v4();
    let name = format!("{token}.dump");
    let other = archive.with_file_name(&name);
    let mut key = manifest.object.key.to_string();
    key.truncate(key.rfind('/').unwrap() + 1);
    key.push_str(&name);
    std::fs::copy(archive, &other).unwrap();
    std::fs::copy(manifest_of(archive), manifest_of(&other)).unwrap();
    change_manifest(&other, |manifest| {
        manifest["object"]["key"] = json!(key);
        manifest["lease_token"] = json!(token);
    });
    key
}

#[tokio::test]
async fn delete_takes_all_backups_of_an_id_or_one_of_them_by_its_key() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let id = id.to_string();
    let archive = world.backups().remove(0);
    let key = world.manifest(&archive).object.key.to_string();
    let other = another_backup(&world, &archive);
    let said = world.say(&["delete", &id]).code(0);
    assert!(
        said.out.contains(&key) && said.out.contains(&other),
        "{}",
        said.out
    );
    let said = world
        .say(&["delete", &id, "--storage", "local", "--yes"])
        .code(1);
    for named in ["2 backups with the id", &key, &other, "--key KEY"] {
        assert!(said.err.contains(named), "{named}: {}", said.err);
    }
    world.assert_clean(2).await;

    let by_key = |key| ["delete", "--storage", "local", "--key", key];
    let said = world.say(&by_key(&other)).code(0);
    assert!(said.out.starts_with("would remove "), "{}", said.out);
    world.assert_clean(2).await;
    world
        .say(&[&by_key(&other)[..], &["--yes"]].concat())
        .code(0);
    assert_eq!(world.backups(), [archive]);
    let status = world.say(&["status", &id, "--json"]).code(0).json();
    assert_eq!(status["copies"], "1 of 1", "the row is of the other one");
    world.say(&[&by_key(&key)[..], &["--yes"]].concat()).code(0);
    assert_eq!(world.files(), Vec::<String>::new());
    let status = world.say(&["status", &id, "--json"]).code(0).json();
    assert_eq!(status["copies"], "0 of 1");
    world.say(&[&by_key(&key)[..], &["--yes"]].concat()).code(3);

    let id = world.enqueue().await;
    world.succeeded(id).await;
    another_backup(&world, &world.backups()[0]);
    let said = world.say(&["delete", &id.to_string(), "--yes"]).code(0);
    assert_eq!(said.out.matches("removed ").count(), 2, "{}", said.out);
    assert_eq!(world.files(), Vec::<String>::new());
    for wrong in ["../x.dump", "x"] {
        let said = world.say(&by_key(wrong)).code(2);
        assert!(said.err.contains("not an archive's key"), "{}", said.err);
    }
    world.say(&["delete", "--key", &key]).code(2);
    world.say(&["delete", "--storage", "local"]).code(2);
}

#[tokio::test]
async fn delete_in_a_storage_needs_no_row_and_no_queue_and_leaves_what_has_no_manifest() {
    let queues = Cluster::start_private(&[]).await;
    let world = World::on(&queues, cluster().await).await;
    let daemon = world.daemon().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = world.enqueue().await;
        world.succeeded(id).await;
        ids.push(id.to_string());
    }
    daemon.stop().await;
    // What a running job has stored, and not yet made a backup.
    let archive = world.backups().remove(0);
    let running = archive.with_file_name("running.dump");
    std::fs::write(&running, "rows").unwrap();
    let key = running.strip_prefix(world.storage()).unwrap();
    let key = key.to_str().unwrap();
    let said = world
        .say(&["delete", "--storage", "local", "--key", key, "--yes"])
        .code(3);
    assert!(said.err.contains("it has no manifest"), "{}", said.err);
    assert!(running.exists());
    std::fs::remove_file(&running).unwrap();

    sqlx::query("DELETE FROM pgdumpd.backup_jobs")
        .execute(&world.pool)
        .await
        .unwrap();
    world.say(&["delete", &ids[0], "--yes"]).code(3);
    let in_storage = |id| ["delete", id, "--storage", "local", "--yes"];
    let said = world.say(&in_storage(&ids[0])).code(0);
    assert_eq!(said.err, "");
    assert_eq!(world.backups().len(), 1);
    world.say(&in_storage(&ids[0])).code(3);
    queues.stop().await;
    let said = world.say(&in_storage(&ids[1])).code(0);
    assert!(said.out.starts_with("removed "), "{}", said.out);
    assert!(
        said.err.contains("the queue could not record"),
        "{}",
        said.err
    );
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn adopt_gives_a_clone_its_own_id_and_ends_what_came_with_it() {
    let mut world = World::new().await;
    let old = world.queue_id().await;
    world.set("queue", "queue_id", quoted(&old.to_string()));
    // As in a clone taken in the middle of a job: a row that runs, its daemon elsewhere.
    let _lock = world.hold_dumps().await;
    let mut daemon = world.daemon().await;
    let running = world.enqueue().await;
    world.held(&daemon).await;
    daemon.kill();
    let queued = world.enqueue().await;

    let said = world.say(&["adopt", "--queue-id", NOBODY]).code(1);
    assert!(said.err.contains(&old.to_string()), "{}", said.err);
    assert_eq!(world.queue_id().await, old);
    // The original's own row of the queue: here it may be alive.
    let said = world
        .say(&["adopt", "--queue-id", &old.to_string()])
        .code(1);
    assert!(
        said.err.contains("daemons were seen") && said.err.contains("--force"),
        "{}",
        said.err
    );
    assert_eq!(world.queue_id().await, old);
    assert_eq!(world.status(queued).await.state, JobState::Queued);
    let adopted = world
        .say(&["adopt", "--queue-id", &old.to_string(), "--force", "--json"])
        .code(0)
        .json();
    let new = world.queue_id().await;
    assert_ne!(new, old);
    assert_eq!(adopted["new_id"], new.to_string());
    assert_eq!(
        (&adopted["cancelled"], &adopted["failed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(world.status(queued).await.state, JobState::Cancelled);
    let ended = world.status(running).await;
    assert_eq!(
        (ended.state, ended.error_code.as_deref()),
        (JobState::Failed, Some("queue_adopted"))
    );

    // A daemon that is configured for the original does not touch the clone.
    let mut daemon = world.daemon_unready();
    assert!(!daemon.exited().await);
    assert!(daemon.log().contains(&old.to_string()), "{}", daemon.log());
    drop(_lock);
    world.set("queue", "queue_id", quoted(&new.to_string()));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
}

#[tokio::test]
async fn config_shows_where_each_value_came_from_and_no_password() {
    let mut world = World::new().await;
    let url = "postgres://backup:hunter2@db.example.com/shop";
    world.set("targets.shop", "url", quoted(url));
    let said = world.say(&["config"]).code(0);
    let file = world.config().display().to_string();
    assert!(said.out.contains(&file), "{}", said.out);
    assert!(said.out.contains("# default"), "{}", said.out);
    assert!(said.out.contains("db.example.com"), "{}", said.out);
    let json = world.say(&["config", "--json"]).code(0);
    assert!(json.json().is_object() || json.json().is_array());
    assert!(!format!("{}{}", said.out, json.out).contains("hunter2"));
    // A misspelt key is named with its file, and what was perhaps meant.
    world.set("daemon", "heartbeet", quoted("1s"));
    let said = world.say(&["config"]).code(1);
    assert!(
        said.err.contains("daemon.heartbeet") && said.err.contains("did you mean \"heartbeat\"?"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_job_again() {
    let world = World::new().await;
    let request = BackupRequest::new("shop").idempotency_key("2030-01-31");
    let id = world.enqueue_request(request).await.to_string();
    let arguments = ["enqueue", "shop", "--idempotency-key", "2030-01-31"];
    let said = world.say(&arguments).code(0);
    assert!(said.out.starts_with(&format!("{id} (enqueued before")));
    let json = world
        .say(&[&arguments[..], &["--json"]].concat())
        .code(0)
        .json();
    assert_eq!((&json["id"], &json["is_new"]), (&id.into(), &false.into()));
}

#[tokio::test]
async fn an_address_with_a_password_in_a_wrong_place_of_the_command_line_is_not_quoted_back() {
    let world = World::new().await;
    let address = "postgres://joe:hunter2marker@db/app";
    for arguments in [
        &["enqueue", address][..],
        &["enqueue", "shop", "--id", address],
        &["enqueue", "shop", "--metadata", address],
        &["status", address],
        &["show", address],
        &["verify", "--target", address],
        &["verify", "0", "--storage", address],
        &["list", "--storage", address],
        &["fetch", "0", "--table", address],
        &["check", address],
        &["copy", address, "--to", address],
        &["migrate", "--grant-daemon", address],
        &[address],
    ] {
        let said = world.say(arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}: {}", said.out);
        let text = format!("{}{}", said.out, said.err);
        assert!(!text.contains("hunter2marker"), "{arguments:?}: {text}");
        assert!(!text.is_empty(), "{arguments:?}");
    }
    let kept: Vec<String> = sqlx::query_scalar("SELECT target FROM pgdumpd.backup_jobs")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(kept, [""; 0]);
}

#[tokio::test]
async fn what_is_kept_with_a_job_is_shown_with_it() {
    let world = World::new().await;
    let said = world.say(&["enqueue", "shop", "--metadata", r#"{"user": 7}"#]);
    let id = said.code(0).out.trim().to_owned();
    let shown = world.say(&["status", &id, "--json"]).code(0).json();
    assert_eq!(
        shown["metadata"],
        serde_json::json!({ "user": 7 }),
        "{shown}"
    );
    let said = world.say(&["enqueue", "shop", "--metadata", "[1]"]).code(2);
    assert!(said.err.contains("is not a JSON object"), "{}", said.err);
}

#[tokio::test]
async fn status_shows_fifty_jobs_of_a_state_and_says_that_there_are_more() {
    let world = World::new().await;
    let enqueue = "SELECT pgdumpd.enqueue_backup('shop') FROM generate_series(1, $1)";
    let more = "the newest 50 queued jobs are shown";
    for (jobs, is_cut) in [(50, false), (1, true)] {
        let enqueued = sqlx::query(enqueue).bind(jobs).execute(&world.pool);
        enqueued.await.unwrap();
        let said = world.say(&["status"]).code(0);
        assert_eq!(said.out.lines().count(), 1 + 50, "{}", said.out);
        assert_eq!(said.err.contains(more), is_cut, "{}", said.err);
    }
}

#[tokio::test]
async fn a_queue_that_is_older_than_the_command_is_said_with_both_versions() {
    let mut world = World::new().await;
    let role = world.cluster.role("").await;
    let older = format!(
        "DELETE FROM pgdumpd.schema_migrations WHERE version > 5;
         ALTER VIEW pgdumpd.backup_status RENAME COLUMN kind TO sort;
         SELECT pgdumpd.grant_producer('{}')",
        role.name
    );
    world.queue.execute(&older).await;
    let needs = format!(
        "and this pgdumpd needs version {}",
        pgdumpd::migrate::VERSION
    );
    let id = uuid::Uuid::new_v4().to_string();
    let commands = [
        &["status"][..],
        &["status", &id],
        &["list"],
        &["list", "--json"],
    ];
    for command in commands {
        let said = world.say(command).code(1);
        assert!(
            said.err
                .contains(&format!("the queue is at version 5, {needs}")),
            "{}",
            said.err
        );
        assert!(
            said.err.contains("hint: Run `pgdumpd migrate`"),
            "{}",
            said.err
        );
    }
    // A role that may not read the version.
    world.set("queue", "url", quoted(&world.queue.url_as(&role.name)));
    for command in commands {
        let said = world.say(command).code(1);
        assert!(
            said.err
                .contains(&format!("the queue is of an older version, {needs}")),
            "{}",
            said.err
        );
    }
    world.queue.execute("DROP SCHEMA pgdumpd CASCADE").await;
    let said = world.say(&["status"]).code(1);
    assert!(said.err.contains("has no pgdumpd queue"), "{}", said.err);
}
