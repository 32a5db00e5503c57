use proptest::prelude::*;

use super::*;

fn of(producer: Option<&str>, database: &str, tables: &[&str]) -> Scope {
    let owner = Owner {
        producer: producer.map(str::to_owned),
        database: DumpedDatabase {
            system_identifier: "1".to_owned(),
            name: database.to_owned(),
        },
    };
    let filters = Filters {
        tables: tables.iter().map(|table| (*table).to_owned()).collect(),
        ..Filters::default()
    };
    Scope::new(owner, !tables.is_empty(), filters)
}

fn scope(tables: &[&str]) -> Scope {
    of(None, "shop", tables)
}

/// Which go.
fn gone(keep_last: u32, backups: &[(Scope, Standing)]) -> Vec<bool> {
    gone_with(keep_last, None, backups)
}

fn gone_with(
    keep_last: u32,
    keep_partial: Option<u32>,
    backups: &[(Scope, Standing)],
) -> Vec<bool> {
    let rules = Rules {
        keep_last,
        keep_partial,
    };
    rules.expired(backups).iter().map(Option::is_some).collect()
}

#[test]
fn the_newest_stay_and_the_older_go() {
    let backups = vec![(scope(&[]), Standing::Good); 4];
    assert_eq!(gone(2, &backups), [false, false, true, true]);
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
    assert_eq!(gone(1, &backups), [false, true, false, false, true]);
}

#[test]
fn each_database_and_each_producer_is_counted_by_itself() {
    let backups = [
        (of(Some("app"), "shop", &[]), Standing::Good),
        (of(Some("app"), "shop", &[]), Standing::Good),
        (of(Some("web"), "shop", &[]), Standing::Good),
        (of(None, "shop", &[]), Standing::Good),
        (of(None, "other", &[]), Standing::Good),
        (of(None, "shop", &[]), Standing::Good),
    ];
    assert_eq!(gone(1, &backups), [false, true, false, false, false, true]);
}

#[test]
fn an_unknown_filter_does_not_make_a_backup_whole() {
    let unknown = Scope::new(scope(&[]).owner, true, Filters::default());
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
    assert_eq!(gone(1, &backups), [false, false, true, true]);
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![3 => Just(Standing::Good), 1 => Just(Standing::Lost)]
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let producer = prop_oneof![Just(None), Just(Some("app"))];
    let database = prop_oneof![3 => Just("shop"), 1 => Just("other")];
    let tables = prop_oneof![2 => Just(&[][..]), 1 => Just(&["a"][..])];
    (producer, database, tables)
        .prop_map(|(producer, database, tables)| of(producer, database, tables))
}

#[test]
fn partial_backups_have_a_bound_over_all_filters_and_whole_ones_have_none() {
    let tables: Vec<String> = (0..12).map(|number| format!("t{number}")).collect();
    let parts_of = |producer: Option<&str>| -> Vec<(Scope, Standing)> {
        let part = |table: &String| (of(producer, "shop", &[table]), Standing::Good);
        let mut backups: Vec<_> = tables.iter().map(part).collect();
        backups.push((of(producer, "shop", &[]), Standing::Good));
        backups
    };
    let stay = |gone: Vec<bool>| gone.into_iter().filter(|gone| !gone).count();
    // Ten times keep_last of a producer, and the whole one; all of an operator's.
    assert_eq!(stay(gone(1, &parts_of(Some("app")))), 11);
    assert_eq!(stay(gone(1, &parts_of(None))), 13);
    assert_eq!(stay(gone_with(1, Some(3), &parts_of(None))), 4);
    let of_a_producer = gone_with(1, Some(3), &parts_of(Some("app")));
    assert!(of_a_producer[..3].iter().all(|gone| !gone));
    assert!(of_a_producer[3..12].iter().all(|gone| *gone));
    assert!(!of_a_producer[12]);
}

#[test]
fn a_part_that_its_own_scope_expires_takes_no_place_of_another_one() {
    let backups = [
        (scope(&["a"]), Standing::Good),
        (scope(&["a"]), Standing::Good),
        (scope(&["b"]), Standing::Good),
        (scope(&["c"]), Standing::Good),
    ];
    assert_eq!(gone_with(1, Some(2), &backups), [false, true, false, true]);
}

proptest! {
    #[test]
    fn every_scope_keeps_its_newest_good_backups(
        backups in prop::collection::vec((any_scope(), standing()), 0..60),
        keep_last in 0..6_u32,
        keep_partial in prop::option::of(0..6_u32),
    ) {
        let rules = Rules { keep_last, keep_partial };
        let expired = rules.expired(&backups);
        let keep = usize::try_from(keep_last.max(1)).unwrap();
        for (index, (scope, standing)) in backups.iter().enumerate() {
            let kept_before = |like: &dyn Fn(&Scope) -> bool| -> Vec<usize> {
                (0..index)
                    .filter(|other| backups[*other].1 == Standing::Good && like(&backups[*other].0))
                    .filter(|other| expired[*other].is_none())
                    .collect()
            };
            let same = kept_before(&|other| other == scope);
            let parts = kept_before(&|other| other.partial && other.owner == scope.owner);
            let bound = rules.bound(scope).map(|bound| usize::try_from(bound).unwrap());
            let enough = same.len() >= keep || bound.is_some_and(|bound| parts.len() >= bound);
            prop_assert_eq!(expired[index].is_some(), enough, "{} of {:?}: {:?}", index, backups, standing);
            // It goes for the sake of all that are kept of its kind.
            if let Some(grounds) = &expired[index] {
                let by_bound = bound.is_some_and(|bound| grounds.kept[..] == parts[..] && parts.len() == bound);
                prop_assert!(grounds.kept[..] == same[..] || by_bound);
            }
        }
    }
}
