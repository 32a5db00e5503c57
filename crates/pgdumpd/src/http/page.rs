//! The operator's page: files of the binary, which are the same for everybody. What they show comes from the other routes.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::problem::{Problem, ProblemType};
use crate::hex::hex;

/// Everything comes from this listener, nothing is inline, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    tag: String,
}

macro_rules! assets {
    ($($name:literal: $media_type:expr),+ $(,)?) => {
        vec![$(Asset {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("page/", $name)),
            tag: tag(include_str!(concat!("page/", $name))),
        }),+]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    assets! {
        "index.html": HTML,
        "style.css": CSS,
        "icon.svg": SVG,
        "app.js": JAVASCRIPT,
        "api.js": JAVASCRIPT,
        "confirm.js": JAVASCRIPT,
        "daemons.js": JAVASCRIPT,
        "dom.js": JAVASCRIPT,
        "english.js": JAVASCRIPT,
        "format.js": JAVASCRIPT,
        "frame.js": JAVASCRIPT,
        "history.js": JAVASCRIPT,
        "job.js": JAVASCRIPT,
        "language.js": JAVASCRIPT,
        "live.js": JAVASCRIPT,
        "open.js": JAVASCRIPT,
        "overview.js": JAVASCRIPT,
        "portuguese.js": JAVASCRIPT,
        "spark.js": JAVASCRIPT,
        "targets.js": JAVASCRIPT,
        "timeline.js": JAVASCRIPT,
    }
});

fn tag(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    format!("\"{}\"", hex(&hash[..16]))
}

/// The page, and the files that it loads.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { file("index.html", &headers) }),
        )
        .route(
            "/page/{name}",
            get(
                |Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) },
            ),
        )
}

/// Whether a path is the page or one of its files, which need no token.
pub(super) fn is_of_page(path: &str) -> bool {
    path == "/" || path.starts_with("/page/")
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        let problem = Problem::new(ProblemType::UnknownRoute, "the page has no such file");
        return problem.into_response();
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == asset.tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response()
    };
    let tag = HeaderValue::from_str(&asset.tag).expect("hexadecimal digits in quotes");
    response.headers_mut().insert(header::ETAG, tag);
    for (name, value) in SECURITY {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The headers of every file.
const SECURITY: [(HeaderName, &str); 6] = [
    // Asked for again each time, and answered with 304: a new daemon's page is never mixed with an old one's.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser loads for the whole page.
    const LARGEST_PAGE: usize = 150_000;

    #[test]
    fn the_page_is_small() {
        let weight: usize = ASSETS.iter().map(|asset| asset.text.len()).sum();
        assert!(weight < LARGEST_PAGE, "{weight} bytes");
    }

    #[test]
    fn the_policy_lets_nothing_unsafe_in() {
        assert!(!POLICY.contains("unsafe"), "{POLICY}");
    }
}
