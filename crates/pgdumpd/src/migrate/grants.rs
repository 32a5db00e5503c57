//! Which roles get which rights. What the rights are is said in SQL (migration 11).

use std::collections::HashSet;

/// Roles to take rights from and to grant them to, as `pgdumpd migrate --grant-…` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Lose every right on the queue, before anything is granted.
    pub revoked: Vec<String>,
    /// May enqueue, and see and cancel their own jobs.
    pub producers: Vec<String>,
    /// May see everything.
    pub readers: Vec<String>,
    /// The daemons' roles.
    pub daemons: Vec<String>,
    /// May see everything, enqueue, and cancel every job.
    pub operators: Vec<String>,
}

/// One grant: the role, and the statement.
pub(super) struct Call {
    pub(super) role: String,
    pub(super) sql: String,
}

impl Grants {
    /// Whether there is nothing to grant.
    pub fn is_empty(&self) -> bool {
        self.calls().next().is_none()
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = Call> {
        let call = |function: &str, role: &String| Call {
            role: role.clone(),
            sql: format!("SELECT pgdumpd.{function}({})", literal(role)),
        };
        let mut granted: HashSet<&String> = HashSet::new();
        let mut calls: Vec<Call> = self
            .revoked
            .iter()
            .map(|role| call("revoke_role", role))
            .collect();
        let parts = [
            (&self.producers, "grant_producer", "add_producer_rights"),
            (&self.readers, "grant_reader", "add_reader_rights"),
            (&self.operators, "grant_operator", "add_operator_rights"),
            // It has the rights of all others.
            (&self.daemons, "grant_daemon", "grant_daemon"),
        ];
        for (roles, grant, add) in parts {
            // A grant takes what it does not give: a role that is asked for twice at once has both.
            calls.extend(roles.iter().map(|role| {
                if granted.insert(role) {
                    call(grant, role)
                } else {
                    call(add, role)
                }
            }));
        }
        calls.into_iter()
    }
}

/// A string literal that means the same whatever standard_conforming_strings says. A NUL, which no role's
/// name can hold and no statement may carry, becomes a character that the server then does not find.
fn literal(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_named_twice_keeps_both_rights_and_what_is_revoked_goes_first() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let grants = Grants {
            revoked: names(&["gone"]),
            producers: names(&["app"]),
            readers: names(&["app", "bi"]),
            daemons: names(&["bi"]),
            ..Grants::default()
        };
        let calls: Vec<String> = grants.calls().map(|call| call.sql).collect();
        assert_eq!(
            calls,
            [
                "SELECT pgdumpd.revoke_role('gone')",
                "SELECT pgdumpd.grant_producer('app')",
                "SELECT pgdumpd.add_reader_rights('app')",
                "SELECT pgdumpd.grant_reader('bi')",
                "SELECT pgdumpd.grant_daemon('bi')",
            ]
        );
    }

    #[test]
    fn a_role_with_quotes_and_backslashes_stays_one_literal() {
        assert_eq!(literal("app"), "'app'");
        assert_eq!(literal("o'neill"), "'o''neill'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
