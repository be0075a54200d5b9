//! Rows against a real sandbox. All of them are written here.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use codeact_sandbox::Policy;
use serde_json::json;

use super::*;

const RULE: &str = "---------------------------------------------------------------------------\n";
const LEFT: &str = "\nYou have 4 steps left and 2 chances to propose solution left.";

fn options() -> VerifyOptions {
    VerifyOptions {
        // A zygote without imports starts faster.
        policy: Policy { imports: Vec::new(), ..Policy::default() },
        parallel: 2,
        seed: 0,
        setup: None,
        float_tolerance: equal::FLOAT_TOLERANCE,
        row_time_max: Duration::from_secs(60),
        keep: vec![Verdict::Reproduced, Verdict::Flagged, Verdict::NotVerifiable],
        on_bad_row: OnBadRow::Error,
        source_depth: 3,
        restart: false,
    }
}

/// A row of turns of code and what they are said to give.
fn row(system: &str, turns: &[(&str, &str)]) -> rows::Row {
    let mut messages = vec![(rows::Speaker::System, system.to_owned()), (rows::Speaker::User, "Task:\nGo.".to_owned())];
    for (code, output) in turns {
        messages.push((rows::Speaker::Assistant, format!("I try.\n<execute>\n{code}\n</execute>")));
        messages.push((rows::Speaker::User, format!("Observation:\n{output}{LEFT}")));
    }
    messages.push((rows::Speaker::Assistant, "It is <solution>1</solution>".to_owned()));
    rows::Row { id: "made/here/1".into(), messages }
}

fn report_with(options: &VerifyOptions, row: &rows::Row) -> RowReport {
    let known = options.setup.iter().flat_map(|_| ["search".to_owned()]).collect();
    Replayer { options, known, task: None }.report(row, 1).unwrap()
}

fn verdict(turns: &[(&str, &str)]) -> (Verdict, Option<Reason>) {
    let report = report_with(&options(), &row("", turns));
    (report.verdict, report.reason)
}

fn traceback(error: &str) -> String {
    let name = error.split(':').next().unwrap();
    format!("{RULE}{name:<42}Traceback (most recent call last)\nCell In[1], line 9\n----> 9 x\n\n{error}")
}

#[test]
fn true_outputs_are_reproduced_however_they_are_shown() {
    let zero = traceback("ZeroDivisionError: division by zero");
    let printed_first = format!("1\n{zero}");
    for (code, output) in [
        ("print(20 + 22)", "42"),
        ("20 + 22", "Out[3]: 42"),
        ("20 + 22", "42"),
        ("print('a')\n[1] * 3", "a\nOut[1]: [1, 1, 1]"),
        ("list(range(3))", "Out[1]: \n[0,\n 1,\n 2]"),
        ("x = 1", "[Executed Successfully with No Output]"),
        ("x = 1", ""),
        ("1/0", zero.as_str()),
        ("print(1)\n1/0", printed_first.as_str()),
        (
            "1/0",
            "Traceback (most recent call last):\n  File \"<stdin>\", line 1, in <module>\nZeroDivisionError: division by zero",
        ),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("1 +", "Cell In[2], line 1\n    1 +\n       ^\nSyntaxError: unexpected EOF while parsing"),
        ("object()", "Out[1]: <object at 0x7f84aa12bb30>"),
        ("def f(x): pass\nf", "Out[1]: <function __main__.f(x)>"),
        ("{'pear', 'fig', 'apple'}", "Out[1]: {'apple', 'fig', 'pear'}"),
        ("print(0.1 + 0.2)", "0.3000000000000001"),
        ("print(list(range(900)))", "[0, 1, 2, 3, 4, 5...\n[Output Truncated]"),
        ("print(list(range(900)))\n1/0", "[0, 1, 2, 3, 4, 5...\n[Output Truncated]"),
        (
            "print(list(range(900)))\n1/0",
            "[0, 1, 2,\n[... 999 characters omitted ...]\nZeroDivisionError: division by zero",
        ),
        ("import warnings\nwarnings.warn('old')\nprint(1)", "1"),
        ("int", "Out[1]: int"),
    ] {
        assert_eq!(verdict(&[(code, output)]), (Verdict::Reproduced, None), "{code:?} {output:?}");
    }
}

