//! When a solution is right.

use super::number;
use super::value::{Tolerance, same_number};

/// Whether `solution` says `answer`: the same text without blanks around it, or the same number as for the grader
/// `number`. A whole number must be met exactly, others within 1e-6, absolute or relative. What begins with a zero
/// before other digits, such as a code of a lock, is a text.
pub fn is_right(solution: &str, answer: &str) -> bool {
    let (solution, answer) = (solution.trim(), answer.trim());
    if solution == answer {
        return true;
    }
    let amount = |text: &str| number(text).filter(|_| !has_zero_before_digits(text));
    let both = amount(answer).zip(amount(solution));
    both.is_some_and(|(answer, solution)| same_number(&answer, &solution, Tolerance::default()))
}

fn has_zero_before_digits(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']).as_bytes();
    digits.first() == Some(&b'0') && digits.get(1).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_equal_after_trimming_and_no_further() {
        assert!(is_right(" Sam\n", "Sam"));
        assert!(is_right("[1, 2]", "[1, 2]"));
        for wrong in ["sam", "Sam.", "[1,2]", ""] {
            assert!(!is_right(wrong, "Sam") && !is_right(wrong, "[1, 2]"), "{wrong}");
        }
    }

    #[test]
    fn numbers_with_a_fraction_are_equal_within_a_millionth() {
        assert!(is_right("0.3333333", "0.33333333"));
        assert!(is_right("-19.1500001", "-19.15"));
        assert!(is_right("0.0000009", "0"));
        assert!(is_right("360", "360.0") && is_right("2.0", "2") && is_right("+2", "2"));
        assert!(!is_right("2.00001", "2"));
        assert!(!is_right("nan", "NaN") && !is_right("inf", "infinity"));
        assert!(!is_right("2 apples", "2"));
    }

    #[test]
    fn whole_numbers_are_equal_exactly() {
        assert!(is_right("1110100000.0", "1110100000") && is_right("-0", "0"));
        for (wrong, answer) in [
            ("1110100001", "1110100000"),
            ("1110100001.0", "1110100000"),
            ("1000000000000", "1000000000001"),
            ("1000", "1001"),
            ("36893488147419103232", "36893488147419103233"),
        ] {
            assert!(!is_right(wrong, answer), "{wrong}");
        }
    }

    #[test]
    fn a_zero_before_other_digits_makes_a_text() {
        assert!(is_right("007", " 007 ") && is_right("0.5", ".5") && is_right("0", "0.0"));
        for (one, other) in [("007", "7"), ("-007", "-7"), ("00", "0"), ("0042.5", "42.5"), ("007", "0007")] {
            assert!(!is_right(one, other) && !is_right(other, one), "{one}");
        }
    }
}
