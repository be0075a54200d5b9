//! A turn as text that anybody can read, and back: thoughts as they are, code and what came of it each in a fence.
//!
//! The text has none of the agent's own tags: clients of the original would run what stands in them once more.

use codeact_agent::{AgentOptions, Event, TurnEnd};
use codeact_chat::Message;

const CODE: &str = "python";
const OUTPUT: &str = "output";

/// Writes the text of a turn while it runs.
#[derive(Default)]
pub(crate) struct Fences {
    /// The last two characters that were written.
    tail: String,
    /// Something was said since the last output.
    has_said: bool,
    is_started: bool,
}

impl Fences {
    /// What an event adds to the text.
    pub fn take(&mut self, event: &Event) -> String {
        match event {
            Event::Token { text } => self.say(text),
            Event::SolutionDelta { text } => self.say(text),
            Event::ExecStart { code, .. } => self.fence(CODE, code),
            Event::ExecEnd { observation, .. } => {
                let text = self.fence(OUTPUT, observation);
                self.has_said = false;
                text
            }
            Event::Answer { text } if !self.has_said => self.say(text),
            Event::Error { message, .. } => self.note(message),
            Event::TurnEnd { end, .. } => match ending(*end) {
                Some(text) => self.note(text),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    /// Something that neither the model nor Python said.
    pub fn note(&mut self, text: &str) -> String {
        let text = format!("{}[{}]", self.apart(), text.trim());
        self.written(text)
    }

    fn say(&mut self, text: &str) -> String {
        // A model often begins with a line break, and goes on with one behind a tag.
        let text = if self.has_said { text } else { text.trim_start() };
        if text.is_empty() {
            return String::new();
        }
        let before = if self.has_said { String::new() } else { self.apart() };
        self.has_said = true;
        self.written(format!("{before}{text}"))
    }

    fn fence(&mut self, kind: &str, inside: &str) -> String {
        let fence = "`".repeat(longest_run(inside).max(2) + 1);
        let inside = inside.trim_end_matches('\n');
        let text = format!("{}{fence}{kind}\n{inside}\n{fence}\n", self.apart());
        self.has_said = true;
        self.written(text)
    }

    /// What is missing to an empty line.
    fn apart(&self) -> String {
        let breaks = self.tail.chars().rev().take_while(|character| *character == '\n').count();
        if self.is_started { "\n".repeat(2usize.saturating_sub(breaks)) } else { String::new() }
    }

    fn written(&mut self, text: String) -> String {
        self.tail.push_str(&text);
        let cut = self.tail.chars().count().saturating_sub(2);
        self.tail = self.tail.chars().skip(cut).collect();
        self.is_started |= !text.is_empty();
        text
    }
}

fn ending(end: TurnEnd) -> Option<&'static str> {
    match end {
        TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Error => None,
        TurnEnd::StepLimit => Some("The limit of steps for one answer is reached."),
        TurnEnd::ExecutionLimit => Some("The limit of executions for one answer is reached."),
        TurnEnd::TokenLimit => Some("The limit of tokens for one answer is reached."),
        TurnEnd::TimeLimit => Some("The time for one answer is over."),
        TurnEnd::Repeated => Some("The same code gave the same result again and again."),
        TurnEnd::Interrupted => Some("The answer was interrupted."),
        TurnEnd::Context => Some("The conversation is longer than the context of the model."),
    }
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for byte in text.bytes() {
        run = if byte == b'`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// The messages that a text of [`Fences`] was made of, as the model would have written and read them. A text without
/// code is one message.
pub(crate) fn messages_of(text: &str, options: &AgentOptions) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = text;
    while let Some((thought, code, output, behind)) = first_action(rest) {
        let thought = thought.trim();
        let space = if thought.is_empty() { "" } else { "\n" };
        messages.push(Message::assistant(format!("{thought}{space}<execute>\n{code}\n</execute>")));
        let done = messages.len().div_ceil(2);
        let left = options.limits.steps_max.saturating_sub(done);
        messages.push(Message::user(options.profile.observation(output, left, options.limits.solutions_max)));
        rest = behind;
    }
    if !rest.trim().is_empty() {
        messages.push(Message::assistant(rest.trim()));
    }
    messages
}

/// The first code with its output: what stands before it, both, and what stands behind them.
fn first_action(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut from = 0;
    loop {
        let (start, code, behind) = fenced(text, CODE, from)?;
        let gap = text[behind..].trim_start_matches('\n');
        let next = text.len() - gap.len();
        match fenced(text, OUTPUT, next) {
            Some((at, output, end)) if at == next => {
                return Some((&text[..start], code, output, &text[end..]));
            }
            _ => from = behind,
        }
    }
}

/// The first fence of a kind that begins a line at `from` or behind: where it begins, what is in it, where it ends.
fn fenced<'a>(text: &'a str, kind: &str, from: usize) -> Option<(usize, &'a str, usize)> {
    let mut start = from;
    loop {
        let line = &text[start..];
        let width = line.len() - line.trim_start_matches('`').len();
        let head = format!("{kind}\n");
        let is_line = start == 0 || text.as_bytes()[start - 1] == b'\n';
        if is_line && width >= 3 && line[width..].starts_with(&head) {
            let inside = start + width + head.len();
            let close = format!("\n{}\n", "`".repeat(width));
            // The line break before the content counts, so that it may be empty.
            let whole = format!("{}\n", &text[inside - 1..]);
            let end = whole.find(&close)?;
            let content = text.get(inside..inside - 1 + end).unwrap_or_default();
            return Some((start, content, (inside - 1 + end + close.len()).min(text.len())));
        }
        start += line.find('\n')? + 1;
    }
}

#[cfg(test)]
mod tests {
    use codeact_agent::Profile;
    use codeact_sandbox::{CellEnd, State};

    use super::*;

    fn ran(code: &str, observation: &str) -> [Event; 2] {
        let end = Event::ExecEnd {
            step: 1,
            observation: observation.to_owned(),
            end: CellEnd::Finished,
            state: State::Kept,
            seconds: 0.0,
            value: Default::default(),
            error: None,
        };
        [Event::ExecStart { step: 1, code: code.to_owned() }, end]
    }

    fn text_of(events: &[Event]) -> String {
        let mut fences = Fences::default();
        events.iter().map(|event| fences.take(event)).collect()
    }

    #[test]
    fn a_turn_becomes_text_and_the_text_the_messages_again() {
        let said = |text: &str| Event::Token { text: text.to_owned() };
        let mut events = vec![said("\nI "), said("add.\n")];
        events.extend(ran("print('```')\nx = 1", "```"));
        events.push(said("\n"));
        events.extend(ran("x", ""));
        events.push(Event::SolutionDelta { text: " It is 1.".to_owned() });
        events.push(Event::Answer { text: "It is 1.".to_owned() });
        let text = text_of(&events);
        let expected = "I add.\n\n````python\nprint('```')\nx = 1\n````\n\n````output\n```\n````\n\n```python\nx\n```\n\n\
                        ```output\n\n```\n\nIt is 1.";
        assert_eq!(text, expected);
        let options = AgentOptions::new(Profile::quickstart());
        let messages = messages_of(&text, &options);
        let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents[0], "I add.\n<execute>\nprint('```')\nx = 1\n</execute>");
        assert_eq!(contents[2], "<execute>\nx\n</execute>");
        assert_eq!((contents.len(), contents[4]), (5, "It is 1."));
        assert!(contents[1].contains("```") && messages[1].role == codeact_chat::Role::User);
    }

    #[test]
    fn a_text_without_an_output_is_one_message() {
        let options = AgentOptions::new(Profile::quickstart());
        for text in
            ["Hello.", "Run this:\n```python\nx\n```\nor not", "```output\nx\n```", "```python\nx", "``python\n"]
        {
            let messages = messages_of(text, &options);
            assert_eq!(messages, [Message::assistant(text.trim())], "{text}");
        }
        assert_eq!(messages_of("  ", &options), []);
    }

    #[test]
    fn an_answer_that_was_not_streamed_is_said_and_limits_are_told() {
        let mut events = ran("x", "1").to_vec();
        events.push(Event::Answer { text: "One.".to_owned() });
        assert!(text_of(&events).ends_with("```\n\nOne."));
        let end = Event::TurnEnd {
            end: TurnEnd::StepLimit,
            steps: 1,
            executions: 1,
            prompt_tokens: 0,
            completion_tokens: 0,
            seconds: 0.0,
        };
        assert_eq!(text_of(&[end]), "[The limit of steps for one answer is reached.]");
    }
}
