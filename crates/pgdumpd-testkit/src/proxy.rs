//! A TCP proxy whose connections can be cut and held: an unreliable network before a cluster.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

/// A TCP proxy on 127.0.0.1 in front of a cluster. It ends, with all its connections, on drop.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// How often [`Proxy::cut`] was called: a connection does not outlive the next one, even
    /// when [`Proxy::heal`] follows before the connection's task has run.
    cuts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Through,
    Hold,
    Refuse,
}

impl Proxy {
    /// Starts a proxy in front of `cluster`. Its tasks live on the calling test's runtime.
    pub async fn start(cluster: &Cluster) -> Proxy {
        Proxy::start_before(SocketAddr::from(([127, 0, 0, 1], cluster.port()))).await
    }

    /// Starts a proxy in front of any TCP server.
    pub async fn start_before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap_or_else(|error| panic!("the proxy cannot listen: {error}"));
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let (state, watched) = watch::channel(State {
            mode: Mode::Through,
            cuts: 0,
        });
        let accepting = tokio::spawn(accept(listener, server, watched));
        Proxy {
            port,
            state,
            accepting,
        }
    }

    /// The port of 127.0.0.1 that leads to the cluster; see [`crate::Database::url_on_port`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets every connection, and each new one at once, until [`Proxy::heal`].
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Refuse;
            state.cuts += 1;
        });
    }

    /// Lets nothing pass, in neither direction, and closes nothing: a network that swallows
    /// packets. New connections are accepted and get no answer.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.mode = Mode::Hold);
    }

    /// Lets everything pass again; held connections go on where they were.
    pub fn heal(&self) {
        self.state.send_modify(|state| state.mode = Mode::Through);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let now = *state.borrow();
        if now.mode == Mode::Refuse {
            reset(&client);
        } else {
            tokio::spawn(serve(client, server, now.cuts, state.clone()));
        }
    }
}

/// Carries one connection until an end of it closes, or the next cut.
async fn serve(
    client: TcpStream,
    server: SocketAddr,
    cuts: u64,
    mut state: watch::Receiver<State>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return reset(&client);
    };
    reset_on_close(&client);
    reset_on_close(&server);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let up = pump(client_read, server_write, state.clone());
    let down = pump(server_read, client_write, state.clone());
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// Copies until the reader's end, an error, or the proxy's.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // Whatever arrives while held stays here; the rest backs up into the sender.
        if state
            .wait_for(|state| state.mode != Mode::Hold)
            .await
            .is_err()
            || read == 0
        {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

fn reset(stream: &TcpStream) {
    reset_on_close(stream);
}

/// Makes closing send RST, not FIN: a cut is no polite end.
fn reset_on_close(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
