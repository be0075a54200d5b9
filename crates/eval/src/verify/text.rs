//! What of an output is chance: addresses, paths, measured times, colours, how a notebook shows a value.

use std::sync::LazyLock;

use codeact_sandbox::journal;
use regex::{Captures, Regex};

/// How often a text may be gone over to find where its braces close; what is behind stays as it is.
const SET_PASSES_MAX: usize = 8;
/// Braces within braces, beyond which sets are left as they are.
const SET_DEPTH_MAX: usize = 32;

/// What is replaced, in this order.
static REPLACED: LazyLock<[(Regex, &str); 9]> = LazyLock::new(|| {
    [
        // Colours, as a terminal takes them.
        (pattern(r"\x1b\[[0-9;?]*[ -/]*[@-~]"), ""),
        // A warning and the line of code that it shows; a figure that is named beside its picture.
        (pattern(r"(?m)^.*:\d+: \w*Warning: .*\n?(?:^[ \t]+.*\n?)?"), ""),
        (pattern(r"(?m)^<Figure size [^\n>]*>\n?"), ""),
        // `<A object at 0x…>` is `<A at 0x…>` in a notebook, `<class 'A'>` is `A`, and `<function __main__.f(x)>` is
        // `<function f at 0x…>`.
        (pattern(r" object at 0x…"), " at 0x…"),
        (pattern(r"<class '([\w.]+)'>"), "${1}"),
        (pattern(r"<function ((?:[\w.]|<\w+>)+)(?:\([^\n]*?\))?(?: at 0x…)?>"), "<function ${1}>"),
        (pattern(r"\b__main__\."), ""),
        // `np.float64(1.5)` is how NumPy 2 shows 1.5.
        (pattern(r"\bnp\.(?:float|int|uint|complex)\d+\(([^()\n]*)\)"), "${1}"),
        (pattern(r"\bnp\.(True|False)_\b"), "${1}"),
    ]
});

/// A path of a machine: what stands before its last name is where that machine keeps things.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    let unix =
        r"/(?:usr|home|root|tmp|opt|var|mnt|srv|work|workspace|lib|Users|private|content|kaggle)(?:/[\w.+@~-]+)+";
    pattern(&format!(r#"(^|[\s'"(\[{{=:,<])(?:{unix}|[A-Z]:\\(?:[\w.~ -]+\\)*[\w.~-]+)"#))
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that compiles")
}

/// Text in which equal outputs are equal, but for numbers: see [`super::equal`].
///
/// Gone are colours, warnings, blanks at the ends of lines and blank lines at both ends. Addresses, measured times and
/// the folders of paths have a fixed form, and so has what a notebook shows otherwise than Python. Sets are sorted.
pub fn normal(text: &str) -> String {
    let mut text = journal::normalized(&text.replace("\r\n", "\n"));
    for (found, replacement) in REPLACED.iter() {
        if found.is_match(&text) {
            text = found.replace_all(&text, *replacement).into_owned();
        }
    }
    let text = PATH.replace_all(&text, |found: &Captures<'_>| {
        let name = found[0].rsplit(['/', '\\']).next().unwrap_or_default();
        format!("{}<path>/{name}", &found[1])
    });
    let text = if text.contains('{') { with_sorted_sets(&text) } else { text.into_owned() };
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// As [`normal`], on one line: how a value is broken into lines is the notebook's affair.
pub fn normal_value(text: &str) -> String {
    let text = normal(text);
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        // `[1,\n 2]` has a blank where `[ 1` would have none.
        let is_apart = !words.is_empty() && !words.ends_with(['(', '[', '{']) && !word.starts_with([')', ']', '}']);
        words.push_str(if is_apart { " " } else { "" });
        words.push_str(word);
    }
    words
}

/// `{'b', 'a'}` as `{'a', 'b'}`: a set has no order. What has a colon between its parts is a dictionary, which has one.
fn with_sorted_sets(text: &str) -> String {
    let mut sorted = String::with_capacity(text.len());
    let mut rest = text;
    // Braces that never close would be looked through to the end of their line, each of them.
    let mut left = text.len().saturating_mul(SET_PASSES_MAX);
    while let Some(start) = rest.find('{').filter(|_| left > 0) {
        sorted.push_str(&rest[..start]);
        match braced(&rest[start..], 0, &mut left) {
            Some((shown, bytes)) => {
                sorted.push_str(&shown);
                rest = &rest[start + bytes..];
            }
            None => {
                sorted.push('{');
                rest = &rest[start + 1..];
            }
        }
    }
    sorted + rest
}

