//! What the user sees while a run goes on: a bar on a terminal, plain lines otherwise, always on stderr.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use codeact_data::Watch;
use codeact_model::safetensors_files;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::preference::Rewards;

/// Plain lines per run, about.
const LINES: usize = 40;

/// Files that took longer to encode than this get a line.
const LONG_SECONDS: f64 = 2.0;

/// Longest silence between plain lines.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A line on stderr. A log that cannot be written is no reason to lose a run.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Shows the weights on their way to the device; nothing where there is no terminal.
#[derive(Debug)]
pub struct LoadProgress(ProgressBar);

impl LoadProgress {
    /// For the weight files of a folder.
    ///
    /// * `is_shown`: false on ranks that say nothing.
    pub fn new(folder: &Path, is_shown: bool) -> LoadProgress {
        let files = safetensors_files(folder).unwrap_or_default();
        let bytes = files.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum();
        let style = ProgressStyle::with_template("{bar:24} loading weights, {bytes} of {total_bytes}, {bytes_per_sec}");
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        LoadProgress(bar.with_style(style.expect("the template is well formed")))
    }

    /// So many more bytes are there.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// All are there.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

/// Shows files of data while they are turned into tokens: a bar on a terminal, and a line for each file that took long.
#[derive(Debug, Default)]
pub struct EncodeProgress(Mutex<Option<Encoding>>);

#[derive(Debug)]
struct Encoding {
    bar: ProgressBar,
    name: String,
    begun: Instant,
    tokens: u64,
}

impl EncodeProgress {
    fn with(&self, act: impl FnOnce(&mut Option<Encoding>)) {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Watch for EncodeProgress {
    fn begin(&self, path: &Path, bytes: u64) {
        let style = ProgressStyle::with_template("{bar:24} encoding {msg}, {bytes} of {total_bytes}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        let bar = bar.with_style(style.expect("the template is well formed"));
        let name = path.display().to_string();
        bar.set_message(name.clone());
        self.with(|encoding| *encoding = Some(Encoding { bar, name, begun: Instant::now(), tokens: 0 }));
    }

    fn advance(&self, bytes: u64, tokens: u64) {
        self.with(|encoding| {
            if let Some(encoding) = encoding {
                encoding.tokens += tokens;
                encoding.bar.inc(bytes);
                let rate = encoding.tokens as f64 / encoding.begun.elapsed().as_secs_f64().max(1e-9);
                encoding.bar.set_message(format!("{}, {rate:.0} tok/s", encoding.name));
            }
        });
    }

    fn end(&self) {
        self.with(|encoding| {
            let Some(Encoding { bar, name, begun, tokens }) = encoding.take() else { return };
            bar.finish_and_clear();
            let seconds = begun.elapsed().as_secs_f64();
            if seconds > LONG_SECONDS {
                let rate = tokens as f64 / seconds;
                tell(&format!("encoded  {tokens} tokens in {seconds:.1} s, {rate:.0} tok/s: `{name}`"));
            }
        });
    }

    fn note(&self, text: &str) {
        tell(text);
    }
}

/// What there is to say about a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Step counted from 1.
    pub step: usize,
    /// Epoch counted from 0.
    pub epoch: usize,
    /// Mean negative log-likelihood of the step's supervised tokens, in nats, or mean loss of its pairs.
    pub loss: f64,
    /// The same of each source that the step has: its index among the `[[data]]` of the settings, and its loss.
    pub by_source: Vec<(usize, f64)>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// L2 norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens of the step.
    pub token_count: usize,
    /// Supervised tokens of the step.
    pub target_count: usize,
    /// What came of its pairs, where they are learned.
    pub rewards: Option<Rewards>,
    /// Wall time of the step.
    pub seconds: f64,
    /// Memory in use after it, where the system says so: of the process, or the most of a card's pool so far.
    pub memory_bytes: Option<usize>,
}

/// Shows the steps of a run.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    is_shown: bool,
    step_count: usize,
    tokens_left: usize,
    tokens_done: usize,
    seconds: f64,
    /// When the first step began that is counted.
    begun: Option<Instant>,
    last_line: Option<Instant>,
}

impl Progress {
    /// For a run of `step_count` steps of which `first_step` are done and `tokens_left` tokens are not.
    ///
    /// * `is_shown`: false on ranks that say nothing.
    pub fn new(step_count: usize, first_step: usize, tokens_left: usize, is_shown: bool) -> Progress {
        let draw = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = (!draw.is_hidden()).then(|| {
            let style = ProgressStyle::with_template("{bar:24} {msg}").expect("the template is well formed");
            let bar = ProgressBar::with_draw_target(Some(step_count as u64), draw).with_style(style);
            bar.set_position(first_step as u64);
            bar
        });
        Progress { bar, is_shown, step_count, tokens_left, tokens_done: 0, seconds: 0.0, begun: None, last_line: None }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        self.tokens_left = self.tokens_left.saturating_sub(report.token_count);
        self.tokens_done += report.token_count;
        self.seconds += report.seconds;
        if self.begun.is_none() {
            self.begun = Instant::now().checked_sub(Duration::from_secs_f64(report.seconds));
        }
        let rate = self.tokens_done as f64 / self.seconds.max(1e-9);
        let line = self.line(report, rate);
        match &self.bar {
            Some(bar) => {
                bar.set_position(report.step as u64);
                bar.set_message(line);
            }
            None if self.is_shown => {
                let regular =
                    report.step == self.step_count || report.step.is_multiple_of(self.step_count.div_ceil(LINES));
                if regular || self.last_line.is_none_or(|last| last.elapsed() > SILENCE_MAX) {
                    tell(&line);
                    self.last_line = Some(Instant::now());
                }
            }
            None => {}
        }
    }

