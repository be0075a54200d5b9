//! What a run is asked for while it goes on: by signals, and by a file in its folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::{folder, progress};

/// The same signal within this time is one: schedulers signal a script and what it started, and the script hands it on.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Flags that signals set and the loop looks at.
#[derive(Debug, Default)]
pub struct Requests {
    /// Whether somebody looks at the others by now.
    is_begun: AtomicBool,
    stop: AtomicBool,
    save: AtomicBool,
}

impl Requests {
    /// Listens to SIGINT and SIGTERM, which end the run with a checkpoint, the same one again at once without; and to
    /// SIGUSR1, which asks for a checkpoint. A launcher that hears Ctrl-C sends SIGTERM after the terminal's SIGINT: that
    /// is one request, not two. Until [`Requests::begin`] there is nothing to save, and the first of them calls `leave`.
    ///
    /// # Errors
    /// When the system gives no thread or refuses a handler.
    pub fn of_signals(leave: fn()) -> std::io::Result<Arc<Requests>> {
        let requests = Arc::new(Requests::default());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let (heard, mut before) = (Arc::clone(&requests), None);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut signals {
                if signal != SIGUSR1 && !heard.is_begun.load(Ordering::Relaxed) {
                    leave();
                }
                if heard.is_twice(signal, Instant::now(), &mut before) {
                    // As if nobody listened. Should that fail, the first one still holds.
                    let _ = emulate_default_handler(signal);
                }
            }
        })?;
        Ok(requests)
    }

    /// Does what a signal asks for, unless it asked for the end before.
    ///
    /// * `before`: the signal that did last, and when it first came.
    fn is_twice(&self, signal: i32, now: Instant, before: &mut Option<(i32, Instant)>) -> bool {
        if signal == SIGUSR1 {
            self.save.store(true, Ordering::Relaxed);
            return false;
        }
        match *before {
            Some((earlier, first)) if earlier == signal => return now.duration_since(first) > SAME_SIGNAL,
            _ => *before = Some((signal, now)),
        }
        if self.stop.swap(true, Ordering::Relaxed) {
            return false;
        }
        progress::tell("\nstopping: steps end after this pass, with a checkpoint; once more ends the program at once");
        false
    }

    /// From here on there is a loop that looks at what is asked for.
    pub fn begin(&self) {
        self.is_begun.store(true, Ordering::Relaxed);
    }

    /// Ends the run after the current pass, with a checkpoint.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run shall end.
    pub fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Set once the run shall end.
    pub fn stop_flag(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether a checkpoint is asked for, by SIGUSR1 or by the file `save` in the run's folder. Asking is over with that.
    pub fn take_save(&self, dir: &Path) -> bool {
        let is_signalled = self.save.swap(false, Ordering::Relaxed);
        let is_touched = std::fs::remove_file(dir.join(folder::SAVE)).is_ok();
        is_signalled || is_touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_signal_again_and_later_ends_at_once() {
        let (requests, mut before) = (Requests::default(), None);
        let begun = Instant::now();
        let mut hear =
            |signal, milliseconds| requests.is_twice(signal, begun + Duration::from_millis(milliseconds), &mut before);
        assert_eq!([hear(SIGUSR1, 0), hear(SIGUSR1, 900), hear(SIGINT, 1000), hear(SIGINT, 1400)], [false; 4]);
        // As torchrun does after Ctrl-C on a terminal.
        assert!(!hear(SIGTERM, 3000));
        assert!(hear(SIGTERM, 3600));
        assert!(requests.wants_stop() && requests.save.load(Ordering::Relaxed));
    }
}
