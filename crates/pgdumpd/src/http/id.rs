//! The id in a path: a job's, or whatever a page has invented while it waits for one.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

use super::problem::{Problem, ProblemType};

/// The id as it was written.
pub(super) struct PathId(String);

impl PathId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The job's id; `None` for a temporary one.
    pub(super) fn uuid(&self) -> Option<Uuid> {
        uuid(&self.0)
    }
}

/// A UUID as PostgreSQL writes it, in either case: no braces, no prefix, all hyphens.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    const LENGTH: usize = 36;
    (text.len() == LENGTH).then(|| Uuid::try_parse(text).ok())?
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| Problem::new(ProblemType::MalformedRequest, "the path's id is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_as_postgresql_writes_them_are_ids_of_jobs() {
        assert!(uuid("F81D4FAE-7dec-41d0-a765-00a0c91e6bf6").is_some());
        for text in [
            "",
            "temp_1",
            "f81d4fae7dec41d0a76500a0c91e6bf6",
            "{f81d4fae-7dec-41d0-a765-00a0c91e6bf6}",
            "f81d4fae-7dec-41d0-a765-00a0c91e6bfg",
        ] {
            assert!(uuid(text).is_none(), "{text}");
        }
    }
}
