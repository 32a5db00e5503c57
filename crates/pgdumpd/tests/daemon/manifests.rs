//! Manifests that were changed, damaged or put in another's place, as every command and the daemon meet them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pgdumpd_testkit::{contents, fill, fill_large_objects, manifest_text};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::encryption::pair;
use crate::fsck::{change_manifest, manifest_of};
use crate::harness::copies::copying;
use crate::harness::{World, quoted};

/// The secret half of the key that the older version's sealed backup is encrypted to.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// A world whose storage an older version has written: manifests of format 1, one of them sealed.
async fn older_storage() -> (World, String) {
    let world = World::new().await;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/format-1");
    let copied = Command::new("cp")
        .arg("-r")
        .args([from, world.storage()])
        .status();
    assert!(copied.unwrap().success());
    let identity = world.dir.path().join("identity");
    std::fs::write(&identity, IDENTITY).unwrap();
    (world, identity.display().to_string())
}

/// The id in an archive's key.
fn id_of(archive: &Path) -> String {
    let folder = archive.parent().unwrap().file_name().unwrap();
    folder.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn backups_of_format_1_are_listed_verified_shown_fetched_and_copied() {
    let (mut world, identity) = older_storage().await;
    let listed = world
        .say(&["list", "--storage", "local", "--json"])
        .code(0)
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    world.say(&["fsck", "--rebuild"]).code(0);
    assert!(world.fsck(&[]).code(0).json()["clean"].as_bool().unwrap());
    for archive in world.backups() {
        let id = id_of(&archive);
        for place in [&["--storage", "local"][..], &[]] {
            let more = [&["--identity", &identity], place].concat();
            let say = |arguments: &[&str]| world.say(&[arguments, &more].concat());
            let said = say(&["verify", &id]).code(0);
            assert!(said.out.contains("103 rows"), "{}", said.out);
            assert!(said.out.contains("has no checksum"), "{}", said.out);
            let shown = say(&["show", &id, "--json"]).code(0).json();
            assert_eq!(shown["format"], 1);
            assert_eq!(shown["index"]["entries"].as_array().unwrap().len(), 3);
            let to = world.dir.path().join(Uuid::new_v4().to_string());
            let text = to.display().to_string();
            say(&["fetch", &id, "-o", &text]).code(0);
            let restored = world.restore(&to).await;
            let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM shop.orders")
                .fetch_one(&mut restored.connect().await)
                .await
                .unwrap();
            assert_eq!(rows, 100);
            let table = format!("{text}.table");
            say(&["fetch", &id, "-o", &table, "--table", "shop.orders"]).code(0);
            say(&["fetch", &id, "-o", &format!("{text}.sql"), "--globals"]).code(0);
        }
    }

    world.add_storage("offsite");
    world.set("targets.shop", "storage", quoted("local"));
    world.set("targets.shop", "copies", "[\"offsite\"]");
    let daemon = world.daemon().await;
    for archive in world.backups() {
        let id = id_of(&archive);
        world.say(&["copy", &id, "--to", "offsite"]).code(0);
        world.held_by(id.parse().unwrap(), "2 of 2").await;
        let arguments = ["verify", &id, "--storage", "offsite", "-i", &identity];
        let said = world.say(&arguments).code(0);
        assert!(!said.out.contains("has no checksum"), "{}", said.out);
    }
    daemon.stop().await;
    for archive in World::backups_in(&world.place("offsite")) {
        let text = std::fs::read(manifest_of(&archive)).unwrap();
        let manifest: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(manifest["format"], 2);
    }
}

/// A backup of a database with tables and large objects.
async fn backed_up() -> (World, Uuid, PathBuf) {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    fill_large_objects(&world.shop, 2, 1000).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    daemon.stop().await;
    let archive = world.backups().remove(0);
    (world, id, archive)
}

/// The place of every leaf of a manifest in its text, with its name.
fn fields(text: &str, json: &Value) -> Vec<(String, usize)> {
    fn walk(json: &Value, above: &str, found: &mut Vec<String>) {
        match json {
            Value::Object(map) => {
                for (name, value) in map {
                    walk(value, &format!("{above}/{name}"), found);
                }
            }
            Value::Array(list) if !list.is_empty() => walk(&list[0], &format!("{above}/0"), found),
            _ => found.push(above.to_owned()),
        }
    }
    let mut pointers = Vec::new();
    walk(json, "", &mut pointers);
    let written = manifest_text(json);
    assert_eq!(text, written);
    pointers
        .into_iter()
        .map(|pointer| {
            let mark = "a-mark-that-stands-nowhere-else";
            let mut marked = json.clone();
            *marked.pointer_mut(&pointer).unwrap() = json!(mark);
            let at = match pointer.as_str() {
                "/checksum" => written.rfind(": \"").unwrap() + 5,
                // Behind the quotation mark of a text, on the first digit of a number.
                _ => {
                    let quoted = usize::from(json.pointer(&pointer).unwrap().is_string());
                    manifest_text(&marked).find(&format!("\"{mark}\"")).unwrap() + quoted
                }
            };
            (pointer, at)
        })
        .collect()
}

#[tokio::test]
async fn one_bit_in_any_field_of_a_manifest_is_found_by_every_command() {
    let (world, id, archive) = backed_up().await;
    let path = manifest_of(&archive);
    let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // In the order of `manifest_text`, so that each field's place is known.
    let text = manifest_text(&json);
    std::fs::write(&path, &text).unwrap();
    let id = id.to_string();
    world.say(&["verify", &id]).code(0);
    let to = world.dir.path().join("fetched").display().to_string();
    let fields = fields(&text, &json);
    assert!(fields.len() > 55, "{}", fields.len());
    for (number, (field, at)) in fields.into_iter().enumerate() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        // All of them read it in the same way: each field is met by two, each command by every fourth field.
        let commands = [
            &["verify", &id][..],
            &["verify", &id, "--storage", "local"],
            &["show", &id],
            &["fetch", &id, "-o", &to],
        ];
        for command in [commands[number % 4], &["list", "--storage", "local"]] {
            let said = world.say(command);
            assert!(
                said.err.contains("checksum does not fit"),
                "{field}: {command:?}: {}{}",
                said.out,
                said.err
            );
            said.code(6);
        }
        if number % 4 == 0 {
            let report = world.fsck(&[]).code(6).json();
            let finding = &report["storages"][0]["findings"][0];
            assert_eq!(finding["code"], "manifest_unreadable", "{field}");
        }
    }
    assert!(!Path::new(&to).exists());
}

