//! Where requests arrive: an address, or a socket in the file system.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_io_timeout::TimeoutStream;

use crate::config::Listen;

/// How long a client may take none of an answer's bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Both directions of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, whatever it came through.
pub(super) type Connection = Box<dyn Stream>;

/// Where requests arrive.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// Removes its file when it is dropped.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Listens there; a socket's file gets this mode.
    pub(super) async fn bind(listen: &Listen, mode: u32) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => {
                remove_if_abandoned(path).await?;
                let listener = UnixListener::bind(path)?;
                let socket = UnixSocket {
                    listener,
                    path: path.clone(),
                };
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
                Ok(Self::Unix(socket))
            }
        }
    }

    /// Where it listens: with the port that the system has chosen, if it was to choose one.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| address.to_string()),
            Self::Unix(socket) => format!("unix:{}", socket.path.display()),
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Events are small, and each is worth a packet. A client that has gone already is found when it is read.
                let _ = stream.set_nodelay(true);
                Ok(impatient(stream))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok(impatient(stream))
            }
        }
    }
}

/// A daemon that was killed has left its socket's file; one that runs still answers on it.
async fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)
        }
        // Whatever else it is, it is not ours: binding fails.
        _ => Ok(()),
    }
}

fn impatient<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Connection {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream: Pin<Box<TimeoutStream<S>>> = Box::pin(stream);
    Box::new(stream)
}

/// Whether a connection broke off before it was accepted, which says nothing of the next one.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// What to do about an error of [`Socket::bind`].
pub(super) fn advice(error: &io::Error, listen: &Listen) -> &'static str {
    match (error.kind(), listen) {
        (io::ErrorKind::AddrInUse, Listen::Tcp(_)) => {
            "Another program, or another daemon, listens on this port: `ss -ltnp` shows which. Choose another port for http.listen."
        }
        (io::ErrorKind::AddrInUse, Listen::Unix(_)) => {
            "Another daemon listens on this socket, or another file has its name: choose another path for http.listen."
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            "No network interface of this host has this address: `ip address` shows those that there are."
        }
        (io::ErrorKind::PermissionDenied, Listen::Tcp(_)) => {
            "Ports below 1024 need a capability: choose another port, or add AmbientCapabilities=CAP_NET_BIND_SERVICE to the unit."
        }
        (io::ErrorKind::PermissionDenied, Listen::Unix(_)) => {
            "The daemon's user may not make files in this directory: use /run/pgdumpd, which the unit makes (RuntimeDirectory=)."
        }
        (io::ErrorKind::NotFound, Listen::Unix(_)) => {
            "The directory does not exist: use /run/pgdumpd, which the unit makes (RuntimeDirectory=)."
        }
        _ => "Correct http.listen.",
    }
}
