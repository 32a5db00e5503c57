//! `[queue]`: where jobs come from.

use super::QueueConfig;
use super::origin::Origin;
use super::reader::{Reader, Section};
use super::{secrets, targets, values};
use crate::database_url::DatabaseUrl;

/// Variables that sqlx obeys and offers no way to forget, while pg_dump's environment is built from nothing.
const STRAY: &[&str] = &["PGOPTIONS", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<QueueConfig> {
    for name in STRAY {
        if reader.sources.variable(name).is_some() {
            reader.warnings.push(format!(
                "{name} is set: it changes pgdumpd's own connections but not those of pg_dump; unset it and use the address's parameters"
            ));
        }
    }
    let section = reader.section("queue");
    let url = secrets::connection(reader, &section);
    let url = match secrets::password_file(reader, &section) {
        Some(path) => url.map(|url| url.with_password_file(path)),
        None => url,
    };
    if reader.find(&section, "url").is_none() && reader.find(&section, "url_file").is_none() {
        reader.problem(
            section.key("url"),
            None,
            "is missing: set it or url_file in the configuration file, or PGDUMPD_QUEUE__URL or DATABASE_URL in the environment",
        );
    }
    let queue_id = reader.uuid(&section, "queue_id");
    let pooled = reader.boolean(&section, "pooled");
    let listen = reader.boolean(&section, "listen");
    let listen_url = listen_url(reader, &section, url.as_ref());
    let migrate_at_start = migrate_at_start(reader, &section);
    Some(QueueConfig {
        url: url?,
        queue_id,
        pooled,
        listen_url,
        listen,
        migrate_at_start,
    })
}

/// Takes the queue's password if it has none of its own.
fn listen_url(
    reader: &mut Reader<'_>,
    section: &Section,
    queue: Option<&DatabaseUrl>,
) -> Option<DatabaseUrl> {
    let found = reader.find(section, "listen_url")?;
    let Some(text) = values::text(&found.value) else {
        reader.refuse(section, "listen_url", &found, "is not a text in quotes");
        return None;
    };
    match DatabaseUrl::parse(&text) {
        Ok(url) => {
            reader.entry(
                section.key("listen_url"),
                format!("\"{url}\""),
                found.origin,
            );
            Some(match queue {
                Some(queue) if url.password().is_none() => url.with_password_of(queue),
                _ => url,
            })
        }
        Err(error) => {
            let text = error.to_string();
            reader.problem(section.key("listen_url"), Some(found.origin), text);
            None
        }
    }
}

/// On without configuration, where nobody would think of migrating; else only if asked for.
fn migrate_at_start(reader: &mut Reader<'_>, section: &Section) -> bool {
    if targets::are_derived(reader) && reader.find(section, "migrate_at_start").is_none() {
        reader.entry(section.key("migrate_at_start"), "true", Origin::Derived);
        return true;
    }
    reader.boolean(section, "migrate_at_start")
}
