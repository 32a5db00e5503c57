//! Encrypted archives: made by the pipeline, read again whole and in part, damaged.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use pgdump_archive::{Codec, Index, Recompression, TableName};
use pgdumpd::encryption::{Identities, ManifestForm, Recipients};
use pgdumpd::pipeline::{Mode, Options, Outcome, Streamed};
use pgdumpd::readback::{self, Stored};
use pgdumpd::store::{ArchiveState, Counts, ObjectKey, Storage};
use pgdumpd_testkit::{cluster, fill};
use uuid::Uuid;

use crate::counting::Counting;
use crate::stream::{Kept, Pieces, Then, run_through};
use crate::support::{IDENTITY, RECIPIENT, count, local, manifest_of, new_key, sha256, store};

/// Somebody else's.
const OTHER_IDENTITY: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

fn recipients() -> Recipients {
    Recipients::parse(&[RECIPIENT]).unwrap()
}

fn identities(text: &str) -> Arc<Identities> {
    Arc::new(Identities::parse(text).unwrap())
}

async fn streamed(content: &[u8], mode: Mode, encrypt_to: Option<Recipients>) -> (Streamed, Bytes) {
    let mut source = Pieces::new(content.to_vec(), 300_001, Then::End);
    let mut sink = Kept::default();
    let how = Options { mode, encrypt_to };
    match run_through(&mut source, &mut sink, how).await {
        Ok(Outcome::Streamed(streamed)) => (streamed, sink.bytes.into()),
        other => panic!("{other:?}"),
    }
}

fn recompressed() -> Mode {
    let codec = Codec::zstd(1).unwrap();
    Mode::Recompress(Recompression::new(codec).with_raise_version(true))
}

