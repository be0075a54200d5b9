//! Calls of tools in JSON or plain text: the same pieces however the text is cut, and sense made of malformed ones.

use crate::actions::{REPLIES, answer, joined, run, solution};
use codeact_chat::action::{Action, ActionFormat, ActionParser, Piece};

const CALLS: &[&str] = &[
    "I look.\nAction: {\"tool\": \"f\", \"args\": {\"a\": \"}\\\"{\"}} and more",
    "Action:\n```json\n{\"tool\": \"f\"}\n```",
    "Action: f, 1, \"a, b\"\nObservation: made up",
    "Action: f End Action\nmore",
    "  Action: f(x)\n",
    "No Action: here <solution>1</solution>",
    "Acti",
    "Action:",
    "Action:\n\n\n",
    "x\nActions are plain",
    "{\"tool\": \"f\", \"args\": {}}",
    "See:\n```json\n{\"tool\": \"f\"}\n```\nDone",
    "```json\n{\"x\": 1}\n```",
    "<execute>1</execute>",
    "<solution>Action: f\n</solution>",
    "Action: {\"tool\": \"π🐍\", \"args\": [[[]]]}",
    "Action: }}}{",
];

fn run_in<'a>(format: ActionFormat, parts: impl IntoIterator<Item = &'a str>) -> (Vec<Piece>, Action, String) {
    let mut parser = ActionParser::new(format);
    let mut pieces: Vec<Piece> = parts.into_iter().flat_map(|part| parser.push(part)).collect();
    pieces.extend(parser.finish());
    assert!(parser.finish().is_empty(), "a second finish adds nothing");
    (joined(pieces), parser.action().unwrap().clone(), parser.full_text().to_owned())
}

#[test]
fn calls_mean_the_same_however_they_are_cut() {
    for format in [ActionFormat::Json, ActionFormat::Text] {
        for reply in CALLS.iter().chain(REPLIES) {
            let whole = run_in(format, [*reply]);
            for (at, _) in reply.char_indices() {
                assert_eq!(run_in(format, [&reply[..at], &reply[at..]]), whole, "{reply:?} cut at {at}");
            }
            let letters: Vec<String> = reply.chars().map(String::from).collect();
            assert_eq!(run_in(format, letters.iter().map(String::as_str)), whole, "{reply:?} in letters");
        }
    }
}

#[test]
fn random_cuts_of_random_call_soup_give_the_same() {
    let parts = [
        "Action:",
        "\n",
        "{",
        "}",
        "\"",
        "\\",
        "[",
        "]",
        "\"tool\": \"f\"",
        "```json",
        "```",
        " ",
        "f, 1",
        "End Action",
        "<solution>",
        "</solution>",
        "A",
        "é",
    ];
    let mut state: u64 = 20240202;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for round in 0..6000 {
        let format = if round % 2 == 0 { ActionFormat::Json } else { ActionFormat::Text };
        let reply: String = (0..random(14)).map(|_| parts[random(parts.len())]).collect();
        let letters: Vec<char> = reply.chars().collect();
        let mut cuts: Vec<String> = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            let end = (at + 1 + random(6)).min(letters.len());
            cuts.push(letters[at..end].iter().collect());
            at = end;
        }
        let whole = run_in(format, [reply.as_str()]);
        assert_eq!(run_in(format, cuts.iter().map(String::as_str)), whole, "{format:?} {reply:?} as {cuts:?}");
        assert!(reply.starts_with(whole.2.trim_end_matches("</solution>")), "{reply:?} became {:?}", whole.2);
    }
}

#[test]
fn calls_mean_what_they_should() {
    let json = |reply: &str| run_in(ActionFormat::Json, [reply]);
    let text = |reply: &str| run_in(ActionFormat::Text, [reply]);
    let call = |text: &str| Action::Call(text.to_owned());
    let (_, action, full_text) = json(CALLS[0]);
    assert_eq!(action, call("{\"tool\": \"f\", \"args\": {\"a\": \"}\\\"{\"}}"));
    assert!(CALLS[0].starts_with(&full_text) && full_text.ends_with("}}"));
    assert_eq!(json(CALLS[1]).1, call("{\"tool\": \"f\"}"));
    assert_eq!(text(CALLS[2]).1, call("f, 1, \"a, b\""));
    assert_eq!(text(CALLS[3]).1, call("f"));
    assert_eq!(text("No Action: here").1, answer("No Action: here"));
    assert_eq!(json(CALLS[5]).1, solution("1"));
    assert_eq!(json(CALLS[10]).1, call(CALLS[10]));
    assert_eq!(json(CALLS[11]).1, call("{\"tool\": \"f\"}"));
    assert_eq!(json(CALLS[12]).1, answer(CALLS[12]));
    // Python is no action there, and a call is none where actions are Python.
    assert_eq!(json("<execute>1</execute>").1, answer("<execute>1</execute>"));
    assert_eq!(action_of_code("Action: f, 1"), answer("Action: f, 1"));
}

fn action_of_code(reply: &str) -> Action {
    run([reply]).1
}

#[test]
fn formats_have_names() {
    for name in ActionFormat::NAMES {
        assert_eq!(ActionFormat::named(name).unwrap().name(), name);
        assert_eq!(serde_json::to_string(&ActionFormat::named(name).unwrap()).unwrap(), format!("\"{name}\""));
    }
    assert_eq!(ActionFormat::named("yaml"), None);
}

#[test]
fn edited_code_takes_the_place_of_what_was_written() {
    for reply in ["So\n<execute>\n1\n</execute>", "So\n```python\n1\n```\nmore"] {
        let mut parser = ActionParser::new(ActionFormat::Code);
        parser.push(reply);
        parser.finish();
        assert_eq!(parser.text_with("2"), "So\n<execute>\n2\n</execute>", "{reply:?}");
    }
}
