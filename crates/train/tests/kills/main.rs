//! Runs that are killed in the middle of a change of files, torn off in the middle of a write, or refused by the disk:
//! whatever happened, the folder holds no half checkpoint that looks whole, and the run that goes on ends in the bytes of
//! one that nobody disturbed.
//!
//! `CODEACT_KILLS=100` for more than the few of every day.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../all/tiny.rs"]
#[allow(dead_code)]
mod tiny;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use codeact_train::{checkpoint, folder};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use tiny::{Ended, Tiny, names};

/// Kills, and as many refusals, when nothing else is said.
const KILLS: usize = 10;

/// Kills of one run at most before it may end.
const IN_A_ROW_MAX: u32 = 3;

const SETTINGS: [&str; 6] = [
    "train.steps=8",
    "checkpoint.every=1",
    "checkpoint.keep_last=2",
    "checkpoint.keep_every=3",
    "evaluation.every=4",
    "evaluation.samples=1",
];

/// ENOSPC, EIO, EROFS.
const ERRORS: [&str; 3] = ["28", "5", "30"];

struct Room {
    tiny: Tiny,
    library: PathBuf,
}

impl Room {
    fn new() -> Room {
        let tiny = Tiny::new();
        let library = tiny.path("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kills/faults.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success(), "a C compiler is needed");
        Room { tiny, library }
    }

    /// The trainer, with a fault in the `at`th change of files below `run`.
    fn command(&self, run: &str, fault: &str, at: u64) -> Command {
        let dir = self.tiny.path(run);
        let set = format!("output.dir={}", dir.display());
        let settings: Vec<&str> = SETTINGS.iter().chain([&set.as_str()]).flat_map(|key| ["--set", key]).collect();
        let mut command = self.tiny.command(&[&settings[..], &["--resume"]].concat());
        command.env("LD_PRELOAD", &self.library).env("FAULT_DIR", &dir).env("FAULT", fault);
        command.env("FAULT_AT", at.to_string()).env("FAULT_COUNT", self.tiny.path("count"));
        command
    }

    fn run(&self, run: &str, fault: &str, at: u64) -> Ended {
        let _ = std::fs::remove_file(self.tiny.path("count"));
        Ended::new(self.command(run, fault, at).output().unwrap())
    }

    /// Everything that a run left, by name, without wall times, memory and its own place.
    fn results(&self, run: &str) -> Vec<(String, Vec<u8>)> {
        let mut results = Vec::new();
        // Event files of TensorBoard carry times; there is one more of them for every time that a run went on.
        for name in names(&self.tiny.path(run)).into_iter().filter(|name| name != "tensorboard") {
            let path = self.tiny.path(run).join(&name);
            if !path.is_dir() {
                let text =
                    std::fs::read_to_string(&path).unwrap().replace(path.parent().unwrap().to_str().unwrap(), "");
                results.push((name.clone(), if name == "metrics.jsonl" { metrics(&text) } else { text.into_bytes() }));
                continue;
            }
            // Of a checkpoint that is not the last one a run may have been resumed; its settings name its place.
            // Card and manifest of a result name it, too.
            let placed = ["config.toml", "SHA256SUMS", "README.md", "manifest.json"];
            for file in names(&path).into_iter().filter(|file| !placed.contains(&file.as_str())) {
                results.push((format!("{name}/{file}"), std::fs::read(path.join(&file)).unwrap()));
            }
        }
        results
    }

    /// Every folder that looks like a checkpoint is one.
    fn assert_sound(&self, run: &str) {
        for (_, path) in folder::checkpoints(&self.tiny.path(run)) {
            assert_eq!(checkpoint::check(&path), Ok(()), "{}", path.display());
        }
    }
}

fn metrics(text: &str) -> Vec<u8> {
    let rows = text.lines().map(|line| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        let cells = row.as_object_mut().unwrap();
        ["seconds", "memory_bytes"].iter().for_each(|key| drop(cells.remove(*key)));
        row.to_string() + "\n"
    });
    rows.collect::<String>().into_bytes()
}

