//! Whole programs as ranks: as many as there are, killed, stopped, resumed, and started wrongly.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use codeact_train::folder::{Held, Start};
use codeact_train::ranks::launch::Started;
use codeact_train::ranks::{Alone, Collective, Patience, RankError, Tcp, agreement};
use codeact_train::requests::Requests;
use codeact_train::run::{self, Outcome};

use crate::equal::{assert_close, by_threads, prepared};
use crate::tiny::{Ended, Tiny};

/// So many steps that the end is far when something happens.
const LONG: [&str; 2] = ["--set", "train.steps=30000"];

/// How long the others may live when one is killed, on a busy machine.
const SECONDS: Duration = Duration::from_secs(20);

/// A port that was free a moment ago.
fn free_port() -> String {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string()
}

/// As many programs as ranks of one run.
fn start(tiny: &Tiny, count: usize, arguments: &[&str]) -> Vec<Child> {
    let port = free_port();
    (0..count).map(|rank| spawn(tiny.command(arguments), (rank, count), &port)).collect()
}

fn spawn(mut command: Command, (rank, count): (usize, usize), port: &str) -> Child {
    let variables = [("RANK", rank), ("WORLD_SIZE", count), ("LOCAL_RANK", rank)];
    command.envs(variables.map(|(name, value)| (name, value.to_string())));
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(children: Vec<Child>) -> Vec<Ended> {
    children.into_iter().map(|child| Ended::new(child.wait_with_output().unwrap())).collect()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// What rank 0 says, up to a line that begins like this; the rest comes with [`rest_of`].
fn say_until(child: &mut Child, beginning: &str) -> BufReader<std::process::ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "no line `{beginning}` in:\n{all}");
        if line.starts_with(beginning) {
            return said;
        }
        all += &line;
    }
}

fn rest_of(mut said: BufReader<std::process::ChildStderr>) -> String {
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
    rest
}

