//! A daemon that listens, and whoever sends requests to it. Each answer is compared with the document.

use std::collections::BTreeMap;

use pgdumpd_testkit::eventually;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Daemon, SOON, World, quoted};

/// A daemon that listens on a port of its own.
pub(crate) struct Face {
    pub(crate) world: World,
    pub(crate) daemon: Daemon,
    /// Such as `http://127.0.0.1:34567`.
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    document: Value,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        let json = serde_json::from_str(&self.text);
        assert!(json.is_ok(), "{self:?}");
        json.unwrap()
    }

    /// Fails the test unless the answer has this status.
    #[track_caller]
    pub(crate) fn status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails the test unless the answer is this problem, with this status.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, word: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["type"], format!("urn:pgdumpd:problem:{word}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["success"], false);
        problem
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A token's text: long enough, and with its name in it, so that a leak is found.
pub(crate) fn token(name: &str) -> String {
    format!("token-of-{name}-0123456789abcdef0123456789abcdef")
}

/// Gives a daemon that is started or reloaded from now on a token.
pub(crate) fn set_token(world: &mut World, name: &str, scopes: &[&str], targets: &[&str]) {
    let file = world.dir.path().join(format!("{name}.token"));
    std::fs::write(&file, token(name)).unwrap();
    let section = format!("http_tokens.{name}");
    world.set(&section, "file", quoted(&file.display().to_string()));
    world.set(&section, "scopes", format!("{scopes:?}"));
    world.set(&section, "targets", format!("{targets:?}"));
}

/// Where a daemon listens, once it does.
pub(crate) async fn address(daemon: &Daemon) -> String {
    eventually("the daemon listens", SOON, async || {
        let log = daemon.log();
        let line = log
            .lines()
            .rfind(|line| line.contains("listening for requests over HTTP"))?;
        let (_, rest) = line.split_once("http.listen=")?;
        let address = rest.split_whitespace().next()?;
        Some(address.trim_matches('"').to_owned())
    })
    .await
}

impl Face {
    /// Without tokens.
    pub(crate) async fn new() -> Self {
        Self::of(World::new().await).await
    }

    /// With the tokens and limits that the world's configuration has.
    pub(crate) async fn of(mut world: World) -> Self {
        world.set("http", "listen", quoted("127.0.0.1:0"));
        let daemon = world.daemon().await;
        let base = format!("http://{}", address(&daemon).await);
        Self {
            world,
            daemon,
            base,
            client: reqwest::Client::new(),
            document: pgdumpd::http::document(),
        }
    }

    /// The same with one token, `all`, for everything.
    pub(crate) async fn with_a_token(mut world: World) -> Self {
        set_token(&mut world, "all", &["read", "enqueue", "cancel"], &["*"]);
        Self::of(world).await
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request<'_> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.base);
        Request {
            face: self,
            builder: self.client.request(method.clone(), url),
            method,
            path: path.to_owned(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Request<'_> {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Request<'_> {
        self.request("POST", path)
    }

    /// Asks for a backup.
    pub(crate) async fn create(&self, body: Value) -> Answer {
        self.post("/api/backup/create").json(&body).send().await
    }

    pub(crate) async fn status(&self, id: &str) -> Answer {
        self.get(&format!("/api/backup/status/{id}")).send().await
    }

    /// Waits until a backup has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        eventually("the backup has ended", SOON, async || {
            let answer = self.status(id).await.status(200).json();
            (answer["status"] != "in_progress").then_some(answer)
        })
        .await
    }

    /// Fails the test unless the document has this status for the route, if it has the route.
    fn compare_with_document(&self, method: &Method, path: &str, status: u16) {
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let paths = self.document["paths"].as_object().unwrap();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == parts.len()
                && template
                    .iter()
                    .zip(&parts)
                    .all(|(known, part)| known == part || known.starts_with('{'))
        };
        // A path without a variable comes first.
        let route = paths.get(path).or_else(|| {
            paths
                .iter()
                .find(|(template, _)| fits(template))
                .map(|(_, route)| route)
        });
        let operation = route.and_then(|route| route.get(method.as_str().to_lowercase()));
        if let Some(operation) = operation {
            let responses = &operation["responses"];
            assert!(
                responses.get(status.to_string()).is_some(),
                "{method} {path}: {status} is not documented: {responses}"
            );
        }
    }
}

/// A request that is being made.
pub(crate) struct Request<'a> {
    face: &'a Face,
    builder: reqwest::RequestBuilder,
    method: Method,
    path: String,
}

impl Request<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// With the token of this name.
    pub(crate) fn token(self, name: &str) -> Self {
        let value = format!("Bearer {}", token(name));
        self.header("authorization", &value)
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.builder = self
            .builder
            .header("content-type", "application/json")
            .body(body.to_string());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.body(body);
        self
    }

    /// Sends it, and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let (face, method, path) = (self.face, self.method.clone(), self.path.clone());
        let response = self.open().await;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let text = response.text().await.unwrap();
        face.compare_with_document(&method, &path, status);
        Answer {
            status,
            headers,
            text,
        }
    }

    /// Sends it, and reads nothing yet.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.builder.send().await.unwrap()
    }
}
