//! What is kept and said, by tables of contents that the tests write themselves.

use std::time::{Duration, Instant};

use super::*;
use crate::{Section, Text};

/// An archive's entries; each is known by the number of its place, from 1 on.
#[derive(Default)]
struct Archive {
    entries: Vec<TocEntry>,
}

impl Archive {
    fn add(&mut self, description: &str, name: &str, definition: &str, needs: &[i32]) -> i32 {
        let id = i32::try_from(self.entries.len()).unwrap() + 1;
        let (schema, tag) = name.split_once('.').unwrap_or(("", name));
        let text = |text: &str| Text::new(text.as_bytes());
        self.entries.push(TocEntry {
            dump_id: DumpId::new(id).unwrap(),
            owes_data: description == "TABLE DATA",
            catalog_oid: 0,
            oid: 0,
            tag: text(tag),
            description: text(description),
            section: Section::PreData,
            definition: (!definition.is_empty()).then(|| text(definition)),
            drop_statement: None,
            copy_statement: None,
            schema: (!schema.is_empty()).then(|| text(schema)),
            tablespace: None,
            access_method: None,
            relkind: None,
            owner: None,
            with_oids: false,
            dependencies: needs.iter().filter_map(|id| DumpId::new(*id)).collect(),
            data_offset: DataOffset::Unknown,
        });
        id
    }

    fn table(&mut self, name: &str, columns: &str, needs: &[i32]) -> i32 {
        let id = self.add(
            "TABLE",
            name,
            &format!("CREATE TABLE {name} ({columns});"),
            needs,
        );
        self.add("TABLE DATA", name, "", &[id]);
        id
    }

    fn function(&mut self, name: &str, definition: &str) -> i32 {
        self.add(
            "FUNCTION",
            name,
            &format!("CREATE FUNCTION {name} {definition}"),
            &[],
        )
    }

    fn select(&self, name: &str) -> Selection {
        let (schema, name) = name.split_once('.').unwrap();
        let toc = Toc::new(self.entries.clone()).unwrap();
        toc.select(&[TableName::new(schema, name)]).unwrap()
    }
}

fn kept(selection: &Selection) -> Vec<String> {
    let entries = selection.toc.entries().iter();
    let entries = entries.filter(|entry| !matches!(role::text(entry), "TABLE" | "TABLE DATA"));
    entries
        .map(|entry| format!("{} {}", entry.description, entry.tag))
        .collect()
}

fn said(selection: &Selection) -> Vec<String> {
    selection
        .incomplete
        .iter()
        .map(ToString::to_string)
        .filter(|line| !line.starts_with("schema "))
        .collect()
}

#[test]
fn a_table_that_comes_along_empty_and_is_read_is_named() {
    let mut archive = Archive::default();
    let lookup = archive.table("s.lookup", "k integer", &[]);
    let view = archive.add(
        "VIEW",
        "s.view",
        "CREATE VIEW s.view AS SELECT * FROM s.lookup;",
        &[lookup],
    );
    // Written as a dummy first: the rule has the query.
    let dummy = archive.add(
        "VIEW",
        "s.late",
        "CREATE VIEW s.late AS SELECT NULL::integer AS k;",
        &[],
    );
    archive.add(
        "RULE",
        "s.late _RETURN",
        "CREATE OR REPLACE VIEW s.late AS SELECT * FROM s.view;",
        &[dummy, view],
    );
    for (name, definition) in [
        (
            "s.direct()",
            "RETURNS integer LANGUAGE sql AS 'SELECT k FROM s.lookup'",
        ),
        (
            "s.by_view()",
            "RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT k FROM s.view); END'",
        ),
        (
            "s.by_rule()",
            "RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT k FROM s.late); END'",
        ),
        (
            "s.parsed()",
            "RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT k FROM s.view; END",
        ),
        (
            "s.word(text)",
            "(language text) RETURNS integer LANGUAGE sql AS 'SELECT k FROM s.view'",
        ),
    ] {
        let function = archive.function(name, definition);
        let table = format!("s.of_{}", &name[2..name.find('(').unwrap()]);
        archive.table(&table, "l s.lookup, a integer", &[lookup, function]);
        let said = said(&archive.select(&table));
        let expected = format!("function {name} reads s.lookup, which was not selected");
        assert_eq!(said, [expected]);
    }
    // Its row is an argument, and no more.
    let function = archive.function(
        "s.shows(s.lookup)",
        "RETURNS text LANGUAGE sql AS 'SELECT $1::text'",
    );
    archive.table("s.shown", "l s.lookup", &[lookup, function]);
    assert_eq!(said(&archive.select("s.shown")), [""; 0]);
    // Selected, it has its rows.
    let toc = Toc::new(archive.entries).unwrap();
    let both = ["lookup", "of_by_rule"].map(|name| TableName::new("s", name));
    assert_eq!(said(&toc.select(&both).unwrap()), [""; 0]);
}

