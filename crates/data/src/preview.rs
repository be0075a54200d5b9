//! One conversation as the model sees it, with what is learned made visible: marks, colours, a list of ids, or a page.
//!
//! Contents come from strangers. Characters that command a terminal, that turn the direction of text around or that are
//! not seen are shown as symbols; a page has every character escaped.

use std::fmt::Write;

use codeact_chat::{ChatFormat, Example, disguises_text};

/// Stand around learned text where there are no colours.
pub const MARKS: (&str, &str) = ("⟦", "⟧");

const COLORS: (&str, &str, &str) = ("\x1b[32m", "\x1b[2m", "\x1b[0m");

/// How a conversation is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Learned text between [`MARKS`].
    Marks,
    /// Learned text in green, the rest dim.
    Colors,
}

/// Tokens that are shown as one: one, or several that make up one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The ids, at least one.
    pub ids: Vec<u32>,
    /// Their text, made harmless.
    pub text: String,
    /// Whether they are learned.
    pub is_target: bool,
    /// Whether this is a control token.
    pub is_control: bool,
}

/// A conversation for a page.
#[derive(Debug)]
pub struct Shown {
    /// Says which one it is.
    pub title: String,
    /// Its tokens and mask.
    pub example: Example,
}

/// Shows examples of one chat format.
#[derive(Debug)]
pub struct Preview<'a> {
    chat: &'a ChatFormat,
    bytes: Vec<Option<Vec<u8>>>,
}

impl<'a> Preview<'a> {
    /// Reads the vocabulary.
    pub fn new(chat: &'a ChatFormat) -> Preview<'a> {
        Preview { chat, bytes: chat.token_bytes() }
    }

    /// The tokens of an example in order.
    pub fn pieces(&self, example: &Example) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut ids, mut pending) = (Vec::new(), Vec::new());
        let mut flush = |ids: &mut Vec<u32>, bytes: &mut Vec<u8>, is_target| {
            if !ids.is_empty() {
                let text = harmless(&String::from_utf8_lossy(bytes));
                pieces.push(Piece { ids: std::mem::take(ids), text, is_target, is_control: false });
                bytes.clear();
            }
        };
        let tokens = || example.token_ids.iter().zip(&example.is_target);
        let mut controls = Vec::new();
        let mut was_target = false;
        for (index, (&id, &is_target)) in tokens().enumerate() {
            if is_target != was_target {
                flush(&mut ids, &mut pending, was_target);
            }
            was_target = is_target;
            let bytes = self.bytes.get(id as usize).and_then(Option::as_ref);
            match bytes {
                None => {
                    flush(&mut ids, &mut pending, is_target);
                    // Its place among the pieces is found by its id below.
                    controls.push(index);
                    ids.push(id);
                    let text = self.chat.decode(&[id], false);
                    pending.extend(if text.is_empty() { format!("<{id}>").into_bytes() } else { text.into_bytes() });
                    flush(&mut ids, &mut pending, is_target);
                }
                Some(bytes) => {
                    ids.push(id);
                    pending.extend(bytes);
                    // A character in the middle waits for its other bytes.
                    let is_open = std::str::from_utf8(&pending).is_err_and(|error| error.error_len().is_none());
                    if !is_open {
                        flush(&mut ids, &mut pending, is_target);
                    }
                }
            }
        }
        flush(&mut ids, &mut pending, was_target);
        let mut at = 0;
        for piece in &mut pieces {
            piece.is_control = controls.binary_search(&at).is_ok();
            at += piece.ids.len();
        }
        pieces
    }

    /// The text of an example, what is learned marked or coloured.
    pub fn text(&self, example: &Example, style: Style) -> String {
        let mut text = String::new();
        let mut was_target = None;
        for piece in self.pieces(example) {
            if was_target != Some(piece.is_target) {
                match (style, piece.is_target, was_target) {
                    (Style::Marks, true, _) => text.push_str(MARKS.0),
                    (Style::Marks, false, Some(true)) => text.push_str(MARKS.1),
                    (Style::Marks, false, _) => {}
                    (Style::Colors, true, _) => text.extend([COLORS.2, COLORS.0]),
                    (Style::Colors, false, _) => text.extend([COLORS.2, COLORS.1]),
                }
                was_target = Some(piece.is_target);
            }
            text.push_str(&piece.text);
        }
        match style {
            Style::Marks if was_target == Some(true) => text.push_str(MARKS.1),
            Style::Colors => text.push_str(COLORS.2),
            Style::Marks => {}
        }
        text
    }

    /// A line for each token: position, id, `+` when it is learned, and its text.
    pub fn ids(&self, example: &Example) -> String {
        let mut text = String::new();
        let mut at = 0;
        for piece in self.pieces(example) {
            let mark = if piece.is_target { '+' } else { ' ' };
            for (index, id) in piece.ids.iter().enumerate() {
                // Of a character over several tokens, the last one shows it.
                let shown = if index + 1 == piece.ids.len() { format!("{:?}", piece.text) } else { "..".to_owned() };
                let _ = writeln!(text, "{at:>6} {id:>7} {mark} {shown}");
                at += 1;
            }
        }
        text
    }

    /// A page that needs nothing from elsewhere; the id of each token shows under the mouse.
    pub fn html(&self, heading: &str, shown: &[Shown]) -> String {
        let mut page = format!("{HEAD}<h1>{}</h1>\n{LEGEND}", escaped(heading));
        for Shown { title, example } in shown {
            let targets = example.is_target.iter().filter(|target| **target).count();
            let _ = write!(
                page,
                "<section><h2>{}</h2><p>{} tokens, {targets} learned</p>\n<pre>",
                escaped(title),
                example.token_ids.len()
            );
            for piece in self.pieces(example) {
                let ids: Vec<String> = piece.ids.iter().map(u32::to_string).collect();
                let class = match (piece.is_target, piece.is_control) {
                    (true, true) => "t c",
                    (true, false) => "t",
                    (false, true) => "c",
                    (false, false) => "n",
                };
                let _ = write!(page, "<i class=\"{class}\" title=\"{}\">{}</i>", ids.join(" "), escaped(&piece.text));
            }
            page.push_str("</pre></section>\n");
        }
        page.push_str("</body></html>\n");
        page
    }
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<title>What is learned</title>\n<style>\n\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }\n\
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }\n\
h2 { font-size: 1rem; overflow-wrap: anywhere }\n\
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8885; border-radius: 6px; padding: 1rem }\n\
i { font-style: normal } i:nth-child(odd) { text-decoration: underline dotted #8886 }\n\
.t { background: #2a93 } .n { opacity: .75 } .c { color: #c60; font-weight: 600 }\n\
</style></head><body>\n";

const LEGEND: &str = "<p><i class=\"t\">Learned</i>, <i class=\"n\">seen and not learned</i>, \
<i class=\"c\">control token</i>; ids show under the mouse.</p>\n";

/// The text with everything that a page would read as its own replaced.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The text with control characters as their pictures (U+2400 and on), and whatever else [`disguises_text`], such as
/// what turns its direction, as its number. Line ends and tabs stay.
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => safe.push(character),
            '\u{0}'..='\u{1F}' => safe.push(char::from_u32(0x2400 + character as u32).unwrap_or('\u{FFFD}')),
            '\u{7F}' => safe.push('\u{2421}'),
            hidden if disguises_text(hidden) => {
                let _ = write!(safe, "<U+{:04X}>", character as u32);
            }
            other => safe.push(other),
        }
    }
    safe
}
