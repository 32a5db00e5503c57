//! Which backup a command line means: its whole id, a beginning of it that only one has, or the newest of a target.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::exit::Advised;
use crate::queue::Queue;
use crate::store::Storage;

/// Digits that a beginning must have.
const FEWEST: usize = 4;

/// The ids that begin with the same digits; a whole id is the only one of its own.
#[derive(Debug, Clone)]
pub(super) struct IdBeginning {
    text: String,
    first: Uuid,
    last: Uuid,
}

/// Reads an id, or the beginning of one.
pub(super) fn beginning(text: &str) -> Result<IdBeginning, String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let filled = |with: &str| {
        let rest = with.repeat(32_usize.saturating_sub(digits.len()));
        Uuid::try_parse(&format!("{digits}{rest}")).ok()
    };
    match (filled("0"), filled("f")) {
        (Some(first), Some(last)) if is_hexadecimal && digits.len() >= FEWEST => Ok(IdBeginning {
            text: text.to_owned(),
            first,
            last,
        }),
        _ => Err(format!(
            "an id is a UUID such as 0190c8f2-5a6b-7c3d-8e4f-a1b2c3d4e5f6, as `pgdumpd list` shows it, or its first \
             {FEWEST} digits or more"
        )),
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    Beginning(&'a IdBeginning),
    /// At this time, or now.
    NewestOf(&'a str, Option<DateTime<Utc>>),
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning(beginning) => write!(f, "{}: no such backup", beginning.text),
            Self::NewestOf(target, None) => write!(f, "target \"{target}\" has no backup"),
            Self::NewestOf(target, Some(at)) => {
                write!(
                    f,
                    "target \"{target}\" has no backup that was begun at {at} or before"
                )
            }
        }
    }
}

impl Wanted<'_> {
    /// The backup's id, by the queue; `None` if there is none.
    pub(super) async fn by_queue(self, queue: &Queue) -> anyhow::Result<Option<Uuid>> {
        match self {
            Self::Beginning(whole) if whole.first == whole.last => Ok(Some(whole.first)),
            Self::Beginning(beginning) => {
                let found = queue.backups_between(beginning.first, beginning.last);
                beginning.only(&found.await?)
            }
            Self::NewestOf(target, at) => Ok(queue.newest_backup(target, at).await?),
        }
    }

    /// The same by the manifests of a storage.
    pub(super) async fn in_storage(self, storage: &Storage) -> anyhow::Result<Option<Uuid>> {
        if let Self::Beginning(whole) = self
            && whole.first == whole.last
        {
            return Ok(Some(whole.first));
        }
        let manifests = storage.list().await?.into_iter();
        let mut manifests = manifests.filter_map(|listed| listed.manifest.ok());
        match self {
            Self::Beginning(beginning) => {
                let fits = |id: &Uuid| beginning.first <= *id && *id <= beginning.last;
                let found: BTreeSet<Uuid> = manifests
                    .map(|found| found.backup_id)
                    .filter(fits)
                    .collect();
                beginning.only(&found.into_iter().collect::<Vec<_>>())
            }
            Self::NewestOf(target, at) => {
                // The newest comes first.
                let found = manifests.find(|manifest| {
                    manifest.target == target && at.is_none_or(|at| manifest.started_at <= at)
                });
                Ok(found.map(|manifest| manifest.backup_id))
            }
        }
    }
}

impl IdBeginning {
    fn only(&self, found: &[Uuid]) -> anyhow::Result<Option<Uuid>> {
        match found {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            several => {
                let shown: Vec<String> = several.iter().take(3).map(Uuid::to_string).collect();
                let message = format!("several backups have an id that begins with {}", self.text);
                Err(
                    Advised::new(message, format!("Write more of it: {}.", shown.join(", ")))
                        .into(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_cut_short() {
        let cut = beginning("0190c8f2-5a6b-7").unwrap();
        assert_eq!(
            cut.first.to_string(),
            "0190c8f2-5a6b-7000-0000-000000000000"
        );
        assert_eq!(cut.last.to_string(), "0190c8f2-5a6b-7fff-ffff-ffffffffffff");
        let whole = beginning("0190c8f2-5a6b-7c3d-8e4f-a1b2c3d4e5f6").unwrap();
        assert_eq!(whole.first, whole.last);
        for bad in ["", "019", "0190x", "0190c8f2-5a6b-7c3d-8e4f-a1b2c3d4e5f60"] {
            assert!(beginning(bad).is_err(), "{bad}");
        }
        let [a, b] = [cut.first, cut.last];
        assert_eq!(cut.only(&[]).unwrap(), None);
        assert_eq!(cut.only(&[a]).unwrap(), Some(a));
        assert!(cut.only(&[a, b]).is_err());
    }
}
