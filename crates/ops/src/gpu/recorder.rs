//! What work is recorded instead of being done, on this thread.

use std::cell::RefCell;

use candle_core::{Result, Tensor, bail};

#[cfg(feature = "emulation")]
use super::{Argument, Grid, Operand};

/// A call in the emulation's recordings.
#[cfg(feature = "emulation")]
pub(crate) enum Call {
    Launch(String, Grid, Vec<Argument>),
    Gemm(f32, Operand, Operand, f32, Operand),
}

/// A recording that has begun.
#[derive(Default)]
pub(crate) struct Recorder {
    /// The tensors whose addresses were given to kernels: they have to live as long as the recording.
    pub(super) held: Vec<Tensor>,
    #[cfg(feature = "emulation")]
    pub(super) calls: Vec<Call>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Begins to record.
///
/// # Errors
/// When this thread records already.
pub(super) fn begin() -> Result<()> {
    RECORDER.with_borrow_mut(|recorder| match recorder {
        Some(_) => bail!("a recording inside of a recording"),
        None => {
            *recorder = Some(Recorder::default());
            Ok(())
        }
    })
}

/// Ends what [`begin`] began.
pub(super) fn end() -> Recorder {
    RECORDER.take().unwrap_or_default()
}

/// Keeps a tensor for the recording, if there is one.
pub(super) fn hold(tensor: &Tensor) {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(recorder) = recorder {
            recorder.held.push(tensor.clone());
        }
    });
}

/// Notes a call, if there is a recording; false when the call is to be done now.
#[cfg(feature = "emulation")]
pub(super) fn note(call: impl FnOnce() -> Call) -> bool {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(recorder) = recorder {
            recorder.calls.push(call());
        }
        recorder.is_some()
    })
}

/// Refuses what a recording would not repeat: memory asked for, and copies between host and card.
pub(super) fn refuse(what: &str) -> Result<()> {
    if RECORDER.with_borrow(Option::is_some) {
        bail!("{what} while work is recorded: it would not be repeated with it");
    }
    Ok(())
}
