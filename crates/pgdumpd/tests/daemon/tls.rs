//! Connections over TLS, on a server with certificates of the test's own: what works, and what each mistake is called.
//! A certificate that is wrong stays wrong, so such a failure is permanent, and its error or hint names the file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pgdumpd_client::{BackupRequest, JobState, JobStatus};
use pgdumpd_testkit::{Certificate, Certificates, Cluster, cluster, eventually};

use crate::harness::{SOON, World, quoted};

/// Who must show a certificate, and who must only encrypt.
const HBA: &str = "\
local all all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 trust
";

/// A server with TLS, and what can be shown to it.
struct Scene {
    world: World,
    server: &'static Cluster,
    made: Certificates,
    authority: Certificate,
    other: Certificate,
    expired: Certificate,
    client: Certificate,
    foreign: Certificate,
}

/// A target, and how its job must fail.
struct Mistake {
    target: &'static str,
    code: &'static str,
    /// In the error.
    says: String,
    /// In the error or the hint: the file at fault.
    names: String,
}

impl Scene {
    async fn new() -> Self {
        let made = Certificates::new();
        let (authority, other) = (made.authority("authority"), made.authority("other"));
        let server = made.signed(&authority, "server", "localhost", 30);
        let expired = made.signed(&authority, "expired", "localhost", -1);
        let client = made.signed(&authority, "client", "certified", 30);
        let foreign = made.signed(&other, "foreign", "certified", 30);
        made.give_to_server(&server);
        made.give_to_server(&expired);
        let hba = made.path("hba");
        std::fs::write(&hba, HBA).unwrap();
        let text = |path: &Path| path.display().to_string();
        let cluster = Cluster::start_private(&[
            ("ssl", "on"),
            ("ssl_cert_file", &text(&server.file)),
            ("ssl_key_file", &text(&server.key)),
            ("ssl_ca_file", &text(&authority.file)),
            ("hba_file", &text(&hba)),
        ])
        .await;
        let server: &'static Cluster = Box::leak(Box::new(cluster));
        let mut world = World::on(server, server).await;
        world
            .shop
            .execute("CREATE TABLE t AS SELECT 1 AS id; CREATE ROLE certified LOGIN IN ROLE pg_read_all_data")
            .await;
        world.unset("targets.shop");
        world.set("daemon", "max_jobs", "4");
        // Many things happen at once.
        world.set("daemon", "lease", quoted("60s"));
        Self {
            world,
            server,
            made,
            authority,
            other,
            expired,
            client,
            foreign,
        }
    }

    /// A target of the server, as this role and host, with these parameters.
    fn target(&mut self, name: &str, who: &str, parameters: &str) {
        let (port, database) = (self.server.port(), self.world.shop.name());
        let url = format!("postgres://{who}:{port}/{database}?{parameters}");
        let section = format!("targets.{name}");
        self.world.set(&section, "url", quoted(&url));
    }

    /// Writes a file of the client's.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.made.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// What must work.
    fn good_targets(&mut self) -> [&'static str; 4] {
        let authority = self.authority.file.display().to_string();
        let full = format!("sslmode=verify-full&sslrootcert={authority}");
        self.target("full", "postgres@localhost", &full);
        // The name does not count.
        let ca = format!("sslmode=verify-ca&sslrootcert={authority}");
        self.target("ca", "postgres@127.0.0.1", &ca);
        self.target("encrypted", "postgres@127.0.0.1", "sslmode=require");
        let shown = format!("{full}&{}", shows(&self.client));
        self.target("certified", "certified@localhost", &shown);
        ["full", "ca", "encrypted", "certified"]
    }

