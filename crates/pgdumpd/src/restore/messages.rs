//! What pg_restore says on standard error: which entry of the archive could not be restored, and why.

use pgdump_archive::DumpId;

/// Errors that are kept; more are counted.
const KEPT: usize = 1_000;
/// Characters of a message that are kept.
const CHARACTERS: usize = 1_000;

/// One entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryError {
    /// The entry; `None` where pg_restore named none.
    pub(super) dump_id: Option<DumpId>,
    /// What the server, or pg_restore, said.
    pub(super) message: String,
    /// The first line of the statement that failed.
    pub(super) command: Option<String>,
}

impl EntryError {
    /// Whether only its owner could not be set.
    pub(super) fn is_of_an_owner(&self) -> bool {
        let command = self.command.as_deref().unwrap_or_default();
        command.starts_with("ALTER ") && command.contains(" OWNER TO ")
    }

    /// Whether it was to be dropped, not made.
    pub(super) fn is_of_a_drop(&self) -> bool {
        let command = self.command.as_deref().unwrap_or_default();
        command.starts_with("DROP ")
            || command.starts_with("ALTER TABLE IF EXISTS ") && command.contains(" DROP ")
    }
}

/// Reads line by line.
#[derive(Debug, Default)]
pub(super) struct Messages {
    entry: Option<DumpId>,
    /// The last error was the server's: lines that follow belong to it.
    is_open: bool,
    pub(super) errors: Vec<EntryError>,
    /// Errors beyond those that are kept.
    pub(super) more: usize,
    /// Whether it went on to the end in spite of errors.
    pub(super) went_on: bool,
}

impl Messages {
    pub(super) fn line(&mut self, line: &str) {
        let Some(said) = line.strip_prefix("pg_restore: ") else {
            self.continued(line);
            return;
        };
        self.is_open = false;
        if let Some(entry) = said.strip_prefix("from TOC entry ") {
            let number = entry.split(';').next().and_then(|n| n.trim().parse().ok());
            self.entry = number.and_then(DumpId::new);
        } else if let Some(error) = said.strip_prefix("error: ") {
            let message = error.strip_prefix("could not execute query: ");
            self.add(message.unwrap_or(error));
        } else if said.starts_with("warning: errors ignored on restore") {
            self.went_on = true;
        }
    }

    fn add(&mut self, message: &str) {
        // pg_restore 17 and newer set it on every server; those before 17 do not know it, and need it not.
        if self.entry.is_none() && message.contains("\"transaction_timeout\"") {
            return;
        }
        if self.errors.len() == KEPT {
            self.more += 1;
            return;
        }
        self.is_open = true;
        self.errors.push(EntryError {
            dump_id: self.entry,
            message: shortened(message.strip_prefix("ERROR:  ").unwrap_or(message)),
            command: None,
        });
    }

    fn continued(&mut self, line: &str) {
        let Some(error) = self.errors.last_mut().filter(|_| self.is_open) else {
            return;
        };
        if let Some(command) = line.strip_prefix("Command was: ") {
            error.command = Some(shortened(command));
            self.is_open = false;
        } else if error.message.len() < CHARACTERS && !line.trim().is_empty() {
            error.message.push_str("; ");
            error.message.push_str(&shortened(line.trim()));
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Messages {
        let mut messages = Messages::default();
        text.lines().for_each(|line| messages.line(line));
        messages
    }

    #[test]
    fn each_error_has_its_entry_its_message_and_its_statement() {
        let messages = read(
            "pg_restore: while PROCESSING TOC:\n\
             pg_restore: from TOC entry 215; 1259 16386 TABLE orders shop\n\
             pg_restore: error: could not execute query: ERROR:  type \"mood\" does not exist\n\
             LINE 2:     m mood\n\
             Command was: CREATE TABLE public.orders (\n\
             \x20   m mood\n\
             );\n\
             \n\
             pg_restore: error: could not execute query: ERROR:  relation \"orders\" does not exist\n\
             Command was: ALTER TABLE public.orders OWNER TO shop;\n\
             pg_restore: warning: errors ignored on restore: 2\n",
        );
        let [first, second] = &messages.errors[..] else {
            panic!("{messages:#?}");
        };
        assert_eq!(first.dump_id, DumpId::new(215));
        assert_eq!(
            first.message,
            "type \"mood\" does not exist; LINE 2:     m mood"
        );
        assert_eq!(
            first.command.as_deref(),
            Some("CREATE TABLE public.orders (")
        );
        assert_eq!(second.dump_id, first.dump_id);
        assert_eq!(
            second.command.as_deref(),
            Some("ALTER TABLE public.orders OWNER TO shop;")
        );
        assert!(messages.went_on);
    }

    #[test]
    fn a_setting_that_an_older_server_does_not_know_is_no_error() {
        let messages = read(
            "pg_restore: while INITIALIZING:\n\
             pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
             Command was: SET transaction_timeout = 0;\n\
             pg_restore: warning: errors ignored on restore: 1\n",
        );
        assert_eq!(messages.errors, []);
    }

    #[test]
    fn an_end_in_the_middle_is_told_from_errors_that_were_passed_over() {
        let messages =
            read("pg_restore: error: connection to server at \"db\" failed: Connection refused\n");
        assert!(!messages.went_on);
        assert_eq!(messages.errors.len(), 1);
        assert_eq!(messages.errors[0].dump_id, None);
    }

    #[test]
    fn what_a_hostile_schema_can_say_is_bounded() {
        let mut messages = Messages::default();
        for _ in 0..KEPT + 5 {
            messages.line(&format!("pg_restore: error: {}", "x".repeat(9_999)));
            messages.line(&"y".repeat(9_999));
        }
        assert_eq!((messages.errors.len(), messages.more), (KEPT, 5));
        assert!(messages.errors[0].message.len() <= 2 * CHARACTERS + 2);
    }
}
