//! Two daemons, two storages on small disks of their own, one target that keeps its newest two backups.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgdumpd_testkit::{Needs, fill};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Signal, kill_process};
use tokio::time::Instant;
use uuid::Uuid;

use super::operation::Operation;
use crate::harness::{Daemon, World, quoted};

/// How many backups the target keeps.
pub(super) const KEEP_LAST: i64 = 2;
/// A moment of a round.
const MOMENT: u64 = 1200;
/// By then everything has ended that can.
const QUIET: Duration = Duration::from_secs(60);

/// Which storage's disk.
#[derive(Clone, Copy)]
pub(super) enum Disk {
    First,
    Second,
}

/// A small file system with a storage below it; a plain directory where this user may not mount.
pub(super) struct Mounted {
    root: PathBuf,
    is_mounted: bool,
}

impl Mounted {
    fn new(root: PathBuf) -> Self {
        std::fs::create_dir_all(&root).unwrap();
        let mounted = mount(
            "tmpfs",
            &root,
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=96m"),
        );
        if let Err(error) = &mounted {
            Needs::Mounts.missing(&format!("this user may not mount a file system: {error}"));
        }
        Self {
            root,
            is_mounted: mounted.is_ok(),
        }
    }

    /// Where it is mounted, if it is.
    pub(super) fn mount(&self) -> Option<&Path> {
        self.is_mounted.then_some(self.root.as_path())
    }

    pub(super) fn storage(&self) -> PathBuf {
        self.root.join("storage")
    }

    /// Leaves no room for a while.
    pub(super) async fn fill(&self, pause: Duration) -> Result<(), String> {
        if !self.is_mounted {
            return Ok(());
        }
        let filler = self.root.join(format!("filler-{}", Uuid::new_v4()));
        let file = std::fs::File::create(&filler).map_err(|e| e.to_string())?;
        // To the last byte: what is left after the large pieces goes in small ones.
        for piece in [1 << 20, 4096] {
            let zeros = vec![0; piece];
            while std::io::Write::write_all(&mut &file, &zeros).is_ok() {}
        }
        tokio::time::sleep(pause).await;
        std::fs::remove_file(&filler).map_err(|e| e.to_string())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = unmount(&self.root, UnmountFlags::DETACH);
        }
    }
}

