//! What a model does with a reply: run code, propose a solution, or just answer.
//!
//! The protocol is text: a thought, then one `<execute>code</execute>` or `<solution>text</solution>`. The parser
//! takes the reply as it streams, however it is cut, and says when the first action is complete; generation can stop
//! there. A fenced ```` ```python ```` block counts as `<execute>` when the whole reply has no tag; what is in it comes as
//! code while it streams.
//!
//! In the other two formats that the CodeAct paper compares with code, `Action:` at the beginning of a line stands
//! before the call of one tool.

mod code; // code as models write it, made ready to run

mod fence; // fenced blocks, line by line

mod call; // where a call begins and ends that is not Python

use call::CallScan;
use code::clean;
use fence::{Fences, Line, may_be_fence};

/// How a model writes what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionFormat {
    /// Python in an `<execute>` tag.
    #[default]
    Code,
    /// `Action: {"tool": "name", "args": {"parameter": value}}`.
    Json,
    /// `Action: name, value, value` on one line.
    Text,
}

impl ActionFormat {
    /// The names that [`ActionFormat::named`] knows.
    pub const NAMES: [&'static str; 3] = ["code", "json", "text"];

    /// The format of this name.
    pub fn named(name: &str) -> Option<ActionFormat> {
        [ActionFormat::Code, ActionFormat::Json, ActionFormat::Text].into_iter().find(|format| format.name() == name)
    }

    /// Its name, as in `codeact.json`.
    pub fn name(self) -> &'static str {
        ActionFormat::NAMES[self as usize]
    }

    /// What ends a reply: nothing that follows belongs to its action.
    pub fn stops(self) -> &'static [&'static str] {
        match self {
            ActionFormat::Code => &["</execute>", "</solution>"],
            ActionFormat::Json | ActionFormat::Text => &["End Action", "</solution>"],
        }
    }
}

/// What the model decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run this Python code.
    Execute(String),
    /// Call a tool: what stands after `Action:`, as it was written.
    Call(String),
    /// Propose this, trimmed, as the solution of the task.
    Solution(String),
    /// Neither: the reply itself, trimmed, is the answer.
    Answer(String),
}

/// A part of a reply, in order. How long deltas are depends on how the text arrived; joined, they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text outside of tags.
    Thought(String),
    /// Text inside `<execute>`, of the first Python fence, or of a call, verbatim.
    CodeDelta(String),
    /// The code to run, complete: without fence, blank lines around it, and common indentation. Or the call.
    ExecuteEnd(String),
    /// Text inside `<solution>`, verbatim.
    SolutionDelta(String),
    /// The solution, complete and trimmed.
    SolutionEnd(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Execute,
    Solution,
}

impl Tag {
    const ALL: [Tag; 2] = [Tag::Execute, Tag::Solution];

    fn open(self) -> &'static str {
        match self {
            Tag::Execute => "<execute>",
            Tag::Solution => "<solution>",
        }
    }

    fn close(self) -> &'static str {
        match self {
            Tag::Execute => "</execute>",
            Tag::Solution => "</solution>",
        }
    }

    fn delta(self, text: &str) -> Piece {
        match self {
            Tag::Execute => Piece::CodeDelta(text.to_owned()),
            Tag::Solution => Piece::SolutionDelta(text.to_owned()),
        }
    }
}

/// What is open.
#[derive(Debug, Clone)]
enum Open {
    Tag(Tag),
    Call(CallScan),
}

/// Where a thought ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpTo {
    /// Nowhere yet.
    Now,
    /// Where an action begins.
    Action,
    /// With the reply.
    End,
}

/// Splits one reply into [`Piece`]s while it streams.
#[derive(Debug, Default)]
pub struct ActionParser {
    format: ActionFormat,
    /// Everything that belongs to the reply, verbatim.
    text: String,
    /// Bytes of `text` that have been given out or recognised as a tag.
    read: usize,
    /// What is open, and where its body starts in `text`.
    open: Option<(Open, usize)>,
    /// The fenced blocks so far.
    fences: Fences,
    /// Where in `text` the action stands, tags or fence included.
    place: usize,
    action: Option<Action>,
}

impl ActionParser {
    /// A parser for one reply in this format.
    pub fn new(format: ActionFormat) -> ActionParser {
        ActionParser { format, ..ActionParser::default() }
    }

