//! When a target's backups are due: a cron expression in a time zone. Knows no clock; whoever asks says what time
//! it is.

mod zone;

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

pub use self::zone::{UnknownZone, Zone};

/// Bytes of an expression; the queue keeps it.
const LONGEST: usize = 200;

/// No clock is put back by more than this: Troll's is by two hours.
const LONGEST_OVERLAP: TimeDelta = TimeDelta::hours(3);

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
        write!(f, "{} {}", self.text, self.zone)
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
mod tests;
