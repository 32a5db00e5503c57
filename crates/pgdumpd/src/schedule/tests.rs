//! What is due, by hand-made cases and around every change of every zone's clock.

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
    let shows = |local: &NaiveDateTime| schedule.cron.is_time_matching(&local.and_utc()).unwrap();
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
