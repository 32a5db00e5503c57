//! The databases beside this one.

use crate::fault::Fault;

use super::Target;

impl Target {
    /// The names of the server's databases that this role can connect to, templates left out.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn databases(&self) -> Result<Vec<String>, Fault> {
        let rows: Vec<(String,)> = self
            .connections
            .all("the list of databases", include_str!("sql/databases.sql"))
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}
