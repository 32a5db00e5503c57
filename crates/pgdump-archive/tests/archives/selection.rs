//! What small archives of single tables hold, by the golden archives.

use crate::support::{goldens, head};
use pgdump_archive::{DataOffset, Parser, Reason, SelectError, Selection, TableName, Toc, encode};

/// The golden archives of a whole database, by their tables of contents.
fn databases() -> Vec<(String, Toc)> {
    let whole = |name: &String| name.ends_with("file-none") || name.ends_with("gzip");
    let archives = goldens().into_iter().filter(|(name, _)| whole(name));
    archives
        .map(|(name, archive)| (name, head(&archive).1))
        .collect()
}

fn table(name: &str) -> TableName {
    TableName::new("shop", name)
}

fn select(toc: &Toc, names: &[&str]) -> Selection {
    let names: Vec<_> = names.iter().map(|name| table(name)).collect();
    toc.select(&names).expect("tables of the golden schema")
}

/// What is kept: kinds and names, sorted, but for what every archive has.
fn kept(selection: &Selection) -> Vec<String> {
    let entries = selection.toc.entries().iter();
    let entries =
        entries.filter(|entry| entry.catalog_oid != 0 || entry.oid != 0 || entry.schema.is_some());
    let mut kept: Vec<_> = entries
        .map(|entry| format!("{} {}", entry.description, entry.tag))
        .collect();
    kept.sort();
    kept
}

fn names(toc: &Toc, tables: &[pgdump_archive::DumpId]) -> Vec<String> {
    let mut names: Vec<_> = tables
        .iter()
        .map(|id| toc.get(*id).expect("its own id").qualified_name())
        .collect();
    names.sort();
    names
}

#[test]
fn a_table_comes_with_what_is_its_own_and_what_it_needs_and_nothing_else() {
    for (name, toc) in databases() {
        let selection = select(&toc, &["orders"]);
        let expected = [
            "CONSTRAINT orders orders_pkey",
            "DEFAULT orders id",
            "INDEX orders_by_status",
            "POLICY orders paid_only",
            "ROW SECURITY orders",
            "SCHEMA shop",
            "SEQUENCE OWNED BY orders_id_seq",
            "SEQUENCE SET orders_id_seq",
            "SEQUENCE orders_id_seq",
            "STATISTICS orders_stat",
            "TABLE DATA orders",
            "TABLE orders",
            "TYPE price_range",
            "TYPE status",
        ];
        assert_eq!(kept(&selection), expected, "{name}");
        let notes = selection
            .toc
            .entries()
            .iter()
            .filter(|e| e.tag == "SCHEMA shop")
            .count();
        assert_eq!(notes, 2, "{name}: the schema's comment and grants");
        assert_eq!(selection.empty_tables, []);
        let left_out: Vec<_> = selection.left_out.iter().map(ToString::to_string).collect();
        let expected = [
            "rule no_delete of shop.orders",
            "foreign key orders_customer_fkey of shop.orders",
            "publication some_tables of shop.orders",
            "event trigger log_ddl",
        ];
        assert_eq!(left_out, expected, "{name}");
    }
}

#[test]
fn kept_entries_are_in_the_archives_order_and_unchanged_but_for_offsets() {
    for (name, toc) in databases() {
        let selection = select(&toc, &["orders", "events"]);
        let mut whole = toc.entries().iter();
        for entry in selection.toc.entries() {
            let original = whole.find(|original| original.dump_id == entry.dump_id);
            let mut original = original.unwrap_or_else(|| panic!("{name}: order")).clone();
            assert_eq!(entry.owes_data, entry.is_table_data());
            if entry.owes_data {
                assert_eq!(entry.data_offset, DataOffset::Unknown);
                original.data_offset = DataOffset::Unknown;
            }
            assert_eq!(*entry, original, "{name}");
        }
    }
}

