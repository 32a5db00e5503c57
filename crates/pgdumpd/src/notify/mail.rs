//! Messages by mail, over SMTP.

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use url::{Host, Url};

use super::message::Message;
use super::{SEND_LIMIT, SendError};
use crate::config::MailConfig;
use crate::fault::chain;
use crate::text::on_one_line;

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

pub(super) async fn send(
    address: &str,
    mail: &MailConfig,
    message: &Message,
) -> Result<String, SendError> {
    let written = written(mail, message).map_err(|error| SendError::refused(chain(&error)))?;
    let mut server = server(address)?.timeout(Some(SEND_LIMIT));
    if let Some((user, password)) = &mail.login {
        let password = password.expose().to_owned();
        server = server.credentials(Credentials::new(user.clone(), password));
    }
    let response = server.build().send(written).await.map_err(failed)?;
    let lines: Vec<&str> = response.message().collect();
    let answer = format!("{} {}", response.code(), lines.join(" "));
    Ok(on_one_line(answer.trim()).into_owned())
}

fn written(mail: &MailConfig, message: &Message) -> Result<lettre::Message, lettre::error::Error> {
    let mut builder = lettre::Message::builder().from(mail.from.clone());
    for to in &mail.to {
        builder = builder.to(to.clone());
    }
    builder
        .subject(format!("pgdumpd: {}", message.title))
        // Whoever gets it twice sees it once.
        .message_id(Some(format!("<{}@pgdumpd.invalid>", message.id)))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("{}\n\n{}\n", message.title, message.text))
}

/// With TLS, but to a server on this machine, which may have none.
fn server(address: &str) -> Result<AsyncSmtpTransportBuilder, SendError> {
    let malformed = || SendError::refused("the address is not one of a mail server");
    let url = Url::parse(address).map_err(|_| malformed())?;
    let host = url.host_str().ok_or_else(malformed)?;
    let is_here = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
        || matches!(url.host(), Some(Host::Ipv6(address)) if address.is_loopback());
    let builder = match url.scheme() {
        "smtps" => Smtp::relay(host).map_err(failed)?,
        _ if is_here => Smtp::builder_dangerous(host),
        _ => Smtp::starttls_relay(host).map_err(failed)?,
    };
    Ok(match url.port() {
        Some(port) => builder.port(port),
        None => builder,
    })
}

fn failed(error: Error) -> SendError {
    SendError {
        why: on_one_line(&chain(&error)).into_owned(),
        is_away: !error.is_permanent(),
    }
}
