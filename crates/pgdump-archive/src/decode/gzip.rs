//! One zlib stream, which is what pg_dump means by gzip.

use flate2::{Decompress, FlushDecompress, Status};

use super::{DecodeError, OUT_BYTES};
use crate::Compression;

pub(super) struct GzipDecoder {
    inner: Decompress,
    ended: bool,
    out: Box<[u8]>,
}

impl Default for GzipDecoder {
    fn default() -> Self {
        Self {
            inner: Decompress::new(true),
            ended: false,
            out: vec![0; OUT_BYTES].into(),
        }
    }
}

const COMPRESSION: Compression = Compression::Gzip;

impl GzipDecoder {
    pub(super) fn push(
        &mut self,
        mut stored: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        loop {
            if self.ended {
                return if stored.is_empty() {
                    Ok(())
                } else {
                    let compression = COMPRESSION;
                    Err(DecodeError::TrailingBytes { compression })
                };
            }
            let (used_before, made_before) = (self.inner.total_in(), self.inner.total_out());
            let status = self
                .inner
                .decompress(stored, &mut self.out, FlushDecompress::None)
                .map_err(|error| DecodeError::Corrupt {
                    compression: COMPRESSION,
                    what: error.to_string().into(),
                })?;
            let used = since(used_before, self.inner.total_in()).min(stored.len());
            let made = since(made_before, self.inner.total_out()).min(self.out.len());
            stored = &stored[used..];
            if made > 0 {
                sink(&self.out[..made]);
            }
            self.ended = status == Status::StreamEnd;
            let stuck = used == 0 && made == 0;
            if !self.ended && (stuck || stored.is_empty() && made < self.out.len()) {
                return if stored.is_empty() {
                    Ok(())
                } else {
                    Err(DecodeError::Corrupt {
                        compression: COMPRESSION,
                        what: "it cannot be read any further".into(),
                    })
                };
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let ended = std::mem::take(&mut self.ended);
        self.inner.reset(true);
        if ended {
            Ok(())
        } else {
            Err(DecodeError::Incomplete {
                compression: COMPRESSION,
            })
        }
    }
}

/// How far a counter went. The counters of one push are close together.
fn since(before: u64, now: u64) -> usize {
    usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
}
