//! Python in the colours of a terminal, line by line.

use std::fmt::Write;

const KEYWORD: &str = "\x1b[35m";
const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[33m";
const COMMENT: &str = "\x1b[90m";
const DEFINED: &str = "\x1b[1;34m";
const BUILT_IN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

const KEYWORDS: [&str; 37] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "case", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "match",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

const BUILT_INS: [&str; 40] = [
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "callable",
    "chr",
    "dict",
    "dir",
    "display",
    "enumerate",
    "filter",
    "float",
    "format",
    "getattr",
    "hasattr",
    "hash",
    "input",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "open",
    "ord",
    "print",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "sorted",
    "str",
    "sum",
    "tuple",
    "zip",
];

/// Knows from line to line whether a string goes on.
#[derive(Debug, Default)]
pub(super) struct Highlighter {
    /// The quotes that end it.
    open: Option<&'static str>,
}

impl Highlighter {
    /// One line, with or without its end. It must hold no control characters but tabs and that end.
    pub fn line(&mut self, text: &str) -> String {
        let (text, end) = text.strip_suffix('\n').map_or((text, ""), |text| (text, "\n"));
        let mut out = String::new();
        let mut rest = text;
        let mut is_named_next = false;
        while let Some(first) = rest.chars().next() {
            let (colour, length) = if let Some(quotes) = self.open {
                (STRING, self.string_length(rest, 0, quotes))
            } else if first == '#' {
                (COMMENT, rest.len())
            } else if let Some((prefix, quotes)) = string_start(rest) {
                self.open = Some(quotes);
                (STRING, self.string_length(rest, prefix + quotes.len(), quotes))
            } else if first.is_ascii_digit() {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
                (NUMBER, length_while(rest, is_part))
            } else if first == '_' || first.is_alphabetic() {
                let length = length_while(rest, |letter| letter == '_' || letter.is_alphanumeric());
                let word = &rest[..length];
                let is_named = std::mem::replace(&mut is_named_next, matches!(word, "def" | "class"));
                let is_attribute = out.ends_with('.');
                let colour = match word {
                    _ if is_named => DEFINED,
                    _ if is_attribute => "",
                    _ if KEYWORDS.contains(&word) => KEYWORD,
                    _ if BUILT_INS.contains(&word) => BUILT_IN,
                    _ => "",
                };
                (colour, length)
            } else {
                ("", first.len_utf8())
            };
            let (part, after) = rest.split_at(length);
            match colour {
                "" => out.push_str(part),
                // Writing to a string cannot fail.
                colour => drop(write!(out, "{colour}{part}{PLAIN}")),
            }
            rest = after;
        }
        // Only strings in three quotes go beyond their line.
        self.open = self.open.filter(|quotes| quotes.len() == 3);
        out.push_str(end);
        out
    }

    /// Bytes of a string that is open from `start` on; closes it where it ends.
    fn string_length(&mut self, text: &str, start: usize, quotes: &str) -> usize {
        let mut is_escaped = false;
        for (at, letter) in text[start..].char_indices() {
            if !is_escaped && text[start + at..].starts_with(quotes) {
                self.open = None;
                return start + at + quotes.len();
            }
            is_escaped = !is_escaped && letter == '\\';
        }
        text.len()
    }
}

/// Bytes of the prefix, and the quotes, where a string begins.
fn string_start(text: &str) -> Option<(usize, &'static str)> {
    let prefix = length_while(text, |letter| "rRbBfFuU".contains(letter));
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| text[prefix..].starts_with(quotes));
    quotes.filter(|_| prefix <= 2).map(|quotes| (prefix, quotes))
}

fn length_while(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !is_part(letter)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours as letters in brackets.
    fn seen(text: &str) -> String {
        let mut highlighter = Highlighter::default();
        let mut seen: String = text.split_inclusive('\n').map(|line| highlighter.line(line)).collect();
        for (code, name) in [
            (KEYWORD, "{k "),
            (STRING, "{s "),
            (NUMBER, "{n "),
            (COMMENT, "{c "),
            (DEFINED, "{d "),
            (BUILT_IN, "{b "),
            (PLAIN, "}"),
        ] {
            seen = seen.replace(code, name);
        }
        seen
    }

    #[test]
    fn the_parts_of_python_have_their_colours() {
        assert_eq!(seen("def f(x): # it's\n"), "{k def} {d f}(x): {c # it's}\n");
        assert_eq!(seen("y = len(f'a\\'b') + 0x1f"), "y = {b len}({s f'a\\'b'}) + {n 0x1f}");
        assert_eq!(seen("x.print(\"#\") if data1 else None"), "x.print({s \"#\"}) {k if} data1 {k else} {k None}");
        assert_eq!(seen("s = 'open\nnext = 1"), "s = {s 'open}\n{b next} = {n 1}");
        assert_eq!(seen("größe = über + 'ß'"), "größe = über + {s 'ß'}");
    }

    #[test]
    fn strings_in_three_quotes_go_on() {
        let text = "a = \"\"\"one 'x'\nif \"two\" \\\"\"\" 3\n\"\"\" + b\n";
        assert_eq!(seen(text), "a = {s \"\"\"one 'x'}\n{s if \"two\" \\\"\"\" 3}\n{s \"\"\"} + b\n");
    }

    #[test]
    fn without_its_colours_the_text_is_what_it_was() {
        for text in ["'", "rb''' \\", "\"\"\"\"\"\"\"", "0x__..", "@f\u{301}\tfr'{a!r}'", "def", "#", "\\'"] {
            let mut plain = Highlighter::default().line(text);
            [KEYWORD, STRING, NUMBER, COMMENT, DEFINED, BUILT_IN, PLAIN]
                .iter()
                .for_each(|code| plain = plain.replace(code, ""));
            assert_eq!(plain, text);
        }
    }
}
