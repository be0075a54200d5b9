//! What people see of events.

use codeact_chat::disguises_name;
use codeact_sandbox::{CellEnd, State};

use super::*;

fn shown(events: &[Event], is_json: bool) -> String {
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, is_json, false);
    events.iter().for_each(|event| console.show(event).unwrap());
    String::from_utf8(out).unwrap()
}

fn observation(text: &str, end: CellEnd) -> Event {
    let (value, error) = (BTreeMap::new(), None);
    Event::ExecEnd { step: 1, observation: text.into(), end, state: State::Kept, seconds: 0.1, value, error }
}

fn ended(end: TurnEnd) -> Event {
    let (steps, executions, prompt_tokens, completion_tokens, seconds) = (1, 1, 0, 0, 0.1);
    Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds }
}

fn turn() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    vec![
        Event::Token { text: text("I ad") },
        Event::Token { text: text("d.\n") },
        Event::CodeDelta { text: text("\nx = 1\npri") },
        Event::CodeDelta { text: text("nt(x)\nx") },
        Event::ExecStart { code: text("x = 1\nprint(x)\nx"), step: 1 },
        Event::ExecStdout { stream: Stream::Stdout, text: text("1\n"), is_late: false },
        observation("1\n1", CellEnd::Finished),
        Event::Token { text: text("The answer is ") },
        Event::SolutionDelta { text: text("1") },
        Event::Answer { text: text("1") },
    ]
}

#[test]
fn a_turn_reads_as_thought_code_output_value_answer() {
    let expected = "I add.\n│ x = 1\n│ print(x)\n│ x\n1\n1\nThe answer is \n=> 1\n";
    assert_eq!(shown(&turn(), false), expected);
}

#[test]
fn json_is_one_event_a_line() {
    let text = shown(&turn(), true);
    let types: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types.len(), turn().len());
    assert_eq!((types[0].as_str(), types[9].as_str()), ("token", "answer"));
}

#[test]
fn what_a_model_writes_cannot_steer_the_terminal() {
    let evil = "a\tb\x1b]0;title\x07\rc\u{9b}2J\x7f\n";
    let events = [
        Event::Token { text: evil.into() },
        Event::ExecStdout { stream: Stream::Stderr, text: evil.into(), is_late: false },
        Event::ExecDisplay { data: [("text/plain".into(), evil.into())].into() },
        Event::Hint { text: evil.into() },
    ];
    let text = shown(&events, false);
    assert!(text.chars().all(|character| !character.is_control() || "\n\t".contains(character)), "{text:?}");
    assert!(text.starts_with("a\tb\u{fffd}]0;title\u{fffd}\u{fffd}c\u{fffd}2J\u{fffd}\n"), "{text:?}");
}

#[test]
fn a_failed_turn_says_why() {
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, false, false);
    console.show(&Event::Token { text: "I ad".into() }).unwrap();
    console.fail("the engine has stopped").unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "I ad\nerror: the engine has stopped\n");
}

#[test]
fn a_plain_reply_is_not_shown_twice() {
    let events = [Event::Token { text: "Hello!".into() }, Event::Answer { text: "Hello!".into() }];
    assert_eq!(shown(&events, false), "Hello!\n");
}

#[test]
fn a_traceback_follows_what_was_printed() {
    let events = [
        Event::ExecStart { code: "1/0".into(), step: 1 },
        observation("Traceback (most recent call last):\nZeroDivisionError: division by zero", CellEnd::Raised),
        ended(TurnEnd::StepLimit),
    ];
    let text = shown(&events, false);
    assert!(text.starts_with("│ 1/0\nTraceback"), "{text}");
    assert!(text.ends_with("by zero\n[no answer: all steps are used]\n"), "{text}");
}

#[test]
fn figures_are_named_and_nothing_is_shown_twice() {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAYAAAA10dzk"; // the beginning of one of 640 by 480
    let data = [("image/png", png), ("text/plain", "<Figure size 640x480>")].map(|(k, v)| (k.into(), v.into()));
    let print = |stream, text: &str| Event::ExecStdout { stream, text: text.into(), is_late: false };
    let events = [
        Event::ExecStart { code: "draw()".into(), step: 1 },
        print(Stream::Stderr, "careful\n"),
        print(Stream::Stdout, "drawing\n"),
        Event::ExecDisplay { data: data.into() },
        print(Stream::Stdout, "drawn"),
        observation("drawing\ndrawn\ncareful\n<Figure size 640x480>\n7", CellEnd::Finished),
    ];
    assert_eq!(shown(&events, false), "│ draw()\ncareful\ndrawing\n<Figure size 640x480>\ndrawn\n7\n");
}

