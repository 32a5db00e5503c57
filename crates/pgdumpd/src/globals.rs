//! Roles and tablespaces: they belong to the whole server, so that no database's archive holds them.

/// Whether they are stored beside a target's archives: the words of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Globals {
    /// Roles without their passwords; any role may read those.
    WithoutPasswords,
    /// Also the roles' passwords, hashed as the server keeps them: only a superuser may read them.
    WithPasswords,
}

impl Globals {
    /// Those of this name; `None` for `none`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "without-passwords" => Some(Self::WithoutPasswords),
            "with-passwords" => Some(Self::WithPasswords),
            _ => None,
        }
    }
}
