//! What each target means to this daemon, as the queue shows it to the others: what decides which database is dumped,
//! where to, who can read it, and what is deleted afterwards. Never a user or a password.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Catalog;
use super::known_servers::address_of;
use crate::config::TargetConfig;
use crate::encryption::ManifestForm;
use crate::globals::Globals;

/// A member for each target: its settings by name. A setting that is not known yet is left out.
pub(crate) fn of(catalog: &Catalog) -> Value {
    let targets = catalog.targets.iter();
    let settings =
        targets.map(|(name, config)| (name.clone(), of_one(catalog, name, config).into()));
    Value::Object(settings.collect())
}

fn of_one(catalog: &Catalog, name: &str, config: &TargetConfig) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |setting: &str, value: Value| settings.insert(setting.to_owned(), value);
    set("database", config.url.database().into());
    // Where the server is known its address says no more: there are many ways to write one.
    match catalog.servers.identifier_of(name, &config.url) {
        Some(identifier) => set("server", identifier.to_string().into()),
        None => set("address", address_of(&config.url).into()),
    };
    if let Some(id) = storage_id(catalog, &config.storage) {
        set("storage", id.to_string().into());
    }
    let copies = config.copies.iter().map(|copy| storage_id(catalog, copy));
    if let Some(mut copies) = copies.collect::<Option<Vec<Uuid>>>() {
        copies.sort_unstable();
        set("copies", json!(copies));
    }
    let encryption = config.encryption.as_ref();
    let mut recipients = encryption.map_or_else(Vec::new, |own| own.encrypt_to.texts());
    recipients.sort_unstable();
    set("encrypt_to", json!(recipients));
    let manifest = match encryption.map(|own| own.manifest) {
        Some(ManifestForm::Sealed) => "sealed",
        Some(ManifestForm::Clear) | None => "clear",
    };
    set("manifest", manifest.into());
    let globals = match config.globals {
        None => "none",
        Some(Globals::WithoutPasswords) => "without-passwords",
        Some(Globals::WithPasswords) => "with-passwords",
    };
    set("globals", globals.into());
    set("keep_last", json!(config.keep_last));
    set("keep_partial", json!(config.keep_partial));
    set("strict_filters", json!(config.strict_filters));
    settings
}

/// The id of a storage, from the configuration or once it was opened. Its path says nothing: hosts mount one file
/// system in different places.
fn storage_id(catalog: &Catalog, name: &str) -> Option<Uuid> {
    let configured = catalog.storages.get(name)?.storage_id;
    configured.or_else(|| catalog.known.id_of(name))
}