    /// Takes the next text and returns what is certain now. Text that may be the start of a tag is held back. Text
    /// after the first action is ignored: it is not part of the reply.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.action.is_some() {
            return pieces;
        }
        self.text.push_str(text);
        if self.open.is_none() {
            self.read_thought(&mut pieces);
        }
        match self.open.take() {
            Some((Open::Tag(tag), body_start)) => {
                self.open = Some((Open::Tag(tag), body_start));
                self.read_body(tag, body_start, &mut pieces);
            }
            Some((Open::Call(scan), body_start)) => self.read_call(scan, body_start, &mut pieces),
            None => {}
        }
        pieces
    }

    /// Ends the reply. An open tag is closed, as when generation stopped at `</execute>` or ran out of tokens; a
    /// fenced Python block becomes the action if there was no tag. Afterwards [`ActionParser::action`] is there.
    pub fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.action.is_some() {
            return pieces;
        }
        let (tag, body_start) = match self.open.take() {
            None => {
                self.give_thought(self.text.len(), UpTo::End, &mut pieces);
                self.finish_without_tag(&mut pieces);
                return pieces;
            }
            Some((Open::Call(_), body_start)) => {
                self.end_call(body_start, &mut pieces);
                return pieces;
            }
            Some((Open::Tag(tag), body_start)) => (tag, body_start),
        };
        let kept = body_start + without_cut_tag(&self.text[body_start..], tag.close()).len();
        self.text.truncate(kept.max(self.read));
        self.give(self.text.len(), |text| tag.delta(&text), &mut pieces);
        let body_end = self.text.len();
        self.text.push_str(tag.close());
        self.end_action(tag, body_start..body_end, &mut pieces);
        pieces
    }

    /// Whether the first action is complete and generation can stop.
    pub fn is_complete(&self) -> bool {
        self.action.is_some()
    }

    /// What the model decided; `None` before the action is complete or [`ActionParser::finish`] was called.
    pub fn action(&self) -> Option<&Action> {
        self.action.as_ref()
    }

    /// The reply for the transcript, verbatim: up to and with the closing tag, which is put back when it was missing.
    pub fn full_text(&self) -> &str {
        &self.text
    }

    /// The reply for the transcript, with `code` in the place of what it runs.
    pub fn text_with(&self, code: &str) -> String {
        format!("{}{}\n{code}\n{}", &self.text[..self.place], Tag::Execute.open(), Tag::Execute.close())
    }

    fn read_thought(&mut self, pieces: &mut Vec<Piece>) {
        let rest = &self.text[self.read..];
        let tags = self.tags().iter().copied();
        let first = tags.clone().filter_map(|tag| Some((rest.find(tag.open())?, tag))).min_by_key(|found| found.0);
        let tag_start = first.map(|(at, tag)| (self.read + at, tag));
        let is_code = self.format == ActionFormat::Code;
        let call_start = if is_code { None } else { call::find_mark(&self.text, self.read) };
        match (tag_start, call_start) {
            (tag, Some(start)) if tag.is_none_or(|(tag_start, _)| start < tag_start) => {
                self.give_thought(start, UpTo::Action, pieces);
                self.read = start + call::MARK.len();
                self.place = start;
                self.open = Some((Open::Call(CallScan::new(self.format)), self.read));
            }
            (Some((start, tag)), _) => {
                self.give_thought(start, UpTo::Action, pieces);
                self.read = start + tag.open().len();
                self.place = start;
                self.open = Some((Open::Tag(tag), self.read));
            }
            (None, _) => {
                let held = tags.map(|tag| cut_tag_bytes(rest, tag.open())).max().unwrap_or(0);
                let held = if is_code { held } else { held.max(call::cut_mark_bytes(&self.text, self.read)) };
                self.give_thought(self.text.len() - held, UpTo::Now, pieces);
            }
        }
    }

    /// The tags that mean something in this format.
    fn tags(&self) -> &'static [Tag] {
        match self.format {
            ActionFormat::Code => &Tag::ALL,
            ActionFormat::Json | ActionFormat::Text => &[Tag::Solution],
        }
    }

    fn read_call(&mut self, mut scan: CallScan, body_start: usize, pieces: &mut Vec<Piece>) {
        match scan.read(&self.text[self.read..]) {
            Some(bytes) => {
                self.text.truncate(self.read + bytes);
                self.end_call(body_start, pieces);
            }
            None => {
                self.give(self.text.len(), Piece::CodeDelta, pieces);
                self.open = Some((Open::Call(scan), body_start));
            }
        }
    }

    fn end_call(&mut self, body_start: usize, pieces: &mut Vec<Piece>) {
        self.give(self.text.len(), Piece::CodeDelta, pieces);
        let call = call::bare(&self.text[body_start..]).to_owned();
        pieces.push(Piece::ExecuteEnd(call.clone()));
        self.action = Some(Action::Call(call));
    }

    fn read_body(&mut self, tag: Tag, body_start: usize, pieces: &mut Vec<Piece>) {
        let rest = &self.text[self.read..];
        let Some(at) = rest.find(tag.close()) else {
            // White space before a cut closing tag is held too: `finish` decides whether the tag was one.
            let held = rest.len() - without_cut_tag(rest, tag.close()).len();
            let held = held.max(cut_tag_bytes(rest, tag.close()));
            self.give(self.text.len() - held, |text| tag.delta(&text), pieces);
            return;
        };
        let body_end = self.read + at;
        self.give(body_end, |text| tag.delta(&text), pieces);
        self.text.truncate(body_end + tag.close().len());
        self.end_action(tag, body_start..body_end, pieces);
    }

    fn end_action(&mut self, tag: Tag, body: std::ops::Range<usize>, pieces: &mut Vec<Piece>) {
        self.read = self.text.len();
        let body = &self.text[body];
        let (piece, action) = match tag {
            Tag::Execute => (Piece::ExecuteEnd(clean(body)), Action::Execute(clean(body))),
            Tag::Solution => {
                let solution = body.trim().to_owned();
                (Piece::SolutionEnd(solution.clone()), Action::Solution(solution))
            }
        };
        pieces.push(piece);
        self.action = Some(action);
    }

    fn finish_without_tag(&mut self, pieces: &mut Vec<Piece>) {
        let found = match self.format {
            ActionFormat::Code => self.fences.block(&self.text),
            ActionFormat::Json => call::unmarked_json(&self.text).map(|(call, end)| (call, 0..end)),
            ActionFormat::Text => None,
        };
        let Some((code, place)) = found else {
            self.action = Some(Action::Answer(self.text.trim().to_owned()));
            return;
        };
        pieces.push(Piece::ExecuteEnd(code.clone()));
        self.action = Some(match self.format {
            ActionFormat::Code => Action::Execute(code),
            ActionFormat::Json | ActionFormat::Text => Action::Call(code),
        });
        // What follows the block was written without seeing what the block prints.
        self.text.truncate(place.end);
        (self.read, self.place) = (place.end, place.start);
    }

    /// Gives out `text[read..end]` outside of tags: a thought, or code where it stands in a Python fence. Held back is
    /// what may become a fence, and what follows a closed one: without a tag behind it, it does not belong to the reply.
    fn give_thought(&mut self, end: usize, up_to: UpTo, pieces: &mut Vec<Piece>) {
        while self.format == ActionFormat::Code && self.read < end {
            if self.fences.is_closed() && up_to != UpTo::Action {
                return;
            }
            let is_line_start = self.read == 0 || self.text.as_bytes()[self.read - 1] == b'\n';
            let rest = &self.text[self.read..end];
            let line_end = rest.find('\n').map(|at| at + 1);
            let line = &rest[..line_end.unwrap_or(rest.len())];
            let may_become_fence = is_line_start && line_end.is_none() && may_be_fence(line);
            if may_become_fence && up_to == UpTo::Now {
                return;
            }
            let line_is = match is_line_start && (line_end.is_some() || may_become_fence) {
                true => self.fences.read(self.read, line),
                false => self.fences.inside(),
            };
            let line_end = self.read + line.len();
            match line_is {
                Line::Thought => self.give(line_end, Piece::Thought, pieces),
                Line::Code => self.give(line_end, Piece::CodeDelta, pieces),
                Line::Fence => self.read = line_end,
            }
        }
        self.give(end, Piece::Thought, pieces);
    }

    /// Gives out `text[read..end]`, if that is anything.
    fn give(&mut self, end: usize, piece: impl Fn(String) -> Piece, pieces: &mut Vec<Piece>) {
        if end > self.read {
            pieces.push(piece(self.text[self.read..end].to_owned()));
            self.read = end;
        }
    }
}

/// How many bytes at the end of `text` are a beginning of `tag`, but not all of it.
fn cut_tag_bytes(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|&count| text.ends_with(&tag[..count])).unwrap_or(0)
}

/// `text` without a closing tag that was cut off at its end. A lone `<` is code, not a tag.
fn without_cut_tag<'text>(text: &'text str, close: &str) -> &'text str {
    let trimmed = text.trim_end();
    match cut_tag_bytes(trimmed, close) {
        0 | 1 => text,
        count => &trimmed[..trimmed.len() - count],
    }
}
