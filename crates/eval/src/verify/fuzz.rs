//! Outputs of any kind: nothing panics, what is equal to itself is, and one letter makes a difference.

use super::equal::{FLOAT_TOLERANCE, begins, ends, same};
use super::frame::output_of;
use super::recorded::Recorded;
use super::rows::{Speaker, parse};
use super::text::{normal, normal_value};

/// A fixed sequence of numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// What the readers look for, whole and in part.
const PARTS: [&str; 34] = [
    "Out[1]: ",
    "Out[",
    "\n",
    "\n\n",
    "----------------------------------------------------------------------\n",
    "KeyError                  Traceback (most recent call last)",
    "Traceback (most recent call last):\n",
    "KeyError: 'x'",
    "  File \"<cell>\", line 1\n",
    "Cell In[1], line 2",
    "SyntaxError: no",
    "\u{1b}[0;31m",
    "\u{1b}[",
    "...\n[Output Truncated]",
    "[... 5 characters omitted ...]",
    "Observation:\n",
    "\nYou have 4 steps left and 2 chances to propose solution left.",
    "{",
    "}",
    "{'a', 'b'}",
    "'",
    "\"",
    "\\",
    "0x7f12ab34cd56",
    "<A object at 0x1>",
    "<function f at 0x1>",
    "/home/a/b.py:3: UserWarning: é",
    "1.5e-17",
    "-3",
    "0.30000000000000004",
    "é",
    "\r\n",
    " ",
    "np.float64(1.5)",
];

#[test]
fn outputs_of_any_kind_are_read_and_begin_and_end_with_themselves() {
    let mut draw = Draw(7);
    for _ in 0..20_000 {
        let text: String = (0..draw.below(14)).map(|_| draw.of(&PARTS)).collect();
        let recorded = Recorded::parse(&text);
        let _ = (recorded.error_in_last_line(), output_of(Speaker::User, &text), output_of(Speaker::Output, &text));
        let (lines, value) = (normal(&text), normal_value(&text));
        for shown in [&lines, &value] {
            assert!(begins(shown, shown, 0.0) && ends(shown, shown, 0.0), "{text:?}");
        }
        let _ = parse(text.as_bytes());
    }
}

#[test]
fn a_letter_or_a_digit_makes_a_difference() {
    let mut draw = Draw(11);
    let words = ["abc", "12", "-7", "3.25", "[4, 5]", "{'a': 1}", "{'b', 'c'}", "x = 8", "(1, 'd')", "0.5e3", "True"];
    for _ in 0..20_000 {
        let text: String =
            (0..1 + draw.below(6)).map(|_| format!("{}{}", draw.of(&words), draw.of(&[" ", "\n", ", "]))).collect();
        let places: Vec<usize> =
            text.char_indices().filter(|(_, next)| next.is_ascii_alphanumeric()).map(|(at, _)| at).collect();
        let at = places[draw.below(places.len())];
        let other = match text.as_bytes()[at] {
            b'0'..=b'8' => (text.as_bytes()[at] + 1) as char,
            b'9' => '1',
            _ => 'z',
        };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        for shown in [normal, normal_value] {
            // `0.5e3` and `1.5e3` differ; `0.5e3` and `0.5z3` too.
            assert!(!same(&shown(&text), &shown(&changed), FLOAT_TOLERANCE), "{text:?} {changed:?}");
        }
    }
}