/// The braces that `text` begins with, their sets sorted, and how many bytes they take; `None`: they do not close on
/// their line, or lie too deep. `left`: characters that may still be looked at.
fn braced(text: &str, depth: usize, left: &mut usize) -> Option<(String, usize)> {
    if depth > SET_DEPTH_MAX {
        return None;
    }
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut quote, mut nested, mut is_dictionary, mut at) = (None, 0_usize, false, 1);
    while let Some(next) = text[at..].chars().next() {
        let bytes = next.len_utf8();
        *left = left.checked_sub(1)?;
        match (quote, next) {
            (_, '\n') => return None,
            (Some(_), '\\') => {
                let escaped = text[at + 1..].chars().next().map_or(0, char::len_utf8);
                part.push_str(&text[at..at + 1 + escaped]);
                at += 1 + escaped;
                continue;
            }
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(next),
            (None, '{') => {
                let (shown, inner) = braced(&text[at..], depth + 1, left)?;
                part.push_str(&shown);
                at += inner;
                continue;
            }
            (None, '(' | '[') => nested += 1,
            (None, ')' | ']') => nested = nested.checked_sub(1)?,
            (None, ':') if nested == 0 => is_dictionary = true,
            (None, ',' | '}') if nested == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                if next == '}' {
                    if !is_dictionary {
                        parts.sort();
                    }
                    return Some((format!("{{{}}}", parts.join(", ")), at + 1));
                }
                at += bytes;
                continue;
            }
            (None, _) => {}
        }
        part.push(next);
        at += bytes;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_makes_no_difference() {
        for (one, other) in [
            ("<A object at 0x7f12ab34cd56>", "<__main__.A at 0x7fffab34cd56>"),
            ("[<matplotlib.lines.Line2D at 0x7f0000000001>]", "[<matplotlib.lines.Line2D object at 0x7f0000000002>]"),
            ("<function __main__.f(x, y=1)>", "<function f at 0x7f12ab34cd56>"),
            ("<function __main__.<lambda>(x)>", "<function <lambda> at 0x7f12ab34cd56>"),
            ("(int, Foo)", "(<class 'int'>, <class '__main__.Foo'>)"),
            ("\x1b[0;31mred\x1b[0m", "red"),
            ("a\r\nb  \n", "a\nb"),
            ("\n\n5\n", "5"),
            ("took 1.25 ms", "took 980 µs"),
            ("No such file: '/home/a/data/x.csv'", "No such file: '/tmp/w/x.csv'"),
            (r"'C:\Users\me\x.csv'", "'/home/a/x.csv'"),
            ("/usr/lib/python3.8/a.py:3: DeprecationWarning: old\n  import x\n5", "5"),
            ("<Figure size 640x480 with 1 Axes>", ""),
            ("{'b', 'a', (1, 2)}", "{(1, 2), 'a', 'b'}"),
            ("frozenset({3, 1})", "frozenset({1, 3})"),
            ("{1: {'y', 'x'}}", "{1: {'x', 'y'}}"),
            ("[np.float64(1.5), np.True_]", "[1.5, True]"),
        ] {
            assert_eq!(normal(one), normal(other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("[1,\n 2,\n 3]", "[1, 2, 3]"),
            ("\n{'a': [1,\n       2]}", "{'a': [1, 2]}"),
            ("array([ 1., 2.])", "array([1., 2.])"),
        ] {
            assert_eq!(normal_value(one), normal_value(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn results_stay_different() {
        for (one, other) in [
            ("0xff", "0xfe"),
            ("[2, 1]", "[1, 2]"),
            ("{'b': 1, 'a': 2}", "{'a': 2, 'b': 1}"),
            ("{1, 2}", "{1, 3}"),
            ("{'a, b'}", "{'a', 'b'}"),
            ("a  b", "a b"),
            ("a\n\nb", "a\nb"),
            ("  a", "a"),
            ("1/2", "1/3"),
            ("a/usr/b", "a/usr/c"),
            ("/home/a/x.csv", "/home/a/y.csv"),
            ("/home/a/b is 1 and /home/c/d", "/home/a/b is 2 and /home/c/d"),
            ("<function f at 0x7f12ab34cd56>", "<function g at 0x7f12ab34cd56>"),
            ("<class 'int'>", "<class 'float'>"),
            ("10 s", "11 s"),
            ("True", "False"),
            ("Warning: low", "Warning: high"),
        ] {
            assert_ne!(normal(one), normal(other), "{one:?} {other:?}");
        }
        assert_ne!(normal_value("'ab'"), normal_value("'a b'"));
        assert_ne!(normal_value("[1, 2]"), normal_value("[12]"));
    }

    #[test]
    fn braces_of_any_kind_end() {
        let deep = "{".repeat(100_000);
        assert_eq!(normal(&deep), deep);
        let closed = format!("{}{}", "{".repeat(500), "}".repeat(500));
        assert_eq!(normal(&closed), closed);
        // Each of them opens a quote that nothing closes.
        for endless in ["{\\'".repeat(200_000), "{\"".repeat(200_000), "1.,".repeat(200_000)] {
            assert_eq!(normal(&endless), endless);
        }
        for odd in ["{'a", "{\\", "}{", "{)}", "{'\\", "{{,}", "{é, ü}"] {
            normal(odd);
        }
    }

    #[test]
    fn normal_text_is_normal() {
        for text in ["{2, 1} <A object at 0x7f12ab34cd56>\n/usr/lib/x.py took 1.5 ms", "{'b', {3, 1}}", ""] {
            assert_eq!(normal(&normal(text)), normal(text));
        }
    }
}
