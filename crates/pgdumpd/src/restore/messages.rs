//! What pg_restore says on standard error: which entry of the archive could not be restored, and why.

use pgdump_archive::DumpId;

use crate::server::Refused;

/// Errors that are kept with all that was said; of more, little more than which entries they are about.
const KEPT: usize = 1_000;
/// Characters of a message that are kept.
const CHARACTERS: usize = 1_000;
/// The same of those beyond.
const FEW_CHARACTERS: usize = 100;

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

impl From<&Refused> for EntryError {
    fn from(noted: &Refused) -> Self {
        Self {
            dump_id: noted.dump_id.and_then(DumpId::new),
            message: noted.message.clone(),
            command: noted.command.clone(),
        }
    }
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
        self.is_open = true;
        let room = self.room();
        self.errors.push(EntryError {
            dump_id: self.entry,
            message: shortened(message.strip_prefix("ERROR:  ").unwrap_or(message), room),
            command: None,
        });
    }

    fn room(&self) -> usize {
        if self.errors.len() < KEPT {
            CHARACTERS
        } else {
            FEW_CHARACTERS
        }
    }

    fn continued(&mut self, line: &str) {
        let room = self.room();
        let Some(error) = self.errors.last_mut().filter(|_| self.is_open) else {
            return;
        };
        if let Some(command) = line.strip_prefix("Command was: ") {
            error.command = Some(shortened(command, room));
            self.is_open = false;
        } else if error.message.len() < room && !line.trim().is_empty() {
            error.message.push_str("; ");
            error.message.push_str(&shortened(line.trim(), room));
        }
    }
}

fn shortened(text: &str, room: usize) -> String {
    text.chars().take(room).collect()
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
        for number in 1..=KEPT + 5 {
            messages.line(&format!(
                "pg_restore: from TOC entry {number}; 1 2 TABLE t o"
            ));
            messages.line(&format!("pg_restore: error: {}", "x".repeat(9_999)));
            messages.line(&"y".repeat(9_999));
        }
        // Which entries they are is known of all.
        let last = messages.errors.last().unwrap();
        assert_eq!(last.dump_id.map(DumpId::get), Some(1_005));
        assert!(last.message.len() <= 2 * FEW_CHARACTERS + 2);
        assert!(messages.errors[0].message.len() <= 2 * CHARACTERS + 2);
    }
}
