//! Encrypted backups from a daemon, restored with the standard tools.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgdumpd_client::{BackupRequest, BackupSpec};
use pgdumpd_testkit::{Database, FakePgDump, Then, contents, eventually, fill};
use rustix::process::{Signal, kill_process};
use sqlx::Row as _;
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// A row's text, and a part of a table's name.
pub(crate) const MARKER: &str = "xyzzyplughfoobarmarker";

/// A key pair as `age-keygen` makes it: the identity file, and the public key.
pub(crate) struct Pair {
    pub(crate) file: String,
    pub(crate) public: String,
}

pub(crate) fn pair(world: &World, name: &str) -> Pair {
    let file = world.dir.path().join(name).display().to_string();
    let made = Command::new("age-keygen")
        .args(["-o", &file])
        .output()
        .unwrap();
    assert!(made.status.success());
    let public = Command::new("age-keygen")
        .args(["-y", &file])
        .output()
        .unwrap();
    let public = String::from_utf8(public.stdout).unwrap().trim().to_owned();
    Pair { file, public }
}

/// A world whose target is encrypted to a new pair.
async fn encrypting() -> (World, Pair) {
    let mut world = World::new().await;
    let own = pair(&world, "own.key");
    world.set(
        "targets.shop",
        "encrypt_to",
        format!("[{}]", quoted(&own.public)),
    );
    (world, own)
}

pub(crate) async fn mark(world: &World) {
    world
        .shop
        .execute(&format!(
            "CREATE TABLE {MARKER}_table (note text); INSERT INTO {MARKER}_table SELECT '{MARKER}' FROM generate_series(1, 200)"
        ))
        .await;
}

