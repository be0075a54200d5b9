//! One page about a flywheel: what each round collected, trained and measured.

use std::fmt::Write;
use std::time::Duration;

use codeact_data::page::text::{count, number, percent, shortened};
use codeact_data::page::{end, head, put_section};

use super::table::measured;
use super::{Figures, Pairs, Rate, Round, State, Verdict};
use crate::progress::duration;

/// Widths and heights of the chart, in its own units.
const ROW: usize = 34;
const LEFT: usize = 90;
const SCALE: usize = 560;

/// The page.
///
/// * `dir`, `model`: as the settings name them; every text is escaped.
/// * `rounds`: how many there are to be.
pub fn html(dir: &str, model: &str, rounds: usize, state: &State) -> String {
    let title = format!("Flywheel {}", shortened(dir, 60));
    let mut page = head(&title);
    let over = state.rounds_over();
    let (class, how_far) = match over >= rounds {
        true => ("finished", "finished".to_owned()),
        false => ("open", format!("{over} of {rounds} rounds: going on, or stopped")),
    };
    let _ = writeln!(
        page,
        "<header><h1>{title}</h1><p><span class=\"state {class}\">{how_far}</span> {} · <code>{}</code></p></header>",
        shortened(model, 80),
        shortened(dir, 200)
    );
    page.push_str(&tiles(state));
    put_section(&mut page, "success", "Held-out tasks solved", &chart(state));
    put_section(&mut page, "measured", "What was measured", &figures_table(state));
    put_section(&mut page, "rounds", "What each round did", &rounds_table(&state.rounds));
    put_section(&mut page, "dropped", "Attempts that were not kept", &dropped_table(&state.rounds));
    page.push_str(&end("codeact-train", "flywheel.json"));
    page
}

/// From the start to the best.
fn tiles(state: &State) -> String {
    let (Some(start), Some(best)) = (&state.start, state.best()) else { return String::new() };
    let first = state.base.as_ref().unwrap_or(start);
    let mut html = "<dl class=\"tiles\">".to_owned();
    let mut put = |name: &str, value: String, detail: String| {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"unit\">{detail}</dd></div>");
    };
    let rate = |rate: &Rate| percent(rate.rate());
    put(
        "Success rate",
        format!("{} → {} → {}", rate(&first.metric), rate(&start.metric), rate(&best.metric)),
        format!("{}, start, and {}", shortened(&first.name, 40), shortened(&best.name, 40)),
    );
    put(
        "Chat loss",
        format!("{} → {}", number(start.chat_loss), number(best.chat_loss)),
        format!("nats per token, {:+.1}% of the start", 100.0 * (best.chat_loss / start.chat_loss - 1.0)),
    );
    let kept: usize = state.rounds.iter().filter_map(|round| round.collected.as_ref()).map(|one| one.kept).sum();
    put("Collected", count(kept as u64), "conversations, verified by running them again".to_owned());
    put("Time", time(seconds(state)), "of all stages, as far as they were not interrupted".to_owned());
    html.push_str("</dl>\n");
    html
}

fn seconds(state: &State) -> f64 {
    let rounds = state.rounds.iter().map(|round| {
        let collected = round.collected.as_ref().map_or(0.0, |collected| collected.seconds);
        let of_pairs = round.pairs.as_ref().and_then(|pairs| pairs.trained.as_ref());
        collected + round.trained.iter().chain(of_pairs).map(|trained| trained.seconds).sum::<f64>()
    });
    measured(state).map(|figures| figures.seconds).sum::<f64>()
        + state.start_seconds.unwrap_or(0.0)
        + rounds.sum::<f64>()
}

