//! Real groups with real processes in them, as far as this host lets the tests make any.

use super::stale::{Maker, start_time, sweep_hierarchy};
use super::*;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

const LIMITS: Limits = Limits { memory_bytes_max: 128 << 20, processes_max: 10, cpu_percent_max: Some(25) };

/// A group that holds `what`, or a line that says why not.
fn group(what: Resource) -> Option<Group> {
    let (group, missing) = Group::create(&LIMITS);
    if let Some(missing) = missing.iter().find(|missing| missing.what == what) {
        println!("skipped: no {what:?} here: {}", missing.reason);
        return None;
    }
    Some(group)
}

/// Start a program that is in the group before its first instruction.
fn start(group: &Group, program: &str, arguments: &[&str]) -> Child {
    let procs = group.procs().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped());
    // SAFETY: system calls only.
    unsafe {
        command.pre_exec(move || {
            for file in &procs {
                rustix::io::write(file, b"0")?;
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn python(group: &Group, script: &str) -> Child {
    start(group, "python3", &["-I", "-B", "-c", script])
}

fn output(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Wait for a state that comes soon, or fail.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn too_much_memory_kills_and_counts() {
    let Some(group) = group(Resource::Memory) else {
        return;
    };
    assert_eq!(group.out_of_memory_kills(), 0);
    // A quarter of a gigabyte at the very most, should the limit not hold.
    let mut child = python(&group, "print(len([bytes([1]) * 2**20 for _ in range(256)]))");
    assert_eq!(output(&mut child), "");
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert_eq!(group.out_of_memory_kills(), 1);
    assert!(group.memory_bytes().unwrap() <= LIMITS.memory_bytes_max);
    // Less than the limit is fine.
    let mut child = python(&group, "print(len([bytes([1]) * 2**20 for _ in range(64)]))");
    assert_eq!(output(&mut child), "64\n");
    assert!(child.wait().unwrap().success());
    assert_eq!(group.out_of_memory_kills(), 1);
}

#[test]
fn memory_of_many_processes_adds_up() {
    let Some(group) = group(Resource::Memory) else {
        return;
    };
    let script = "
import os, time
for _ in range(4):
    if os.fork() == 0:
        block = bytes([1]) * (48 * 2**20)
        time.sleep(600)
time.sleep(600)
";
    let mut child = python(&group, script);
    eventually("no process was killed", || group.out_of_memory_kills() > 0);
    group.kill();
    child.wait().unwrap();
}

#[test]
fn forks_stop_at_the_limit_and_end_with_the_group() {
    let Some(group) = group(Resource::Processes) else {
        return;
    };
    let script = "
import os, time
started = 0
for _ in range(30):
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
        started += 1
    except BlockingIOError:
        pass
print(started, flush=True)
time.sleep(600)
";
    let mut child = python(&group, script);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim().parse::<u64>().unwrap(), LIMITS.processes_max - 1);
    assert_eq!(group.processes(), Some(LIMITS.processes_max));
    let folders = group.folders.clone();
    let processes = members(&folders[0]);
    assert_eq!(processes.len() as u64, LIMITS.processes_max);
    drop(group);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[test]
fn a_share_of_a_processor() {
    let Some(group) = group(Resource::Cpu) else {
        return;
    };
    let script = "
import time
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
print(time.process_time())
";
    let mut child = python(&group, script);
    let seconds: f64 = output(&mut child).trim().parse().unwrap();
    child.wait().unwrap();
    // A quarter of two seconds, and what a period or two may add.
    assert!(seconds < 1.2, "{seconds} s of processor time in 2 s");
    let statistics = group.text("cpu.stat").unwrap();
    let throttled = statistics.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
    assert_ne!(throttled, "0");
}

#[test]
fn killing_reaches_what_left_its_session_and_ignores_signals() {
    let (group, missing) = Group::create(&LIMITS);
    if group.folders.is_empty() {
        println!("skipped: no groups here: {missing:?}");
        return;
    }
    let script = "
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
";
    // One way with all of the kernel's help, one without.
    for is_plain in [false, true] {
        let mut child = python(&group, script);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let orphan: i32 = line.trim().parse().unwrap();
        let time = start_time(orphan);
        assert!(time.is_some() && members(&group.folders[0]).contains(&orphan));
        if is_plain {
            eventually("rounds did not end the group", || {
                kill_members(&group.folders[0]);
                group.is_empty()
            });
        } else {
            group.kill();
            assert!(group.is_empty());
        }
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        eventually("the orphan lives", || start_time(orphan) != time || is_zombie(orphan));
    }
}

/// Where nobody reaps orphans, as in some containers.
fn is_zombie(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn sweeping_takes_the_groups_of_the_dead() {
    let (group, missing) = Group::create(&LIMITS);
    let (Some(this), false) = (Maker::this(), group.folders.is_empty()) else {
        println!("skipped: no groups here: {missing:?}");
        return;
    };
    let mut ended = Command::new("true").spawn().unwrap();
    let dead = Maker { pid: ended.id() as i32, ..this };
    ended.wait().unwrap();
    let mut living = start(&group, "sleep", &["600"]);
    let pid = living.id() as i32;
    let alive = Maker { pid, start_time: start_time(pid).unwrap(), ..this };
    let stranger = Maker { namespace: this.namespace + 1, ..dead };
    let of = |maker: &Maker| {
        let name = maker.name(0);
        let folders: Vec<_> = group.folders.iter().map(|folder| folder.with_file_name(&name)).collect();
        folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        Group { folders, processes_max: None }
    };
    let (left, kept, foreign) = (of(&dead), of(&alive), of(&stranger));
    let mut orphan = start(&left, "sleep", &["600"]);
    let mut member = start(&kept, "sleep", &["600"]);
    // Only near this process: a test has no business with what else is on the machine.
    for folder in &group.folders {
        let top = folder.parent().unwrap().to_path_buf();
        sweep_hierarchy(&Hierarchy { version: Version::Two, controllers: Vec::new(), own: top.clone(), top }, &this);
    }
    assert_eq!(orphan.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(left.folders.iter().all(|folder| !folder.exists()));
    assert!(kept.folders.iter().chain(&foreign.folders).all(|folder| folder.exists()));
    assert_eq!(member.try_wait().unwrap(), None);
    let folders = [kept.folders.clone(), foreign.folders.clone()].concat();
    drop((kept, foreign));
    assert!(folders.iter().all(|folder| !folder.exists()));
    member.wait().unwrap();
    drop(group);
    living.wait().unwrap();
}

#[test]
fn what_a_host_lacks_is_listed() {
    let nowhere = |version, controllers: &[&str]| Hierarchy {
        version,
        controllers: controllers.iter().map(|name| name.to_string()).collect(),
        top: "/nonexistent".into(),
        own: "/nonexistent/own".into(),
    };
    let (group, missing) = Group::create_in(&[], "codeact-test", &LIMITS);
    let all = [Resource::Memory, Resource::Processes, Resource::Cpu, Resource::Kill];
    assert_eq!(missing.iter().map(|missing| missing.what).collect::<Vec<_>>(), all);
    assert!(group.procs().unwrap().is_empty());
    assert_eq!((group.memory_bytes(), group.out_of_memory_kills(), group.processes()), (None, 0, None));
    let hierarchies = [nowhere(Version::One, &["memory"]), nowhere(Version::Two, &[])];
    let limits = Limits { cpu_percent_max: None, ..LIMITS };
    let (_group, missing) = Group::create_in(&hierarchies, "codeact-test", &limits);
    assert_eq!(missing.iter().map(|missing| missing.what).collect::<Vec<_>>(), [all[0], all[1], all[3]]);
    assert!(missing.iter().all(|missing| missing.reason.starts_with("/nonexistent")), "{missing:?}");
}
