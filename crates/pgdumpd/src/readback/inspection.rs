//! Reads an archive's bytes, from the first to the last, and reports what of it is damaged.

use pgdump_archive::{
    BlockCheck, BlockDamage, Compression, HeadCheck, Index, IndexError, IndexingParser,
};
use sha2::{Digest as _, Sha256};

use super::contents::Contents;
use super::name::name_of;
use crate::hex::hex;

/// What is wrong with one part of an archive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The table, as `schema.name`; `None` for header and table of contents, or where there is no index.
    pub table: Option<String>,
    /// What was found.
    pub what: String,
}

/// What was found in a whole object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Bytes that were read.
    pub size_bytes: u64,
    /// Of these bytes.
    pub sha256: String,
    /// What is damaged, in the archive's order.
    pub damaged: Vec<Damage>,
    /// Tables (and blocks of large objects) that are not; `None` if there is no index to tell them apart.
    pub good: Option<usize>,
    /// Whether it is encrypted and was compared as stored, without reading what is inside.
    pub unopened: bool,
    /// What the manifest says otherwise than the archive, which is whole.
    pub differences: Vec<String>,
    /// What the archive says of itself; `None` if it was not read, or is damaged.
    #[serde(skip)]
    pub contents: Option<Contents>,
}

/// Takes an archive's bytes in order.
pub struct Inspection {
    sha256: Sha256,
    position: u64,
    parts: Parts,
}

enum Parts {
    /// Each block is judged by itself.
    Indexed(Box<Indexed>),
    /// The first damage hides what follows.
    Whole(Box<IndexingParser>, Option<IndexError>),
    /// An archive that this build cannot read: its bytes are compared, no more.
    Unread,
}

struct Indexed {
    index: Index,
    compression: Compression,
    /// None once something is wrong with it.
    head: Option<HeadCheck>,
    head_damage: Option<String>,
    /// Which entry the bytes that come next are of.
    at: usize,
    block: Option<BlockCheck>,
    block_damage: Option<String>,
    damaged: Vec<Damage>,
    good: usize,
}

impl Inspection {
    /// Of an archive whose blocks are where the index says.
    pub fn indexed(index: Index, compression: Compression) -> Self {
        Self::of(Parts::Indexed(Box::new(Indexed {
            head: Some(HeadCheck::new(&index)),
            index,
            compression,
            head_damage: None,
            at: 0,
            block: None,
            block_damage: None,
            damaged: Vec::new(),
            good: 0,
        })))
    }

    /// Of an archive without an index.
    pub fn whole() -> Self {
        Self::of(Parts::Whole(Box::default(), None))
    }

    /// Of an archive that this build cannot read.
    pub fn unread() -> Self {
        Self::of(Parts::Unread)
    }

    fn of(parts: Parts) -> Self {
        Self {
            sha256: Sha256::new(),
            position: 0,
            parts,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        match &mut self.parts {
            Parts::Indexed(indexed) => indexed.push(self.position, bytes),
            Parts::Whole(parser, error) => {
                if error.is_none() {
                    *error = parser.push(bytes, &mut |_| {}).err();
                }
            }
            Parts::Unread => {}
        }
        self.position += bytes.len() as u64;
    }

    /// There are no more bytes.
    pub fn finish(self) -> Verdict {
        let (damaged, good, contents) = match self.parts {
            Parts::Indexed(indexed) => {
                let (damaged, good, contents) = indexed.finish(self.position);
                (damaged, Some(good), contents)
            }
            Parts::Whole(parser, error) => {
                let contents = error.map_or_else(|| Contents::of_whole(*parser), Err);
                let damage = |error| Damage {
                    table: None,
                    what: crate::fault::chain(&error),
                };
                match contents {
                    Ok(contents) => (Vec::new(), None, contents),
                    Err(error) => (vec![damage(error)], None, None),
                }
            }
            Parts::Unread => (Vec::new(), None, None),
        };
        Verdict {
            size_bytes: self.position,
            sha256: hex(&self.sha256.finalize()),
            damaged,
            good,
            unopened: false,
            differences: Vec::new(),
            contents,
        }
    }
}

impl Indexed {
    fn push(&mut self, mut position: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = match self.index.entries.get(self.at) {
                _ if position < self.index.head_bytes => self.index.head_bytes,
                Some(entry) => entry.offset_bytes.saturating_add(entry.block_bytes),
                // What comes after the last block is seen by its size and its SHA-256.
                None => return,
            };
            let count = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(count.min(bytes.len()));
            if position < self.index.head_bytes {
                self.head(now);
            } else {
                self.block(now);
            }
            position += now.len() as u64;
            bytes = later;
            if position == end && position > self.index.head_bytes {
                self.end_block();
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) {
        if let Some(head) = &mut self.head
            && let Err(damage) = head.push(bytes)
        {
            self.head_damage = Some(crate::fault::chain(&damage));
            self.head = None;
        }
    }

    fn block(&mut self, bytes: &[u8]) {
        let Some(entry) = self.index.entries.get(self.at) else {
            return;
        };
        if self.block.is_none() && self.block_damage.is_none() {
            match BlockCheck::new(entry, self.compression) {
                Ok(check) => self.block = Some(check),
                Err(damage) => self.block_damage = Some(message_of(&damage)),
            }
        }
        if let Some(check) = &mut self.block
            && let Err(damage) = check.push(bytes)
        {
            self.block_damage = Some(message_of(&damage));
            self.block = None;
        }
    }

    fn end_block(&mut self) {
        let checked = self.block.take().map(BlockCheck::finish);
        let damage = self.block_damage.take();
        let damage = damage.or_else(|| {
            checked
                .and_then(Result::err)
                .map(|damage| message_of(&damage))
        });
        if let Some(entry) = self.index.entries.get(self.at) {
            match damage {
                Some(what) => self.damaged.push(Damage {
                    table: Some(name_of(entry)),
                    what,
                }),
                None => self.good += 1,
            }
        }
        self.at += 1;
    }

    fn finish(mut self, position: u64) -> (Vec<Damage>, usize, Option<Contents>) {
        let mut damaged = Vec::new();
        let mut contents = None;
        let head_damage = match self.head.take().map(HeadCheck::finish) {
            Some(Ok((header, toc))) => {
                contents = Some(Contents::of_index(&header, &toc, &self.index));
                None
            }
            Some(Err(damage)) => Some(crate::fault::chain(&damage)),
            None => self.head_damage.take(),
        };
        damaged.extend(head_damage.map(|what| Damage { table: None, what }));
        damaged.append(&mut self.damaged);
        // A block that was begun, and those that never came.
        for entry in self.index.entries.iter().skip(self.at) {
            let begun = position > entry.offset_bytes;
            damaged.push(Damage {
                table: Some(name_of(entry)),
                what: if begun { "is cut off" } else { "is missing" }.to_owned(),
            });
        }
        if !damaged.is_empty() {
            // What is damaged is said; what it says of itself is worth nothing.
            contents = None;
        }
        (damaged, self.good, contents)
    }
}

fn message_of(damage: &BlockDamage) -> String {
    crate::fault::chain(damage)
}
