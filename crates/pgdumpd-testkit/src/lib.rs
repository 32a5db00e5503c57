//! Throwaway PostgreSQL clusters and faults for pgdumpd's own tests.
//!
//! [`cluster()`] is the place to begin: one server shared by every test of a run (and by every
//! test process, for nextest gives each test its own), and a fresh database in it for each test:
//!
//! ```no_run
//! # async fn example() {
//! let db = pgdumpd_testkit::cluster().await.database().await;
//! db.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)").await;
//! let pool = db.pool().await;
//! # }
//! ```
//!
//! Nothing here returns an error: whatever goes wrong is a broken test environment, and the kit
//! panics with what is missing.
//!
//! Environment:
//! - `PGDUMPD_TEST_PG_BIN`: the folder with the default major's `initdb`, `postgres`, `pg_dump`;
//! - `PGDUMPD_CACHE`: where `script/bootstrap` puts PostgreSQL (default: `.cache` in the workspace);
//! - `PGDUMPD_TEST_CLUSTERS`: where shared clusters live (default: a folder per user below the
//!   temporary directory);
//! - `PGDUMPD_TEST_ALL_MAJORS`: when set, a major that is not installed fails a test, which else
//!   is skipped;
//! - `PGDUMPD_TEST_MOUNTS`: when set, so does a file system that cannot be mounted;
//! - `PGDUMPD_TEST_LANGUAGES`, `PGDUMPD_TEST_POOLER`, `PGDUMPD_TEST_PROMTOOL`: when set, so do a server that speaks other
//!   languages than English, a PgBouncer, and a `promtool`, that are missing.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    reason = "test code: a broken environment ends the test, a skipped one says so"
)]

mod binaries;
mod certificates;
mod cluster;
mod database;
mod debian;
mod eventually;
mod fake_pg_dump;
mod faulty_s3;
mod fill;
mod hung_mount;
mod judge;
mod manifest_text;
mod pooler;
mod promtool;
mod proxy;
mod s3_server;
mod skip;
mod user;

pub use binaries::python;
pub use certificates::{Certificate, Certificates};
pub use cluster::{Cluster, Language, cluster, cluster_of, cluster_speaking};
pub use database::{Database, Role};
pub use eventually::eventually;
pub use fake_pg_dump::{FakePgDump, Run, Then};
pub use faulty_s3::{FaultyS3, S3Fault, S3Operation, SeenRequest};
pub use fill::{fill, fill_large_objects, hostile_public};
pub use hung_mount::HungMount;
pub use judge::contents;
pub use manifest_text::manifest_text;
pub use pooler::Pooler;
pub use promtool::promtool;
pub use proxy::Proxy;
pub use s3_server::{S3Keys, S3Server, s3_server};
pub use skip::Needs;
pub use user::unprivileged;