/// Two backups of `shop`, the older one first, and one of `other`, each in `local` alone.
async fn three_backups() -> (World, [(Uuid, PathBuf); 3]) {
    let mut world = World::new().await;
    let url = quoted(&world.shop.url());
    world.set("targets.other", "url", url);
    world.set("targets.other", "storage", quoted("local"));
    world.set("targets.shop", "storage", quoted("local"));
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let older = world.back_up().await;
    world.shop.execute("CREATE TABLE added (id int)").await;
    let newer = world.back_up().await;
    // Archives of one second and one content are the same bytes.
    world
        .shop
        .execute("CREATE TABLE added_later (id int)")
        .await;
    let other = world
        .enqueue_request(pgdumpd_client::BackupRequest::new("other"))
        .await;
    world.succeeded(other).await;
    daemon.stop().await;
    let backups = world.backups();
    let found = [older, newer, other].map(|id| {
        let of = |path: &&PathBuf| id_of(path) == id.to_string();
        (id, backups.iter().find(of).unwrap().clone())
    });
    (world, found)
}

/// Puts one backup in another's place, and lets its manifest say whatever the key there says.
pub(crate) fn put_in_place(world: &World, from: &Path, to: &Path) {
    let own: Value = serde_json::from_slice(&std::fs::read(manifest_of(to)).unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
    std::fs::copy(manifest_of(from), manifest_of(to)).unwrap();
    let key = to.strip_prefix(world.storage()).unwrap();
    change_manifest(to, |manifest| {
        manifest["object"]["key"] = json!(key);
        for field in ["backup_id", "lease_token", "target", "globals"] {
            manifest[field] = own[field].clone();
        }
    });
}

#[tokio::test]
async fn an_older_or_another_backup_in_a_newer_ones_place_is_found_wherever_it_is_met() {
    let (mut world, [older, newer, other]) = three_backups().await;
    let to = world.dir.path().join("fetched").display().to_string();
    let id = newer.0.to_string();
    for (what, from) in [("older", &older.1), ("another target's", &other.1)] {
        put_in_place(&world, from, &newer.1);
        for command in [
            &["verify", &id][..],
            &["show", &id],
            &["fetch", &id, "-o", &to],
            &["fetch", &id, "-o", &to, "--table", "public.added"],
        ] {
            let said = world.say(command);
            assert!(
                said.err
                    .contains("is not the backup that the queue recorded"),
                "{what}: {command:?}: {}{}",
                said.out,
                said.err
            );
            said.code(6);
        }
        assert!(!Path::new(&to).exists());
        let report = world.fsck(&[]).code(6).json();
        let findings = report["storages"][0]["findings"].as_array().unwrap();
        let found: Vec<_> = findings.iter().map(|finding| &finding["code"]).collect();
        assert!(
            found.contains(&&json!("backup_differs")) || found.contains(&&json!("size_differs")),
            "{what}: {report}"
        );
        // Without the queue nothing tells it from the right one, which is said.
        let said = world.say(&["verify", &id, "--storage", "local"]).code(0);
        assert!(said.err.contains("the queue is not read"), "{}", said.err);
    }

    world.add_storage("offsite");
    world.set("targets.shop", "copies", "[\"offsite\"]");
    let daemon = world.daemon().await;
    world.say(&["copy", &id, "--to", "offsite"]).code(0);
    let copy = world.copy(newer.0).await;
    let status = world.failed(copy).await;
    assert_eq!(status.error_code.as_deref(), Some("backup_differs"));
    assert_eq!(
        World::backups_in(&world.place("offsite")),
        Vec::<PathBuf>::new()
    );
    daemon.stop().await;
}

#[tokio::test]
async fn an_object_or_a_manifest_alone_in_anothers_place_is_found() {
    let (world, [older, newer, other]) = three_backups().await;
    let id = newer.0.to_string();
    let (object, manifest) = (
        std::fs::read(&newer.1).unwrap(),
        std::fs::read(manifest_of(&newer.1)).unwrap(),
    );
    for from in [&older.1, &other.1] {
        std::fs::copy(from, &newer.1).unwrap();
        let said = world.say(&["verify", &id]).code(6);
        assert!(said.out.contains("is damaged"), "{}", said.out);
        std::fs::write(&newer.1, &object).unwrap();
        std::fs::copy(manifest_of(from), manifest_of(&newer.1)).unwrap();
        for command in [
            &["verify", &id][..],
            &["list", "--storage", "local"],
            &["fsck", "--json"],
        ] {
            let said = world.say(command).code(6);
            let text = format!("{}{}", said.out, said.err);
            assert!(text.contains("does not fit its key"), "{text}");
        }
        std::fs::write(manifest_of(&newer.1), &manifest).unwrap();
    }
    world.say(&["verify", &id]).code(0);
}

#[tokio::test]
async fn a_backup_that_another_was_put_in_the_place_of_is_not_adopted() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let older = world.back_up().await;
    daemon.stop().await;
    let (id, killed) = world.killed_before_its_row_ends().await;
    drop(killed);
    let of = |id: Uuid| {
        let mut backups = world.backups().into_iter();
        backups.find(|path| id_of(path) == id.to_string()).unwrap()
    };
    let finished = of(id);
    put_in_place(&world, &of(older), &finished);

    let rescuer = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert!(
        rescuer.log().contains("is not adopted"),
        "{}",
        rescuer.log()
    );
    rescuer.stop().await;
    // What has a manifest is a person's to remove.
    assert!(finished.exists());
    world.say(&["verify", &id.to_string()]).code(0);
}

