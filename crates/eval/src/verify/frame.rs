//! What a message says about code that ran: the output, without the words around it.

use std::sync::LazyLock;

use regex::Regex;

use super::rows::Speaker;

/// What stands before an output, in a message of the user.
const HEADS: [&str; 5] = ["Observation:", "Execution Output:", "Execution output:", "Execution result:", "Output:"];

/// The countdown of CodeActInstruct; what follows it, such as the feedback of an expert, is no output either.
static COUNTDOWN: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?:^|\n)You have \d+ steps? left and \d+ chances? to propose solution left\.";
    Regex::new(text).expect("the pattern is a constant that compiles")
});

/// What is said when nothing was printed.
const NOTHING: [&str; 3] = [
    "[Executed Successfully with No Output]",
    "[Code executed successfully with no output]",
    "[Code executed successfully with no output.]",
];

/// The output in a message, if it is one: a message of the user is one if it begins with one of the known heads.
pub fn output_of(speaker: Speaker, message: &str) -> Option<&str> {
    let headless = HEADS.iter().find_map(|head| message.trim_start().strip_prefix(head));
    let body = match (speaker, headless) {
        (Speaker::User | Speaker::Output, Some(body)) => body,
        (Speaker::Output, None) => message,
        _ => return None,
    };
    let end = COUNTDOWN.find_iter(body).last().map_or(body.len(), |found| found.start());
    let body = body[..end].trim_start_matches([' ', '\t']).trim_start_matches(['\r', '\n']).trim_end();
    Some(if NOTHING.contains(&body) { "" } else { body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_freed_of_what_stands_around_it() {
        let tail = "\nYou have 4 steps left and 2 chances to propose solution left.";
        let last = "\nYou should take the last step to propose a solution.";
        let expert = "\n\nExpert feedback:\nThis is GOOD.";
        for (message, output) in [
            (format!("Observation:\n5{tail}"), "5"),
            (format!("Observation:\n5\n\n7{tail}{last}{expert}"), "5\n\n7"),
            (format!("Observation:\n[Executed Successfully with No Output]{tail}"), ""),
            (format!("Observation:{tail}"), ""),
            ("Execution Output:\n  indented".to_owned(), "  indented"),
            ("Observation:\nYou have 4 apples".to_owned(), "You have 4 apples"),
            (
                format!("Observation:\na{tail}\nb{tail}"),
                "a\nYou have 4 steps left and 2 chances to propose solution left.\nb",
            ),
        ] {
            assert_eq!(output_of(Speaker::User, &message), Some(output), "{message:?}");
        }
    }

    #[test]
    fn a_person_is_no_output() {
        assert_eq!(output_of(Speaker::User, "That is wrong: 5"), None);
        assert_eq!(output_of(Speaker::Assistant, "Observation:\n5"), None);
        assert_eq!(output_of(Speaker::Output, "5\n"), Some("5"));
    }
}
