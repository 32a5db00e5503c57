//! Ending the sessions that dumps left on the server.

use std::time::Duration;

use tokio::time::Instant;

use crate::code::Code;
use crate::fault::Fault;

use super::Target;

/// How often the server is asked whether a session is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

impl Target {
    /// Ends the sessions of our role with these application names, and waits until they are gone.
    ///
    /// Returns how many were ended. Safe to repeat.
    ///
    /// # Errors
    /// A transient `session_remains` when one is still there after `limit`; else as [`Target::look`].
    pub async fn end_sessions(
        &self,
        application_names: &[String],
        limit: Duration,
    ) -> Result<usize, Fault> {
        if application_names.is_empty() {
            return Ok(0);
        }
        let ask = self.session_connections().about_sessions(
            "the sessions of earlier dumps",
            include_str!("sql/end_sessions.sql"),
            application_names,
        );
        let ended: Option<(i64,)> = match tokio::time::timeout(limit, ask).await {
            Ok(ended) => ended?,
            Err(_) => {
                return Err(Fault::transient(
                    Code::TargetSlow,
                    format!("target {}: no answer in {} s", self.name, limit.as_secs()),
                ));
            }
        };
        if !self.gone(application_names, limit).await? {
            return Err(Fault::transient(
                Code::SessionRemains,
                format!(
                    "target {}: an earlier dump's session is still there {} s after it was ended",
                    self.name,
                    limit.as_secs()
                ),
            )
            .hint(
                "Look for sessions whose application_name begins with pgdumpd in pg_stat_activity.",
            ));
        }
        Ok(ended.map_or(0, |(count,)| usize::try_from(count).unwrap_or(0)))
    }

    /// Whether the session with this application name is gone, now or within `limit`. A server that cannot be
    /// asked leaves the question open: that is not gone.
    pub async fn sessions_gone(&self, application_name: &str, limit: Duration) -> bool {
        match self.gone(&[application_name.to_owned()], limit).await {
            Ok(gone) => gone,
            Err(fault) => {
                tracing::warn!(
                    target = self.name,
                    error = fault.report(),
                    "cannot query whether a dump's session is gone"
                );
                false
            }
        }
    }

    /// Asks until none is left, or `limit` is over; with the last error, if that was the last answer. A refusal that
    /// stays, such as of a role that is gone, is the answer at once.
    async fn gone(&self, application_names: &[String], limit: Duration) -> Result<bool, Fault> {
        let end = Instant::now() + limit;
        loop {
            let left = self.session_connections().about_sessions(
                "whether sessions are gone",
                include_str!("sql/count_sessions.sql"),
                application_names,
            );
            let answer: Result<Option<(i64,)>, Fault> = tokio::time::timeout_at(end, left)
                .await
                .unwrap_or(Ok(Some((1,))));
            if let Ok(None | Some((0,))) = answer {
                return Ok(true);
            }
            let stays = answer.as_ref().is_err_and(|fault| !fault.is_transient());
            if stays || Instant::now() + LOOK_AGAIN >= end {
                return answer.map(|_| false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
