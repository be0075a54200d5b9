//! What a cell leaves behind, and how a model sees it.

use crate::bundle::Bundle;
use crate::journal::{Output, RecordedCell};
use crate::tools::Call;
use crate::wire::fields::Fields;
use std::path::PathBuf;

/// How a cell came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellEnd {
    /// It ran to its last line.
    Finished,
    /// It ended with an exception; `exit()` counts as one. Variables are kept.
    Raised,
    /// It ran into the wall-clock limit.
    TimedOut,
    /// The host stopped it: see [`crate::Interrupter`].
    Interrupted,
    /// The interpreter ended with it (`os._exit`, a crash, a limit).
    Exited,
}

impl CellEnd {
    pub(crate) fn named(name: &str) -> CellEnd {
        match name {
            "finished" => CellEnd::Finished,
            "raised" => CellEnd::Raised,
            "timed_out" => CellEnd::TimedOut,
            "interrupted" => CellEnd::Interrupted,
            _ => CellEnd::Exited,
        }
    }
}

/// What became of the variables and files that were there before the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They are there, with what the cell did to them.
    Kept,
    /// The interpreter had to be killed: variables are as they were before the cell, and so are files unless
    /// [`Cell::unrestored`] says why not.
    RolledBack,
    /// The interpreter had to be killed, or had ended, and could not be brought back: variables are gone, files are not
    /// unless [`Cell::unrestored`] says why.
    Lost,
}

/// An exception, or the end of the interpreter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CellError {
    /// `ZeroDivisionError`; empty when the interpreter ended.
    pub name: String,
    /// What the exception says.
    pub message: String,
    /// The traceback with the cell's own frames, without colours.
    pub traceback: String,
}

impl CellError {
    pub(crate) fn parse(fields: &Fields<'_>) -> Option<CellError> {
        let text = |key| fields.text(key).unwrap_or_default();
        fields.bytes("error/traceback").or(fields.bytes("error/name"))?;
        Some(CellError { name: text("error/name"), message: text("error/message"), traceback: text("error/traceback") })
    }

    pub(crate) fn ended(status: &str) -> CellError {
        let traceback = format!("[The Python process ended: {status}.]");
        CellError { name: String::new(), message: status.to_string(), traceback }
    }
}

/// The result of one cell. Everything but `end` and `state` is what untrusted code said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// How it ended.
    pub end: CellEnd,
    /// What became of earlier variables and files.
    pub state: State,
    /// Why files are not what `state` says of them; `None`: they are.
    pub unrestored: Option<String>,
    /// Standard output as text, first and last part when it was longer than the limit.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// The last expression; empty if it was `None` or the cell ended in a statement.
    pub value: Bundle,
    /// Figures and what else was displayed.
    pub displays: Vec<Bundle>,
    /// What was raised, or how the interpreter ended.
    pub error: Option<CellError>,
    /// Calls of tools that it made, as far as they are kept.
    pub calls: Vec<Call>,
    /// The whole output, where `stdout` or `stderr` is cut. The file is there as long as the session.
    pub full_output: Option<PathBuf>,
}

/// What a model sees when a cell printed nothing and had no value.
const NO_OUTPUT: &str = "[Executed Successfully with No Output]";
const RESTARTED: &str = "Python was restarted and all variables are lost.";
const ROLLED_BACK: &str = "Variables and files are as they were before this cell.";
const ROLLED_BACK_WITHOUT_FILES: &str = "Variables are as they were before this cell, files are not";
const FILES_DIFFER: &str = "Files are not as they were";
/// Bytes of output that are recorded of a cell.
const RECORDED_BYTES_MAX: usize = 64 << 10;

impl Cell {
    /// A cell that was stopped before it began.
    pub(crate) fn not_run() -> Cell {
        Cell {
            end: CellEnd::Interrupted,
            state: State::Kept,
            unrestored: None,
            stdout: String::new(),
            stderr: String::new(),
            value: Bundle::default(),
            displays: Vec::new(),
            error: None,
            calls: Vec::new(),
            full_output: None,
        }
    }