/// Where operations meet.
pub(super) struct Scene {
    pub(super) world: World,
    daemons: RefCell<[Option<Daemon>; 2]>,
    disks: [Mounted; 2],
    logs: RefCell<Vec<String>>,
    wrong: RefCell<Vec<String>>,
    lost_places: RefCell<u32>,
    /// What changes the first disk takes turns: none of them could put back what another has changed meanwhile.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let mut world = World::new().await;
        fill(&world.shop, 4).await;
        let disks =
            ["a", "b"].map(|name| Mounted::new(world.dir.path().join(format!("disk-{name}"))));
        world.unset("storages.local");
        for (name, disk) in ["a", "b"].iter().zip(&disks) {
            let section = format!("storages.{name}");
            world.set(
                &section,
                "path",
                quoted(&disk.storage().display().to_string()),
            );
            world.set(&section, "min_free", quoted("1MiB"));
        }
        for (key, value) in [
            ("storage", quoted("a")),
            ("copies", "[\"b\"]".to_owned()),
            ("keep_last", KEEP_LAST.to_string()),
            ("compression", quoted("gzip:1")),
        ] {
            world.set("targets.shop", key, value);
        }
        let first = world.daemon().await;
        let second = world.daemon().await;
        let scene = Self {
            world,
            daemons: RefCell::new([Some(first), Some(second)]),
            disks,
            logs: RefCell::default(),
            wrong: RefCell::default(),
            lost_places: RefCell::default(),
            turn: tokio::sync::Mutex::default(),
        };
        scene.good_backup().await.unwrap();
        scene
    }

    pub(super) fn disk(&self, which: Disk) -> &Mounted {
        &self.disks[match which {
            Disk::First => 0,
            Disk::Second => 1,
        }]
    }

    /// Two operations, each at its moment, then peace, then the judge.
    pub(super) async fn round(
        &mut self,
        first: Operation,
        second: Operation,
        random: &mut StdRng,
    ) -> Vec<String> {
        let mut moment = || Duration::from_millis(random.random_range(0..MOMENT));
        let moments = [moment(), moment(), moment(), moment()];
        // Something must be going on for what disturbs.
        self.world.enqueue().await;
        let [a, b] = [(first, 0), (second, 2)].map(|(operation, at)| {
            let scene = &*self;
            async move {
                tokio::time::sleep(moments[at]).await;
                operation.perform(scene, moments[at + 1]).await
            }
        });
        let (a, b) = tokio::join!(a, b);
        let mut faults: Vec<String> = [a, b].into_iter().filter_map(Result::err).collect();
        if let Err(fault) = self.quiet().await {
            faults.push(fault);
        }
        if let Err(fault) = self.good_backup().await {
            faults.push(fault);
        }
        faults.extend(self.wrong.take());
        faults.extend(self.judge().await);
        faults
    }

    /// Waits until every job has ended. What waits for its next attempt is made due.
    pub(super) async fn quiet(&self) -> Result<(), String> {
        let deadline = Instant::now() + QUIET;
        loop {
            let open: Vec<(String, String, Option<String>)> = sqlx::query_as(
                "WITH due AS (UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE state = 'queued' AND run_at > now())
                 SELECT id::text, state, error FROM pgdumpd.backup_jobs WHERE finished_at IS NULL",
            )
            .fetch_all(&self.world.pool)
            .await
            .unwrap();
            if open.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("jobs do not end: {open:?}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a command; its exit code.
    pub(super) async fn run(&self, arguments: &[&str]) -> Option<i32> {
        self.output(arguments).await.0
    }

    pub(super) async fn output(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
            .arg("--config")
            .arg(self.world.config())
            .args(arguments)
            .env_remove("DATABASE_URL")
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// Runs a command that may end in these ways only.
    pub(super) async fn expect(&self, arguments: &[&str], codes: &[i32]) -> Result<(), String> {
        let (code, out, err) = self.output(arguments).await;
        if code.is_some_and(|code| codes.contains(&code)) {
            Ok(())
        } else {
            Err(format!("{arguments:?} ended with {code:?}: {out}{err}"))
        }
    }

    pub(super) fn signal(&self, daemon: usize, signal: Signal) {
        if let Some(daemon) = &self.daemons.borrow()[daemon] {
            let _ = kill_process(daemon.pid(), signal);
        }
    }

    /// SIGKILL, and another daemon a moment later.
    pub(super) async fn kill(&self, which: usize, pause: Duration) {
        self.end(which);
        tokio::time::sleep(pause).await;
        self.start(which, &[]);
    }

    fn end(&self, which: usize) {
        let killed = self.daemons.borrow_mut()[which].take();
        if let Some(mut daemon) = killed {
            daemon.kill();
            self.logs.borrow_mut().push(daemon.log());
        }
    }

    fn start(&self, which: usize, variables: &[(&str, &str)]) {
        let daemon = self.world.daemon_unready_with(variables);
        self.daemons.borrow_mut()[which] = Some(daemon);
    }

    /// The second daemon's clock is a day off for a while.
    pub(super) async fn clock_off(&self, pause: Duration) -> Result<(), String> {
        let Some(library) = faketime() else {
            return Ok(());
        };
        let off = if pause.as_millis().is_multiple_of(2) {
            "+1d"
        } else {
            "-1d"
        };
        self.end(1);
        self.start(
            1,
            &[
                ("LD_PRELOAD", &library),
                ("FAKETIME", off),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ],
        );
        self.world.enqueue().await;
        tokio::time::sleep(Duration::from_secs(1) + pause).await;
        self.end(1);
        self.start(1, &[]);
        Ok(())
    }

    /// The first storage is somewhere else for a while, with an empty directory in its place or without.
    pub(super) async fn move_away(&self, pause: Duration) -> Result<(), String> {
        let place = self.disk(Disk::First).storage();
        let away = place.with_file_name("away");
        let moved = |e: std::io::Error| format!("the test cannot move a storage: {e}");
        std::fs::rename(&place, &away).map_err(moved)?;
        if pause.as_millis().is_multiple_of(2) {
            std::fs::create_dir(&place).map_err(moved)?;
        }
        tokio::time::sleep(pause).await;
        if place.exists() && std::fs::remove_dir(&place).is_err() {
            let mut lost = self.lost_places.borrow_mut();
            *lost += 1;
            let kept = place.with_file_name(format!("made-{lost}"));
            self.wrong.borrow_mut().push(format!(
                "something was made where the storage had been: {:?}",
                std::fs::read_dir(&place)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.file_name())
                    .collect::<Vec<_>>()
            ));
            std::fs::rename(&place, kept).map_err(moved)?;
        }
        std::fs::rename(&away, &place).map_err(moved)
    }

    /// What a person needs to see why.
    pub(super) fn tell(&self) -> String {
        let mut text = String::new();
        for log in self.logs.borrow().iter() {
            text.push_str(&important(log));
        }
        for daemon in self.daemons.borrow().iter().flatten() {
            text.push_str(&important(&daemon.log()));
        }
        text
    }

    /// The logs of all daemons that were.
    pub(super) fn all_logs(&self) -> Vec<String> {
        let mut logs = self.logs.borrow().clone();
        logs.extend(self.daemons.borrow().iter().flatten().map(Daemon::log));
        logs
    }
}

fn important(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.contains(" DEBUG "))
        .collect();
    let last = lines.len().saturating_sub(60);
    format!("  --- daemon\n    {}\n", lines[last..].join("\n    "))
}

/// Debian's library that shifts a process's clock.
fn faketime() -> Option<String> {
    let library = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    if Path::new(&library).exists() {
        return Some(library);
    }
    eprintln!("SKIPPED: libfaketime is not installed");
    None
}
