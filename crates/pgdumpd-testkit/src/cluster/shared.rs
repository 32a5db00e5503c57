//! Joining a shared cluster, or starting it when nobody has.

use std::path::Path;

use super::server::{HBA, SETTINGS, Server};
use super::{Cluster, Flavour, directory};
use crate::binaries::Binaries;

/// The running shared cluster of these programs and this flavour, started first if need be.
pub(super) async fn join(binaries: Binaries, flavour: Flavour) -> Cluster {
    let name = format!(
        "{}-{}",
        binaries.major,
        fingerprint(&binaries.dir, &flavour)
    );
    let (directory, lease, starting) = directory::shared(&name).await;
    let server = match Server::attach(&binaries, &directory, &flavour).await {
        Some(server) => server,
        None => Server::create(binaries, directory, flavour).await,
    };
    drop(starting);
    Cluster {
        server,
        _lease: lease,
    }
}

/// A short name for what makes shared clusters differ: two builds of one major do not share one,
/// nor do two versions of this kit with other settings.
fn fingerprint(bin_dir: &Path, flavour: &Flavour) -> String {
    let text = format!("{}{SETTINGS}{HBA}{flavour:?}", bin_dir.display());
    format!("{:08x}", fnv(&text))
}

/// A short number for a text.
pub(super) fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