fn time(seconds: f64) -> String {
    duration(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// Rates with their intervals, one below the other on a scale from 0 to 100 %.
fn chart(state: &State) -> String {
    let rows: Vec<&Figures> = measured(state).collect();
    if rows.is_empty() {
        return String::new();
    }
    let height = ROW * rows.len() + 24;
    let width = LEFT + SCALE + 70;
    let mut svg = format!(
        "<figure><svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Success rates with \
         their intervals; the table below has the numbers\">"
    );
    for tick in 0..=4 {
        let x = LEFT + SCALE * tick / 4;
        let _ = write!(svg, "<line class=\"grid\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{}\"/>", height - 20);
        let _ = write!(svg, "<text class=\"x\" x=\"{x}\" y=\"{}\">{}%</text>", height - 4, 25 * tick);
    }
    for (index, figures) in rows.iter().enumerate() {
        let y = ROW * index + ROW / 2;
        let at = |part: f64| LEFT as f64 + SCALE as f64 * part.clamp(0.0, 1.0);
        let Rate { low, high, .. } = figures.metric;
        let (low, high, middle) = (at(low), at(high), at(figures.metric.rate()));
        let _ = write!(
            svg,
            "<text class=\"y\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 10,
            y + 4,
            shortened(&figures.name, 12)
        );
        let _ = write!(svg, "<line class=\"line c0\" x1=\"{low:.1}\" y1=\"{y}\" x2=\"{high:.1}\" y2=\"{y}\"/>");
        let _ = write!(svg, "<circle class=\"dot c0\" cx=\"{middle:.1}\" cy=\"{y}\" r=\"5\"/>");
    }
    svg.push_str("</svg><figcaption class=\"unit\">Greedy, with 95 % Wilson intervals.</figcaption></figure>\n");
    svg
}

/// The beginning of a table, up to its first heading, in a place of its own that scrolls.
fn begun(label: &str) -> String {
    format!("<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{label}\"><table><thead><tr>")
}

fn figures_table(state: &State) -> String {
    let rows: Vec<&Figures> = measured(state).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut groups: Vec<&String> = rows.iter().flat_map(|figures| figures.groups.keys()).collect();
    groups.sort();
    groups.dedup();
    let mut html = begun("What was measured");
    html.push_str("<th scope=\"col\">Adapter</th><th scope=\"col\">Decides</th>");
    for group in &groups {
        let _ = write!(html, "<th scope=\"col\">{}</th>", shortened(group, 40));
    }
    html.push_str("<th scope=\"col\">Chat loss</th><th scope=\"col\">Against the best before</th></tr></thead><tbody>");
    let start_loss = state.start.as_ref().map(|start| start.chat_loss);
    for figures in rows {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", shortened(&figures.name, 40));
        html.push_str(&cell(Some(&figures.metric)));
        groups.iter().for_each(|group| html.push_str(&cell(figures.groups.get(*group))));
        let ratio = start_loss
            .map_or(String::new(), |start| format!(" <small>{:.3} of the start</small>", figures.chat_loss / start));
        let _ = write!(html, "<td>{}{ratio}</td>", number(figures.chat_loss));
        let versus = figures.versus.as_ref().map_or(String::new(), |versus| {
            format!(
                "{:+.1} points <small>{:+.1} to {:+.1}; {} won, {} lost against {}, p = {:.3}</small>",
                100.0 * versus.difference,
                100.0 * versus.low,
                100.0 * versus.high,
                versus.won,
                versus.lost,
                shortened(&versus.before, 40),
                versus.p
            )
        });
        let _ = writeln!(html, "<td>{versus}</td></tr>");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn cell(rate: Option<&Rate>) -> String {
    rate.map_or("<td></td>".to_owned(), |rate| {
        format!(
            "<td>{} <small>{} of {}, {} to {}</small></td>",
            percent(rate.rate()),
            count(rate.solved as u64),
            count(rate.tasks as u64),
            percent(rate.low),
            percent(rate.high)
        )
    })
}

fn rounds_table(rounds: &[Round]) -> String {
    if rounds.is_empty() {
        return String::new();
    }
    let mut html = begun("What each round did");
    for name in ["Round", "Tasks solved", "Attempts right", "Kept", "Steps", "Time", "Verdict"] {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for round in rounds {
        let collected = round.collected.as_ref();
        let of = |pair: Option<(usize, usize)>| {
            pair.map_or(String::new(), |(part, all)| format!("{} of {}", count(part as u64), count(all as u64)))
        };
        let trained = round.trained.as_ref();
        let seconds = collected.map_or(0.0, |one| one.seconds)
            + trained.map_or(0.0, |one| one.seconds)
            + round.figures.as_ref().map_or(0.0, |one| one.seconds);
        let verdict = verdict_cell(round.verdict.as_ref());
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{verdict}</td></tr>",
            round.number,
            of(collected.map(|one| (one.solved, one.tasks))),
            of(collected.map(|one| (one.right, one.attempts))),
            collected.map_or(String::new(), |one| count(one.kept as u64)),
            trained.map_or(String::new(), |one| count(one.steps as u64)),
            time(seconds),
        );
        round.pairs.iter().for_each(|pairs| html.push_str(&pairs_row(round.number, pairs)));
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// What a round did with its pairs, below what it did without.
fn pairs_row(number: usize, pairs: &Pairs) -> String {
    let seconds =
        pairs.trained.as_ref().map_or(0.0, |one| one.seconds) + pairs.figures.as_ref().map_or(0.0, |one| one.seconds);
    // Those that are too long are not learned.
    let learned =
        pairs.trained.as_ref().map_or(String::new(), |one| format!("{} of ", count(one.conversations as u64)));
    format!(
        "<tr><th scope=\"row\">{number}, pairs</th><td></td><td></td><td>{learned}{} pairs</td><td>{}</td><td>{}</td>\
         <td>{}</td></tr>\n",
        count(pairs.count as u64),
        pairs.trained.as_ref().map_or(String::new(), |one| count(one.steps as u64)),
        time(seconds),
        verdict_cell(pairs.verdict.as_ref()),
    )
}

fn verdict_cell(verdict: Option<&Verdict>) -> String {
    verdict.map_or("going on".to_owned(), |verdict| {
        let kept = if verdict.is_kept { "kept" } else { "rejected" };
        format!("{kept} <small>{}</small>", shortened(&verdict.why, 200))
    })
}

fn dropped_table(rounds: &[Round]) -> String {
    let of = |round: &Round| round.collected.as_ref().map(|one| (round.number, one.dropped.clone()));
    let all: Vec<_> = rounds.iter().filter_map(of).collect();
    let mut reasons: Vec<&String> = all.iter().flat_map(|(_, dropped)| dropped.keys()).collect();
    reasons.sort();
    reasons.dedup();
    if reasons.is_empty() {
        return String::new();
    }
    let mut html = begun("Attempts that were not kept");
    html.push_str("<th scope=\"col\">Why</th>");
    for (number, _) in &all {
        let _ = write!(html, "<th scope=\"col\">Round {number}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for why in reasons {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", shortened(why, 100));
        for (_, dropped) in &all {
            let _ =
                write!(html, "<td>{}</td>", dropped.get(why).map_or(String::new(), |dropped| count(*dropped as u64)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::flywheel::{Collected, Trained, figures};

    #[test]
    fn whatever_names_say_stays_text_and_an_open_flywheel_says_so() {
        let hostile = "</td><script>alert(1)</script>";
        let figures = |name: &str| {
            let mut figures = figures::figures(name, (None, "a".into()), None, &[], None);
            figures.groups.insert(hostile.to_owned(), figures.metric);
            figures.chat_loss = 1.5;
            figures
        };
        let mut state = State::new(BTreeMap::new());
        assert!(html("d", "m", 2, &state).contains("0 of 2 rounds"));
        state.base = Some(figures("base"));
        state.start = Some(figures(hostile));
        let collected = Collected {
            teacher: hostile.to_owned(),
            file: "f".into(),
            sha256: "0".to_owned(),
            tasks: 3,
            solved: 2,
            attempts: 5,
            right: 4,
            kept: 3,
            dropped: BTreeMap::from([(hostile.to_owned(), 2)]),
            seconds: f64::INFINITY,
        };
        let round = state.open_round();
        round.collected = Some(collected);
        round.figures = Some(figures("round 1"));
        round.verdict = Some(Verdict { is_kept: true, why: hostile.to_owned() });
        let verdict = Some(Verdict { is_kept: false, why: hostile.to_owned() });
        round.pairs = Some(Pairs { count: 7, figures: Some(figures("pairs 1")), verdict, ..Pairs::default() });
        let page = html(hostile, hostile, 1, &state);
        assert!(page.contains("finished") && page.contains("2 of 3") && page.contains("4 of 5"));
        assert!(page.contains("1, pairs") && page.contains("<td>7 pairs"));
        let trained = Trained { conversations: 5, ..Trained::default() };
        let learned = pairs_row(1, &Pairs { count: 7, trained: Some(trained), ..Pairs::default() });
        assert!(learned.contains("<td>5 of 7 pairs"), "{learned}");
        assert!(!page.contains("<script") && page.matches("<svg").count() == 1);
        assert_eq!(page.matches("role=\"group\" aria-label=").count(), 3);
        assert_eq!(page.matches("<table>").count(), page.matches("</table>").count());
    }
}
