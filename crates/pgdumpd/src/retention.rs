//! Which backups a target keeps. Rules alone: what exists is found out elsewhere, and so is what time it is.

use std::collections::BTreeMap;

use crate::store::Filters;

/// Backups that can stand for one another: those of the same filters. A part of a database never pushes out a
/// backup of the whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    partial: bool,
    filters: Filters,
}

impl Scope {
    /// `partial` as the manifest says it: filters that this build does not know make a backup partial, too.
    pub fn new(partial: bool, filters: Filters) -> Self {
        Self {
            partial,
            filters: filters.sorted(),
        }
    }
}

/// What is known of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its manifest can be read and its object is there.
    Good,
    /// Its manifest or its object is gone. It counts for nothing, and what remains of it goes when its time comes.
    Lost,
}

/// The rules of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How many good backups of each scope stay; 0 means 1.
    pub keep_last: u32,
}

impl Rules {
    /// Says for each backup whether it goes. `newest_first` holds everything that may be deleted, and nothing else.
    ///
    /// The newest good backup of a scope always stays, and nothing goes that is newer than the last that is kept.
    pub fn expired(self, newest_first: &[(Scope, Standing)]) -> Vec<bool> {
        let mut kept: BTreeMap<&Scope, u32> = BTreeMap::new();
        let mut expired = Vec::with_capacity(newest_first.len());
        for (scope, standing) in newest_first {
            let kept = kept.entry(scope).or_default();
            let enough = *kept >= self.keep_last.max(1);
            if !enough && *standing == Standing::Good {
                *kept += 1;
            }
            expired.push(enough);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(tables: &[&str]) -> Scope {
        let filters = Filters {
            tables: tables.iter().map(|table| (*table).to_owned()).collect(),
            ..Filters::default()
        };
        Scope::new(!tables.is_empty(), filters)
    }

    #[test]
    fn the_newest_stay_and_the_older_go() {
        let backups = vec![(scope(&[]), Standing::Good); 4];
        let rules = Rules { keep_last: 2 };
        assert_eq!(rules.expired(&backups), [false, false, true, true]);
    }

    #[test]
    fn each_set_of_filters_is_counted_by_itself_whatever_its_order() {
        let backups = [
            (scope(&["a", "b"]), Standing::Good),
            (scope(&["b", "a"]), Standing::Good),
            (scope(&[]), Standing::Good),
            (scope(&["a"]), Standing::Good),
            (scope(&[]), Standing::Good),
        ];
        let rules = Rules { keep_last: 1 };
        assert_eq!(rules.expired(&backups), [false, true, false, false, true]);
    }

    #[test]
    fn an_unknown_filter_does_not_make_a_backup_whole() {
        let unknown = Scope::new(true, Filters::default());
        assert_ne!(unknown, scope(&[]));
    }

    #[test]
    fn what_is_lost_counts_for_nothing_and_goes_with_its_age() {
        let backups = [
            (scope(&[]), Standing::Lost),
            (scope(&[]), Standing::Good),
            (scope(&[]), Standing::Lost),
            (scope(&[]), Standing::Good),
        ];
        let rules = Rules { keep_last: 1 };
        assert_eq!(rules.expired(&backups), [false, false, true, true]);
    }

    proptest! {
        #[test]
        fn every_scope_keeps_its_newest_good_backups(
            keep_last in 0_u32..5,
            backups in prop::collection::vec((0_u8..3, any::<bool>()), 0..30),
        ) {
            let backups: Vec<_> = backups
                .into_iter()
                .map(|(tables, good)| {
                    let standing = if good { Standing::Good } else { Standing::Lost };
                    (scope(&["a", "b"][..usize::from(tables)]), standing)
                })
                .collect();
            let expired = Rules { keep_last }.expired(&backups);
            for (scope, _) in &backups {
                let good: Vec<bool> = backups
                    .iter()
                    .zip(&expired)
                    .filter(|((other, standing), _)| other == scope && *standing == Standing::Good)
                    .map(|(_, expired)| *expired)
                    .collect();
                let stay = good.len().min(keep_last.max(1) as usize);
                prop_assert!(good[..stay].iter().all(|expired| !expired));
                prop_assert!(good[stay..].iter().all(|expired| *expired));
            }
        }
    }
}