    /// For the journal, and to compare with a later run.
    pub(crate) fn record(&self, code: &str) -> RecordedCell {
        RecordedCell {
            code: code.to_string(),
            end: self.end,
            stdout: Output::of(&self.stdout, RECORDED_BYTES_MAX),
            stderr: Output::of(&self.stderr, RECORDED_BYTES_MAX),
            value: self.value.text(),
            error: self.error.as_ref().map(|error| error.traceback.clone()),
            rolled_back: self.state == State::RolledBack,
            unrestored: self.unrestored.clone(),
            full_output: None,
            calls: None,
            displays: Vec::new(),
            files_changed: Vec::new(),
        }
    }

    /// The text a model gets to see: stdout, stderr, what was displayed, value, traceback, each on its own line, without
    /// a final newline.
    ///
    /// Longer than `chars_max` characters it keeps the first and the last half around a marker line.
    pub fn observation(&self, chars_max: usize) -> String {
        cut(&self.whole_observation(), chars_max)
    }

    /// As [`Cell::observation`], with the longest text of which `count_tokens` makes at most `tokens_max`.
    pub fn observation_within(&self, tokens_max: usize, count_tokens: &dyn Fn(&str) -> usize) -> String {
        let text = self.whole_observation();
        if count_tokens(&text) <= tokens_max {
            return text;
        }
        // More characters do not always make more tokens, so the last text that fitted is kept, whatever comes after.
        let (mut fitting, mut too_long) = (0, text.chars().count());
        while too_long - fitting > 1 {
            let middle = usize::midpoint(fitting, too_long);
            match count_tokens(&cut(&text, middle)) <= tokens_max {
                true => fitting = middle,
                false => too_long = middle,
            }
        }
        cut(&text, fitting)
    }

    fn whole_observation(&self) -> String {
        let mut text = String::new();
        let is_whole = matches!(self.end, CellEnd::Finished | CellEnd::Raised);
        match (self.state, &self.unrestored) {
            (State::Lost, _) if is_whole => text.push_str(&format!("[{}]\n", self.restarted())),
            (State::Kept, Some(reason)) => text.push_str(&format!("[{FILES_DIFFER}: {reason}.]\n")),
            _ => {}
        }
        let outputs = [&self.stdout, &self.stderr].into_iter().cloned();
        let shown = self.displays.iter().chain([&self.value]).filter_map(Bundle::text);
        let error = self.error.iter().map(|error| error.traceback.clone());
        for part in outputs.chain(shown).chain(error).filter(|part| !part.is_empty()) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&part);
        }
        let outcome = match self.end {
            CellEnd::Finished | CellEnd::Raised | CellEnd::Exited => None,
            CellEnd::TimedOut => Some("Execution timed out."),
            CellEnd::Interrupted => Some("Execution was interrupted."),
        };
        let state = match (self.state, &self.unrestored) {
            (State::RolledBack, None) => Some(ROLLED_BACK.to_string()),
            (State::RolledBack, Some(reason)) => Some(format!("{ROLLED_BACK_WITHOUT_FILES}: {reason}.")),
            _ => (self.state == State::Lost && !is_whole).then(|| self.restarted()),
        };
        let note: Vec<String> = outcome.map(str::to_string).into_iter().chain(state).collect();
        if !note.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[{}]", note.join(" ")));
        }
        let text = text.trim_end_matches('\n');
        if text.trim().is_empty() { NO_OUTPUT.to_string() } else { text.to_string() }
    }

    fn restarted(&self) -> String {
        match &self.unrestored {
            None => RESTARTED.to_string(),
            Some(reason) => format!("{RESTARTED} {FILES_DIFFER}: {reason}."),
        }
    }
}

