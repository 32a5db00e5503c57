//! A storage that goes away while something is done with it: what is done goes nowhere else, and what is said holds.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgdumpd_client::JobStatus;
use pgdumpd_testkit::{Needs, eventually};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::harness::copies::{copying, held, hold_publishing};
use crate::harness::{SOON, World, quoted};

/// A way for a storage to go away, after which nothing may be written under its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    /// The directory is moved away.
    Gone,
    /// An empty one lies in its place.
    Emptied,
    /// Its parent is moved away.
    WithItsParent,
    /// Another storage lies in its place.
    Replaced,
    /// Another file system is mounted over it. Needs a user that may mount.
    Covered,
    /// Its file system is unmounted lazily: what has it open can still write to it. Needs a user that may mount.
    Unmounted,
}

const EVERY_WAY: [Going; 6] = [
    Going::Gone,
    Going::Emptied,
    Going::WithItsParent,
    Going::Replaced,
    Going::Covered,
    Going::Unmounted,
];

impl Going {
    fn needs_mount(self) -> bool {
        matches!(self, Self::Covered | Self::Unmounted)
    }
}

/// A storage's path, and where the storage is while it is away.
struct Place {
    path: PathBuf,
    aside: PathBuf,
    going: Going,
    /// What lies there while it is away.
    in_its_place: RefCell<Vec<String>>,
}

impl Place {
    /// Before the storage is made. None where this user may not mount and would have to.
    fn new(world: &World, storage: &str, going: Going) -> Option<Self> {
        let place = Self {
            path: world.place("volumes").join(storage),
            aside: world.place("aside"),
            going,
            in_its_place: RefCell::default(),
        };
        std::fs::create_dir_all(&place.path).unwrap();
        if going == Going::Unmounted {
            std::fs::create_dir(&place.aside).unwrap();
        }
        if going.needs_mount() && !place.mount() {
            Needs::Mounts.missing("this user may not mount a file system");
            return None;
        }
        if going == Going::Covered {
            place.unmount();
        }
        Some(place)
    }

    fn go(&self) {
        let parent = self.path.parent().unwrap();
        match self.going {
            Going::WithItsParent => std::fs::rename(parent, &self.aside).unwrap(),
            Going::Covered => assert!(self.mount()),
            Going::Unmounted => self.unmount(),
            Going::Gone | Going::Emptied | Going::Replaced => {
                std::fs::rename(&self.path, &self.aside).unwrap();
            }
        }
        if matches!(self.going, Going::Emptied | Going::Replaced) {
            std::fs::create_dir(&self.path).unwrap();
        }
        if self.going == Going::Replaced {
            let marker = format!(r#"{{"format": 1, "storage_id": "{}"}}"#, Uuid::new_v4());
            std::fs::write(self.path.join("pgdumpd-storage.json"), marker).unwrap();
        }
        self.in_its_place.replace(World::files_in(parent));
    }

    /// Brings the storage back. What was made in its place fails the test.
    fn come_back(&self) {
        let parent = self.path.parent().unwrap();
        let there = World::files_in(parent);
        assert_eq!(there, *self.in_its_place.borrow(), "{:?}", self.going);
        let is_there = !matches!(self.going, Going::Gone | Going::WithItsParent);
        assert_eq!(self.path.exists(), is_there, "{:?}", self.going);
        match self.going {
            Going::Covered => return self.unmount(),
            Going::Unmounted => return assert!(self.mount()),
            Going::WithItsParent => return std::fs::rename(&self.aside, parent).unwrap(),
            Going::Replaced => {
                std::fs::remove_file(self.path.join("pgdumpd-storage.json")).unwrap();
            }
            Going::Gone | Going::Emptied => {}
        }
        if is_there {
            std::fs::remove_dir(&self.path).unwrap();
        }
        std::fs::rename(&self.aside, &self.path).unwrap();
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        match self.going {
            Going::Covered => mount.args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"]),
            _ => mount.arg("--bind").arg(&self.aside),
        };
        let output = mount.arg(&self.path).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn unmount(&self) {
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        assert!(unmounted.unwrap().success());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.going.needs_mount() {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&self.path)
                .output();
        }
    }
}

/// Programs of PostgreSQL whose pg_dumpall waits, once it is asked for roles, for as long as a file is there.
struct Roles {
    hold: PathBuf,
    waits: PathBuf,
}

impl Roles {
    fn new(world: &mut World) -> Self {
        let dir = world.place("bin");
        std::fs::create_dir(&dir).unwrap();
        let roles = Self {
            hold: dir.join("hold"),
            waits: dir.join("waits"),
        };
        let (hold, waits) = (roles.hold.display(), roles.waits.display());
        let wait = format!(
            "case \"$*\" in *--version*) ;; *) while [ -e '{hold}' ]; do : >'{waits}'; /bin/sleep 0.02; done ;; esac"
        );
        for (program, first) in [("pg_dump", ""), ("pg_dumpall", wait.as_str())] {
            let real = world.cluster.bin(program);
            let script = format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", real.display());
            std::fs::write(dir.join(program), script).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.join(program), mode).unwrap();
        }
        world.set(
            "pg_dump",
            "directories",
            format!("[{}]", quoted(&dir.display().to_string())),
        );
        world.set("targets.shop", "globals", quoted("without-passwords"));
        roles
    }