#[tokio::test]
async fn a_copy_in_the_place_of_a_backup_is_not_adopted_by_the_backups_job() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let (id, killed) = world.killed_before_its_row_ends().await;
    drop(killed);
    let finished = world.backups().remove(0);
    change_manifest(&finished, |manifest| {
        manifest["requested_by"] = json!("somebody");
        manifest["copied"] = json!({
            "from_storage_id": Uuid::new_v4(), "job_id": Uuid::new_v4(), "copied_at": manifest["finished_at"]
        });
    });
    let rescuer = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert!(
        rescuer.log().contains("is not adopted"),
        "{}",
        rescuer.log()
    );
    rescuer.stop().await;
    assert!(finished.exists());
}

#[tokio::test]
async fn what_an_archive_says_otherwise_than_its_manifest_is_found() {
    let (world, id, archive) = backed_up().await;
    let text = std::fs::read(manifest_of(&archive)).unwrap();
    let json: Value = serde_json::from_slice(&text).unwrap();
    let id = id.to_string();
    for (field, value) in [
        ("database.name", json!("another")),
        ("database.server_version", json!("9.6")),
        ("archive.format_version", json!("1.12")),
        ("archive.entries", json!(1)),
    ] {
        change_manifest(&archive, |manifest| {
            let pointer = format!("/{}", field.replace('.', "/"));
            *manifest.pointer_mut(&pointer).unwrap() = value;
        });
        let said = world.say(&["verify", &id]).code(6);
        assert!(
            said.out.contains(&format!("differs: {field}")),
            "{}",
            said.out
        );
        // The archive is what was stored, so it can be brought back.
        let to = world.dir.path().join(field);
        let said = world
            .say(&["fetch", &id, "-o", &to.display().to_string()])
            .code(6);
        assert!(said.err.contains(field), "{}", said.err);
        assert!(to.exists());
        std::fs::write(manifest_of(&archive), &text).unwrap();
    }
    // Counts that the index contradicts: the index is damaged, or they are.
    for field in ["tables", "rows", "large_objects", "raw_bytes"] {
        change_manifest(&archive, |manifest| {
            let count = json["archive"][field].as_u64().unwrap();
            manifest["archive"][field] = json!(count + 1);
        });
        let said = world.say(&["verify", &id]).code(6);
        assert!(
            said.out.contains(&format!("does not fit archive.{field}")),
            "{}",
            said.out
        );
        world.fsck(&[]).code(6);
        std::fs::write(manifest_of(&archive), &text).unwrap();
    }
}

