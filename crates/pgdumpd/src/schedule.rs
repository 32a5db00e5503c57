//! When a target's backups are due: a cron expression in a time zone. Knows no clock; whoever asks says what time
//! it is.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset as _, SubsecRound as _,
    TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Bytes of an expression; the queue keeps it.
const LONGEST: usize = 200;

/// No clock is put back by more than this: Troll's is by two hours.
const LONGEST_OVERLAP: TimeDelta = TimeDelta::hours(3);
/// A zone changes its offset more seldom than this.
const CHANGES_APART: TimeDelta = TimeDelta::hours(6);

/// A cron expression of five fields in a time zone.
///
/// Where the zone's clock is put forward over a due time, the backup is due right after the gap; where it is put
/// back, a time that comes twice is due the first time. Only an expression that repeats by the hour (`*`, or a step of
/// it, in the hour) follows the time that really passes.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone: Zone,
    /// Asked for times of a clock that is never changed: croner's own rules for zones let several hours or minutes
    /// fail on the two days on which the clock is.
    cron: Cron,
    by_the_hour: bool,
}

/// A time zone by its name in the tz database, such as `Europe/Berlin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// A text that is not a schedule, or one that is never due.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSchedule {
    /// Not an expression.
    #[error("is not a cron expression ({0})")]
    Malformed(String),
    /// Such as 30 February.
    #[error("never comes")]
    Never,
}

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
}

impl Zone {
    fn offset(self, at: DateTime<Utc>) -> FixedOffset {
        self.0.offset_from_utc_datetime(&at.naive_utc()).fix()
    }

    /// What the zone's clock shows.
    fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc() + self.offset(at)
    }

    /// When the clock shows a time for the first time; when it is put forward over it, that moment.
    fn first_instant(self, local: NaiveDateTime) -> DateTime<Utc> {
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
    fn first_change(self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
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
    fn last_change(self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
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

impl Schedule {
    /// Reads an expression: minute, hour, day of month, month and day of week, or a word such as `@daily`.
    ///
    /// # Errors
    /// Malformed, or never due.
    pub fn parse(text: &str, zone: Zone) -> Result<Self, InvalidSchedule> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.len() > LONGEST {
            let why = format!("it has more than {LONGEST} bytes");
            return Err(InvalidSchedule::Malformed(why));
        }
        ensure_steps_fit(&text)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(&text)
            .map_err(|error| InvalidSchedule::Malformed(reason(&error)))?;
        let by_the_hour = match text.split(' ').nth(1) {
            Some(hour) => hour.starts_with(['*', '?']),
            None => text.eq_ignore_ascii_case("@hourly"),
        };
        let schedule = Self {
            text,
            zone,
            cron,
            by_the_hour,
        };
        // The same answer on every day: none of the expressions that come at all needs longer than the search.
        let someday = NaiveDate::default()
            .and_hms_opt(0, 0, 0)
            .map(|t| t.and_utc());
        match someday.and_then(|someday| schedule.next_due(someday)) {
            Some(_) => Ok(schedule),
            None => Err(InvalidSchedule::Never),
        }
    }

    /// The last due time that is not after `now`; `None` if there was none.
    pub fn latest_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.by_the_hour {
            return self.latest_as_time_passes(now);
        }
        // Behind the change of a clock that was put back, what is ahead by the clock may have been due already.
        let mut local = self.latest_local(self.zone.local(now) + LONGEST_OVERLAP)?;
        loop {
            let due = self.zone.first_instant(local);
            if due <= now {
                return Some(due);
            }
            local = self.latest_local(local - TimeDelta::seconds(1))?;
        }
    }

    /// The first due time after `now`; `None` if there is none.
    pub fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.by_the_hour {
            return self.next_as_time_passes(now);
        }
        let mut local = self.zone.local(now);
        loop {
            local = self.next_local(local)?;
            let due = self.zone.first_instant(local);
            if due > now {
                return Some(due);
            }
        }
    }

    /// The first instant after `now` at which the clock shows a due time.
    fn next_as_time_passes(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut after = now;
        loop {
            let offset = self.zone.offset(after);
            let local = self.next_local(after.naive_utc() + offset)?;
            let due = (local - offset).and_utc();
            let Some(change) = self.zone.first_change(after, due) else {
                return Some(due);
            };
            // The clock that counts from there may show a due time at once.
            if self.is_due(change) {
                return Some(change);
            }
            after = change;
        }
    }

    /// The last instant until `now` at which the clock showed a due time.
    fn latest_as_time_passes(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut until = now;
        loop {
            let offset = self.zone.offset(until);
            let local = self.latest_local(until.naive_utc() + offset)?;
            let due = (local - offset).and_utc();
            match self.zone.last_change(due, until) {
                // What the clock showed before it was changed.
                Some(change) => until = change - TimeDelta::seconds(1),
                None => return Some(due),
            }
        }
    }

    fn is_due(&self, at: DateTime<Utc>) -> bool {
        let local = self.zone.local(at).and_utc();
        self.cron.is_time_matching(&local).unwrap_or(false)
    }

    fn latest_local(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let found = self.cron.find_previous_occurrence(&local.and_utc(), true);
        found.ok().map(|found| found.naive_utc())
    }

    fn next_local(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let found = self.cron.find_next_occurrence(&local.and_utc(), false);
        found.ok().map(|found| found.naive_utc())
    }
}

