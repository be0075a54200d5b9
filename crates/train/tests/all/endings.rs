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

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
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
    signal(&child, "INT");
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
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
fn checkpoints_are_saved_when_they_are_asked_for_and_the_run_goes_on() {
    let tiny = Tiny::new();
    let (mut child, mut lines) = start(&tiny, &["--set", "checkpoint.every=2999"]);
    for ask in ["signal", "file"] {
        assert!(lines.any(|line| line.starts_with("step ")), "no step was shown");
        match ask {
            "signal" => signal(&child, "USR1"),
            _ => tiny.write("run/save", ""),
        }
        assert!(lines.any(|line| line.starts_with("checkpoint ")), "no checkpoint by {ask}");
    }
    signal(&child, "TERM");
    assert!(lines.any(|line| line.starts_with("stopped; checkpoint ")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!tiny.path("run/save").exists(), "asking is over with that");
}

#[test]
fn a_signal_before_there_is_anything_to_save_ends_the_program_as_a_later_one() {
    for name in ["INT", "TERM"] {
        let tiny = Tiny::new();
        // A hub that takes the question and never answers.
        let hub = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", hub.local_addr().unwrap());
        let mut command = tiny.command(&["--set", "model.name=nobody/nothing"]);
        command.env("HF_ENDPOINT", address).env("HF_HOME", tiny.path("hub")).env_remove("HF_HUB_OFFLINE");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _asked = hub.accept().unwrap();
        signal(&child, name);
        let ended = Ended::new(child.wait_with_output().unwrap());
        ended.expect_code(0).says("stopped before there was anything to save").says("hint: ");
    }
}

#[test]
fn a_run_keeps_others_out_of_its_folder_until_it_ends() {
    let tiny = Tiny::new();
    let (mut child, mut lines) = start(&tiny, &["--set", "checkpoint.every=2999"]);
    assert!(lines.any(|line| line.starts_with("step ")), "no step was shown");
    for arguments in [["--resume"].as_slice(), &["--set", "output.overwrite=true"]] {
        tiny.run(arguments).expect_code(2).says("is in use by another run");
    }
    signal(&child, "TERM");
    assert!(lines.any(|line| line.starts_with("stopped; checkpoint ")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (mut child, mut lines) = start(&tiny, &["--resume"]);
    assert!(lines.any(|line| line.starts_with("continuing ")), "nobody holds it any more");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let tiny = Tiny::new();
    let wild = ["--set", "optimizer.learning_rate=1e30", "--set", "checkpoint.every=1"];
    let ended = tiny.run(&wild).expect_code(1).says("step 2: the ").says("step-000001").says("hint: lower");
    let ended = ended.says("; conversation ").says("train.jsonl`): NaN").says("guard.on_not_finite=rollback");
    assert!(!ended.stderr.contains("panicked"));
    assert_eq!(names(&tiny.path("run")), ["config.toml", "metrics.jsonl", "plan.jsonl", "step-000001", "tensorboard"]);
}

#[test]
fn steps_that_never_get_better_are_taken_back_so_often_and_no_more() {
    let tiny = Tiny::new();
    let wild = ["optimizer.learning_rate=1e30", "guard.on_not_finite=rollback", "checkpoint.every=1", "train.steps=40"];
    let arguments: Vec<&str> = wild.iter().flat_map(|setting| ["--set", setting]).collect();
    let ended = tiny.run(&arguments).expect_code(1).says("step 2: taken back: ").says("5 steps in a row");
    let ended = ended.says("the last checkpoint is `").says("step-000001`");
    let taken_back = || String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap().matches("\"taken_back\"").count();
    let checkpoints = || names(&tiny.path("run")).into_iter().filter(|name| name.starts_with("step-"));
    assert_eq!((taken_back(), checkpoints().collect::<Vec<_>>()), (4, vec!["step-000001".to_owned()]));
    assert!(!ended.stderr.contains("step-000002"), "{}", ended.stderr);

    // Whoever asks has one of those steps, too, and it costs none of before.
    tiny.write("run/save", "");
    tiny.run(&[&arguments[..], &["--resume", "--set", "checkpoint.keep_last=1"]].concat())
        .expect_code(1)
        .says("step-000002`\n")
        .says("5 steps in a row");
    assert_eq!(checkpoints().collect::<Vec<_>>(), ["step-000001", "step-000002"]);
    assert_eq!(taken_back(), 4);
}

#[test]
fn a_held_out_loss_that_is_no_number_ends_the_run_and_spoils_no_checkpoint() {
    let tiny = Tiny::new();
    // The last step alone is measured after what the wild rate has done.
    let wild = ["optimizer.learning_rate=1e30", "train.steps=1", "checkpoint.every=1"];
    tiny.run(&wild.map(|setting| ["--set", setting]).concat()).expect_code(1).says("the held-out loss is ");
    assert!(names(&tiny.path("run")).iter().all(|name| !name.starts_with("step-")), "a checkpoint of nothing");
}

#[test]
fn a_leap_of_the_loss_is_told_taken_back_or_the_end() {
    let tiny = Tiny::new();
    // So little above the steps before that a tiny model does it all the time.
    let leaping = |policy: &str, arguments: &[&str]| {
        let policy = format!("guard.on_spike={policy}");
        let settings = ["--set", "guard.spike=0.15", "--set", &policy, "--set", "train.steps=40"];
        let settings = [&settings[..], &["--set", "optimizer.learning_rate=1e-5", "--set", "checkpoint.keep_last=99"]];
        tiny.run(&[&settings.concat(), arguments].concat())
    };
    let ended = leaping("warn", &[]).expect_code(0).says("warning: step ").says("the loss leaps to");
    assert!(!ended.stderr.contains("taken back"));
    leaping("stop", &["--set", "output.overwrite=true"])
        .expect_code(1)
        .says("the loss leaps to")
        .says("on_spike=rollback");
    leaping("rollback", &["--set", "output.overwrite=true"]).expect_code(0).says(": taken back: the loss leaps to");
    let adapter = "run/step-000040/adapter_model.safetensors";
    let (wanted, metrics) = (tiny.read(adapter), tiny.read("run/metrics.jsonl"));
    let taken_back = |metrics: &[u8]| String::from_utf8_lossy(metrics).matches("taken_back").count();
    assert!(taken_back(&metrics) > 0);
    for step in 21..=40 {
        let _ = std::fs::remove_dir_all(tiny.path(&format!("run/step-{step:06}")));
    }
    let left = names(&tiny.path("run")).into_iter().rfind(|name| name.starts_with("step-")).unwrap();
    leaping("rollback", &["--resume"]).expect_code(0).says(&format!("{left}`"));
    assert!(tiny.read(adapter) == wanted, "resumed with other bits");
    assert_eq!(taken_back(&tiny.read("run/metrics.jsonl")), taken_back(&metrics));
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
