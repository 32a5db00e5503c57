//! That right dumps are not refused, and what is said of what a dump cannot hold.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, BackupSpec, JobState, JobStatus};
use pgdumpd_testkit::{Cluster, Database, cluster, cluster_of, fill};
use sqlx::Executor as _;
use tokio::task::JoinHandle;

use crate::harness::World;

/// What a dump leaves out by pg_dump's own rules, or takes in an unusual form, beside the testkit's sample.
const ODD: &str = r#"
    -- A table of an extension, its configuration, and an ordinary table in a schema of an extension.
    CREATE TABLE of_extension AS SELECT 1 AS id;
    CREATE TABLE configuration (id serial, name text); INSERT INTO configuration (name) VALUES ('a'), ('b');
    CREATE SCHEMA of_extension; CREATE TABLE of_extension.own AS SELECT 2 AS id;
    ALTER EXTENSION plpgsql ADD TABLE public.of_extension;
    ALTER EXTENSION plpgsql ADD TABLE configuration;
    ALTER EXTENSION plpgsql ADD SCHEMA of_extension;
    UPDATE pg_extension SET extconfig = ARRAY['configuration'::regclass::oid], extcondition = ARRAY['WHERE id > 1']
        WHERE extname = 'plpgsql';
    CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
    CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
    CREATE TABLE parts (id int, name text) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY LIST (name);
    CREATE TABLE parts_2_a PARTITION OF parts_2 FOR VALUES IN ('a', 'b');
    CREATE FOREIGN TABLE parts_far PARTITION OF parts FOR VALUES FROM (20) TO (30) SERVER elsewhere;
    INSERT INTO parts VALUES (1, 'x'), (11, 'a');
    CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO computed VALUES (1);
    CREATE TABLE only_computed (b int GENERATED ALWAYS AS (2) STORED); INSERT INTO only_computed DEFAULT VALUES;
    CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY, big bigserial);
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM computed;
    CREATE MATERIALIZED VIEW unpopulated AS SELECT 1 AS one WITH NO DATA;
    CREATE TYPE shape AS (x int, y int); CREATE TABLE shapes OF shape; INSERT INTO shapes VALUES (1, 2);
    CREATE VIEW circle_a AS SELECT 1 AS x; CREATE VIEW circle_b AS SELECT x FROM circle_a;
    CREATE OR REPLACE VIEW circle_a AS SELECT x FROM circle_b WHERE x > 0 UNION ALL SELECT 1 LIMIT 0;
    CREATE UNLOGGED TABLE hasty (id serial); INSERT INTO hasty DEFAULT VALUES;
    CREATE TABLE "comma,(a" ("b,c" int, "d""e)" text); INSERT INTO "comma,(a" VALUES (1, E'tab\tline\n');
    CREATE PUBLICATION told FOR ALL TABLES;
    CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER noticing ON ddl_command_end EXECUTE FUNCTION noticed();
    CREATE RULE kept AS ON DELETE TO shapes DO INSTEAD NOTHING;
    SELECT lo_from_bytea(70000 + i, 'object') FROM generate_series(1, 20) AS i;
    COMMENT ON LARGE OBJECT 70001 IS 'commented';
"#;

/// Creates and drops tables, sequences and large objects until it is aborted.
fn churn(database: &Database) -> JoinHandle<()> {
    let database = database.clone();
    tokio::spawn(async move {
        let mut connection = database.connect().await;
        // One in forty goes: not every dump loses a table between pg_dump's look at the catalog and its lock.
        let mut pace = tokio::time::interval(Duration::from_millis(30));
        for round in 0_u64.. {
            pace.tick().await;
            let gone = round - round % 40;
            // Never two tables of one name: that is a table replaced, which is refused. A statement may be in a dump's
            // way, or wait for one too long: the next one is as good.
            for statement in [
                "SET lock_timeout = '50ms'".to_owned(),
                format!("CREATE TABLE churn_{round} (id serial, name text)"),
                format!("INSERT INTO churn_{round} (name) VALUES ('a'), ('b')"),
                format!("DROP TABLE IF EXISTS churn_{gone}"),
                "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid > 80000 LIMIT 3"
                    .to_owned(),
                "SELECT lo_create(0)".to_owned(),
            ] {
                let _ = connection.execute(sqlx::AssertSqlSafe(statement)).await;
            }
        }
    })
}

