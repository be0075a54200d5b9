//! Fenced blocks of a reply, line by line while it streams: which of its text is code.

use super::code::{clean, is_python};
use std::ops::Range;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Text like any other.
    Thought,
    /// A line of the first Python block.
    Code,
    /// A fence of that block.
    Fence,
}

/// The first ```` ```python ```` block of a text, as far as the text goes.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// Where the block begins, and the code in it.
    open: Option<(usize, usize)>,
    /// A block in another language is open.
    is_in_other: bool,
    /// The block with its fences, and the code in it.
    closed: Option<(Range<usize>, Range<usize>)>,
}

impl Fences {
    /// Takes the line that begins at byte `at`.
    pub fn read(&mut self, at: usize, line: &str) -> Line {
        if self.closed.is_some() {
            return Line::Thought;
        }
        let fence = line.trim().strip_prefix("```");
        match (fence, self.open) {
            (Some(""), Some((start, code_start))) => {
                self.closed = Some((start..at + line.trim_end().len(), code_start..at));
                Line::Fence
            }
            (_, Some(_)) => Line::Code,
            (Some(language), None) if !self.is_in_other && is_python(language) => {
                self.open = Some((at, at + line.len()));
                Line::Fence
            }
            (Some(language), None) => {
                self.is_in_other = !self.is_in_other || !language.is_empty();
                Line::Thought
            }
            (None, None) => Line::Thought,
        }
    }

    /// Whether the block is complete.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// What the rest of a line is whose beginning was no fence.
    pub fn inside(&self) -> Line {
        if self.open.is_some() && self.closed.is_none() { Line::Code } else { Line::Thought }
    }

    /// The code of the block in `text`, and where it stands, fences included; `None`: it was never closed.
    pub fn block(&self, text: &str) -> Option<(String, Range<usize>)> {
        let (place, code) = self.closed.clone()?;
        Some((clean(&format!("\n{}", &text[code])), place))
    }
}

/// Whether a line that begins like this may become a fence.
pub(super) fn may_be_fence(beginning: &str) -> bool {
    let beginning = beginning.trim_start();
    beginning.starts_with("```") || "```".starts_with(beginning)
}
