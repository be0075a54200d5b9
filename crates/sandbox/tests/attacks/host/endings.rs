//! Nothing is left when a session ends, or when its host does.

use crate::{attack, policy, run, rung};
use codeact_sandbox::{Rung, Session};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHILD_VARIABLE: &str = "CODEACT_TEST_HOST";
/// What a killed host may leave running for.
const GONE_MAX: Duration = Duration::from_secs(2);

/// Processes of this machine whose command line holds `mark`, without this one.
fn running(mark: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && *name != own);
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(mark)
    })
    .collect()
}

fn assert_gone(mark: &str) {
    let started = Instant::now();
    while !running(mark).is_empty() {
        assert!(started.elapsed() < GONE_MAX, "`{mark}` still runs as {:?}", running(mark));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A cell that leaves a daemon with `mark` on its command line, deaf to signals and in a session of its own.
fn daemon(mark: &str) -> String {
    format!(
        "import os, signal\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        \
         for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n        \
         os.execvp('sleep', ['sleep', '{mark}'])\n    os._exit(0)\nos.wait()\nimport time; time.sleep(0.1)"
    )
}

#[test]
fn the_end_of_a_session_ends_its_daemons() {
    rung::on_each("host::endings::the_end_of_a_session_ends_its_daemons", |rung| {
        let mark = format!("100{}", std::process::id());
        let mut session = Session::start(&policy(rung, 5000)).unwrap();
        let mut other = Session::start(&policy(rung, 5000)).unwrap();
        run(&mut session, &attack::read("058_reaper").cells[0].replace("4058", &mark));
        run(&mut session, &daemon(&mark));
        assert!(!running(&mark).is_empty(), "nothing was left behind");
        drop(session);
        assert_gone(&mark);
        assert_eq!(crate::see(&mut other, "6 * 7"), "42");
    });
}

#[test]
fn the_end_of_a_branch_leaves_the_others() {
    rung::on_each("host::endings::the_end_of_a_branch_leaves_the_others", |rung| {
        let mark = format!("110{}", std::process::id());
        let mut session = Session::start(&policy(rung, 5000)).unwrap();
        run(&mut session, "x = 1");
        let (mut branch, _) = session.branch(session.cells()).unwrap();
        run(&mut branch, &daemon(&mark));
        drop(branch);
        assert_eq!(crate::see(&mut session, "x"), "1");
        drop(session);
        assert_gone(&mark);
    });
}

#[test]
fn a_killed_host_leaves_nothing() {
    rung::on_each("host::endings::a_killed_host_leaves_nothing", |rung| {
        if let Ok(mark) = std::env::var(CHILD_VARIABLE) {
            return live_until_killed(rung, &mark);
        }
        let mark = format!("120{}", std::process::id());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host::endings::a_killed_host_leaves_nothing", "--nocapture"])
            .env(CHILD_VARIABLE, &mark)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("ready to be killed")), "the host did not start");
        assert!(!running(&mark).is_empty(), "nothing runs that could be left");
        let before = groups_of(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_gone(&mark);
        // Its cgroups are swept by the next host that starts, at the latest.
        let swept = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "judge::a_verdict_follows_from_the_last_line_and_the_end"])
            .output()
            .unwrap();
        assert!(swept.status.success());
        assert_eq!(groups_of(pid), Vec::<String>::new(), "of {before:?}");
        assert!(rung != Rung::Root || !before.is_empty(), "there were no groups to sweep");
    });
}

fn live_until_killed(rung: Rung, mark: &str) {
    let mut session = Session::start(&policy(rung, 60_000)).unwrap();
    let mut other = Session::start(&policy(rung, 60_000)).unwrap();
    run(&mut session, &daemon(mark));
    run(&mut other, &daemon(mark));
    let wait =
        format!("import subprocess\nprint('ready to be killed', flush=True)\nsubprocess.run(['sleep', '{mark}'])");
    let _ = session.run(&wait, &mut |_| println!("ready to be killed"));
}

/// Control groups that process `pid` made.
fn groups_of(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().into_string().unwrap_or_default();
                if name.starts_with("codeact-") && name.split('-').nth(2) == Some(&pid.to_string()) {
                    found.push(name);
                }
                folders.push(entry.path());
            }
        }
    }
    found
}
