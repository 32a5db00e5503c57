//! `pgdumpd config`: the configuration as it was understood.

use crate::config::Loaded;

/// Every effective value with its source and without secrets, as text or as JSON.
pub fn run(loaded: &Loaded, json: bool) -> String {
    if json {
        format!("{:#}\n", loaded.describe_json())
    } else {
        loaded.describe()
    }
}
