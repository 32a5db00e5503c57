//! What one dump will run: program, arguments, environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use pgdump_archive::{Codec, Recompression, Text};
use pgdumpd_client::BackupSpec;

use crate::code::Code;
use crate::compression::Compression;
use crate::compressor::Compressor;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;

use super::encoding::Encoding;
use super::program::Program;

/// How much later than the daemon's own guard pg_dump gives up waiting for a table's lock. The guard knows who
/// blocks and covers every phase; this is for when the guard's connection is down.
const LOCK_WAIT_MARGIN: Duration = Duration::from_secs(10);

/// One dump, decided but not started.
#[derive(Debug, Clone)]
pub struct Plan {
    program: Program,
    url: DatabaseUrl,
    application_name: String,
    spec: BackupSpec,
    compression: Compression,
    compressor: Compressor,
    lock_wait_timeout: Duration,
    server_major: u32,
    encoding: Encoding,
}

impl Plan {
    /// Decides on a dump of the database at `url`, a server of `server_major`.
    ///
    /// # Errors
    /// Permanent: `spec_invalid` for a pattern that no command line can carry, `compression_unsupported` for a
    /// compression that this program lacks and must do.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a dump is decided by, each of its own type"
    )]
    pub fn new(
        program: Program,
        server_major: u32,
        url: DatabaseUrl,
        application_name: String,
        spec: BackupSpec,
        compression: Compression,
        compressor: Option<Compressor>,
        lock_wait_timeout: Duration,
    ) -> Result<Self, Fault> {
        check_patterns(&spec)?;
        let (compression, compressor) = decide(compression, compressor, &program, server_major)?;
        Ok(Self {
            compression,
            compressor,
            program,
            url,
            application_name,
            spec,
            lock_wait_timeout,
            server_major,
            encoding: Encoding::Utf8,
        })
    }

    /// The same dump in this encoding; without, it is UTF-8.
    #[must_use]
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// The encoding of its names, rows and patterns.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The program that will run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The database that will be dumped.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// By which pg_dump's session is known on the server.
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// How the data will be compressed; never [`Compression::Auto`].
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Who compresses it.
    pub fn compressor(&self) -> Compressor {
        self.compressor
    }

    /// How we compress what pg_dump writes; `None` if it does so itself.
    pub fn recompression(&self) -> Option<Recompression> {
        let codec = match self.compression {
            Compression::None | Compression::Auto => Some(Codec::NONE),
            Compression::Gzip(level) => Codec::gzip(level),
            Compression::Zstd(level) => Codec::zstd(level),
        };
        let codec = codec.filter(|_| self.compressor == Compressor::Pgdumpd)?;
        // Who asks for zstd of a server before 16 asks for an archive that needs pg_restore 16.
        Some(Recompression::new(codec).with_raise_version(true))
    }

    /// The same dump, compressed by pg_dump itself: as was asked for, if it can.
    pub fn by_pg_dump(self) -> Self {
        let compression = match self.compression.ensure_known_to(&self.program) {
            Ok(()) => self.compression,
            Err(_) => Compression::Gzip(6),
        };
        Self {
            compression,
            compressor: Compressor::PgDump,
            ..self
        }
    }

    /// pg_dump's arguments for people: bytes that are not UTF-8 are written as `\xHH`.
    pub fn arguments(&self) -> Vec<String> {
        let arguments = self.command_line().into_iter();
        arguments
            .map(|argument| {
                argument
                    .into_string()
                    .unwrap_or_else(|bytes| Text::escape(bytes.as_bytes()).into_owned())
            })
            .collect()
    }

    /// pg_dump's arguments, exactly. They hold no secret and no address.
    pub fn command_line(&self) -> Vec<OsString> {
        let lock_wait = self.lock_wait_timeout.saturating_add(LOCK_WAIT_MARGIN);
        let lock_wait = lock_wait.as_millis().min(i32::MAX as u128);
        let mut arguments = [
            "--format=custom".to_owned(),
            "--no-password".to_owned(),
            // The database or the role may be set to another one, in which patterns would match nothing.
            format!("--encoding={}", self.encoding.name()),
            // A misspelt table must not leave a backup without it that says "succeeded".
            "--strict-names".to_owned(),
            format!(
                "--compress={}",
                compress_argument(self.compressor, self.compression)
            ),
            format!("--lock-wait-timeout={lock_wait}"),
        ]
        .map(OsString::from)
        .to_vec();
        let spec = &self.spec;
        for (option, patterns) in filters(spec) {
            // One word each: a pattern that begins with a dash stays a pattern.
            arguments.extend(patterns.iter().map(|pattern| {
                let mut argument = OsString::from(format!("{option}="));
                argument.push(self.encoding.pattern(pattern));
                argument
            }));
        }
        arguments.push("--exclude-schema=pgdumpd".into());
        let filters_tables = !(spec.tables.is_empty()
            && spec.exclude_tables.is_empty()
            && spec.exclude_table_data.is_empty());
        if filters_tables {
            arguments.push("--exclude-table=pgdumpd.*".into());
        }
        if !spec.tables.is_empty() {
            // With --table, pg_dump ignores --exclude-schema: what was to stay out would be in the backup.
            arguments.extend(spec.exclude_schemas.iter().map(|pattern| {
                let mut argument = OsString::from("--exclude-table=");
                argument.push(self.encoding.pattern(pattern));
                argument.push(".*");
                argument
            }));
        }
        arguments
    }

    /// pg_dump's whole environment, but for the PGPASSFILE of an address with a password. It holds no secret, and
    /// nothing of the daemon's own.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.url.libpq_environment();
        // The messages that we read are pg_dump's own; the server's stay in the server's language.
        environment.push(("LC_ALL", "C".to_owned()));
        environment.push(("PGAPPNAME", self.application_name.clone()));
        // pg_dump sets these to 0 itself, by statements that a setting of the role or the database could end.
        let mut settings = [
            "statement_timeout",
            "lock_timeout",
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
        ]
        .map(|name| format!("-c {name}=0"))
        .to_vec();
        if self.server_major >= 17 {
            settings.push("-c transaction_timeout=0".to_owned());
        }
        environment.push(("PGOPTIONS", settings.join(" ")));
        environment
    }

    /// What is true of this backup and may surprise whoever restores it: sentences for the manifest and the log.
    pub fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if self.program.is_newer_than(self.server_major) {
            caveats.push(format!(
                "dumped by pg_dump {} from a server of version {}: the server's own pg_restore may not read it",
                self.program.major(),
                self.server_major
            ));
        }
        if !(self.spec.schemas.is_empty() && self.spec.tables.is_empty()) {
            caveats.push(
                "only chosen schemas or tables: large objects, extensions and publications are left out"
                    .to_owned(),
            );
        }
        if !(self.spec.schemas.is_empty() || self.spec.tables.is_empty()) {
            caveats.push(
                "schemas is ignored because tables is set, as in pg_dump: only the chosen tables are in the backup".to_owned(),
            );
        }
        caveats
    }
}

