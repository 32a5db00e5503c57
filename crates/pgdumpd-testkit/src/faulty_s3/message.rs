//! As much of HTTP/1.1 as passes between an S3 client and its server.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// More than any request's headers.
const LARGEST_HEAD: usize = 64 << 10;

/// A request's first line and headers.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    /// All of it, without the empty line at its end.
    text: String,
    length: usize,
}

impl Head {
    /// The same, telling the server that nothing follows.
    pub(super) fn for_one_request(&self) -> Vec<u8> {
        let kept = self
            .text
            .split("\r\n")
            .filter(|line| !is_header(line, "connection"));
        let mut lines: Vec<&str> = kept.collect();
        lines.push("connection: close\r\n\r\n");
        lines.join("\r\n").into_bytes()
    }

    /// The body, but not more than `wanted` of it.
    pub(super) async fn read_body(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        wanted: usize,
    ) -> io::Result<Vec<u8>> {
        let mut body = vec![0; self.length.min(wanted)];
        from.read_exact(&mut body).await?;
        Ok(body)
    }
}

/// Reads a request's head; `None` if the client closes before one.
pub(super) async fn read_head(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Head>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match from.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        if text.len() > LARGEST_HEAD {
            return Err(io::Error::other("a request's head is too large"));
        }
    }
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    let mut words = text.split(' ').map(str::to_owned);
    let (method, target) = (words.next(), words.next());
    Ok(Some(Head {
        method: method.unwrap_or_default(),
        target: target.unwrap_or_default(),
        length: header(&text, "content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0),
        text,
    }))
}

/// A whole answer, from a server that closes after it.
pub(super) async fn read_answer(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What follows an answer's headers.
pub(super) fn body_of(answer: &mut [u8]) -> &mut [u8] {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let begin = head.map_or(answer.len(), |head| head + 4);
    &mut answer[begin..]
}

/// An answer that says no, in S3's form, and how many seconds it wants nothing more.
pub(super) fn error(status: u16, code: &str, retry_after: Option<u32>) -> String {
    let retry_after = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
    // Where nobody listens: whoever follows it fails otherwise.
    let elsewhere = (300..400).contains(&status);
    let location = elsewhere.then_some("location: http://127.0.0.1:9/\r\n");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>injected by a test</Message></Error>"
    );
    format!(
        "HTTP/1.1 {status} Injected\r\ncontent-type: application/xml\r\n{}{}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        retry_after.unwrap_or_default(),
        location.unwrap_or_default(),
        body.len()
    )
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.split("\r\n").find(|line| is_header(line, name))?;
    Some(line.split_once(':')?.1.trim())
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}
