//! Any bytes in a manifest's place.

use pgdumpd::store::Manifest;
use pgdumpd_testkit::manifest_text;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{manifest_of, new_key};

/// Values that a hostile manifest may have anywhere.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9a-f]{32}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let named = prop::sample::select(vec!["entries", "head_bytes", "key", "a"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(named.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_read_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let key = new_key();
        let fault = Manifest::parse(&key, &bytes).unwrap_err();
        prop_assert!(fault.code().is_of_a_manifest());
    }

    #[test]
    fn any_value_in_any_field_is_refused_or_read_and_never_panics(
        field in any::<prop::sample::Index>(), value in anything(), index in anything(), format in 1..=2
    ) {
        let key = new_key().encrypted();
        let mut json = serde_json::to_value(manifest_of(&key, b"abc")).unwrap();
        json["format"] = json!(format);
        json["index"] = index;
        let names: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        let name = field.get(&names);
        let inner: Vec<String> = json[name].as_object().map_or_else(Vec::new, |map| map.keys().cloned().collect());
        match inner.is_empty() {
            true => json[name] = value,
            false => json[name][field.get(&inner)] = value,
        }
        let text = manifest_text(&json);
        match Manifest::parse(&key, text.as_bytes()) {
            Ok(manifest) => {
                if let Err(fault) = manifest.parse_index(text.as_bytes()) {
                    prop_assert_eq!(fault.code().as_str(), "manifest_invalid");
                }
            }
            Err(fault) => prop_assert!(fault.code().is_of_a_manifest()),
        }
    }
}
