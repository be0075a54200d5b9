//! A run that was stopped, killed, or cut off in the middle of a line goes on and ends in the results of an undisturbed
//! one.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::endpoint::{Endpoint, endpoint, suite};
use crate::{assert_code, eval, program, records};

fn arguments<'a>(tasks: &'a str, endpoint: &'a Endpoint, out: &'a Path) -> [&'a str; 10] {
    let out = out.to_str().unwrap();
    ["run", tasks, "--out", out, "--preimport=", "--endpoint", &endpoint.url, "--parallel", "1", "--profile=quickstart"]
}

/// Starts a run, and returns when `count` of its lines say that something is done.
fn started(arguments: &[&str], count: usize) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = program().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut seen = 0;
    while seen < count {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended after {seen} of {count}");
        seen += usize::from(line.contains(" solved"));
    }
    (child, lines)
}

#[test]
fn a_disturbed_run_ends_in_the_results_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path(), "0.02");
    let tasks = suite(folder.path(), 10);
    let (out, whole) = (folder.path().join("out"), folder.path().join("whole"));
    assert_code(&eval(&arguments(&tasks, &endpoint, &whole)), 0);
    let here = arguments(&tasks, &endpoint, &out);

    // Ctrl-C: the task at hand is finished and kept.
    let (mut child, mut lines) = started(&here, 2);
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut said = String::new();
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("of 10 tries, which are kept in") && said.contains("the same command goes on"), "{said}");
    let kept = records(&out).len();
    assert!((2..10).contains(&kept), "{kept}");
    assert!(!out.join("summary.json").exists());

    // Another command may not go on with it.
    let refused = assert_code(&eval(&[&here[..], &["--seed", "5"]].concat()), 2);
    assert!(refused.contains("seed (was 0, is 5)"), "{refused}");
    let refused = assert_code(&eval(&[&here[..], &["--limit", "3"]].concat()), 2);
    assert!(refused.contains("suite tasks (was 10 tasks"), "{refused}");

    // Killed, with a line cut off.
    let (mut child, _lines) = started(&here, 1);
    let busy = assert_code(&eval(&here), 2);
    assert!(busy.contains("is in use by another run"), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    let file = out.join("results.jsonl");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    let left = std::fs::read_to_string(&file).unwrap().lines().count();

    // The same command, with another number at once.
    let done = eval(&[&here[..7], &["--parallel", "3", "--profile=quickstart"]].concat());
    let said = assert_code(&done, 0);
    assert!(said.contains(&format!("{} of 10 tries are done already", left - 2)), "{said}");
    assert_eq!(records(&out), records(&whole));
}
