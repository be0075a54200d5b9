//! Making ready together, and making sure that it is the same run.

use candle_core::Device;
use codeact_data::Watch;
use serde::{Deserialize, Serialize};

use super::{Collective, Place, RankError};
use crate::checkpoint::{Identity, differences};
use crate::config::Config;
use crate::error::TrainError;
use crate::prepare::Prepared;

/// What every rank says of the run that it is ready for.
#[derive(Serialize, Deserialize)]
struct Ready {
    identity: Identity,
    pass_tokens: usize,
}

/// [`Prepared::new`] on all ranks. Rank 0 goes first, so that what it fetches and encodes is there for those that see the
/// same files. Passes are as small as the rank with the least memory needs them, so that all share the same ones.
///
/// # Errors
/// Every fault of settings and input; and when ranks are of different runs, with what differs.
pub fn prepared(
    config: Config,
    device: Option<Device>,
    ranks: &dyn Collective,
    say: &dyn Fn(&str),
    watch: &dyn Watch,
) -> Result<Prepared, TrainError> {
    let is_first = ranks.place().is_first();
    if !is_first {
        ranks.gather(&[])?;
    }
    let mut run = Prepared::new(config, device, say, watch)?;
    if is_first {
        ranks.gather(&[])?;
    }
    let ready = Ready { identity: run.identity.clone(), pass_tokens: run.fit.pass_tokens };
    let all = ranks.gather(&serde_json::to_vec(&ready).expect("plain values are JSON"))?;
    let mut first: Option<Ready> = None;
    for (rank, theirs) in all.iter().enumerate() {
        let nonsense = |error| RankError::Nonsense { rank, what: format!("what is no run: {error}") };
        let theirs: Ready = serde_json::from_slice(theirs).map_err(nonsense)?;
        run.fit.pass_tokens = run.fit.pass_tokens.min(theirs.pass_tokens);
        let first = first.get_or_insert_with(|| Ready { identity: theirs.identity.clone(), ..theirs });
        let differences = differences(&first.identity, &theirs.identity);
        if !differences.is_empty() {
            let what = format!("this is not the run of rank 0 (\"there\"): {}", differences.join("; "));
            return Err(RankError::Differ { ranks: vec![rank], what }.into());
        }
    }
    if let Some(note) = idle(&run, ranks.place()) {
        say(&note);
    }
    Ok(run)
}

/// What is to say when ranks have nothing to do.
fn idle(run: &Prepared, place: Place) -> Option<String> {
    let (documents, pass_tokens) = (&run.data.train.documents, run.fit.pass_tokens);
    let passes = |step: &codeact_data::Step| -> usize {
        step.packs.iter().map(|pack| pack.passes(documents, pass_tokens).len()).sum()
    };
    let most = run.plan.steps.iter().map(passes).max().unwrap_or(0);
    (most < place.count).then(|| {
        format!(
            "note: steps have {most} passes at most, so that {} of {} ranks have nothing to do\n\
             hint: raise `train.accumulation`, or start fewer ranks",
            place.count - most,
            place.count
        )
    })
}
