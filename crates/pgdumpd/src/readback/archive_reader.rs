//! The bytes of an archive, whether it is stored as it is or encrypted: parts of it, or the whole.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use age::stream::StreamReader;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Stored;
use super::ciphertext::Ciphertext;
use crate::code::Code;
use crate::encryption::{
    CHUNK_BYTES, HEAD_BYTES, Identities, SEALED_CHUNK_BYTES, fault_of_reading, is_damage,
};
use crate::fault::Fault;
use crate::off_runtime::answer;
use crate::store::ByteStream;

/// Decrypted pieces that wait to be taken, of a chunk each.
const PIECES: usize = 16;

/// What the threads do that this begins.
const DECRYPTING: &str = "decrypts";

/// Reads parts of an archive, and of an encrypted one the chunks that hold them.
pub(super) struct ArchiveReader<'a> {
    stored: &'a Stored,
    read_bytes: Arc<AtomicU64>,
    encrypted: Option<Encrypted>,
}

struct Encrypted {
    identities: Arc<Identities>,
    head: Bytes,
    /// Where the first chunk is.
    payload_at: u64,
}

/// The bytes of a part, in order.
pub(super) enum Part {
    Plain(ByteStream, Arc<AtomicU64>),
    Decrypted(mpsc::Receiver<Bytes>, Option<JoinHandle<Result<(), Fault>>>),
}

impl<'a> ArchiveReader<'a> {
    /// # Errors
    /// `identity_needed`, `identity_mismatch`, `archive_damaged`, `archive_truncated`, and the storage's.
    pub(super) async fn open(stored: &'a Stored) -> Result<Self, Fault> {
        let read_bytes = Arc::<AtomicU64>::default();
        let encrypted = match stored.needed_identities()? {
            Some(identities) => Some(Encrypted::open(stored, identities, &read_bytes).await?),
            None => None,
        };
        Ok(Self {
            stored,
            read_bytes,
            encrypted,
        })
    }

    /// What was read of the stored object.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Begins to read a part. An archive that ends before the part does gives what it has.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Part, Fault> {
        let Some(encrypted) = &self.encrypted else {
            let key = &self.stored.manifest.object.key;
            let pieces = self.stored.storage.read_range(key, range).await?;
            return Ok(Part::Plain(pieces, Arc::clone(&self.read_bytes)));
        };
        Ok(encrypted.read(self.stored, range, &self.read_bytes))
    }
}

impl Encrypted {
    async fn open(
        stored: &Stored,
        identities: Arc<Identities>,
        read_bytes: &Arc<AtomicU64>,
    ) -> Result<Self, Fault> {
        let head = head(stored).await?;
        read_bytes.fetch_add(head.len() as u64, Ordering::Relaxed);
        let payload_at = Opener::new(stored, &identities).payload_at(&head)?;
        Ok(Self {
            identities,
            head,
            payload_at,
        })
    }

    fn read(&self, stored: &Stored, range: Range<u64>, read_bytes: &Arc<AtomicU64>) -> Part {
        let chunks = range.end.div_ceil(CHUNK_BYTES);
        let until = chunks.saturating_mul(SEALED_CHUNK_BYTES);
        let until = until.saturating_add(self.payload_at);
        let mut ciphertext = ciphertext(stored)
            .part(
                self.head.clone(),
                until.min(stored.manifest.object.size_bytes),
            )
            .counted(Arc::clone(read_bytes));
        let opener = Opener::new(stored, &self.identities);
        let (to, pieces) = mpsc::channel(PIECES);
        let decrypting = tokio::task::spawn_blocking(move || {
            let mut reader = opener.reader(&mut ciphertext)?;
            seek(&mut reader, range.start).map_err(|error| opener.fault(error))?;
            let length = range.end.saturating_sub(range.start);
            opener.send_all(&mut reader.take(length), &to)
        });
        Part::Decrypted(pieces, Some(decrypting))
    }
}

impl Part {
    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Plain(pieces, read_bytes) => {
                let next = pieces.next().await?;
                let count = next.as_ref().map_or(0, Bytes::len);
                read_bytes.fetch_add(count as u64, Ordering::Relaxed);
                Ok(next)
            }
            Self::Decrypted(pieces, decrypting) => match pieces.recv().await {
                Some(piece) => Ok(Some(piece)),
                None => match decrypting.take() {
                    Some(thread) => answer(DECRYPTING, thread).await?.map(|()| None),
                    None => Ok(None),
                },
            },
        }
    }
}

/// The whole of an encrypted object, decrypted and hashed.
pub(super) struct Whole {
    pieces: mpsc::Receiver<Bytes>,
    decrypting: JoinHandle<Result<Through, Fault>>,
}

