//! How far the work is.

use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line for every tenth elsewhere; both on stderr.
pub struct Progress {
    bar: ProgressBar,
    done: AtomicUsize,
    all: usize,
}

impl Progress {
    pub fn new(all: usize) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed} (ETA {eta})");
        let bar = ProgressBar::new(all as u64).with_style(style.expect("the template is a constant that parses"));
        Progress { bar, done: AtomicUsize::new(0), all }
    }

    /// What an earlier run has done counts, but not for the time that is left.
    pub fn begin(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
    }

    pub fn step(&self, message: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(message.to_owned());
        self.bar.set_position(done as u64);
        let is_tenth = done * 10 / self.all != (done - 1) * 10 / self.all;
        if self.bar.is_hidden() && is_tenth {
            eprintln!("{done}/{}  {message}", self.all);
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
