//! How far a download is: a bar on a terminal, a line every tenth otherwise.
use std::io::IsTerminal;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// Shows the bytes of one download.
pub(super) struct Meter<'a> {
    name: &'a str,
    total: u64,
    lines: &'a dyn Fn(&str),
    bar: Option<ProgressBar>,
    tenths_shown: u64,
}

impl<'a> Meter<'a> {
    /// `reached` of `total` bytes are there already.
    pub(super) fn new(name: &'a str, total: u64, reached: u64, lines: &'a dyn Fn(&str)) -> Self {
        let resumed = if reached > 0 { format!(", {} are here already", HumanBytes(reached)) } else { String::new() };
        lines(&format!("downloading `{name}` from the hub: {}{resumed}", HumanBytes(total)));
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
            let bar = ProgressBar::new(total).with_position(reached);
            bar.reset_eta();
            bar.with_style(style.expect("the template is a constant that indicatif accepts"))
        });
        Meter { name, total, lines, bar, tenths_shown: tenths(reached, total) }
    }

    /// Now `reached` bytes are there. May go back when a range is asked for again.
    pub(super) fn reach(&mut self, reached: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(reached);
            return;
        }
        if tenths(reached, self.total) > self.tenths_shown {
            self.tenths_shown = tenths(reached, self.total);
            (self.lines)(&format!(
                "downloading `{}`: {} of {}",
                self.name,
                HumanBytes(reached),
                HumanBytes(self.total)
            ));
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn tenths(reached: u64, total: u64) -> u64 {
    // As a float: ten times a hostile total does not fit.
    if total == 0 { 10 } else { (reached as f64 / total as f64 * 10.0) as u64 }
}
