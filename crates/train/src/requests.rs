//! What a run is asked for while it goes on: by signals, and by a file in its folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::folder;

/// Flags that signals set and the loop looks at.
#[derive(Debug, Default)]
pub struct Requests {
    stop: AtomicBool,
    save: AtomicBool,
}

impl Requests {
    /// Listens to SIGINT and SIGTERM, which end the run with a checkpoint, the second one at once without; and to SIGUSR1,
    /// which asks for a checkpoint.
    ///
    /// # Errors
    /// When the system gives no thread or refuses a handler.
    pub fn of_signals() -> std::io::Result<Arc<Requests>> {
        let requests = Arc::new(Requests::default());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let heard = Arc::clone(&requests);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut signals {
                heard.hear(signal);
            }
        })?;
        Ok(requests)
    }

    fn hear(&self, signal: i32) {
        if signal == SIGUSR1 {
            return self.save.store(true, Ordering::Relaxed);
        }
        if self.stop.swap(true, Ordering::Relaxed) {
            // As if nobody listened. Should that fail, the first one still holds.
            let _ = emulate_default_handler(signal);
        }
        eprintln!("\nstopping after this pass and saving a checkpoint; once more ends the program at once");
    }

    /// Ends the run after the current pass, with a checkpoint.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run shall end.
    pub fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint is asked for, by SIGUSR1 or by the file `save` in the run's folder. Asking is over with that.
    pub fn take_save(&self, dir: &Path) -> bool {
        let is_signalled = self.save.swap(false, Ordering::Relaxed);
        let is_touched = std::fs::remove_file(dir.join(folder::SAVE)).is_ok();
        is_signalled || is_touched
    }
}
