//! What a zone's clock shows, and when it is put forward or back.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset as _, SubsecRound as _, TimeDelta,
    TimeZone as _, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};

/// A zone changes its offset more seldom than this.
const CHANGES_APART: TimeDelta = TimeDelta::hours(6);

/// A time zone by its name in the tz database, such as `Europe/Berlin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// A text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a time zone")]
pub struct UnknownZone;

impl Zone {
    /// The zone that needs no database.
    pub const UTC: Self = Self(Tz::UTC);

    /// All names that there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    pub(super) fn offset(self, at: DateTime<Utc>) -> FixedOffset {
        self.0.offset_from_utc_datetime(&at.naive_utc()).fix()
    }

    /// What the zone's clock shows.
    pub(super) fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc() + self.offset(at)
    }

    /// When the clock shows a time for the first time; when it is put forward over it, that moment.
    pub(super) fn first_instant(self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
            LocalResult::None => {
                let around = |hours| (local + TimeDelta::hours(hours)).and_utc();
                // No offset is larger than 15 hours, and a day may be left out.
                let found = self.first_change_over(local, around(-40), around(40));
                found.unwrap_or_else(|| local.and_utc())
            }
        }
    }

    /// The change, between two instants, that puts the clock forward over a time.
    fn first_change_over(
        self,
        local: NaiveDateTime,
        mut from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        loop {
            let change = self.first_change(from, to)?;
            if self.local(change) > local {
                return Some(change);
            }
            from = change;
        }
    }

    /// The first instant in a span, its begin left out, from which on the zone has another offset.
    pub(super) fn first_change(
        self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let before = self.offset(from);
        let mut same = from;
        while same < to {
            let next = to.min(same + CHANGES_APART);
            if self.offset(next) != before {
                return Some(self.change_within(same, next));
            }
            same = next;
        }
        None
    }

    /// The last one.
    pub(super) fn last_change(
        self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let after = self.offset(to);
        let mut same = to;
        while same > from {
            let next = from.max(same - CHANGES_APART);
            if self.offset(next) != after {
                return Some(self.change_within(next, same));
            }
            same = next;
        }
        None
    }

    /// The change in a span that begins and ends with different offsets, to the second.
    fn change_within(self, mut before: DateTime<Utc>, mut after: DateTime<Utc>) -> DateTime<Utc> {
        let old = self.offset(before);
        while after - before > TimeDelta::seconds(1) {
            let middle = before + (after - before) / 2;
            if self.offset(middle) == old {
                before = middle;
            } else {
                after = middle;
            }
        }
        after.trunc_subsecs(0)
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse().map(Self).map_err(|_| UnknownZone)
    }
}

/// By its name.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
