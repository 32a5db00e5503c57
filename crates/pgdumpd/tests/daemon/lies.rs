//! A pg_dump that ends with 0 and whose archive is not what was asked for.

use pgdump_archive::IndexingParser;
use pgdumpd_client::{BackupRequest, JobStatus};
use pgdumpd_testkit::{FakePgDump, Then};

use crate::harness::{Daemon, World, quoted};

/// A database, and a pg_dump that lies about it. The target `read` leaves the compression to pg_dump.
struct Liar {
    world: World,
    fake: FakePgDump,
    _daemon: Daemon,
}

impl Liar {
    async fn new() -> Self {
        let mut world = World::new().await;
        world
            .shop
            .execute(
                "CREATE TABLE big AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 1000) AS i;
                 CREATE TABLE small (id int, name text); INSERT INTO small VALUES (1, 'one'), (2, 'two');
                 CREATE SCHEMA audit; CREATE TABLE audit.log AS SELECT 1 AS id;
                 CREATE VIEW seen AS SELECT * FROM small; CREATE SEQUENCE numbers; SELECT nextval('numbers');
                 SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 3);",
            )
            .await;
        let fake = FakePgDump::new(world.cluster.major(), b"", Then::Exit(1));
        world.use_fake(&fake);
        let url = quoted(&world.shop.url());
        world.set("targets.read", "url", url);
        world.set("targets.read", "compressor", quoted("pg_dump"));
        world.set("targets.read", "compression", quoted("none"));
        let daemon = world.daemon().await;
        Self {
            world,
            fake,
            _daemon: daemon,
        }
    }

    /// The end of one attempt.
    async fn attempt(&self, target: &str) -> JobStatus {
        let request = BackupRequest::new(target).max_attempts(1);
        let id = self.world.enqueue_request(request).await;
        self.world.ended(id).await
    }

    async fn refused(&self, lie: &str, code: &str, named: &str) {
        for target in ["shop", "read"] {
            let status = self.attempt(target).await;
            assert_eq!(
                status.error_code.as_deref(),
                Some(code),
                "{lie}: {status:#?}"
            );
            let error = status.error.unwrap();
            assert!(error.contains(named), "{lie}: {error}");
        }
        assert!(self.world.backups().is_empty(), "{lie}");
    }
}

#[tokio::test]
async fn a_pg_dump_that_leaves_out_what_was_asked_for_never_succeeds() {
    let mut liar = Liar::new().await;
    let other = liar.world.cluster.database().await;
    other
        .execute("CREATE TABLE theirs AS SELECT generate_series(1, 10) AS id")
        .await;
    let other = format!("--dbname={}", other.name());
    let real = liar.world.cluster.bin("pg_dump");
    for (option, code, named) in [
        (
            "--exclude-table-data=public.big",
            "dump_incomplete",
            "the rows of table public.big",
        ),
        (
            "--exclude-table=public.big",
            "dump_incomplete",
            ": table public.big",
        ),
        (
            "--exclude-schema=audit",
            "dump_incomplete",
            "table audit.log",
        ),
        (
            "--schema-only",
            "dump_incomplete",
            "the rows of table public.small",
        ),
        ("--data-only", "dump_incomplete", "table public.small"),
        (
            "--section=pre-data",
            "dump_incomplete",
            "the value of sequence public.numbers",
        ),
        ("--no-blobs", "dump_incomplete", "3 large objects"),
        (
            "--table=public.small",
            "dump_incomplete",
            "table public.big",
        ),
        (
            "--exclude-table=public.seen",
            "dump_incomplete",
            "view public.seen",
        ),
        (
            "--exclude-table=public.numbers",
            "dump_incomplete",
            "sequence public.numbers",
        ),
        (&other, "database_differs", "not of"),
    ] {
        let arguments = vec![option.to_owned()];
        liar.fake
            .become_(b"", Then::ExecWith(real.clone(), arguments));
        liar.refused(option, code, named).await;
    }
    liar.world.assert_clean(0).await;
    // The same without an option is a backup.
    liar.fake.become_(b"", Then::Exec(real));
    for target in ["shop", "read"] {
        let status = liar.attempt(target).await;
        assert_eq!(status.error, None);
    }
    liar.world.assert_clean(2).await;
}

