//! `GET rights`: what the request's token may, so that a page offers nothing else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Holder;
use super::service::Service;
use crate::config::Scope;

/// What a token may.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RightsAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The token's name in the configuration; null where there are no tokens.
    #[schema(required)]
    token: Option<String>,
    /// See backups.
    read: bool,
    /// Ask for backups.
    enqueue: bool,
    /// Cancel backups.
    cancel: bool,
    /// See which daemon runs a backup, and what the daemons' checks found.
    admin: bool,
    /// Of these targets alone; null: of all.
    #[schema(required)]
    targets: Option<Vec<String>>,
    /// The daemon's version.
    version: &'static str,
}

/// What the token may
///
/// Every token may ask this.
#[utoipa::path(
    get, path = "/rights", operation_id = "rights", tag = "operator",
    responses((status = 200, description = "What the token may", body = RightsAnswer)),
)]
pub(super) async fn rights(
    State(_): State<Arc<Service>>,
    Holder(identity): Holder,
) -> impl IntoResponse {
    let answer = RightsAnswer {
        success: true,
        token: identity.name().map(str::to_owned),
        read: identity.has(Scope::Read),
        enqueue: identity.has(Scope::Enqueue),
        cancel: identity.has(Scope::Cancel),
        admin: identity.has(Scope::Admin),
        targets: identity.targets().map(<[String]>::to_vec),
        version: env!("CARGO_PKG_VERSION"),
    };
    ([(header::CACHE_CONTROL, "private, no-store")], Json(answer))
}
