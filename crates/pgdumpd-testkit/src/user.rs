//! The account that servers run as: `initdb` and `postgres` refuse root.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::debian;

/// Accounts that root hands servers to, the first that exists.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Who runs the servers of this process's clusters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerUser {
    /// We are not root: the server runs as we do.
    Own,
    /// We are root: the server runs under this user and group id.
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    pub(crate) fn current() -> ServerUser {
        if !rustix::process::geteuid().is_root() {
            return ServerUser::Own;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        UNPRIVILEGED
            .iter()
            .find_map(|name| entry(&passwd, name))
            .unwrap_or_else(|| {
                panic!("root cannot run PostgreSQL, and /etc/passwd has neither {UNPRIVILEGED:?}")
            })
    }

    /// A command that runs as this user.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Settings of the developer's own psql must not reach a test.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") && name != "PGDUMPD_CACHE" {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            // It outweighs every setting of the language.
            .env_remove("LANGUAGE")
            .current_dir("/");
        if let Some(libraries) = debian::libraries_of(program) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        if let ServerUser::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives `path` to this user.
    pub(crate) fn own(self, path: &Path) {
        if let ServerUser::Other { uid, gid } = self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .unwrap_or_else(|error| panic!("cannot chown {}: {error}", path.display()));
        }
    }
}

fn entry(passwd: &str, name: &str) -> Option<ServerUser> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(ServerUser::Other { uid, gid })
}

/// Lets a command run as the account that servers run as, where we are root, and gives it a folder with all that is in it.
pub fn unprivileged(command: &mut Command, folder: &Path) {
    let ServerUser::Other { uid, gid } = ServerUser::current() else {
        return;
    };
    let owner = format!("{uid}:{gid}");
    let given = Command::new("chown")
        .arg("-R")
        .arg(owner)
        .arg(folder)
        .status();
    assert!(
        given.is_ok_and(|status| status.success()),
        "cannot give {}",
        folder.display()
    );
    command.uid(uid).gid(gid);
}
