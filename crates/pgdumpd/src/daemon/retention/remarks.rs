//! What an operator has to know of the backups that retention leaves alone.

use std::collections::BTreeMap;

use super::judging::Judged;
use crate::finding::Finding;
use crate::retention::DumpedDatabase;
use crate::store::Storage;

impl Judged {
    /// What an operator has to know of what is left alone in a storage.
    pub(super) fn remarks(&self, storage: &Storage) -> Vec<Finding> {
        let place = format!("storage \"{}\"", storage.name());
        let mut remarks = self.of_other_databases(&place);
        if self.databases.is_empty() {
            let what = format!(
                "keep_last deletes nothing in {place}: it is not known which database was backed up"
            );
            remarks.push(Finding::warning("database_unknown", what).hint(
                "Let the target's role read it: GRANT EXECUTE ON FUNCTION pg_control_system() TO the role, in the target's database.",
            ));
        }
        for (keys, code, why, hint) in [
            (
                &self.without_database,
                "kept_without_database",
                "their manifests do not say which server they are of",
                "Delete those that nobody needs with `pgdumpd delete`.",
            ),
            (
                &self.without_age,
                "kept_without_age",
                "the queue does not know when they were taken",
                "They come from a rebuilt queue, or from an older pgdumpd. Delete those that nobody needs with `pgdumpd delete`.",
            ),
            (
                &self.without_row,
                "kept_without_row",
                "the queue has no record of them",
                "`pgdumpd fsck` shows them; delete those that nobody needs with `pgdumpd delete --key`.",
            ),
        ] {
            if let Some(key) = keys.iter().min() {
                let what = format!(
                    "keep_last neither counts nor deletes {} in {place}, because {why}; one of them is {key}",
                    backups(keys.len())
                );
                remarks.push(Finding::warning(code, what).hint(hint));
            }
        }
        remarks
    }

    /// An address that leads to another database by now: what is of the former one stays.
    fn of_other_databases(&self, place: &str) -> Vec<Finding> {
        // Not that of what was just stored: a copy of an old backup may have come late.
        let Some(newest) = self.backups.first() else {
            return Vec::new();
        };
        let now = newest.scope.database();
        let mut others: BTreeMap<&DumpedDatabase, usize> = BTreeMap::new();
        for backup in &self.backups {
            let database = backup.scope.database();
            if database != now {
                *others.entry(database).or_default() += 1;
            }
        }
        let say = |(former, count): (&DumpedDatabase, usize)| {
            let what = format!(
                "{place} keeps {} of database {former}: the last backup of the target is of database {now}",
                backups(count)
            );
            Finding::warning("target_is_another_database", what).hint(
                "A server that was upgraded or created again has another system identifier; this is then expected. keep_last \
                 deletes no backup of the former database: delete those that nobody needs with `pgdumpd delete`.",
            )
        };
        others.into_iter().map(say).collect()
    }
}

fn backups(count: usize) -> String {
    match count {
        1 => "1 backup".to_owned(),
        count => format!("{count} backups"),
    }
}