#[test]
fn false_outputs_are_dropped() {
    let (zero, key) = (traceback("ZeroDivisionError: division by zero"), traceback("KeyError: 'a'"));
    let printed_first = format!("2\n{zero}");
    for (code, output, reason) in [
        ("print(20 + 22)", "41", Reason::Output),
        ("print(42)", "[Executed Successfully with No Output]", Reason::Output),
        ("x = 42", "42", Reason::Output),
        ("x = 42", "Out[1]: 42", Reason::Output),
        ("print('a')\n5", "b\nOut[1]: 5", Reason::Output),
        ("print(1)\n1/0", printed_first.as_str(), Reason::Output),
        ("print(list(range(900)))", "[0, 1, 2, 3, 5, 5...\n[Output Truncated]", Reason::Output),
        ("print(list(range(900)))\n1/0", "[0, 1, 2, 3, 5, 5...\n[Output Truncated]", Reason::RaisesNow),
        (
            "print(list(range(900)))\nraise ValueError('got 1')",
            "[0, 1, 2,\n[... 999 characters omitted ...]\nValueError: got 3",
            Reason::Output,
        ),
        ("print(0.333)", "0.3333", Reason::Output),
        ("assert 1 == 2, 'got 1'", "AssertionError: got 3", Reason::Output),
        ("raise ValueError('got 1')", "ValueError: got 3", Reason::Output),
        ("1/0", "42", Reason::RaisesNow),
        ("print(undefined)", "42", Reason::RaisesNow),
        ("print(42)", zero.as_str(), Reason::RaisedThen),
        ("1/0", key.as_str(), Reason::OtherError),
    ] {
        assert_eq!(verdict(&[(code, output)]), (Verdict::Dropped, Some(reason)), "{code:?} {output:?}");
    }
}

#[test]
fn what_explains_itself_is_flagged() {
    let words = traceback("ZeroDivisionError: integer division or modulo by zero");
    let lcm = traceback("AttributeError: module 'math' has no attribute 'lcm'");
    let gcd = traceback("TypeError: gcd expected 2 arguments, got 3");
    for (code, output, reason) in [
        ("1/0", words.as_str(), Reason::ErrorMessage),
        ("print('b a')", "a b", Reason::Order),
        ("import secrets\nprint(secrets.token_hex(20))", "00", Reason::Nondeterministic),
        (
            "for word in {'pear', 'fig', 'apple', 'plum'}: print(word, end='')",
            "figpearappleplun",
            Reason::Nondeterministic,
        ),
        ("import time\nprint(time.time())", "1600000000.5", Reason::Clock),
        ("import math\nprint(math.lcm(4, 6))", lcm.as_str(), Reason::Library),
        ("import math\nprint(math.gcd(4, 6, 8))", gcd.as_str(), Reason::Library),
        ("import os\nos._exit(1)", "1", Reason::Resources),
    ] {
        assert_eq!(verdict(&[(code, output)]), (Verdict::Flagged, Some(reason)), "{code:?} {output:?}");
    }
}

#[test]
fn what_is_not_here_is_not_verifiable() {
    for (code, output, reason, about) in [
        ("import nosuchpackage", "", Reason::Module, Some("nosuchpackage")),
        ("print(open('/data/of_the_row.csv').read())", "1", Reason::File, Some("/data/of_the_row.csv")),
        ("import urllib.request as u\nu.urlopen('http://example.org')", "1", Reason::Network, None),
        ("input()", "1", Reason::Input, None),
    ] {
        let report = report_with(&options(), &row("", &[(code, output)]));
        assert_eq!((report.verdict, report.reason), (Verdict::NotVerifiable, Some(reason)), "{code:?}");
        assert_eq!(report.about.as_deref(), about);
    }
    let offered = row("The table is in the variable `conn`.", &[("print(conn)", "1")]);
    assert_eq!(report_with(&options(), &offered).reason, Some(Reason::Variable));
}

