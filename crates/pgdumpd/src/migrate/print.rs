//! The migrations as a script, for a DBA who wants to read before running.

use super::history::{CREATE, LOCK, MIGRATIONS, VERSION};
use super::{Grants, SAFE_PATH};

/// Everything that [`migrate`](super::migrate()) would do, as one transaction that psql can run: to a database without
/// a queue, or to a queue that is at the version `from`. On any other database it fails, and changes nothing.
pub fn print(grants: &Grants, from: Option<i64>) -> String {
    let (what, begin) = match from {
        None => (
            "for a database without one".to_owned(),
            format!("CREATE SCHEMA pgdumpd;\n{CREATE};\n"),
        ),
        Some(from) => (
            format!("for a queue that is at version {from}"),
            expect_version(from),
        ),
    };
    let mut script = format!(
        "-- The schema of pgdumpd's queue, version {VERSION}, {what}.\n\
         -- Run it as the role that owns it: psql -v ON_ERROR_STOP=1 -f FILE DATABASE\n\
         -- It is one transaction: it happens as a whole or not at all.\n\
         BEGIN;\n{SAFE_PATH};\n{LOCK};\n{EXPECT_UTF8}{begin}"
    );
    let new = MIGRATIONS
        .iter()
        .filter(|migration| from.is_none_or(|from| migration.version > from));
    for migration in new {
        let sql = migration.sql.trim_end();
        script.push_str(&format!(
            "\n-- Migration {}: {}\n\n{sql}\n\n{};\n",
            migration.version,
            migration.name,
            migration.history_insert()
        ));
    }
    if !grants.is_empty() {
        script.push_str("\n-- Rights\n\n");
    }
    for call in grants.calls() {
        script.push_str(&call.sql);
        script.push_str(";\n");
    }
    script.push_str("\nCOMMIT;\n");
    script
}

const EXPECT_UTF8: &str = "\
DO $$ BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE 'the database has the encoding %, and a queue needs UTF8', current_setting('server_encoding');
    END IF;
END $$;
";

fn expect_version(from: i64) -> String {
    format!(
        "\
DO $$ DECLARE found int8 := (SELECT max(version) FROM pgdumpd.schema_migrations); BEGIN
    IF found <> {from} THEN
        RAISE 'the queue is at version %, not {from}: print the script again with --from %', found, found;
    END IF;
END $$;
"
    )
}
