//! Requests to an object store, byte by byte: paced where the storage has a bandwidth, and given up when no byte moves.
//!
//! object_store's own client has one limit for a whole request, which a large part on a slow link outlasts although all
//! is well. Here a request may take its time for as long as it makes progress. What a server refuses comes back as a
//! [`RequestError`] with the server's own words, which object_store keeps to itself.

mod body;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::signer::Method;
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::{StatusCode, header};
use tokio::time::sleep_until;

use body::{Paced, Pulse, Watched};

use super::error::{ErrorResponse, RequestError};
use crate::bandwidth::Bandwidth;
use crate::store::stall::BytesMoved;

/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The same for the service that gives a machine its role, which is near or does not exist.
const ROLE_LIMIT: Duration = Duration::from_secs(1);
/// How long no byte may move, unless a third of the deadline is less: then two more tries have their time.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How long a server may think about what it was sent, under the same condition.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Servers close a connection that idles; before they do so, we do.
const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// More than any server's words for what went wrong.
const LARGEST_ANSWER: usize = 64 << 10;

/// Makes the clients of one storage.
#[derive(Debug, Clone)]
pub(in crate::store) struct Connector {
    certificates: Vec<reqwest::Certificate>,
    bandwidth: Option<Bandwidth>,
    deadline: Duration,
    moved: BytesMoved,
    /// Whether the machine has given its role before.
    role_known: Arc<AtomicBool>,
}

impl Connector {
    pub(in crate::store) fn new(
        certificates: Vec<reqwest::Certificate>,
        bandwidth: Option<Bandwidth>,
        deadline: Duration,
    ) -> Self {
        Self {
            certificates,
            bandwidth,
            deadline,
            moved: BytesMoved::default(),
            role_known: Arc::default(),
        }
    }

    /// Counts the bytes of requests that its clients send.
    pub(in crate::store) fn moved(&self) -> BytesMoved {
        self.moved.clone()
    }

    /// What object_store is to ask this connector for. All limits are the connector's own.
    pub(in crate::store) fn options() -> ClientOptions {
        ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_LIMIT)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let option = |key| options.get_config_value(&key);
        let plain = option(ClientConfigKey::AllowHttp);
        // object_store asks for the machine's role with a client of its own, which gives up a connection sooner.
        let connect_timeout = option(ClientConfigKey::ConnectTimeout);
        let asks_for_role = connect_timeout
            != Connector::options().get_config_value(&ClientConfigKey::ConnectTimeout);
        let client = reqwest::Client::builder()
            .user_agent(concat!("pgdumpd/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // A signature is for one host, and none of another's business.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(plain.as_deref() != Some("true"))
            .tls_certs_merge(self.certificates.clone())
            .connect_timeout(if asks_for_role {
                ROLE_LIMIT
            } else {
                CONNECT_LIMIT
            })
            .pool_idle_timeout(IDLE_LIMIT)
            .build()
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(Connection {
            client,
            asks_for_role,
            role_known: Arc::clone(&self.role_known),
            bandwidth: self.bandwidth.clone(),
            moved: self.moved.clone(),
            stall: STALL_LIMIT.min(self.deadline / 3),
            answer: ANSWER_LIMIT.min(self.deadline / 2),
            slow_answer: self.deadline,
        }))
    }
}

#[derive(Debug)]
struct Connection {
    client: reqwest::Client,
    asks_for_role: bool,
    role_known: Arc<AtomicBool>,
    bandwidth: Option<Bandwidth>,
    moved: BytesMoved,
    stall: Duration,
    answer: Duration,
    slow_answer: Duration,
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let url = reqwest::Url::parse(&url)
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        // Putting the parts of an upload together may take a server minutes, in which it says nothing.
        let puts_together = parts.method == Method::POST;
        let may_think = if puts_together {
            self.slow_answer
        } else {
            self.answer
        };
        let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
        let conditional = conditions
            .iter()
            .any(|name| parts.headers.contains_key(name));
        let pulse = Arc::new(Pulse::new(body.content_length() == 0));
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if body.content_length() > 0 {
            let body = Paced::new(
                body,
                self.bandwidth.clone(),
                Arc::clone(&pulse),
                self.moved.clone(),
            );
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let mut answer = pin!(self.client.execute(request));
        let answer = loop {
            let (last, sent) = pulse.last();
            let limit = if sent { may_think } else { self.stall };
            tokio::select! {
                answer = &mut answer => break answer.map_err(|error| self.failed(error))?,
                () = sleep_until(last + limit) => {
                    if pulse.last() == (last, sent) {
                        return Err(stalled(limit));
                    }
                }
            }
        };
        let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = HttpResponseBody::new(Watched::new(body, self.stall));
        let answer = HttpResponse::from_parts(parts, body);
        if self.asks_for_role && answer.status().is_success() {
            self.role_known.store(true, Ordering::Relaxed);
        }
        judge(answer, puts_together, conditional).await
    }
}