#[tokio::test]
async fn an_index_that_cannot_be_read_is_damage_and_the_archive_still_comes_back() {
    let (mut world, id, archive) = backed_up().await;
    let text = std::fs::read(manifest_of(&archive)).unwrap();
    let id = id.to_string();
    for (place, value) in [
        ("/index/entries/0/block_xxh3_128", json!("g".repeat(32))),
        ("/index/entries/0/offset_bytes", json!(7)),
        ("/index/entries", json!({})),
        ("/index", json!("none")),
    ] {
        for format in [1, 2] {
            change_manifest(&archive, |manifest| {
                *manifest.pointer_mut(place).unwrap() = value.clone();
                manifest["format"] = json!(format);
            });
            let said = world.say(&["verify", &id]).code(6);
            assert!(said.out.contains("damaged: the index"), "{}", said.out);
            let said = world.say(&["verify", &id, "--json"]).code(6).json();
            assert!(said["index_damage"].is_string(), "{said}");
            let said = world.say(&["show", &id]).code(6);
            assert!(said.err.contains("its index is damaged"), "{}", said.err);
            let report = world.fsck(&[]).code(6).json();
            let finding = &report["storages"][0]["findings"][0];
            assert_eq!(finding["code"], "manifest_unreadable", "{report}");

            let to = world.dir.path().join(Uuid::new_v4().to_string());
            let said = world
                .say(&["fetch", &id, "-o", &to.display().to_string()])
                .code(0);
            assert!(said.err.contains("its index is damaged"), "{}", said.err);
            let restored = world.restore(&to).await;
            assert_eq!(contents(&restored).await, contents(&world.shop).await);
            std::fs::write(manifest_of(&archive), &text).unwrap();
        }
    }

    // A copy would have no index, and so say nothing of the damage.
    change_manifest(&archive, |manifest| manifest["index"] = json!("none"));
    world.add_storage("offsite");
    world.set("targets.shop", "storage", quoted("local"));
    world.set("targets.shop", "copies", "[\"offsite\"]");
    let daemon = world.daemon().await;
    world.say(&["copy", &id, "--to", "offsite"]).code(0);
    let copy = world.copy(id.parse().unwrap()).await;
    let status = world.failed(copy).await;
    assert_eq!(status.error_code.as_deref(), Some("manifest_invalid"));
    daemon.stop().await;
}

