//! Events for a terminal: thoughts as they come, code behind a bar, output as it is printed, and the answer.

mod figures; // pictures, kept as files

mod highlight; // Python in colours

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use codeact_agent::{Event, TurnEnd, Verdict};
use codeact_chat::disguises_text;
use codeact_sandbox::Stream;
use figures::Figures;
use highlight::Highlighter;

/// What stands on the current line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Text,
    Code,
    Stdout,
    Stderr,
    Late,
}

/// Writes events for people, or as one JSON object a line.
pub struct Console<W: Write> {
    out: W,
    is_json: bool,
    is_coloured: bool,
    part: Part,
    is_line_start: bool,
    /// Code that was shown since the last step began.
    code: String,
    /// The line of it that is not complete, and waits for its colours.
    code_line: String,
    highlighter: Highlighter,
    figures: Option<Figures>,
    /// What was shown already of the running cell.
    shown: Shown,
    /// Whether the answer stands on the screen already, as the text of the reply.
    has_text: bool,
}

const BAR: &str = "│ ";
const BAR_COLOUR: &str = "\x1b[36m";
const ERROR_COLOUR: &str = "\x1b[31m";
const ANSWER_COLOUR: &str = "\x1b[1;32m";
const NOTE_COLOUR: &str = "\x1b[2m";
const NO_COLOUR: &str = "\x1b[0m";
const LATE: &str = "[from code that still runs]";

impl<W: Write> Console<W> {
    /// `is_json`: one event a line and nothing else. `is_coloured`: with the escape codes of a terminal.
    pub fn new(out: W, is_json: bool, is_coloured: bool) -> Console<W> {
        Console {
            out,
            is_json,
            is_coloured: is_coloured && !is_json,
            part: Part::Nothing,
            is_line_start: true,
            code: String::new(),
            code_line: String::new(),
            highlighter: Highlighter::default(),
            figures: None,
            shown: Shown::default(),
            has_text: false,
        }
    }

    /// Keeps pictures in `folder` from now on, and tells where. Not as JSON, which has them.
    pub fn keep_figures(&mut self, folder: &Path) {
        self.figures = (!self.is_json).then(|| Figures::new(folder));
    }