fn assert_same(found: &[(String, Vec<u8>)], wanted: &[(String, Vec<u8>)], story: &[String]) {
    let names = |results: &[(String, Vec<u8>)]| results.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "{story:?}");
    for ((name, found), (_, wanted)) in found.iter().zip(wanted) {
        assert!(found == wanted, "`{name}` differs after {story:?}");
    }
}

fn trials() -> usize {
    std::env::var("CODEACT_KILLS").ok().map_or(KILLS, |count| count.parse().unwrap())
}

/// The results of an undisturbed run, and the changes of files that it makes.
fn undisturbed(room: &Room) -> (Vec<(String, Vec<u8>)>, u64) {
    room.run("calm", "kill", 0).expect_code(0);
    let changes = String::from_utf8(room.tiny.read("count")).unwrap().parse().unwrap();
    assert!(changes > 100, "only {changes} changes were seen");
    (room.results("calm"), changes)
}

#[test]
fn a_run_that_is_killed_anywhere_ends_in_the_bytes_of_an_undisturbed_one() {
    let room = Room::new();
    let begun = Instant::now();
    let (wanted, changes) = undisturbed(&room);
    let whole = begun.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut kills = 0;
    for trial in 0..trials() {
        let run = format!("run-{trial}");
        let mut story = Vec::new();
        for _ in 0..1 + random.next_u32() % IN_A_ROW_MAX {
            let at = 1 + random.next_u64() % changes;
            let code = match random.next_u32() % 3 {
                0 => {
                    let wait = whole.mul_f64(f64::from(random.next_u32() % 1000) / 1000.0);
                    story.push(format!("a kill after {wait:?}"));
                    killed_after(&room, &run, wait)
                }
                1 => {
                    story.push(format!("a kill before change {at}"));
                    room.run(&run, "kill", at).code
                }
                _ => {
                    story.push(format!("a kill in the middle of change {at}"));
                    room.run(&run, "torn", at).code
                }
            };
            kills += usize::from(code.is_none());
            room.assert_sound(&run);
        }
        room.run(&run, "kill", 0).expect_code(0);
        assert_same(&room.results(&run), &wanted, &story);
        std::fs::remove_dir_all(room.tiny.path(&run)).unwrap();
    }
    eprintln!("{kills} kills in {} runs, {changes} changes of files in an undisturbed one", trials());
    assert!(kills * 2 >= trials(), "only {kills} kills came true");
}

fn killed_after(room: &Room, run: &str, wait: Duration) -> Option<i32> {
    let mut child = room.command(run, "kill", 0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap().code()
}

#[test]
fn a_disk_that_refuses_ends_the_run_with_what_was_saved_named_and_the_run_goes_on_later() {
    let room = Room::new();
    let (wanted, changes) = undisturbed(&room);
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for trial in 0..trials() {
        let run = format!("run-{trial}");
        let at = 1 + random.next_u64() % changes;
        let error = ERRORS[trial % ERRORS.len()];
        let story = [format!("error {error} from change {at} on")];
        let ended = room.run(&run, error, at);
        assert_eq!(ended.code, Some(1), "{story:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("cannot write `"), "{story:?}: {}", ended.stderr);
        if !folder::checkpoints(&room.tiny.path(&run)).is_empty() {
            assert!(ended.stderr.contains("saved so far: "), "{story:?}: {}", ended.stderr);
        }
        room.assert_sound(&run);
        room.run(&run, "kill", 0).expect_code(0);
        assert_same(&room.results(&run), &wanted, &story);
        std::fs::remove_dir_all(room.tiny.path(&run)).unwrap();
    }
}

#[test]
fn a_slow_disk_changes_no_bit_and_a_signal_ends_the_run_as_elsewhere() {
    let room = Room::new();
    let (wanted, _) = undisturbed(&room);
    room.run("slow", "slow", 5).expect_code(0);
    assert_same(&room.results("slow"), &wanted, &["a slow disk".to_owned()]);

    let mut command = room.command("stopped", "slow", 20);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("step ")), "no step was shown");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(said.any(|line| line.starts_with("stopped; checkpoint ")), "no checkpoint was told");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    room.assert_sound("stopped");
    room.run("stopped", "kill", 0).expect_code(0);
    assert_same(&room.results("stopped"), &wanted, &["stopped on a slow disk".to_owned()]);
}
