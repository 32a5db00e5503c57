//! Reads a stored backup again and compares it with its manifest.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Inspection, Stored, Verdict};
use crate::fault::Fault;
use crate::store::ArchiveState;

/// Pieces that wait to be inspected, of 1 MiB at most.
const PIECES: usize = 4;

/// Reads the whole object.
///
/// # Errors
/// The storage's: damage is no error, but in the verdict.
pub async fn verify(stored: &Stored) -> Result<Verdict, Fault> {
    read_through(stored, async |_| Ok(())).await
}

/// Reads the whole object, gives each piece on, and inspects it on a thread of its own.
pub(super) async fn read_through(
    stored: &Stored,
    mut keep: impl AsyncFnMut(&Bytes) -> Result<(), Fault>,
) -> Result<Verdict, Fault> {
    let inspection = match (&stored.index, stored.manifest.archive.state) {
        (Some(index), _) => Inspection::indexed(index.clone(), stored.compression()?),
        (None, ArchiveState::Proved) => Inspection::whole(),
        (None, ArchiveState::Unread) => Inspection::unread(),
    };
    let (to_inspect, mut inspect) = mpsc::channel::<Bytes>(PIECES);
    let inspecting = tokio::task::spawn_blocking(move || {
        let mut inspection = inspection;
        while let Some(piece) = inspect.blocking_recv() {
            inspection.push(&piece);
        }
        inspection.finish()
    });
    let read = async {
        let key = &stored.manifest.object.key;
        let mut pieces = stored
            .storage
            .read_range(key, 0..i64::MAX.unsigned_abs())
            .await?;
        while let Some(piece) = pieces.next().await? {
            keep(&piece).await?;
            // The thread ends only after the last piece.
            let _ = to_inspect.send(piece).await;
        }
        Ok(())
    };
    let read: Result<(), Fault> = read.await;
    drop(to_inspect);
    let verdict = inspecting.await.map_err(|error| {
        Fault::transient("internal", "the thread that verifies ended").caused_by(error)
    })?;
    read.map(|()| verdict)
}
