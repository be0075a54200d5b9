//! A flywheel in a few lines, for a terminal.

use std::fmt::Write;

use super::{Figures, State};

/// A line for each adapter that was measured, the best one marked.
pub fn table(state: &State) -> String {
    let mut text = format!(
        "{:<10} {:>16} {:>17} {:>10} {:>9}  {}\n",
        "", "solved", "95 % interval", "chat loss", "of start", "against the best before"
    );
    let best = state.best().map(|best| best.name.clone());
    let start_loss = state.start.as_ref().map(|start| start.chat_loss);
    for figures in measured(state) {
        put(&mut text, figures, start_loss, best.as_deref() == Some(&figures.name));
    }
    for round in &state.rounds {
        let of_pairs = round.pairs.as_ref().and_then(|pairs| pairs.verdict.as_ref());
        for (name, verdict) in [("round", round.verdict.as_ref()), ("pairs", of_pairs)] {
            if let Some(verdict) = verdict {
                let kept = if verdict.is_kept { "kept" } else { "rejected" };
                let _ = writeln!(text, "{name} {}: {kept}: {}", round.number, verdict.why);
            }
        }
    }
    text
}

/// Everything that was measured, in order.
pub fn measured(state: &State) -> impl Iterator<Item = &Figures> {
    let rounds = state.rounds.iter().flat_map(|round| {
        let of_pairs = round.pairs.iter().filter_map(|pairs| pairs.figures.as_ref());
        round.figures.iter().chain(of_pairs)
    });
    state.base.iter().chain(&state.start).chain(rounds)
}

fn put(text: &mut String, figures: &Figures, start_loss: Option<f64>, is_best: bool) {
    let rate = &figures.metric;
    let solved = format!("{}/{} {:.1} %", rate.solved, rate.tasks, 100.0 * rate.rate());
    let interval = format!("{:.1} to {:.1} %", 100.0 * rate.low, 100.0 * rate.high);
    let ratio = start_loss.map_or(String::new(), |start| format!("{:.3}", figures.chat_loss / start));
    let versus = figures.versus.as_ref().map_or(String::new(), |versus| {
        format!(
            "{:+.1} points, {} won, {} lost, p = {:.3}",
            100.0 * versus.difference,
            versus.won,
            versus.lost,
            versus.p
        )
    });
    let mark = if is_best { "  <- best" } else { "" };
    let name = &figures.name;
    let _ =
        writeln!(text, "{name:<10} {solved:>16} {interval:>17} {:>10.4} {ratio:>9}  {versus}{mark}", figures.chat_loss);
}
