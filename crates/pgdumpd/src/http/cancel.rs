//! `POST cancel/{id}`: cancels a backup, or says that it has ended before.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use pgdumpd_client::Cancelled;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use super::access::Canceller;
use super::answer::BackupAnswer;
use super::id::PathId;
use super::problem::{Problem, ProblemType};
use super::service::Service;
use super::status::common_headers;

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CancelWord {
    /// It was queued, and has now ended.
    Cancelled,
    /// It is running, and its daemon stops it.
    Stopping,
    /// It had ended; nothing changed.
    EndedBefore,
}

impl From<Cancelled> for CancelWord {
    fn from(cancelled: Cancelled) -> Self {
        match cancelled {
            Cancelled::Cancelled => Self::Cancelled,
            Cancelled::Cancelling => Self::Stopping,
            // `NotFound`: its row was deleted a moment ago.
            _ => Self::EndedBefore,
        }
    }
}

/// The backup, and what the cancel did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelAnswer {
    #[serde(flatten)]
    backup: BackupAnswer,
    /// What the cancel did.
    cancel: CancelWord,
}

/// Cancel a backup
///
/// A queued one ends at once; a running one is stopped by its daemon within moments. To cancel again is harmless.
#[utoipa::path(
    post, path = "/cancel/{id}", operation_id = "cancel", tag = "backup",
    params(("id" = String, Path, description = "The backup's id")),
    responses(
        (status = 200, description = "The backup, and what the cancel did", body = CancelAnswer, headers(
            ("Retry-After" = u32, description = "After how many seconds to ask for its status; not there if the job has ended"),
        )),
    ),
)]
pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Canceller(identity): Canceller,
    id: PathId,
) -> Result<Response, Problem> {
    let Some(uuid) = id.uuid() else {
        let text = format!("{:?} is not the id of a backup", id.as_str());
        return Err(Problem::new(ProblemType::NoJobYet, text)
            .hint("Cancel the id that the answer to create has."));
    };
    let before = service.visible(&identity, uuid).await?;
    let cancelled = service.shared.applications.cancel(uuid).await;
    let cancelled = cancelled.map_err(Problem::from)?;
    if matches!(cancelled, Cancelled::Cancelled | Cancelled::Cancelling) {
        info!(
            job.id = %uuid,
            target = before.target,
            http.token = identity.name(),
            "a cancel was requested over HTTP"
        );
    }
    // What was cancelled stays so, also if it cannot be read now.
    let after = service.shared.reads.read(uuid).await.ok().flatten();
    let answer = CancelAnswer {
        backup: BackupAnswer::from(&*after.unwrap_or(before)),
        cancel: cancelled.into(),
    };
    let mut response = Json(&answer).into_response();
    for (name, value) in common_headers(&answer.backup) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
