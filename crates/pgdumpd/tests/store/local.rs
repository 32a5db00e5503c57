//! What only a storage in a local directory must do: private, durable, alone, and full with dignity.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pgdumpd::config::{PlaceConfig, StorageConfig};
use pgdumpd::finding::Severity;
use pgdumpd::store::{ObjectKey, Storage};
use pgdumpd_testkit::HungMount;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{TIMEOUT, back_up, content, local, manifest_of, new_key, store};

struct Directory {
    _keep: TempDir,
    root: PathBuf,
}

/// A directory's configuration that leaves so many bytes free.
fn leaving(directory: &Directory, min_free: u64) -> StorageConfig {
    let path = directory.root.clone();
    StorageConfig {
        place: PlaceConfig::Local { path, min_free },
        storage_id: None,
    }
}

impl Directory {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let root = keep.path().join("var/backups");
        Self { _keep: keep, root }
    }

    fn config(&self) -> StorageConfig {
        local(self.root.clone())
    }

    async fn open(&self) -> Storage {
        Storage::open("local", &self.config()).await.unwrap()
    }

    /// Every file and directory below the root.
    fn everything(&self) -> Vec<PathBuf> {
        fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                }
                found.push(path);
            }
        }
        let mut found = Vec::new();
        walk(&self.root, &mut found);
        found.sort();
        found
    }

    fn files(&self) -> Vec<String> {
        let marker = self.root.join("pgdumpd-storage.json");
        let files = self
            .everything()
            .into_iter()
            .filter(|path| path.is_file() && *path != marker);
        files
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_directories_are_private_whatever_the_umask() {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let directory = Directory::new();
    let storage = directory.open().await;
    back_up(&storage, &content(1000)).await;
    let mut open = storage.begin(&new_key(), None).await.unwrap();
    open.write(content(1000)).await.unwrap();
    rustix::process::umask(umask);
    let mut seen = [0, 0];
    for path in directory.everything().iter().chain([&directory.root]) {
        let mode = fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
        seen[usize::from(path.is_dir())] += 1;
    }
    // Marker, archive, manifest and a temporary file at least; root, queue, target, year, month, job.
    assert!(seen[0] >= 4 && seen[1] >= 6, "{seen:?}");
    open.abort().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_open_one_directory_at_once_end_with_one_id() {
    for _ in 0..20 {
        let directory = Directory::new();
        let config = directory.config();
        let opened = (0..8).map(|_| {
            let config = config.clone();
            // Each begins to use it at once, so that the directory is not empty any more.
            tokio::spawn(async move {
                let storage = Storage::open("local", &config).await.unwrap();
                back_up(&storage, &content(10)).await;
                storage.id()
            })
        });
        let ids = futures_util::future::join_all(opened).await;
        let again = directory.open().await.id();
        assert!(
            ids.iter().all(|id| *id.as_ref().unwrap() == again),
            "{ids:?}"
        );
        assert_eq!(directory.files().len(), 16);
    }
}

#[tokio::test]
async fn a_directory_with_other_things_in_it_is_refused_and_left_alone() {
    let directory = Directory::new();
    fs::create_dir_all(&directory.root).unwrap();
    fs::create_dir(directory.root.join("lost+found")).unwrap();
    directory.open().await;
    fs::remove_file(directory.root.join("pgdumpd-storage.json")).unwrap();
    fs::write(directory.root.join("thesis.txt"), "").unwrap();
    let fault = Storage::open("local", &directory.config())
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_foreign");
    assert!(fault.to_string().contains("thesis.txt"), "{fault}");
    assert!(fault.advice().unwrap().contains("storage_id"));
    assert_eq!(directory.files().len(), 1);
}

#[tokio::test]
async fn a_marker_that_cannot_be_used_is_reported() {
    let directory = Directory::new();
    let id = directory.open().await.id();
    let marker = directory.root.join("pgdumpd-storage.json");
    let good = fs::read_to_string(&marker).unwrap();
    assert!(good.contains(&id.to_string()));
    for (text, code) in [
        ("", "storage_marker_invalid"),
        ("{\"format\": 1}", "storage_marker_invalid"),
        (&good.replace(": 1", ": 2"), "storage_newer"),
    ] {
        fs::write(&marker, text).unwrap();
        let fault = Storage::open("local", &directory.config())
            .await
            .unwrap_err();
        assert_eq!(fault.code().as_str(), code, "{text}");
        assert!(!fault.is_transient());
    }
}

#[tokio::test]
async fn a_root_below_a_file_is_refused_with_a_hint() {
    let directory = Directory::new();
    fs::write(
        directory
            .root
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("var"),
        "",
    )
    .unwrap();
    let fault = Storage::open("local", &directory.config())
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_missing");
    assert!(fault.advice().unwrap().contains("not a directory"));
}

#[tokio::test]
async fn what_may_not_be_written_is_reported_with_the_user_and_the_path() {
    if rustix::process::geteuid().is_root() {
        // To root nothing is forbidden; `script/test` runs as an ordinary user too.
        return;
    }
    let directory = Directory::new();
    let storage = directory.open().await;
    fs::set_permissions(&directory.root, Permissions::from_mode(0o500)).unwrap();
    let fault = storage.begin(&new_key(), None).await.unwrap_err();
    let findings = storage.probe().await;
    fs::set_permissions(&directory.root, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fault.code().as_str(), "storage_denied");
    assert!(!fault.is_transient());
    let uid = rustix::process::geteuid().as_raw().to_string();
    assert!(fault.advice().unwrap().contains(&uid));
    assert_eq!(findings[0].severity, Severity::Error);
}

#[tokio::test]
async fn a_root_that_others_can_write_is_warned_of() {
    let directory = Directory::new();
    let storage = directory.open().await;
    for (mode, word) in [(0o777, "written by others"), (0o755, "listed by others")] {
        fs::set_permissions(&directory.root, Permissions::from_mode(mode)).unwrap();
        let findings = storage.probe().await;
        let warning = findings
            .iter()
            .find(|f| f.severity == Severity::Warning)
            .unwrap();
        assert!(warning.what.contains(word), "{warning:?}");
        assert!(warning.hint.as_ref().unwrap().contains("chmod 700"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_half_written_is_under_a_final_name() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let key = new_key();
    let mut upload = storage.begin(&key, None).await.unwrap();
    for _ in 0..100 {
        upload.write(content(100_000)).await.unwrap();
    }
    assert!(!directory.root.join(key.as_str()).exists());
    assert!(
        directory.files()[0].ends_with(".dump#1"),
        "{:?}",
        directory.files()
    );
    upload.commit().await.unwrap();
    assert_eq!(
        fs::metadata(directory.root.join(key.as_str()))
            .unwrap()
            .len(),
        10_000_000
    );
    assert_eq!(directory.files().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_not_even_its_directory() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let key = new_key();
    let mut upload = storage.begin(&key, None).await.unwrap();
    upload.write(content(1_000_000)).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(directory.files(), Vec::<String>::new());
    let job = directory.root.join(key.as_str());
    assert!(!job.parent().unwrap().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_left_is_removed_and_its_neighbours_are_not() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let backup = back_up(&storage, &content(1000)).await;
    let key = new_key();
    let archive = directory.root.join(key.as_str());
    let beside = archive.with_file_name("another-attempt.dump");
    store(&storage, &key, &content(1000)).await;
    for left in ["#1", "#2", "#17", ".manifest.json#1"] {
        fs::write(format!("{}{left}", archive.display()), "left").unwrap();
    }
    fs::write(&beside, "kept").unwrap();
    storage.remove_partial(&key, None).await.unwrap();
    assert!(beside.exists());
    fs::remove_file(&beside).unwrap();
    assert_eq!(directory.files().len(), 2, "{:?}", directory.files());
    assert_eq!(
        storage
            .find_backup(&backup.object.key, TIMEOUT)
            .await
            .unwrap(),
        Some(backup)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_whose_partial_was_removed_cannot_commit() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let key = new_key();
    let mut zombie = storage.begin(&key, None).await.unwrap();
    zombie.write(content(1_000_000)).await.unwrap();
    storage.remove_partial(&key, None).await.unwrap();
    let fault = zombie.commit().await.unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_missing");
    assert_eq!(directory.files(), Vec::<String>::new());

    // Or it had committed already, and comes with its manifest.
    store(&storage, &key, &content(1000)).await;
    storage.remove_partial(&key, None).await.unwrap();
    let manifest = manifest_of(&key, &content(1000));
    assert_eq!(
        storage
            .write_manifest(&manifest, None)
            .await
            .unwrap_err()
            .code()
            .as_str(),
        "object_missing"
    );
    assert_eq!(directory.files(), Vec::<String>::new());
}

/// Whoever comes first, in the end there is a backup or there is nothing, never half of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombies_manifest_and_a_clean_up_at_once_leave_all_or_nothing() {
    let directory = Directory::new();
    let storage = directory.open().await;
    for _ in 0..300 {
        let key = new_key();
        store(&storage, &key, &content(10)).await;
        let manifest = manifest_of(&key, &content(10));
        let zombie = tokio::spawn({
            let storage = storage.clone();
            async move { storage.write_manifest(&manifest, None).await }
        });
        let cleaner = tokio::spawn({
            let (storage, key) = (storage.clone(), key.clone());
            async move { storage.remove_partial(&key, None).await }
        });
        let _ = zombie.await.unwrap();
        cleaner.await.unwrap().unwrap();
        let left = directory.files();
        assert!(left.is_empty() || left.len() == 2, "{left:?}");
        storage.delete_backup(&key).await.unwrap();
    }
}

#[tokio::test]
async fn room_is_asked_for_before_a_dump() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let free = storage.free_space().await.unwrap();
    storage.ensure_room(0).await.unwrap();
    storage.ensure_room(free / 2).await.unwrap();
    let fault = storage
        .ensure_room(free.saturating_mul(2))
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_full");
    assert!(fault.is_transient());
    let strict = leaving(&directory, free.saturating_mul(2));
    let strict = Storage::open("strict", &strict).await.unwrap();
    assert_eq!(
        strict.ensure_room(0).await.unwrap_err().code().as_str(),
        "storage_full"
    );
    assert!(
        strict
            .probe()
            .await
            .iter()
            .any(|f| f.severity == Severity::Error)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_would_leave_too_little_free_ends_in_mid_flight() {
    let directory = Directory::new();
    directory.open().await;
    let config = leaving(&directory, u64::MAX);
    let storage = Storage::open("strict", &config).await.unwrap();
    let mut upload = storage.begin(&new_key(), None).await.unwrap();
    let part = content(1 << 20);
    let mut fault = None;
    for _ in 0..100 {
        if let Err(error) = upload.write(part.clone()).await {
            fault = Some(error);
            break;
        }
    }
    assert_eq!(
        fault.expect("100 MiB do not fit").code().as_str(),
        "storage_full"
    );
    upload.abort().await.unwrap();
    assert_eq!(directory.files(), Vec::<String>::new());
}

/// What happens to a storage's directory after it was opened.
fn goes_away(directory: &Directory, leaves_an_empty_one: bool) -> PathBuf {
    let aside = directory.root.with_file_name("aside");
    fs::rename(&directory.root, &aside).unwrap();
    if leaves_an_empty_one {
        fs::create_dir(&directory.root).unwrap();
    }
    aside
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_in_a_storage_that_goes_away_is_gone_and_not_reported_as_deleted() {
    for leaves_an_empty_one in [false, true] {
        let directory = Directory::new();
        let storage = directory.open().await;
        let backup = back_up(&storage, &content(1000)).await;
        let partial = new_key();
        store(&storage, &partial, &content(1000)).await;
        let aside = goes_away(&directory, leaves_an_empty_one);
        let fault = storage.delete_backup(&backup.object.key).await.unwrap_err();
        assert_eq!(fault.code().as_str(), "storage_missing");
        assert!(fault.is_transient());
        storage.remove_partial(&partial, None).await.unwrap();
        assert_eq!(
            storage.confirm().await.unwrap_err().code().as_str(),
            "storage_missing"
        );
        assert_eq!(directory.root.exists(), leaves_an_empty_one);
        if leaves_an_empty_one {
            fs::remove_dir(&directory.root).unwrap();
        }
        fs::rename(aside, &directory.root).unwrap();
        storage.confirm().await.unwrap();
        assert_eq!(directory.files(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_or_made_where_a_storage_has_gone() {
    for leaves_an_empty_one in [false, true] {
        let directory = Directory::new();
        let storage = directory.open().await;
        let (key, content) = (new_key(), content(1000));
        store(&storage, &key, &content).await;
        let mut upload = storage.begin(&new_key(), None).await.unwrap();
        upload.write(content.clone()).await.unwrap();
        let aside = goes_away(&directory, leaves_an_empty_one);
        let fault = storage.begin(&new_key(), None).await.unwrap_err();
        assert_eq!(fault.code().as_str(), "storage_missing");
        let manifest = manifest_of(&key, &content);
        let fault = storage.write_manifest(&manifest, None).await.unwrap_err();
        assert_eq!(fault.code().as_str(), "storage_missing");
        // What had begun goes on where it began.
        let stored = upload.commit().await.unwrap();
        assert!(aside.join(stored.key.as_str()).exists());
        assert_eq!(directory.root.exists(), leaves_an_empty_one);
        if leaves_an_empty_one {
            assert_eq!(fs::read_dir(&directory.root).unwrap().count(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_passes_over_what_is_not_ours_and_fails_where_it_may_miss_a_backup() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let backup = back_up(&storage, &content(1000)).await;
    let key = &backup.object.key;
    let root = &directory.root;
    for name in [&b"not-utf-8-\xff"[..], b"new\nline", b".keep"] {
        fs::write(root.join(OsStr::from_bytes(name)), "").unwrap();
    }
    fs::create_dir_all(root.join("notes/2026")).unwrap();
    fs::write(root.join("notes/2026/thesis.txt"), "").unwrap();
    // A copy of everything, such as an older state of the file system.
    let queue = root.join(key.as_str().split('/').next().unwrap());
    fs::create_dir(root.join(".snapshot")).unwrap();
    std::os::unix::fs::symlink(&queue, root.join(".snapshot/old")).unwrap();
    std::os::unix::fs::symlink(root, root.join("notes/round")).unwrap();
    let closed = [root.join("lost+found"), root.join("other")];
    let closed = closed.map(|path| Closed::new(&path));
    std::os::unix::fs::symlink(root.join("other/x"), root.join("link")).unwrap();
    let finds_it = async || {
        let listed = storage.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key, *key);
        assert_eq!(
            storage.keys_of(backup_id(key)).await.unwrap(),
            std::slice::from_ref(key)
        );
        let all = storage.all_objects(None).await.unwrap();
        let holds = |end: &str| all.iter().filter(|found| found.key.ends_with(end)).count();
        assert_eq!(
            (holds(".manifest.json"), holds("thesis.txt")),
            (1, 1),
            "{all:#?}"
        );
    };
    finds_it().await;
    drop(closed);
    finds_it().await;
    let hidden = Closed::new(&queue.join("hidden"));
    if hidden.is_closed() {
        let fault = storage.list().await.unwrap_err();
        assert!(fault.report().contains("hidden"), "{}", fault.report());
        storage.all_objects(None).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_on_a_disk_that_is_away_is_not_reported_as_empty_nor_as_deleted() {
    let directory = Directory::new();
    let storage = directory.open().await;
    let backup = back_up(&storage, &content(1000)).await;
    let key = backup.object.key.clone();
    let parts: Vec<&str> = key.as_str().split('/').collect();
    // The queue's, the target's and the year's directory.
    for depth in 1..=3 {
        let place = directory.root.join(parts[..depth].join("/"));
        let disk = directory
            .root
            .parent()
            .unwrap()
            .join(format!("disk-{depth}"));
        fs::create_dir(&disk).unwrap();
        fs::rename(&place, disk.join("there")).unwrap();
        std::os::unix::fs::symlink(disk.join("there"), &place).unwrap();
        assert_eq!(storage.list().await.unwrap().len(), 1);
        assert!(storage.has_manifest(&key).await.unwrap());

        let away = disk.with_extension("away");
        fs::rename(&disk, &away).unwrap();
        let shown = place.display().to_string();
        for fault in [
            storage.list().await.map(drop).unwrap_err(),
            storage
                .keys_of(backup_id(&key))
                .await
                .map(drop)
                .unwrap_err(),
            storage.all_objects(None).await.map(drop).unwrap_err(),
            storage.object_size(&key).await.map(drop).unwrap_err(),
            storage.has_manifest(&key).await.map(drop).unwrap_err(),
            storage.read_manifest(&key).await.map(drop).unwrap_err(),
            storage
                .find_backup(&key, TIMEOUT)
                .await
                .map(drop)
                .unwrap_err(),
            storage.read_range(&key, 0..10).await.map(drop).unwrap_err(),
            storage.delete_backup(&key).await.map(drop).unwrap_err(),
            storage
                .remove_partial(&key, None)
                .await
                .map(drop)
                .unwrap_err(),
        ] {
            assert_ne!(
                fault.code().as_str(),
                "object_missing",
                "{}",
                fault.report()
            );
            assert!(fault.report().contains(&shown), "{}", fault.report());
        }
        fs::rename(&away, &disk).unwrap();
        assert_eq!(storage.list().await.unwrap().len(), 1);
        fs::remove_file(&place).unwrap();
        fs::rename(disk.join("there"), &place).unwrap();
    }
    // A link that is nobody's is passed over.
    std::os::unix::fs::symlink("/no/such/place", directory.root.join("link")).unwrap();
    assert_eq!(storage.list().await.unwrap().len(), 1);
    storage.delete_backup(&key).await.unwrap();
    assert_eq!(storage.list().await.unwrap().len(), 0);
}

/// The id of a key's job.
fn backup_id(key: &ObjectKey) -> Uuid {
    key.as_str().rsplit('/').nth(1).unwrap().parse().unwrap()
}

/// A directory that nobody may enter: root neither, where this user may mount.
struct Closed {
    mount: Option<HungMount>,
    path: PathBuf,
}

impl Closed {
    fn new(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        let mut mount = HungMount::over(path);
        if let Some(mount) = &mut mount {
            mount.die();
        }
        Self {
            mount,
            path: path.to_owned(),
        }
    }

    fn is_closed(&self) -> bool {
        fs::read_dir(&self.path).is_err()
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.mount = None;
        let _ = fs::set_permissions(&self.path, Permissions::from_mode(0o700));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_in_the_place_of_an_object_is_damage_and_hangs_nobody() {
    let directory = Directory::new();
    let storage = directory.open().await;
    for part in ["archive", "manifest"] {
        let backup = back_up(&storage, &content(1000)).await;
        let key = &backup.object.key;
        let path = directory.root.join(match part {
            "archive" => key.to_string(),
            _ => key.manifest(),
        });
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let looked = async {
            let found = storage.find_backup(key, TIMEOUT).await;
            let manifest = storage.read_manifest(key).await;
            let listed = storage.list().await.unwrap();
            let read = storage.read_range(key, 0..10).await.map(drop);
            (found, manifest, listed, read)
        };
        let looked = tokio::time::timeout(TIMEOUT, looked).await;
        let (found, manifest, listed, read) = looked.unwrap();
        assert_eq!(found.unwrap(), None, "{part}");
        if part == "archive" {
            let fault = read.unwrap_err();
            assert_eq!(fault.code().as_str(), "object_missing");
            assert!(fault.to_string().contains("not a regular file"), "{fault}");
        } else {
            assert_eq!(manifest.unwrap_err().code().as_str(), "manifest_invalid");
            assert!(listed.iter().any(|listed| listed.manifest.is_err()));
        }
        storage.delete_backup(key).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_file_system_keeps_for_itself_does_not_make_a_directory_somebody_elses() {
    let directory = Directory::new();
    fs::create_dir_all(&directory.root).unwrap();
    for name in ["lost+found", ".snapshot", "@eaDir", "#recycle"] {
        fs::create_dir(directory.root.join(name)).unwrap();
        fs::write(directory.root.join(name).join("x"), "x").unwrap();
    }
    fs::write(directory.root.join(".keep"), "x").unwrap();
    let open = async || Storage::open("local", &directory.config()).await;
    // Something is in it: somebody wrote it.
    assert_eq!(open().await.unwrap_err().code().as_str(), "storage_foreign");
    fs::write(directory.root.join(".keep"), "").unwrap();
    open().await.unwrap();
}
