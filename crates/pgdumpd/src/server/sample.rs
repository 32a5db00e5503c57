//! What is in a table, from a few of its blocks: how many rows, how long they are as COPY writes them, and some of
//! that text.
//!
//! Sizes on disk alone are a poor guide: rows that are gone, compression and TOAST, and the length of a number as
//! text stand between a table's files and its dump. A sample is a convenience, so it gives way in every respect: it
//! only reads, never waits for a lock that matters, and is bounded in time, in bytes and in memory.

use std::time::Duration;

use rand::RngExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Postgres, Row as _};

use crate::code::Code;
use crate::fault::Fault;

use super::{Target, fault};

/// Blocks that are read of each table: two megabytes, which an idle disk gives in a fraction of a second. Widths
/// and gaps that differ from place to place are met in proportion, to within a few percent.
const BLOCKS: i64 = 256;
/// And where that takes too long, on a disk that must seek for each.
const FEW_BLOCKS: i64 = 32;
/// The text that is wanted of a table: enough for a compressor to show what it makes of it.
const TEXT_BYTES: i32 = 128 * 1024;
/// Text that is taken from one row: a long one must not be all that is seen. In characters, of at most four bytes.
const ROW_CHARACTERS: i32 = 16 * 1024;
/// Rows that are read whole, however long they are: of fewer no mean can be estimated.
const FEWEST_ROWS: f64 = 20.0;
/// And at most, however short.
const MOST_ROWS: f64 = 5000.0;
/// What all rows that are read whole may take on disk, TOAST's bytes included: reading a table's largest values is
/// the dump's own business.
const MOST_STORED_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// Pages of large objects that are read from one block. A page is of 2 KiB, and compressed there.
const PAGES_OF_A_BLOCK: i64 = 2;
/// Large objects that are opened where their catalog may not be read.
const OBJECTS: i64 = 40;
/// Bytes that are read of each of them.
const OBJECT_BYTES: i32 = 4 * 1024;
/// How long a statement may take: above the server's own limit for it, for a server that no longer answers.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);
/// Arguments that a function takes: a table may have more columns, up to 1600.
const ARGUMENTS: usize = 90;
/// By what a sampled line's columns are separated, and the lines.
const END_OF_COLUMN: u8 = 1;
const END_OF_ROW: u8 = 2;

/// The expected size of the dump of one table, or of all large objects.
#[derive(Clone, Default, PartialEq)]
pub struct Sample {
    /// Rows that are there for everybody; of large objects how many there are.
    pub rows: f64,
    /// How far that may be off: one standard error.
    pub rows_error: f64,
    /// Bytes that pg_dump will write of them, before it compresses.
    pub dump_bytes: f64,
    /// Some of these bytes. The rows of somebody's table: never to be logged or kept.
    pub text: Vec<u8>,
}

impl Sample {
    /// With the server's own number of rows, unless the sample contradicts it: that was counted in the whole table,
    /// but some time ago.
    #[must_use]
    pub fn with_rows(self, counted: Option<i64>) -> Self {
        let counted = counted.map(|rows| rows as f64);
        let doubt = 2.0 * self.rows_error + self.rows * 0.01;
        match counted.filter(|counted| (counted - self.rows).abs() <= doubt) {
            Some(counted) if self.rows > 0.0 => Self {
                rows: counted,
                dump_bytes: self.dump_bytes * counted / self.rows,
                ..self
            },
            _ => self,
        }
    }
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample")
            .field("rows", &self.rows)
            .field("dump_bytes", &self.dump_bytes)
            .finish_non_exhaustive()
    }
}

/// Takes samples of one database, over a connection of its own.
#[derive(Debug)]
pub struct Sampler<'a> {
    target: &'a Target,
    connection: PgConnection,
}

/// A table, as statements need it.
struct Subject {
    name: String,
    blocks: i64,
    columns: Vec<String>,
}