    /// Files that are not there, or not what they should be.
    fn mistaken_files(&mut self) -> Vec<Mistake> {
        let full = |path: &str| format!("sslmode=verify-full&sslrootcert={path}");
        let mut all = Vec::new();
        let missing = self.made.path("missing.crt").display().to_string();
        self.target("missing", "postgres@localhost", &full(&missing));
        all.push(Mistake::new("missing", "No such file", &missing));
        let empty = self.file("empty.crt", "no certificate at all\n");
        self.target("empty", "postgres@localhost", &full(&empty));
        all.push(Mistake::new("empty", "holds no certificate", &empty));
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let damaged = self.file("damaged.crt", damaged);
        self.target("damaged", "postgres@localhost", &full(&damaged));
        all.push(Mistake::new("damaged", "cannot connect", &damaged));
        let authority = self.authority.file.display().to_string();
        let shown =
            |cert: &str, key: &str| format!("{}&sslcert={cert}&sslkey={key}", full(&authority));
        let cert = self.client.file.display().to_string();
        let no_key = self.file("no.key", "no key at all\n");
        self.target("no_key", "certified@localhost", &shown(&cert, &no_key));
        all.push(Mistake::new("no_key", "holds no private key", &no_key));
        let key = std::fs::read_to_string(&self.client.key).unwrap();
        let open = self.file("open.key", &key);
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
        self.target("open_key", "certified@localhost", &shown(&cert, &open));
        all.push(Mistake::new("open_key", "may be read by others", &open));
        let foreign = self.foreign.key.display().to_string();
        self.target("other_key", "certified@localhost", &shown(&cert, &foreign));
        all.push(Mistake::new("other_key", "cannot connect", &foreign));
        all
    }

    /// Certificates that one side does not accept.
    fn mistaken_peers(&mut self) -> Vec<Mistake> {
        let authority = self.authority.file.display().to_string();
        let full = format!("sslmode=verify-full&sslrootcert={authority}");
        let other = self.other.file.display().to_string();
        let wrong = format!("sslmode=verify-full&sslrootcert={other}");
        self.target("wrong_authority", "postgres@localhost", &wrong);
        self.target("wrong_name", "postgres@127.0.0.1", &full);
        let system = "sslmode=verify-full&sslrootcert=system";
        self.target("public_authorities", "postgres@localhost", system);
        let foreign = format!("{full}&{}", shows(&self.foreign));
        self.target("foreign_client", "certified@localhost", &foreign);
        self.target("no_client", "certified@localhost", &full);
        self.target("unencrypted", "postgres@127.0.0.1", "sslmode=disable");
        vec![
            Mistake::new("wrong_authority", "UnknownIssuer", &other),
            Mistake::new("wrong_name", "not valid for name", &authority),
            Mistake::new("public_authorities", "UnknownIssuer", "/etc/"),
            Mistake::new(
                "foreign_client",
                "cannot connect",
                &self.foreign.file.display().to_string(),
            ),
            Mistake {
                code: "authentication_failed",
                ..Mistake::new(
                    "no_client",
                    "requires a valid client certificate",
                    "sslcert",
                )
            },
            Mistake {
                code: "authentication_failed",
                ..Mistake::new("unencrypted", "no encryption", "sslmode")
            },
        ]
    }

    /// Takes a backup of each target and fails unless it ends so, for good; `check` must find the same.
    async fn fail(&self, mistakes: &[Mistake]) {
        let mut jobs = Vec::new();
        for mistake in mistakes {
            let request = BackupRequest::new(mistake.target);
            jobs.push((self.world.enqueue_request(request).await, mistake));
        }
        for (id, mistake) in jobs {
            mistake.check(&self.world.failed(id).await);
        }
        let said = self.world.say(&["check", "--json"]).code(6).json();
        for mistake in mistakes {
            let subject = format!("target {}", mistake.target);
            let found = said["findings"].as_array().unwrap().iter();
            let found: Vec<_> = found.filter(|found| found["subject"] == *subject).collect();
            assert_eq!(found.len(), 1, "{subject}: {said:#}");
            assert_eq!(found[0]["code"], mistake.code, "{said:#}");
            let text = format!("{} {}", found[0]["what"], found[0]["hint"]);
            assert!(text.contains(&mistake.says), "{text}");
            assert!(text.contains(&mistake.names), "{text}");
        }
    }
}

impl Mistake {
    fn new(target: &'static str, says: &str, names: &str) -> Self {
        Self {
            target,
            code: "tls_failed",
            says: says.to_owned(),
            names: names.to_owned(),
        }
    }

