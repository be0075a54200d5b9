//! Conversations on a pseudo-terminal.

use serde_json::Value;

use crate::driving::{Client, Steps};

const ECHO: (&str, &[&str]) = ("(?s)echo (.*)", &["<solution>[{{1}}]</solution>"]);
const KEEP: (&str, &[&str]) = (
    r"keep (\w+)",
    &["I keep it.\n<execute>\nkept = '{{1}}'\nprint('now', kept)\n</execute>", "<solution>ok {{1}}</solution>"],
);
const SHOW: (&str, &[&str]) =
    ("show it", &["<execute>\nprint('kept:', kept)\n</execute>", "<solution>shown</solution>"]);
const COUNT: (&str, &[&str]) =
    (r"count (\d+)", &["<execute>\nn = {{1}}\nprint('n is', n)\n</execute>", "<solution>counted</solution>"]);

#[test]
fn a_text_of_many_lines_is_one_question() {
    let client = Client::new(&[ECHO]);
    let steps = Steps::new()
        .say("echo one \\\rtwo")
        .see("=> [one \r\ntwo]")
        .say("```\recho a\r\r  b\r```")
        .see("=> [a\r\n\r\n  b]")
        .prompted()
        .press("\x1b[200~echo x\ny\n\x1b[201~z\r")
        .see("=> [x\r\ny\r\nz]")
        .say("echo f(1,\r2)")
        .see("=> [f(1,\r\n2)]")
        .say("//echo this")
        .see("=> [this]")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn code_waits_until_somebody_has_seen_it() {
    let mut client = Client::new(&[COUNT]).with(&["--approve", "ask"]);
    let editor = client.folder.path().join("editor");
    std::fs::write(&editor, "sed -i 's/n = .*/n = 77/' \"$2\"").unwrap();
    client.environment = vec![("EDITOR".to_owned(), format!("sh '{}' -x", editor.display()))];
    let steps = Steps::new()
        .say("count 1")
        .answer("y")
        .see("n is 1")
        .say("count 2")
        .answer("what?")
        .answer("no it is too much")
        .see("[not run]")
        .see("too much")
        .prompted()
        .press("count 3\r")
        .answer("e")
        .see("77")
        .see("n is 77")
        .say("count 4")
        .see("[a]lways: ")
        .press("\x03")
        .see("[interrupted]")
        .say("/approve")
        .see("ask: code waits")
        .say("count 5")
        .answer("a")
        .see("n is 5")
        .say("count 6")
        .see("n is 6")
        .say("/quit");
    let (shown, status) = client.drive(steps);
    assert_eq!(status, 0);
    assert!(!shown.contains("n is 2") && !shown.contains("n is 3") && !shown.contains("n is 4"), "{shown}");
}

#[test]
fn turns_are_taken_back_with_what_they_did() {
    let client = Client::new(&[KEEP, SHOW, ECHO]);
    let steps = Steps::new()
        .say("keep first")
        .see("=> ok first")
        .say("keep second")
        .see("=> ok second")
        .say("/undo")
        .see("1 turn is taken back")
        .say("show it")
        .see("kept: first")
        .see("=> shown")
        .say("/undo 2")
        .see("2 turns are taken back")
        .say("show it")
        .see("NameError")
        .say("/undo 9")
        .see("error: there are 1 turns that can be taken back")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn branches_go_their_own_ways() {
    let client = Client::new(&[KEEP, SHOW]);
    let steps = Steps::new()
        .say("keep first")
        .see("=> ok first")
        .say("keep second")
        .see("=> ok second")
        .say("/branch 1")
        .see("conversation 2 goes on from the end of turn 1 of 1")
        .say("show it")
        .see("kept: first")
        .see("=> shown")
        .say("/branches")
        .see("  conversation 1, 2 turns: keep second")
        .see("* conversation 2, 2 turns, from turn 1 of 1: show it")
        .say("/switch 1")
        .see("conversation 1, 2 turns")
        .say("show it")
        .see("kept: second")
        .see("=> shown")
        .say("/switch 3")
        .see("error: there is no conversation 3")
        .say("/branch 7")
        .see("error: there is no turn 7")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn a_conversation_is_written_in_three_formats() {
    let client = Client::new(&[KEEP]);
    std::fs::write(client.folder.path().join("mine.md"), "mine").unwrap();
    let steps = Steps::new()
        .say("keep it")
        .see("=> ok it")
        .say("/save talk.jsonl")
        .see("bytes in talk.jsonl")
        .say("/save talk.ipynb")
        .see("bytes in talk.ipynb")
        .say("/save talk.md")
        .see("bytes in talk.md")
        .say("/save talk.md")
        .see("bytes in talk.md")
        .say("/save mine.md")
        .see("error: `mine.md` is there already")
        .say("/save talk.txt")
        .see("must end in .jsonl, .ipynb or .md")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
    let row: Value = serde_json::from_str(&client.read("talk.jsonl")).unwrap();
    assert_eq!(row["conversations"].as_array().or(row["messages"].as_array()).unwrap().len(), 5, "{row}");
    let notebook: Value = serde_json::from_str(&client.read("talk.ipynb")).unwrap();
    assert_eq!(notebook["nbformat"], 4);
    assert!(client.read("talk.md").contains("now it"));
    assert_eq!(client.read("mine.md"), "mine");
}

#[test]
fn ctrl_c_ends_a_turn_and_nothing_else() {
    let story = "once upon a time ".repeat(2000);
    let replies: &[&str] = &[&story];
    let wait = "<execute>\nimport time\nprint('begun', flush=True)\ntime.sleep(600)\n</execute>";
    let client = Client::new(&[("story", replies), ("wait", &[wait]), ECHO]);
    let steps = Steps::new()
        .say("tell a story")
        .see("once upon a time once")
        .press("\x03")
        .see("[interrupted]")
        .say("wait")
        .see("\nbegun")
        .press("\x03")
        .see("[interrupted]")
        .say("echo again")
        .see("=> [again]")
        .prompted()
        .press("\x03")
        .see("Ctrl-C again or Ctrl-D leaves")
        .prompted()
        .press("\x04");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn the_last_turn_is_asked_again_or_in_other_words() {
    let mut client = Client::new(&[COUNT]);
    client.environment = vec![("VISUAL".to_owned(), "sed -i s/4/41/".to_owned())];
    let steps = Steps::new()
        .say("/retry")
        .see("error: nothing was asked yet")
        .say("count 4")
        .see("n is 4")
        .say("/retry")
        .see("1 turn is taken back")
        .see("n is 4")
        .say("/edit")
        .see("1 turn is taken back")
        .see("n is 41")
        .say("/branches")
        .see("conversation 1, 1 turns: count 41")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn files_go_in_and_out_and_figures_are_kept() {
    let picture = "<execute>\nclass Dot:\n    def _repr_png_(self):\n        import base64\n        return base64.b64decode('iVBORw0KGgo' \
                   'AAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=')\ndisplay(Dot())\n</execute>";
    let copy = "<execute>\nopen('out file.txt', 'w').write(open('in.txt').read().upper())\n</execute>";
    let client = Client::new(&[
        ("draw", &[picture, "<solution>drawn</solution>"]),
        ("copy", &[copy, "<solution>copied</solution>"]),
    ]);
    std::fs::write(client.folder.path().join("in.txt"), "words").unwrap();
    let steps = Steps::new()
        .say("/files")
        .see("no files")
        .say("/put in.txt")
        .see("5 bytes in in.txt")
        .say("copy")
        .see("=> copied")
        .say("/files")
        .see("5  in.txt")
        .see("5  out file.txt")
        .say("/get 'out file.txt' got.txt")
        .see("5 bytes in got.txt")
        .say("/get in.txt")
        .see("error: cannot write `in.txt`")
        .say("/get ../etc/passwd")
        .see("error: ")
        .say("draw")
        .see("[figure 1x1: ./figure-1.png]")
        .see("=> drawn")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
    assert_eq!(client.read("got.txt"), "WORDS");
    assert!(std::fs::read(client.folder.path().join("figure-1.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn commands_are_known_completed_and_remembered() {
    let client = Client::new(&[ECHO]).with(&["--system", "You echo."]);
    let steps = Steps::new()
        .say("/undoo")
        .see("there is no command /undoo")
        .see("did you mean /undo?")
        .say("/help")
        .see("/branch [TURN]")
        .say("/model")
        .see("`scripted` at http://127.0.0.1:")
        .say("/tools")
        .see("no tools")
        .prompted()
        .press("/swi\t")
        .see("/switch ")
        .press("1\r")
        .see("conversation 1, 0 turns")
        .say("echo once")
        .see("=> [once]")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
    // In a later run, two keys up is what was asked last.
    let steps = Steps::new().prompted().press("\x1b[A\x1b[A\r").see("=> [once]").say("/exit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn what_a_model_writes_is_coloured_by_nobody_but_us() {
    let reply = "\u{1b}[2J\n<execute>\nprint('\u{1b}]0;x\u{7}')\n</execute>";
    let mut client = Client::new(&[("evil", &[reply, "<solution>done</solution>"])]);
    let (shown, _) = client.drive(Steps::new().say("evil").see("=> done").say("/quit"));
    assert!(
        shown.contains("\u{1b}[36mprint\u{1b}[0m") && !shown.contains("\u{1b}[2J") && !shown.contains("\u{1b}]0;"),
        "{shown:?}"
    );
    client.environment = vec![("NO_COLOR".to_owned(), "1".to_owned())];
    let (shown, _) = client.drive(Steps::new().say("evil").see("=> done").say("/quit"));
    assert!(shown.contains("│ print('\u{fffd}") && !shown.contains("\u{1b}[36m"), "{shown:?}");
}

#[test]
fn functions_are_kept_for_later_conversations() {
    let define = "<execute>\nimport math\ndef area(radius):\n    '''Area of a circle.'''\n    return round(math.pi * radius ** 2)\n\
                  print(area(1))\n</execute>";
    let call = "<execute>\nprint('area:', area(2))\n</execute>";
    let client = Client::new(&[
        ("define", &[define, "<solution>ok</solution>"]),
        ("use it", &[call, "<solution>ok</solution>"]),
    ]);
    let steps = Steps::new()
        .say("define")
        .see("=> ok")
        .say("/skills save area")
        .see("error: `area` needs a test")
        .say("/skills save area assert area(2) == 14")
        .see("the test of `area` fails")
        .say("/skills save area assert area(2) == 13")
        .see("kept `area`, version 1")
        .say("/skills save volume assert volume(1)")
        .see("no code of this conversation defines `volume`")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
    let client = client.with(&["--skills", "all"]);
    let steps = Steps::new()
        .say("/skills")
        .see("area(radius)  (version 1)  Area of a circle.")
        .say("use it")
        .see("area: 13")
        .say("/undo")
        .see("taken back")
        .say("use it")
        .see("area: 13")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}

#[test]
fn without_a_terminal_every_line_is_a_task() {
    let client = Client::new(&[KEEP, SHOW]).with(&["--json"]);
    let output = client.pipe("keep this\n\nshow it\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends = events.iter().filter(|event| event["type"] == "turn.end").count();
    assert_eq!((events[0]["type"].as_str(), ends), (Some("turn.start"), 2));
    let printed = events.iter().find(|event| event["type"] == "exec.stdout" && event["text"] == "kept: this\n");
    assert!(printed.is_some_and(|event| event["stream"] == "stdout"), "{lines}");
    let refused = Client::new(&[KEEP]).with(&["--approve", "ask"]).pipe("keep this\n");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--approve ask needs somebody to ask"));
    assert!(!refused.status.success());
}

#[test]
fn tools_of_a_settings_file_can_be_called_and_asked_about() {
    let call = "<execute>\nprint('sum:', add(2, b=3)['sum'])\n</execute>";
    let client = Client::new(&[("sum up", &[call, "<solution>ok</solution>"])]);
    let text = format!("[mcp.small]\n{}", crate::mcp::table("good", "tools = ['add']\napproval = 'ask'"));
    std::fs::write(client.folder.path().join("serve.toml"), text).unwrap();
    let client = client.with(&["--config", "serve.toml", "--cell-seconds", "2"]);
    let steps = Steps::new()
        .say("/tools")
        .see("add(a: float, b: float = 1) -> dict  Add two numbers.")
        .say("sum up")
        .see("[n]o REASON: ")
        .press("y\r")
        .see("sum: 5")
        .say("sum up")
        .see("[n]o REASON: ")
        .press("n not now\r")
        .see("was not approved: not now")
        .see("=> ok")
        // Nobody answers: the question ends with the code that waited for it.
        .say("sum up")
        .see("[n]o REASON: ")
        .see("[Execution timed out.]")
        .see("=> ok")
        .say("sum up")
        .see("[n]o REASON: ")
        .press("\x03")
        .see("[interrupted]")
        .say("/quit");
    assert_eq!(client.drive(steps).1, 0);
}
