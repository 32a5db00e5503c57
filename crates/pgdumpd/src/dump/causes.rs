//! What the words of a program's error say about its cause.

use crate::code::Code;
use crate::fault::Fault;

/// Which of [`CAUSES`] a line's words fit, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Causes(u32);

impl Causes {
    /// Those of a line as the program wrote it.
    pub(super) fn of(line: &str) -> Self {
        let fits = |cause: &Cause| cause.words.iter().any(|words| line.contains(words));
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

    /// A failure as its text gives it away: pg_dump's own words are English (LC_ALL=C), the server's may not be.
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
        code: Code::PgDumpTooOld,
        transient: false,
        hint: "Install the pg_dump of the server's major version.",
    },
    Cause {
        words: &["row-level security"],
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
        code: Code::AuthenticationFailed,
        transient: false,
        hint: "Check the target's user, its password and the server's pg_hba.conf.",
    },
    Cause {
        words: &[
            "no matching tables were found",
            "no matching schemas were found",
        ],
        code: Code::NothingMatched,
        transient: false,
        hint: "The job's filters match nothing in this database. Patterns fold to lower case unless quoted.",
    },
    Cause {
        words: &[
            "has no equivalent in encoding",
            "invalid byte sequence for encoding",
        ],
        code: Code::NotConvertible,
        transient: false,
        hint: "A value or name has bytes that its database's encoding does not allow, or that UTF-8 lacks: correct it, or leave \
               the table's rows out with exclude_table_data.",
    },
    // The hint names the setting in every language.
    Cause {
        words: &["out of shared memory", "max_locks_per_transaction"],
        code: Code::LockTableFull,
        transient: false,
        hint: "Raise max_locks_per_transaction: pg_dump locks every table at once.",
    },
    // What the server never translates, and what it does.
    Cause {
        words: &[
            "invalid memory alloc request size",
            "cannot enlarge string buffer",
            "out of memory for query result",
        ],
        code: Code::ValueTooLarge,
        transient: false,
        hint: "The error names the table. A value of it has more than one gigabyte as text: leave its rows out with \
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
        code: Code::DataCorrupted,
        transient: false,
        hint: "The error names the table. Keep the last good backup, check the server's disk and its log, and find with amcheck \
               what else is damaged.",
    },
    Cause {
        words: &["permission denied"],
        code: Code::PermissionDenied,
        transient: false,
        hint: "Grant the backup role what it lacks; `pgdumpd check` lists it.",
    },
    Cause {
        words: &[
            "terminating connection",
            "server closed the connection unexpectedly",
            "SSL connection has been closed unexpectedly",
            "could not receive data from server",
            "could not send data to server",
        ],
        code: Code::ConnectionLost,
        transient: true,
        hint: "Check the server's log: it was stopped or crashed, the network broke, or somebody ended pg_dump's session.",
    },
    Cause {
        words: &["canceling statement due to conflict with recovery"],
        code: Code::RecoveryConflict,
        transient: true,
        hint: "Raise max_standby_streaming_delay or set hot_standby_feedback on the standby that is dumped.",
    },
    Cause {
        words: &["canceling statement due to user request"],
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
        code: Code::TlsFailed,
        transient: false,
        hint: "Check sslmode and the certificates in the target's url.",
    },
    Cause {
        words: &["could not connect", "connection to server"],
        code: Code::TargetUnreachable,
        transient: true,
        hint: "Check that the server runs and can be reached from this host.",
    },
];