/// Restores with `age --decrypt | pg_restore`.
async fn restore_by_age(world: &World, own: &Pair, archive: &Path) -> Database {
    let database = world.cluster.database().await;
    let mut age = Command::new("age")
        .args(["--decrypt", "--identity", &own.file])
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = Command::new(world.cluster.bin("pg_restore"))
        .args(["--exit-on-error", "--dbname", &database.url()])
        .stdin(age.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    assert!(age.wait().unwrap().success());
    database
}

/// The files below these folders that hold the marker.
pub(crate) fn marked(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| {
                bytes
                    .windows(MARKER.len())
                    .any(|window| window == MARKER.as_bytes())
            }) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn an_encrypted_backup_restores_through_age_and_pg_restore_to_the_same_content() {
    let (mut world, own) = encrypting().await;
    fill(&world.shop, 3).await;
    for (compression, compressor) in [
        ("gzip:6", "pgdumpd"),
        ("gzip:1", "pg_dump"),
        ("none", "auto"),
    ] {
        world.set("targets.shop", "compression", quoted(compression));
        world.set("targets.shop", "compressor", quoted(compressor));
        let daemon = world.daemon().await;
        let id = world.enqueue().await;
        let status = world.succeeded(id).await;
        daemon.stop().await;
        let archive = world
            .backups()
            .into_iter()
            .find(|path| path.to_string_lossy().contains(&id.to_string()))
            .unwrap();
        assert!(archive.display().to_string().ends_with(".dump.age"));
        let bytes = status.bytes_stored;
        let manifest = world.manifest(&archive);
        let stored = std::fs::metadata(&archive).unwrap().len();
        assert_eq!(bytes, i64::try_from(stored).ok());
        assert_eq!(manifest.object.size_bytes, stored);
        let size = manifest.archive.size_bytes.unwrap();
        // The header, and a tag for each chunk.
        assert!(
            (size + 16..size + size / 4096 + 1000).contains(&stored),
            "{stored} of {size}"
        );
        assert_eq!(
            manifest.encryption.as_ref().unwrap().recipients,
            std::slice::from_ref(&own.public)
        );
        assert!(manifest.restore.hint.starts_with("age --decrypt"));
        let restored = restore_by_age(&world, &own, &archive).await;
        assert_eq!(contents(&restored).await, contents(&world.shop).await);
        // And with our own tool, with offsets, in parallel.
        let to = world
            .dir
            .path()
            .join(format!("{id}.dump"))
            .display()
            .to_string();
        let said = world
            .say(&["fetch", &id.to_string(), "-o", &to, "--identity", &own.file])
            .code(0);
        assert!(said.out.contains("verified"), "{}", said.out);
        let restored = world.restore(Path::new(&to)).await;
        assert_eq!(contents(&restored).await, contents(&world.shop).await);
    }
}

/// Backs up with a daemon whose temporary files lie in a folder of their own: in mid-dump, and after the daemon was
/// killed and another has finished the job, the files that hold the marker.
async fn marked_by(world: &mut World) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let temporary = world.dir.path().join("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    let variables = [("TMPDIR", temporary.to_str().unwrap())];
    // All of its rows, but not its end.
    let archive = world.archive();
    let cut = archive.len() - 1000;
    let mut fake = FakePgDump::new(world.cluster.major(), &archive[..cut], Then::Hang);
    world.use_fake(&fake);
    let mut daemon = world.daemon_unready_with(&variables);
    let id = world.enqueue().await;
    world
        .until(id, "all but the end has passed", |status| {
            status.bytes_dumped == i64::try_from(cut).ok()
                && status.bytes_stored > Some(archive.len() as i64 / 2)
        })
        .await;
    let partial = world.files();
    assert!(partial.iter().any(|file| file.contains('#')), "{partial:?}");
    // With the daemon's log.
    let during = marked(&[world.dir.path().to_owned()]);
    daemon.kill();
    fake.become_(b"", Then::Exec(world.cluster.bin("pg_dump")));
    let daemon = world.daemon_unready_with(&variables);
    world.succeeded(id).await;
    daemon.stop().await;
    (during, marked(&[world.dir.path().to_owned()]))
}

#[tokio::test]
async fn no_plaintext_reaches_the_disk_in_mid_dump_or_after_it() {
    let (mut world, _) = encrypting().await;
    // Not compressed, so that the marker were there to be found.
    world.set("targets.shop", "compression", quoted("none"));
    world.set("targets.shop", "manifest", quoted("sealed"));
    mark(&world).await;
    fill(&world.shop, 3).await;
    let (during, after) = marked_by(&mut world).await;
    assert_eq!((during, after), (Vec::new(), Vec::new()));

    world.set("targets.shop", "encrypt_to", "[]");
    world.set("targets.shop", "manifest", quoted("clear"));
    let (during, after) = marked_by(&mut world).await;
    let name_of = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let during: Vec<String> = during.iter().map(name_of).collect();
    assert!(
        during.iter().any(|name| name.contains(".dump#")),
        "{during:?}"
    );
    let after: Vec<String> = after.iter().map(name_of).collect();
    for end in [".dump", ".dump.manifest.json"] {
        assert!(after.iter().any(|name| name.ends_with(end)), "{after:?}");
    }
}

#[tokio::test]
async fn commands_that_read_a_backup_say_what_they_can_do_without_an_identity_and_with_a_wrong_one()
{
    let (world, own) = encrypting().await;
    let other = pair(&world, "other.key");
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    let id = id.to_string();
    let to = world.dir.path().join("out").display().to_string();

    let said = world.say(&["verify", &id]).code(7);
    assert!(
        said.out.contains("was not checked: give --identity"),
        "{}",
        said.out
    );
    let json = world.say(&["verify", &id, "--json"]).code(7).json();
    assert_eq!(
        (&json["good"], &json["found"]["unopened"]),
        (&true.into(), &true.into())
    );
    let said = world.say(&["verify", &id, "--identity", &own.file]).code(0);
    assert!(
        said.out.contains("blocks of data with their checksums"),
        "{}",
        said.out
    );
    let said = world.say(&["verify", &id, "-i", &other.file]).code(1);
    assert!(
        said.err.contains("no given identity opens") && said.err.contains("hint: "),
        "{}",
        said.err
    );
    world
        .say(&["verify", &id, "-i", &other.file, "-i", &own.file])
        .code(0);

    let said = world.say(&["fetch", &id, "-o", &to]).code(1);
    assert!(
        said.err.contains("is encrypted") && said.err.contains("--identity FILE"),
        "{}",
        said.err
    );
    let said = world
        .say(&["fetch", &id, "-o", &to, "-i", &own.public])
        .code(1);
    assert!(
        said.err.contains("cannot read identity file"),
        "{}",
        said.err
    );
    assert!(!Path::new(&to).exists());
    let said = world.say(&["fetch", &id, "-o", &to, "--encrypted"]).code(0);
    assert!(said.out.contains("age --decrypt"), "{}", said.out);
    let archive = world.backups().remove(0);
    assert!(std::fs::read(&to).unwrap() == std::fs::read(&archive).unwrap());
    let said = world.say(&["show", &id]).code(0);
    assert!(
        said.out.contains(&own.public) && said.out.contains("XXH3"),
        "{}",
        said.out
    );

    // By the variable, and through a pipe, as from a file that age decrypts.
    let verify = format!(
        "{} --config {} verify {id}",
        env!("CARGO_BIN_EXE_pgdumpd"),
        world.config().display()
    );
    for (command, file) in [
        (verify.clone(), own.file.as_str()),
        (format!("{verify} --identity <(cat {})", own.file), ""),
    ] {
        let done = Command::new("bash")
            .args(["-c", &command])
            .env("PGDUMPD_IDENTITY_FILE", file)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    // A bit, and a cut: each with its own words.
    let whole = std::fs::read(&archive).unwrap();
    let mut flipped = whole.clone();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    std::fs::write(&archive, flipped).unwrap();
    let said = world.say(&["verify", &id, "-i", &own.file]).code(6);
    assert!(
        said.out.contains("cannot be decrypted") && said.out.contains("  good: "),
        "{}",
        said.out
    );
    world.say(&["verify", &id]).code(6);
    std::fs::write(&archive, &whole[..at]).unwrap();
    let said = world.say(&["verify", &id, "-i", &own.file]).code(6);
    assert!(
        said.out.contains("is cut off") && said.out.contains("its manifest says"),
        "{}",
        said.out
    );
    let out = world.dir.path().join("cut").display().to_string();
    world
        .say(&["fetch", &id, "-o", &out, "-i", &own.file])
        .code(6);
    assert!(!Path::new(&out).exists());
}

#[tokio::test]
async fn a_table_comes_back_from_an_encrypted_archive_by_itself() {
    let (world, own) = encrypting().await;
    fill(&world.shop, 8).await;
    mark(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    let to = world.dir.path().join("table.dump");
    let text = to.display().to_string();
    let table = format!("public.{MARKER}_table");
    let said = world
        .say(&[
            "fetch",
            &id.to_string(),
            "-o",
            &text,
            "-i",
            &own.file,
            "--table",
            &table,
            "--json",
        ])
        .code(0)
        .json();
    let size = std::fs::metadata(world.backups().remove(0)).unwrap().len();
    let read = said["read_bytes"].as_u64().unwrap();
    assert!(read < 400_000 && size > 4 * read, "{read} of {size}");
    let restored = world.restore(&to).await;
    let count: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut restored.connect().await)
            .await
            .unwrap();
    assert_eq!(count, 200);
}

#[tokio::test]
async fn a_sealed_backup_names_its_tables_nowhere_but_to_an_identity() {
    let (mut world, own) = encrypting().await;
    world.set("targets.shop", "manifest", quoted("sealed"));
    world.set("targets.shop", "keep_last", "1");
    world
        .shop
        .execute(&format!(
            "CREATE TABLE {MARKER}_a (id int); CREATE TABLE {MARKER}_b (id int); INSERT INTO {MARKER}_a VALUES (1)"
        ))
        .await;
    fill(&world.shop, 6).await;
    let applied = |daemon: &Daemon| daemon.log().matches("applied the target's rules").count();

    // In mid-dump: the tables are counted, their sizes known, and none is named. Nor are a failure's warnings told.
    let archive = world.archive();
    let mut fake = FakePgDump::new(
        world.cluster.major(),
        &archive[..archive.len() / 2],
        Then::Hang,
    )
    .says(&format!("pg_dump: warning: {MARKER}_a is odd\n"));
    world.use_fake(&fake);
    let daemon = world.daemon().await;
    let cut = world.enqueue().await;
    let told = world
        .until(cut, "it is known how far it is", |status| {
            let message = status.message.as_deref().unwrap_or_default();
            status.progress > 2.0 && message.starts_with("dumping data (")
        })
        .await;
    assert_eq!(told.current_table, None);
    for pid in daemon.pg_dumps() {
        kill_process(pid, Signal::KILL).unwrap();
    }
    let told = world.requeued(cut).await;
    assert_eq!((told.warnings.len(), told.warnings_total), (0, 1));
    assert_eq!(told.error_code.as_deref(), Some("dump_killed"));
    assert!(!told.error.unwrap().contains(MARKER));
    assert!(!daemon.log().contains(MARKER), "{}", daemon.log());
    world.cancel(cut).await;
    world.ended(cut).await;

    // A real one, that warns of a table by name.
    fake.become_(b"", Then::Exec(world.cluster.bin("pg_dump")));
    let without = |table: &str| {
        let spec = BackupSpec {
            exclude_table_data: vec![format!("{MARKER}_{table}")],
            ..BackupSpec::default()
        };
        BackupRequest::new("shop").spec(spec)
    };
    let first = world.enqueue_request(without("b")).await;
    world.succeeded(first).await;
    let second = world.enqueue_request(without("b")).await;
    world.succeeded(second).await;
    // keep_last counts without an identity: the same filters push the first out, others do not.
    let third = world.enqueue_request(without("a")).await;
    world.succeeded(third).await;
    eventually("the rules are applied", SOON, async || {
        (applied(&daemon) == 3).then_some(())
    })
    .await;
    let mut kept: Vec<Uuid> = world
        .backups()
        .iter()
        .map(|path| world.manifest(path).backup_id)
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [second.min(third), second.max(third)]);
    // All that the daemon wrote of the job, and the storage; the spec alone is the producer's own.
    let row = sqlx::query(
        "SELECT (to_jsonb(j) - 'spec')::text || coalesce((SELECT jsonb_agg(a)::text FROM pgdumpd.backup_attempts AS a WHERE a.job_id = j.id), '') AS all,
                j.warnings_total
         FROM pgdumpd.backup_jobs AS j WHERE id = $1",
    )
    .bind(second)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let text: String = row.get("all");
    assert!(!text.contains(MARKER), "{text}");
    assert!(row.get::<i32, _>("warnings_total") > 0);
    assert_eq!(marked(&[world.storage()]), Vec::<PathBuf>::new());
    daemon.stop().await;

    let id = second.to_string();
    let said = world.say(&["show", &id]).code(0);
    assert!(
        !said.out.contains(MARKER) && said.out.contains("are sealed"),
        "{}",
        said.out
    );
    world.say(&["verify", &id]).code(7);
    let said = world.say(&["show", &id, "--identity", &own.file]).code(0);
    assert!(
        said.out.contains(&format!("{MARKER}_a is odd"))
            && said.out.contains(&format!("public.{MARKER}_a  ")),
        "{}",
        said.out
    );
    world.say(&["verify", &id, "--identity", &own.file]).code(0);
    let listed = world.say(&["list", "--storage", "local"]).code(0);
    assert!(listed.out.contains(&id));
    // The sealed part opens with the standard tools.
    let backups = world.backups();
    let archive = backups
        .iter()
        .find(|path| path.to_string_lossy().contains(&id))
        .unwrap();
    let sealed = serde_json::to_value(world.manifest(archive)).unwrap();
    let sealed = sealed["sealed"].as_str().unwrap().to_owned();
    let file = world.dir.path().join("sealed.age");
    std::fs::write(&file, sealed).unwrap();
    let opened = Command::new("age")
        .args(["-d", "-i", &own.file])
        .arg(&file)
        .output()
        .unwrap();
    let opened: serde_json::Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert_eq!(opened["backup_id"], id);
    assert_eq!(
        opened["spec"]["exclude_table_data"][0],
        format!("{MARKER}_b")
    );
    assert!(opened["index"]["entries"].as_array().unwrap().len() > 3);
}

#[tokio::test]
async fn roles_beside_an_encrypted_archive_are_encrypted_too_and_fsck_knows_both() {
    let (mut world, own) = encrypting().await;
    world.set("targets.shop", "globals", quoted("with-passwords"));
    let role = world.cluster.role("").await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    let id = id.to_string();
    let globals = world.manifest(&world.backups()[0]).globals.unwrap();
    assert!(globals.key.ends_with(".globals.sql.age"), "{}", globals.key);
    let file = world.storage().join(&globals.key);
    let opened = Command::new("age")
        .args(["-d", "-i", &own.file])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(opened.stdout).unwrap();
    assert!(
        text.contains(&role.name) && text.contains("SCRAM-SHA-256$"),
        "{text}"
    );
    let stored = std::fs::read(&file).unwrap();
    assert!(
        !stored
            .windows(role.name.len())
            .any(|bytes| bytes == role.name.as_bytes())
    );

    let to = world.dir.path().join("roles.sql").display().to_string();
    let said = world.say(&["fetch", &id, "--globals", "-o", &to]).code(1);
    assert!(said.err.contains("--identity FILE"), "{}", said.err);
    world
        .say(&["fetch", &id, "--globals", "-o", &to, "-i", &own.file])
        .code(0);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), text);
    let said = world.say(&["verify", &id, "-i", &own.file]).code(0);
    assert!(
        said.out.contains("roles and tablespaces are good"),
        "{}",
        said.out
    );
    world.say(&["verify", &id]).code(7);
    world.say(&["fsck"]).code(0);
    world.say(&["delete", &id, "--yes"]).code(0);
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn an_encrypted_backup_is_adopted_by_a_daemon_that_cannot_read_it() {
    let (mut world, own) = encrypting().await;
    world.set("targets.shop", "manifest", quoted("sealed"));
    fill(&world.shop, 1).await;
    let (id, _killed) = world.killed_before_its_row_ends().await;
    let finished = world.backups();
    let daemon = world.daemon().await;
    let status = world.succeeded(id).await;
    daemon.stop().await;
    assert_eq!(world.backups(), finished);
    assert!(status.message.unwrap().contains("stored and proved"));
    world
        .say(&["verify", &id.to_string(), "-i", &own.file])
        .code(0);
}

#[tokio::test]
async fn the_warnings_of_a_sealed_backup_are_counted_and_said_to_be_in_its_manifest() {
    let (mut world, _own) = encrypting().await;
    world.set("targets.shop", "manifest", quoted("sealed"));
    world.shop.execute("CREATE TABLE t ()").await;
    let _daemon = world.daemon().await;
    let arguments = [
        "enqueue",
        "shop",
        "--wait",
        "--exclude-table",
        "public.nosuch",
    ];
    let said = world.say(&arguments).code(0);
    assert!(
        said.out.contains("1 warning in the manifest alone") && !said.out.contains("nosuch"),
        "{}",
        said.out
    );
}