#[test]
fn a_foreign_table_that_is_read_is_not_said_to_lack_a_selection() {
    let mut archive = Archive::default();
    archive.add(
        "FOREIGN TABLE",
        "s.far",
        "CREATE FOREIGN TABLE s.far (a integer) SERVER x;",
        &[],
    );
    let function = archive.function(
        "s.f()",
        "RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM s.far'",
    );
    archive.table("s.t", "a bigint", &[function]);
    let expected = "function s.f() reads s.far, a foreign table: its rows are not in the archive";
    assert_eq!(said(&archive.select("s.t")), [expected]);
}

#[test]
fn of_several_tables_of_one_name_the_nearest_is_read_or_all() {
    let mut archive = Archive::default();
    for table in ["a.rates", "b.rates", "c.rates"] {
        archive.table(table, "v integer", &[]);
    }
    for (name, settings, expected) in [
        ("a.f()", "", &["a.rates"][..]),
        ("s.f()", "", &["a.rates", "b.rates", "c.rates"]),
        (
            "s.g()",
            "SET search_path TO 'b', 'c'",
            &["b.rates", "c.rates"],
        ),
        (
            "s.h()",
            "SET search_path TO 'x'",
            &["a.rates", "b.rates", "c.rates"],
        ),
        (
            "c.k()",
            "SET x TO 'search_path'",
            &["a.rates", "b.rates", "c.rates"],
        ),
    ] {
        let body = format!("RETURNS bigint LANGUAGE sql {settings} AS 'SELECT 1 FROM a.x, rates'");
        let function = archive.function(name, &body);
        let table = name.replace("()", "_of");
        archive.table(&table, "v bigint", &[function]);
        let tables: Vec<_> = expected
            .iter()
            .map(|table| format!("function {name} reads {table}, which was not selected"))
            .collect();
        assert_eq!(said(&archive.select(&table)), tables);
    }
}

