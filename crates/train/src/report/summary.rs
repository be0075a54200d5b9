//! A run in a few numbers: as tiles, and for several runs as a table.

use std::fmt::Write;
use std::time::Duration;

use super::curve::smoothed;
use super::folder::Run;
use super::text::{count, number, percent, shortened};
use crate::folder::step_name;
use crate::progress::duration;

/// One number with what it is and what belongs to it.
struct Fact {
    name: &'static str,
    value: String,
    detail: String,
}

/// What there is to say of a run. The names are the same for all runs, a fact that is missing has an empty value.
fn facts(run: &Run) -> Vec<Fact> {
    let fact = |name, (value, detail): (String, String)| Fact { name, value, detail };
    vec![
        fact("Steps", steps(run)),
        fact("Tokens", tokens(run)),
        fact("Time in steps", time(run)),
        fact("Training loss", loss(run)),
        fact("Held-out loss", held_out(run)),
        fact("Success rate", success(run)),
        fact("Checkpoint", checkpoint(run)),
        fact("Peak memory", memory(run)),
    ]
}

type Told = (String, String);

fn steps(run: &Run) -> Told {
    let taken = count(run.history.step_count());
    let value = run.planned("steps").map_or_else(|| taken.clone(), |planned| format!("{taken} of {}", count(planned)));
    let epochs = run.planned("epochs").map(|epochs| format!("{epochs} epoch{}", if epochs == 1 { "" } else { "s" }));
    (value, epochs.unwrap_or_default())
}

fn tokens(run: &Run) -> Told {
    let (all, learned) = (run.history.sum(|row| row.tokens), run.history.sum(|row| row.supervised_tokens));
    match all > 0.0 {
        true => (count(all as u64), format!("{} of them learned", count(learned as u64))),
        false => Told::default(),
    }
}

fn time(run: &Run) -> Told {
    let seconds = run.history.sum(|row| row.seconds).clamp(0.0, 1e12);
    let rate = run.history.sum(|row| row.seconds.and(row.tokens)) / seconds;
    match seconds > 0.0 {
        true => (duration(Duration::from_secs_f64(seconds)), format!("{} tokens per second", number(rate))),
        false => Told::default(),
    }
}

fn loss(run: &Run) -> Told {
    let curve = run.history.curve(|row| row.loss);
    let smooth = smoothed(&curve);
    let detail = if smooth.is_some() { "nats per token; smoothed at the end" } else { "nats per token" };
    match (curve.first(), smooth.as_ref().unwrap_or(&curve).last()) {
        (Some(first), Some(last)) => (format!("{} → {}", number(first.1), number(last.1)), detail.to_owned()),
        _ => Told::default(),
    }
}

fn held_out(run: &Run) -> Told {
    let losses = &run.history.held_out;
    match (losses.first_key_value(), losses.last_key_value()) {
        (Some((first_step, first)), Some((last_step, last))) if first_step != last_step => {
            let change = if *first > 0.0 { format!(", {:+.0}%", 100.0 * (last / first - 1.0)) } else { String::new() };
            let detail = format!("nats per token, steps {} and {}{change}", count(*first_step), count(*last_step));
            (format!("{} → {}", number(*first), number(*last)), detail)
        }
        (Some((step, loss)), _) => (number(*loss), format!("nats per token at step {}", count(*step))),
        _ => Told::default(),
    }
}

fn success(run: &Run) -> Told {
    let rates = &run.history.success;
    let Some((step, last)) = rates.last_key_value() else { return Told::default() };
    let tasks = last.tasks.map(|(solved, tasks)| format!("{} of {} tasks ", count(solved), count(tasks)));
    let detail = format!("{}at step {}", tasks.unwrap_or_default(), count(*step));
    match rates.first_key_value() {
        Some((first_step, first)) if first_step != step => {
            (format!("{} → {}", percent(first.rate), percent(last.rate)), detail)
        }
        _ => (percent(last.rate), detail),
    }
}

fn checkpoint(run: &Run) -> Told {
    let newest = run.checkpoints.last().map(|step| step_name(*step as usize));
    match (&run.history.best_checkpoint, newest) {
        (Some((_, best)), newest) => {
            let newest = newest.map_or_else(String::new, |newest| format!("; the newest is {newest}"));
            (shortened(best, 40), format!("the best{newest}"))
        }
        (None, Some(newest)) => (newest, "the newest".to_owned()),
        _ => Told::default(),
    }
}

fn memory(run: &Run) -> Told {
    run.history.memory_bytes_max().map_or_else(Told::default, |bytes| {
        (crate::describe::bytes(bytes.max(0.0) as usize), "as measured at the steps".to_owned())
    })
}

/// The facts of one run.
pub fn tiles(run: &Run) -> String {
    let mut html = "<dl class=\"tiles\">".to_owned();
    for Fact { name, value, detail } in facts(run).iter().filter(|fact| !fact.value.is_empty()) {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"unit\">{detail}</dd></div>");
    }
    html.push_str("</dl>\n");
    html
}

/// The facts of several runs beside each other, with their colours.
pub fn table(runs: &[Run]) -> String {
    let all: Vec<Vec<Fact>> = runs.iter().map(facts).collect();
    let mut html = "<div class=\"wide\"><table class=\"runs\"><thead><tr><th scope=\"col\">Run</th>".to_owned();
    for (index, run) in runs.iter().enumerate() {
        let _ = write!(
            html,
            "<th scope=\"col\"><svg class=\"key\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"line c{index}\" \
             d=\"M1 4H27\"/></svg>{}<br><small>{}</small></th>",
            shortened(&run.name, 60),
            run.state()
        );
    }
    html.push_str("</tr></thead><tbody>");
    for row in 0..all[0].len() {
        if all.iter().all(|facts| facts[row].value.is_empty()) {
            continue;
        }
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", all[0][row].name);
        for facts in &all {
            let Fact { value, detail, .. } = &facts[row];
            let value = if value.is_empty() { "–" } else { value };
            let _ = write!(html, "<td>{value}<br><small>{detail}</small></td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>\n");
    html
}
