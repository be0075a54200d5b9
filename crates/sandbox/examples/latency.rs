//! Times of the sandbox, as one JSON object on stdout: `latency [--bare] [--rung user] [--python PATH] [PART...]`.
//!
//! Parts: `cells`, `heap`, `sessions`, `loop`, `parallel`, `output`; all of them by default. Lists of times are in
//! milliseconds, in the order in which they were taken. `bench/sandbox.py` runs this beside other executors.

use codeact_sandbox::{Policy, Rung, SandboxError, Session};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between cells that are not back to back: the checkpoint is made after the answer, in the time of whoever reads it.
const PAUSE: Duration = Duration::from_millis(5);
const CELLS: usize = 200;
const UNDOS: usize = 30;
const STARTS: usize = 30;
const IDLE_SESSIONS: usize = 100;
const PARALLEL_SESSIONS: usize = 8;
const PARALLEL_CELLS: usize = 100;
/// Much work for the interpreter.
const LOOP: &str = "total = 0\nfor number in range(100_000):\n    total += number * number";
const LOOPS: usize = 5;
const OUTPUT_BYTES: usize = 50_000_000;
const OUTPUT_ROUNDS: usize = 3;
/// 50 MB in objects of many pages: what a fork has to copy is the page table.
const HEAP: &str = "heap = [bytearray(1000) for _ in range(50_000)]";
/// Little work for the processor, as most cells of an agent.
const LIGHT: &str = "sum(range(1000))";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (policy, mut parts) = arguments()?;
    let all = ["cells", "heap", "sessions", "loop", "parallel", "output"];
    if parts.is_empty() {
        parts = all.map(str::to_string).to_vec();
    }
    let began = Instant::now();
    let session = Session::start(&policy)?;
    let mut result = Map::new();
    result.insert("rung".into(), json!(session.protection().rung));
    result.insert("python".into(), json!(session.python_version()));
    result.insert("imports".into(), json!(policy.imports));
    result.insert("missing".into(), json!(session.protection().missing_modules));
    result.insert("first_start_ms".into(), json!(milliseconds(began)));
    drop(session);
    for part in parts {
        let measured = match part.as_str() {
            "cells" => cells(&policy)?,
            "heap" => heap(&policy)?,
            "sessions" => sessions(&policy)?,
            "loop" => long_loop(&policy)?,
            "parallel" => parallel(&policy)?,
            "output" => output(&policy)?,
            _ => return Err(format!("there is no part `{part}`, only {}", all.join(", ")).into()),
        };
        result.insert(part, measured);
    }
    println!("{}", Value::Object(result));
    Ok(())
}

fn arguments() -> Result<(Policy, Vec<String>), String> {
    let mut policy = Policy::default();
    let mut parts = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--bare" => policy.imports.clear(),
            "--python" => policy.python = value()?.into(),
            "--rung" => {
                let name = value()?;
                let rungs = [Rung::Root, Rung::User, Rung::Weak, Rung::None];
                let rung = rungs.into_iter().find(|rung| rung.name() == name).ok_or("rungs: root, user, weak, none")?;
                (policy.strongest, policy.weakest) = (rung, rung);
            }
            _ => parts.push(argument),
        }
    }
    Ok((policy, parts))
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn run(session: &mut Session, code: &str) -> Result<f64, SandboxError> {
    let began = Instant::now();
    session.run(code, &mut |_| {})?;
    Ok(milliseconds(began))
}

/// Round trips of empty cells.
fn round_trips(session: &mut Session, count: usize, pause: Duration) -> Result<Vec<f64>, SandboxError> {
    for _ in 0..20 {
        run(session, "")?;
    }
    (0..count)
        .map(|_| {
            std::thread::sleep(pause);
            run(session, "")
        })
        .collect()
}

/// Round trips back to back and with a pause. Their difference is what the next cell waits for the checkpoint.
fn both(session: &mut Session) -> Result<Value, SandboxError> {
    let (mut back_to_back, mut paused) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        back_to_back.extend(round_trips(session, CELLS / 4, Duration::ZERO)?);
        paused.extend(round_trips(session, CELLS / 4, PAUSE)?);
    }
    Ok(json!({ "back_to_back_ms": back_to_back, "paused_ms": paused }))
}

fn cells(policy: &Policy) -> Result<Value, SandboxError> {
    both(&mut Session::start(policy)?)
}

/// The same with 50 MB of objects, and undo.
fn heap(policy: &Policy) -> Result<Value, SandboxError> {
    let mut session = Session::start(policy)?;
    run(&mut session, HEAP)?;
    let mut result = both(&mut session)?;
    let (mut undo, mut after, mut how) = (Vec::new(), Vec::new(), BTreeMap::new());
    for _ in 0..UNDOS {
        run(&mut session, "mark = 1")?;
        std::thread::sleep(PAUSE);
        let began = Instant::now();
        let restored = session.undo(1)?;
        undo.push(milliseconds(began));
        // The first cell of a woken interpreter waits for its first checkpoint and touches every page anew.
        after.push(run(&mut session, "")?);
        *how.entry(format!("{restored:?}")).or_insert(0) += 1;
    }
    result["undo_ms"] = json!(undo);
    result["first_cell_after_undo_ms"] = json!(after);
    result["undo_how"] = json!(how);
    Ok(result)
}

