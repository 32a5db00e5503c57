//! Joining a shared cluster, or starting it when nobody has.

use std::path::Path;

use super::Cluster;
use super::directory;
use super::server::Server;
use crate::binaries::Binaries;

/// Bump when the settings of shared clusters change: a running one of an older kit is not joined.
const GENERATION: u32 = 1;

/// The running shared cluster of these programs, started first if need be.
pub(super) async fn join(binaries: Binaries) -> Cluster {
    let name = format!(
        "s{}-{}-{}",
        GENERATION,
        binaries.major,
        fingerprint(&binaries.dir)
    );
    let (directory, lease, starting) = directory::shared(&name).await;
    let server = match Server::attach(&binaries, &directory).await {
        Some(server) => server,
        None => Server::create(binaries, directory, &[]).await,
    };
    drop(starting);
    Cluster {
        server,
        _lease: lease,
    }
}

/// A short name for a folder, so that two builds of one major do not share a cluster.
fn fingerprint(dir: &Path) -> String {
    let hash = dir
        .to_string_lossy()
        .bytes()
        .fold(0xcbf2_9ce4_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    format!("{hash:08x}")
}
