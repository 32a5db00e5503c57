//! Measurements, run by hand: `cargo test --release -p pgdumpd --test store speed -- --ignored --nocapture
//! --test-threads 1`. They go where TMPDIR says: name a real disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Instant;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{MultipartUpload, ObjectStore};
use pgdumpd::fault::Fault;
use pgdumpd::pipeline::{Meter, Mode, Outcome, Sink, Source, run};
use pgdumpd::store::{ObjectKey, Storage, Upload};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::local;

const BUFFER: usize = 1 << 20;
const BUFFERS: usize = 1024;

/// The same buffer again and again: one table with rows of `row` bytes, 1 GiB in all.
struct Repeated {
    pieces: std::vec::IntoIter<Bytes>,
}

impl Repeated {
    fn new(row: usize) -> Self {
        let mut start = crate::archive::head(14, &[("orders", 1, 1)]);
        crate::archive::block_start(&mut start, 0);
        let mut rows = Vec::with_capacity(BUFFER + row);
        while rows.len() < BUFFER {
            rows.push(0);
            rows.extend(u32::try_from(row).unwrap().to_le_bytes());
            rows.resize(rows.len() + row - 1, 7);
            rows.push(b'\n');
        }
        let mut pieces = vec![Bytes::from(rows); BUFFERS];
        pieces.insert(0, start.into());
        let mut end = Vec::new();
        crate::archive::block_end(&mut end);
        pieces.push(end.into());
        Self {
            pieces: pieces.into_iter(),
        }
    }
}

impl Source for Repeated {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.pieces.next())
    }
}

struct Nowhere;

impl Sink for Nowhere {
    async fn write(&mut self, _: Bytes) -> Result<(), Fault> {
        Ok(())
    }
}

struct Stored(Upload);

impl Sink for Stored {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Fault> {
        self.0.write(bytes).await
    }
}

fn report(what: &str, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    let megabytes = (BUFFER * BUFFERS) as f64 / 1e6;
    println!("{what}: {seconds:.2} s, {:.0} MB/s", megabytes / seconds);
}

fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned()
}

fn new_key() -> ObjectKey {
    let now = chrono::Utc::now();
    ObjectKey::new(Uuid::new_v4(), "speed", Uuid::new_v4(), Uuid::new_v4(), now)
}

async fn pass(row: usize, mode: Mode, sink: &mut impl Sink) {
    let outcome = run(
        &mut Repeated::new(row),
        sink,
        mode,
        Meter::new(),
        &CancellationToken::new(),
    )
    .await;
    assert!(matches!(outcome, Ok(Outcome::Streamed(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_gibibyte_through_the_pipeline() {
    for _ in 0..3 {
        for row in [100, 4096, 100_000] {
            let start = Instant::now();
            pass(row, Mode::Read, &mut Nowhere).await;
            report(&format!("parsed and hashed, rows of {row} bytes"), start);
        }
        let start = Instant::now();
        pass(
            100,
            Mode::Unread {
                reason: String::new(),
            },
            &mut Nowhere,
        )
        .await;
        report("hashed alone", start);
    }
    println!("{}", peak_memory());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_gibibyte_into_a_directory() {
    let keep = tempfile::tempdir().unwrap();
    let config = local(keep.path().join("root"));
    let storage = Storage::open("speed", &config).await.unwrap();
    let theirs = LocalFileSystem::new_with_prefix(keep.path())
        .unwrap()
        .with_fsync(true);
    let buffer = Bytes::from(vec![7_u8; BUFFER]);
    for _ in 0..3 {
        let start = Instant::now();
        let mut file = File::create(keep.path().join("plain")).unwrap();
        for _ in 0..BUFFERS {
            file.write_all(&buffer).unwrap();
        }
        file.sync_all().unwrap();
        report("plain write and fsync", start);
        fs::remove_file(keep.path().join("plain")).unwrap();

        let start = Instant::now();
        let key = new_key();
        let mut upload = storage.begin(&key, None).await.unwrap();
        for _ in 0..BUFFERS {
            upload.write(buffer.clone()).await.unwrap();
        }
        upload.commit().await.unwrap();
        report("our upload", start);
        storage.delete_backup(&key).await.unwrap();

        let start = Instant::now();
        let path = object_store::path::Path::from("theirs");
        let mut upload: Box<dyn MultipartUpload> = theirs
            .put_multipart_opts(&path, Default::default())
            .await
            .unwrap();
        let mut parts = JoinSet::<object_store::Result<()>>::new();
        for _ in 0..BUFFERS {
            if parts.len() == 4 {
                parts.join_next().await.unwrap().unwrap().unwrap();
            }
            parts.spawn(upload.put_part(buffer.clone().into()));
        }
        while let Some(part) = parts.join_next().await {
            part.unwrap().unwrap();
        }
        upload.complete().await.unwrap();
        report("object_store's upload", start);
        fs::remove_file(keep.path().join("theirs")).unwrap();

        let start = Instant::now();
        let key = new_key();
        let mut sink = Stored(storage.begin(&key, None).await.unwrap());
        pass(4096, Mode::Read, &mut sink).await;
        sink.0.commit().await.unwrap();
        report("the pipeline into our upload", start);
        storage.delete_backup(&key).await.unwrap();
    }
    println!("{}", peak_memory());
}
