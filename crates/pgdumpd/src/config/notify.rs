//! `[notify.NAME]`: who is told what.

use std::collections::BTreeMap;

use lettre::message::Mailbox;
use url::Url;

use super::reader::{Reader, Section};
use super::secrets::{self, Secret};

/// A receiver's secret must not be guessed.
const SECRET_MIN: usize = 16;

/// Bytes of a receiver's name: the queue takes no longer one.
const NAME_MAX: usize = 200;

/// `[notify.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Where to. Services put their secrets into it.
    pub url: Secret,
    /// What is sent.
    pub form: NotifyForm,
    /// What it wants to know.
    pub events: Vec<NotifyEvent>,
    /// The targets that it wants to know of; all, if none.
    pub targets: Option<Vec<String>>,
}

/// What is sent to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyForm {
    /// Our own JSON, signed if there is a secret.
    Json {
        /// The key of the signature.
        secret: Option<Secret>,
    },
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A ping of Healthchecks.
    Healthchecks,
    /// A mail over SMTP.
    Email(Box<MailConfig>),
}

/// A mail's addresses, and who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailConfig {
    /// The sender's address.
    pub from: Mailbox,
    /// The receivers' addresses.
    pub to: Vec<Mailbox>,
    /// The user at the server, with its password.
    pub login: Option<(String, Secret)>,
}

/// What somebody may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyEvent {
    /// An attempt of a backup has begun.
    Started,
    /// A backup is stored.
    Succeeded,
    /// A backup failed, after its last attempt.
    Failed,
    /// The first good backup of a target that had failed, or was overdue.
    Recovered,
    /// A target has had no good backup for longer than its `alert_after`.
    Overdue,
    /// A copy failed, after its last attempt.
    CopyFailed,
    /// A stored backup is not what was stored.
    Damaged,
    /// A daemon's checks found an error.
    CheckFailed,
}

