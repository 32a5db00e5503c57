//! Standbys of a private cluster.

use super::{Cluster, directory};

impl Cluster {
    /// Starts a standby that follows this private cluster, which needs `wal_level = replica` and two `max_wal_senders`;
    /// `settings` are its own. It speaks the same language.
    pub async fn start_standby(&self, settings: &[(&str, &str)]) -> Cluster {
        let (directory, lease) = directory::private().await;
        let primary = format!(
            "host={} port={} user=postgres",
            self.socket_dir().display(),
            self.port()
        );
        let mut flavour = self.server.flavour.clone();
        let own = settings.iter().copied();
        let own = own.chain([("primary_conninfo", primary.as_str())]);
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        flavour.settings.extend(own);
        Cluster {
            server: self.server.copy(directory, flavour).await,
            _lease: lease,
        }
    }
}
