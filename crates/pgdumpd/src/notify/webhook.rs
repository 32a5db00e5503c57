//! Messages over HTTP.

use chrono::Utc;
use reqwest::{RequestBuilder, StatusCode, header};
use url::Url;

use super::forms;
use super::message::Message;
use super::signature::signature;
use super::{SEND_LIMIT, SendError};
use crate::config::NotifyForm;
use crate::fault::chain;
use crate::text::on_one_line;

/// What is read of an answer, to be shown.
const LONGEST_ANSWER: usize = 300;

pub(super) async fn send(
    address: &str,
    form: &NotifyForm,
    message: &Message,
) -> Result<String, SendError> {
    let request = request(address, form, message)?;
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let answer = shown(status, &beginning(response).await);
    if status.is_success() {
        return Ok(answer);
    }
    let passes = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    Err(SendError {
        why: format!("the receiver answered {answer}"),
        is_away: passes,
    })
}

fn request(
    address: &str,
    form: &NotifyForm,
    message: &Message,
) -> Result<RequestBuilder, SendError> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("pgdumpd/", env!("CARGO_PKG_VERSION")))
        // A message is for one receiver, and none of another's business.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(SEND_LIMIT)
        .build()
        .map_err(failed)?;
    let mut url =
        Url::parse(address).map_err(|_| SendError::refused("the address is not a URL"))?;
    let body = match form {
        NotifyForm::Healthchecks => {
            if let Some(ping) = forms::ping(message)
                && let Ok(mut path) = url.path_segments_mut()
            {
                path.pop_if_empty().push(ping);
            }
            if let Some(job) = message.job_id {
                url.query_pairs_mut().append_pair("rid", &job.to_string());
            }
            let text = format!("{}\n{}\n", message.title, message.text);
            return Ok(client
                .post(url)
                .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
                .body(text));
        }
        NotifyForm::Slack => serde_json::to_vec(&forms::slack(message)),
        NotifyForm::Discord => serde_json::to_vec(&forms::discord(message)),
        NotifyForm::Teams => serde_json::to_vec(&forms::teams(message)),
        NotifyForm::Json { .. } | NotifyForm::Email(_) => serde_json::to_vec(message),
    };
    let body = body.map_err(|error| SendError::refused(error.to_string()))?;
    let mut request = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/json");
    if let NotifyForm::Json { secret } = form {
        #[expect(
            clippy::disallowed_methods,
            reason = "a receiver compares it with its own clock"
        )]
        let timestamp = Utc::now().timestamp();
        request = request
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", timestamp);
        if let Some(secret) = secret {
            let signed = signature(secret.expose(), message.id, timestamp, &body);
            request = request.header("webhook-signature", signed);
        }
    }
    Ok(request.body(body))
}

/// Never with the address, into which services put their secrets.
fn failed(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    SendError::away(on_one_line(&chain(&error)).into_owned())
}

async fn beginning(mut response: reqwest::Response) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < LONGEST_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    read.truncate(LONGEST_ANSWER);
    read
}

fn shown(status: StatusCode, answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let text = on_one_line(text.trim());
    if text.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {text}")
    }
}
