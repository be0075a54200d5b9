//! When two normal texts say the same: letter by letter, and numbers with a fraction but for the noise of computing.

/// Relative difference of two numbers with a fraction that is noise: another processor, another order of a sum. A few
/// thousand roundings of f64. Of 1,250 rows that were made with other processors and versions, none needed more than 0.
pub const FLOAT_TOLERANCE: f64 = 1e-12;

/// What is left where exact arithmetic gives zero: a few times 2^-53, written with all its digits. Smaller ones are
/// taken at their word, as are those with few digits: they are constants of nature.
const RESIDUE: std::ops::RangeInclusive<f64> = 1e-17..=1e-14;
const RESIDUE_DIGITS_MIN: usize = 13;

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Number(&'a str),
}

/// Whether the texts are equal, with numbers that have a fraction or an exponent within `tolerance`, relatively.
pub fn same(one: &str, other: &str, tolerance: f64) -> bool {
    if one == other {
        return true;
    }
    let (mut one, mut other) = (Pieces::of(one), Pieces::of(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Piece::Text(one)), Some(Piece::Text(other))) if one == other => {}
            (Some(Piece::Number(one)), Some(Piece::Number(other))) if same_number(one, other, tolerance) => {}
            _ => return false,
        }
    }
}

/// Whether `text` begins as `head` does, which was cut somewhere in its last word. Line breaks and blanks count as one.
pub fn begins(text: &str, head: &str, tolerance: f64) -> bool {
    let mut words = text.split_whitespace();
    let mut expected = head.split_whitespace().peekable();
    while let Some(word) = expected.next() {
        let is_last = expected.peek().is_none();
        match words.next() {
            Some(found) if is_last && (found.starts_with(word) || same(word, found, tolerance)) => {}
            Some(found) if !is_last && same(word, found, tolerance) => {}
            _ => return false,
        }
    }
    true
}

/// As [`begins`], from the other end.
pub fn ends(text: &str, tail: &str, tolerance: f64) -> bool {
    let mut words = text.split_whitespace().rev();
    let mut expected = tail.split_whitespace().rev().peekable();
    while let Some(word) = expected.next() {
        let is_last = expected.peek().is_none();
        match words.next() {
            Some(found) if is_last && (found.ends_with(word) || same(word, found, tolerance)) => {}
            Some(found) if !is_last && same(word, found, tolerance) => {}
            _ => return false,
        }
    }
    true
}

/// Whether the texts hold the same words, and the same brackets and commas around them, in whatever order.
pub fn same_words(one: &str, other: &str) -> bool {
    let is_between = |next: char| next.is_whitespace() || "()[]{},;".contains(next);
    let pieces = |text: &str| {
        let mut pieces: Vec<String> = text
            .split_inclusive(is_between)
            .flat_map(|piece| {
                let word = piece.trim_end_matches(is_between);
                [word.to_owned(), piece[word.len()..].trim().to_owned()]
            })
            .filter(|piece| !piece.is_empty())
            .collect();
        pieces.sort();
        pieces
    };
    pieces(one) == pieces(other)
}

fn same_number(one: &str, other: &str, tolerance: f64) -> bool {
    if one == other {
        return true;
    }
    let has_fraction = |text: &str| text.contains(['.', 'e', 'E']);
    if !has_fraction(one) || !has_fraction(other) {
        // A zero may be a whole one where the other is a residue: `0` and `1.2e-16` of a symbolic result are not.
        return false;
    }
    let (Ok(a), Ok(b)) = (one.parse::<f64>(), other.parse::<f64>()) else { return false };
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    let is_nothing = |number: f64, text: &str| number == 0.0 || is_residue(number, text);
    (a - b).abs() <= tolerance * a.abs().max(b.abs()) || (is_nothing(a, one) && is_nothing(b, other))
}