    fn check(&self, status: &JobStatus) {
        assert_eq!(status.error_code.as_deref(), Some(self.code), "{status:#?}");
        assert_eq!(status.error_step.as_deref(), Some("connect"), "{status:#?}");
        assert_eq!(status.attempt, 1, "{status:#?}");
        let error = status.error.as_deref().unwrap();
        assert!(error.contains(&self.says), "{}: {error}", self.target);
        let hint = status.error_hint.as_deref().unwrap();
        let named = error.contains(&self.names) || hint.contains(&self.names);
        assert!(named, "{}: {error} {hint}", self.target);
    }
}

/// The parameters that show this certificate.
fn shows(certificate: &Certificate) -> String {
    format!(
        "sslcert={}&sslkey={}",
        certificate.file.display(),
        certificate.key.display()
    )
}

#[tokio::test]
async fn a_certificate_that_fits_lets_in_and_each_that_does_not_is_named() {
    let mut scene = Scene::new().await;
    let good = scene.good_targets();
    let mut mistakes = scene.mistaken_files();
    mistakes.extend(scene.mistaken_peers());
    let plain = cluster().await;
    let url = format!(
        "postgres://postgres@127.0.0.1:{}/postgres?sslmode=require",
        plain.port()
    );
    scene.world.set("targets.plain", "url", quoted(&url));
    mistakes.push(Mistake::new(
        "plain",
        "server does not support TLS",
        "sslmode",
    ));
    let _daemon = scene.world.daemon().await;
    for target in good {
        let id = scene
            .world
            .enqueue_request(BackupRequest::new(target))
            .await;
        let ended = scene.world.ended(id).await;
        assert_eq!(ended.state, JobState::Succeeded, "{target}: {ended:#?}");
    }
    scene.fail(&mistakes).await;

    let expired = scene.expired.clone();
    expires(&scene, &expired).await;
    let authority = scene.authority.file.display().to_string();
    let mistake = Mistake::new("full", "Expired", &authority);
    scene.fail(&[mistake]).await;
}

/// Lets the server show a certificate that has expired.
async fn expires(scene: &Scene, expired: &Certificate) {
    for (setting, file) in [
        ("ssl_cert_file", &expired.file),
        ("ssl_key_file", &expired.key),
    ] {
        let sql = format!("ALTER SYSTEM SET {setting} = '{}'", file.display());
        scene.world.shop.execute(&sql).await;
    }
    scene.world.shop.execute("SELECT pg_reload_conf()").await;
    let shown = format!("localhost:{}", scene.server.port());
    eventually("the server shows the other certificate", SOON, async || {
        let output = std::process::Command::new("openssl")
            .args(["s_client", "-starttls", "postgres", "-connect", &shown])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("NotAfter").then_some(())?;
        let own = std::fs::read_to_string(&expired.file).unwrap();
        let line = own.lines().nth(2).unwrap();
        text.contains(line).then_some(())
    })
    .await;
}

/// The same mistakes in the queue's own address.
#[tokio::test]
async fn a_queue_whose_certificate_does_not_fit_is_not_called_away() {
    let mut scene = Scene::new().await;
    let (port, queue) = (scene.server.port(), scene.world.queue.name().to_owned());
    let missing = scene.made.path("missing.crt").display().to_string();
    let other = scene.other.file.display().to_string();
    for (file, says) in [(&other, "UnknownIssuer"), (&missing, "No such file")] {
        let url = format!(
            "postgres://postgres@localhost:{port}/{queue}?sslmode=verify-full&sslrootcert={file}"
        );
        scene.world.set("queue", "url", quoted(&url));
        for command in ["status", "check"] {
            let said = scene.world.say(&[command]);
            assert_ne!(said.code, Some(0), "{}{}", said.out, said.err);
            let text = format!("{}{}", said.out, said.err);
            for words in [says, "sslmode and the certificates", file.as_str()] {
                assert!(text.contains(words), "{command}: {text}");
            }
        }
        let daemon = scene.world.daemon_unready();
        eventually("the daemon says why", SOON, async || {
            let log = daemon.log();
            (log.contains(says) && log.contains("sslmode and the certificates")).then_some(())
        })
        .await;
    }
}
