//! What the words of a program's error say about its cause.
//!
//! pg_dump's and libpq's words are English (LC_ALL=C); the server's may be of any language. What those of all languages
//! have in common is looked for, too; the rest is the server's to say over another connection (`server/cause.rs`).

use super::signs::{exceeds_a_buffer, names_block_of_file, names_bytes, no_sign};
use crate::code::Code;
use crate::fault::Fault;

/// The hint that belongs to a code, however it was found.
pub fn hint_of(code: Code) -> Option<&'static str> {
    let mut causes = CAUSES.iter().filter(|cause| cause.code == code);
    causes.find_map(|cause| Some(cause.hint).filter(|hint| !hint.is_empty()))
}

/// Whether a connection failed because the server said no: libpq puts two spaces before a server's words alone.
pub fn was_refused(text: &str) -> bool {
    let rest = text
        .split_once("connection to server")
        .map(|(_, rest)| rest);
    let said = rest.and_then(|rest| rest.split_once("failed: "));
    said.is_some_and(|(_, said)| said.contains(":  "))
}

/// Which of [`CAUSES`] a line's words fit, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Causes(u32);

impl Causes {
    /// Those of a line as the program wrote it.
    pub(super) fn of(line: &str) -> Self {
        let fits = |cause: &Cause| {
            cause.words.iter().any(|words| line.contains(words)) || (cause.sign)(line)
        };
        let causes = CAUSES.iter().enumerate();
        Self(
            causes
                .filter(|(_, cause)| fits(cause))
                .fold(0, |bits, (at, _)| bits | 1 << at),
        )
    }

    /// And those of another line.
    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// A failure as its text gives it away.
    pub(super) fn fault(self, message: &str) -> Fault {
        let Some(cause) = CAUSES.get(self.0.trailing_zeros() as usize) else {
            return Fault::transient(Code::DumpFailed, message);
        };
        let fault = if cause.transient {
            Fault::transient(cause.code, message)
        } else {
            Fault::permanent(cause.code, message)
        };
        match cause.hint {
            "" => fault,
            hint => fault.hint(hint),
        }
    }
}

struct Cause {
    words: &'static [&'static str],
    /// What has the same meaning in every language.
    sign: fn(&str) -> bool,
    code: Code,
    transient: bool,
    hint: &'static str,
}

/// Tried in order: an error of a query repeats the query, so what is specific comes first.
const CAUSES: &[Cause] = &[
    Cause {
        words: &[
            "server version mismatch",
            "aborting because of server version",
        ],
        sign: no_sign,
        code: Code::PgDumpTooOld,
        transient: false,
        hint: "Install the pg_dump of the server's major version.",
    },
    Cause {
        words: &["row-level security"],
        sign: no_sign,
        code: Code::RowSecurity,
        transient: false,
        hint: "Give the backup role BYPASSRLS, or dump as the owner of the table.",
    },
    Cause {
        words: &[
            "due to statement timeout",
            "due to lock timeout",
            "could not obtain lock on",
        ],
        sign: no_sign,
        code: Code::LockNotAvailable,
        transient: true,
        hint: "Something held a table's lock for longer than lock_wait_timeout; see pg_locks and pg_stat_activity.",
    },
    Cause {
        words: &[
            "password authentication failed",
            "no password supplied",
            "no pg_hba.conf entry",
        ],
        sign: no_sign,
        code: Code::AuthenticationFailed,
        transient: false,
        hint: "Check the target's user, its password and the server's pg_hba.conf.",
    },
    Cause {
        words: &[
            "no matching tables were found",
            "no matching schemas were found",
        ],
        sign: no_sign,
        code: Code::NothingMatched,
        transient: false,
        hint: "The job's filters match nothing in this database. Patterns fold to lower case unless quoted.",
    },
    Cause {
        words: &[
            "has no equivalent in encoding",
            "invalid byte sequence for encoding",
        ],
        sign: names_bytes,
        code: Code::NotConvertible,
        transient: false,
        hint: "A value or name has bytes that its database's encoding does not allow, or that UTF-8 lacks: correct it, or leave \
               the table's rows out with exclude_table_data.",
    },
    // The hint names the setting in every language.
    Cause {
        words: &["out of shared memory", "max_locks_per_transaction"],
        sign: no_sign,
        code: Code::LockTableFull,
        transient: false,
        hint: "Raise max_locks_per_transaction: pg_dump locks every table at once.",
    },
    // What the server never translates, and what it does.
    Cause {
        words: &[
            "invalid memory alloc request size",
            "Cannot enlarge string buffer",
            "string buffer exceeds maximum allowed length",
            "out of memory for query result",
        ],
        sign: exceeds_a_buffer,
        code: Code::ValueTooLarge,
        transient: false,
        hint: "The error names the table. A value or a row of it has more than one gigabyte as text: leave its rows out with \
               exclude_table_data, and save them with COPY … (FORMAT binary).",
    },
    Cause {
        words: &[
            "invalid page in block",
            "could not read block",
            "missing chunk number",
            "unexpected chunk number",
            "unexpected chunk size",
            "data is corrupt",
        ],
        sign: names_block_of_file,
        code: Code::DataCorrupted,
        transient: false,
        hint: "The error names the table. Keep the last good backup, check the server's disk and its log, and find with amcheck \
               what else is damaged.",
    },
    Cause {
        words: &["permission denied"],
        sign: no_sign,
        code: Code::PermissionDenied,
        transient: false,
        hint: "Grant the backup role what it lacks; `pgdumpd check` lists it.",
    },
    Cause {
        words: &["due to conflict with recovery"],
        sign: no_sign,
        code: Code::RecoveryConflict,
        transient: true,
        hint: "Raise max_standby_streaming_delay or set hot_standby_feedback on the standby that is dumped.",
    },
    Cause {
        words: &[
            "terminating connection",
            "server closed the connection unexpectedly",
            "SSL connection has been closed unexpectedly",
            "could not receive data from server",
            "could not send data to server",
        ],
        sign: no_sign,
        code: Code::ConnectionLost,
        transient: true,
        hint: CONNECTION_LOST,
    },
    Cause {
        words: &["canceling statement due to user request"],
        sign: no_sign,
        code: Code::DumpCancelledOnServer,
        transient: true,
        hint: "Somebody cancelled pg_dump's query on the server.",
    },
    Cause {
        words: &[
            "too many connections",
            "too many clients already",
            "remaining connection slots",
        ],
        sign: no_sign,
        code: Code::TooManyConnections,
        transient: true,
        hint: "The server, the database or the backup role is at its connection limit: a backup needs three connections.",
    },
    Cause {
        words: &[
            "the database system is starting up",
            "the database system is shutting down",
            "the database system is in recovery mode",
            "not yet accepting connections",
        ],
        sign: no_sign,
        code: Code::TargetStarting,
        transient: true,
        hint: "The server is starting up, shutting down or recovering.",
    },
    // libpq's own words.
    Cause {
        words: &[
            "private key file",
            "certificate",
            "SSL error",
            "server does not support SSL",
        ],
        sign: no_sign,
        code: Code::TlsFailed,
        transient: false,
        hint: "Check sslmode and the certificates in the target's url.",
    },
    Cause {
        words: &["could not connect", "connection to server"],
        sign: no_sign,
        code: Code::TargetUnreachable,
        transient: true,
        hint: "Check that the server runs and can be reached from this host.",
    },
    // A session that was there.
    Cause {
        words: FATAL,
        sign: no_sign,
        code: Code::ConnectionLost,
        transient: true,
        hint: CONNECTION_LOST,
    },
];

