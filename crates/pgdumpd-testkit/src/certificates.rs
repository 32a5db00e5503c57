//! Certificates that a test makes itself, with the command `openssl`: every system has it, `script/bootstrap` sees to
//! that, and it makes what a library refuses to, such as a certificate that expired yesterday.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::user::ServerUser;

/// A certificate's file, and its key's.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, in PEM.
    pub file: PathBuf,
    /// Its key, in PEM; nobody but its owner may read it.
    pub key: PathBuf,
}

/// A folder of certificates. It goes on drop.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// An empty folder, in which a server may read.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("pgdumpd-tls-").expect("a temporary folder is made");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("it is our own");
        Self { folder }
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an authority.
    #[must_use]
    pub fn authority(&self, name: &str) -> Certificate {
        let made = self.names(name);
        let mut command = openssl(&["req", "-x509", "-days", "30", "-nodes", "-newkey", "ec"]);
        command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-subj", &format!("/CN={name}")]);
        command.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        command
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.file);
        run(command);
        made
    }

    /// Makes a certificate of this authority for `subject` (a common name), that is also good for the host of this name.
    /// It ends so many days from now: with -1 it has expired.
    #[must_use]
    pub fn signed(
        &self,
        authority: &Certificate,
        name: &str,
        subject: &str,
        days: i32,
    ) -> Certificate {
        let made = self.names(name);
        let (request, extensions) = (self.path("request"), self.path("extensions"));
        let text = format!("subjectAltName=DNS:{subject}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(&extensions, text).expect("the folder is our own");
        let mut command = openssl(&["req", "-nodes", "-newkey", "ec"]);
        command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-subj", &format!("/CN={subject}")]);
        command
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&request);
        run(command);
        let mut command = openssl(&["x509", "-req", "-days", &days.to_string()]);
        command
            .arg("-in")
            .arg(&request)
            .arg("-extfile")
            .arg(&extensions);
        command
            .arg("-CA")
            .arg(&authority.file)
            .arg("-CAkey")
            .arg(&authority.key);
        command.args(["-set_serial", &rand::random::<u32>().to_string()]);
        command.arg("-out").arg(&made.file);
        run(command);
        made
    }

    /// Gives a key to the account that servers run as: they refuse one that others may read.
    pub fn give_to_server(&self, certificate: &Certificate) {
        ServerUser::current().own(&certificate.key);
    }

    fn names(&self, name: &str) -> Certificate {
        Certificate {
            file: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new("openssl"));
    command.args(arguments);
    command
}

fn run(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl ({error}): run script/bootstrap"));
    assert!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