/// How to compress, never [`Compression::Auto`], and who does.
fn decide(
    compression: Compression,
    compressor: Option<Compressor>,
    program: &Program,
    server_major: u32,
) -> Result<(Compression, Compressor), Fault> {
    let compression = match compression {
        // Before 16 the server's own pg_restore reads no zstd. Nor does the pg_restore beside a pg_dump that was built
        // without it, whoever compresses.
        Compression::Auto if server_major >= 16 && program.has_zstd() => Compression::Zstd(1),
        Compression::Auto => Compression::Gzip(6),
        asked => asked,
    };
    let compressor = compressor.unwrap_or_else(|| Compressor::faster_for(compression));
    if compressor == Compressor::PgDump {
        compression.ensure_known_to(program)?;
    }
    Ok((compression, compressor))
}

impl Compression {
    /// A permanent `compression_unsupported` for zstd where this pg_dump lacks it. (pg_dump 14 takes the option
    /// and compresses nothing, so this cannot be left to the program.)
    fn ensure_known_to(self, program: &Program) -> Result<(), Fault> {
        if program.has_zstd() || !matches!(self, Self::Zstd(_)) {
            return Ok(());
        }
        let why = if program.major() < 16 {
            "it needs pg_dump 16 or newer"
        } else {
            "it was built without zstd"
        };
        let path = program.path().display();
        Err(Fault::permanent(
            Code::CompressionUnsupported,
            format!("{path} cannot compress with {self}: {why}"),
        )
        .hint("Remove compressor = \"pg_dump\" from the target's configuration, or set its compression to \"gzip:6\"."))
    }
}

/// `--compress` takes a bare level for gzip, and 0 for none, in every version.
fn compress_argument(compressor: Compressor, compression: Compression) -> String {
    match (compressor, compression) {
        (Compressor::Pgdumpd, _) | (_, Compression::None) => "0".to_owned(),
        (_, Compression::Gzip(level)) => level.to_string(),
        (_, Compression::Auto | Compression::Zstd(_)) => compression.to_string(),
    }
}

/// pg_dump's options with the spec's patterns for each.
fn filters(spec: &BackupSpec) -> [(&'static str, &[String]); 5] {
    [
        ("--schema", &spec.schemas),
        ("--exclude-schema", &spec.exclude_schemas),
        ("--table", &spec.tables),
        ("--exclude-table", &spec.exclude_tables),
        ("--exclude-table-data", &spec.exclude_table_data),
    ]
}

fn check_patterns(spec: &BackupSpec) -> Result<(), Fault> {
    for (option, patterns) in filters(spec) {
        let key = option.trim_start_matches("--").replace('-', "_");
        for pattern in patterns {
            if pattern.is_empty() || pattern.contains('\0') {
                return Err(Fault::permanent(
                    Code::SpecInvalid,
                    format!("the job's spec has an unusable pattern {pattern:?} for {key}"),
                )
                .hint("A pattern is a name or a wildcard as pg_dump takes it, such as public or audit.*"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
