//! When a target's backups are due: a cron expression in a time zone. Knows no clock; whoever asks says what time
//! it is.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Bytes of an expression; the queue keeps it.
const LONGEST: usize = 200;

/// A cron expression of five fields in a time zone.
///
/// Where the zone's clock is put forward over a due time, the backup is due right after the gap; where it is put
/// back, a time that comes twice is due once. Only an expression that repeats by the hour (`*` or a step in minute
/// or hour) follows the time that really passes.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone: Zone,
    cron: Cron,
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
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(&text)
            .map_err(|error| InvalidSchedule::Malformed(reason(&error)))?;
        let schedule = Self { text, zone, cron };
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
        let now = now.with_timezone(&self.zone.0);
        let due = self.cron.find_previous_occurrence(&now, true).ok()?;
        Some(due.to_utc())
    }

    /// The first due time after `now`; `None` if there is none.
    pub fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = now.with_timezone(&self.zone.0);
        let mut next = self.cron.find_next_occurrence(&from, false).ok()?.to_utc();
        // The search forward steps over an hour that some zones have twice, such as Casablanca's; the one back does
        // not.
        while let Some(earlier) = self.latest_due(next - TimeDelta::milliseconds(1))
            && now < earlier
            && earlier < next
        {
            next = earlier;
        }
        Some(next)
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
