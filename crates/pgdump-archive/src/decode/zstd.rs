//! zstd frames.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{DecodeError, OUT_BYTES};
use crate::Compression;

/// libzstd's own default, which pg_restore uses, stated so that it stays.
pub(super) const MAX_WINDOW_LOG: u32 = 27;

pub(super) struct ZstdDecoder {
    inner: Decoder<'static>,
    /// Whether what was pushed ends with a frame.
    complete: bool,
    out: Box<[u8]>,
}

impl ZstdDecoder {
    pub(super) fn new() -> Result<Self, DecodeError> {
        let mut inner = Decoder::new().map_err(corrupt)?;
        inner
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .map_err(corrupt)?;
        Ok(Self {
            inner,
            complete: false,
            out: vec![0; OUT_BYTES].into(),
        })
    }

    pub(super) fn push(
        &mut self,
        stored: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        let mut input = InBuffer::around(stored);
        loop {
            let before = input.pos();
            let mut output = OutBuffer::around(&mut self.out[..]);
            let wanted = self.inner.run(&mut input, &mut output).map_err(corrupt)?;
            let made = output.pos();
            if made > 0 {
                sink(&self.out[..made]);
            }
            // Nothing more is wanted: a frame has ended, and all of it came out.
            self.complete = wanted == 0;
            let all_used = input.pos() == stored.len();
            if all_used && (self.complete || made < self.out.len()) {
                return Ok(());
            }
            if made == 0 && input.pos() == before {
                return Err(corrupt(io::Error::other("it cannot be read any further")));
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let complete = std::mem::take(&mut self.complete);
        self.inner.reinit().map_err(corrupt)?;
        if complete {
            Ok(())
        } else {
            let compression = Compression::Zstd;
            Err(DecodeError::Incomplete { compression })
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn corrupt(error: io::Error) -> DecodeError {
    DecodeError::Corrupt {
        compression: Compression::Zstd,
        what: error.to_string().into(),
    }
}
