//! Every file of `attacks/`, each in a session of its own, beside a session that must not notice.

use crate::attack::{self, Attack};
use crate::bystander::{Bystander, Listeners};
use crate::judge::{Verdict, judge};
use crate::rung;
use codeact_sandbox::{Cell, Rung, Session, State};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
/// The kernel counts the processes of all sessions together, and an attack on their number reaches the others.
const WORKERS_WEAK: usize = 1;
/// A cell has ended at the latest this long after its limit.
const LATE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    skipped: Vec<String>,
    failed: Vec<String>,
    latest: Option<(Duration, String)>,
    lost: usize,
    slow: Vec<(Duration, String)>,
}

#[test]
fn attacks_on_rung_a() {
    rung::on(Rung::Root, "catalogue::attacks_on_rung_a", run_all);
}

#[test]
fn attacks_on_rung_b() {
    rung::on(Rung::User, "catalogue::attacks_on_rung_b", run_all);
}

#[test]
fn attacks_on_rung_c() {
    rung::on(Rung::Weak, "catalogue::attacks_on_rung_c", run_all);
}

fn run_all(rung: Rung) {
    let started = Instant::now();
    let _listeners = Listeners::start();
    // The longest first, so that no worker is left with one at the end.
    let mut attacks = attack::all();
    attacks.sort_by_key(|attack| attack.seconds);
    let waiting = Mutex::new(attacks);
    let tally = Mutex::new(Tally::default());
    let late = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..if rung == Rung::Weak { WORKERS_WEAK } else { WORKERS } {
            scope.spawn(|| {
                let mut bystander = Bystander::start(&crate::policy(rung, 10_000));
                loop {
                    let Some(attack) = waiting.lock().unwrap().pop() else { return };
                    let begun = Instant::now();
                    let verdict = one(rung, &attack, &mut bystander, &tally);
                    if let Verdict::Late(_) = verdict {
                        late.lock().unwrap().push(attack);
                    } else {
                        note(&attack, verdict, begun.elapsed(), &mut tally.lock().unwrap());
                    }
                }
            });
        }
    });
    // Beside others on a small machine, one may have had to wait for a processor. On its own it must be in time.
    let mut bystander = Bystander::start(&crate::policy(rung, 10_000));
    for attack in late.into_inner().unwrap() {
        crate::report(&format!("rung {}: {} was late beside others, and runs again alone", rung.letter(), attack.name));
        let begun = Instant::now();
        tally.lock().unwrap().latest = None;
        let verdict = one(rung, &attack, &mut bystander, &tally);
        note(&attack, verdict, begun.elapsed(), &mut tally.lock().unwrap());
    }
    let tally = tally.into_inner().unwrap();
    finish(rung, tally, started.elapsed());
}

fn note(attack: &Attack, verdict: Verdict, took: Duration, tally: &mut Tally) {
    tally.slow.push((took, attack.name.clone()));
    match verdict {
        Verdict::Passed => tally.passed += 1,
        Verdict::Skipped(reason) => tally.skipped.push(format!("{}: {reason}", attack.name)),
        Verdict::Late(reason) | Verdict::Failed(reason) => tally.failed.push(format!("{}: {reason}", attack.name)),
    }
}

fn finish(rung: Rung, mut tally: Tally, took: Duration) {
    tally.skipped.sort();
    tally.failed.sort();
    tally.slow.sort();
    let letter = rung.letter();
    for line in &tally.skipped {
        crate::report(&format!("skipped: rung {letter}: {line}"));
    }
    let (latest, of) = tally.latest.unwrap_or_default();
    crate::report(&format!(
        "rung {letter}: {} attacks passed, {} skipped, {} failed; {} ended with variables lost; {:.0} s; the latest answer \
         came {} ms after its limit ({of})",
        tally.passed,
        tally.skipped.len(),
        tally.failed.len(),
        tally.lost,
        took.as_secs_f64(),
        latest.as_millis(),
    ));
    for (took, name) in tally.slow.iter().rev().take(5) {
        crate::report(&format!("rung {letter}: {name} took {:.1} s", took.as_secs_f64()));
    }
    assert!(
        tally.failed.is_empty(),
        "{} attacks failed on rung {letter}:\n{}",
        tally.failed.len(),
        tally.failed.join("\n")
    );
}

fn one(rung: Rung, attack: &Attack, bystander: &mut Bystander, tally: &Mutex<Tally>) -> Verdict {
    let mut session = match Session::start(&crate::policy(rung, attack.seconds * 1000)) {
        Ok(session) => session,
        Err(error) => return Verdict::Failed(format!("no session: {error}")),
    };
    if let Some(layer) = attack.layer.filter(|layer| !session.protection().holds(*layer)) {
        return Verdict::Skipped(format!("{layer:?} does not hold"));
    }
    let mut last = None;
    let mut was_lost = false;
    for cell in &attack.cells {
        match timed(&mut session, attack, cell, tally) {
            Ok(cell) => {
                was_lost |= cell.state == State::Lost;
                last = Some(cell);
            }
            Err(verdict) => return verdict,
        }
    }
    let after = match aftermath(&mut session, attack, tally) {
        Err(Verdict::Late(reason)) => return Verdict::Late(reason),
        Err(Verdict::Failed(reason)) => Err(reason),
        _ => Ok(()),
    };
    tally.lock().unwrap().lost += usize::from(was_lost);
    let verdict = judge(attack, &last.unwrap());
    match [after, bystander.look()].into_iter().filter_map(Result::err).collect::<Vec<_>>() {
        wrong if wrong.is_empty() => verdict,
        wrong => Verdict::Failed(format!("{}; the attack itself: {verdict:?}", wrong.join("; "))),
    }
}

/// The next cell works, in what is left or in a fresh interpreter.
fn aftermath(session: &mut Session, attack: &Attack, tally: &Mutex<Tally>) -> Result<(), Verdict> {
    for attempt in 0.. {
        let cell = timed(session, attack, "6 * 7", tally)?;
        let text = cell.value.text().unwrap_or_default();
        match cell.state {
            State::Kept if text == "42" => return Ok(()),
            State::Kept if attack.forges => {
                session.undo(session.cells()).map_err(|error| Verdict::Failed(format!("no way back: {error}")))?;
            }
            // A loss is said once, by the cell that finds out, and what runs then is clean.
            State::Lost if text == "42" => return Ok(()),
            State::Lost if attempt == 0 => {}
            State::RolledBack if attempt < 2 => {}
            state => {
                let shown = cell.observation(500);
                return Err(Verdict::Failed(format!("the next cell {:?}, {state:?}: `{shown}`", cell.end)));
            }
        }
    }
    unreachable!("the loop returns");
}

fn timed(session: &mut Session, attack: &Attack, code: &str, tally: &Mutex<Tally>) -> Result<Cell, Verdict> {
    let started = Instant::now();
    let cell = session.run(code, &mut |_| {}).map_err(|error| Verdict::Failed(format!("no answer: {error}")))?;
    let late = started.elapsed().saturating_sub(Duration::from_secs(attack.seconds));
    let mut tally = tally.lock().unwrap();
    if tally.latest.as_ref().is_none_or(|(latest, _)| *latest < late) {
        tally.latest = Some((late, attack.name.clone()));
    }
    match late > LATE_MAX {
        true => Err(Verdict::Late(format!("the answer came {} ms after the limit: {:?}", late.as_millis(), cell.end))),
        false => Ok(cell),
    }
}
