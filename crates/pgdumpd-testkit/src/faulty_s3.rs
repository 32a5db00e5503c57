//! Faults between a client and a real S3 server: requests that are refused, cut, held, damaged, or whose answer is
//! lost.
//!
//! Requests pass unchanged, signature and all, so what is not meant to fail is the server's own doing.

mod message;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use self::message::{Head, read_answer, read_head};
use crate::s3_server::S3Server;

/// A server on 127.0.0.1 before an S3 server. It ends, with all its connections, on drop.
#[derive(Debug)]
pub struct FaultyS3 {
    endpoint: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Operation {
    /// CreateMultipartUpload.
    Create,
    /// UploadPart.
    PutPart,
    /// CompleteMultipartUpload.
    Complete,
    /// AbortMultipartUpload.
    Abort,
    /// PutObject.
    Put,
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// DeleteObject.
    Delete,
    /// ListObjectsV2.
    List,
    /// ListMultipartUploads.
    ListUploads,
}

/// What a request meets in place of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Fault {
    /// This status with this code in its body; the server hears nothing.
    Answer(u16, &'static str),
    /// The connection is reset after so many bytes of the request's body.
    ResetAfter(usize),
    /// No more of the request's body is read after so many bytes, and nothing is answered.
    StallAfter(usize),
    /// The server has done it, and the connection is reset before its answer.
    LoseAnswer,
    /// The server has done it; half of its answer comes, then the connection is reset.
    HalfAnswer,
    /// The same as 503 SlowDown, with the wish to be left alone for so many seconds.
    Busy(u32),
    /// One bit of the request's body is flipped on its way.
    FlipBit,
    /// The server has done it; one bit of its answer's body is flipped on its way.
    FlipAnswerBit,
    /// It arrives only after so many milliseconds.
    Slow(u64),
    /// It arrives only after so many other requests for the same were answered.
    Behind(usize),
    /// It arrives only when [`FaultyS3::release`] lets it, in the order in which such requests came.
    Held,
}

/// A request as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// What was asked for.
    pub operation: S3Operation,
    /// With which address.
    pub target: String,
    /// What it met, if anything.
    pub fault: Option<S3Fault>,
}

#[derive(Debug)]
struct Rule {
    operation: S3Operation,
    fault: S3Fault,
    times: usize,
}

/// Faults that meet one request in so many, whatever it asks for.
#[derive(Debug, Default)]
struct Turns {
    every: usize,
    faults: Vec<S3Fault>,
    requests: usize,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    turns: Mutex<Turns>,
    seen: Mutex<Vec<SeenRequest>>,
    answered: watch::Sender<Vec<S3Operation>>,
    released: Gate,
}

/// What is held passes it one by one, as it came.
#[derive(Debug)]
struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl FaultyS3 {
    /// Starts before a server. Its tasks live on the calling test's runtime.
    ///
    /// # Panics
    /// Where the server is no `http://ADDRESS:PORT`.
    pub async fn start(server: &S3Server) -> FaultyS3 {
        let address = server.endpoint.strip_prefix("http://");
        let address: SocketAddr = address
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("{} is no http://ADDRESS:PORT", server.endpoint));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap_or_else(|error| panic!("the faulty server cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, address, Arc::clone(&shared)));
        FaultyS3 {
            endpoint: format!("http://127.0.0.1:{port}"),
            shared,
            accepting,
        }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets the next so many requests for this meet this. Rules for one operation take their turns.
    pub fn fail(&self, operation: S3Operation, times: usize, fault: S3Fault) {
        let rule = Rule {
            operation,
            fault,
            times,
        };
        lock(&self.shared.rules).push(rule);
    }

    /// Lets one request in so many, whatever it asks for, meet one of these, in turn.
    pub fn fail_every(&self, every: usize, faults: &[S3Fault]) {
        *lock(&self.shared.turns) = Turns {
            every,
            faults: faults.to_vec(),
            requests: 0,
        };
    }

    /// Lets so many of the requests that are held go on, or of those to come.
    pub fn release(&self, requests: usize) {
        self.shared.released.0.add_permits(requests);
    }

    /// Lets every request pass from now on.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
        *lock(&self.shared.turns) = Turns::default();
    }

    /// The requests so far, in order of their arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests for this have come.
    #[must_use]
    pub fn count(&self, operation: S3Operation) -> usize {
        let seen = lock(&self.shared.seen);
        seen.iter()
            .filter(|seen| seen.operation == operation)
            .count()
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    // Dropped with this task, and so are the connections.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A client that goes away is no news here.
            let _ = serve(client, server, &shared).await;
        });
    }
}

