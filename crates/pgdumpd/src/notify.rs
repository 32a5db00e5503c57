//! Tells one receiver what happened: the forms of its message, and how it is sent. Which messages there are, and when they
//! are tried again, is the daemon's (`daemon/notifier.rs`) and the queue's. docs/MONITORING.md describes each form.

mod forms;
mod mail;
mod message;
mod signature;
mod webhook;

pub use message::Message;

use std::time::Duration;

use crate::config::{NotifyForm, ReceiverConfig};

/// How long a receiver may take for one message, from the connection to its answer.
pub const SEND_LIMIT: Duration = Duration::from_secs(10);

/// A message that was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct SendError {
    /// What went wrong, in one line, without the receiver's address.
    pub why: String,
    /// Whether the receiver is not there at present, so that no other message would reach it either.
    pub is_away: bool,
}

impl SendError {
    fn refused(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_away: false,
        }
    }

    fn away(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_away: true,
        }
    }
}

/// Sends a message, and returns what the receiver answered, in one line. May be repeated: a receiver knows a message that
/// comes twice by its id.
///
/// # Errors
/// See [`SendError`]. After a cancel and after a time limit it may have arrived.
pub async fn send(receiver: &ReceiverConfig, message: &Message) -> Result<String, SendError> {
    let sending = async {
        match &receiver.form {
            NotifyForm::Email(mail) => mail::send(receiver.url.expose(), mail, message).await,
            form => webhook::send(receiver.url.expose(), form, message).await,
        }
    };
    match tokio::time::timeout(SEND_LIMIT, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(SendError::away(format!(
            "no answer within {} s",
            SEND_LIMIT.as_secs()
        ))),
    }
}
