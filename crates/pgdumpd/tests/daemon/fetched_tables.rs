//! `fetch --table`: what the file holds, and what it is said to lack.

use pgdumpd_client::{BackupRequest, BackupSpec};
use serde_json::json;

use crate::harness::World;

const TABLES: &str = r#"
CREATE TABLE public.big (id integer PRIMARY KEY);
INSERT INTO public.big SELECT generate_series(1, 1000);
CREATE TABLE public.Étoile (id integer);
INSERT INTO public.Étoile VALUES (7);
CREATE EXTENSION btree_gist;
CREATE TABLE public.booking (room integer, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO public.booking VALUES (1, '[2020-01-01,2020-01-02)');
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
CREATE TABLE public.mixed (a integer) PARTITION BY LIST (a);
CREATE FOREIGN TABLE public.mixed_1 PARTITION OF public.mixed FOR VALUES IN (1) SERVER far;
CREATE TABLE public.mixed_2 PARTITION OF public.mixed FOR VALUES IN (2);
INSERT INTO public.mixed VALUES (2);
"#;

#[tokio::test]
async fn a_file_that_lacks_rows_is_kept_and_says_so() {
    let world = World::new().await;
    world.shop.execute(TABLES).await;
    let daemon = world.daemon().await;
    let spec = BackupSpec {
        exclude_table_data: vec!["public.big".to_owned()],
        ..BackupSpec::default()
    };
    let id = world
        .enqueue_request(BackupRequest::new("shop").spec(spec))
        .await;
    world.succeeded(id).await;
    daemon.stop().await;
    let id = id.to_string();
    let fetch = |name: &str, tables: &[&str], more: &[&str]| {
        let to = world.dir.path().join(name);
        let text = to.display().to_string();
        let tables = tables.iter().flat_map(|table| ["--table", *table]);
        let arguments: Vec<_> = ["fetch", &id, "-o", &text]
            .into_iter()
            .chain(tables)
            .collect();
        (to, world.say(&[&arguments, more].concat()))
    };

    let (to, said) = fetch("big", &["public.big"], &[]);
    let said = said.code(7);
    let line = "the file is incomplete: public.big has no rows in the archive";
    assert!(said.err.contains(line), "{}", said.err);
    let restored = world.restore(&to).await;
    let sql = "INSERT INTO public.big VALUES (1)";
    restored.execute(sql).await;

    let (_, said) = fetch(
        "json",
        &["public.big", "public.mixed", "public.booking"],
        &["--json"],
    );
    let said = said.code(7).json();
    let expected = [
        "public.big has no rows in the archive",
        "public.mixed_1 of public.mixed is a foreign table: its rows are not in the archive",
    ];
    assert_eq!(said["incomplete"], json!(expected), "{said}");
    assert_eq!(said["tables"].as_array().unwrap().len(), 2);

    let (to, said) = fetch("booking", &["public.booking"], &["--json"]);
    assert_eq!(said.code(0).json()["incomplete"], json!([]));
    world.restore(&to).await;

    // PostgreSQL folds the letters A to Z alone.
    let (_, said) = fetch("star", &["Public.ÉTOILE"], &[]);
    assert!(said.code(0).out.contains(": 1 rows"));
    let (_, said) = fetch("far", &["public.mixed_1"], &[]);
    assert!(said.code(1).err.contains("is a foreign table, not a table"));
}