fn text(patterns: &[&str]) -> Vec<String> {
    patterns
        .iter()
        .map(|pattern| (*pattern).to_owned())
        .collect()
}

/// Everything, and each kind of filter.
fn specs() -> Vec<BackupSpec> {
    let none = BackupSpec::default;
    vec![
        none(),
        BackupSpec {
            schemas: text(&["public"]),
            ..none()
        },
        BackupSpec {
            schemas: text(&["public", "\"Odd Schema\"", "archive"]),
            exclude_tables: text(&["parts", "far", "*_seq"]),
            ..none()
        },
        BackupSpec {
            exclude_schemas: text(&["archive", "of_*"]),
            ..none()
        },
        BackupSpec {
            tables: text(&["public.p*", "identified", "circle_?"]),
            ..none()
        },
        BackupSpec {
            tables: text(&["public.*", "archive.*", "of_*.*"]),
            exclude_schemas: text(&["archive"]),
            ..none()
        },
        BackupSpec {
            exclude_tables: text(&["identified", "parts_2*", "configuration"]),
            ..none()
        },
        BackupSpec {
            exclude_table_data: text(&["parts_1", "hasty", "untouched", "identified*"]),
            ..none()
        },
    ]
}

async fn back_up(world: &World, spec: BackupSpec) -> JobStatus {
    // One attempt: a refusal that passes by itself is one, too.
    let request = BackupRequest::new("shop").spec(spec).max_attempts(1);
    loop {
        let status = world
            .ended(world.enqueue_request(request.clone()).await)
            .await;
        // pg_dump itself fails where a table goes between its look at the catalog and its lock.
        let error = status.error.as_deref().unwrap_or_default();
        let went = error.contains("LOCK TABLE") && error.contains("public.churn_");
        if !went {
            assert_eq!(status.state, JobState::Succeeded, "{status:#?}");
            return status;
        }
    }
}

#[tokio::test]
async fn real_schemas_are_never_refused_whatever_comes_and_goes_beside_the_dump() {
    for major in 14..=18 {
        let Some(server) = cluster_of(major).await else {
            continue;
        };
        let world = World::on(cluster().await, server).await;
        fill(&world.shop, 1).await;
        world.shop.execute(ODD).await;
        let mut session = world.shop.connect().await;
        session
            .execute("CREATE TEMPORARY TABLE mine AS SELECT 1 AS id")
            .await
            .unwrap();
        let _daemon = world.daemon().await;
        let churning = churn(&world.shop);
        for spec in specs() {
            let status = back_up(&world, spec.clone()).await;
            let warned = |words: &str| {
                status
                    .warnings
                    .iter()
                    .any(|warning| warning.contains(words))
            };
            if spec == BackupSpec::default() {
                assert!(
                    warned("the rows of foreign tables are not in the backup: public."),
                    "{status:#?}"
                );
            }
            assert!(!warned("matches nothing"), "{status:#?}");
        }
        churning.abort();
    }
}

#[tokio::test]
async fn an_exclusion_that_leaves_out_nothing_is_a_warning_that_names_it() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE \"Orders\" (id int); CREATE TABLE orders_2 (id int);
             CREATE TABLE parts (id int) PARTITION BY RANGE (id);
             CREATE SCHEMA hidden; CREATE TABLE hidden.parts_1 (id int);",
        )
        .await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        exclude_schemas: text(&["hidden", "no_such_schema"]),
        exclude_tables: text(&["orders_?", "no_such_table", "hidden.parts_1"]),
        exclude_table_data: text(&["public.Orders", "\"Orders\"", "parts", "parts_1"]),
        ..BackupSpec::default()
    };
    let status = back_up(&world, spec).await;
    let expected = [
        "exclude_schemas \"no_such_schema\" matches nothing",
        "exclude_tables \"no_such_table\" matches nothing",
        "exclude_table_data \"public.Orders\" matches nothing",
        "exclude_table_data \"parts\" matches no table with rows of its own: \
         the rows of a partitioned table are in its partitions",
        "exclude_table_data \"parts_1\" matches nothing",
    ];
    assert_eq!(status.warnings, expected);
    assert_eq!(world.manifest(&world.backups()[0]).warnings, expected);
}