#[tokio::test]
async fn a_damaged_manifest_in_one_storage_is_found_although_another_has_a_good_one() {
    let world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let archive = world.backups().remove(0);
    let text = std::fs::read_to_string(manifest_of(&archive)).unwrap();
    std::fs::write(
        manifest_of(&archive),
        text.replace("\"partial\": false", "\"partial\": true"),
    )
    .unwrap();
    let id = id.to_string();
    let said = world.say(&["verify", &id]).code(6);
    assert!(said.err.contains("checksum does not fit"), "{}", said.err);
    assert!(said.out.contains("is good"), "{}", said.out);
    let to = world.dir.path().join("fetched");
    world
        .say(&["fetch", &id, "-o", &to.display().to_string()])
        .code(0);
    assert!(to.exists());
}

#[tokio::test]
async fn a_backup_that_is_deleted_while_it_is_fetched_comes_from_the_next_storage() {
    let mut world = copying(&["offsite"]).await;
    let own = pair(&world, "own.key");
    let public = format!("[{}]", quoted(&own.public));
    world.set("targets.shop", "encrypt_to", public);
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let id = id.to_string();
    // The identity is asked for when the manifest has been read and before the archive is: a pipe holds the command there.
    let pipe = world.dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let identity = std::fs::read(&own.file).unwrap();
    let fetch = |to: &Path| {
        Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .arg("--config")
            .arg(world.config())
            .args(["fetch", &id, "--identity"])
            .arg(&pipe)
            .arg("-o")
            .arg(to)
            .env_remove("DATABASE_URL")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // Opening waits until the command reads.
    let answer = |deleted: &[PathBuf]| {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        for archive in deleted {
            std::fs::remove_file(manifest_of(archive)).unwrap();
            std::fs::remove_file(archive).unwrap();
        }
        pipe.write_all(&identity).unwrap();
    };
    // By then the command has read the first answer to its end.
    let reported = |fetching: &mut Child| {
        let lines = BufReader::new(fetching.stderr.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        assert!(lines.any(|line| line.contains("was deleted while it was read")));
        lines
    };
    let to = world.dir.path().join("fetched");
    let mut fetching = fetch(&to);
    answer(&world.backups());
    let rest = reported(&mut fetching);
    answer(&[]);
    let rest: Vec<String> = rest.collect();
    assert_eq!(fetching.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(to.exists());

    // As whoever deletes a backup notes it.
    world
        .sql("UPDATE pgdumpd.backup_copies SET state = 'deleted', deleted_at = now() WHERE storage = 'local'")
        .await;
    let to = world.dir.path().join("fetched-later");
    let mut fetching = fetch(&to);
    answer(&World::backups_in(&world.place("offsite")));
    let rest: Vec<String> = reported(&mut fetching).collect();
    assert_eq!(fetching.wait().unwrap().code(), Some(3), "{rest:?}");
    assert!(!to.exists());
}
