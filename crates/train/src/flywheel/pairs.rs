//! What a round does with its pairs: the adapter that it trained learns from them, and what comes of that is measured
//! and judged as a candidate of its own.

use codeact_data::DataError;

use super::state::{Pairs, State};
use super::wheel::Wheel;
use super::{Verdict, save, stages, unchanged, verdict};
use crate::error::TrainError;

/// The pairs that a round has collected; none where the settings want none, or no success met a failure.
///
/// # Errors
/// When they cannot be read.
pub(super) fn begin(wheel: &Wheel<'_>, number: usize) -> Result<Option<Pairs>, TrainError> {
    if wheel.config.preference.is_none() {
        return Ok(None);
    }
    let file = wheel.pairs(number);
    let text = std::fs::read_to_string(&file).map_err(TrainError::read_back(&file))?;
    let (count, sha256) = (text.lines().count(), unchanged::of_file(&file)?);
    Ok((count > 0).then(|| Pairs { count, file, sha256, ..Pairs::default() }))
}

/// How many there are, or why there are none.
pub(super) fn told(pairs: Option<&Pairs>) -> String {
    match pairs {
        Some(pairs) => format!("{} pairs of a success and a failure collected", pairs.count),
        None => "no pairs collected: no task has both a success that is kept and a failure beside it\n\
                 hint: raise `flywheel.samples` or `flywheel.enough`"
            .to_owned(),
    }
}

/// What is left of the pairs of the open round. False when it was asked to stop.
///
/// # Errors
/// What training and measuring say.
pub(super) fn learn(wheel: &Wheel<'_>, state: &mut State) -> Result<bool, TrainError> {
    let round = state.open_round().clone();
    let (number, mut pairs) = (round.number, round.pairs.expect("a round is open behind its verdict for its pairs"));
    let name = format!("pairs {number}");
    if pairs.trained.is_none() {
        let before = round.trained.expect("a round with pairs has trained");
        let config = wheel.pairs_config(number, &before.adapter);
        match stages::train(wheel, config) {
            Ok(None) => return Ok(false),
            Ok(trained) => pairs.trained = trained,
            // None is left, or one that cannot be cut is longer than memory or model allow.
            Err(
                error @ (TrainError::Data(DataError::NothingLeft { .. } | DataError::AllRejected { .. })
                | TrainError::DoesNotFit { .. }
                | TrainError::BeyondContext { .. }),
            ) => {
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                let why = format!("the {} pairs were not learned: {what}", pairs.count);
                (wheel.say)(&format!("{name}: rejected: {why}"));
                pairs.verdict = Some(Verdict { is_kept: false, why });
                return put(wheel, state, pairs);
            }
            Err(error) => return Err(error),
        }
        put(wheel, state, pairs.clone())?;
    }
    let trained = pairs.trained.as_ref().expect("it was trained just now");
    let best = state.best().cloned().expect("the adapter of the start was measured");
    let dir = wheel.round_dir(number).join("pairs");
    let figures = stages::measure(wheel, &name, Some(&trained.adapter), &dir, Some(&best))?;
    let start = state.start.as_ref().expect("the adapter of the start was measured");
    let verdict = verdict::verdict(start, &best, &figures, wheel.flywheel.chat_loss_ratio_max);
    (wheel.say)(&format!("{name}: {}: {}", if verdict.is_kept { "kept" } else { "rejected" }, verdict.why));
    (pairs.figures, pairs.verdict) = (Some(figures), Some(verdict));
    put(wheel, state, pairs)
}

/// Notes how far the open round is with its pairs.
fn put(wheel: &Wheel<'_>, state: &mut State, pairs: Pairs) -> Result<bool, TrainError> {
    state.open_round().pairs = Some(pairs);
    save(wheel, state)?;
    Ok(true)
}