impl NotifyEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Recovered,
        Self::Overdue,
        Self::CopyFailed,
        Self::Damaged,
        Self::CheckFailed,
    ];

    /// What Healthchecks can be told.
    const PINGS: [Self; 3] = [Self::Started, Self::Succeeded, Self::Failed];

    /// The word in the configuration and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Overdue => "overdue",
            Self::CopyFailed => "copy_failed",
            Self::Damaged => "damaged",
            Self::CheckFailed => "check_failed",
        }
    }

    /// What a receiver is told that names no events: what a person wants to know.
    fn by_default(form: &NotifyForm) -> Vec<Self> {
        match form {
            NotifyForm::Healthchecks => Self::PINGS.to_vec(),
            _ => Self::ALL[2..].to_vec(),
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> BTreeMap<String, ReceiverConfig> {
    let mut receivers = BTreeMap::new();
    for (name, section) in reader.named_sections("notify", "notify.*") {
        if name.len() > NAME_MAX || name.chars().any(char::is_control) {
            let text = format!(
                "is not a valid name: at most {NAME_MAX} bytes, without control characters"
            );
            reader.problem(section.path.clone(), None, text);
        }
        if let Some(receiver) = read_one(reader, &section) {
            receivers.insert(name, receiver);
        }
    }
    receivers
}

fn read_one(reader: &mut Reader<'_>, section: &Section) -> Option<ReceiverConfig> {
    let format = reader.text(section, "format");
    let form = read_form(reader, section, format.as_deref().unwrap_or_default());
    let targets = reader.list(section, "targets");
    let targets = (!targets.is_empty() && targets != ["*"]).then_some(targets);
    let url = read_url(reader, section, format.as_deref() == Some("email"));
    let form = form?;
    let events = read_events(reader, section, &form);
    Some(ReceiverConfig {
        url: url?,
        form,
        events,
        targets,
    })
}

/// The address is never shown, nor is a part of it.
fn read_url(reader: &mut Reader<'_>, section: &Section, is_mail: bool) -> Option<Secret> {
    let is_set = |name| reader.find(section, name);
    let Some(found) = is_set("url_file").or_else(|| is_set("url")) else {
        reader.problem(section.key("url"), None, "is missing: set it or url_file");
        return None;
    };
    let url = secrets::optional(reader, section, "url", "url_file")?;
    let schemes = if is_mail {
        ["smtps", "smtp"]
    } else {
        ["https", "http"]
    };
    let parsed = Url::parse(url.expose()).ok();
    let fits = parsed.is_some_and(|url| schemes.contains(&url.scheme()) && url.has_host());
    if !fits {
        let text = format!(
            "is not an address that begins with {}:// or {}://",
            schemes[0], schemes[1]
        );
        reader.problem(section.key("url"), Some(found.origin), text);
        return None;
    }
    Some(url)
}

fn read_form(reader: &mut Reader<'_>, section: &Section, format: &str) -> Option<NotifyForm> {
    let secret = secrets::in_file(reader, section, "secret_file");
    refuse_unless(
        reader,
        section,
        format == "json",
        &["secret_file"],
        "format = \"json\"",
    );
    let mail_keys = ["from", "to", "user", "password_file"];
    refuse_unless(
        reader,
        section,
        format == "email",
        &mail_keys,
        "format = \"email\"",
    );
    match format {
        "json" => {
            if let Some(secret) = &secret
                && secret.expose().len() < SECRET_MIN
            {
                let text = format!(
                    "must hold at least {SECRET_MIN} characters: `openssl rand -hex 32` makes some"
                );
                reader.problem(section.key("secret_file"), None, text);
            }
            Some(NotifyForm::Json { secret })
        }
        "slack" => Some(NotifyForm::Slack),
        "discord" => Some(NotifyForm::Discord),
        "teams" => Some(NotifyForm::Teams),
        "healthchecks" => Some(NotifyForm::Healthchecks),
        "email" => read_mail(reader, section).map(|mail| NotifyForm::Email(Box::new(mail))),
        _ => None,
    }
}

fn refuse_unless(
    reader: &mut Reader<'_>,
    section: &Section,
    fits: bool,
    keys: &[&'static str],
    with: &str,
) {
    for key in keys {
        if let Some(found) = reader.find(section, key)
            && !fits
        {
            let why = format!("has no meaning without {with}");
            reader.refuse(section, key, &found, &why);
        }
    }
}

fn read_mail(reader: &mut Reader<'_>, section: &Section) -> Option<MailConfig> {
    let from = reader.text(section, "from");
    let to = reader.list(section, "to");
    let user = reader.text(section, "user");
    let password = secrets::in_file(reader, section, "password_file");
    if user.is_some() != reader.find(section, "password_file").is_some() {
        let text = "user and password_file need each other";
        reader.problem(section.key("user"), None, text);
    }
    if from.is_none() || to.is_empty() {
        let text = "a mail needs addresses: set from and to";
        reader.problem(section.key("from"), None, text);
        return None;
    }
    let from = read_mailbox(reader, section, "from", &from?);
    let to: Vec<Option<Mailbox>> = to
        .iter()
        .map(|to| read_mailbox(reader, section, "to", to))
        .collect();
    Some(MailConfig {
        from: from?,
        to: to.into_iter().collect::<Option<_>>()?,
        login: user.zip(password),
    })
}

fn read_mailbox(
    reader: &mut Reader<'_>,
    section: &Section,
    key: &'static str,
    text: &str,
) -> Option<Mailbox> {
    let parsed = text.parse();
    if parsed.is_err() {
        let origin = reader.find(section, key).map(|found| found.origin);
        let text = format!("{text:?} is not a mail address: write such as \"ops@example.com\"");
        reader.problem(section.key(key), origin, text);
    }
    parsed.ok()
}

fn read_events(reader: &mut Reader<'_>, section: &Section, form: &NotifyForm) -> Vec<NotifyEvent> {
    let words = reader.list(section, "events");
    let known: &[NotifyEvent] = match form {
        NotifyForm::Healthchecks => &NotifyEvent::PINGS,
        _ => &NotifyEvent::ALL,
    };
    let mut events = Vec::new();
    for word in &words {
        match known.iter().find(|event| event.word() == word) {
            Some(event) => events.push(*event),
            None => {
                let known: Vec<&str> = known.iter().map(|event| event.word()).collect();
                let origin = reader.find(section, "events").map(|found| found.origin);
                let text = format!(
                    "{word:?} is not an event that can be sent there: known are {}",
                    known.join(", ")
                );
                reader.problem(section.key("events"), origin, text);
            }
        }
    }
    if words.is_empty() {
        NotifyEvent::by_default(form)
    } else {
        events
    }
}
