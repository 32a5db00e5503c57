//! One message, and its words for people.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::text::on_one_line;

/// Characters of a text for people: less than every service takes.
const LONGEST: usize = 1500;

/// What happened, as a receiver is told. As JSON it is what `format = "json"` sends.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// The same in each try: a receiver knows a message by it that comes twice.
    pub id: Uuid,
    /// What happened, such as `failed`; `test` of a test.
    pub event: String,
    /// When it happened, by the queue's clock.
    #[serde(serialize_with = "iso")]
    pub happened_at: DateTime<Utc>,
    /// One line for people.
    pub title: String,
    /// More for people, of some lines.
    pub text: String,
    /// The target that it is about.
    pub target: Option<String>,
    /// The job that it is about.
    pub job_id: Option<Uuid>,
    /// For programs: what there is depends on the event.
    pub details: Value,
}

impl Message {
    /// Puts it into words.
    pub fn new(
        id: Uuid,
        event: String,
        happened_at: DateTime<Utc>,
        target: Option<String>,
        job_id: Option<Uuid>,
        details: Value,
    ) -> Self {
        let mut message = Self {
            id,
            event,
            happened_at,
            title: String::new(),
            text: String::new(),
            target,
            job_id,
            details,
        };
        message.title = message.compose_title();
        message.text = message.compose_text();
        message
    }

    /// One that says only that messages arrive.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is about nothing in a queue, and asks none"
    )]
    pub fn test() -> Self {
        Self::new(
            Uuid::new_v4(),
            "test".to_owned(),
            Utc::now(),
            None,
            None,
            Value::Object(Map::new()),
        )
    }

    /// Whether something is wrong.
    pub(super) fn is_bad(&self) -> bool {
        !["started", "succeeded", "recovered", "test"].contains(&self.event.as_str())
    }

    fn detail(&self, name: &str) -> Option<String> {
        match self.details.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    fn compose_title(&self) -> String {
        let target = self.target.as_deref().unwrap_or("an unknown target");
        let detail = |name| self.detail(name).unwrap_or_else(|| "unknown".to_owned());
        let title = match self.event.as_str() {
            "started" => format!("a backup of {target} has begun"),
            "succeeded" => format!("a backup of {target} is stored"),
            "failed" => format!("a backup of {target} failed"),
            "recovered" => format!("{target} has a good backup again"),
            "overdue" => match self.detail("last_success_at") {
                Some(at) => format!("{target} has had no good backup since {at}"),
                None => format!("{target} has never had a good backup"),
            },
            "copy_failed" => format!(
                "the copy of a backup of {target} to {} failed",
                detail("copy_to")
            ),
            "damaged" => format!(
                "a backup of {target} in storage {} is damaged",
                detail("storage")
            ),
            "check_failed" => format!("a check found an error: {}", detail("subject")),
            "test" => "a test of pgdumpd's notifications".to_owned(),
            other => other.to_owned(),
        };
        cut(&on_one_line(&title), 200)
    }

    fn compose_text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(error) = self.detail("error") {
            let code = self.detail("code").unwrap_or_default();
            let place = match self.detail("step") {
                Some(step) => format!("{step}: {code}"),
                None => code,
            };
            lines.push(format!("{place}: {error}"));
        }
        lines.extend(self.detail("hint").map(|hint| format!("Hint: {hint}")));
        if let Some(size) = self.details.get("size_bytes").and_then(Value::as_u64) {
            let took = self.detail("seconds").unwrap_or_default();
            lines.push(format!("{}, in {took} s", crate::text::size(size)));
        }
        if self.event == "test" {
            lines.push("If you read this, messages arrive here.".to_owned());
        }
        lines.extend(self.job_id.map(|job| format!("Job {job}")));
        let lines: Vec<_> = lines.iter().map(|line| on_one_line(line)).collect();
        cut(&lines.join("\n"), LONGEST)
    }
}

/// The first so many characters.
pub(super) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} […]", &text[..end]),
    }
}

fn iso<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_names_stay_on_one_line_and_long_errors_are_cut() {
        let target = "shop\n\u{1b}[31m\u{202e}";
        let details = json!({"step": "dump", "code": "dump_failed", "error": format!("a\nb{}", "x".repeat(9000)), "hint": "c\nd"});
        let message = Message::new(
            Uuid::nil(),
            "failed".to_owned(),
            DateTime::UNIX_EPOCH,
            Some(target.to_owned()),
            None,
            details,
        );
        assert!(
            !message.title.contains(['\n', '\u{1b}', '\u{202e}']),
            "{}",
            message.title
        );
        assert!(
            message.text.starts_with("dump: dump_failed: a"),
            "{}",
            message.text
        );
        assert!(message.text.chars().count() < 1510);
        assert!(!message.text.contains("a\nb"));
    }
}
