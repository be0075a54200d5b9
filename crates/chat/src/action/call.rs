//! Where a call of a tool begins and ends that is not Python: `Action: {"tool": .., "args": ..}` or `Action: tool, ..`.

use super::ActionFormat;

/// Stands before a call, at the beginning of a line.
pub(super) const MARK: &str = "Action:";
/// May stand after it, as in the prompts of the paper's comparison.
pub(super) const END_MARK: &str = "End Action";

/// Reads a call byte by byte until it is complete.
#[derive(Debug, Clone)]
pub(super) struct CallScan {
    format: ActionFormat,
    /// Braces and brackets that are open.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// Something other than white space or the beginning of a fence was there.
    has_begun: bool,
    /// Only what may stand around a fence was on this line.
    is_fence_line: bool,
}

impl CallScan {
    pub(super) fn new(format: ActionFormat) -> CallScan {
        CallScan { format, depth: 0, is_in_string: false, is_escaped: false, has_begun: false, is_fence_line: false }
    }

    /// How many bytes of `text`, which goes on from the last one, belong to the call; `None`: all, and it goes on.
    pub(super) fn read(&mut self, text: &str) -> Option<usize> {
        text.bytes().position(|byte| self.is_end(byte)).map(|last| last + 1)
    }

    /// Whether the call is complete with this byte.
    fn is_end(&mut self, byte: u8) -> bool {
        if self.is_in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            return false;
        }
        let is_json = self.format == ActionFormat::Json;
        match byte {
            b'\n' if self.depth == 0 => return std::mem::take(&mut self.has_begun) && !self.is_fence_line,
            b'"' if is_json && self.depth > 0 => self.is_in_string = true,
            b'{' | b'[' if is_json => self.depth += 1,
            b'}' | b']' if is_json && self.depth > 0 => {
                self.depth -= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        if self.depth == 0 && !byte.is_ascii_whitespace() {
            self.is_fence_line = byte == b'`' && !self.has_begun || self.is_fence_line && self.has_begun;
            self.has_begun = true;
        }
        false
    }
}

/// Where a line of `text` begins with [`MARK`]: the first byte of the mark, at or after `from`.
pub(super) fn find_mark(text: &str, from: usize) -> Option<usize> {
    text[from..].match_indices(MARK).map(|(at, _)| from + at).find(|at| is_line_start(text, *at))
}

/// How many bytes at the end of `text` may be the beginning of a line's [`MARK`].
pub(super) fn cut_mark_bytes(text: &str, from: usize) -> usize {
    let count = super::cut_tag_bytes(&text[from..], MARK);
    if is_line_start(text, text.len() - count) { count } else { 0 }
}

fn is_line_start(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_none_or(|before| before.trim().is_empty())
}

/// The call without what may stand around it: white space, a fence, and [`END_MARK`].
pub(super) fn bare(body: &str) -> &str {
    let body = body.trim();
    let body = body.strip_suffix(END_MARK).unwrap_or(body).trim_end();
    let Some(inside) = body.strip_prefix("```") else { return body };
    let inside = inside.strip_prefix("json").unwrap_or(inside);
    inside.strip_suffix("```").unwrap_or(inside).trim()
}

/// A JSON object with the key `tool` that is the whole of `text`, or of the first closed fence in it: what it is, and
/// the byte after it.
pub(super) fn unmarked_json(text: &str) -> Option<(String, usize)> {
    let is_call = |text: &str| text.starts_with('{') && text.ends_with('}') && text.contains("\"tool\"");
    let whole = text.trim();
    if is_call(whole) {
        return Some((whole.to_owned(), text.trim_end().len()));
    }
    let open = text.find("```json")?;
    let start = open + "```json".len();
    let end = start + text[start..].find("```")?;
    let inside = text[start..end].trim();
    is_call(inside).then(|| (inside.to_owned(), end + "```".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(format: ActionFormat, text: &str) -> Option<usize> {
        CallScan::new(format).read(text)
    }

    #[test]
    fn a_call_ends_with_its_object_or_its_line() {
        let object = r#" {"tool": "f", "args": {"a": "}\"}", "b": [{}]}}"#;
        assert_eq!(end(ActionFormat::Json, &format!("{object} and more")), Some(object.len()));
        assert_eq!(end(ActionFormat::Json, "\n```json\n{\"a\": 1}\n```"), Some("\n```json\n{\"a\": 1}".len()));
        assert_eq!(end(ActionFormat::Json, " f(x)\nmore"), Some(6));
        assert_eq!(end(ActionFormat::Json, r#" {"tool": "f""#), None);
        assert_eq!(end(ActionFormat::Json, "\n\n"), None);
        assert_eq!(end(ActionFormat::Text, " f, {\"a\": 1}, x\nmore"), Some(16));
        assert_eq!(end(ActionFormat::Text, "\n f, 1"), None);
    }

    #[test]
    fn the_mark_counts_at_the_beginning_of_a_line() {
        assert_eq!(find_mark("Action: f", 0), Some(0));
        assert_eq!(find_mark("No Action: f\n  Action: g", 0), Some(15));
        assert_eq!(find_mark("an Action: f", 0), None);
        assert_eq!(cut_mark_bytes("x\nAct", 0), 3);
        assert_eq!(cut_mark_bytes("x Act", 0), 0);
    }

    #[test]
    fn what_stands_around_a_call_is_taken_off() {
        assert_eq!(bare(" f, 1 End Action\n"), "f, 1");
        assert_eq!(bare("\n```json\n{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(bare("```\n{}\n```"), "{}");
    }
}