    fn line(&self, report: &StepReport, rate: f64) -> String {
        let gone = self.begun.map_or(Duration::from_secs_f64(self.seconds), |begun| begun.elapsed());
        format!(
            "step {:>width$}/{}  loss {:.4}  lr {:.2e}  {:.0} tok/s  {} left",
            report.step,
            self.step_count,
            report.loss,
            report.learning_rate,
            rate,
            duration(time_left(gone, self.tokens_done, self.tokens_left)),
            width = self.step_count.to_string().len(),
        )
    }

    /// Says something without tearing the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(text)),
            None if !self.is_shown => {}
            None => tell(text),
        }
    }

    /// Leaves the last state of the bar on the screen.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}

/// What is still to come when so many tokens took this time, with all that was measured and saved between the steps.
fn time_left(gone: Duration, tokens_done: usize, tokens_left: usize) -> Duration {
    gone.mul_f64(tokens_left as f64 / tokens_done.max(1) as f64)
}

/// A duration as `1h 02m`, `3m 07s` or `12s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m {rest:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_takes_as_long_as_what_was() {
        let left = |gone, done, left| time_left(Duration::from_secs(gone), done, left).as_secs();
        assert_eq!([left(10, 100, 400), left(60, 100, 400), left(60, 500, 0), left(60, 0, 0)], [40, 240, 0, 0]);
    }

    #[test]
    fn durations_read_well() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([text(12), text(187), text(3720)], ["12s", "3m 07s", "1h 02m"]);
    }

    #[test]
    fn a_line_names_step_loss_rate_speed_and_time_left() {
        // As if no time had gone but that of a step.
        let progress = Progress { tokens_done: 10, seconds: 1.0, ..Progress::new(166, 0, 1200, false) };
        let report = StepReport {
            step: 7,
            epoch: 0,
            loss: 1.25,
            by_source: vec![(0, 1.25)],
            learning_rate: 9.5e-4,
            gradient_norm: 1.0,
            token_count: 10,
            target_count: 5,
            rewards: None,
            seconds: 1.0,
            memory_bytes: None,
        };
        assert_eq!(progress.line(&report, 10.0), "step   7/166  loss 1.2500  lr 9.50e-4  10 tok/s  2m 00s left");
    }
}
