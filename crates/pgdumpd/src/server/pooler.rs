//! Whether the address leads through a pooler that shares the server's sessions among its clients.
//!
//! pg_dump must not run through one: what it sets for its session, such as that no row may be hidden, could reach
//! another session than the one that it dumps in.

use super::{Target, fault};
use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;

impl Target {
    /// As [`Target::connect`], for a dump.
    ///
    /// # Errors
    /// Those too, and as [`Target::refuse_pooler`].
    pub async fn connect_directly(name: &str, url: &DatabaseUrl) -> Result<Self, Fault> {
        let target = Self::connect(name, url).await?;
        target.refuse_pooler().await?;
        Ok(target)
    }

    /// Refuses a pooler of transactions or of statements. Two connections that are both there can only share a server
    /// process behind one, and only there does a connection change its own. This finds many, not all: what is found is
    /// certain.
    ///
    /// # Errors
    /// A permanent `pooler_in_front`; that a second connection is refused is none.
    pub async fn refuse_pooler(&self) -> Result<(), Fault> {
        match self.connections.backend_pids().await {
            Ok(pids) if pids.are_shared() => Err(fault::shared(&self.name, &self.url)),
            Err(fault) if fault.code() == Code::PoolerInFront => Err(fault),
            _ => Ok(()),
        }
    }
}
