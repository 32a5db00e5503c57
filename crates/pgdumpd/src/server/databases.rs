//! The databases beside this one.

use crate::fault::Fault;

use super::Target;

impl Target {
    /// The names of the server's databases that this role can connect to, templates left out. A name need not be UTF-8.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn databases(&self) -> Result<Vec<Vec<u8>>, Fault> {
        let rows: Vec<(Vec<u8>,)> = self
            .connections
            .all("the list of databases", include_str!("sql/databases.sql"))
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}
