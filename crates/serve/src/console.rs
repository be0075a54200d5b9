//! Events for a terminal: thoughts as they come, code behind a bar, output as it is printed, and the answer.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codeact_agent::{Event, TurnEnd};
use codeact_sandbox::Stream;

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
    /// What was shown already of the running cell.
    shown: Shown,
    /// Whether the answer stands on the screen already, as the text of the reply.
    has_text: bool,
}

const BAR: &str = "│ ";
const CODE_COLOUR: &str = "\x1b[36m";
const ERROR_COLOUR: &str = "\x1b[31m";
const ANSWER_COLOUR: &str = "\x1b[1;32m";
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
            shown: Shown::default(),
            has_text: false,
        }
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

    /// Shows why a turn failed, as `error: ..`; as JSON, `{"type": "error", "message": ..}`.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn fail(&mut self, message: &str) -> io::Result<()> {
        if self.is_json {
            let event = serde_json::json!({"type": "error", "message": message});
            writeln!(self.out, "{event}")?;
        } else {
            self.note(ERROR_COLOUR, &format!("error: {message}"))?;
        }
        self.out.flush()
    }

    fn show_text(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Token { text } => {
                self.has_text = true;
                self.write(Part::Text, text)
            }
            Event::CodeDelta { text } => self.write(Part::Code, text),
            Event::ExecStart { code, .. } => {
                if self.part != Part::Code {
                    self.write(Part::Code, code)?;
                }
                self.shown = Shown::default();
                self.has_text = false;
                self.end_line()
            }
            Event::ExecStdout { text, is_late: true, .. } => {
                if self.part != Part::Late {
                    self.note("", LATE)?;
                }
                self.write(Part::Late, text)
            }
            Event::ExecStdout { stream: Stream::Stdout, text, .. } => {
                self.shown.stdout.push_str(text);
                self.write(Part::Stdout, text)
            }
            Event::ExecStdout { stream: Stream::Stderr, text, .. } => {
                self.shown.stderr.push_str(text);
                self.write(Part::Stderr, text)
            }
            Event::ExecDisplay { data } => {
                self.shown.displays.push(plain(data));
                self.note("", &picture(data).unwrap_or_else(|| plain(data)))
            }
            Event::ExecEnd { observation, .. } => {
                // Value and traceback are not printed by the code; what it printed is on the screen already.
                let rest = self.shown.rest_of(observation).to_owned();
                self.end_line()?;
                self.write(Part::Stdout, &rest)?;
                self.end_line()
            }
            Event::Answer { .. } if self.has_text => {
                self.has_text = false;
                self.end_line()
            }
            Event::Answer { text } => self.note(ANSWER_COLOUR, &format!("=> {text}")),
            Event::Hint { text } => self.note("", text),
            Event::Error { message, .. } => self.note(ERROR_COLOUR, &format!("error: {message}")),
            Event::TurnEnd { end, .. } => match stop_text(*end) {
                "" => self.end_line(),
                text => self.note("", text),
            },
            Event::SolutionDelta { .. } => {
                self.has_text = false;
                Ok(())
            }
            _ => Ok(()),
        }
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
        }
        for line in text.split_inclusive('\n') {
            if self.is_line_start && part == Part::Code {
                self.paint(CODE_COLOUR, BAR)?;
            }
            let colour = match part {
                Part::Code => CODE_COLOUR,
                Part::Stderr => ERROR_COLOUR,
                Part::Nothing | Part::Text | Part::Stdout | Part::Late => "",
            };
            self.paint(colour, line)?;
            self.is_line_start = line.ends_with('\n');
        }
        Ok(())
    }

    fn note(&mut self, colour: &str, text: &str) -> io::Result<()> {
        self.end_line()?;
        self.paint(colour, text)?;
        self.is_line_start = false;
        self.end_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
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

/// What a terminal shows in place of a picture.
fn picture(data: &BTreeMap<String, String>) -> Option<String> {
    let png = data.get("image/png")?;
    // Width and height stand in the first 24 bytes.
    let head = BASE64_STANDARD.decode(png.get(..32)?).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    Some(format!("[figure {}x{} PNG]", number(16)?, number(20)?))
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

/// Text that cannot steer the terminal: models and their code write what they like, escape codes too.
fn harmless(text: &str) -> String {
    let steers = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    text.replace(steers, "\u{fffd}")
}

fn stop_text(end: TurnEnd) -> &'static str {
    match end {
        TurnEnd::StepLimit => "[no answer: all steps are used]",
        TurnEnd::ExecutionLimit => "[no answer: no more code may run]",
        TurnEnd::TokenLimit => "[no answer: all tokens are used]",
        TurnEnd::TimeLimit => "[no answer: the time is over]",
        TurnEnd::Repeated => "[no answer: the same code came again and again]",
        TurnEnd::Interrupted => "[interrupted]",
        TurnEnd::Context => "[no answer: the context is full]",
        TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Error => "",
    }
}

#[cfg(test)]
mod tests {
    use codeact_sandbox::{CellEnd, State};

    use super::*;

    fn shown(events: &[Event], is_json: bool) -> String {
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, is_json, false);
        events.iter().for_each(|event| console.show(event).unwrap());
        String::from_utf8(out).unwrap()
    }

    fn observation(text: &str, end: CellEnd) -> Event {
        let (value, error) = (BTreeMap::new(), None);
        Event::ExecEnd { step: 1, observation: text.into(), end, state: State::Kept, seconds: 0.1, value, error }
    }

    fn ended(end: TurnEnd) -> Event {
        let (steps, executions, prompt_tokens, completion_tokens, seconds) = (1, 1, 0, 0, 0.1);
        Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds }
    }

    fn turn() -> Vec<Event> {
        let text = |text: &str| text.to_owned();
        vec![
            Event::Token { text: text("I ad") },
            Event::Token { text: text("d.\n") },
            Event::CodeDelta { text: text("\nx = 1\npri") },
            Event::CodeDelta { text: text("nt(x)\nx") },
            Event::ExecStart { code: text("x = 1\nprint(x)\nx"), step: 1 },
            Event::ExecStdout { stream: Stream::Stdout, text: text("1\n"), is_late: false },
            observation("1\n1", CellEnd::Finished),
            Event::Token { text: text("The answer is ") },
            Event::SolutionDelta { text: text("1") },
            Event::Answer { text: text("1") },
        ]
    }

    #[test]
    fn a_turn_reads_as_thought_code_output_value_answer() {
        let expected = "I add.\n│ x = 1\n│ print(x)\n│ x\n1\n1\nThe answer is \n=> 1\n";
        assert_eq!(shown(&turn(), false), expected);
    }

    #[test]
    fn json_is_one_event_a_line() {
        let text = shown(&turn(), true);
        let types: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(types.len(), turn().len());
        assert_eq!((types[0].as_str(), types[9].as_str()), ("token", "answer"));
    }

    #[test]
    fn what_a_model_writes_cannot_steer_the_terminal() {
        let evil = "a\tb\x1b]0;title\x07\rc\u{9b}2J\x7f\n";
        let events = [
            Event::Token { text: evil.into() },
            Event::ExecStdout { stream: Stream::Stderr, text: evil.into(), is_late: false },
            Event::ExecDisplay { data: [("text/plain".into(), evil.into())].into() },
            Event::Hint { text: evil.into() },
        ];
        let text = shown(&events, false);
        assert!(text.chars().all(|character| !character.is_control() || "\n\t".contains(character)), "{text:?}");
        assert!(text.starts_with("a\tb\u{fffd}]0;title\u{fffd}\u{fffd}c\u{fffd}2J\u{fffd}\n"), "{text:?}");
    }

    #[test]
    fn a_failed_turn_says_why() {
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, false, false);
        console.show(&Event::Token { text: "I ad".into() }).unwrap();
        console.fail("the engine has stopped").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "I ad\nerror: the engine has stopped\n");
    }

    #[test]
    fn a_plain_reply_is_not_shown_twice() {
        let events = [Event::Token { text: "Hello!".into() }, Event::Answer { text: "Hello!".into() }];
        assert_eq!(shown(&events, false), "Hello!\n");
    }

    #[test]
    fn a_traceback_follows_what_was_printed() {
        let events = [
            Event::ExecStart { code: "1/0".into(), step: 1 },
            observation("Traceback (most recent call last):\nZeroDivisionError: division by zero", CellEnd::Raised),
            ended(TurnEnd::StepLimit),
        ];
        let text = shown(&events, false);
        assert!(text.starts_with("│ 1/0\nTraceback"), "{text}");
        assert!(text.ends_with("by zero\n[no answer: all steps are used]\n"), "{text}");
    }

    #[test]
    fn figures_are_named_and_nothing_is_shown_twice() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAYAAAA10dzk"; // the beginning of one of 640 by 480
        let data = [("image/png", png), ("text/plain", "<Figure size 640x480>")].map(|(k, v)| (k.into(), v.into()));
        let print = |stream, text: &str| Event::ExecStdout { stream, text: text.into(), is_late: false };
        let events = [
            Event::ExecStart { code: "draw()".into(), step: 1 },
            print(Stream::Stderr, "careful\n"),
            print(Stream::Stdout, "drawing\n"),
            Event::ExecDisplay { data: data.into() },
            print(Stream::Stdout, "drawn"),
            observation("drawing\ndrawn\ncareful\n<Figure size 640x480>\n7", CellEnd::Finished),
        ];
        assert_eq!(shown(&events, false), "│ draw()\ncareful\ndrawing\n[figure 640x480 PNG]\ndrawn\n7\n");
    }

    #[test]
    fn late_output_is_marked_and_belongs_to_no_observation() {
        let late = |text: &str| Event::ExecStdout { stream: Stream::Stdout, text: text.into(), is_late: true };
        let events = [
            Event::ExecStart { code: "1".into(), step: 2 },
            late("tick\n"),
            late("tock\n"),
            observation("1", CellEnd::Finished),
        ];
        assert_eq!(shown(&events, false), format!("│ 1\n{LATE}\ntick\ntock\n1\n"));
    }
}
