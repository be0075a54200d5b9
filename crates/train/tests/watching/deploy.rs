//! `deploy/slurm.sbatch` with a scheduler that is played: told to stop it saves and queues again, and goes on.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::tiny::{Tiny, names};

/// The script as SLURM would start it, in a process group of its own, and the lines of its stderr.
fn start(tiny: &Tiny, options: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let bin = tiny.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("scontrol"), "#!/bin/sh\necho \"$@\" >> \"$QUEUE\"\n").unwrap();
    std::fs::set_permissions(bin.join("scontrol"), PermissionsExt::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/slurm.sbatch");
    let mut command = Command::new("bash");
    command.arg(script).arg("settings.toml").args(options).current_dir(tiny.path("")).process_group(0);
    command.env("CODEACT_TRAIN", env!("CARGO_BIN_EXE_codeact-train")).env("SLURM_JOB_ID", "7");
    command.env("QUEUE", tiny.path("queue")).env_remove("SLURM_RESTART_COUNT");
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

fn signal(target: &str) {
    assert!(Command::new("kill").args(["-TERM", "--", target]).status().unwrap().success());
}

#[test]
fn a_preempted_job_saves_is_queued_again_and_goes_on() {
    let tiny = Tiny::new();
    let long = ["--set", "train.steps=3000", "--set", "checkpoint.every=2999"];
    // To the script and the trainer at once, as when a whole job is told to stop.
    let (mut child, mut lines) = start(&tiny, &long);
    assert!(lines.any(|line| line.starts_with("step ")), "no step was shown");
    signal(&format!("-{}", child.id()));
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert_eq!(tiny.read("queue"), b"requeue 7\n");
    let saved = names(&tiny.path("run")).into_iter().find(|name| name.starts_with("step-")).unwrap();

    // To the script alone, as some time before the end.
    let (mut child, mut lines) = start(&tiny, &long);
    let continued = lines.find(|line| line.starts_with("continuing ")).unwrap();
    assert!(continued.contains(&saved), "{continued} after {saved}");
    assert!(lines.any(|line| line.starts_with("step ")), "no step was shown");
    signal(&child.id().to_string());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert_eq!(tiny.read("queue"), b"requeue 7\nrequeue 7\n");
}

#[test]
fn a_job_that_ends_by_itself_is_not_queued_again() {
    let tiny = Tiny::new();
    for (options, code) in [(&["--set", "train.steps=1"][..], 0), (&["--set", "train.stpes=1"], 2)] {
        let (mut child, lines) = start(&tiny, options);
        let said: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said:?}");
        assert!(!tiny.path("queue").exists());
    }
}
