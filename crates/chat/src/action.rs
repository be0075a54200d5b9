//! What a model does with a reply: run code, propose a solution, or just answer.
//!
//! The protocol is text: a thought, then one `<execute>code</execute>` or `<solution>text</solution>`. The parser
//! takes the reply as it streams, however it is cut, and says when the first action is complete; generation can stop
//! there. A fenced ```` ```python ```` block counts as `<execute>` when the whole reply has no tag.

mod code;

use code::{clean, fenced_python};

/// What the model decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run this Python code.
    Execute(String),
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
    /// Text inside `<execute>`, verbatim.
    CodeDelta(String),
    /// The code to run, complete: without fence, blank lines around it, and common indentation.
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

/// Splits one reply into [`Piece`]s while it streams.
#[derive(Debug, Default)]
pub struct ActionParser {
    /// Everything that belongs to the reply, verbatim.
    text: String,
    /// Bytes of `text` that have been given out or recognised as a tag.
    read: usize,
    /// The tag that is open, and where its body starts in `text`.
    open: Option<(Tag, usize)>,
    action: Option<Action>,
}

impl ActionParser {
    /// A parser for one reply.
    pub fn new() -> ActionParser {
        ActionParser::default()
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
        if let Some((tag, body_start)) = self.open {
            self.read_body(tag, body_start, &mut pieces);
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
        let Some((tag, body_start)) = self.open else {
            self.give(self.text.len(), Piece::Thought, &mut pieces);
            self.finish_without_tag(&mut pieces);
            return pieces;
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

    fn read_thought(&mut self, pieces: &mut Vec<Piece>) {
        let rest = &self.text[self.read..];
        let first =
            Tag::ALL.into_iter().filter_map(|tag| Some((rest.find(tag.open())?, tag))).min_by_key(|found| found.0);
        if let Some((at, tag)) = first {
            let tag_start = self.read + at;
            self.give(tag_start, Piece::Thought, pieces);
            self.read = tag_start + tag.open().len();
            self.open = Some((tag, self.read));
            return;
        }
        let held = Tag::ALL.into_iter().map(|tag| cut_tag_bytes(rest, tag.open())).max().unwrap_or(0);
        self.give(self.text.len() - held, Piece::Thought, pieces);
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
        let Some((code, end)) = fenced_python(&self.text) else {
            self.action = Some(Action::Answer(self.text.trim().to_owned()));
            return;
        };
        pieces.push(Piece::ExecuteEnd(code.clone()));
        self.action = Some(Action::Execute(code));
        // What follows the block was written without seeing what the block prints.
        self.text.truncate(end);
        self.read = end;
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
