use super::*;

use crate::code::Code;

const LIMIT: Duration = Duration::from_secs(10);

fn waiting(relation: &str, since_epoch_us: Option<i64>) -> SessionState {
    SessionState {
        present: true,
        waiting_for_lock: Some(LockWait {
            relation: Some(relation.to_owned()),
            since_epoch_us,
            blockers: vec![Blocker {
                pid: 4711,
                user: Some("app".to_owned()),
                state: Some("idle in transaction".to_owned()),
                query: Some("ALTER ROLE x\n PASSWORD 'geheim'".to_owned()),
            }],
        }),
        copy_bytes: None,
    }
}

fn copying(bytes: i64) -> SessionState {
    SessionState {
        present: true,
        waiting_for_lock: None,
        copy_bytes: Some(bytes),
    }
}

/// Feeds observations at these seconds; returns the second of the first fault.
fn first_fault(looks: &[(u64, SessionState)]) -> Option<u64> {
    let start = Instant::now();
    let mut guard = LockGuard::new(LIMIT);
    looks
        .iter()
        .find(|(second, look)| {
            guard
                .observe(start + Duration::from_secs(*second), look)
                .is_some()
        })
        .map(|(second, _)| *second)
}

#[test]
fn statements_can_be_left_out() {
    let told = |guard: LockGuard| {
        let mut guard = guard;
        let now = Instant::now();
        let look = waiting("public.t", Some(7));
        guard.observe(now, &look);
        guard.observe(now + LIMIT, &look).unwrap().report()
    };
    assert!(told(LockGuard::new(LIMIT)).contains("ALTER ROLE"));
    let without = told(LockGuard::new(LIMIT).without_statements());
    assert!(
        without.contains("pid 4711 (app, idle in transaction)"),
        "{without}"
    );
    assert!(!without.contains("ALTER"), "{without}");
}

#[test]
fn one_wait_ends_the_dump_when_it_is_too_long_and_not_before() {
    let looks: Vec<_> = (100..120)
        .map(|second| (second, waiting("public.t", Some(7))))
        .collect();
    assert_eq!(first_fault(&looks), Some(110));
}

#[test]
fn the_begin_that_the_server_notes_late_is_no_new_wait() {
    let mut looks = vec![(0, waiting("public.t", None))];
    looks.extend((1..20).map(|second| (second, waiting("public.t", Some(7)))));
    assert_eq!(first_fault(&looks), Some(10));
}

#[test]
fn several_short_waits_are_not_one_long_wait() {
    let of_other_tables: Vec<_> = (0..30)
        .map(|second| (second, waiting(&format!("public.t{}", second / 9), Some(7))))
        .collect();
    assert_eq!(first_fault(&of_other_tables), None);

    let begun_anew: Vec<_> = (0..30)
        .map(|second| (second, waiting("public.t", Some(second as i64 / 9))))
        .collect();
    assert_eq!(first_fault(&begun_anew), None);

    let mut interrupted: Vec<_> = (0..9)
        .map(|second| (second, waiting("public.t", None)))
        .collect();
    interrupted.push((9, SessionState::default()));
    interrupted.extend((10..19).map(|second| (second, waiting("public.t", None))));
    assert_eq!(first_fault(&interrupted), None);
}

#[test]
fn the_fault_names_table_time_and_blocker_but_no_password() {
    let start = Instant::now();
    let mut guard = LockGuard::new(LIMIT);
    let look = waiting("public.t", Some(7));
    assert!(guard.observe(start, &look).is_none());
    let fault = guard.observe(start + LIMIT, &look).unwrap();
    assert!(fault.is_transient());
    assert_eq!(fault.code(), Code::LockNotAvailable);
    assert_eq!(
        fault.to_string(),
        "pg_dump waited 10 s for a lock on public.t, blocked by pid 4711 (app, idle in transaction): \
         ALTER ROLE x PASSWORD ********"
    );
}

#[test]
fn silence_ends_the_dump_when_it_is_too_long_and_not_before() {
    let start = Instant::now();
    let mut guard = StallGuard::new(LIMIT);
    let at = |second| start + Duration::from_secs(second);
    assert!(guard.observe(at(0), 5, true, None).is_none());
    assert!(guard.observe(at(9), 5, true, None).is_none());
    let fault = guard.observe(at(10), 5, true, None).unwrap();
    assert_eq!(fault.code(), Code::DumpStalled);
    assert!(fault.is_transient());
}

#[test]
fn movement_locks_and_a_busy_reader_excuse_silence() {
    let start = Instant::now();
    let lock = waiting("public.t", None);
    type Excuse<'a> = &'a dyn Fn(u64) -> (u64, bool, Option<SessionState>);
    let excuses: [(&str, Excuse<'_>); 4] = [
        ("bytes come", &|second| (second, true, None)),
        ("our reader is held up", &|_| (5, false, None)),
        ("it waits for a lock", &|_| (5, true, Some(lock.clone()))),
        ("the server copies", &|second| {
            (5, true, Some(copying(second as i64)))
        }),
    ];
    for (name, excuse) in excuses {
        let mut guard = StallGuard::new(LIMIT);
        for second in 0..30 {
            let (bytes, reader_waits, look) = excuse(second);
            let now = start + Duration::from_secs(second);
            let fault = guard.observe(now, bytes, reader_waits, look.as_ref());
            assert!(fault.is_none(), "{name}, {second}");
        }
        // And the time counts from the excuse's end.
        let after = |second: u64| start + Duration::from_secs(29 + second);
        assert!(guard.observe(after(9), 29, true, None).is_none(), "{name}");
        assert!(guard.observe(after(30), 29, true, None).is_some(), "{name}");
    }
}
