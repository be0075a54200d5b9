//! Suites as they lie on the disk: what is read, and that everything wrong is told at once, with its place.

use std::path::Path;

use codeact_eval::load_suites;

const HEAD: &str = "name = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n";
const LINE: &str = r#"{"id": "a", "family": "f", "prompt": "p", "answer": 1}"#;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// What is said of a suite of these files.
fn faults(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let error = load_suites(&[folder.path()]).unwrap_err();
    assert!(error.is_bad_input());
    error.to_string()
}

#[test]
fn a_folder_of_suites_is_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (HEAD.replace("\"s\"", "\"b\""), HEAD.replace("\"s\"", "\"a\""));
    write(folder.path(), &[("2/suite.toml", &one), ("2/x.jsonl", LINE), ("1/suite.toml", &other), ("1/x.jsonl", LINE)]);
    write(folder.path(), &[("notes/x.jsonl", "no suite")]);
    let suites = load_suites(&[folder.path()]).unwrap();
    let names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    // With a head of its own it is one suite.
    write(folder.path(), &[("suite.toml", HEAD), ("x.jsonl", LINE)]);
    assert_eq!(load_suites(&[folder.path()]).unwrap()[0].name, "s");
}

#[test]
fn a_suite_has_lines_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let task = "family = 'g/f'\ntags = ['hard']\nlimits.turns = 3\n[grader]\nkind = 'tests'\nfile = 'tests.py'\n";
    write(
        folder.path(),
        &[
            (
                "suite.toml",
                &format!("{HEAD}[defaults]\ntags = ['all']\n[defaults.limits]\nturns = 7\ncell_seconds = 4\n"),
            ),
            ("b.jsonl", &format!("{LINE}\n\n{}\n", LINE.replace("\"a\"", "\"b\""))),
            ("README.md", "words"),
            ("some/deep/task.toml", task),
            ("some/deep/prompt.md", "\nDo it.\n"),
            ("some/deep/tests.py", "def test_it():\n    pass\n"),
            ("some/deep/tools.py", "def tool():\n    pass\n"),
            ("some/deep/files/x/y.txt", "text"),
            ("some/deep/reference.md", "one\n---\ntwo\n"),
            ("some/deep/wrong.md", "a\n---\nb\n===\nc\n"),
        ],
    );
    let suite = load_suites(&[folder.path()]).unwrap().remove(0);
    let ids: Vec<&str> = suite.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!((suite.name.as_str(), ids), ("s", vec!["a", "b", "deep"]));
    let (line, deep) = (&suite.tasks[0], &suite.tasks[2]);
    assert_eq!((line.limits.turns, line.limits.cell_seconds, &line.tags), (Some(7), Some(4), &vec!["all".to_owned()]));
    assert_eq!((deep.limits.turns, deep.limits.cell_seconds), (Some(3), Some(4)));
    assert_eq!((deep.prompt.as_str(), &deep.reference), ("Do it.", &vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(deep.wrong, [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
    assert_eq!((&deep.files["x/y.txt"][..], deep.tool_file.is_some()), (&b"text"[..], true));
    let alone = load_suites(&[folder.path().join("some/deep")]).unwrap().remove(0);
    assert_eq!((alone.tasks[0].digest(), alone.tasks.len()), (deep.digest(), 1));
    assert_ne!(line.digest(), suite.tasks[1].digest());
}

#[test]
fn everything_wrong_is_told_at_once() {
    let bad = [
        "{",
        r#"{"id": "x", "family": "f", "promt": "p", "answer": 1}"#,
        r#"{"id": "y", "family": "f", "prompt": "p", "answer": 1, "grader": {"kind": "exact", "answer": "1"}}"#,
        r#"{"id": "z", "family": "f", "prompt": "p", "grader": {"kind": "numbr", "answer": 1}}"#,
        r#"{"id": "v", "family": "f", "prompt": "p", "grader": {"kind": "number", "answer": "one", "abslute": 1}}"#,
        r#"{"id": "w", "id": "w", "family": "f", "prompt": "p", "answer": 1}"#,
        r#"{"id": "u", "family": "f", "prompt": "p", "grader": {"kind": "tests", "code": "x = 1"}, "limits": {"turns": 0}}"#,
        r#"{"id": "t", "family": "f", "prompt": "p", "grader": {"kind": "regex", "pattern": "a)(b"}}"#,
        r#"{"id": "a", "family": "f", "prompt": "p", "answer": null, "tags": "x"}"#,
        r#"{"id": "s", "family": "f", "prompt": "p", "grader": {"kind": "state"}, "files": {"a": "1", "a/b": 2}}"#,
        LINE,
        LINE,
    ];
    let lines = bad.join("\n");
    let task =
        "family = 'f'\nprompt = 'p'\nanswer = 1\nlimts.turns = 2\n[grader]\nkind = 'exact'\nanswer = 2020-01-01\n";
    let told = faults(&[
        ("suite.toml", &format!("{HEAD}nmae = 1\n")),
        ("a.jsonl", &lines),
        ("t/task.toml", task),
        ("u/task.toml", "family = 'f'\nprompt = 'p'\nanswer = 1\nlimts.turns = 2\n"),
        ("u/refrence.md", "x"),
        ("u/prompt.md", "x"),
    ]);
    for expected in [
        "`nmae`, did you mean `name`?",
        "a.jsonl` line 1: column",
        "a.jsonl` line 2: missing field `prompt`",
        "a.jsonl` line 2: unknown field `promt`, did you mean `prompt`?",
        "line 3: `answer` and `grader` are both given",
        "line 4: `grader.kind` is `numbr`, which is no grader, did you mean `number`?",
        "line 5: `grader.answer` must be a number",
        "line 5: unknown field `grader.abslute`, did you mean `grader.absolute`?",
        "line 6: column",
        "the key `id` comes twice",
        "line 7: `grader.code` has no function `test_..`",
        "line 7: `limits.turns` must be a whole number from 1 to",
        "line 8: `grader.pattern` is no regular expression",
        "line 9: missing field `answer`",
        "line 9: `tags` must be a list",
        "line 10: missing field `grader.files`",
        "line 10: `files` `a/b` must be a text",
        "line 12: id `a` was used in",
        "t/task.toml` line 7: `grader.answer` is a date",
        "u/task.toml` line 4: unknown field `limts`, did you mean `limits`?",
        "u/refrence.md`: is not used by the task, did you mean `reference.md`?",
        "u/prompt.md`: and `prompt` are both given",
    ] {
        assert!(told.contains(expected), "{expected}\nin\n{told}");
    }
}

#[test]
fn nothing_outside_of_the_folder_is_read() {
    let line = |tools: &str| LINE.replace("\"answer\"", &format!("\"tools\": {tools:?}, \"answer\""));
    for (tools, why) in [
        ("../x.py", "`..`"),
        ("/etc/passwd", "absolute"),
        ("link.py", "symbolic link"),
        ("out/x.py", "symbolic link"),
        ("pipe.py", "no plain file"),
        ("none.py", "is not there"),
        ("large.py", "more than"),
        ("", "no file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("suite.toml", HEAD), ("a.jsonl", &line(tools))]);
        write(folder.path(), &[("large.py", &"#".repeat((1 << 20) + 1))]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.py")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        std::process::Command::new("mkfifo").arg(folder.path().join("pipe.py")).status().unwrap();
        let told = load_suites(&[folder.path()]).unwrap_err().to_string();
        assert!(told.contains(why) && told.contains("`tools`"), "{tools}: {told}");
    }
    for (name, why) in [("../x", "`..`"), ("/x", "absolute"), ("a\\\\b", "backslash"), ("x/", "no file")] {
        let line = LINE.replace("\"answer\"", &format!("\"files\": {{\"{name}\": \"x\"}}, \"answer\""));
        let told = faults(&[("suite.toml", HEAD), ("a.jsonl", &line)]);
        assert!(told.contains(why), "{name}: {told}");
    }
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[("suite.toml", HEAD), ("t/task.toml", "family = 'f'\nprompt = 'p'\nanswer = 1\n"), ("t/files/a", "")],
    );
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("t/files/link")).unwrap();
    assert!(load_suites(&[folder.path()]).unwrap_err().to_string().contains("t/files/link`: is neither"));
    let missing = load_suites(&["/nowhere.jsonl", "/nowhere"]).unwrap_err().to_string();
    assert!(missing.contains("`/nowhere.jsonl`: is not there") && missing.contains("`/nowhere`"), "{missing}");
    assert!(faults(&[("a.jsonl", LINE)]).contains("it has no `suite.toml`"));
    assert!(faults(&[("suite.toml", HEAD)]).contains("has no tasks"));
}