/// The first and last half of `chars_max` characters around a line that counts what is missing.
fn cut(text: &str, chars_max: usize) -> String {
    let chars_count = text.chars().count();
    if chars_count <= chars_max {
        return text.to_string();
    }
    let head_chars = chars_max.div_ceil(2);
    let tail_chars = chars_max - head_chars;
    let byte_at = |char_index: usize| text.char_indices().nth(char_index).map_or(text.len(), |(byte, _)| byte);
    let head = text[..byte_at(head_chars)].trim_end_matches('\n');
    let tail = text[byte_at(chars_count - tail_chars)..].trim_start_matches('\n');
    format!("{head}\n[... {} characters omitted ...]\n{tail}", chars_count - chars_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(end: CellEnd) -> Cell {
        Cell { end, ..Cell::not_run() }
    }

    fn bundle(text: &str) -> Bundle {
        Bundle::collect([("text/plain", text.as_bytes())].into_iter(), "")
    }

    #[test]
    fn parts_come_in_order_each_on_its_own_line() {
        let error = CellError { name: "E".into(), message: "x".into(), traceback: "E: x".into() };
        let full = Cell {
            stdout: "out".into(),
            stderr: "err\n".into(),
            displays: vec![bundle("[figure]")],
            value: bundle("'v'"),
            error: Some(error),
            ..cell(CellEnd::Raised)
        };
        assert_eq!(full.observation(1000), "out\nerr\n[figure]\n'v'\nE: x");
    }

    #[test]
    fn nothing_to_see_is_said() {
        assert_eq!(cell(CellEnd::Finished).observation(1000), NO_OUTPUT);
        assert_eq!(Cell { stdout: "\n".into(), ..cell(CellEnd::Finished) }.observation(1000), NO_OUTPUT);
    }

    #[test]
    fn lost_variables_are_said() {
        let killed = Cell { state: State::Lost, ..cell(CellEnd::TimedOut) };
        assert_eq!(killed.observation(1000), format!("[Execution timed out. {RESTARTED}]"));
        let restarted = Cell { state: State::Lost, stdout: "1\n".into(), ..cell(CellEnd::Finished) };
        assert_eq!(restarted.observation(1000), format!("[{RESTARTED}]\n1"));
    }

    #[test]
    fn a_cell_without_effect_is_said() {
        let killed = Cell { state: State::RolledBack, ..cell(CellEnd::TimedOut) };
        assert_eq!(killed.observation(1000), format!("[Execution timed out. {ROLLED_BACK}]"));
    }

    #[test]
    fn files_that_did_not_come_back_are_said() {
        let without = |state, end| Cell { state, unrestored: Some("too many".into()), ..cell(end) }.observation(1000);
        let back = "[Execution timed out. Variables are as they were before this cell, files are not: too many.]";
        assert_eq!(without(State::RolledBack, CellEnd::TimedOut), back);
        let differ = "Files are not as they were: too many.";
        assert_eq!(without(State::Lost, CellEnd::Exited), format!("[{RESTARTED} {differ}]"));
        assert_eq!(without(State::Lost, CellEnd::Finished), format!("[{RESTARTED} {differ}]"));
        assert_eq!(without(State::Kept, CellEnd::Finished), format!("[{differ}]"));
    }

    #[test]
    fn an_observation_fits_into_tokens() {
        let long = Cell { stdout: (0..1000).map(|number| format!("{number}\n")).collect(), ..cell(CellEnd::Finished) };
        let words = |text: &str| text.split_whitespace().count();
        let text = long.observation_within(100, &words);
        assert!((60..=100).contains(&words(&text)), "{} words", words(&text));
        assert!(text.starts_with("0\n1\n") && text.ends_with("\n999"), "{text}");
        assert_eq!(long.observation_within(5000, &words), long.observation(100_000));
    }

    #[test]
    fn a_long_observation_keeps_both_ends() {
        let long = Cell { stdout: "é".repeat(50) + &"z".repeat(50), ..cell(CellEnd::Finished) };
        let text = long.observation(10);
        assert_eq!(text, "ééééé\n[... 90 characters omitted ...]\nzzzzz");
    }
}
