//! What an error of the target's server means: decided by SQLSTATE, never by text.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Error;

use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;

/// An error while connecting.
pub(super) fn connecting(target: &str, url: &DatabaseUrl, error: Error) -> Fault {
    let message = format!("target {target}: cannot connect to {url}");
    let fault = match &error {
        Error::Database(refusal) => {
            refused(&refusal.code().unwrap_or_default(), url.is_socket(), message)
        }
        Error::Tls(_) => tls_failed(message, url),
        // What rustls says of a certificate or an alert.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => tls_failed(message, url),
        // sqlx reads no SQLSTATE out of a message in another encoding, as servers write before a session has its own.
        Error::Protocol(error) if error.contains("non-UTF-8") => {
            Fault::transient(Code::TargetRefused, message).hint(
                "The server refuses the connection in words that are not UTF-8: its log says why. With lc_messages = 'C' \
                 in its postgresql.conf, or a locale of UTF-8, this error says it, too.",
            )
        }
        // sqlx prepares a password for SCRAM, which forbids some characters, and its error shows the first of them.
        Error::Configuration(cause) if cause.to_string().contains("saslprep") => {
            return Fault::permanent(Code::TargetMisconfigured, message).hint(
                "The password, or the role's name, has a character that this build cannot send (SASLprep forbids it): \
                 give the backup role another password.",
            );
        }
        Error::Configuration(_) => {
            Fault::permanent(Code::TargetMisconfigured, message).hint("Check the target's url.")
        }
        // Among others: no such host, connection refused, no such socket, broken off in the middle.
        _ => unreachable_server(message),
    };
    fault.caused_by(error)
}

/// An error of a statement on a connection that was there.
pub(super) fn asking(target: &str, what: &str, error: Error) -> Fault {
    let message = format!("target {target}: cannot read {what}");
    let fault = match &error {
        Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            match &*code {
                "42501" => Fault::permanent(Code::PermissionDenied, message),
                "55P03" => Fault::transient(Code::LockNotAvailable, message),
                "57014" => Fault::transient(Code::TargetSlow, message),
                // A prepared statement that another client made, or that the server of this statement does not have.
                "42P05" | "26000" | "08P01" => pooler(message),
                _ if is_lost(&code) => unreachable_server(message),
                _ => Fault::permanent(Code::TargetQueryFailed, message),
            }
        }
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => unreachable_server(message),
        _ => Fault::permanent(Code::TargetQueryFailed, message),
    };
    fault.caused_by(error)
}

/// A server that said nothing for so long.
pub(super) fn no_answer(target: &str, address: &str, limit: Duration) -> Fault {
    unreachable_server(format!(
        "target {target}: {address} did not answer within {} s",
        limit.as_secs()
    ))
}

/// A certificate, key or authority that the address names and that cannot be used.
pub(super) fn tls_file(target: &str, url: &DatabaseUrl, what: String) -> Fault {
    tls_failed(format!("target {target}: {what}"), url)
}

/// A pooler that was found by what it does to sessions.
pub(super) fn shared(target: &str, url: &DatabaseUrl) -> Fault {
    pooler(format!(
        "target {target}: {url} leads through a pooler that shares server connections"
    ))
}

fn tls_failed(message: String, url: &DatabaseUrl) -> Fault {
    let files = url.tls_files();
    let named = if files.is_empty() {
        String::new()
    } else {
        format!(" ({files})")
    };
    Fault::permanent(Code::TlsFailed, message).hint(format!(
        "Check sslmode and the certificates in the target's url{named}, and the server's name in its certificate.",
    ))
}

fn pooler(message: String) -> Fault {
    Fault::permanent(Code::PoolerInFront, message).hint(
        "The address leads to a connection pooler. Give the target a direct connection: pg_dump needs one session for \
         its whole snapshot.",
    )
}

fn refused(code: &str, is_socket: bool, message: String) -> Fault {
    match code {
        "28000" if is_socket => Fault::permanent(Code::AuthenticationFailed, message).hint(
            "Over a local socket the server may ask for the system user's name instead of a password (peer, in \
             pg_hba.conf): write 127.0.0.1 as the host, or back up as a role that is named like the daemon's user.",
        ),
        "28000" => Fault::permanent(Code::AuthenticationFailed, message).hint(
            "Check the target's user and password, and the server's pg_hba.conf: it may ask for TLS (sslmode) or for a \
             client's certificate (sslcert, sslkey).",
        ),
        "28P01" => Fault::permanent(Code::AuthenticationFailed, message)
            .hint("Check the target's user and password, and the server's pg_hba.conf."),
        "3D000" => Fault::permanent(Code::DatabaseMissing, message)
            .hint("Check the database's name in the target's url."),
        "42501" => Fault::permanent(Code::PermissionDenied, message)
            .hint("Grant CONNECT on the database to the backup role."),
        // "database is not currently accepting connections"
        "55000" => Fault::permanent(Code::DatabaseClosed, message)
            .hint("The database has ALLOW_CONNECTIONS false."),
        "53300" => Fault::transient(Code::TooManyConnections, message).hint(
            "The server, the database or the backup role is at its connection limit; raise it, or let the \
             backup run at another time.",
        ),
        "57P03" => Fault::transient(Code::TargetStarting, message)
            .hint("The server is starting up, shutting down or recovering."),
        // PgBouncer, of a parameter that it does not know.
        "08P01" => pooler(message),
        _ if is_lost(code) => unreachable_server(message),
        _ => Fault::permanent(Code::TargetRefused, message).hint(
            "The server let nobody in: the error says why. It may be a login trigger, or a setting of the role or the \
             database.",
        ),
    }
}

/// Connection exceptions, lack of resources, operator intervention, system errors, internal errors.
pub(super) fn is_lost(code: &str) -> bool {
    ["08", "53", "57", "58", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
}

fn unreachable_server(message: String) -> Fault {
    Fault::transient(Code::TargetUnreachable, message)
        .hint("Check that the server runs and can be reached from this host.")
}
