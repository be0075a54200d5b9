//! Stopping a cell from another thread.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};

/// Stops the cell that is running, or, if none is, the next one. [`Interrupter::clear`] takes the wish back.
///
/// The wish outlives the moment so that it cannot fall between the decision to run a cell and its start.
#[derive(Debug, Clone)]
pub struct Interrupter(Arc<Mutex<Interrupt>>);

#[derive(Debug)]
struct Interrupt {
    is_wanted: bool,
    wake: Option<UnixStream>,
    /// Whoever the wish is for, where that came later than this handle.
    attached: Option<Interrupter>,
}

impl Interrupter {
    pub(crate) fn new(wake: UnixStream) -> Interrupter {
        Interrupter(Arc::new(Mutex::new(Interrupt { is_wanted: false, wake: Some(wake), attached: None })))
    }

    /// For what has not started yet: a wish waits until there is something to [`Interrupter::attach`] to.
    pub fn unattached() -> Interrupter {
        Interrupter(Arc::new(Mutex::new(Interrupt { is_wanted: false, wake: None, attached: None })))
    }

    /// From now on what is wished here is wished of `other`, which must not lead back here.
    pub fn attach(&self, other: &Interrupter) {
        let mut state = self.state();
        if std::mem::take(&mut state.is_wanted) {
            other.interrupt();
        }
        state.attached = Some(other.clone());
    }

    /// Interrupt the cell as Ctrl-C would; what does not end soon is killed, and the state before it comes back.
    pub fn interrupt(&self) {
        let mut state = self.state();
        if let Some(other) = &state.attached {
            return other.interrupt();
        }
        state.is_wanted = true;
        // Full means that a wake-up is already waiting.
        let _ = state.wake.as_mut().map(|wake| wake.write(&[1]));
    }

    /// Forget an interrupt that has not stopped a cell.
    pub fn clear(&self) {
        let mut state = self.state();
        state.is_wanted = false;
        if let Some(other) = &state.attached {
            other.clear();
        }
    }

    /// Whether a cell should stop before it starts; forgets the wish.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut self.state().is_wanted)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.state().is_wanted
    }

    /// Wake the thread that waits for a cell, for another reason.
    pub(super) fn wake(&self) {
        let _ = self.state().wake.as_mut().map(|wake| wake.write(&[0]));
    }

    fn state(&self) -> MutexGuard<'_, Interrupt> {
        // A flag only: whatever a panicking thread left is valid.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_waits_for_what_is_attached_later() {
        let (early, late) = (Interrupter::unattached(), Interrupter::unattached());
        early.interrupt();
        assert!(early.is_wanted() && !late.is_wanted());
        early.attach(&late);
        assert!(late.take());
        early.interrupt();
        assert!(late.is_wanted());
        early.clear();
        assert!(!late.is_wanted());
    }
}
