//! What is done at a random moment.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobState};
use rustix::mount::{MountFlags, mount_remount};
use rustix::process::Signal;
use uuid::Uuid;

use super::scene::{Disk, Scene};

/// One of the things that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Backup,
    Copy,
    Retention,
    Delete,
    Cancel,
    FsckRepair,
    Rebuild,
    Fetch,
    Verify,
    Kill,
    Freeze,
    MoveAway,
    Full,
    ReadOnly,
    ClockOff,
    Reload,
}

impl Operation {
    pub(super) const ALL: [Self; 16] = [
        Self::Backup,
        Self::Copy,
        Self::Retention,
        Self::Delete,
        Self::Cancel,
        Self::FsckRepair,
        Self::Rebuild,
        Self::Fetch,
        Self::Verify,
        Self::Kill,
        Self::Freeze,
        Self::MoveAway,
        Self::Full,
        Self::ReadOnly,
        Self::ClockOff,
        Self::Reload,
    ];

    /// Does it, and puts things in order again: daemons run, storages are there, the configuration is as before. An
    /// answer that may not be is a fault.
    pub(super) async fn perform(self, scene: &Scene, pause: Duration) -> Result<(), String> {
        match self {
            Self::Backup => {
                scene.world.enqueue().await;
                Ok(())
            }
            Self::Retention => {
                for _ in 0..2 {
                    scene.world.enqueue().await;
                }
                Ok(())
            }
            Self::Copy => copy(scene).await,
            Self::Delete => delete(scene).await,
            Self::Cancel => {
                if let Some(id) = scene.newest_job().await {
                    scene.world.cancel(id).await;
                }
                Ok(())
            }
            Self::FsckRepair => scene.expect(&["fsck", "--repair"], &[0, 1, 6, 7]).await,
            // In a queue in use it adds what is missing: nothing, whatever else happens.
            Self::Rebuild => scene.expect(&["fsck", "--rebuild"], &[0, 1, 6]).await,
            Self::Fetch => fetch(scene).await,
            Self::Verify => match scene.newest_backup().await {
                // A backup that is deleted meanwhile cannot be read any more; it is never found damaged.
                Some(id) => {
                    let arguments = ["verify", &id.to_string()];
                    scene.expect(&arguments, &[0, 1, 3, 7]).await
                }
                None => Ok(()),
            },
            Self::Kill => {
                scene.kill(1, pause).await;
                Ok(())
            }
            Self::Freeze => {
                scene.signal(0, Signal::STOP);
                tokio::time::sleep(Duration::from_millis(3500) + pause).await;
                scene.signal(0, Signal::CONT);
                Ok(())
            }
            Self::MoveAway | Self::Full | Self::ReadOnly => {
                let _turn = scene.turn.lock().await;
                match self {
                    Self::MoveAway => scene.move_away(pause).await,
                    Self::Full => scene.disk(Disk::First).fill(pause).await,
                    _ => read_only(scene, pause).await,
                }
            }
            Self::ClockOff => scene.clock_off(pause).await,
            Self::Reload => {
                for _ in 0..3 {
                    scene.signal(0, Signal::HUP);
                    scene.signal(1, Signal::HUP);
                    tokio::time::sleep(pause / 3).await;
                }
                Ok(())
            }
        }
    }
}

async fn copy(scene: &Scene) -> Result<(), String> {
    let Some(id) = scene.newest_backup().await else {
        return Ok(());
    };
    scene.expect(&["copy", &id.to_string()], &[0, 1, 3]).await
}

async fn delete(scene: &Scene) -> Result<(), String> {
    let Some(id) = scene.newest_backup().await else {
        return Ok(());
    };
    scene
        .expect(&["delete", &id.to_string(), "--yes"], &[0, 1, 3, 7])
        .await
}

/// Fetches the newest backup: the file is whole, or there is none.
async fn fetch(scene: &Scene) -> Result<(), String> {
    let Some(id) = scene.newest_backup().await else {
        return Ok(());
    };
    let file = scene
        .world
        .dir
        .path()
        .join(format!("{}.dump", Uuid::new_v4()));
    let path = file.display().to_string();
    let code = scene
        .run(&["fetch", &id.to_string(), "--output", &path])
        .await;
    match (code, file.exists()) {
        (Some(0), true) => {
            let whole = tokio::process::Command::new(scene.world.cluster.bin("pg_restore"))
                .args(["-f", "/dev/null", &path])
                .status()
                .await
                .is_ok_and(|status| status.success());
            let _ = std::fs::remove_file(&file);
            if whole {
                Ok(())
            } else {
                Err(format!("fetch of {id} gave a file that does not restore"))
            }
        }
        (Some(1 | 3), false) => Ok(()),
        (code, exists) => Err(format!("fetch of {id}: exit {code:?}, a file: {exists}")),
    }
}

/// Makes the first disk read-only for a while. While somebody writes, the kernel refuses: then it is tried again.
async fn read_only(scene: &Scene, pause: Duration) -> Result<(), String> {
    let Some(mount) = scene.disk(Disk::First).mount() else {
        return Ok(());
    };
    let remount = |flags| mount_remount(mount, flags, "");
    for _ in 0..50 {
        if remount(MountFlags::RDONLY).is_ok() {
            tokio::time::sleep(pause).await;
            return remount(MountFlags::empty())
                .map_err(|e| format!("the disk stays read-only: {e}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Scene {
    /// The newest backup that the queue knows as succeeded.
    pub(super) async fn newest_backup(&self) -> Option<Uuid> {
        self.newest("AND state = 'succeeded'").await
    }

    /// The newest job that a person would cancel.
    async fn newest_job(&self) -> Option<Uuid> {
        self.newest("").await
    }

    async fn newest(&self, further: &str) -> Option<Uuid> {
        let sql = format!(
            "SELECT id FROM pgdumpd.backup_jobs WHERE kind = 'backup' {further} ORDER BY created_at DESC LIMIT 1"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_optional(&self.world.pool)
            .await
            .unwrap()
    }

    /// Takes a backup and waits for its success.
    pub(super) async fn good_backup(&self) -> Result<Uuid, String> {
        let id = self.world.enqueue_request(BackupRequest::new("shop")).await;
        self.quiet().await?;
        let status = self.world.status(id).await;
        if status.state == JobState::Succeeded {
            Ok(id)
        } else {
            Err(format!("an undisturbed backup did not succeed: {status:?}"))
        }
    }
}
