//! `codeact-eval verify` as a program: killed and started again, with any number of rows at once, on data of any kind.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Rows of all verdicts, made here; some take a while, so that a kill meets work.
fn data() -> String {
    let row = |index: usize, code: &str, output: &str| {
        let system = "Tools:\n[1] search(query: str) -> str";
        json!({"id": format!("made/kind{}/{index}", index % 3), "conversations": [
            {"role": "system", "content": system},
            {"role": "user", "content": "Go."},
            {"role": "assistant", "content": format!("<execute>\n{code}\n</execute>")},
            {"role": "user", "content": format!("Observation:\n{output}")},
        ]})
        .to_string()
            + "\n"
    };
    (0..40)
        .map(|index| match index % 8 {
            0 => row(index, &format!("import time\ntime.sleep(0.1)\nprint({index})"), &index.to_string()),
            1 => row(index, &format!("print({index})"), "wrong"),
            2 => row(index, "search('x')", "found"),
            3 => row(index, "import random\nprint(random.random())", "0.5"),
            4 => row(index, "print({'b', 'a'})", "{'a', 'b'}"),
            5 => row(index, "1/0", "ZeroDivisionError: division by zero"),
            6 => row(index, "print(list({'pear', 'fig', 'apple', 'plum'}))", "[]"),
            _ => row(index, "import nosuchpackage", ""),
        })
        .collect()
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(data: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.jsonl"), data).unwrap();
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-eval"));
        command.current_dir(self.folder.path()).args(["verify", "data.jsonl", "--out", "kept.jsonl"]);
        command.args(["--preimport=", "--cell-seconds", "5"]).args(more).stdin(Stdio::null());
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    /// What is kept, and the report.
    fn results(&self) -> [Vec<u8>; 2] {
        ["kept.jsonl", "kept.jsonl.report"].map(|name| std::fs::read(self.path(name)).unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines_of(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

/// Kills the program once its progress has `lines` lines; false: it had ended before.
fn killed_at(mut child: Child, progress: &Path, lines: usize) -> bool {
    let begun = Instant::now();
    while lines_of(progress) < lines {
        if child.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn killed_and_resumed_parallel_and_alone_give_the_same_bytes() {
    let whole = Place::new(&data());
    let output = whole.run(&["--parallel", "1", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |verdict: &str| summary["all"][verdict].as_u64().unwrap();
    let counts = ["reproduced", "flagged", "dropped", "not_verifiable"].map(count);
    assert_eq!(counts, [15, 10, 5, 10], "{summary:#}");
    assert_eq!((summary["kept"].as_u64(), summary["all"]["rate"].as_f64()), (Some(35), Some(0.5)));

    let parallel = Place::new(&data());
    assert!(parallel.run(&["--parallel", "6"]).status.success());
    assert_eq!(parallel.results(), whole.results());

    let killed = Place::new(&data());
    let progress = killed.path("kept.jsonl.progress");
    let mut kills = 0;
    for lines in [1, 2, 9, 20, 33] {
        let child = killed.command(&["--parallel", "3"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        kills += usize::from(killed_at(child, &progress, lines));
    }
    assert_eq!(kills, 5);
    // As if the power had failed in the middle of a line.
    let bytes = std::fs::read(&progress).unwrap();
    std::fs::write(&progress, &bytes[..bytes.len() - 7]).unwrap();
    let output = killed.run(&["--parallel", "3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("of 40 rows are done already"), "{}", text(&output.stderr));
    assert_eq!(killed.results(), whole.results());
    assert!(!progress.exists());
}

#[test]
fn a_progress_of_other_settings_is_refused() {
    let place = Place::new(&data());
    let child = place.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(killed_at(child, &place.path("kept.jsonl.progress"), 3));
    let output = place.run(&["--seed", "9"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("seed (was 0, is 9)") && message.contains("--restart"), "{message}");
    assert!(place.run(&["--seed", "9", "--restart"]).status.success());
}

#[test]
fn bad_input_has_place_value_and_way_out() {
    let good = data().lines().next().unwrap().to_owned();
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let place = Place::new(&format!("{good}\n{{\"id\":7}}\n{deep}\n\u{0}\n"));
    let output = place.run(&[]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for part in ["data.jsonl` line 2: it has no list `conversations`", "3 of 4 lines", "--on-bad-row"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!place.path("kept.jsonl").exists());
    let output = place.run(&["--on-bad-row", "skip", "--rest", "rest.jsonl"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Nothing is lost: what is not kept is in the other file, as it was.
    assert_eq!((lines_of(&place.path("kept.jsonl")), lines_of(&place.path("rest.jsonl"))), (1, 3));
    assert!(text(&output.stdout).contains("3 unreadable: no conversation"), "{}", text(&output.stdout));
    for (more, part) in [
        (&["--report", "data.jsonl"][..], "named twice"),
        (&["--rest", "nosuch/rest.jsonl"], "cannot write"),
        (&["--setup", "nosuch.py"], "cannot read `nosuch.py`"),
        (&["--keep", "good"], "one of reproduced"),
        (&["--python", "nosuchpython"], "cannot run Python `nosuchpython`"),
    ] {
        let output = place.run(more);
        assert_eq!(output.status.code(), Some(2), "{more:?} {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{more:?} {}", text(&output.stderr));
    }
}

#[test]
fn what_is_kept_can_be_chosen_and_tools_can_be_given() {
    let place = Place::new(&data());
    std::fs::write(place.path("tools.py"), "def search(query):\n    print('found')\n").unwrap();
    let output = place.run(&["--setup", "tools.py", "--keep", "reproduced", "--source-depth", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(lines_of(&place.path("kept.jsonl")), 20);
    assert!(text(&output.stdout).lines().nth(1).unwrap().starts_with("made "), "{}", text(&output.stdout));
}

#[test]
fn an_interrupt_keeps_what_is_done() {
    let place = Place::new(&data());
    let progress = place.path("kept.jsonl.progress");
    let mut child = place.command(&["--parallel", "1"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while lines_of(&progress) < 5 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("the same command goes on from there"), "{message}");
    assert!(!place.path("kept.jsonl").exists());
    assert!(lines_of(&progress) >= 5 && place.run(&[]).status.success());
    assert_eq!(lines_of(&place.path("kept.jsonl")), 35);
}

/// The project's own data was made by running its code, and says so of itself.
#[test]
fn the_data_of_this_project_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/quickstart/validation.jsonl");
    let place = Place::new(&std::fs::read_to_string(path).unwrap());
    let output = place.run(&["--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |key: &str| summary["all"][key].as_u64().unwrap();
    assert!(of("rows") >= 40 && of("flagged") + of("dropped") == 0, "{summary:#}");
    // What is left has no code, or needs the functions that its tasks come with.
    let reasons = ["no_code", "variable"].map(|reason| summary["all"]["reasons"][reason].as_u64().unwrap());
    assert_eq!(of("reproduced") + reasons.iter().sum::<u64>(), of("rows"), "{summary:#}");
}

/// Real trajectories, where they are: most of those that need nothing but Python are true.
#[test]
fn real_trajectories_are_reproduced() {
    let shared = std::env::var_os("CODEACT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(all) = std::fs::read_to_string(shared.join("data/mint_codeactagent.jsonl")) else {
        println!("skipped: {} has no data/mint_codeactagent.jsonl", shared.display());
        return;
    };
    let place = Place::new(
        &all.lines()
            .filter(|line| line.contains("/code_generation/"))
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
    let output = place.run(&["--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        summary["all"]["rows"].as_u64() >= Some(30) && summary["all"]["rate"].as_f64() >= Some(0.95),
        "{summary:#}"
    );
}