#[test]
fn a_partitioned_table_comes_with_its_partitions_and_a_partition_with_its_parents_empty() {
    for (name, toc) in databases() {
        let whole = select(&toc, &["events"]);
        let all = [
            "events",
            "events_2025",
            "events_2025_0",
            "events_2025_1",
            "events_rest",
        ];
        assert_eq!(
            names(&toc, &whole.tables),
            all.map(|name| format!("shop.{name}")),
            "{name}"
        );
        assert_eq!(whole.toc.data_entries().count(), 3);
        let of = |selection: &Selection, kind: &str| {
            selection
                .toc
                .entries()
                .iter()
                .filter(|e| e.description == *kind)
                .count()
        };
        assert_eq!(
            (of(&whole, "TABLE ATTACH"), of(&whole, "INDEX ATTACH")),
            (4, 4)
        );

        let leaf = select(&toc, &["events_2025_1"]);
        assert_eq!(names(&toc, &leaf.tables), ["shop.events_2025_1"]);
        assert_eq!(
            names(&toc, &leaf.empty_tables),
            ["shop.events", "shop.events_2025"]
        );
        assert_eq!(leaf.toc.data_entries().count(), 1);
        assert_eq!(
            (of(&leaf, "TABLE ATTACH"), of(&leaf, "INDEX ATTACH")),
            (2, 2)
        );
    }
}

#[test]
fn a_child_comes_with_its_parent_and_a_parent_lists_its_child() {
    for (name, toc) in databases() {
        let child = select(&toc, &["derived"]);
        assert_eq!(names(&toc, &child.empty_tables), ["shop.base"], "{name}");
        let parent = select(&toc, &["base"]);
        assert_eq!(parent.empty_tables, []);
        let left_out: Vec<_> = parent.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            left_out,
            [
                "inheriting table shop.derived of shop.base",
                "event trigger log_ddl"
            ]
        );
        assert_eq!(parent.left_out[0].reason, Reason::Child);
        assert_eq!(select(&toc, &["base", "derived"]).left_out.len(), 1);
    }
}

#[test]
fn a_name_that_is_no_table_gets_an_error_that_helps() {
    let (_, toc) = databases().swap_remove(0);
    let error = |schema: &str, name: &str| {
        toc.select(&[TableName::new(schema, name)])
            .unwrap_err()
            .to_string()
    };
    for (schema, name, text) in [
        (
            "shop",
            "ordres",
            "there is no table shop.ordres in the archive (but there is shop.orders)",
        ),
        (
            "public",
            "orders",
            "there is no table public.orders in the archive (but there is shop.orders)",
        ),
        (
            "shop",
            "Orders",
            "there is no table shop.\"Orders\" in the archive (but there is shop.orders)",
        ),
        ("shop", "zzz", "there is no table shop.zzz in the archive"),
        ("shop", "paid", "shop.paid is a view, not a table"),
        (
            "shop",
            "totals",
            "shop.totals is a materialized view, not a table",
        ),
        ("shop", "tickets", "shop.tickets is a sequence, not a table"),
        (
            "shop",
            "remote",
            "shop.remote is a foreign table, not a table",
        ),
    ] {
        assert_eq!(error(schema, name), text);
    }
    let odd = TableName::new("Odd.Names", "a \"quoted\" table\nname");
    assert_eq!(toc.select(&[odd]).unwrap().tables.len(), 1);
}

#[test]
fn a_table_whose_definition_is_not_there_is_distinguished() {
    for (name, archive) in goldens()
        .into_iter()
        .filter(|(name, _)| name.ends_with("inserts"))
    {
        let toc = head(&archive).1;
        let data = toc.data_entries().next().unwrap();
        let wanted = TableName::new(
            data.schema.as_ref().unwrap().to_string(),
            data.tag.to_string(),
        );
        let error = toc.select(std::slice::from_ref(&wanted)).unwrap_err();
        assert_eq!(error, SelectError::NoDefinition { name: wanted }, "{name}");
    }
}

#[test]
fn any_tables_of_any_golden_archive_make_a_head_that_is_read_again() {
    for (name, archive) in goldens() {
        let (header, toc, _) = head(&archive);
        let tables = toc
            .entries()
            .iter()
            .filter(|entry| entry.description == "TABLE");
        for entry in tables {
            let schema = entry.schema.as_ref().unwrap().to_string();
            let selection = toc
                .select(&[TableName::new(schema, entry.tag.to_string())])
                .unwrap();
            let mut parser = Parser::new();
            parser
                .push(&encode(&header, &selection.toc).unwrap(), &mut |_| {})
                .unwrap();
            assert_eq!(
                parser.toc().map(|toc| &**toc),
                Some(&selection.toc),
                "{name}"
            );
        }
        assert!(toc.select(&[]).unwrap().toc.data_entries().next().is_none());
    }
}
