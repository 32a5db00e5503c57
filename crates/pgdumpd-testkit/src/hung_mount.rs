//! A file system that hangs, as a network mount does whose server is gone.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::skip::Needs;

/// A directory below which every look, open and write waits until this is dropped, and then fails.
///
/// It is a FUSE file system whose server never answers. A process that waits there can be killed.
#[derive(Debug)]
pub struct HungMount {
    path: PathBuf,
    server: Option<File>,
}

impl HungMount {
    /// Covers a directory. None, with a word on stderr, where this user may not mount.
    #[must_use]
    pub fn over(path: &Path) -> Option<HungMount> {
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let mounted = server.and_then(|server| {
            let options = format!(
                "fd={},rootmode=40000,user_id=0,group_id=0\0",
                server.as_raw_fd()
            );
            let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes())
                .map_err(std::io::Error::other)?;
            rustix::mount::mount("hung", path, "fuse", MountFlags::empty(), Some(options))?;
            Ok(server)
        });
        match mounted {
            Ok(server) => Some(HungMount {
                path: path.to_owned(),
                server: Some(server),
            }),
            Err(error) => {
                Needs::Mounts.missing(&format!("this user may not mount a file system: {error}"));
                None
            }
        }
    }

    /// Lets its server die: from now on every look at the directory fails at once, root's too.
    pub fn die(&mut self) {
        self.server = None;
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        // Whoever waits is woken by this, with an error; then the directory is itself again.
        self.server = None;
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}
