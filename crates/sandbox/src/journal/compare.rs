//! When two runs of a cell are the same: what they said, but for memory addresses and measured times.

use super::{Output, RecordedCell};

const SHOWN_CHARS_MAX: usize = 80;

/// Longest number that measures a time. Every number of a text is looked at, whatever it is.
const NUMBER_BYTES_MAX: usize = 32;

/// Units after which a number is a measured time; after seconds only one with a fraction is.
const UNITS: [&str; 7] = ["ns", "us", "µs", "μs", "ms", "usec", "msec"];
const SECONDS: [&str; 5] = ["s", "sec", "secs", "second", "seconds"];
/// `timeit` chooses how many by the clock.
const COUNTED: [&str; 2] = ["loop", "loops"];

/// The first thing in which a cell that was run again differs from what was recorded; `None` if it is the same.
///
/// Compared are how it ended, the name of its error, standard output and the value. Standard error is not: warnings
/// come and go. Addresses (`<A object at 0x7f…>`) and measured times (`1.3 ms`) make no difference.
pub fn differences(recorded: &RecordedCell, now: &RecordedCell) -> Option<String> {
    if recorded.end != now.end {
        return Some(format!("it ended as `{:?}`, and now as `{:?}`", recorded.end, now.end));
    }
    let (was, is) = (recorded.error.as_deref().map(error_name), now.error.as_deref().map(error_name));
    if was != is {
        return Some(format!("error: it was {}, and is {}", quoted(was), quoted(is)));
    }
    output_difference("stdout", &recorded.stdout, &now.stdout).or_else(|| {
        match (recorded.value.as_deref(), now.value.as_deref()) {
            (Some(was), Some(is)) => text_difference("value", was, is),
            (was, is) if was == is => None,
            (was, is) => Some(format!("value: it was {}, and is {}", quoted(was), quoted(is))),
        }
    })
}

fn output_difference(what: &str, recorded: &Output, now: &Output) -> Option<String> {
    if recorded.digest == now.digest {
        return None;
    }
    let unseen = || {
        let (was, is) = (recorded.bytes, now.bytes);
        format!("{what}: it differs in a part that was not kept ({was} bytes, and now {is})")
    };
    Some(text_difference(what, &recorded.text, &now.text).unwrap_or_else(unseen))
}

/// The first line in which two texts differ.
fn text_difference(what: &str, recorded: &str, now: &str) -> Option<String> {
    let (was, is) = (normalized(recorded), normalized(now));
    if was == is {
        return None;
    }
    let (mut was_lines, mut is_lines) = (was.split('\n'), is.split('\n'));
    let mut number = 1;
    loop {
        match (was_lines.next(), is_lines.next()) {
            // Different texts differ in a line before both have ended.
            (None, None) => return None,
            (was, is) if was == is => number += 1,
            (was, is) => return Some(format!("{what} line {number}: it was {}, and is {}", quoted(was), quoted(is))),
        }
    }
}

fn quoted(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "nothing".to_string();
    };
    let line = text.lines().next().unwrap_or_default();
    let shown: String = line.escape_debug().take(SHOWN_CHARS_MAX).collect();
    let is_whole = shown.len() == line.escape_debug().map(char::len_utf8).sum::<usize>() && line.len() == text.len();
    format!("`{shown}{}`", if is_whole { "" } else { "…" })
}

/// `ValueError` of a traceback: the first line at the margin behind the last frame.
fn error_name(traceback: &str) -> &str {
    let is_frame = |line: &&str| line.starts_with("  File ");
    let frames_end = traceback.lines().collect::<Vec<_>>().iter().rposition(is_frame).map_or(0, |index| index + 1);
    let mut behind = traceback.lines().skip(frames_end).filter(|line| !line.starts_with(' ') && !line.is_empty());
    let line = behind.next().unwrap_or_default();
    line.split_once(':').map_or(line, |(name, _)| name)
}

/// The text with every address as `0x…` and every measured time as `<time>`. Whole seconds, and numbers in base 16 that
/// no address looks like, are results and stay.
pub fn normalized(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_start = !kept.ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '.');
        let found = (is_start && first.is_ascii_digit()).then(|| address(rest, &kept).or_else(|| time(rest))).flatten();
        let (bytes, shown) = found.unwrap_or((first.len_utf8(), &rest[..first.len_utf8()]));
        kept.push_str(shown);
        rest = &rest[bytes..];
        // The rest of a number is no number of its own.
        while found.is_none() && first.is_ascii_digit() {
            let Some(digit) = rest.chars().next().filter(|next| next.is_ascii_digit() || *next == ',') else {
                break;
            };
            kept.push(digit);
            rest = &rest[1..];
        }
    }
    kept
}

/// An address at the start of `rest`: how long it is, and what stands for it.
fn address(rest: &str, before: &str) -> Option<(usize, &'static str)> {
    let digits = rest.strip_prefix("0x")?;
    let count = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
    // Where Linux maps programs and libraries. Other numbers in base 16 may be results.
    let is_mapped = count == 12 && digits.starts_with(['5', '7']);
    (count > 0 && (is_mapped || before.ends_with(" at "))).then_some((2 + count, "0x…"))
}

