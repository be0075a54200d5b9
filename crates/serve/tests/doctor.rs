//! `codeact-chat doctor` as people run it, and as what kinds of users.
#![allow(clippy::unwrap_used)]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_codeact-chat");
/// `nobody`: has no files and no rights.
const USER: u32 = 65_534;

fn doctor(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("doctor").args(arguments).output().unwrap()
}

/// As a user without rights, from a folder that everybody can read. `None`: this is not root, which could do so.
fn doctor_as_user(arguments: &[&str]) -> Option<Output> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let folder = tempfile::Builder::new().prefix("codeact-test-").tempdir_in("/tmp").unwrap();
    let reachable = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("codeact-chat");
    std::fs::copy(PROGRAM, &program).unwrap();
    reachable(folder.path());
    reachable(&program);
    let mut command = Command::new(&program);
    command.arg("doctor").args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
    Some(command.uid(USER).gid(USER).output().unwrap())
}

/// Standard output and the exit status.
fn said(output: &Output) -> (String, i32) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (text, output.status.code().unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All that the attacks of one run came to, after checking that the report is whole.
fn assert_holds(output: &Output) {
    let (text, status) = said(output);
    let lines = lines(&text);
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert_eq!((first["type"].as_str(), lines[1]["type"].as_str()), (Some("machine"), Some("python")));
    let failed: Vec<&Value> = lines.iter().filter(|line| line["verdict"] == "failed").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!((last["type"].as_str(), last["holds"].as_bool(), status), (Some("summary"), Some(true), 0));
    assert!(last["held"].as_u64().unwrap() >= 20, "{last}");
    assert_eq!(last["held"].as_u64().unwrap() + last["skipped"].as_u64().unwrap(), lines.len() as u64 - 3);
    // What is skipped is what the machine was said not to hold.
    for skipped in lines.iter().filter(|line| line["verdict"] == "skipped") {
        let layers = first["protection"]["layers"].as_array().unwrap();
        let holds = layers.iter().any(|state| state["layer"] == skipped["layer"] && state["holds"] == true);
        assert!(!holds || !skipped["detail"].as_str().unwrap().contains("does not hold"), "{skipped}");
    }
}

#[test]
fn the_sandbox_holds_for_whoever_runs_this() {
    assert_holds(&doctor(&["--json"]));
}

#[test]
fn the_sandbox_holds_for_a_user_without_rights() {
    match doctor_as_user(&["--json"]) {
        Some(output) => assert_holds(&output),
        None => println!("skipped: not started by root, who could become another user"),
    }
}

#[test]
fn the_report_for_people_ends_with_one_line() {
    let (text, status) = said(&doctor(&["--preimport="]));
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("doctor: ok: rung ") && last.contains("attacks held"), "{last}");
    assert_eq!((text.matches("doctor: ").count(), status), (1, 0));
    assert!(text.starts_with("sandbox: rung ") && text.contains("\npython  "), "{text}");
}

#[test]
fn without_a_sandbox_it_fails_and_attacks_nothing() {
    let (text, status) = said(&doctor(&["--json", "--unsafe-no-sandbox", "--preimport="]));
    let lines = lines(&text);
    let last = lines.last().unwrap();
    assert_eq!((last["holds"].as_bool(), last["held"].as_u64(), status), (Some(false), Some(0), 1));
    assert!(lines[2..lines.len() - 1].iter().all(|line| line["verdict"] == "skipped"));
    let (text, _) = said(&doctor(&["--unsafe-no-sandbox", "--preimport="]));
    assert!(text.contains("NO SANDBOX") && text.lines().last().unwrap().starts_with("doctor: FAILED"), "{text}");
}

#[test]
fn what_cannot_be_is_told_from_what_does_not_hold() {
    assert_eq!(doctor(&["--sandbox", "none"]).status.code(), Some(2));
    let (text, status) = said(&doctor(&["--python", "no-such-python"]));
    assert!(text.starts_with("error: cannot run Python `no-such-python`"), "{text}");
    assert_eq!((text.lines().last().unwrap().starts_with("doctor: FAILED"), status), (true, 2));
    // Nobody but root has the best rung.
    match doctor_as_user(&["--sandbox", "root"]) {
        Some(output) => {
            let (text, status) = said(&output);
            assert!(text.contains("not started by root"), "{text}");
            assert_eq!((text.lines().last().unwrap().starts_with("doctor: FAILED"), status), (true, 1));
        }
        None => println!("skipped: not started by root, who could become another user"),
    }
}
