//! The action parser: the same pieces however the text is cut, and sense made of malformed replies.

use codeact_chat::action::{Action, ActionFormat, ActionParser, Piece};

/// Joins neighbouring deltas of one kind, which is all that the cuts may change.
pub fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (out.last_mut(), &piece) {
            (Some(Piece::Thought(text)), Piece::Thought(more))
            | (Some(Piece::CodeDelta(text)), Piece::CodeDelta(more))
            | (Some(Piece::SolutionDelta(text)), Piece::SolutionDelta(more)) => text.push_str(more),
            _ => out.push(piece),
        }
    }
    out
}

/// Pieces, action and transcript of a reply that arrives in these parts.
pub fn run<'a>(parts: impl IntoIterator<Item = &'a str>) -> (Vec<Piece>, Action, String) {
    let mut parser = ActionParser::new(ActionFormat::Code);
    let mut pieces: Vec<Piece> = parts.into_iter().flat_map(|part| parser.push(part)).collect();
    pieces.extend(parser.finish());
    assert!(parser.finish().is_empty(), "a second finish adds nothing");
    (joined(pieces), parser.action().unwrap().clone(), parser.full_text().to_owned())
}

fn action(reply: &str) -> Action {
    run([reply]).1
}

fn execute(code: &str) -> Action {
    Action::Execute(code.to_owned())
}

pub fn solution(text: &str) -> Action {
    Action::Solution(text.to_owned())
}

pub fn answer(text: &str) -> Action {
    Action::Answer(text.to_owned())
}

/// Replies as models write them, and as an adversary would.
pub const REPLIES: &[&str] = &[
    "",
    "Just words.",
    "I compute.\n<execute>\nprint(1 + 1)\n</execute>",
    "I compute.\n<execute>\nprint(1 + 1)\n</execute>\nignored <solution>3</solution>",
    "Done. <solution>42</solution>",
    "<execute>if a<b and b</c:\n    print('</exec')\n</execute>",
    "<execute>\nx = '<execute>'\n</execute>",
    "<solution>use <execute>x</execute></solution>",
    "<execute>\nprint('<solution>')\n</execute>",
    "a < b, <exec, <execut, <solutions> </execute> </solution>",
    "<execute>\nprint(1)\n</execute",
    "<execute>\nprint(1)\n</exec  \n",
    "<execute>\nprint(1)\n",
    "<execute>\nprint(1 <",
    "<execute>",
    "<execute></execute>",
    "<solution> the end </solu",
    "<<execute>>1</execute>>",
    "<e<execute>1<</execute>",
    "Look:\n```python\nprint(1)\n```\nIt prints 1.",
    "```python\nprint(1)\n```\n<execute>2</execute>",
    "```python\nprint(1)\n```\n<solution>2</solution>",
    "```python\nprint(1)",
    "```\nplain\n```",
    "``\n``` python\n\n`x`\n  ```  \n```python\nno\n```",
    "``<execute>``</execute>",
    "```python\n1 < 2\n``",
    "```bash\nls\n```\n  ```py\nx\n```",
    "π ≈ 3 <execute>\nprint('é🐍')\n</execute>",
];

#[test]
fn any_cut_into_two_or_single_characters_gives_the_same() {
    for reply in REPLIES {
        let whole = run([*reply]);
        for (at, _) in reply.char_indices() {
            assert_eq!(run([&reply[..at], &reply[at..]]), whole, "{reply:?} cut at {at}");
        }
        let letters: Vec<String> = reply.chars().map(String::from).collect();
        assert_eq!(run(letters.iter().map(String::as_str)), whole, "{reply:?} in letters");
    }
}

#[test]
fn random_cuts_of_random_tag_soup_give_the_same() {
    let parts = [
        "<execute>",
        "</execute>",
        "<solution>",
        "</solution>",
        "<",
        "/",
        "exec",
        ">",
        "\n",
        " ",
        "a<b",
        "```python\n",
        "```\n",
        "`",
        "``",
        "é",
    ];
    // A linear congruential generator: the same soup on every run.
    let mut state: u64 = 20240201;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for _ in 0..3000 {
        let reply: String = (0..random(14)).map(|_| parts[random(parts.len())]).collect();
        let letters: Vec<char> = reply.chars().collect();
        let mut cuts: Vec<String> = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            let end = (at + random(6)).min(letters.len());
            cuts.push(letters[at..end].iter().collect());
            at = end;
        }
        assert_eq!(run(cuts.iter().map(String::as_str)), run([reply.as_str()]), "{reply:?} as {cuts:?}");
    }
}