#[test]
fn processes_give_what_one_rank_and_threads_give() {
    let tiny = Tiny::new();
    let settings = ["train.accumulation=5", "train.steps=4", "checkpoint.every=2"];
    run::train(&prepared(&tiny, "one", &settings), &Start::Fresh, Held::default(), &Requests::default(), &Alone)
        .unwrap();
    for count in [2, 3] {
        let (dir, threads) = (format!("tcp-{count}"), format!("threads-{count}"));
        let output = format!("output.dir={}", tiny.path(&dir).display());
        let mut arguments = vec!["--set", &output];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        for (rank, ended) in ended(start(&tiny, count, &arguments)).into_iter().enumerate() {
            let ended = ended.expect_code(0);
            // Only rank 0 speaks.
            assert!(rank == 0 || ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
            assert!(rank > 0 || ended.stderr.contains(&format!("ranks    {count}, over TCP")), "{ended:?}");
        }
        assert_close(&tiny, "one", &dir);
        by_threads(&prepared(&tiny, &threads, &settings), count);
        for name in ["step-000002/optimizer.safetensors", "step-000004/adapter_model.safetensors"] {
            let bytes = |dir: &str| tiny.read(&format!("{dir}/{name}"));
            assert!(bytes(&dir) == bytes(&threads), "{count} ranks over TCP and as threads: {name}");
        }
    }
}

#[test]
fn a_killed_rank_ends_all_and_as_many_others_go_on() {
    let tiny = Tiny::new();
    // Killed: one of the others, then rank 0 itself.
    for (count, victim) in [(3, 1), (2, 0)] {
        let resume: &[&str] = if victim == 1 { &[] } else { &["--resume"] };
        let mut children = start(&tiny, count, &[&LONG, resume, &["--set", "checkpoint.every=20"]].concat());
        let said = say_until(&mut children[0], "step ");
        signal(&children[victim], "KILL");
        let begun = Instant::now();
        let rest = rest_of(said);
        for (rank, ended) in ended(children).into_iter().enumerate().filter(|(rank, _)| *rank != victim) {
            assert!(begun.elapsed() < SECONDS, "rank {rank} lived on");
            assert_eq!(ended.code, Some(1), "rank {rank}: {rest}{}", ended.stderr);
            let told = if rank == 0 { &rest } else { &ended.stderr };
            assert!(told.contains(&format!("rank {victim} is gone: its connection closed")), "rank {rank}: {told}");
            assert!(told.contains("hint: all ranks end with it"), "{told}");
        }
        assert!(victim == 0 || rest.contains("saved so far: checkpoint `"), "{rest}");
    }
    // What they left is whole, and any number of ranks goes on; a signal to any one stops all.
    for (count, signalled) in [(2, 1), (1, 0), (3, 0)] {
        let mut children = start(&tiny, count, &[&LONG[..], &["--resume"]].concat());
        let said = say_until(&mut children[0], "step ");
        signal(&children[signalled], "TERM");
        let rest = rest_of(said);
        for (rank, ended) in ended(children).into_iter().enumerate() {
            assert_eq!(ended.code, Some(0), "rank {rank} of {count}: {rest}{}", ended.stderr);
        }
        assert!(rest.contains("stopped; checkpoint `"), "{count} ranks: {rest}");
    }
}

#[test]
fn ranks_of_different_runs_are_refused_by_what_differs() {
    let tiny = Tiny::new();
    let port = free_port();
    let zero = spawn(tiny.command(&[]), (0, 2), &port);
    let one = spawn(tiny.command(&["--set", "train.seed=8"]), (1, 2), &port);
    for ended in ended(vec![zero, one]) {
        ended.expect_code(2).says("rank 1: this is not the run of rank 0").says("`train.seed` was");
    }
    assert!(!tiny.path("run").exists(), "nothing is written before all agree");
    // A fault of one rank's own is told to all.
    let zero = spawn(tiny.command(&[]), (0, 2), &port);
    let one = spawn(tiny.command(&["--set", "model.name=no/where/at/all"]), (1, 2), &port);
    let ended = ended(vec![zero, one]);
    let told = ended[1].stderr.strip_prefix("error: on rank 1: ").unwrap();
    let what = told.lines().next().unwrap();
    assert!(ended[0].stderr.contains(&format!("rank 1 is gone: it ended: {what}")), "{}", ended[0].stderr);
    assert_eq!(ended[0].code, Some(1));
}

#[test]
fn variables_and_arguments_that_cannot_be_end_in_one_error() {
    let tiny = Tiny::new();
    let told = |variables: &[(&str, &str)], told: &str| {
        let mut command = tiny.command(&[]);
        let ended = Ended::new(command.envs(variables.iter().copied()).output().unwrap()).expect_code(2).says(told);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    };
    told(&[("WORLD_SIZE", "0"), ("RANK", "0")], "`WORLD_SIZE` is \"0\", expected a whole number from 1");
    told(&[("WORLD_SIZE", "2"), ("RANK", "2")], "`RANK` is \"2\", expected a whole number from 0 to 1");
    told(&[("RANK", "0")], "`WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT` are not");
    let slurm = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")];
    told(&slurm, "`SLURM_LOCALID`, `SLURM_JOB_NODELIST` are not");
    let slurm = [&slurm[..], &[("SLURM_LOCALID", "0"), ("SLURM_JOB_NODELIST", "a[")]].concat();
    told(&slurm, "`SLURM_JOB_NODELIST` is \"a[\", expected hosts such as");
    let lost =
        [("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "no host"), ("MASTER_PORT", "1")];
    told(&lost, "cannot find the host `no host` of rank 0");
    tiny.run(&["--gpus", "0"]).expect_code(2);
    if !codeact_ops::device::BUILT_WITH_CUDA {
        tiny.run(&["--gpus", "2"]).expect_code(2).says("`--gpus 2` asks for as many GPUs, and this build has no CUDA");
    }
    let mut started = tiny.command(&["--gpus", "2"]);
    started.envs([("RANK", "0"), ("WORLD_SIZE", "1")]);
    Ended::new(started.output().unwrap()).expect_code(2);
}

#[test]
fn a_program_starts_its_ranks_and_ends_them() {
    let tiny = Tiny::new();
    let settings = ["train.steps=4", "train.threads=1"];
    let dir = format!("output.dir={}", tiny.path("started").display());
    let cache = format!("train.cache={}", tiny.path("cache").display());
    let arguments = |config: &str| {
        let mut arguments: Vec<std::ffi::OsString> = vec!["--config".into(), tiny.path(config).into()];
        let settings = settings.iter().copied().chain([&dir[..], &cache]);
        arguments.extend(settings.flat_map(|setting| ["--set".into(), setting.into()]));
        arguments
    };
    let program = || Some(env!("CARGO_BIN_EXE_codeact-train").into());
    let hang = |error: &RankError| panic!("{error}");
    let (started, team, point) = Started::start(program(), &arguments("settings.toml"), 3).unwrap();
    let ranks = Tcp::meet(team.place, &team.meeting, Some(point), Patience::default(), hang).unwrap();
    let config = prepared(&tiny, "started", &settings).config;
    let device = Some(candle_core::Device::Cpu);
    let run = agreement::prepared(config, device, &ranks, &|_| {}, &()).unwrap();
    let outcome = run::train(&run, &Start::Fresh, Held::default(), &Requests::default(), &ranks).unwrap();
    assert!(matches!(outcome, Outcome::Finished { step: 4, .. }), "{outcome:?}");
    ranks.leave(None);
    started.wait();
    // One that ends before it comes is not waited for.
    let begun = Instant::now();
    let (started, team, point) = Started::start(program(), &arguments("nothing.toml"), 2).unwrap();
    let error = Tcp::meet(team.place, &team.meeting, Some(point), Patience::default(), hang).unwrap_err();
    assert!(error.to_string().starts_with("rank 1 is gone: it ended at its start (exit status: 2)"), "{error}");
    drop(started);
    assert!(begun.elapsed() < SECONDS);
    // One that waits for ever is ended with this one.
    let (started, ..) = Started::start(program(), &arguments("settings.toml"), 3).unwrap();
    drop(started);
    assert!(begun.elapsed() < SECONDS);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_ends_with_the_process_that_started_it() {
    let tiny = Tiny::new();
    let trainer = tiny.command(&[]);
    let mut command = Command::new("sh");
    // Rank 0 never comes, so that the rank would wait for minutes.
    command.arg("-c").arg("CODEACT_PARENT_PROCESS=$$ \"$0\" \"$@\" & echo started; wait");
    command.arg(trainer.get_program()).args(trainer.get_args());
    let mut parent = spawn(command, (1, 2), &free_port());
    let mut said = BufReader::new(parent.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let begun = Instant::now();
    // The rank has the same stdout: its end is the end of both.
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert!(begun.elapsed() < SECONDS, "the rank lived on");
}