fn is_residue(number: f64, text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.trim_start_matches(['+', '-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    RESIDUE.contains(&number.abs()) && digits >= RESIDUE_DIGITS_MIN
}

/// Cuts a text into numbers and what is between them.
struct Pieces<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Pieces<'a> {
        Pieces { text, at: 0 }
    }

    /// How long the number is that begins at byte `at`; 0: there is none.
    fn number_bytes(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let before = |back: usize| at.checked_sub(back).map(|index| bytes[index]);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || byte >= 0x80;
        if before(1).is_some_and(is_part) {
            return 0;
        }
        let signed = usize::from(matches!(bytes[at], b'+' | b'-'));
        // In `3-4` the sign is an operator.
        if signed == 1 && before(1).is_some_and(|byte| matches!(byte, b')' | b']')) {
            return 0;
        }
        let digits =
            |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(at + signed);
        if whole == 0 {
            return 0;
        }
        let mut end = at + signed + whole;
        if bytes.get(end) == Some(&b'.') {
            end += 1 + digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            end += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        // A version, an address of the internet.
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 { 0 } else { end - at }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            let is_candidate = bytes[self.at].is_ascii_digit() || matches!(bytes[self.at], b'+' | b'-');
            let count = if is_candidate { self.number_bytes(self.at) } else { 0 };
            if count > 0 {
                if self.at > start {
                    return Some(Piece::Text(&self.text[start..self.at]));
                }
                self.at += count;
                return Some(Piece::Number(&self.text[start..self.at]));
            }
            self.at += 1;
        }
        (self.at > start).then(|| Piece::Text(&self.text[start..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(one: &str, other: &str) -> bool {
        let there = same(one, other, FLOAT_TOLERANCE);
        assert_eq!(there, same(other, one, FLOAT_TOLERANCE), "{one:?} {other:?}");
        there
    }

    #[test]
    fn noise_of_computing_is_no_difference() {
        for (one, other) in [
            ("0.30000000000000004", "0.3"),
            ("x = 1.4142135623730951, y", "x = 1.4142135623730950, y"),
            ("5.551115123125783e-17", "0.0"),
            ("-1.1102230246251565e-16", "2.220446049250313e-16"),
            ("[1.0, -0.0]", "[1.0, 0.0]"),
            ("(1+2.0000000000000004j)", "(1+2.0j)"),
            ("1e+16", "1.0000000000000002e+16"),
            ("é 2.5", "é 2.5000000000000004"),
        ] {
            assert!(is_same(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn results_are_differences() {
        for (one, other) in [
            ("2", "2.0"),
            ("1000000000000", "1000000000001"),
            ("0.333", "0.3333"),
            ("3.14159", "3.14160"),
            ("0.0022625117073416727", "0.0022625117053416727"),
            ("1.602e-19", "9.109e-31"),
            ("1.602e-19", "0.0"),
            ("3.9728916483435158e-19", "6.6260701500000001e-34"),
            ("1.2e-16", "0.0"),
            ("5.551115123125783e-17", "0"),
            ("-1.5", "1.5"),
            ("v1.5", "v1.5000000000000002"),
            ("1.5.2", "1.5000000000000002.2"),
            ("1.5 m", "1.5 cm"),
            ("1.5", "1.5 1.5"),
            ("1e400", "1e401"),
            ("nan", "inf"),
            ("", "0"),
        ] {
            assert!(!is_same(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_cut_text_is_compared_as_far_as_it_goes() {
        let begins = |text: &str, head: &str| begins(text, head, FLOAT_TOLERANCE);
        assert!(begins("[1, 2, 3, 45, 6]", "[1, 2, 3, 4"));
        assert!(begins("a\nb c", "a b") && begins("0.30000000000000004 7", "0.3 7"));
        assert!(!begins("[1, 2, 3, 45, 6]", "[1, 2, 4"));
        assert!(!begins("[1, 2", "[1, 2, 3"));
        assert!(ends("1 2 345", "45", FLOAT_TOLERANCE) && !ends("1 2 345", "44", FLOAT_TOLERANCE));
    }

    #[test]
    fn words_in_another_order_are_seen() {
        assert!(same_words("[a, b]\nc", "c\n[b, a]") && !same_words("a b b", "a a b"));
        assert!(!same_words("[1, 2]", "[[1], [2]]") && !same_words("{", "{{"));
    }

    #[test]
    fn pieces_are_the_text() {
        // A fixed sequence of letters, among them all that a number is made of.
        let mut state = 1_u32;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push("01.9eE+-)_ é".chars().nth((state >> 16) as usize % 12).unwrap());
            }
            let joined: String = Pieces::of(&text)
                .map(|piece| match piece {
                    Piece::Text(text) | Piece::Number(text) => text,
                })
                .collect();
            assert_eq!(joined, text);
            assert!(is_same(&text, &text));
        }
    }
}