/// What is in some blocks.
struct Looked {
    /// Which part of all blocks they are.
    share: f64,
    blocks: f64,
    rows: f64,
    /// The sum of the squares of the numbers of rows in each.
    squares: f64,
    stored_bytes: f64,
}

/// What was read of some rows.
struct Rows {
    rows: i64,
    /// Of one of them on the average: on disk, and as text.
    stored_bytes: f64,
    text_bytes: f64,
    /// Bytes of text for each further byte on disk; `None` if that is unknown.
    text_for_stored: Option<f64>,
    text: Vec<u8>,
}

impl FromRow<'_, PgRow> for Rows {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            rows: row.try_get("rows")?,
            stored_bytes: row.try_get("stored_bytes")?,
            text_bytes: row.try_get("text_bytes")?,
            text_for_stored: row.try_get("text_for_stored")?,
            text: row.try_get("text")?,
        })
    }
}

impl Looked {
    /// The standard error of the sum of their rows, for an estimate of all; 0 if all were read.
    fn rows_error(&self) -> f64 {
        let mean = self.rows / self.blocks;
        let variance = (self.squares / self.blocks - mean * mean).max(0.0);
        (variance * self.blocks * (1.0 - self.share).max(0.0)).sqrt()
    }
}

impl Target {
    /// Connects once more, to take samples.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub async fn sampler(&self) -> Result<Sampler<'_>, Fault> {
        let mut connection = self.connections.open().await?;
        let prepare = sqlx::raw_sql(include_str!("sql/prepare_sampling.sql"));
        prepare
            .execute(&mut connection)
            .await
            .map_err(|error| fault::asking(&self.name, "samples", error))?;
        Ok(Sampler {
            target: self,
            connection,
        })
    }
}

