//! The OpenAPI document: every route is in it, and what is in it exists.

use std::collections::BTreeSet;
use std::path::Path;

use pgdumpd::http::{PREFIX, ProblemType};
use serde_json::{Value, json};

use super::face::Face;

/// Method, path and operation of each route.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| {
                    (method.to_uppercase(), path.clone(), operation.clone())
                })
        })
        .collect()
}

#[tokio::test]
async fn the_daemon_serves_its_document_and_has_every_route_in_it() {
    let face = Face::new().await;
    let served = face
        .get("/api/backup/openapi.json")
        .send()
        .await
        .status(200);
    assert_eq!(served.headers["content-type"], "application/json");
    let document = served.json();
    assert_eq!(document, pgdumpd::http::document());
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let operations = operations(&document);
    let routes: BTreeSet<String> = operations
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    // The routes that docs/HTTP.md has.
    let wanted = [
        "GET /api/backup",
        "GET /api/backup/daemons",
        "GET /api/backup/events/{id}",
        "GET /api/backup/jobs",
        "GET /api/backup/jobs/{id}",
        "GET /api/backup/jobs/{id}/tables",
        "GET /api/backup/monitoring",
        "GET /api/backup/openapi.json",
        "GET /api/backup/overview",
        "GET /api/backup/overview/events",
        "GET /api/backup/rights",
        "GET /api/backup/status/{id}",
        "GET /healthz",
        "GET /metrics",
        "GET /readyz",
        "POST /api/backup/cancel/{id}",
        "POST /api/backup/create",
    ];
    assert_eq!(routes, wanted.map(str::to_owned).into());
    for (method, path, operation) in &operations {
        let path = path.replace("{id}", "temp_1");
        let request = face.request(method, &path);
        // A stream is not read to its end.
        let (status, text) = if path.ends_with("overview/events") {
            (request.open().await.status().as_u16(), String::new())
        } else {
            // Compares the status with the document.
            let answer = request.send().await;
            (answer.status, answer.text)
        };
        assert_ne!(status, 405, "{method} {path}");
        // There is the route, and not the job.
        assert!(
            status != 404 || text.contains("unknown-backup"),
            "{method} {path}: {text}"
        );
        for key in ["operationId", "summary", "description"] {
            assert!(operation[key].is_string(), "{method} {path} has no {key}");
        }
        let is_public =
            ["/healthz", "/readyz", "/api/backup/openapi.json"].contains(&path.as_str());
        assert_eq!(
            operation["security"] == json!([{}]),
            is_public,
            "{method} {path}"
        );
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/HTTP.md");
    let page = std::fs::read_to_string(page).unwrap();
    for route in wanted {
        assert!(
            page.contains(&format!("`{route}`")),
            "docs/HTTP.md has no {route}"
        );
    }
}

#[test]
fn each_problem_is_documented_with_its_status_and_form() {
    let document = pgdumpd::http::document();
    let mut documented = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.as_str() < "400" {
                continue;
            }
            let content = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(
                content["$ref"], "#/components/schemas/Problem",
                "{method} {path} {status}"
            );
            for word in response["description"].as_str().unwrap().split(" or ") {
                documented.insert((word.trim_matches('`').to_owned(), status.clone()));
            }
        }
    }
    let known = ProblemType::ALL
        .into_iter()
        // These two are of no route.
        .filter(|problem| !["unknown-route", "wrong-method"].contains(&problem.word()))
        .map(|problem| {
            (
                problem.word().to_owned(),
                problem.status().as_u16().to_string(),
            )
        });
    assert_eq!(documented, known.collect());
    assert_eq!(PREFIX, "urn:pgdumpd:problem:");
}