    fn hold(&self) {
        std::fs::write(&self.hold, "").unwrap();
    }

    /// Waits until a pg_dumpall waits.
    async fn held(&self) {
        eventually("pg_dumpall waits", SOON, async || {
            self.waits.exists().then_some(())
        })
        .await;
    }

    fn release(&self) {
        std::fs::remove_file(&self.hold).unwrap();
    }
}

/// A world whose storage `name` lies in a place that it may go away from.
fn placed(world: &mut World, name: &str, going: Going) -> Option<Place> {
    let place = Place::new(world, name, going)?;
    let path = quoted(&place.path.display().to_string());
    world.set(&format!("storages.{name}"), "path", path);
    Some(place)
}

/// A backup that is requeued because of the storage, after which nothing lies anywhere; then the storage comes back.
async fn comes_back(world: &World, place: &Place, id: Uuid, backups: usize) {
    let status = world.requeued(id).await;
    names_the_storage(&status, &place.path, place.going);
    place.come_back();
    assert_eq!(
        World::backups_in(&place.path).len(),
        backups,
        "{:?}",
        place.going
    );
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    assert_eq!(World::backups_in(&place.path).len(), backups + 1);
    world.assert_explained();
}

fn names_the_storage(status: &JobStatus, path: &Path, going: Going) {
    let code = match going {
        Going::Replaced => "storage_replaced",
        _ => "storage_missing",
    };
    assert_eq!(status.error_code.as_deref(), Some(code), "{status:#?}");
    let error = status.error.as_deref().unwrap();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(status.error_hint.is_some(), "{status:#?}");
}

#[tokio::test]
async fn a_storage_that_goes_before_the_upload_begins_gets_no_backup_anywhere_else() {
    for going in EVERY_WAY {
        let mut world = World::new().await;
        let Some(place) = placed(&mut world, "local", going) else {
            continue;
        };
        let roles = Roles::new(&mut world);
        let _daemon = world.daemon().await;
        world.back_up().await;
        roles.hold();
        let id = world.enqueue().await;
        roles.held().await;
        place.go();
        roles.release();
        comes_back(&world, &place, id, 1).await;
        world.say(&["verify", &id.to_string()]).code(0);
    }
}

#[tokio::test]
async fn a_storage_that_goes_while_the_database_is_dumped_gets_no_backup_anywhere_else() {
    for going in EVERY_WAY {
        let mut world = World::new().await;
        let Some(place) = placed(&mut world, "local", going) else {
            continue;
        };
        let daemon = world.daemon().await;
        world.back_up().await;
        let holder = world.hold_dumps().await;
        let id = world.enqueue().await;
        world.held(&daemon).await;
        place.go();
        holder.close().await.unwrap();
        comes_back(&world, &place, id, 1).await;
        world.say(&["verify", &id.to_string()]).code(0);
    }
}

#[tokio::test]
async fn a_storage_that_goes_while_a_copy_to_it_is_made_gets_no_copy_anywhere_else() {
    for going in EVERY_WAY {
        let mut world = copying(&["offsite"]).await;
        let Some(place) = placed(&mut world, "offsite", going) else {
            continue;
        };
        let _daemon = world.daemon().await;
        let first = world.back_up().await;
        world.held_by(first, "2 of 2").await;
        let holder = hold_publishing(&world).await;
        let id = world.back_up().await;
        held(&world).await;
        place.go();
        holder.close().await.unwrap();
        let copy = world.copy(id).await;
        comes_back(&world, &place, copy, 1).await;
        world.held_by(id, "2 of 2").await;
    }
}

#[tokio::test]
async fn a_storage_that_goes_for_a_moment_and_is_back_keeps_its_backup() {
    let mut world = World::new().await;
    let place = placed(&mut world, "local", Going::Emptied).unwrap();
    let daemon = world.daemon().await;
    let holder = world.hold_dumps().await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    place.go();
    place.come_back();
    holder.close().await.unwrap();
    assert_eq!(world.succeeded(id).await.attempt, 1);
    assert_eq!(World::backups_in(&place.path).len(), 1);
}

#[tokio::test]
async fn a_storage_with_the_same_id_in_its_place_is_another_one() {
    let mut world = World::new().await;
    let place = placed(&mut world, "local", Going::Gone).unwrap();
    let daemon = world.daemon().await;
    world.back_up().await;
    let holder = world.hold_dumps().await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    place.go();
    // As whoever moves a storage to a new disk copies it, and mounts that one instead.
    let copied = Command::new("cp")
        .arg("-a")
        .args([&place.aside, &place.path])
        .status();
    assert!(copied.unwrap().success());
    holder.close().await.unwrap();
    let status = world.requeued(id).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("storage_replaced"),
        "{status:#?}"
    );
    world.make_due(id).await;
    world.succeeded(id).await;
    world.say(&["verify", &id.to_string()]).code(0);
}