#[tokio::test]
async fn a_strict_target_refuses_an_exclusion_that_leaves_out_nothing_before_it_dumps() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE \"Orders\" (id int)").await;
    world.set("targets.shop", "strict_filters", "true");
    let _daemon = world.daemon().await;
    let with = |pattern: &str| BackupSpec {
        exclude_table_data: text(&[pattern]),
        ..BackupSpec::default()
    };
    let request = BackupRequest::new("shop").spec(with("public.Orders"));
    let status = world.failed(world.enqueue_request(request).await).await;
    assert_eq!(status.error_code.as_deref(), Some("filter_matches_nothing"));
    assert!(status.error.unwrap().contains("public.Orders"));
    assert_eq!(status.attempt, 1);
    world.assert_clean(0).await;
    back_up(&world, with("public.\"Orders\"")).await;
}

#[tokio::test]
async fn a_pattern_that_pg_dump_would_refuse_fails_for_good_and_is_named() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    for pattern in ["pub(lic", "a{1", "a.b.c.d", "x.a|y.b.c", "a.b.c"] {
        let spec = BackupSpec {
            exclude_tables: text(&[pattern]),
            ..BackupSpec::default()
        };
        let id = world
            .enqueue_request(BackupRequest::new("shop").spec(spec))
            .await;
        let status = world.failed(id).await;
        assert_eq!(
            status.error_code.as_deref(),
            Some("spec_invalid"),
            "{status:#?}"
        );
        assert_eq!(status.attempt, 1);
        assert!(status.error.unwrap().contains(pattern));
    }
}

#[tokio::test]
async fn a_schema_that_is_excluded_stays_out_beside_chosen_tables() {
    let world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE open (id int); CREATE SCHEMA secret; CREATE TABLE secret.hidden AS SELECT 1 AS id")
        .await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        tables: text(&["public.*", "secret.*"]),
        exclude_schemas: text(&["secret"]),
        ..BackupSpec::default()
    };
    back_up(&world, spec).await;
    let restored = world.restore(&world.backups()[0]).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384",
    )
    .fetch_all(&mut restored.connect().await)
    .await
    .unwrap();
    assert_eq!(tables, ["open"]);
}

#[tokio::test]
async fn rows_of_unlogged_tables_on_a_standby_are_a_warning_in_row_manifest_and_check() {
    let server: &'static Cluster = Box::leak(Box::new(
        Cluster::start_private(&[("wal_level", "replica"), ("max_wal_senders", "2")]).await,
    ));
    let world = World::on(cluster().await, server).await;
    world
        .shop
        .execute(
            "CREATE UNLOGGED TABLE hasty AS SELECT generate_series(1, 500) AS id;
             CREATE TABLE kept AS SELECT 1 AS id; CREATE UNLOGGED TABLE \"Other\" (id serial); CHECKPOINT",
        )
        .await;
    let directory: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(&mut world.shop.connect().await)
        .await
        .unwrap();
    server.stop().await;
    // It follows nobody, and stays a standby.
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "touch \"$0/standby.signal\" && chmod 644 \"$0/standby.signal\"",
            &directory,
        ])
        .status()
        .unwrap();
    assert!(output.success());
    server.start().await;
    let _daemon = world.daemon().await;
    let status = back_up(&world, BackupSpec::default()).await;
    let warning = "the rows of unlogged tables are not in the backup, because a standby has none: ";
    assert_eq!(status.warnings.len(), 1, "{status:#?}");
    assert!(status.warnings[0].starts_with(warning), "{status:#?}");
    for table in ["public.hasty", "public.\"Other\""] {
        assert!(status.warnings[0].contains(table), "{status:#?}");
    }
    assert_eq!(
        world.manifest(&world.backups()[0]).warnings,
        status.warnings
    );
    let said = world.say(&["check"]).out;
    assert!(
        said.contains("where unlogged tables have no rows: 2 tables ("),
        "{said}"
    );
}

#[tokio::test]
async fn check_names_the_rows_that_no_dump_holds() {
    let world = World::new().await;
    world.shop.execute(ODD).await;
    world.shop.execute("ANALYZE of_extension").await;
    let said = tokio::time::timeout(Duration::from_secs(60), async { world.say(&["check"]).out })
        .await
        .unwrap();
    for words in [
        "the rows of foreign tables are not in a backup: 2 tables (public.far, public.parts_far)",
        "the rows of tables that belong to an extension are not in a backup: 1 table (public.of_extension)",
    ] {
        assert!(said.contains(words), "{said}");
    }
}
