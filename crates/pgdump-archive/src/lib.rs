#![doc = include_str!("../README.md")]

mod encode;
mod error;
mod event;
mod header;
mod limits;
mod parser;
mod proof;
mod select;
mod text;
mod toc;
mod version;

pub use encode::{EncodeError, encode};
pub use error::{ArchiveError, Awaited, Bound};
pub use event::{DataKind, Event};
pub use header::{Compression, Created, Header};
pub use limits::Limits;
pub use parser::Parser;
pub use proof::Proof;
pub use select::{LeftOut, Reason, SelectError, Selection, TableName};
pub use text::Text;
pub use toc::{DataOffset, DumpId, Section, Toc, TocEntry};
pub use version::ArchiveVersion;
