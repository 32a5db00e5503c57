//! Which server answered at each target's address: two daemons may write one server's address in different ways, and
//! one address may lead to different servers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::database_url::DatabaseUrl;
use crate::server::Target;

/// The system identifiers of the servers that have answered, by target.
#[derive(Debug, Default)]
pub struct KnownServers(Mutex<BTreeMap<String, Seen>>);

#[derive(Debug)]
struct Seen {
    address: String,
    identifier: u64,
}

impl KnownServers {
    /// Notes which server has answered. One that does not say what it is leaves what was known.
    pub fn remember(&self, target: &Target) {
        if let Some(identifier) = target.system_identifier() {
            let seen = Seen {
                address: address_of(target.url()),
                identifier,
            };
            let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            servers.insert(target.name().to_owned(), seen);
        }
    }

    /// The server that answered last as this target at this address.
    pub fn identifier_of(&self, target: &str, url: &DatabaseUrl) -> Option<u64> {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = servers.get(target)?;
        (seen.address == address_of(url)).then_some(seen.identifier)
    }
}

/// Host and port, for people and for comparing.
pub(super) fn address_of(url: &DatabaseUrl) -> String {
    format!("{}:{}", url.host(), url.port())
}
