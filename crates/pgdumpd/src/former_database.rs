//! A target that led to another database when it was last backed up: no failure, because a server that is upgraded or
//! moved looks the same, but a word to the operator.

use crate::finding::Finding;
use crate::queue::{DumpedDatabase, Queue};
use crate::server::Target;

/// The database that a target leads to.
pub(crate) fn database_of(target: &Target) -> DumpedDatabase {
    DumpedDatabase {
        name: target.url().database().to_owned(),
        system_identifier: target
            .system_identifier()
            .map(|identifier| identifier.to_string()),
    }
}

/// A warning where the newest backup of this target is of another database than it leads to now. A queue that cannot be
/// asked says nothing.
pub(crate) async fn change(queue: &Queue, target: &Target) -> Option<Finding> {
    let former = queue.last_database(target.name()).await.ok().flatten()?;
    compare(&former, &database_of(target))
}

fn compare(former: &DumpedDatabase, now: &DumpedDatabase) -> Option<Finding> {
    let what = if former.name != now.name {
        format!(
            "the last backup is of database \"{}\", and the target leads to database \"{}\" now",
            former.name, now.name
        )
    } else {
        let (then, now) = (
            former.system_identifier.as_ref()?,
            now.system_identifier.as_ref()?,
        );
        if then == now {
            return None;
        }
        format!(
            "the last backup is of the server {then}, and the target leads to the server {now} now"
        )
    };
    Some(Finding::warning("database_changed", what).hint(
        "After an upgrade or a move of the server this is as it should be. Else correct the target's url, and take a \
         backup. Backups of the former database are not deleted by keep_last.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(name: &str, identifier: Option<&str>) -> DumpedDatabase {
        DumpedDatabase {
            name: name.to_owned(),
            system_identifier: identifier.map(str::to_owned),
        }
    }

    #[test]
    fn another_name_or_another_server_is_another_database_and_an_unknown_server_is_not() {
        let is_other = |then: (&str, Option<&str>), now: (&str, Option<&str>)| {
            compare(&database(then.0, then.1), &database(now.0, now.1)).is_some()
        };
        assert!(is_other(("shop", Some("1")), ("other", Some("1"))));
        assert!(is_other(("shop", Some("1")), ("shop", Some("2"))));
        assert!(is_other(("shop", None), ("other", None)));
        assert!(!is_other(("shop", Some("1")), ("shop", Some("1"))));
        assert!(!is_other(("shop", None), ("shop", Some("1"))));
        assert!(!is_other(("shop", Some("1")), ("shop", None)));
    }
}
