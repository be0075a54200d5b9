//! Runs that end early: a signal, numbers that are none, a full disk.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::tiny::{Ended, Tiny, names};

/// So many steps that the end is far when something happens.
const LONG: [&str; 2] = ["--set", "train.steps=3000"];

/// A run in the background and the lines of its stderr.
fn start(tiny: &Tiny, arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = tiny.command(&[&LONG, arguments].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

/// The adapter after `step` steps of a run that nobody interrupts, from a folder of its own.
fn undisturbed(tiny: &Tiny, step: usize) -> Vec<u8> {
    let every = format!("checkpoint.every={step}");
    let dir = format!("output.dir={}", tiny.path("other").display());
    let keep = "checkpoint.keep_last=9999";
    let (mut child, mut lines) = start(tiny, &["--set", &every, "--set", &dir, "--set", keep]);
    assert!(lines.any(|line| line.starts_with("checkpoint ")), "no checkpoint was written");
    child.kill().unwrap();
    child.wait().unwrap();
    tiny.read(&format!("other/step-{step:06}/adapter_model.safetensors"))
}

#[test]
fn an_interrupted_run_saves_the_bits_of_an_undisturbed_one() {
    let tiny = Tiny::new();
    let (mut child, mut lines) = start(&tiny, &["--set", "checkpoint.every=1500"]);
    assert!(lines.any(|line| line.starts_with("step ")), "no step was shown");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let hint = |line: &String| line.contains("--set 'train.steps=3000'") && line.contains("--resume");
    assert!(rest.iter().any(hint), "{rest:?}");

    let checkpoints = names(&tiny.path("run"));
    let checkpoint = checkpoints.iter().find(|name| name.starts_with("step-")).unwrap();
    let step: usize = checkpoint["step-".len()..].parse().unwrap();
    assert!((1..1500).contains(&step), "stopped after {step} steps");
    let metrics = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    // And the held-out loss before training.
    assert_eq!(metrics.lines().count(), step + 1);
    let saved = tiny.read(&format!("run/{checkpoint}/adapter_model.safetensors"));
    assert!(saved == undisturbed(&tiny, step), "the signal changed the numbers");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let tiny = Tiny::new();
    let wild = ["--set", "optimizer.learning_rate=1e30", "--set", "checkpoint.every=1"];
    let ended = tiny.run(&wild).expect_code(1).says("step 2: the ").says("step-000001").says("hint: lower");
    assert!(!ended.stderr.contains("panicked"));
    assert_eq!(names(&tiny.path("run")), ["config.toml", "metrics.jsonl", "plan.jsonl", "step-000001", "tensorboard"]);
}

#[test]
#[cfg(unix)]
fn a_full_disk_ends_in_a_clear_error_and_the_run_can_go_on() {
    let tiny = Tiny::new();
    // A limit on the size of files stands in for the disk: the system refuses the write in the same place.
    let limited = |blocks: usize| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let trainer = tiny.command(&[]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(trainer.get_program()).args(trainer.get_args());
        Ended::new(command.current_dir(tiny.path("")).output().unwrap())
    };
    // Blocks of 512 bytes (1024 in some shells): less than the adapter, which is 20 KB.
    limited(12)
        .expect_code(1)
        .says("cannot write `")
        .says("adapter_model.safetensors")
        .says("hint: nothing half-written");
    assert_eq!(names(&tiny.path("run")), ["config.toml", "metrics.jsonl", "plan.jsonl", "tensorboard"]);
    std::fs::remove_dir_all(tiny.path("run")).unwrap();
    // Less than the merged model, which is 110 KB, and more than all else.
    limited(90).expect_code(1).says("merged.partial/model.safetensors");
    assert_eq!(
        names(&tiny.path("run")),
        ["adapter", "config.toml", "metrics.jsonl", "plan.jsonl", "step-000003", "step-000006", "tensorboard"]
    );
    tiny.run(&["--resume"]).expect_code(0);
    assert!(tiny.path("run/merged/model.safetensors").exists());
}