/// Expression and zone, as the queue keeps them.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone.0.name())
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Schedule {}

/// A step that is larger than its field would mean once for each round of the field, and look like more.
fn ensure_steps_fit(text: &str) -> Result<(), InvalidSchedule> {
    const LARGEST: [(&str, u32); 5] = [
        ("minute", 59),
        ("hour", 23),
        ("day of month", 31),
        ("month", 12),
        ("day of week", 7),
    ];
    for (field, (name, largest)) in text.split(' ').zip(LARGEST) {
        let steps = field.split(',').filter_map(|part| part.split_once('/'));
        for step in steps.filter_map(|(_, step)| step.parse::<u32>().ok()) {
            if step > largest {
                let why = format!("the {name} has a step of {step}, and {largest} is the largest");
                return Err(InvalidSchedule::Malformed(why));
            }
        }
    }
    Ok(())
}

fn reason(error: &CronError) -> String {
    let text = match error {
        CronError::InvalidPattern(_) | CronError::EmptyPattern => "it does not have five fields",
        CronError::IllegalCharacters(_) => "it has unknown words or signs",
        CronError::ComponentError(text) => text,
        _ => "it cannot be read",
    };
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str, zone: &str) -> Schedule {
        Schedule::parse(text, zone.parse().unwrap()).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    /// The due times within a span, first included, last not.
    fn between(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let mut now = at(from) - TimeDelta::seconds(1);
        let mut times = Vec::new();
        while let Some(next) = schedule.next_due(now)
            && next < at(to)
        {
            times.push(next.format("%dT%H:%M").to_string());
            now = next;
        }
        times
    }

    #[test]
    fn a_time_is_one_of_the_zone_in_summer_and_winter() {
        let nightly = schedule("30 3 * * *", "Europe/Berlin");
        let next = |now| nightly.next_due(at(now)).unwrap();
        assert_eq!(next("2026-01-10T00:00:00Z"), at("2026-01-10T02:30:00Z"));
        assert_eq!(next("2026-07-10T00:00:00Z"), at("2026-07-10T01:30:00Z"));
        assert_eq!(next("2026-07-10T01:30:00Z"), at("2026-07-11T01:30:00Z"));
        let latest = |now| nightly.latest_due(at(now)).unwrap();
        assert_eq!(latest("2026-07-10T01:30:00Z"), at("2026-07-10T01:30:00Z"));
        assert_eq!(latest("2026-07-10T01:29:59Z"), at("2026-07-09T01:30:00Z"));
    }

    #[test]
    fn a_time_that_the_clock_skips_is_due_once_right_after() {
        // From 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
        let nightly = schedule("30 2 * * *", "Europe/Berlin");
        let times = between(&nightly, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(times, ["28T01:30", "29T01:00", "30T00:30"]);
    }

    #[test]
    fn a_time_that_comes_twice_is_due_once() {
        // From 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
        let nightly = schedule("30 2 * * *", "Europe/Berlin");
        let times = between(&nightly, "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        assert_eq!(times, ["24T00:30", "25T00:30", "26T01:30"]);
        let second = at("2026-10-25T01:30:00Z");
        assert_eq!(nightly.latest_due(second), Some(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn several_hours_or_minutes_keep_the_same_promise() {
        for (text, spring, autumn) in [
            (
                "15 2,14 * * *",
                vec!["29T01:00", "29T12:15"],
                vec!["25T00:15", "25T13:15"],
            ),
            (
                "15 1-2 * * *",
                vec!["29T00:15", "29T01:00"],
                vec!["24T23:15", "25T00:15"],
            ),
            (
                "10,40 2 * * *",
                vec!["29T01:00"],
                vec!["25T00:10", "25T00:40"],
            ),
            (
                "*/20 2 * * *",
                vec!["29T01:00"],
                vec!["25T00:00", "25T00:20", "25T00:40"],
            ),
            (
                "15 2,14 * * sun",
                vec!["29T01:00", "29T12:15"],
                vec!["25T00:15", "25T13:15"],
            ),
            (
                "30 0-4/2 * * *",
                vec!["28T23:30", "29T01:00", "29T02:30"],
                vec!["24T22:30", "25T00:30", "25T03:30"],
            ),
        ] {
            let schedule = schedule(text, "Europe/Berlin");
            let night = between(&schedule, "2026-03-28T22:00:00Z", "2026-03-29T20:00:00Z");
            assert_eq!(night, spring, "{text}");
            let night = between(&schedule, "2026-10-24T21:00:00Z", "2026-10-25T20:00:00Z");
            assert_eq!(night, autumn, "{text}");
        }
        let late = schedule("15 0,1,23 * * *", "America/Santiago");
        let times = between(&late, "2026-04-05T00:00:00Z", "2026-04-05T12:00:00Z");
        assert_eq!(times, ["05T02:15", "05T04:15", "05T05:15"]);
    }

    #[test]
    fn every_hour_is_every_hour_that_passes() {
        let hourly = schedule("0 * * * *", "Europe/Berlin");
        for day in ["2026-03-29", "2026-10-25"] {
            let (from, to) = (format!("{day}T00:00:00Z"), format!("{day}T05:00:00Z"));
            assert_eq!(between(&hourly, &from, &to).len(), 5, "{day}");
        }
        let hourly = schedule("0 * * * *", "Africa/Casablanca");
        let times = between(&hourly, "2020-04-19T00:00:00Z", "2020-04-19T04:00:00Z");
        assert_eq!(times, ["19T00:00", "19T01:00", "19T02:00", "19T03:00"]);
    }

    #[test]
    fn the_twenty_ninth_of_february_comes_in_leap_years() {
        let leap = schedule("0 0 29 feb *", "UTC");
        assert_eq!(
            leap.next_due(at("2026-01-01T00:00:00Z")),
            Some(at("2028-02-29T00:00:00Z"))
        );
        assert_eq!(
            leap.latest_due(at("2026-01-01T00:00:00Z")),
            Some(at("2024-02-29T00:00:00Z"))
        );
    }

    #[test]
    fn names_ranges_steps_and_nicknames_are_understood() {
        let from = "2026-11-20T00:00:00Z";
        let first = |text| between(&schedule(text, "UTC"), from, "2026-11-30T00:00:00Z");
        assert_eq!(
            first("15 4 * * sat-SUN,1")[..3],
            ["21T04:15", "22T04:15", "23T04:15"]
        );
        assert_eq!(
            first("0 */8 24 nov *"),
            ["24T00:00", "24T08:00", "24T16:00"]
        );
        assert_eq!(first("@weekly"), ["22T00:00", "29T00:00"]);
        assert_eq!(first("0  5  *  *  7"), first("0 5 * * 0"));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_reason() {
        let refusal = |text| {
            let zone = "UTC".parse().unwrap();
            Schedule::parse(text, zone).unwrap_err().to_string()
        };
        for text in ["", "@reboot", "30 3 * *", "0 30 3 * * *", "30 3 * * * UTC"] {
            assert_eq!(
                refusal(text),
                "is not a cron expression (it does not have five fields)",
                "{text}"
            );
        }
        assert_eq!(
            refusal("61 * * * *"),
            "is not a cron expression (number out of bounds)"
        );
        assert_eq!(
            refusal("0 3 * * day"),
            "is not a cron expression (it has unknown words or signs)"
        );
        assert_eq!(
            refusal("*/90 * * * *"),
            "is not a cron expression (the minute has a step of 90, and 59 is the largest)"
        );
        assert_eq!(refusal("0 0 30 2 *"), "never comes");
        assert_eq!(
            refusal(&"0,".repeat(200)),
            "is not a cron expression (it has more than 200 bytes)"
        );
        assert_eq!("Europe/Berlin ".parse::<Zone>(), Err(UnknownZone));
    }

    #[test]
    fn it_is_shown_as_the_queue_keeps_it() {
        let shown = schedule(" 30  3 * * * ", "Europe/Berlin").to_string();
        assert_eq!(shown, "30 3 * * * Europe/Berlin");
    }

    /// The changes of all zones within ten years: each once, however many zones make it.
    fn all_changes() -> Vec<(Zone, DateTime<Utc>)> {
        let mut found = std::collections::BTreeMap::new();
        let (begin, end) = (at("2026-01-01T00:00:00Z"), at("2036-01-01T00:00:00Z"));
        for name in Zone::names() {
            let zone: Zone = name.parse().unwrap();
            let mut from = begin;
            while let Some(change) = zone.first_change(from, end) {
                let offsets = [zone.offset(from), zone.offset(change)];
                found
                    .entry((change, offsets.map(|offset| offset.local_minus_utc())))
                    .or_insert((zone, change));
                from = change;
            }
        }
        found.into_values().collect()
    }

    /// What is due around a change by the words of OPERATIONS.md, minute by minute.
    fn due_by_the_rule(
        schedule: &Schedule,
        minutes: &[(DateTime<Utc>, NaiveDateTime)],
    ) -> BTreeSet<DateTime<Utc>> {
        let shows =
            |local: &NaiveDateTime| schedule.cron.is_time_matching(&local.and_utc()).unwrap();
        if schedule.text.split(' ').nth(1).unwrap().starts_with('*') {
            let due = minutes.iter().filter(|(_, local)| shows(local));
            return due.map(|(now, _)| *now).collect();
        }
        let (mut local, last) = (minutes[0].1, minutes[minutes.len() - 1].1);
        let mut due = BTreeSet::new();
        while local <= last {
            if shows(&local) {
                // The first minute that shows it; where none does, the first that shows a later one.
                let exact = minutes.iter().find(|(_, shown)| *shown == local);
                let later = || minutes.iter().find(|(_, shown)| *shown > local);
                due.extend(exact.or_else(later).map(|(now, _)| *now));
            }
            local += TimeDelta::minutes(1);
        }
        due
    }

    #[test]
    fn every_change_of_every_zones_clock_in_ten_years_keeps_the_promise() {
        let changes = all_changes();
        assert!(changes.len() > 100, "{}", changes.len());
        for (zone, change) in changes {
            let minutes: Vec<_> = (-240..240)
                .map(|minute| change + TimeDelta::minutes(minute))
                .map(|now| (now, zone.local(now)))
                .collect();
            let (begin, end) = (change - TimeDelta::hours(3), change + TimeDelta::hours(3));
            for text in [
                "15 2,14 * * *",
                "10,40 1-3 * * *",
                "15 2 * * sun",
                "*/20 2 * * *",
                "30 0-4/2 * * *",
                "0 0 * * *",
                "30 23 * * *",
                "0 * * * *",
                "*/20 * * * *",
                "5 */2 * * *",
            ] {
                let schedule = Schedule::parse(text, zone).unwrap();
                let expected: Vec<_> = due_by_the_rule(&schedule, &minutes)
                    .into_iter()
                    .filter(|due| begin < *due && *due < end)
                    .collect();
                let mut found = Vec::new();
                let mut now = begin;
                while let Some(next) = schedule.next_due(now).filter(|next| *next < end) {
                    assert_eq!(schedule.latest_due(next), Some(next), "{schedule} {change}");
                    let before = schedule.latest_due(next - TimeDelta::seconds(1));
                    assert!(
                        before <= Some(now.max(begin)),
                        "{schedule} {change}: {before:?}"
                    );
                    found.push(next);
                    now = next;
                }
                assert_eq!(found, expected, "{schedule} {change}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Searching back finds what searching forward found: else a due time could be missed, or be due twice.
        #[test]
        fn both_directions_find_the_same_times_across_every_change_of_the_clock(
            zone in prop::sample::select(vec![
                "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe",
                "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "UTC",
            ]),
            text in prop::sample::select(vec![
                "30 2 * * *", "0 2 * * *", "0 3 * * *", "30 1 * * *", "0 0 * * *", "59 1-3 * * *",
                "5 */2 * * *", "15 1,2,3 * * sun", "0 * * * *", "*/20 * * * *", "@monthly",
            ]),
            day in 0_i64..9000,
        ) {
            let schedule = schedule(text, zone);
            let start = at("2005-01-01T00:00:00Z") + TimeDelta::days(day);
            let mut now = start;
            let mut before = None;
            while now < start + TimeDelta::days(3) {
                let next = schedule.next_due(now).unwrap();
                prop_assert_eq!(schedule.latest_due(next), Some(next));
                if before.is_some() {
                    let just_before = next - TimeDelta::milliseconds(1);
                    prop_assert_eq!(schedule.latest_due(just_before), before);
                }
                before = Some(next);
                now = next;
            }
        }

        #[test]
        fn no_text_panics(text in "[-*/,0-9a-zA-Z#+?@ ]{0,40}|\\PC{0,40}") {
            let zone: Zone = "America/New_York".parse().unwrap();
            if let Ok(schedule) = Schedule::parse(&text, zone) {
                schedule.latest_due(at("2026-11-23T00:00:00Z"));
            }
        }
    }
}
