//! Taking secrets out of texts that other programs, or people in the wrong place, wrote.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood.
const MASK: &str = "********";

/// A password in a statement or a connection string of somebody else (a role's, a subscription's, a foreign
/// server's), also when the text was cut in the middle of it.
static CONNECTION_SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?xi)
        (?<key> \b (?:password|passwd|sslpassword|oauth_client_secret|scram_client_key|scram_server_key) \s* = \s* )
            (?: ' (?:[^'\\]|\\.|'')* (?:'|$) | " [^"]* (?:"|$) | [^\s'"&,)]+ )
        | (?<ddl> \b password \s+ e? ) ' (?:[^'\\]|\\.|'')* (?:'|$)
        # Up to the last sign that may end it: a person may have forgotten to encode the password's own.
        | (?<postgres> \b postgres(?:ql)? :// [^\s/:@]* : ) [^\s"']+ (?<behind> @ )
        | (?<scheme> \b [a-z][a-z0-9+.-]* :// [^\s/:@?\#]* : ) [^\s/@]+ (?<at> @ )
        # Keys of storages and of encryption, which are known by their form.
        | (?<azure> \b (?:accountkey|sharedaccesskey|sharedaccesssignature|sig) = ) [A-Za-z0-9+/%=]{8,}
        | (?<age> \b age-secret-key- (?:pq-)? 1? ) [a-z0-9]+
        | (?<pem> -----begin\ [a-z\ ]*private\ key----- ) [^-]* (?: -----end\ [a-z\ ]*private\ key----- )?
        "#,
    )
    .expect("the pattern is a constant that a test runs")
});

/// A text in which nothing is left that is a secret by its form, whoever wrote it, and wherever.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    CONNECTION_SECRETS.replace_all(
        text,
        format!("${{key}}${{ddl}}${{postgres}}${{scheme}}${{azure}}${{age}}${{pem}}{MASK}${{behind}}${{at}}"),
    )
}

/// Replaces known passwords and whatever looks like one in a connection string.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// A redactor that knows these passwords.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        // A text is redacted line by line, so a secret of several lines is one for each.
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .flat_map(|secret| {
                let lines = secret.expose_secret().lines().map(str::to_owned);
                lines.collect::<Vec<_>>()
            })
            .filter(|secret| !secret.is_empty())
            .collect();
        // The longest first: a secret may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            secrets: secrets.into_iter().map(SecretString::from).collect(),
        }
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(secret.expose_secret()) {
                text = text.replace(secret.expose_secret(), MASK).into();
            }
        }
        without_secrets(&text).into_owned()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_are_replaced_wherever_they_stand() {
        let redactor = Redactor::new(["hunter2", "hunter22"].map(SecretString::from));
        assert_eq!(
            redactor.redact("say hunter2, hunter22!"),
            "say ********, ********!"
        );
    }

    #[test]
    fn passwords_in_connection_strings_and_statements_are_replaced() {
        let redactor = Redactor::default();
        for (text, clean) in [
            (
                "CONNECTION 'host=a password=geheim user=b'",
                "CONNECTION 'host=a password=******** user=b'",
            ),
            (
                "OPTIONS (PASSWORD = 'a b''c')",
                "OPTIONS (PASSWORD = ********)",
            ),
            (
                "postgres://joe:geheim@db/app",
                "postgres://joe:********@db/app",
            ),
            (
                "\"postgresql://joe:p@ss/w:o#rd@db/app\" is not a name",
                "\"postgresql://joe:********@db/app\" is not a name",
            ),
            (
                "postgres://db/app?user=x&password=y&z=1",
                "postgres://db/app?user=x&password=********&z=1",
            ),
            (
                "ALTER ROLE joe PASSWORD 'gehe",
                "ALTER ROLE joe PASSWORD ********",
            ),
            (
                "CREATE USER MAPPING OPTIONS (user 'joe', password 'geheim')",
                "CREATE USER MAPPING OPTIONS (user 'joe', password ********)",
            ),
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0c2VjcmV0==",
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=********",
            ),
            (
                "\"AGE-SECRET-KEY-1QQQSYQCYQ\" is not a public key",
                "\"AGE-SECRET-KEY-1********\" is not a public key",
            ),
            (
                "-----BEGIN PRIVATE KEY-----MIIEvQ==-----END PRIVATE KEY-----",
                "-----BEGIN PRIVATE KEY-----********",
            ),
            (
                "permission denied for table passwords",
                "permission denied for table passwords",
            ),
        ] {
            assert_eq!(redactor.redact(text), clean);
        }
    }

    #[test]
    fn an_empty_secret_replaces_nothing() {
        let redactor = Redactor::new([SecretString::from("")]);
        assert_eq!(redactor.redact("text"), "text");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let redactor = Redactor::new([SecretString::from("hunter2")]);
        assert_eq!(format!("{redactor:?}"), "Redactor(1 secrets)");
    }
}
