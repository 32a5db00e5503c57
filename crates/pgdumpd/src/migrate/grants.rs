//! Which roles get which rights. What the rights are is said in SQL (migration 4).

/// Roles to grant to, as `pgdumpd migrate --grant-…` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
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
        let parts = [
            ("producer", &self.producers),
            ("reader", &self.readers),
            ("operator", &self.operators),
            ("daemon", &self.daemons),
        ];
        parts.into_iter().flat_map(|(part, roles)| {
            roles.iter().map(move |role| Call {
                role: role.clone(),
                sql: format!("SELECT pgdumpd.grant_{part}({})", literal(role)),
            })
        })
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
    fn a_role_with_quotes_and_backslashes_stays_one_literal() {
        assert_eq!(literal("app"), "'app'");
        assert_eq!(literal("o'neill"), "'o''neill'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
