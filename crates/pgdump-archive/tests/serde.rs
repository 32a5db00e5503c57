//! The index as JSON.

use pgdump_archive::{Index, IndexingParser};
use serde_json::{Value, json};

fn index() -> Index {
    let archive = include_bytes!("golden/pg16-pipe-zstd.dump");
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).expect("a good archive");
    parser.finish().expect("a whole archive").1
}

#[test]
fn an_index_survives_json() {
    let index = index();
    let text = serde_json::to_string(&index).expect("it can be written");
    let again: Index = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(again, index);
    let from_reader: Index = serde_json::from_reader(text.as_bytes()).expect("it can be read");
    assert_eq!(from_reader, index);
}

#[test]
fn the_fields_say_their_units() {
    let value = serde_json::to_value(index()).expect("it can be written");
    assert!(value["head_bytes"].is_u64());
    let entries = value["entries"].as_array().expect("entries");
    let orders = entries
        .iter()
        .find(|entry| entry["name"] == "orders")
        .expect("a table");
    for number in [
        "dump_id",
        "raw_bytes",
        "stored_bytes",
        "offset_bytes",
        "block_bytes",
    ] {
        assert!(orders[number].is_u64(), "{number}");
    }
    for checksum in ["raw_xxh3_128", "block_xxh3_128"] {
        assert_eq!(
            orders[checksum].as_str().map(str::len),
            Some(32),
            "{checksum}"
        );
    }
    assert_eq!(orders["schema"], "shop");
    assert_eq!(orders["kind"], "table");
    assert_eq!(orders["rows"], 200);
    assert_eq!(orders["large_objects"], Value::Null);
    let objects = entries
        .iter()
        .find(|entry| entry["kind"] == "large_objects")
        .expect("objects");
    assert_eq!(
        (&objects["rows"], &objects["large_objects"]),
        (&Value::Null, &json!(4))
    );
}

#[test]
fn values_that_no_index_has_are_refused() {
    let good = serde_json::to_value(index()).expect("it can be written");
    let bad = [
        ("dump_id", json!(0)),
        ("dump_id", json!(-1)),
        ("dump_id", json!(1_u64 << 40)),
        ("raw_bytes", json!(-1)),
        ("raw_bytes", json!(1e300)),
        ("rows", json!("many")),
        ("kind", json!("view")),
        ("raw_xxh3_128", json!("00")),
        ("raw_xxh3_128", json!(7)),
        ("name", Value::Null),
    ];
    for (field, value) in bad {
        let mut index = good.clone();
        index["entries"][0][field] = value.clone();
        let read = serde_json::from_value::<Index>(index);
        assert!(read.is_err(), "{field}: {value}");
    }
    let mut more = good;
    more["entries"][0]["from_later"] = json!(true);
    assert!(serde_json::from_value::<Index>(more).is_ok());
}