impl Sampler<'_> {
    /// Whether another table may be sampled after this fault of one.
    pub fn can_go_on_after(fault: &Fault) -> bool {
        fault.code() != Code::TargetUnreachable
    }

    /// Samples the table with this oid, whose files, with TOAST, are of `bytes`. `None` if there is nothing to be had:
    /// a table of an unknown kind, one that is gone, or whose rows are too long.
    ///
    /// # Errors
    /// As [`Target::look`]. [`Sampler::can_go_on_after`] returns whether another table may still be sampled.
    pub async fn table(&mut self, oid: i64, bytes: i64) -> Result<Option<Sample>, Fault> {
        let Some(subject) = self.subject(oid).await? else {
            return Ok(None);
        };
        let (blocks, looked) = self.look(&subject, &stored(&subject.columns)).await?;
        if looked.rows == 0.0 {
            return Ok(Some(Sample::default()));
        }
        let rows = looked.rows / looked.share;
        let rows_error = looked.rows_error() / looked.share;
        // With all that the table's files hold beside it: what is not seen is feared.
        let stored = (bytes as f64 / rows).max(1.0);
        let wanted = (TEXT_BYTES as f64 / stored).clamp(FEWEST_ROWS, MOST_ROWS);
        if wanted * stored > MOST_STORED_BYTES {
            return Ok(None);
        }
        let read = sqlx::query_as(AssertSqlSafe(rows_statement(&subject)))
            .bind(blocks)
            .bind(wanted / looked.rows)
            .bind((2.0 * wanted) as i64)
            .bind(ROW_CHARACTERS)
            .bind(TEXT_BYTES);
        let read: Option<Rows> = self.ask(read).await?;
        Ok(read.filter(|read| read.rows > 0).map(|read| {
            let text = as_copy_writes(&read.text);
            let escapes = text.len() as f64 / read.text.len().max(1) as f64;
            // Of many rows it is known what they take on disk, of few how long they are as text.
            let typical = looked.stored_bytes / looked.rows - read.stored_bytes;
            let width = read.text_bytes + read.text_for_stored.unwrap_or(0.0) * typical;
            // A slope through few points may be far off.
            let width = width.clamp(read.text_bytes / 4.0, read.text_bytes * 4.0);
            Sample {
                rows,
                rows_error,
                dump_bytes: rows * width * escapes,
                text,
            }
        }))
    }

    /// Samples the large objects. `None` if there are none.
    ///
    /// # Errors
    /// As [`Sampler::table`].
    pub async fn large_objects(&mut self) -> Result<Option<Sample>, Fault> {
        let count = sqlx::query_as(include_str!("sql/count_large_objects.sql"));
        let count: Option<(i64,)> = self.ask(count).await?;
        let Some((count @ 1..,)) = count else {
            return Ok(None);
        };
        match self.pages(count).await {
            Err(fault) if fault.code() == Code::PermissionDenied => self.objects(count).await,
            sampled => sampled,
        }
    }

    /// From the catalog that holds them.
    async fn pages(&mut self, count: i64) -> Result<Option<Sample>, Fault> {
        let Some(subject) = self.subject(LARGE_OBJECTS).await? else {
            return Ok(None);
        };
        let (blocks, looked) = self
            .look(&subject, "pg_catalog.octet_length(t.data)")
            .await?;
        if looked.share <= 0.0 {
            // They have no byte yet.
            return Ok(None);
        }
        let bytes = sqlx::query_as(include_str!("sql/sample_large_object_pages.sql"))
            .bind(blocks)
            .bind(PAGES_OF_A_BLOCK);
        let bytes: Option<(Vec<u8>,)> = self.ask(bytes).await?;
        Ok(bytes.map(|(text,)| Sample {
            rows: count as f64,
            rows_error: 0.0,
            dump_bytes: looked.stored_bytes / looked.share,
            text,
        }))
    }

    /// From some of them, opened one by one.
    async fn objects(&mut self, count: i64) -> Result<Option<Sample>, Fault> {
        let objects = sqlx::query_as(include_str!("sql/sample_large_objects.sql"))
            .bind(OBJECTS)
            .bind(OBJECT_BYTES);
        let found: Option<(i64, i64, Vec<u8>)> = self.ask(objects).await?;
        let found = found.filter(|(objects, ..)| *objects > 0);
        Ok(found.map(|(objects, raw_bytes, text)| Sample {
            rows: count as f64,
            rows_error: 0.0,
            dump_bytes: raw_bytes as f64 / objects as f64 * count as f64,
            text,
        }))
    }

    /// Counts in some blocks: in which, and what is there.
    async fn look(&mut self, subject: &Subject, stored: &str) -> Result<(Vec<i64>, Looked), Fault> {
        let blocks = choose(subject.blocks, BLOCKS);
        match self.blocks(subject, stored, &blocks).await {
            Err(fault) if fault.code() == Code::TargetSlow => {
                let blocks = choose(subject.blocks, FEW_BLOCKS);
                let looked = self.blocks(subject, stored, &blocks).await?;
                Ok((blocks, looked))
            }
            looked => Ok((blocks, looked?)),
        }
    }

    async fn blocks(
        &mut self,
        subject: &Subject,
        stored: &str,
        blocks: &[i64],
    ) -> Result<Looked, Fault> {
        let statement = fill(
            include_str!("sql/sample_blocks.sql"),
            &[("{stored}", stored), ("{table}", &subject.name)],
        );
        let looked = sqlx::query_as(AssertSqlSafe(statement)).bind(blocks.to_vec());
        let looked: Option<(i64, f64, i64)> = self.ask(looked).await?;
        let (rows, squares, stored_bytes) = looked.unwrap_or_default();
        Ok(Looked {
            share: blocks.len() as f64 / subject.blocks.max(1) as f64,
            blocks: blocks.len() as f64,
            rows: rows as f64,
            squares,
            stored_bytes: stored_bytes as f64,
        })
    }

    async fn subject(&mut self, oid: i64) -> Result<Option<Subject>, Fault> {
        let subject = sqlx::query_as(include_str!("sql/sample_subject.sql")).bind(oid);
        let subject: Option<(String, i64, Vec<String>)> = self.ask(subject).await?;
        Ok(subject.map(|(name, blocks, columns)| Subject {
            name,
            blocks,
            columns,
        }))
    }

    async fn ask<T>(
        &mut self,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // Each statement is for one table: there is nothing to keep prepared.
        let answer = query.persistent(false).fetch_optional(&mut self.connection);
        match tokio::time::timeout(STATEMENT_LIMIT, answer).await {
            Ok(Ok(row)) => Ok(row),
            Ok(Err(error)) => Err(fault::asking(&self.target.name, "a sample", error)),
            Err(_) => Err(fault::no_answer(
                &self.target.name,
                &self.target.url.to_string(),
                STATEMENT_LIMIT,
            )),
        }
    }
}

