//! Code compiled without being run: whether it is Python is known before it counts as a cell.

use super::{Kind, OnEvent, Session, lock};
use crate::SandboxError;
use crate::cell::CellError;
use crate::wire::fields::{Fields, Writer};

/// Bytes of code that are compiled twice; what is larger is told to be no Python when it runs.
const CHECKED_BYTES_MAX: usize = 256 << 10;

impl Session {
    /// Compile `code` as a cell would, without running it: the error if it is no Python. Nothing is written down.
    ///
    /// `None` also where the interpreter cannot tell: it is gone, does not answer in time, or the code is too large. Then
    /// running it tells.
    ///
    /// # Errors
    /// When a branch of this session cannot give its place to this one.
    pub fn check(&mut self, code: &str) -> Result<Option<CellError>, SandboxError> {
        if code.len() > CHECKED_BYTES_MAX || lock(&self.yard).jail.link.is_closed() {
            return Ok(None);
        }
        let yard = self.yard.clone();
        let mut yard = lock(&yard);
        self.activate(&mut yard)?;
        let (late, unshown) = (&mut self.late, &mut self.unshown);
        let mut keep = |stream, bytes: &[u8]| unshown.extend(late.push(bytes).map(|text| (stream, text)));
        yard.finish_saving(&mut keep);
        let answer = yard.command_hearing(b'K', Writer::default().put("code", code), &mut keep);
        Ok(answer.ok().and_then(|payload| CellError::parse(&Fields::parse(&payload).unwrap_or_default())))
    }

    /// What earlier cells wrote while code was checked.
    pub(super) fn show_unshown(&mut self, on_event: &mut OnEvent<'_>) {
        for (stream, text) in std::mem::take(&mut self.unshown) {
            self.emit(Kind::Late { stream, text: &text }, on_event);
        }
    }
}
