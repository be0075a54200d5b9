//! Random programs. Harmless ones do exactly what a model of them says; of hostile ones the host must always get an
//! answer in time, and know what became of the session.

mod program; // what is run, and what is known of it

use crate::{policy, rung};
use codeact_sandbox::{Cell, CellEnd, Rung, Session, State};
use program::{Kind, Program, Random};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WALL_MS: u64 = 300;
const LATE_MAX: Duration = Duration::from_secs(1);
/// Programs that one session runs.
const REUSES: usize = 40;
const WORKERS: usize = 2;
const CANARY: &str = "canary_of_the_session = 8128";
/// Cells after a hostile program until one is answered as if nothing had been.
const RECOVERY_MAX: usize = 4;

#[test]
fn random_programs_on_rung_a() {
    rung::on(Rung::Root, "fuzz::random_programs_on_rung_a", run_all);
}

#[test]
fn random_programs_on_rung_b() {
    rung::on(Rung::User, "fuzz::random_programs_on_rung_b", run_all);
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[derive(Debug, Default)]
struct Tally {
    predicted: usize,
    ends: BTreeMap<String, usize>,
    latest: Duration,
    late: usize,
    failures: Vec<String>,
}

fn run_all(rung: Rung) {
    let (count, first) = (number("CODEACT_FUZZ_PROGRAMS", 1000), number("CODEACT_FUZZ_SEED", 1));
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut sessions: [Option<(Session, usize)>; 2] = [None, None];
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || tally.lock().unwrap().failures.len() > 5 {
                        return;
                    }
                    let program = Program::draw(&mut Random(seed));
                    let slot = &mut sessions[usize::from(program.kind == Kind::Hostile)];
                    if slot.as_ref().is_none_or(|(_, used)| *used >= REUSES) {
                        *slot = Some((open(rung), 0));
                    }
                    let (session, used) = slot.as_mut().unwrap();
                    *used += 1;
                    if let Err(failure) = check(session, &program, &tally) {
                        *slot = None;
                        let code = program.cells.iter().map(|cell| cell.code.as_str()).collect::<Vec<_>>();
                        let code = code.join("\n# --- next cell\n");
                        tally.lock().unwrap().failures.push(format!("seed {seed}: {failure}\n{code}\n"));
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    crate::report(&format!(
        "rung {}: {count} random programs from seed {first} in {:.0} s: {} cells predicted, ends {:?}, the latest answer \
         {} ms after its limit, {} failures",
        rung.letter(),
        started.elapsed().as_secs_f64(),
        tally.predicted,
        tally.ends,
        tally.latest.as_millis(),
        tally.failures.len()
    ));
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
}

fn open(rung: Rung) -> Session {
    let mut session = Session::start(&policy(rung, WALL_MS)).unwrap();
    crate::run(&mut session, CANARY);
    session
}

fn timed(session: &mut Session, code: &str, tally: &Mutex<Tally>) -> Result<Cell, String> {
    let started = Instant::now();
    let cell = session.run(code, &mut |_| {}).map_err(|error| format!("no answer: {error}"))?;
    let late = started.elapsed().saturating_sub(Duration::from_millis(WALL_MS));
    let mut tally = tally.lock().unwrap();
    tally.latest = tally.latest.max(late);
    tally.late += usize::from(late > LATE_MAX);
    match late > LATE_MAX * 2 {
        true => Err(format!("the answer came {} ms after the limit", late.as_millis())),
        false => Ok(cell),
    }
}

fn check(session: &mut Session, program: &Program, tally: &Mutex<Tally>) -> Result<(), String> {
    let mut is_lost = false;
    for known in &program.cells {
        let cell = timed(session, &known.code, tally)?;
        is_lost |= cell.state == State::Lost;
        let mut tally = tally.lock().unwrap();
        *tally.ends.entry(format!("{:?} {:?}", cell.end, cell.state)).or_default() += 1;
        if program.kind == Kind::Predicted {
            tally.predicted += 1;
            let error = cell.error.as_ref().map(|error| error.name.clone());
            let seen = (cell.stdout.clone(), cell.value.text(), error, cell.state);
            let expected = (known.stdout.clone(), known.value.clone(), known.error.clone(), State::Kept);
            if seen != expected {
                return Err(format!("expected {expected:?}, seen {seen:?}"));
            }
        }
    }
    recover(session, is_lost, tally)
}

/// `6 * 7` works, and the canary is there unless its loss was told.
fn recover(session: &mut Session, mut is_lost: bool, tally: &Mutex<Tally>) -> Result<(), String> {
    let mut seen = Vec::new();
    for _ in 0..RECOVERY_MAX {
        let cell = timed(session, "6 * 7", tally)?;
        is_lost |= cell.state == State::Lost;
        if cell.end == CellEnd::Finished && cell.value.text().as_deref() == Some("42") {
            let name = CANARY.split(' ').next().unwrap();
            let canary = timed(session, name, tally)?;
            is_lost |= canary.state == State::Lost;
            if is_lost {
                timed(session, CANARY, tally)?;
                return Ok(());
            }
            if canary.value.text().as_deref() == Some("8128") {
                return Ok(());
            }
            seen.push(format!("canary {:?} {:?} {}", canary.end, canary.state, canary.observation(300)));
            continue;
        }
        seen.push(format!("{:?} {:?} {}", cell.end, cell.state, cell.observation(300)));
    }
    Err(format!("the session did not recover: {seen:?}"))
}