/// What was found in a whole encrypted object.
pub(super) struct Through {
    /// Bytes that were read of the object, decrypted or not.
    pub(super) size_bytes: u64,
    /// Of these bytes.
    pub(super) sha256: String,
    /// Why not all of them could be decrypted.
    pub(super) damage: Option<Fault>,
}

impl Whole {
    /// Begins to read.
    pub(super) async fn begin(
        stored: &Stored,
        identities: &Arc<Identities>,
    ) -> Result<Self, Fault> {
        let mut ciphertext = ciphertext(stored).hashed();
        let opener = Opener::new(stored, identities);
        let head = head(stored).await?;
        let (to, pieces) = mpsc::channel(PIECES);
        let decrypting = tokio::task::spawn_blocking(move || {
            let decrypted = opener
                .payload_at(&head)
                .and_then(|_| opener.reader(&mut ciphertext))
                .and_then(|mut reader| opener.send_all(&mut reader, &to));
            let damage = match decrypted {
                Err(fault) if is_damage(&fault) => Some(fault),
                Err(fault) => return Err(fault),
                Ok(()) => None,
            };
            drop(to);
            // The hash says whether it is what was stored, whatever the decryption says.
            let (size_bytes, sha256) = ciphertext.digest()?;
            Ok(Through {
                size_bytes,
                sha256,
                damage,
            })
        });
        Ok(Self { pieces, decrypting })
    }

    /// The next bytes of the archive; none at its end, or where it can be decrypted no further.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    /// What was found, once there are no more bytes.
    ///
    /// # Errors
    /// `identity_mismatch`, and the storage's.
    pub(super) async fn end(self) -> Result<Through, Fault> {
        drop(self.pieces);
        answer(DECRYPTING, self.decrypting).await?
    }
}

fn ciphertext(stored: &Stored) -> Ciphertext {
    let object = &stored.manifest.object;
    Ciphertext::new(
        stored.storage.clone(),
        object.key.clone(),
        object.size_bytes,
    )
}

/// The object's first bytes, with the encryption's header.
async fn head(stored: &Stored) -> Result<Bytes, Fault> {
    let key = &stored.manifest.object.key;
    let range = 0..HEAD_BYTES as u64;
    let mut pieces = stored.storage.read_range(key, range).await?;
    let mut head = Vec::new();
    while let Some(piece) = pieces.next().await? {
        head.extend_from_slice(&piece);
    }
    Ok(head.into())
}

/// Opens one object, and reports what is wrong with it.
struct Opener {
    identities: Arc<Identities>,
    /// Whom it is encrypted to, as its manifest says.
    recipients: Vec<String>,
    /// Its key, for errors.
    what: String,
}

impl Opener {
    fn new(stored: &Stored, identities: &Arc<Identities>) -> Self {
        let encryption = stored.manifest.encryption.as_ref();
        Self {
            identities: Arc::clone(identities),
            recipients: encryption.map_or_else(Vec::new, |own| own.recipients.clone()),
            what: stored.manifest.object.key.to_string(),
        }
    }

    fn payload_at(&self, head: &[u8]) -> Result<u64, Fault> {
        let opened = self.identities.payload_at(&self.what, head);
        opened.map_err(|fault| {
            // Where the manifest names the key of one of them, it would fit if the header were whole.
            if fault.code() == Code::IdentityMismatch && self.identities.are_among(&self.recipients)
            {
                let text = format!("the encryption's header of {} is damaged", self.what);
                return Fault::permanent(Code::ArchiveDamaged, text).caused_by(fault);
            }
            fault
        })
    }

    fn reader<'a>(
        &self,
        ciphertext: &'a mut Ciphertext,
    ) -> Result<StreamReader<&'a mut Ciphertext>, Fault> {
        self.identities.reader(&self.what, ciphertext)
    }

    /// Sends what is read, to its end.
    fn send_all(&self, reader: &mut impl Read, to: &mpsc::Sender<Bytes>) -> Result<(), Fault> {
        // At most a chunk comes at once.
        let mut buffer = vec![0; CHUNK_BYTES as usize];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    let piece = Bytes::copy_from_slice(&buffer[..count]);
                    to.blocking_send(piece).map_err(|_| {
                        Fault::transient(Code::Internal, "nobody takes what is decrypted any more")
                    })?;
                }
                Err(error) => return Err(self.fault(error)),
            }
        }
    }

    fn fault(&self, error: std::io::Error) -> Fault {
        fault_of_reading(&self.what, error)
    }
}

/// Seeks without reading the object's end, which age does if the place is a chunk's first byte.
fn seek(reader: &mut StreamReader<&mut Ciphertext>, to: u64) -> std::io::Result<()> {
    if to.is_multiple_of(CHUNK_BYTES) && to > 0 {
        // Within a chunk that it holds, it only moves.
        reader.seek(SeekFrom::Start(to + 1))?;
    }
    reader.seek(SeekFrom::Start(to)).map(drop)
}