#[test]
fn unknown_tools_are_marked_and_given_ones_run() {
    let system = "Tool function available:\n[1] search(query: str) -> str\nFinds.";
    let row = row(system, &[("print(1)", "1"), ("print(search('x'))", "found x"), ("print(2)", "3")]);
    let report = report_with(&options(), &row);
    assert_eq!(
        (report.verdict, report.reason, report.about.as_deref()),
        (Verdict::NotVerifiable, Some(Reason::Tool), Some("search"))
    );
    // Nothing that needs it has run, and nothing behind it is compared.
    assert_eq!((report.cells, report.compared, report.same, report.differences.len()), (1, 1, 1, 1));
    let setup = Some((PathBuf::from("s.py"), "def search(query):\n    return 'found ' + query".to_owned()));
    let report = report_with(&VerifyOptions { setup, ..options() }, &row);
    assert_eq!((report.verdict, report.reason, report.same), (Verdict::Dropped, Some(Reason::Output), 2));
    // Where nothing has an output, the tool is still what is missing.
    let mut unseen = self::row(system, &[("search('x')", "")]);
    unseen.messages.truncate(3);
    assert_eq!(report_with(&options(), &unseen).reason, Some(Reason::Tool));
    let broken = VerifyOptions { setup: Some(("s.py".into(), "1/0".into())), ..options() };
    let error = Replayer { options: &broken, known: Vec::new(), task: None }.report(&row, 1).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("s.py"), "{error}");
}

#[test]
fn variables_stay_from_turn_to_turn_and_the_first_contradiction_counts() {
    let turns = [("x = 20", ""), ("x += 22\nx", "Out[2]: 42"), ("print(x)", "41"), ("print(x)", "40")];
    let report = report_with(&options(), &row("", &turns));
    assert_eq!((report.verdict, report.cells, report.compared, report.same), (Verdict::Dropped, 3, 3, 2));
    let difference = &report.differences[0];
    assert_eq!((difference.message, difference.recorded.as_str(), difference.now.as_str()), (6, "41", "42"));
    // Other words of an error change no variables: what follows counts.
    let words = traceback("ZeroDivisionError: by zero");
    assert_eq!(verdict(&[("1/0", &words), ("print(1)", "2")]), (Verdict::Dropped, Some(Reason::Output)));
    // A missing package explains all that follows.
    assert_eq!(verdict(&[("import nosuchpackage", ""), ("print(1)", "2")]).0, Verdict::NotVerifiable);
}

#[test]
fn seeds_make_chance_repeatable() {
    let code = "import random\nprint(random.random(), list({'pear', 'fig', 'apple', 'plum', 'kiwi'}))";
    let seen = |seed| {
        let options = VerifyOptions { seed, ..options() };
        let mut session = Replayer { options: &options, known: Vec::new(), task: None }.session(0).unwrap();
        session.run(code, &mut |_| {}).unwrap().stdout
    };
    assert_eq!(seen(1), seen(1));
    let orders: std::collections::BTreeSet<String> = (1..5).map(seen).collect();
    assert!(orders.len() > 1, "{orders:?}");
    assert_eq!(verdict(&[("import time\nprint(time.tzname[0])", "UTC")]).0, Verdict::Reproduced);
}

#[test]
fn turns_that_nothing_ran_in_are_not_compared() {
    let mut with_person = row("", &[("print(1)", "1")]);
    with_person.messages.splice(
        3..3,
        [
            (rows::Speaker::User, "No, do it otherwise.".to_owned()),
            (rows::Speaker::Assistant, "So:\n<execute>\nprint(1)\n</execute>".to_owned()),
        ],
    );
    let report = report_with(&options(), &with_person);
    assert_eq!((report.verdict, report.cells, report.compared), (Verdict::Reproduced, 2, 1));
    let plain = rows::Row {
        id: "p".into(),
        messages: vec![(rows::Speaker::User, "Hi".into()), (rows::Speaker::Assistant, "Hello".into())],
    };
    assert_eq!(report_with(&options(), &plain).reason, Some(Reason::NoCode));
    let fenced = rows::Row {
        id: "f".into(),
        messages: vec![(rows::Speaker::User, "Hi".into()), (rows::Speaker::Assistant, "```python\n1/0\n```".into())],
    };
    assert_eq!(report_with(&options(), &fenced).reason, Some(Reason::NoCode));
    let unseen = rows::Row {
        id: "u".into(),
        messages: vec![(rows::Speaker::User, "Hi".into()), (rows::Speaker::Assistant, "<execute>1/0</execute>".into())],
    };
    assert_eq!(report_with(&options(), &unseen).reason, Some(Reason::NoOutput));
    assert_eq!(
        verdict(&[("!pip install numpy", "Successfully installed numpy"), ("print(1)", "1")]).0,
        Verdict::Reproduced
    );
    assert_eq!(verdict(&[("!pip install numpy", "Successfully installed numpy")]).1, Some(Reason::NoOutput));
}