/// The oid of `pg_catalog.pg_largeobject`, the same in every database.
const LARGE_OBJECTS: i64 = 2613;

/// Blocks from all over a table: one of each of N equal stretches; all if there are few.
fn choose(blocks: i64, wanted: i64) -> Vec<i64> {
    let wanted = blocks.clamp(0, wanted);
    let mut rng = rand::rng();
    (0..wanted)
        .map(|stretch| {
            let (from, to) = (blocks * stretch / wanted, blocks * (stretch + 1) / wanted);
            rng.random_range(from..to)
        })
        .collect()
}

/// What a row's columns take on disk.
fn stored(columns: &[String]) -> String {
    let sizes: Vec<String> = columns
        .iter()
        .map(|column| format!("coalesce(pg_catalog.pg_column_size({column}), 0)"))
        .collect();
    if sizes.is_empty() {
        "0".to_owned()
    } else {
        sizes.join(" + ")
    }
}

fn rows_statement(subject: &Subject) -> String {
    let chunks = || {
        subject
            .columns
            .chunks(ARGUMENTS)
            .map(|chunk| chunk.join(", "))
    };
    let lines: Vec<String> = chunks()
        .map(|columns| format!("pg_catalog.concat_ws(E'\\x01', {columns})"))
        .collect();
    let nulls: Vec<String> = chunks()
        .map(|columns| format!("pg_catalog.num_nulls({columns})"))
        .collect();
    let (line, nulls) = if lines.is_empty() {
        ("''".to_owned(), "0".to_owned())
    } else {
        (
            format!("pg_catalog.concat_ws(E'\\x01', {})", lines.join(", ")),
            format!("({})", nulls.join(" + ")),
        )
    };
    fill(
        include_str!("sql/sample_rows.sql"),
        &[
            ("{stored}", &stored(&subject.columns)),
            ("{nulls}", &nulls),
            ("{line}", &line),
            ("{table}", &subject.name),
        ],
    )
}

/// A statement with its places filled in, each as it stands: a column may be called like a place.
fn fill(statement: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some((at, (place, text))) = places
        .iter()
        .filter_map(|place| Some((rest.find(place.0)?, place)))
        .min_by_key(|(at, _)| *at)
    {
        filled.push_str(&rest[..at]);
        filled.push_str(text);
        rest = &rest[at + place.len()..];
    }
    filled.push_str(rest);
    filled
}

/// A sample's text with COPY's separators and escapes.
fn as_copy_writes(sampled: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(sampled.len() + sampled.len() / 16);
    for byte in sampled {
        match byte {
            &END_OF_COLUMN => text.push(b'\t'),
            &END_OF_ROW => text.push(b'\n'),
            b'\\' => text.extend(br"\\"),
            b'\x08' => text.extend(br"\b"),
            b'\t' => text.extend(br"\t"),
            b'\n' => text.extend(br"\n"),
            b'\x0b' => text.extend(br"\v"),
            b'\x0c' => text.extend(br"\f"),
            b'\r' => text.extend(br"\r"),
            byte => text.push(*byte),
        }
    }
    text
}
