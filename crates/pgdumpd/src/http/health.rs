//! `/healthz` and `/readyz`: for whoever starts daemons, and whoever sends requests to them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{Problem, ProblemType};
use super::service::Service;

/// As it should be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always true; a problem has false.
    success: bool,
}

/// Whether the daemon answers
///
/// Asks nothing of the queue, and needs no token.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "health", security(()),
    responses((status = 200, description = "It answers", body = Health)),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { success: true })
}

/// Whether the daemon takes requests
///
/// It does unless its queue cannot be reached, or it is stopping. Needs no token.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "health", security(()),
    responses((status = 200, description = "It takes requests", body = Health)),
)]
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Result<Json<Health>, Problem> {
    if service.shared.drain.is_cancelled() {
        return Err(Problem::new(
            ProblemType::Unavailable,
            "the daemon is stopping",
        ));
    }
    // An id that nothing has: whether the queue answers is what counts.
    service.shared.reads.read(Uuid::nil()).await?;
    Ok(Json(Health { success: true }))
}