#[test]
fn hostile_rows_end() {
    let mut options = options();
    options.policy.limits.wall_ms_max = 2000;
    options.policy.limits.memory_bytes_max = 256 << 20;
    let huge = "x".repeat(17 << 20);
    let timed_out = traceback("TimeoutError: Timed out after 30 seconds.");
    for (code, output, expected) in [
        ("while True: pass", "1", &[Some(Reason::Time)][..]),
        ("while True: pass", timed_out.as_str(), &[None]),
        ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "1", &[Some(Reason::Time)]),
        ("print(1)", timed_out.as_str(), &[Some(Reason::Time)]),
        (
            "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
            "1",
            &[Some(Reason::Time), Some(Reason::Resources)],
        ),
        ("while True: print('x' * 100000)", "1", &[Some(Reason::Time)]),
        ("print('x' * 50_000_000)", "1", &[Some(Reason::Output)]),
        ("x = []\nwhile True: x.append(bytearray(1 << 24))", "1", &[Some(Reason::Resources), Some(Reason::RaisesNow)]),
        ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nprint(1)", "1", &[None, Some(Reason::RaisesNow)]),
        (huge.as_str(), "1", &[Some(Reason::Size)]),
        ("print('{' * 200000)", "{", &[Some(Reason::Output)]),
    ] {
        let report = report_with(&options, &row("", &[(code, output)]));
        let shown = &code[..code.len().min(60)];
        assert!(expected.contains(&report.reason), "{shown:?} {report:?}");
    }
    // A variable that only the clock kept from being set contradicts nothing.
    let turns = [("while True: pass\nx = 1", timed_out.as_str()), ("print(x)", "1")];
    let report = report_with(&options, &row("", &turns));
    assert_eq!((report.verdict, report.reason, report.same), (Verdict::Flagged, Some(Reason::Time), 1));
    let slow = VerifyOptions { row_time_max: Duration::ZERO, ..options };
    assert_eq!(report_with(&slow, &row("", &[("print(1)", "1")])).reason, Some(Reason::RowTime));
}

#[test]
fn files_are_whole_and_rows_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let line = |id: &str, output: &str| {
        // Another order of keys than ours, and a key that is not ours.
        json!({"note": "é", "conversations": [{"content": "Go", "role": "user"},
            {"role": "assistant", "content": "<execute> print(5) </execute>"},
            {"role": "user", "content": format!("Observation:\n{output}")}], "id": id})
        .to_string()
    };
    let (good, bad, broken) = (line("set/a/1", "5"), line("set/b/2", "6"), "{\"id\":");
    std::fs::write(path("data"), format!("{good}\n\n{bad}\n{broken}\n{good} ")).unwrap();
    let files = VerifyFiles {
        data: path("data"),
        out: path("out"),
        report: path("out.report"),
        rest: Some(path("rest")),
        progress: path("out.progress"),
    };
    let error = Verification::open(files.clone(), options()).unwrap_err();
    assert!(
        error.is_bad_input()
            && error.to_string().contains("line 4: column 6")
            && error.to_string().contains("1 of 4 lines"),
        "{error}"
    );
    assert!(!path("out.progress").exists());
    let skip = VerifyOptions { on_bad_row: OnBadRow::Skip, ..options() };
    let verification = Verification::open(files.clone(), skip.clone()).unwrap();
    assert_eq!((verification.row_count(), verification.done_count()), (4, 0));
    let stopped = verification.run(&AtomicBool::new(true), &|_| {}).unwrap_err();
    assert!(matches!(stopped, EvalError::Stopped { done: 0, all: 4, .. }), "{stopped}");
    let summary = Verification::open(files, skip).unwrap().run(&AtomicBool::new(false), &|_| {}).unwrap();
    assert_eq!(std::fs::read_to_string(path("out")).unwrap(), format!("{good}\n{good} \n"));
    assert_eq!(std::fs::read_to_string(path("rest")).unwrap(), format!("{bad}\n{broken}\n"));
    let report = std::fs::read_to_string(path("out.report")).unwrap();
    let lines: Vec<serde_json::Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["line"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert_eq!(lines[2]["verdict"], "unreadable");
    assert_eq!((summary.kept, summary.sources["set/b"].dropped, summary.all.rate), (2, 1, Some(2.0 / 3.0)));
    assert!(!path("out.progress").exists() && summary.run["seed"] == "0");
}
