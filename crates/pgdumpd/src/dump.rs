//! The pg_dump process: which program, which arguments, its password, its output, its stderr, how it is
//! stopped, and how it ended.
//!
//! One dump is a [`Plan`], started by [`PgDump::start`], which hands back the process and its output. Only
//! [`PgDump::wait`] makes a [`CleanExit`], and only from exit status 0.

mod causes;
mod encoding;
mod exit;
mod globals;
mod output;
mod password_file;
mod pattern;
mod plan;
mod process;
mod program;
mod signs;
mod stderr;

pub use causes::{hint_of, was_refused};
pub use encoding::Encoding;
pub use exit::CleanExit;
pub use globals::{dump_globals, globals_program};
pub use output::{DumpOutput, OutputMeter};
pub(crate) use password_file::create as password_file;
pub use pattern::{Pattern, PatternError};
pub use plan::Plan;
pub use process::{PgDump, STOP_GRACE};
pub use program::{Program, find};
pub use stderr::Warnings;