/// New sessions from a zygote that is warm, and then many of them alive at once.
fn sessions(policy: &Policy) -> Result<Value, SandboxError> {
    let _warm = Session::start(policy)?;
    let (mut start, mut with_cell) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        let mut session = Session::start(policy)?;
        start.push(milliseconds(began));
        run(&mut session, "")?;
        with_cell.push(milliseconds(began));
    }
    let mut idle = Vec::new();
    for _ in 0..IDLE_SESSIONS {
        let mut session = Session::start(policy)?;
        run(&mut session, "x = 1")?;
        idle.push(session);
    }
    std::thread::sleep(Duration::from_millis(500));
    let memory = memory();
    let total: u64 = memory.values().map(|kind| kind.bytes).sum();
    let kinds: BTreeMap<_, _> = memory
        .iter()
        .map(|(name, kind)| {
            (name, json!({ "processes": kind.processes, "pss_bytes": kind.bytes, "unread": kind.unread }))
        })
        .collect();
    Ok(json!({
        "start_ms": start, "start_and_first_cell_ms": with_cell,
        "idle_sessions": idle.len(), "idle_pss_bytes": total, "idle_by_kind": kinds,
    }))
}

#[derive(Default)]
struct KindOfProcess {
    processes: usize,
    bytes: u64,
    /// Processes whose memory this user may not look at.
    unread: usize,
}

/// Proportional memory of everything below this process, by what it is: a tree of launcher, zygote and first processes,
/// workers, checkpoints.
fn memory() -> BTreeMap<&'static str, KindOfProcess> {
    let parents: BTreeMap<u32, u32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut kinds: BTreeMap<&'static str, KindOfProcess> = BTreeMap::new();
    for pid in parents.keys() {
        let Some(depth) = depth(*pid, &parents) else { continue };
        let is_ours =
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"codeact-sandbox"));
        let name = match (depth, is_ours) {
            (1, _) => "launcher",
            (2, false) => "zygote",
            (2, true) => "init",
            (3, _) => "worker",
            _ => "checkpoint",
        };
        let kind = kinds.entry(name).or_default();
        kind.processes += 1;
        match proportional_bytes(*pid) {
            Some(bytes) => kind.bytes += bytes,
            None => kind.unread += 1,
        }
    }
    kinds
}

fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Steps from this process down to `pid`.
fn depth(pid: u32, parents: &BTreeMap<u32, u32>) -> Option<usize> {
    let mut at = pid;
    for depth in 0..64 {
        if at == std::process::id() {
            return (depth > 0).then_some(depth);
        }
        at = *parents.get(&at)?;
    }
    None
}

fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn long_loop(policy: &Policy) -> Result<Value, SandboxError> {
    let mut session = Session::start(policy)?;
    let mut times = Vec::new();
    for _ in 0..LOOPS {
        std::thread::sleep(PAUSE);
        times.push(run(&mut session, LOOP)?);
    }
    Ok(json!({ "loop_ms": times }))
}

fn light_cells(session: &mut Session) -> Result<(), SandboxError> {
    for _ in 0..PARALLEL_CELLS {
        run(session, LIGHT)?;
    }
    Ok(())
}

/// Cells per second of one session, and of several at once.
fn parallel(policy: &Policy) -> Result<Value, Box<dyn std::error::Error>> {
    let mut rates = BTreeMap::new();
    for count in [1, PARALLEL_SESSIONS] {
        let sessions: Result<Vec<_>, _> = (0..count).map(|_| Session::start(policy)).collect();
        let mut sessions = sessions?;
        let began = Instant::now();
        std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
            let threads: Vec<_> = sessions.iter_mut().map(|session| scope.spawn(|| light_cells(session))).collect();
            for thread in threads {
                thread.join().map_err(|_| "a thread panicked")??;
            }
            Ok(())
        })?;
        rates.insert(count.to_string(), (count * PARALLEL_CELLS) as f64 / began.elapsed().as_secs_f64());
    }
    Ok(json!({ "cells_per_second": rates, "code": LIGHT }))
}

/// Megabytes per second of what a cell prints, in lines of 100 bytes; all of it goes through, and some is kept.
fn output(policy: &Policy) -> Result<Value, Box<dyn std::error::Error>> {
    let mut session = Session::start(policy)?;
    let code = format!(
        "import sys\nlines = ('x' * 99 + '\\n') * 10000\nfor _ in range({}): sys.stdout.write(lines)",
        OUTPUT_BYTES / 1_000_000
    );
    let mut rates = Vec::new();
    for _ in 0..OUTPUT_ROUNDS {
        let began = Instant::now();
        let cell = session.run(&code, &mut |_| {})?;
        rates.push(OUTPUT_BYTES as f64 / 1e6 / began.elapsed().as_secs_f64());
        if let Some(path) = cell.full_output {
            std::fs::remove_file(path)?;
        }
    }
    Ok(json!({ "bytes": OUTPUT_BYTES, "megabytes_per_second": rates }))
}
