//! The routes, and the document that describes them: both from the same handlers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::cors::CorsLayer;
use utoipa::PartialSchema as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, Header, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, Type, path::Operation,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, ProblemBody, ProblemType};
use super::service::Service;
use super::{
    cancel, create, daemons, events, health, job, jobs, list, metrics, monitoring, overview, page,
    rights, status, tables,
};

/// How long a request may take until its answer begins: longer than any of its statements.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The routes that need no token: what they answer is the same for everybody.
const PUBLIC: [&str; 3] = ["/healthz", "/readyz", DOCUMENT];

/// Where the document is.
const DOCUMENT: &str = "/api/backup/openapi.json";

/// What each route may be refused with, beside [`EVERYWHERE`].
const REFUSALS: &[(&str, &[ProblemType])] = &[
    (
        "create",
        &[
            ProblemType::MalformedRequest,
            ProblemType::InvalidRequest,
            ProblemType::IdempotencyMismatch,
            ProblemType::TooLarge,
            ProblemType::Quota,
        ],
    ),
    (
        "status",
        &[ProblemType::UnknownBackup, ProblemType::MalformedRequest],
    ),
    (
        "cancel",
        &[
            ProblemType::UnknownBackup,
            ProblemType::MalformedRequest,
            ProblemType::NoJobYet,
            ProblemType::Busy,
        ],
    ),
    (
        "events",
        &[
            ProblemType::UnknownBackup,
            ProblemType::MalformedRequest,
            ProblemType::TooManyStreams,
        ],
    ),
    ("list", &[ProblemType::MalformedRequest]),
    ("overviewEvents", &[ProblemType::TooManyStreams]),
    ("jobs", &[ProblemType::MalformedRequest]),
    (
        "job",
        &[ProblemType::UnknownBackup, ProblemType::MalformedRequest],
    ),
    (
        "tables",
        &[ProblemType::UnknownBackup, ProblemType::MalformedRequest],
    ),
];

/// What every route with a token may be refused with.
const EVERYWHERE: &[ProblemType] = &[
    ProblemType::Unauthenticated,
    ProblemType::Forbidden,
    ProblemType::CrossSite,
    ProblemType::TooSlow,
    ProblemType::TooManyRequests,
    ProblemType::Unavailable,
    ProblemType::Internal,
];

/// All routes, with who may use them.
pub(super) fn router(service: Arc<Service>, origins: &[String]) -> Router {
    let (router, document) = documented().split_for_parts();
    let json = serde_json::to_vec_pretty(&described(document)).expect("it is made of texts");
    let document = DocumentText(Bytes::from(json));
    let guarded = router
        .merge(page::router())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::Extension(document))
        .layer(from_fn_with_state(Arc::clone(&service), guard))
        .with_state(service);
    if origins.is_empty() {
        return guarded;
    }
    guarded.layer(cors(origins))
}

/// The OpenAPI document.
pub(super) fn document() -> OpenApi {
    described(documented().into_openapi())
}

fn documented() -> OpenApiRouter<Arc<Service>> {
    let below = OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(status::status))
        .routes(routes!(cancel::cancel))
        .routes(routes!(monitoring::monitoring))
        .routes(routes!(events::events))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::overview_events))
        .routes(routes!(jobs::jobs))
        .routes(routes!(job::job))
        .routes(routes!(tables::tables))
        .routes(routes!(daemons::daemons))
        .routes(routes!(rights::rights));
    let info = InfoBuilder::new()
        .title("pgdumpd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Asks a pgdumpd daemon for backups, follows and cancels them.",
        ));
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info.build()).build())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(list::list))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi))
        .nest("/api/backup", below)
}

/// This document
///
/// Needs no token.
#[utoipa::path(
    get, path = "/api/backup/openapi.json", operation_id = "openapi", tag = "health", security(()),
    responses((status = 200, description = "An OpenAPI document", content_type = "application/json", body = Object)),
)]
async fn openapi(axum::Extension(DocumentText(json)): axum::Extension<DocumentText>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

#[derive(Clone)]
struct DocumentText(Bytes);

/// Adds what is the same for all routes: the token, and the problems that each may be answered with.
fn described(mut document: OpenApi) -> OpenApi {
    let mut components = document.components.take().unwrap_or_default();
    components
        .schemas
        .insert("Problem".to_owned(), ProblemBody::schema());
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some(
        "A token of the daemon's configuration. Without any there, whoever reaches the listener may ask."
            .to_owned(),
    );
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    document.components = Some(components);
    document.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            describe_refusals(operation);
        }
    }
    document
}

fn describe_refusals(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let own = REFUSALS.iter().filter(|(of, _)| *of == id);
    let own = own.flat_map(|(_, problems)| problems.iter());
    let common: &[ProblemType] = match id.as_str() {
        "healthz" | "openapi" => &[],
        "readyz" => &[ProblemType::Unavailable, ProblemType::Internal],
        _ => EVERYWHERE,
    };
    let mut by_status: BTreeMap<u16, Vec<ProblemType>> = BTreeMap::new();
    for problem in common.iter().chain(own) {
        let status = problem.status().as_u16();
        by_status.entry(status).or_default().push(*problem);
    }
    for (status, problems) in by_status {
        let words = problems
            .iter()
            .map(|problem| format!("`{}`", problem.word()));
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let mut response = ResponseBuilder::new()
            .description(words.collect::<Vec<_>>().join(" or "))
            .content("application/problem+json", content);
        if problems
            .iter()
            .any(|problem| problem.retry_after().is_some())
        {
            let seconds = Header::new(ObjectBuilder::new().schema_type(Type::Integer));
            response = response.header("Retry-After", seconds);
        }
        operation
            .responses
            .responses
            .insert(status.to_string(), RefOr::T(response.build()));
    }
}

/// Lets a request in if its token, and the page that it comes from, may ask; and ends it if it takes too long.
async fn guard(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !PUBLIC.contains(&path) && !page::is_of_page(path) {
        match service.access.admit(request.method(), request.headers()) {
            Ok(identity) => {
                request.extensions_mut().insert(identity);
            }
            Err(problem) => return problem.into_response(),
        }
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            ProblemType::TooSlow,
            format!("the request took more than {} s", REQUEST_TIMEOUT.as_secs()),
        )
        .into_response(),
    }
}

async fn unknown_route() -> Problem {
    Problem::new(ProblemType::UnknownRoute, "there is no such route")
        .hint("`/api/backup/openapi.json` describes the routes.")
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        ProblemType::WrongMethod,
        format!("the route does not have the method {method}"),
    )
}

/// For pages of the origins that are named, and no others.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}
