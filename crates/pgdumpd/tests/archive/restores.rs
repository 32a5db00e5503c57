//! Every major's pg_restore reads what we write.

use crate::recompress::{Folder, SCHEMA, dump, index, list, plain, recompress, restore, seekable};
use pgdump_archive::IndexEntry;
use pgdumpd_testkit::{Cluster, cluster_of};

/// More rows and large objects than one piece takes, on top of the golden schema.
const MORE: &str = "\
CREATE TABLE shop.many AS SELECT n AS id, md5(n::text) AS text, repeat('wide ', n % 60) AS wide
    FROM generate_series(1, 25000) AS n;
CREATE TABLE shop.single_line AS SELECT repeat('0123456789', 250000) AS text;
SELECT lo_from_bytea(0, decode(repeat(md5(n::text), n % 7), 'hex')) FROM generate_series(1, 300) AS n;
SELECT lo_from_bytea(0, decode(string_agg(md5(n::text), ''), 'hex')) FROM generate_series(1, 80000) AS n;
CREATE SCHEMA \"Ελληνικά\";
CREATE TABLE \"Ελληνικά\".\"日本語 'x' \\ العربية\t\" (\"列\" text, \"\"\"q\"\"\" integer);
INSERT INTO \"Ελληνικά\".\"日本語 'x' \\ العربية\t\" VALUES (E'a\\\\.\\n\\\\.\\tb', 1), (NULL, 2), ('\\.', 3);
";

async fn restores(dumped: u32, restored: u32, codecs: &[&str]) {
    let (Some(old), Some(new)) = (cluster_of(dumped).await, cluster_of(restored).await) else {
        return;
    };
    let db = old.database().await;
    db.execute(SCHEMA).await;
    db.execute(MORE).await;
    let source = dump(old, &db, &["-Z0"]);
    let folder = Folder::new();
    let source_path = folder.write("source.dump", &source);
    // Of another major's server a dump reads otherwise: there the uncompressed archive is the judge.
    let expected = if dumped == restored {
        plain(old, &db)
    } else {
        let raised = recompress(&source, "none").0;
        restore(new, &folder.write("none.dump", &raised), &[]).await
    };
    let listed = list(old, &source_path);
    for codec in codecs {
        let (archive, index) = recompress(&source, codec);
        let piped = folder.write("piped.dump", &archive);
        assert!(
            restore(new, &piped, &[]).await == expected,
            "{dumped} {codec}"
        );
        assert_eq!(list(new, &piped), listed, "{dumped} {codec}");
        assert!(
            restore(new, &piped, &["-j", "4"]).await == expected,
            "{dumped} {codec} -j 4"
        );
        let seekable = folder.write("seekable.dump", &seekable(&archive, &index));
        assert!(
            restore(new, &seekable, &["-j", "4"]).await == expected,
            "{dumped} {codec} with offsets"
        );
    }
    if dumped == restored {
        same_index(old, &db, &source);
    }
}

/// What pg_dump compressed by itself has the same index.
fn same_index(cluster: &Cluster, db: &pgdumpd_testkit::Database, source: &[u8]) {
    let ours = recompress(source, "gzip:6").1;
    let mut theirs = vec![dump(cluster, db, &["-Z6"])];
    if cluster.major() >= 16 {
        theirs.push(dump(cluster, db, &["--compress=zstd:1"]));
        theirs.push(dump(cluster, db, &["--compress=lz4:1"]));
    }
    let raw = |entry: &IndexEntry| {
        (
            entry.dump_id,
            entry.rows,
            entry.raw_bytes,
            entry.raw_xxh3_128,
        )
    };
    for archive in theirs {
        let found = index(&archive).1;
        assert!(
            found
                .entries
                .iter()
                .map(raw)
                .eq(ours.entries.iter().map(raw))
        );
    }
}

#[tokio::test]
async fn what_14_dumped_restores_with_every_codec() {
    restores(14, 14, &["none", "gzip:6"]).await;
}

#[tokio::test]
async fn what_15_dumped_restores_with_every_codec() {
    restores(15, 15, &["none", "gzip:6"]).await;
}

#[tokio::test]
async fn what_16_dumped_restores_with_every_codec() {
    restores(16, 16, &["none", "gzip:6", "lz4", "zstd:1", "zstd:9"]).await;
}

#[tokio::test]
async fn what_17_dumped_restores_with_every_codec() {
    restores(17, 17, &["none", "gzip:6", "lz4", "zstd:1"]).await;
}

#[tokio::test]
async fn what_18_dumped_restores_with_every_codec() {
    restores(18, 18, &["none", "gzip:6", "lz4", "zstd:1"]).await;
}

#[tokio::test]
async fn a_raised_archive_of_14_or_15_restores_with_16() {
    restores(14, 16, &["zstd:1"]).await;
    restores(15, 16, &["lz4", "zstd:1"]).await;
}
