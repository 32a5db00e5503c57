//! What each service takes. What a database or a person has named is never read as markup, and mentions nobody.

use serde_json::{Value, json};

use super::message::{Message, cut};

/// An incoming webhook of Slack takes a text. `&`, `<` and `>` begin its markup, and so mentions.
/// <https://docs.slack.dev/messaging/formatting-message-text/#escaping>
pub(super) fn slack(message: &Message) -> Value {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let sign = if message.is_bad() {
        ":red_circle:"
    } else {
        ":large_green_circle:"
    };
    json!({"text": format!("{sign} {}\n{}", escaped(&message.title), escaped(&message.text))})
}

/// Discord takes at most 2000 characters, and mentions nobody if told so.
/// <https://docs.discord.com/developers/resources/webhook#execute-webhook>
pub(super) fn discord(message: &Message) -> Value {
    let escaped = |text: &str| {
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            if "\\*_~`|>#[]()<:@".contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
        }
        escaped
    };
    let sign = if message.is_bad() { "🔴" } else { "🟢" };
    let content = format!(
        "{sign} {}\n{}",
        escaped(&message.title),
        escaped(&message.text)
    );
    json!({
        "content": cut(&content, 1900),
        "allowed_mentions": {"parse": []},
    })
}

/// A workflow of Teams takes an Adaptive Card. The texts of a `RichTextBlock` have no markup.
/// <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
pub(super) fn teams(message: &Message) -> Value {
    let color = if message.is_bad() {
        "attention"
    } else {
        "good"
    };
    let run = |text: &str| json!({"type": "TextRun", "text": text});
    let mut title = run(&message.title);
    title["weight"] = json!("bolder");
    title["color"] = json!(color);
    let block = |inline: Value| json!({"type": "RichTextBlock", "inlines": [inline]});
    let mut body = vec![block(title)];
    body.extend(message.text.lines().map(|line| block(run(line))));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// What follows the address of a check in Healthchecks.
/// <https://healthchecks.io/docs/http_api/>
pub(super) fn ping(message: &Message) -> Option<&'static str> {
    match message.event.as_str() {
        "started" => Some("start"),
        "failed" => Some("fail"),
        // A test must not say that a backup is good.
        "test" => Some("log"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    /// About a target that wants to be a mention, a link and markup.
    fn hostile() -> Message {
        let target = "<!channel> @everyone [click](https://evil.example) **x** & </a>".to_owned();
        let details = json!({"step": "dump", "code": "dump_failed", "error": "<@U1> `x`\n# big", "hint": null, "attempt": 3});
        Message::new(
            Uuid::nil(),
            "failed".to_owned(),
            DateTime::UNIX_EPOCH,
            Some(target),
            None,
            details,
        )
    }

    #[test]
    fn slack_reads_no_mention() {
        let sent = slack(&hostile());
        let text = sent["text"].as_str().unwrap();
        assert!(!text.contains(['<', '>']), "{text}");
        assert!(
            text.contains("&lt;!channel&gt;") && text.contains(" &amp; "),
            "{text}"
        );
    }

    #[test]
    fn discord_reads_no_markup() {
        let sent = discord(&hostile());
        let content = sent["content"].as_str().unwrap();
        let unescaped = regex::Regex::new(r"(^|[^\\])[*_~`|#\[\]()<>@]").unwrap();
        assert!(!unescaped.is_match(content), "{content}");
        assert_eq!(sent["allowed_mentions"]["parse"], json!([]));
    }

    #[test]
    fn discord_takes_the_longest_message() {
        let mut message = hostile();
        message.text = "*".repeat(1500);
        let sent = discord(&message);
        assert!(sent["content"].as_str().unwrap().chars().count() <= 2000);
    }

    #[test]
    fn teams_shows_texts_as_they_are() {
        let message = hostile();
        let sent = teams(&message);
        let title = &sent["attachments"][0]["content"]["body"][0];
        assert_eq!(title["type"], "RichTextBlock");
        assert_eq!(title["inlines"][0]["text"], message.title);
    }
}
