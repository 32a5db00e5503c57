//! The migrations as a script, for a DBA who wants to read before running.

use super::history::{CREATE, LOCK, MIGRATIONS, VERSION};
use super::{Grants, SAFE_PATH};

/// Everything that [`migrate`](super::migrate()) would do to a database without a queue, as one transaction
/// that psql can run. On a database that has a queue it fails, and changes nothing.
pub fn print(grants: &Grants) -> String {
    let mut script = format!(
        "-- The schema of pgdumpd's queue, version {VERSION}, for a database without one.\n\
         -- Run it as the role that shall own it: psql -v ON_ERROR_STOP=1 -f FILE DATABASE\n\
         -- It is one transaction: it happens as a whole or not at all.\n\
         BEGIN;\n{SAFE_PATH};\n{LOCK};\nCREATE SCHEMA pgdumpd;\n{CREATE};\n"
    );
    for migration in MIGRATIONS {
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