#[test]
fn pieces_without_tags_are_the_text_of_the_reply() {
    for reply in REPLIES {
        let (pieces, _, full_text) = run([*reply]);
        let shown: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Thought(text) | Piece::CodeDelta(text) | Piece::SolutionDelta(text) => text.as_str(),
                Piece::ExecuteEnd(_) | Piece::SolutionEnd(_) => "",
            })
            .collect();
        // The protocol's own tags are taken out once each: the first opening one and its closing one. So are fences,
        // which this only looks for roughly.
        let unfenced = |text: &str| text.replace("python\n", "").replace("py\n", "").replace(['`', ' ', '\n'], "");
        let shown = unfenced(&shown);
        let from = [full_text.find("<execute>"), full_text.find("<solution>")].into_iter().flatten().min();
        let expected = match from {
            None => unfenced(&full_text),
            Some(open) => {
                let body = open + full_text[open..].find('>').unwrap() + 1;
                let close = full_text.rfind("</").unwrap();
                unfenced(&format!("{}{}", &full_text[..open], &full_text[body..close]))
            }
        };
        assert_eq!(shown, expected, "{reply:?}");
    }
}

#[test]
fn replies_mean_what_they_should() {
    assert_eq!(action("I compute.\n<execute>\nprint(1 + 1)\n</execute>"), execute("print(1 + 1)"));
    assert_eq!(action("Done. <solution> 42\n</solution>"), solution("42"));
    assert_eq!(action("Hello!\n"), answer("Hello!"));
    assert_eq!(action(""), answer(""));
    assert_eq!(action("<execute></execute>"), execute(""));
}

#[test]
fn the_first_action_wins_and_ends_the_reply() {
    let mut parser = ActionParser::new(ActionFormat::Code);
    parser.push("So <execute>1</execute");
    assert!(!parser.is_complete());
    parser.push("> and <solution>2</solution>");
    assert!(parser.is_complete());
    assert_eq!(parser.action(), Some(&execute("1")));
    assert_eq!(parser.full_text(), "So <execute>1</execute>");
    assert!(parser.push("more").is_empty());
    assert_eq!(parser.full_text(), "So <execute>1</execute>");
}

#[test]
fn tag_like_text_in_code_is_code() {
    assert_eq!(
        action("<execute>if a<b and b</c: print('</exec')</execute>"),
        execute("if a<b and b</c: print('</exec')")
    );
    assert_eq!(action("<execute>\nx = '<execute>'\n</execute>"), execute("x = '<execute>'"));
    assert_eq!(action("<execute>\nprint('<solution>')\n</execute>"), execute("print('<solution>')"));
    assert_eq!(action("<solution>use <execute>x</execute></solution>"), solution("use <execute>x</execute>"));
}

#[test]
fn a_cut_off_closing_tag_is_put_back() {
    for cut in ["", "</", "</exec", "</execute", "</execute\n", "</execute>"] {
        let (_, action, full_text) = run([format!("Go\n<execute>\nprint(1)\n{cut}").as_str()]);
        assert_eq!(action, execute("print(1)"), "{cut:?}");
        assert_eq!(full_text, "Go\n<execute>\nprint(1)\n</execute>", "{cut:?}");
    }
    let (_, action, full_text) = run(["<execute>\nprint(1 <"]);
    assert_eq!(action, execute("print(1 <"));
    assert_eq!(full_text, "<execute>\nprint(1 <</execute>");
    assert_eq!(run(["<solution> 42 </solu"]).2, "<solution> 42 </solution>");
}

#[test]
fn a_python_fence_is_run_only_when_there_is_no_tag() {
    let (pieces, action_of_fence, full_text) = run(["Look:\n```python\nprint(1)\n```\nIt prints 7."]);
    assert_eq!(action_of_fence, execute("print(1)"));
    let (thought, code) =
        (|text: &str| Piece::Thought(text.to_owned()), |text: &str| Piece::CodeDelta(text.to_owned()));
    let end = Piece::ExecuteEnd("print(1)".to_owned());
    assert_eq!(pieces, [thought("Look:\n"), code("print(1)\n"), end]);
    assert_eq!(full_text, "Look:\n```python\nprint(1)\n```");
    assert_eq!(action("```python\n1\n```\n<execute>2</execute>"), execute("2"));
    assert_eq!(action("```python\n1\n```\n<solution>2</solution>"), solution("2"));
    assert_eq!(action("```python\n1"), answer("```python\n1"));
    assert_eq!(action("```json\n1\n```"), answer("```json\n1\n```"));
    assert_eq!(action("```py\na\n```\n```python\nb\n```"), execute("a"));
    assert_eq!(action("```bash\nls\n```\n```python\nb\n```"), execute("b"));
    assert_eq!(action("  ```Python3\nb\n  ```"), execute("b"));
    assert_eq!(action("```python\ns = '''\n```bash\n'''\n```"), execute("s = '''\n```bash\n'''"));
    for plain in ["```text\n```python\n```", "inline ```python``` here", "```bash\nls\n```", "```python"] {
        assert_eq!(action(plain), answer(plain));
    }
}