/// What pg_dump writes of a database with tables of many shapes, without compression.
async fn dump(megabytes: u32) -> Vec<u8> {
    let cluster = cluster().await;
    let database = cluster.database().await;
    fill(&database, megabytes).await;
    let output = Command::new(cluster.bin("pg_dump"))
        .args([
            "--format=custom",
            "--compress=0",
            "--dbname",
            &database.url(),
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn what_is_encrypted_in_each_mode_decrypts_to_what_would_have_been_stored() {
    let content =
        crate::archive::archive(&[("orders", 3000, 200), ("empty", 0, 0), ("lines", 5, 7)]);
    let unread = || Mode::Unread {
        reason: "of an unknown kind".into(),
    };
    for mode in [Mode::Read, recompressed(), unread()] {
        let (plain, archive) = streamed(&content, mode.clone(), None).await;
        let (secret, stored) = streamed(&content, mode.clone(), Some(recipients())).await;
        let opened = identities(IDENTITY).decrypt("it", &stored).unwrap();
        assert!(opened == archive, "{mode:?}");
        assert_eq!(secret.size(), stored.len() as u64);
        assert_eq!(secret.sha256(), sha256(&stored));
        assert_eq!(secret.archive_bytes(), plain.size());
        assert_eq!(plain.archive_bytes(), plain.size());
        assert_eq!(secret.dump_bytes(), content.len() as u64);
        assert_eq!(secret.index(), plain.index());
        // Each has a key of its own.
        let (again, _) = streamed(&content, mode, Some(recipients())).await;
        assert_ne!(again.sha256(), secret.sha256());
    }
}

#[tokio::test]
async fn an_archive_that_is_cut_has_no_end_when_it_is_encrypted_either() {
    let whole = crate::archive::archive(&[("orders", 3, 40)]);
    for mode in [Mode::Read, recompressed()] {
        for length in 0..whole.len() {
            let mut source = Pieces::new(whole[..length].to_vec(), 64, Then::End);
            let how = Options {
                mode: mode.clone(),
                encrypt_to: Some(recipients()),
            };
            let outcome = run_through(&mut source, &mut Kept::default(), how).await;
            assert_eq!(
                outcome.unwrap_err().code().as_str(),
                "archive_incomplete",
                "{length}"
            );
        }
    }
}

/// An encrypted backup of some tables.
struct Backup {
    storage: Storage,
    key: ObjectKey,
    /// As it would have been stored without encryption.
    archive: Bytes,
    index: Arc<Index>,
}

async fn back_up(storage: Storage, dump: &[u8], form: ManifestForm) -> Backup {
    let (_, archive) = streamed(dump, recompressed(), None).await;
    let (streamed, content) = streamed(dump, recompressed(), Some(recipients())).await;
    let index = streamed.index().unwrap().clone();
    let key = new_key().encrypted();
    store(&storage, &key, &content).await;
    let mut manifest = manifest_of(&key, &content);
    manifest.archive.state = ArchiveState::Proved;
    manifest.archive.size_bytes = Some(streamed.archive_bytes());
    manifest.encryption.as_mut().unwrap().manifest = form;
    count(&mut manifest, &index);
    storage
        .write_manifest(&manifest, Some(&index))
        .await
        .unwrap();
    Backup {
        storage,
        key,
        archive,
        index,
    }
}

impl Backup {
    async fn locked(&self) -> Stored {
        Stored::open(self.storage.clone(), &self.key)
            .await
            .unwrap()
            .unwrap()
    }

    async fn opened(&self) -> Stored {
        let mut stored = self.locked().await;
        stored.unlock(identities(IDENTITY)).unwrap();
        stored
    }

    /// Puts other bytes in the object's place; the manifest stays as it is.
    async fn replace(&self, content: impl Into<Bytes>) {
        store(&self.storage, &self.key, &content.into()).await;
    }

    fn tables(&self) -> Vec<TableName> {
        let tables = self
            .index
            .entries
            .iter()
            .filter(|entry| entry.rows.is_some());
        tables
            .map(|entry| TableName::new(entry.schema.as_deref().unwrap(), &entry.name))
            .collect()
    }
}

fn memory() -> (Storage, Arc<Counting>) {
    let counting = Counting::new();
    let storage = Storage::over("memory", Uuid::new_v4(), Arc::clone(&counting));
    (storage, counting)
}

async fn directory() -> (Storage, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = local(folder.path().join("backups"));
    (Storage::open("local", &config).await.unwrap(), folder)
}

#[tokio::test]
async fn single_tables_are_read_with_little_more_than_their_own_chunks() {
    let dump = dump(12).await;
    let (memory, counting) = memory();
    let (local, _folder) = directory().await;
    for storage in [memory, local] {
        let in_memory = storage.name() == "memory";
        let backup = back_up(storage, &dump, ManifestForm::Clear).await;
        let stored = backup.opened().await;
        assert!(backup.archive.len() > 2_000_000, "{}", backup.archive.len());
        let folder = tempfile::tempdir().unwrap();
        for (at, table) in backup.tables().into_iter().enumerate() {
            let to = folder.path().join(at.to_string());
            counting.take();
            let fetched = readback::fetch_tables(&stored, std::slice::from_ref(&table), &to)
                .await
                .unwrap();
            let blocks: Vec<_> = backup
                .index
                .entries
                .iter()
                .filter(|entry| {
                    fetched.tables.iter().any(|(name, _)| {
                        *name
                            == TableName::new(
                                entry.schema.as_deref().unwrap_or_default(),
                                &entry.name,
                            )
                            .to_string()
                    })
                })
                .collect();
            let needed: u64 = blocks.iter().map(|entry| entry.block_bytes).sum();
            // A chunk more at each end, their tags, and the encryption's header.
            let parts = 1 + blocks.len() as u64;
            let most =
                (backup.index.head_bytes + needed) * 65_552 / 65_536 + parts * 2 * 65_552 + 5_000;
            assert!(
                fetched.read_bytes <= most,
                "{table}: {} of {most}",
                fetched.read_bytes
            );
            assert!(fetched.read_bytes >= needed);
            if in_memory {
                let (bytes, requests) = counting.take();
                assert_eq!(bytes, fetched.read_bytes, "{table}");
                // The header, the table of contents, and one for each block.
                assert_eq!(requests, 1 + parts, "{table}");
            }
            let file = std::fs::read(&to).unwrap();
            for entry in blocks {
                let range = entry.range().unwrap();
                let block = &backup.archive
                    [usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                assert!(
                    file.windows(block.len()).any(|there| there == block),
                    "{table}"
                );
            }
        }
    }
}

#[tokio::test]
async fn blocks_on_the_borders_of_chunks_and_beside_them_are_read_in_one_request_each() {
    const CHUNK: usize = 65_536;
    // What a block of one row has beside its row.
    const FRAME: usize = 26;
    let named = |sizes: &[usize]| -> Vec<u8> {
        let names: Vec<String> = (0..sizes.len()).map(|at| format!("t{at:02}")).collect();
        let tables: Vec<_> = names
            .iter()
            .zip(sizes)
            .map(|(name, size)| (name.as_str(), 1, *size))
            .collect();
        crate::archive::archive(&tables)
    };
    let mut sizes = [
        FRAME,
        CHUNK,
        CHUNK - 1,
        2 * CHUNK + 1,
        CHUNK + 1,
        CHUNK - 1,
        30,
        3 * CHUNK - 30,
        CHUNK,
    ]
    .map(|block| block - FRAME);
    let head = named(&sizes).len() - sizes.iter().map(|size| size + FRAME).sum::<usize>();
    sizes[0] = CHUNK - head - FRAME;
    let content = named(&sizes);
    let (storage, counting) = memory();
    let (streamed, stored) = streamed(&content, Mode::Read, Some(recipients())).await;
    let index = streamed.index().unwrap().clone();
    let starts: Vec<u64> = index
        .entries
        .iter()
        .map(|entry| entry.offset_bytes % CHUNK as u64)
        .collect();
    for place in [0, 1, CHUNK as u64 - 1] {
        assert!(starts.contains(&place), "{starts:?}");
    }
    let key = new_key().encrypted();
    store(&storage, &key, &stored).await;
    let mut manifest = manifest_of(&key, &stored);
    manifest.archive.state = ArchiveState::Proved;
    manifest.archive.compression = "none".into();
    manifest.archive.size_bytes = Some(content.len() as u64);
    count(&mut manifest, &index);
    storage
        .write_manifest(&manifest, Some(&index))
        .await
        .unwrap();
    let mut opened = Stored::open(storage.clone(), &key).await.unwrap().unwrap();
    opened.unlock(identities(IDENTITY)).unwrap();

    // A damaged first chunk sends `verify` to every block by itself.
    let mut damaged = stored.to_vec();
    damaged[stored.len() - content.len() - content.len().div_ceil(CHUNK) * 16 + 5] ^= 1;
    store(&storage, &key, &damaged.into()).await;
    counting.take();
    let verdict = readback::verify(&opened).await.unwrap();
    let hit: Vec<_> = verdict
        .damaged
        .iter()
        .map(|damage| damage.table.as_deref())
        .collect();
    assert_eq!(hit, [None, Some("app.t00")], "{verdict:?}");
    assert_eq!(verdict.good, Some(sizes.len() - 1));
    // The encryption's header and the whole; the header again, the head, and each block.
    let (_, requests) = counting.take();
    assert_eq!(requests, 4 + sizes.len() as u64);
}

#[tokio::test]
async fn without_an_identity_the_stored_bytes_are_checked_and_nothing_is_fetched_but_they() {
    let (storage, _) = memory();
    let backup = back_up(storage, &dump(1).await, ManifestForm::Clear).await;
    let stored = backup.locked().await;
    let verdict = readback::verify(&stored).await.unwrap();
    assert!(stored.matches(&verdict) && verdict.unopened && verdict.good.is_none());
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x");
    let fault = readback::fetch_whole(&stored, &to).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "identity_needed");
    let fault = readback::fetch_tables(&stored, &backup.tables()[..1], &to)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "identity_needed");
    assert!(!to.exists());
    readback::fetch_as_it_lies(&stored, &to).await.unwrap();
    let file = std::fs::read(&to).unwrap();
    assert!(identities(IDENTITY).decrypt("it", &file).unwrap() == backup.archive);
    // A changed byte is seen without an identity, too.
    let mut changed = file;
    changed[70_000] ^= 1;
    backup.replace(changed).await;
    let verdict = readback::verify(&stored).await.unwrap();
    assert!(!stored.matches(&verdict));
    let again = folder.path().join("again");
    readback::fetch_as_it_lies(&stored, &again).await.unwrap();
    assert!(!again.exists());
}

#[tokio::test]
async fn a_wrong_identity_a_cut_and_a_flipped_bit_are_each_refused_with_their_own_words() {
    let (storage, _) = memory();
    let backup = back_up(storage, &dump(3).await, ManifestForm::Clear).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    readback::fetch_as_it_lies(&backup.locked().await, &whole)
        .await
        .unwrap();
    let content = std::fs::read(&whole).unwrap();
    let to = folder.path().join("x");

    let mut wrong = backup.locked().await;
    wrong.unlock(identities(OTHER_IDENTITY)).unwrap();
    for fault in [
        readback::verify(&wrong).await.unwrap_err(),
        readback::fetch_whole(&wrong, &to).await.unwrap_err(),
        readback::fetch_tables(&wrong, &backup.tables()[..1], &to)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(fault.code().as_str(), "identity_mismatch");
        assert!(fault.advice().unwrap().contains("age-keygen -y"));
    }

    let stored = backup.opened().await;
    let good = readback::verify(&stored).await.unwrap();
    assert!(stored.matches(&good) && !good.unopened, "{good:?}");
    assert_eq!(good.good, Some(backup.index.entries.len()));

    // The table whose block is hit, and no other, is damaged; it alone does not come back.
    let largest = backup
        .index
        .entries
        .iter()
        .max_by_key(|entry| entry.block_bytes)
        .unwrap();
    let payload = content.len() - backup.archive.len() - backup.archive.len().div_ceil(65_536) * 16;
    let at = usize::try_from(largest.offset_bytes + largest.block_bytes / 2).unwrap();
    let mut flipped = content.clone();
    flipped[payload + at / 65_536 * 65_552 + at % 65_536] ^= 1;
    backup.replace(flipped).await;
    let verdict = readback::verify(&stored).await.unwrap();
    assert!(!stored.matches(&verdict));
    let [damage] = &verdict.damaged[..] else {
        panic!("{verdict:?}");
    };
    assert!(
        damage.table.as_ref().unwrap().contains(&largest.name),
        "{damage:?}"
    );
    assert!(damage.what.contains("cannot be decrypted"), "{damage:?}");
    let name = |entry: &pgdump_archive::IndexEntry| {
        TableName::new(entry.schema.as_deref().unwrap(), &entry.name)
    };
    let fault = readback::fetch_tables(&stored, &[name(largest)], &to)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "archive_damaged");
    assert!(fault.to_string().contains(&largest.name), "{fault}");
    assert!(!to.exists());
    let verdict = readback::fetch_whole(&stored, &to).await.unwrap().verdict;
    assert!(!stored.matches(&verdict) && !to.exists());

    // In the header: with the right identity this is damage, and not a wrong identity.
    for at in [5, 60, payload - 30] {
        let mut flipped = content.clone();
        flipped[at] ^= 1;
        backup.replace(flipped).await;
        let verdict = readback::verify(&stored).await.unwrap();
        assert_eq!(verdict.good, Some(0), "{at}: {verdict:?}");
        assert!(
            verdict.damaged[0].what.contains("header"),
            "{at}: {verdict:?}"
        );
        let fault = readback::fetch_tables(&stored, &backup.tables()[..1], &to)
            .await
            .unwrap_err();
        assert_eq!(fault.code().as_str(), "archive_damaged", "{at}");
    }

    // Cut on the border of a chunk, and in one.
    for length in [payload + 10 * 65_552, payload + 10 * 65_552 + 1000, 20] {
        backup.replace(content[..length].to_vec()).await;
        let verdict = readback::verify(&stored).await.unwrap();
        assert_eq!(verdict.size_bytes, length as u64);
        let last = verdict.damaged.last().unwrap();
        assert!(last.what.contains("is cut off"), "{length}: {verdict:?}");
        assert!(!stored.matches(&verdict));
    }
}

#[tokio::test]
async fn a_sealed_manifest_says_nothing_of_what_is_inside_until_it_is_opened() {
    let (storage, _) = memory();
    let backup = back_up(storage.clone(), &dump(1).await, ManifestForm::Sealed).await;
    let text = storage.read_manifest(&backup.key).await.unwrap().unwrap();
    let text = serde_json::to_string(&text).unwrap();
    // Tables, filters, arguments and warnings of the manifest that the test wrote.
    let mut words: Vec<&str> = backup
        .index
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    words.retain(|name| name.len() > 3);
    words.extend(["app.orders", "scratch", "--format=custom", "something"]);
    for word in words {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let stored = backup.locked().await;
    assert_eq!(stored.index, None);
    let told = &stored.manifest;
    assert_eq!(
        (
            told.archive.rows,
            told.archive.tables,
            told.archive.raw_bytes
        ),
        (None, None, None)
    );
    assert_eq!((told.warnings_total, told.partial), (1, true));
    assert_eq!(told.label.as_deref(), Some("before 4.2"));
    // What stands outside is enough to adopt and to check it.
    let found = storage
        .find_backup(&backup.key, crate::support::TIMEOUT)
        .await
        .unwrap();
    assert_eq!(found.as_ref(), Some(told));

    let opened = backup.opened().await;
    assert_eq!(opened.index.as_ref(), Some(&*backup.index));
    assert_eq!(opened.manifest.spec.tables, ["app.orders"]);
    assert_eq!(opened.manifest.pg_dump.arguments, ["--format=custom"]);
    assert_eq!(opened.manifest.archive.rows, Counts::of(&backup.index).rows);
    assert_eq!(opened.manifest.warnings.len(), 1);
    let verdict = readback::verify(&opened).await.unwrap();
    assert_eq!(verdict.good, Some(backup.index.entries.len()));

    let fault = backup
        .locked()
        .await
        .unlock(identities(OTHER_IDENTITY))
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "identity_mismatch");
    let mut other = told.clone();
    other.backup_id = Uuid::new_v4();
    let mut older = told.clone();
    older.object.sha256 = sha256(b"an older backup of the same job");
    for mut other in [other, older] {
        let fault = other.unseal(&identities(IDENTITY)).unwrap_err();
        assert_eq!(fault.code().as_str(), "manifest_invalid");
        assert!(fault.to_string().contains("another backup"));
    }

    // Written again, opened or not, it tells as little and keeps its sealed part; a listed one has none to keep.
    for again in [opened.manifest.clone(), told.clone()] {
        storage.write_manifest(&again, None).await.unwrap();
        assert_eq!(
            storage.read_manifest(&backup.key).await.unwrap().as_ref(),
            Some(told)
        );
    }
    let listed = storage.list().await.unwrap().remove(0).manifest.unwrap();
    let fault = storage.write_manifest(&listed, None).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "manifest_invalid");
}
