//! What a cell leaves behind, and how a model sees it.

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
    /// The interpreter ended with it (`os._exit`, a crash, a limit). The next cell gets a fresh one.
    Exited,
}

/// The result of one cell. Everything but `end` and `state_lost` is what untrusted code said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// How it ended.
    pub end: CellEnd,
    /// Standard output as text, first and last part when it was longer than the limit.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// `repr` of the last expression, unless it was `None` or the cell ended in a statement.
    pub value: Option<String>,
    /// The traceback with the cell's own frames, or how the interpreter ended.
    pub error: Option<String>,
    /// Whether variables of earlier cells are gone: with this cell, or, if it finished, before it.
    pub state_lost: bool,
}

/// What a model sees when a cell printed nothing and had no value.
const NO_OUTPUT: &str = "[Executed Successfully with No Output]";
const RESTARTED: &str = "Python was restarted and all variables are lost.";

impl Cell {
    /// The text a model gets to see: stdout, stderr, value, traceback, each on its own line, without a final newline.
    ///
    /// Longer than `chars_max` characters it keeps the first and the last half around a marker line.
    pub fn observation(&self, chars_max: usize) -> String {
        let mut text = String::new();
        if self.state_lost && matches!(self.end, CellEnd::Finished | CellEnd::Raised) {
            text.push_str(&format!("[{RESTARTED}]\n"));
        }
        let parts = [Some(&self.stdout), Some(&self.stderr), self.value.as_ref(), self.error.as_ref()];
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(part);
        }
        let outcome = match self.end {
            CellEnd::Finished | CellEnd::Raised | CellEnd::Exited => None,
            CellEnd::TimedOut => Some("Execution timed out."),
            CellEnd::Interrupted => Some("Execution was interrupted."),
        };
        let restarted =
            (self.state_lost && self.end != CellEnd::Finished && self.end != CellEnd::Raised).then_some(RESTARTED);
        let note: Vec<&str> = outcome.into_iter().chain(restarted).collect();
        if !note.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[{}]", note.join(" ")));
        }
        let text = text.trim_end_matches('\n');
        if text.trim().is_empty() { NO_OUTPUT.to_string() } else { cut(text, chars_max) }
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
        Cell { end, stdout: String::new(), stderr: String::new(), value: None, error: None, state_lost: false }
    }

    #[test]
    fn parts_come_in_order_each_on_its_own_line() {
        let full = Cell {
            stdout: "out".into(),
            stderr: "err\n".into(),
            value: Some("'v'".into()),
            error: Some("E: x".into()),
            ..cell(CellEnd::Raised)
        };
        assert_eq!(full.observation(1000), "out\nerr\n'v'\nE: x");
    }

    #[test]
    fn nothing_to_see_is_said() {
        assert_eq!(cell(CellEnd::Finished).observation(1000), NO_OUTPUT);
        assert_eq!(Cell { stdout: "\n".into(), ..cell(CellEnd::Finished) }.observation(1000), NO_OUTPUT);
    }

    #[test]
    fn lost_variables_are_said() {
        let killed = Cell { state_lost: true, ..cell(CellEnd::TimedOut) };
        assert_eq!(killed.observation(1000), format!("[Execution timed out. {RESTARTED}]"));
        let restarted = Cell { state_lost: true, stdout: "1\n".into(), ..cell(CellEnd::Finished) };
        assert_eq!(restarted.observation(1000), format!("[{RESTARTED}]\n1"));
    }

    #[test]
    fn a_long_observation_keeps_both_ends() {
        let long = Cell { stdout: "é".repeat(50) + &"z".repeat(50), ..cell(CellEnd::Finished) };
        let text = long.observation(10);
        assert_eq!(text, "ééééé\n[... 90 characters omitted ...]\nzzzzz");
    }
}