    /// Shows one event at once.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        if self.is_json {
            serde_json::to_writer(&mut self.out, event)?;
            self.out.write_all(b"\n")?;
        } else {
            self.show_text(event)?;
        }
        self.out.flush()
    }

    /// Says something about the conversation. Not as JSON.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn tell(&mut self, text: &str) -> io::Result<()> {
        if !self.is_json {
            self.note("", text)?;
        }
        self.out.flush()
    }

    /// Says why something that was asked for besides a turn cannot be; as JSON, as the event of an error.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn fail(&mut self, message: &str) -> io::Result<()> {
        self.show(&Event::Error { message: message.to_owned(), code: "input".to_owned() })
    }

    fn show_text(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::StepStart { .. } => {
                self.code.clear();
                Ok(())
            }
            Event::Token { text } => {
                self.has_text = true;
                self.write(Part::Text, text)
            }
            Event::CodeDelta { text } => {
                self.code.push_str(text);
                self.write(Part::Code, text)
            }
            Event::ApprovalRequired { code, .. } => self.show_code(code),
            Event::ApprovalResolved { decision: Verdict::Denied, .. } => self.note(NOTE_COLOUR, "[not run]"),
            Event::ExecStart { code, .. } => {
                self.show_code(code)?;
                self.shown = Shown::default();
                self.has_text = false;
                Ok(())
            }
            Event::ExecStdout { stream, text, is_late } => self.show_output(*stream, text, *is_late),
            Event::ExecDisplay { data } => {
                self.shown.displays.push(plain(data));
                self.show_display(data)
            }
            Event::ExecEnd { observation, value, .. } => {
                // Value and traceback are not printed by the code; what it printed is on the screen already.
                let rest = self.shown.rest_of(observation).to_owned();
                self.end_line()?;
                self.write(Part::Stdout, &rest)?;
                self.end_line()?;
                let told = self.figures.as_mut().and_then(|figures| figures.keep(value));
                told.map_or(Ok(()), |told| self.note("", &told))
            }
            Event::Answer { .. } if self.has_text => {
                self.has_text = false;
                self.end_line()
            }
            Event::Answer { text } => self.note(ANSWER_COLOUR, &format!("=> {text}")),
            Event::Hint { text } => self.note(NOTE_COLOUR, text),
            Event::ContextShortened { observations, .. } => {
                let text =
                    format!("[the context is full: {observations} old outputs are shown to the model shortened]");
                self.note(NOTE_COLOUR, &text)
            }
            Event::Error { message, .. } => self.note(ERROR_COLOUR, &format!("error: {message}")),
            Event::TurnEnd { end, .. } => match stop_text(*end) {
                "" => self.end_line(),
                text => self.note("", text),
            },
            Event::SolutionDelta { .. } => {
                self.has_text = false;
                Ok(())
            }
            Event::TurnStart { .. }
            | Event::CodeEnd { .. }
            | Event::ApprovalResolved { .. }
            | Event::Usage { .. }
            | Event::Undone { .. }
            | Event::Branched { .. }
            | Event::Updated { .. } => Ok(()),
        }
    }

    /// Code that will run, unless it stands there already.
    fn show_code(&mut self, code: &str) -> io::Result<()> {
        if self.code.trim() != code.trim() {
            self.end_line()?;
            self.write(Part::Code, code)?;
            code.clone_into(&mut self.code);
        }
        self.end_line()
    }

    fn show_output(&mut self, stream: Stream, text: &str, is_late: bool) -> io::Result<()> {
        match stream {
            _ if is_late => {
                if self.part != Part::Late {
                    self.note("", LATE)?;
                }
                self.write(Part::Late, text)
            }
            Stream::Stdout => {
                self.shown.stdout.push_str(text);
                self.write(Part::Stdout, text)
            }
            Stream::Stderr => {
                self.shown.stderr.push_str(text);
                self.write(Part::Stderr, text)
            }
        }
    }

    fn show_display(&mut self, data: &BTreeMap<String, String>) -> io::Result<()> {
        let kept = self.figures.as_mut().and_then(|figures| figures.keep(data));
        self.note("", &kept.unwrap_or_else(|| plain(data)))
    }

    /// Writes text that may go on later; a new part begins on a new line, without the blank lines around it.
    fn write(&mut self, part: Part, text: &str) -> io::Result<()> {
        let mut text = text;
        if self.part != part {
            text = text.trim_start_matches('\n');
            if text.is_empty() {
                return Ok(());
            }
            self.end_line()?;
            self.part = part;
            self.highlighter = Highlighter::default();
        }
        for line in text.split_inclusive('\n') {
            if part == Part::Code && self.is_coloured {
                self.code_line.push_str(line);
                if line.ends_with('\n') {
                    self.write_code_line()?;
                }
                continue;
            }
            if self.is_line_start && part == Part::Code {
                self.paint("", BAR)?;
            }
            self.paint(if part == Part::Stderr { ERROR_COLOUR } else { "" }, line)?;
            self.is_line_start = line.ends_with('\n');
        }
        Ok(())
    }

    /// A line of code in its colours, which are known when it is complete.
    fn write_code_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.code_line);
        self.paint(BAR_COLOUR, BAR)?;
        // What the model wrote loses its escape codes before it gets ours.
        let line = self.highlighter.line(&harmless(&line));
        self.out.write_all(line.as_bytes())?;
        self.is_line_start = line.ends_with('\n');
        Ok(())
    }

    fn note(&mut self, colour: &str, text: &str) -> io::Result<()> {
        self.end_line()?;
        self.paint(colour, text)?;
        self.is_line_start = false;
        self.end_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
        if !self.code_line.is_empty() {
            self.write_code_line()?;
        }
        if !self.is_line_start {
            self.out.write_all(b"\n")?;
            self.is_line_start = true;
        }
        self.part = Part::Nothing;
        Ok(())
    }

    fn paint(&mut self, colour: &str, text: &str) -> io::Result<()> {
        let text = harmless(text);
        if self.is_coloured && !colour.is_empty() {
            write!(self.out, "{colour}{text}{NO_COLOUR}")
        } else {
            self.out.write_all(text.as_bytes())
        }
    }
}

/// The plain text of a display, as it stands in the observation.
fn plain(data: &BTreeMap<String, String>) -> String {
    let kind = || data.keys().next().map(|mime| format!("[{mime}]"));
    data.get("text/plain").cloned().or_else(kind).unwrap_or_default()
}

/// What was shown of a cell while it ran.
#[derive(Debug, Default)]
struct Shown {
    stdout: String,
    stderr: String,
    displays: Vec<String>,
}

impl Shown {
    /// What of an observation was not shown yet. All of it where it is cut, and does not begin like that.
    fn rest_of<'a>(&self, text: &'a str) -> &'a str {
        let mut rest = text;
        for part in [&self.stdout, &self.stderr].into_iter().chain(&self.displays) {
            match rest.strip_prefix(part.trim_end_matches('\n')) {
                Some(after) => rest = after.trim_start_matches('\n'),
                None => return text,
            }
        }
        rest
    }
}

/// Text that cannot steer the terminal: models and their code write what they like, escape codes too. Nor can it turn
/// around what stands beside it, or hide.
pub fn harmless(text: &str) -> String {
    text.replace(disguises_text, "\u{fffd}")
}

fn stop_text(end: TurnEnd) -> &'static str {
    match end {
        TurnEnd::StepLimit => "[no answer: all steps are used]",
        TurnEnd::ExecutionLimit => "[no answer: no more code may run for this]",
        TurnEnd::TokenLimit => "[no answer: all tokens are used]",
        TurnEnd::TimeLimit => "[no answer: the time is over]",
        TurnEnd::Repeated => "[no answer: the same code came again and again]",
        TurnEnd::Interrupted => "[interrupted]",
        TurnEnd::Context => "[no answer: the conversation does not fit into the context of the model]",
        TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Error => "",
    }
}