#[test]
fn late_output_is_marked_and_belongs_to_no_observation() {
    let late = |text: &str| Event::ExecStdout { stream: Stream::Stdout, text: text.into(), is_late: true };
    let events = [
        Event::ExecStart { code: "1".into(), step: 2 },
        late("tick\n"),
        late("tock\n"),
        observation("1", CellEnd::Finished),
    ];
    assert_eq!(shown(&events, false), format!("│ 1\n{LATE}\ntick\ntock\n1\n"));
}

#[test]
fn code_is_shown_again_only_where_other_code_runs() {
    let start = |code: &str| Event::ExecStart { code: code.into(), step: 1 };
    let step = Event::StepStart { step: 1 };
    let required = Event::ApprovalRequired { approval: "a1".into(), step: 1, code: "x = 1".into(), tool: None };
    let delta = Event::CodeDelta { text: "\nx = 1\n".into() };
    assert_eq!(shown(&[step.clone(), delta.clone(), required.clone(), start("x = 1")], false), "│ x = 1\n");
    assert_eq!(shown(&[step.clone(), delta, required, start("x = 2")], false), "│ x = 1\n│ x = 2\n");
    // What the model wrote as JSON is shown as it runs, too.
    let json = Event::CodeDelta { text: "{\"tool\": \"f\"}".into() };
    assert_eq!(shown(&[step, json, start("f()")], false), "│ {\"tool\": \"f\"}\n│ f()\n");
}

#[test]
fn colours_come_line_by_line_and_never_from_the_model() {
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, false, true);
    for text in ["x = '\x1b[2J", "'\nret", "urn x\n", "y"] {
        console.show(&Event::CodeDelta { text: text.into() }).unwrap();
    }
    console.show(&Event::ExecStart { code: "x = '\x1b[2J'\nreturn x\ny".into(), step: 1 }).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\x1b[32m'\u{fffd}[2J'\x1b[0m\n") && text.contains("\x1b[35mreturn\x1b[0m x\n"), "{text:?}");
    assert!(text.ends_with("y\n") && !text.contains("\x1b[2J"), "{text:?}");
}

#[test]
fn text_cannot_turn_around_what_stands_beside_it() {
    assert_eq!(
        harmless("access = 'user\u{202e} \u{2066}# admin\u{2069}'"),
        "access = 'user\u{fffd} \u{fffd}# admin\u{fffd}'"
    );
    // Arabic and Hebrew marks; what is not seen. Joiners make one sign of several.
    let marked = harmless("a\u{61c}b\u{200e}\u{200f}c\u{200b}\u{2060}\u{feff}d\u{e0041}");
    assert_eq!(marked.replace('\u{fffd}', "?"), "a?b??c???d?");
    assert_eq!(harmless("👩\u{200d}🔬"), "👩\u{200d}🔬");
}

/// First and last of what a class of characters of the page has, such as `[\0-\x08\u202e\u{e0000}]`.
fn class_of_page(name: &str) -> Vec<(u32, u32)> {
    let page = include_str!("../../ui/src/terminal.ts");
    let begin = format!("const {name} = /[");
    let class = page.lines().find_map(|line| line.strip_prefix(&begin)?.strip_suffix("]/gu;")).unwrap();
    let built = include_str!("../../assets/app.js");
    assert!(built.contains(&format!("/[{class}]/gu")), "{name}: the page was not built again");
    let (mut ranges, mut is_range): (Vec<(u32, u32)>, bool) = (Vec::new(), false);
    for escape in class.split('\\').skip(1) {
        let digits = escape.trim_end_matches('-').trim_start_matches(['x', 'u', '{']).trim_end_matches('}');
        let code = u32::from_str_radix(digits, 16).unwrap();
        match is_range {
            true => ranges.last_mut().unwrap().1 = code,
            false => ranges.push((code, code)),
        }
        is_range = escape.ends_with('-');
    }
    ranges
}

#[test]
fn the_page_and_the_console_know_the_same_disguises() {
    for name in ["DISGUISES_TEXT", "DISGUISES_NAME"] {
        let disguises = if name == "DISGUISES_TEXT" { disguises_text } else { disguises_name };
        let ranges = class_of_page(name);
        let is_in_class = |code: u32| ranges.iter().any(|(first, last)| (*first..=*last).contains(&code));
        let differ = ('\0'..=char::MAX).filter(|character| is_in_class(*character as u32) != disguises(*character));
        let differ: Vec<char> = differ.collect();
        assert!(differ.is_empty(), "{name}: {differ:?}");
    }
}

#[test]
fn figures_are_kept_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let png = "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAYAAAA10dzk";
    let mut out = Vec::new();
    let mut console = Console::new(&mut out, false, false);
    console.keep_figures(folder.path());
    console.show(&Event::ExecDisplay { data: [("image/png".to_owned(), png.to_owned())].into() }).unwrap();
    let path = folder.path().join("figure-1.png");
    assert_eq!(String::from_utf8(out).unwrap(), format!("[figure 640x480: {}]\n", path.display()));
    assert!(path.is_file());
}