impl Connection {
    fn failed(&self, error: reqwest::Error) -> HttpError {
        // A machine that has given it once will give it again.
        if self.asks_for_role && !self.role_known.load(Ordering::Relaxed) {
            return HttpError::new(
                HttpErrorKind::Unknown,
                RequestError::NoRole(innermost(&error)),
            );
        }
        broken(error)
    }
}

/// Passes on what object_store must see to do its work, and turns every other refusal into a [`RequestError`].
async fn judge(
    answer: HttpResponse,
    puts_together: bool,
    conditional: bool,
) -> Result<HttpResponse, HttpError> {
    let status = answer.status();
    if status.is_success() {
        // A server that began to answer before it knew says what went wrong in the body.
        return if puts_together {
            judge_body(answer).await
        } else {
            Ok(answer)
        };
    }
    let (parts, body) = answer.into_parts();
    let response = ErrorResponse::read(status.as_u16(), &parts.headers, &words(body).await);
    // What object_store distinguishes by the status alone. A missing bucket is not a missing object.
    let is_known = match status {
        StatusCode::NOT_MODIFIED | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            conditional
        }
        StatusCode::NOT_FOUND => !response.is_of_the_bucket(),
        _ => false,
    };
    if is_known {
        return Ok(HttpResponse::from_parts(parts, Bytes::new().into()));
    }
    Err(response.into())
}

async fn judge_body(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let body = body.bytes().await?;
    match ErrorResponse::in_success(parts.status.as_u16(), &body) {
        Some(response) => Err(response.into()),
        None => Ok(HttpResponse::from_parts(parts, body.into())),
    }
}

/// The beginning of an error's body; what cannot be read says nothing.
async fn words(body: HttpResponseBody) -> Vec<u8> {
    let mut words = Vec::new();
    let mut stream = body.bytes_stream();
    while let Ok(Some(piece)) = stream.try_next().await {
        words.extend_from_slice(&piece);
        if words.len() >= LARGEST_ANSWER {
            words.truncate(LARGEST_ANSWER);
            break;
        }
    }
    words
}

fn stalled(limit: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, RequestError::Stalled(limit))
}

/// Every way a connection may break is tried again where the request may be repeated.
fn broken(error: reqwest::Error) -> HttpError {
    let innermost = innermost(&error);
    if error.is_connect() {
        HttpError::new(HttpErrorKind::Connect, RequestError::Unreachable(innermost))
    } else if error.is_builder() {
        HttpError::new(HttpErrorKind::Unknown, RequestError::Broken(innermost))
    } else {
        HttpError::new(HttpErrorKind::Interrupted, RequestError::Broken(innermost))
    }
}

/// What it comes down to; the layers above only say that there was an error.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn ask(client: &HttpClient, address: &str) -> Result<(), RequestError> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = address.parse().unwrap();
        let answer = client.execute(request).await;
        answer.map(drop).map_err(|error| {
            let error = object_store::Error::Generic {
                store: "test",
                source: Box::new(error),
            };
            RequestError::inside(&error).unwrap().clone()
        })
    }

    #[tokio::test]
    async fn a_machine_that_has_told_its_role_once_is_asked_again() {
        let connector = Connector::new(Vec::new(), None, Duration::from_secs(10));
        // As object_store asks for it.
        let options = Connector::options()
            .with_connect_timeout(Duration::from_secs(1))
            .with_allow_http(true);
        let client = connector.connect(&options).unwrap();
        let nobody = "http://127.0.0.1:9/";
        let none = ask(&client, nobody).await.unwrap_err();
        assert!(
            matches!(none, RequestError::NoRole(_)) && !none.may_pass(),
            "{none:?}"
        );

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "waited for below")]
        let answering = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let asked = client.read(&mut [0; 4096]).await.unwrap();
            assert!(asked > 0);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(answer.as_bytes()).await.unwrap();
        });
        ask(&client, &address).await.unwrap();
        answering.await.unwrap();
        // One that does not answer for a moment may still have a role.
        let busy = ask(&client, nobody).await.unwrap_err();
        assert!(
            matches!(busy, RequestError::Unreachable(_)) && busy.may_pass(),
            "{busy:?}"
        );
    }
}