/// One request, one connection: what follows comes over a new one.
async fn serve(mut client: TcpStream, server: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let Some(head) = read_head(&mut client).await? else {
        return Ok(());
    };
    let operation = operation_of(&head);
    let fault = shared.next_fault(operation);
    lock(&shared.seen).push(SeenRequest {
        operation,
        target: head.target.clone(),
        fault,
    });
    let wanted = match fault {
        Some(S3Fault::ResetAfter(bytes) | S3Fault::StallAfter(bytes)) => bytes,
        _ => usize::MAX,
    };
    let mut body = head.read_body(&mut client, wanted).await?;
    match fault {
        Some(S3Fault::ResetAfter(_)) => return client.set_zero_linger(),
        Some(S3Fault::StallAfter(_)) => {
            // Until the client gives up, or the test ends.
            std::future::pending::<()>().await;
        }
        Some(S3Fault::Answer(status, code)) => {
            return client
                .write_all(message::error(status, code, None).as_bytes())
                .await;
        }
        Some(S3Fault::Busy(seconds)) => {
            let answer = message::error(503, "SlowDown", Some(seconds));
            return client.write_all(answer.as_bytes()).await;
        }
        Some(S3Fault::FlipBit) => flip_middle(&mut body),
        Some(S3Fault::Slow(milliseconds)) => sleep(Duration::from_millis(milliseconds)).await,
        Some(S3Fault::Behind(others)) => shared.answered(operation, others).await,
        // Never closed.
        Some(S3Fault::Held) => shared
            .released
            .0
            .acquire()
            .await
            .map_or((), |permit| permit.forget()),
        Some(S3Fault::LoseAnswer | S3Fault::HalfAnswer | S3Fault::FlipAnswerBit) | None => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&head.for_one_request()).await?;
    upstream.write_all(&body).await?;
    let mut answer = read_answer(&mut upstream).await?;
    match fault {
        Some(S3Fault::LoseAnswer) => return client.set_zero_linger(),
        Some(S3Fault::HalfAnswer) => {
            client
                .write_all(&answer[..answer.len().div_ceil(2)])
                .await?;
            return client.set_zero_linger();
        }
        Some(S3Fault::FlipAnswerBit) => {
            flip_middle(message::body_of(&mut answer));
            client.write_all(&answer).await?;
        }
        _ => client.write_all(&answer).await?,
    }
    shared
        .answered
        .send_modify(|answered| answered.push(operation));
    client.shutdown().await
}

fn flip_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}

impl Shared {
    fn next_fault(&self, operation: S3Operation) -> Option<S3Fault> {
        let mut rules = lock(&self.rules);
        let fits = |rule: &&mut Rule| rule.operation == operation && rule.times > 0;
        match rules.iter_mut().find(fits) {
            Some(rule) => {
                rule.times -= 1;
                Some(rule.fault)
            }
            None => lock(&self.turns).next(),
        }
    }

    /// Waits until so many more requests for this were answered.
    async fn answered(&self, operation: S3Operation, others: usize) {
        let count =
            |answered: &Vec<S3Operation>| answered.iter().filter(|o| **o == operation).count();
        let mut watched = self.answered.subscribe();
        let enough = count(&watched.borrow()) + others;
        // Cannot fail: the sender is ours.
        let _ = watched.wait_for(|answered| count(answered) >= enough).await;
    }
}

impl Turns {
    fn next(&mut self) -> Option<S3Fault> {
        self.requests += 1;
        let turn = self.requests.checked_div(self.every)?;
        let fault = self.faults.get(turn % self.faults.len().max(1)).copied();
        fault.filter(|_| self.requests.is_multiple_of(self.every))
    }
}

fn operation_of(head: &Head) -> S3Operation {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    let has = |name: &str| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    };
    match head.method.as_str() {
        "POST" if has("uploads") => S3Operation::Create,
        "POST" => S3Operation::Complete,
        "PUT" if has("partNumber") => S3Operation::PutPart,
        "PUT" => S3Operation::Put,
        "DELETE" if has("uploadId") => S3Operation::Abort,
        "DELETE" => S3Operation::Delete,
        "HEAD" => S3Operation::Head,
        _ if has("uploads") => S3Operation::ListUploads,
        _ if has("list-type") => S3Operation::List,
        _ => S3Operation::Get,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