/// A measured time, likewise.
fn time(rest: &str) -> Option<(usize, &'static str)> {
    let number = rest.bytes().take(NUMBER_BYTES_MAX);
    let number_bytes = number.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')).count();
    let (number, behind) = rest.split_at(number_bytes);
    let exponent_bytes = exponent(behind);
    let unit_text = &behind[exponent_bytes..];
    let spaced = unit_text.strip_prefix(' ').unwrap_or(unit_text);
    let unit_bytes = spaced.find(|next: char| !next.is_alphanumeric()).unwrap_or(spaced.len());
    let unit = &spaced[..unit_bytes];
    let bytes = rest.len() - spaced.len() + unit_bytes;
    let has_fraction = number.contains('.') || exponent_bytes > 0;
    if UNITS.contains(&unit) || (SECONDS.contains(&unit) && has_fraction) {
        return Some((bytes, "<time>"));
    }
    COUNTED.contains(&unit).then_some((bytes, "<count> loops"))
}

/// How long the exponent of a number is: `e-05`.
fn exponent(text: &str) -> usize {
    let Some(signed) = text.strip_prefix('e') else {
        return 0;
    };
    let digits = signed.strip_prefix(['+', '-']).unwrap_or(signed);
    match digits.bytes().take_while(u8::is_ascii_digit).count() {
        0 => 0,
        count => text.len() - digits.len() + count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellEnd;

    fn cell(stdout: &str, value: Option<&str>, error: Option<&str>) -> RecordedCell {
        RecordedCell {
            code: String::new(),
            end: if error.is_some() { CellEnd::Raised } else { CellEnd::Finished },
            stdout: Output::of(stdout, 100),
            stderr: Output::of("a warning", 100),
            value: value.map(str::to_string),
            error: error.map(str::to_string),
            rolled_back: false,
            unrestored: None,
            full_output: None,
            calls: None,
            displays: Vec::new(),
            files_changed: Vec::new(),
        }
    }

    #[test]
    fn addresses_and_times_are_no_difference() {
        let cases = [
            ("<A object at 0x7f12ab34cd56>", "<A object at 0x0000021ab>"),
            ("0x7f12ab34cd56", "0x55aabbccddee"),
            ("took 1.25 ms", "took 980 µs"),
            ("took 12.5s.", "took 3e-05 seconds."),
            ("1.02 ms ± 3 μs per loop, 1,000 loops each", "1.1 ms ± 14 ns per loop, 10000 loops each"),
        ];
        for (was, is) in cases {
            assert_eq!(differences(&cell(was, Some(was), None), &cell(is, Some(is), None)), None, "{was} {is}");
        }
    }

    #[test]
    fn results_are_differences() {
        let cases = [
            ("0xff", "0xfe"),
            ("0x1234567890ab", "0x1234567890ac"),
            ("10 s", "11 s"),
            ("12 items", "13 items"),
            ("a1ms", "a2ms"),
            ("2 msx", "3 msx"),
            ("1234567", "1234568"),
            ("é1", "é2"),
            ("", "x"),
        ];
        for (was, is) in cases {
            assert!(differences(&cell(was, None, None), &cell(is, None, None)).is_some(), "{was} {is}");
            assert!(differences(&cell("", Some(was), None), &cell("", Some(is), None)).is_some(), "{was} {is}");
        }
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        let told = differences(&cell("a\nb\nc", None, None), &cell("a\nB\nC", None, None)).unwrap();
        assert_eq!(told, "stdout line 2: it was `b`, and is `B`");
        let told = differences(&cell("a\n", None, None), &cell("a", None, None)).unwrap();
        assert_eq!(told, "stdout line 2: it was ``, and is nothing");
        let told = differences(&cell("", Some("1"), None), &cell("", None, None)).unwrap();
        assert_eq!(told, "value: it was `1`, and is nothing");
        let long = "x".repeat(200);
        let told = differences(&cell("", Some(&long), None), &cell("", Some("y"), None)).unwrap();
        assert_eq!(told, format!("value line 1: it was `{}…`, and is `y`", "x".repeat(80)));
    }

    #[test]
    fn the_name_of_an_error_counts_and_its_text_does_not() {
        let traceback =
            |error: &str| format!("Traceback (most recent call last):\n  File \"<cell>\", line 1\n    x\n{error}");
        let key = cell("", None, Some(&traceback("KeyError: 1\nnote: more")));
        assert_eq!(differences(&key, &cell("", None, Some(&traceback("KeyError: 2")))), None);
        let told = differences(&key, &cell("", None, Some(&traceback("module.Other")))).unwrap();
        assert_eq!(told, "error: it was `KeyError`, and is `module.Other`");
        let told = differences(&key, &cell("", None, None)).unwrap();
        assert_eq!(told, "it ended as `Raised`, and now as `Finished`");
        assert_eq!(error_name("killed by signal 9"), "killed by signal 9");
        assert_eq!(error_name(""), "");
    }

    #[test]
    fn output_that_was_not_kept_counts_too() {
        let long = |middle: &str| format!("{}{middle}{}", "a".repeat(500), "b".repeat(500));
        let told = differences(&cell(&long("1"), None, None), &cell(&long("2"), None, None)).unwrap();
        assert!(told.contains("part that was not kept (1001 bytes, and now 1001)"), "{told}");
        assert_eq!(differences(&cell(&long("1"), None, None), &cell(&long("1"), None, None)), None);
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let output = Output::of(&"é".repeat(100), 21);
        assert_eq!(
            (output.bytes, output.text.contains("[... 180 bytes not kept ...]")),
            (200, true),
            "{}",
            output.text
        );
        assert_eq!(Output::of("short", 5).text, "short");
    }
}
