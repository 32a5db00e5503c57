//! What must be true after each round, whatever met.

use std::time::Duration;

use uuid::Uuid;

use super::scene::{Disk, KEEP_LAST, Scene};
use crate::harness::World;

impl Scene {
    /// What is not as it must be.
    pub(super) async fn judge(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(self.unexplained().await);
        faults.extend(self.stored_rows_are_good().await);
        faults.extend(self.newest_stay().await);
        faults.extend(self.deleted_is_gone().await);
        faults.extend(self.nothing_is_left_on_the_target().await);
        let panics = self.all_logs();
        if panics.iter().any(|log| log.contains("panicked at")) {
            faults.push("a daemon panicked".to_owned());
        }
        faults
    }

    /// Everything that lies in the storages is explained by the queue, and the other way round.
    async fn unexplained(&self) -> Option<String> {
        let mut last = String::new();
        // What daemons are about to clean up, or check at this moment, takes them a moment.
        for _ in 0..40 {
            let (code, out, err) = self.output(&["fsck", "--json", "--safe-age", "0s"]).await;
            let report: serde_json::Value = match serde_json::from_str(&out) {
                Ok(report) => report,
                Err(_) => return Some(format!("fsck ended with {code:?}: {err}")),
            };
            let expected = self.to_be_cleaned_up().await;
            let findings: Vec<&serde_json::Value> = report["storages"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|storage| storage["findings"].as_array().into_iter().flatten())
                .filter(|finding| finding["severity"] != "ok")
                // What a killed daemon's check left, a later check takes away.
                .filter(|finding| !is_probe(&finding["key"]))
                .filter(|finding| !expected.iter().any(|key| finding["key"] == key.as_str()))
                .collect();
            if findings.is_empty() {
                return None;
            }
            last = format!("fsck: {findings:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Some(last)
    }

    /// What daemons know that they have to clean up: where a storage refused it, they try again minutes later.
    async fn to_be_cleaned_up(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT object_key FROM pgdumpd.backup_attempts
             WHERE outcome NOT IN ('running', 'succeeded') AND object_key IS NOT NULL AND cleared_at IS NULL",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap()
    }

    /// Each backup that a row says is stored can be read whole, where the row says it is.
    async fn stored_rows_are_good(&self) -> Vec<String> {
        let rows: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT job_id, storage FROM pgdumpd.backup_copies WHERE state = 'stored'",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        let mut faults = Vec::new();
        for (id, storage) in rows {
            let arguments = ["verify", &id.to_string(), "--storage", &storage];
            if let Err(fault) = self.expect(&arguments, &[0]).await
                && self.is_stored(id, &storage).await
            {
                faults.push(fault);
            }
        }
        faults
    }

    /// Whether the row still says so: retention goes on after the last success.
    async fn is_stored(&self, id: Uuid, storage: &str) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pgdumpd.backup_copies
                            WHERE job_id = $1 AND storage = $2 AND state = 'stored')",
        )
        .bind(id)
        .bind(storage)
        .fetch_one(&self.world.pool)
        .await
        .unwrap()
    }

    /// Of all that was ever stored in the first storage, and that nobody deleted, the newest are there; but for what
    /// retention deleted while enough newer ones were stored, which a person deleted only after that.
    async fn newest_stay(&self) -> Vec<String> {
        let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
            "SELECT c.job_id, c.object_key, c.state
             FROM pgdumpd.backup_copies AS c
             WHERE c.storage = 'a'
               AND NOT EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = c.job_id)
               AND (c.deleted_at IS NULL OR $1 > (
                   SELECT count(*)
                   FROM pgdumpd.backup_copies AS n
                   LEFT JOIN pgdumpd.backup_deletions AS d ON d.job_id = n.job_id
                   WHERE n.storage = 'a' AND n.claimed_at > c.claimed_at AND n.stored_at <= c.deleted_at
                     -- It is decided a moment before it is done.
                     AND coalesce(d.requested_at, 'infinity') > c.deleted_at - interval '1 second'))
             ORDER BY c.claimed_at DESC NULLS LAST, c.object_key COLLATE \"C\" DESC
             LIMIT $1",
        )
        .bind(KEEP_LAST)
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        let root = self.disk(Disk::First).storage();
        rows.into_iter()
            .filter(|(_, key, state)| {
                state != "stored" || !root.join(format!("{key}.manifest.json")).exists()
            })
            .map(|(id, _, state)| {
                format!("one of the newest {KEEP_LAST} backups is gone: {id} ({state})")
            })
            .collect()
    }

    /// Nothing is left anywhere of what a person deleted.
    async fn deleted_is_gone(&self) -> Vec<String> {
        let deleted: Vec<Uuid> = sqlx::query_scalar("SELECT job_id FROM pgdumpd.backup_deletions")
            .fetch_all(&self.world.pool)
            .await
            .unwrap();
        let mut faults = Vec::new();
        for disk in [Disk::First, Disk::Second] {
            for file in World::files_in(&self.disk(disk).storage()) {
                if deleted.iter().any(|id| file.contains(&id.to_string())) {
                    faults.push(format!("it was deleted: {file}"));
                }
            }
        }
        faults
    }

    async fn nothing_is_left_on_the_target(&self) -> Option<String> {
        let sessions = self.world.dump_sessions().await;
        (!sessions.is_empty()).then(|| format!("sessions are left on the target: {sessions:?}"))
    }
}

fn is_probe(key: &serde_json::Value) -> bool {
    key.as_str()
        .is_some_and(|key| key.starts_with("pgdumpd-probe-"))
}
