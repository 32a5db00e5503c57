//! What lies in storages, and what it restores to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgdumpd::store::Manifest;
use pgdumpd_testkit::{Database, eventually};
use serde_json::Value;

use super::World;

impl World {
    /// An archive of `shop`, made by the real pg_dump as a daemon asks for it.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let output = Command::new(self.cluster.bin("pg_dump"))
            .args([
                "--format=custom",
                "--compress=0",
                "--dbname",
                &self.shop.url(),
            ])
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    }

    /// The manifest of an archive.
    pub(crate) fn manifest(&self, archive: &Path) -> Manifest {
        let text = std::fs::read(format!("{}.manifest.json", archive.display())).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The storage's files, relative to its root, without its marker and the daemon's own probes.
    pub(crate) fn files(&self) -> Vec<String> {
        Self::files_in(&self.storage())
    }

    /// The same of another storage.
    pub(crate) fn files_in(root: &Path) -> Vec<String> {
        let mut files = Vec::new();
        collect(root, root, &mut files);
        // The daemon's own check of its storages comes and goes beside the jobs.
        files.retain(|file| file != "pgdumpd-storage.json" && !file.starts_with("pgdumpd-probe-"));
        files.sort();
        files
    }

    /// The archives that have a manifest; every file that is neither of these nor the globals beside one fails the test.
    pub(crate) fn backups(&self) -> Vec<PathBuf> {
        Self::backups_in(&self.storage())
    }

    /// The same of another storage.
    pub(crate) fn backups_in(root: &Path) -> Vec<PathBuf> {
        let files = Self::files_in(root);
        let archives: Vec<&String> = files
            .iter()
            .filter(|file| file.ends_with(".dump") || file.ends_with(".dump.age"))
            .collect();
        for file in &files {
            let globals = [(".globals.sql", ".dump"), (".globals.sql.age", ".dump.age")];
            let archive = globals.iter().find_map(|(end, archive)| {
                let stem = file.strip_suffix(end)?;
                Some(format!("{stem}{archive}"))
            });
            let archive = match archive {
                Some(archive) => archive,
                None => file
                    .strip_suffix(".manifest.json")
                    .unwrap_or(file)
                    .to_owned(),
            };
            assert!(
                archives.contains(&&archive),
                "{file} is no part of a backup: {files:#?}"
            );
        }
        for archive in &archives {
            assert!(
                files.contains(&format!("{archive}.manifest.json")),
                "{archive} has no manifest: {files:#?}"
            );
        }
        archives
            .into_iter()
            .map(|archive| root.join(archive))
            .collect()
    }

    /// Restores an archive into a new database with the cluster's own pg_restore.
    pub(crate) async fn restore(&self, archive: &Path) -> Database {
        let database = self.cluster.database().await;
        let output = Command::new(self.cluster.bin("pg_restore"))
            .args(["--exit-on-error", "--dbname", &database.url()])
            .arg(archive)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        database
    }

    /// Sessions on the target that are a dump's.
    pub(crate) async fn dump_sessions(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT application_name FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'pgdumpd %'",
        )
        .bind(self.shop.name())
        .fetch_all(&mut self.shop.connect().await)
        .await
        .unwrap()
    }

    /// Asserts that nothing is left of any attempt but `backups` whole backups.
    pub(crate) async fn assert_clean(&self, backups: usize) {
        assert_eq!(self.backups().len(), backups, "{:#?}", self.files());
        eventually(
            "no dump's session is left",
            Duration::from_secs(5),
            async || self.dump_sessions().await.is_empty().then_some(()),
        )
        .await;
        self.assert_explained();
    }

    /// Asserts that fsck finds nothing in the storages that it reaches, however young it is, but what is there for a
    /// moment: a daemon that checks a storage writes a file into it.
    pub(crate) fn assert_explained(&self) {
        let mut tries = 0;
        loop {
            let said = self.say(&["fsck", "--json", "--safe-age", "0s"]);
            assert!(matches!(said.code, Some(0 | 6)), "{}{}", said.out, said.err);
            let report = said.json();
            let storages = report["storages"].as_array().unwrap();
            let mut findings = storages
                .iter()
                .flat_map(|storage| storage["findings"].as_array().unwrap());
            // What is ok is only told: a backup whose row was deleted. And whoever kills a daemon may do so in the
            // middle of a check of a storage.
            let killed = self.kills.load(Ordering::Relaxed) > 0;
            let probe = |key: &Value| key.as_str().unwrap().starts_with("pgdumpd-probe-");
            if findings
                .all(|finding| finding["severity"] == "ok" || killed && probe(&finding["key"]))
            {
                return;
            }
            tries += 1;
            assert!(tries < 50, "{report:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}
