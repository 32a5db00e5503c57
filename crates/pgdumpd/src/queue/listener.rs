//! Wake-ups: a hint that the queue may have something new. Polling is the truth.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, sleep, timeout};

use super::{Queue, Session};

/// Says that a job is due, that a job ended, or that a cancel was asked for. Its payload is empty: any role
/// may notify on any channel, so nothing that is read here carries authority.
const CHANNEL: &str = "pgdumpd_jobs";

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After this silence the connection is tested: a dead network shows no end by itself.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection that lasted this long does not count as a failure: the next one is opened at once.
const LASTING: Duration = Duration::from_secs(30);

/// The longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why the queue should be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The listener has connected or reconnected: notifications from before were missed.
    Connected,
    /// Something happened.
    Notified,
}

/// A stream of wake-ups that never ends and never fails: it reconnects by itself.
pub struct Wakes {
    stream: Pin<Box<dyn Stream<Item = Wake> + Send>>,
}

impl Queue {
    /// Wake-ups of this queue. Without a direct connection to listen on (see the configuration) none ever comes.
    pub fn listener(&self) -> Wakes {
        let stream: Pin<Box<dyn Stream<Item = Wake> + Send>> = match &self.inner.listen {
            Some(session) => Box::pin(stream::unfold(
                Listener::new(session.clone()),
                |mut listener| async {
                    let wake = listener.next().await;
                    Some((wake, listener))
                },
            )),
            None => Box::pin(stream::pending()),
        };
        Wakes { stream }
    }
}

impl Wakes {
    /// The next wake-up. Cancel-safe: the next call continues what was in progress.
    pub async fn next(&mut self) -> Wake {
        match self.stream.next().await {
            Some(wake) => wake,
            None => std::future::pending().await,
        }
    }
}

impl Stream for Wakes {
    type Item = Wake;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Wake>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for Wakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wakes")
    }
}

struct Listener {
    session: Session,
    connection: Option<Connected>,
    /// Tries that failed, and connections that did not last, one after another.
    failures: u32,
}

struct Connected {
    listener: PgListener,
    since: Instant,
    /// Whether the caller knows of it.
    reported: bool,
}

impl Listener {
    fn new(session: Session) -> Self {
        Self {
            session,
            connection: None,
            failures: 0,
        }
    }

    async fn next(&mut self) -> Wake {
        loop {
            let Some(connection) = &mut self.connection else {
                self.connect().await;
                continue;
            };
            if !connection.reported {
                // Armed before the caller reads the queue, so that no notification is missed.
                connection.reported = true;
                return Wake::Connected;
            }
            let heard = match timeout(SILENCE, connection.listener.try_recv()).await {
                Ok(Ok(Some(_))) => return Wake::Notified,
                Ok(Ok(None)) => Err("the connection was closed".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => ping(&mut connection.listener).await,
            };
            if let Err(reason) = heard {
                tracing::warn!(
                    error = reason,
                    "the queue's listener lost its connection; polling continues"
                );
                self.failures = match connection.since.elapsed() {
                    lasted if lasted >= LASTING => 0,
                    _ => self.failures + 1,
                };
                self.connection = None;
            }
        }
    }

    /// Pauses by how many tries have failed, and tries once.
    async fn connect(&mut self) {
        if self.failures > 0 {
            let pause = Duration::from_millis(250 << self.failures.min(8)).min(LONGEST_PAUSE);
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        match timeout(CONNECT_TIMEOUT, listen(&self.session)).await {
            Ok(Ok(listener)) => {
                self.connection = Some(Connected {
                    listener,
                    since: Instant::now(),
                    reported: false,
                });
                return;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the queue's listener could not connect"),
            Err(_) => tracing::debug!("the queue's listener was not answered"),
        }
        self.failures += 1;
    }
}

async fn listen(session: &Session) -> Result<PgListener, sqlx::Error> {
    let options = session.options().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    // Reconnecting is done here, where it is followed by a wake-up.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

async fn ping(connection: &mut PgListener) -> Result<(), String> {
    match timeout(
        CONNECT_TIMEOUT,
        sqlx::query("SELECT 1").execute(&mut *connection),
    )
    .await
    {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the server did not answer".to_owned()),
    }
}