/// A public key of age.
const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[tokio::test]
async fn what_a_sealed_backup_lacks_is_counted_and_not_named() {
    let mut liar = Liar::new().await;
    let daemon = {
        let world = &mut liar.world;
        let url = quoted(&world.shop.url());
        world.set("targets.closed", "url", url);
        world.set("targets.closed", "encrypt_to", format!("[{}]", quoted(KEY)));
        world.set("targets.closed", "manifest", quoted("sealed"));
        world.daemon().await
    };
    let archive = liar.world.archive();
    let [one, two, end] = ["1\tone\n", "2\ttwo\n", END].map(chunk);
    let cut = replaced(&archive, &[&one[..], &two, &end].concat(), &one);
    let real = liar.world.cluster.bin("pg_dump");
    let lacks = Then::ExecWith(real, vec!["--exclude-table-data=public.*".to_owned()]);
    for (bytes, then, code, says) in [
        (&b""[..], lacks, "dump_incomplete", "the rows of 2 tables"),
        (
            &cut,
            Then::Exit(0),
            "archive_corrupt",
            "could not be restored",
        ),
    ] {
        liar.fake.become_(bytes, then);
        let status = liar.attempt("closed").await;
        assert_eq!(status.error_code.as_deref(), Some(code), "{status:#?}");
        let error = status.error.unwrap();
        assert!(error.contains(says), "{error}");
        for text in [&error, &daemon.log()] {
            assert!(!text.contains("public."), "{text}");
        }
    }
}

/// Bytes as pg_dump writes them into an archive without compression.
fn chunk(bytes: &str) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[0][..], &length, bytes.as_bytes()].concat()
}

/// The archive with the first `old` replaced.
fn replaced(archive: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = archive
        .windows(old.len())
        .position(|window| window == old)
        .unwrap();
    [&archive[..at], new, &archive[at + old.len()..]].concat()
}

const END: &str = "\\.\n\n\n";

#[tokio::test]
async fn rows_that_are_cut_or_run_together_or_have_no_end_never_succeed() {
    let mut liar = Liar::new().await;
    let archive = liar.world.archive();
    let [one, two, end] = ["1\tone\n", "2\ttwo\n", END].map(chunk);
    let rows = [&one[..], &two, &end].concat();
    for (lie, new, named) in [
        (
            "no end",
            [&one[..], &two].concat(),
            "does not end as COPY data does",
        ),
        (
            "two rows in one",
            [&chunk("1\tone2\ttwo\n")[..], &end].concat(),
            "1 rows are not whole",
        ),
        (
            "half a row",
            [&one[..], &chunk("2\n"), &end].concat(),
            "2 rows are not whole",
        ),
        (
            "a row without its end",
            [&one[..], &chunk("2\ttwo"), &end].concat(),
            "does not end as COPY data does",
        ),
        (
            "a row after the end",
            [&one[..], &end, &two].concat(),
            "does not end as COPY data does",
        ),
        ("nothing", Vec::new(), "does not end as COPY data does"),
    ] {
        let bytes = replaced(&archive, &rows, &new);
        liar.fake.become_(&bytes, Then::Exit(0));
        liar.refused(lie, "archive_corrupt", named).await;
        let status = liar.attempt("shop").await;
        assert!(status.error.unwrap().contains("public.small"), "{lie}");
    }
    liar.world.assert_clean(0).await;
}

#[tokio::test]
async fn an_archive_whose_parts_pg_restore_would_mistake_for_one_another_is_refused_for_good() {
    let mut liar = Liar::new().await;
    let archive = liar.world.archive();
    let mut parser = IndexingParser::new();
    parser.push(&archive, &mut |_| {}).unwrap();
    let (_, index) = parser.finish().unwrap();
    let block = index.entries[0].range().unwrap();
    let block = usize::try_from(block.start).unwrap()..usize::try_from(block.end).unwrap();
    let twice = [&archive[..block.end], &archive[block]].concat();
    let bytes = [&twice[..], &archive[twice.len() - index_bytes(&index)..]].concat();
    liar.fake.become_(&bytes, Then::Exit(0));
    for target in ["shop", "read"] {
        let id = liar.world.enqueue_request(BackupRequest::new(target)).await;
        let status = liar.world.failed(id).await;
        assert_eq!(
            status.error_code.as_deref(),
            Some("archive_ambiguous"),
            "{status:#?}"
        );
        assert_eq!(status.attempt, 1);
    }
}

fn index_bytes(index: &pgdump_archive::Index) -> usize {
    usize::try_from(index.entries[0].block_bytes).unwrap()
}

/// The format says nowhere how many rows there are: only a count in the database could, and that is another snapshot.
#[tokio::test]
async fn whole_rows_that_a_pg_dump_leaves_out_cannot_be_found() {
    let mut liar = Liar::new().await;
    let archive = liar.world.archive();
    let bytes = replaced(&archive, &chunk("2\ttwo\n"), b"");
    liar.fake.become_(&bytes, Then::Exit(0));
    let status = liar.attempt("shop").await;
    assert_eq!(status.error, None);
    assert_eq!(status.rows_done, Some(1002));
}