/// Each tenant has a schema with the same names.
#[test]
fn a_function_brings_those_of_its_own_schema_where_others_have_the_same_names() {
    let mut archive = Archive::default();
    let names: Vec<_> = (1..=10).map(|number| format!("f{number}")).collect();
    let calls: Vec<_> = names.iter().map(|name| format!("{name}(1)")).collect();
    let body = format!(
        "RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN {} FROM settings; END'",
        calls.join(" + ")
    );
    for tenant in 0..200 {
        archive.table(&format!("t{tenant}.settings"), "v integer", &[]);
        let functions = names
            .iter()
            .map(|name| archive.function(&format!("t{tenant}.{name}(integer)"), &body));
        let functions: Vec<_> = functions.collect();
        archive.table(&format!("t{tenant}.orders"), "v integer", &functions[..1]);
    }
    let before = Instant::now();
    let selection = archive.select("t1.orders");
    assert_eq!(kept(&selection).len(), 10);
    assert_eq!(said(&selection).len(), 10, "{:?}", said(&selection));
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_cast_that_depends_on_nothing_comes_with_every_table() {
    let mut archive = Archive::default();
    archive.add(
        "CAST",
        "CAST (integer AS text)",
        "CREATE CAST (integer AS text) WITH INOUT AS IMPLICIT;",
        &[],
    );
    // Its type's schema was left out of the dump.
    archive.add(
        "CAST",
        "CAST (x.t AS text)",
        "CREATE CAST (x.t AS text) WITH INOUT;",
        &[],
    );
    // Its function comes where a text may use the cast.
    let function = archive.function("s.to_json(bigint)", "RETURNS json LANGUAGE c AS 'x', 'y'");
    let cast = "CREATE CAST (bigint AS json) WITH FUNCTION s.to_json(bigint);";
    archive.add("CAST", "CAST (bigint AS json)", cast, &[function]);
    archive.table("s.t", "a integer", &[]);
    let reader = archive.function("s.f()", "RETURNS integer LANGUAGE sql AS 'SELECT 1'");
    archive.table("s.reader", "a integer", &[reader]);
    assert_eq!(
        kept(&archive.select("s.t")),
        ["CAST CAST (integer AS text)"]
    );
    let expected = [
        "CAST CAST (integer AS text)",
        "FUNCTION to_json(bigint)",
        "CAST CAST (bigint AS json)",
        "FUNCTION f()",
    ];
    assert_eq!(kept(&archive.select("s.reader")), expected);
}

#[test]
fn what_a_constant_names_comes_along_and_what_it_does_not_name_is_not_missed() {
    let mut archive = Archive::default();
    archive.add("SEQUENCE", "s.old", "CREATE SEQUENCE s.old;", &[]);
    archive.add(
        "SEQUENCE",
        "s.Odd one",
        "CREATE SEQUENCE s.\"Odd one\";",
        &[],
    );
    archive.add("SEQUENCE", "s.other", "CREATE SEQUENCE s.other;", &[]);
    archive.add("SCHEMA", "s", "CREATE SCHEMA s;", &[]);
    let columns = "a bigint DEFAULT nextval(('s.old'::text)::regclass), b text DEFAULT 's.none'";
    let table = archive.table("s.t", columns, &[]);
    let check =
        "ALTER TABLE s.t ADD CONSTRAINT c CHECK (nextval('s.\"Odd one\"'::text) > 0) NOT VALID;";
    archive.add("CHECK CONSTRAINT", "s.t c", check, &[table]);
    let selection = archive.select("s.t");
    let expected = ["SEQUENCE old", "SEQUENCE Odd one", "CHECK CONSTRAINT t c"];
    assert_eq!(kept(&selection), expected);
    assert_eq!(said(&selection), [""; 0]);
}

#[test]
fn data_of_an_extension_is_named_where_the_extension_comes_along() {
    let mut archive = Archive::default();
    let extension = archive.add(
        "EXTENSION",
        "maps",
        "CREATE EXTENSION maps WITH SCHEMA public;",
        &[],
    );
    archive.add("TABLE DATA", "public.systems", "", &[extension]);
    archive.add("SEQUENCE SET", "public.systems_id_seq", "", &[]);
    archive.table("s.plain", "a integer", &[]);
    archive.table("s.map", "p public.point", &[extension]);
    assert_eq!(said(&archive.select("s.plain")), [""; 0]);
    let expected = [
        "extension maps has data in public.systems, which is left out",
        "an extension has data in public.systems_id_seq, which is left out",
    ];
    assert_eq!(said(&archive.select("s.map")), expected);
}

#[test]
fn a_table_that_may_refer_to_large_objects_is_named() {
    let mut archive = Archive::default();
    archive.table("s.own", "a integer, o oid", &[]);
    let lo = archive.add(
        "EXTENSION",
        "lo",
        "CREATE EXTENSION lo WITH SCHEMA public;",
        &[],
    );
    let base = archive.table("s.base", "o public.lo NOT NULL", &[lo]);
    archive.table("s.derived", "b integer", &[base]);
    let domain = archive.add("DOMAIN", "s.object", "CREATE DOMAIN s.object AS oid;", &[]);
    let pair = archive.add(
        "TYPE",
        "s.pair",
        "CREATE TYPE s.pair AS (\n\ta integer,\n\tb s.object\n);",
        &[domain],
    );
    archive.table("s.of_type", "p s.pair", &[pair]);
    let parent = archive.add(
        "TABLE",
        "s.parent",
        "CREATE TABLE s.parent (o oid) PARTITION BY LIST (o);",
        &[],
    );
    let part = archive.table("s.part", "o oid", &[]);
    archive.add(
        "TABLE ATTACH",
        "s.part",
        "ALTER TABLE s.parent ATTACH PARTITION s.part;",
        &[parent, part],
    );
    archive.table("s.none", "oid integer, b bytea", &[]);
    assert_eq!(said(&archive.select("s.own")), [""; 0]);

    archive.add(
        "BLOB METADATA",
        "1",
        "SELECT pg_catalog.lo_create('1');",
        &[],
    );
    assert_eq!(said(&archive.select("s.none")), [""; 0]);
    for table in ["s.own", "s.derived", "s.of_type", "s.parent", "s.part"] {
        let expected = format!("{table} may refer to large objects, which are left out");
        assert_eq!(said(&archive.select(table)), [expected]);
    }
}

#[test]
fn what_is_left_out_has_its_own_name() {
    let mut archive = Archive::default();
    let table = archive.table("s.t", "a integer", &[]);
    archive.add(
        "RULE",
        "s.t x _RETURN",
        "CREATE RULE \"x _RETURN\" AS ON DELETE TO s.t DO NOTHING;",
        &[table],
    );
    let far = "CREATE FOREIGN TABLE s.far (\n)\nINHERITS (s.t)\nSERVER x;";
    archive.add("FOREIGN TABLE", "s.far", far, &[table]);
    archive.add(
        "PUBLICATION TABLES IN SCHEMA",
        "s.my p s",
        "ALTER PUBLICATION \"my p\" ADD TABLES IN SCHEMA s;",
        &[],
    );
    let selection = archive.select("s.t");
    assert_eq!(kept(&selection), [""; 0]);
    let left_out: Vec<_> = selection.left_out.iter().map(ToString::to_string).collect();
    let expected = [
        "rule \"x _RETURN\" of s.t",
        "inheriting table s.far of s.t",
        "publication \"my p\"",
    ];
    assert_eq!(left_out, expected);
}

#[test]
fn a_part_of_a_table_that_lacks_something_is_named_with_its_table() {
    let mut archive = Archive::default();
    archive.add("SCHEMA", "s", "CREATE SCHEMA s;", &[]);
    let table = archive.table("s.t", "a integer", &[]);
    let check = "ALTER TABLE s.t ADD CONSTRAINT \"my check\" CHECK (s.gone(a)) NOT VALID;";
    archive.add("CHECK CONSTRAINT", "s.t my check", check, &[table]);
    let expected = "check constraint \"my check\" of s.t needs s.gone, which is not in the archive";
    assert_eq!(said(&archive.select("s.t")), [expected]);
}

#[test]
fn a_relation_that_the_archive_lacks_is_named_wherever_a_function_names_it() {
    let mut archive = Archive::default();
    archive.add("SCHEMA", "s", "CREATE SCHEMA s;", &[]);
    let body = "BEGIN DELETE FROM s.t USING s.one, s.two WHERE s.t IS DISTINCT FROM s.a; TABLE s.three; END";
    let body = format!("RETURNS integer LANGUAGE plpgsql AS '{body}'");
    let function = archive.function("s.f()", &body);
    archive.table("s.t", "a integer", &[function]);
    let lines = ["one", "three", "two"]
        .map(|name| format!("function s.f() needs s.{name}, which is not in the archive"));
    assert_eq!(said(&archive.select("s.t")), lines);
}

/// Texts of which each word could be looked up in a long list, or each token be found by reading all that follow.
#[test]
fn hostile_texts_are_read_in_time_that_grows_with_their_length() {
    let before = Instant::now();
    for part in [
        "+",
        "$",
        "(",
        "f ",
        "s.f ",
        "s.f(1), ",
        "FROM t, ",
        "FROM f, (",
        "WITH f AS (",
        "f AS (",
    ] {
        let mut archive = Archive::default();
        let text = part.repeat(300_000 / part.len());
        let function = archive.function("s.f()", &format!("LANGUAGE sql AS $x$ {text} $x$"));
        for number in 0..1000 {
            archive.function(&format!("s.f(s.t{number})"), "LANGUAGE c AS 'x', 'y'");
        }
        archive.table("s.t", "a integer", &[function]);
        archive.select("s.t");
    }
    // A long key of a table that inherits, and of which each column would be looked for.
    let mut archive = Archive::default();
    let columns: Vec<_> = (0..20_000)
        .map(|number| format!("c{number} integer"))
        .collect();
    let table = archive.table("s.t", &columns.join(", "), &[]);
    let names: Vec<_> = (0..20_000).map(|number| format!("c{number}")).collect();
    let key = format!(
        "ALTER TABLE ONLY s.t ADD CONSTRAINT k PRIMARY KEY ({});",
        names.join(", ")
    );
    archive.add("CONSTRAINT", "s.t k", &key, &[table]);
    archive.select("s.t");
    // Two seconds on an idle machine; 300,000 tokens, each of which reads all that follow, would take minutes.
    assert!(
        before.elapsed() < Duration::from_secs(30),
        "{:?}",
        before.elapsed()
    );
}