const CONNECTION_LOST: &str = "Check the server's log: it was stopped or crashed, the network broke, or somebody ended pg_dump's session.";

/// How servers call an error that ends a session, in each language that PostgreSQL has been translated to.
const FATAL: &[&str] = &[
    "FATAL:  ",
    "FATALE:  ",
    "FATALT:  ",
    "ВАЖНО:  ",
    "ФАТАЛЬНО:  ",
    "ფატალური:  ",
    "致命错误:  ",
    "치명적오류:  ",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What servers of other languages say.
    #[test]
    fn what_all_languages_have_in_common_names_the_cause() {
        for (line, code) in [
            (
                "ОШИБКА:  некорректная страница в блоке 3 отношения base/5/16390",
                Code::DataCorrupted,
            ),
            (
                "ERROR:  リレーションbase/5/16390のブロック3に不正なページ",
                Code::DataCorrupted,
            ),
            (
                "错误:  关系 \"pg_tblspc/16384/PG_15_202209061/5/16390.2\" 中的块 3 存在无效的页",
                Code::DataCorrupted,
            ),
            (
                "ERROR:  符号化方式\"UTF8\"に対する不正なバイト列です: 0xe9",
                Code::NotConvertible,
            ),
            (
                "DETAIL:  Не удалось увеличить строковый буфер (в буфере байт: 540000001, требовалось ещё 540000000).",
                Code::ValueTooLarge,
            ),
            (
                "DETAIL:  Cannot enlarge string buffer containing 540000001 bytes by 540000000 more bytes.",
                Code::ValueTooLarge,
            ),
            ("오류:  (1073741823 bytes)", Code::ValueTooLarge),
            (
                "detail: Error message from server: 치명적오류:  관리자 요청에 의해서 연결을 끝냅니다",
                Code::ConnectionLost,
            ),
            (
                "FATAL:  terminating connection due to conflict with recovery",
                Code::RecoveryConflict,
            ),
        ] {
            let fault = Causes::of(line).fault("it failed");
            assert_eq!(fault.code(), code, "{line}");
            assert_eq!(fault.advice(), hint_of(code), "{line}");
        }
    }

    #[test]
    fn other_numbers_and_files_name_nothing() {
        for line in [
            "error: could not open file \"base/5/16390\": x",
            "detail: Query was: SELECT unnest('{800000001,800000002}'::pg_catalog.oid[])",
            "error: query failed: ERROR:  1 and 0x10 are not UTF",
            "error: base/5/x in block 3",
        ] {
            assert_eq!(Causes::of(line), Causes::default(), "{line}");
        }
    }

    #[test]
    fn what_libpq_says_of_a_connection_is_told_from_what_a_server_says() {
        let refused =
            "error: connection to server on socket \"/s\" failed: VAZHNO:  slishkom mnogo";
        assert!(was_refused(refused));
        for text in [
            "error: connection to server at \"db\" (10.0.0.1), port 5432 failed: Connection refused; Is it running?",
            "error: query failed: FATAL:  terminating",
        ] {
            assert!(!was_refused(text), "{text}");
        }
    }
}
