//! Compares the manifest of a backup with what the queue knows of it.

use crate::code::Code;
use crate::fault::Fault;
use crate::queue::Recorded;
use crate::store::Manifest;

/// Whether a manifest is that of the backup that the queue recorded, with this size: an older backup may have been put in
/// its place, object and manifest.
///
/// # Errors
/// A permanent [`Code::BackupDiffers`] names the first field that differs.
pub fn compare_with_row(
    manifest: &Manifest,
    size_bytes: Option<u64>,
    recorded: &Recorded,
) -> Result<(), Fault> {
    let object = &manifest.object;
    // A copy says which attempt made the original; the queue says which made the copy.
    let is_original = manifest.copied.is_none();
    let attempt = recorded.attempt.filter(|_| is_original);
    let claimed_at = recorded.claimed_at.filter(|_| is_original);
    let fields = [
        (
            "object.sha256",
            fits(recorded.sha256.as_deref(), &object.sha256),
        ),
        ("object.size_bytes", fits(size_bytes, &object.size_bytes)),
        ("target", fits(recorded.target.as_deref(), &manifest.target)),
        (
            "requested_by",
            fits(recorded.requested_by.as_deref(), &manifest.requested_by),
        ),
        ("attempt", fits(attempt, &manifest.attempt)),
        // Manifests of older versions do not say it.
        (
            "claimed_at",
            manifest.claimed_at.is_none() || fits(claimed_at.map(Some), &manifest.claimed_at),
        ),
    ];
    let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) else {
        return Ok(());
    };
    let what = format!(
        "{} is not the backup that the queue recorded: its manifest has another {field}",
        object.key
    );
    Err(Fault::permanent(Code::BackupDiffers, what).hint(
        "Another backup may have been put in its place. Take the right one from another storage; `pgdumpd fetch ID --storage NAME` fetches this one, compared only with its manifest.",
    ))
}

/// Whether what is known, if it is, is what is found.
fn fits<T, U: PartialEq<T>>(known: Option<T>, found: &U) -> bool {
    known.is_none_or(|known| *found == known)
}
