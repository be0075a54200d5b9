//! When a solution is right.

/// Numbers that differ by no more than this, absolutely or relative to the answer, are equal.
const NUMBER_TOLERANCE: f64 = 1e-6;

/// Whether `solution` says `answer`: the same text without blanks around it, or, where both are finite numbers,
/// the same number within 1e-6, absolute or relative.
pub fn is_right(solution: &str, answer: &str) -> bool {
    let (solution, answer) = (solution.trim(), answer.trim());
    if solution == answer {
        return true;
    }
    match (number(solution), number(answer)) {
        (Some(solution), Some(answer)) => (solution - answer).abs() <= NUMBER_TOLERANCE * answer.abs().max(1.0),
        _ => false,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
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
    fn numbers_are_equal_within_a_millionth() {
        assert!(is_right("2.0", "2"));
        assert!(is_right("0.3333333", "0.33333333"));
        assert!(is_right("0.0000009", "0"));
        assert!(is_right("1000000000000", "1000000000001"));
        assert!(!is_right("2.00001", "2"));
        assert!(!is_right("1000", "1001"));
        assert!(!is_right("nan", "NaN") && !is_right("inf", "infinity"));
        assert!(!is_right("2 apples", "2"));
    }
}
