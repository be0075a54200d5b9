//! Which curves there are: all of one run, or one measure of several runs over each other.

use std::collections::BTreeSet;

use super::chart::{Chart, Line, Span};
use super::folder::Run;
use super::history::{BySource, Row, Series, series};

/// The charts of a page; a measure that no run has gives none.
pub fn charts(runs: &[Run]) -> Vec<Chart> {
    let level = match runs {
        [run] => clip_norm(run),
        _ => None,
    };
    let of_steps = |title, unit, span, is_noisy, value: fn(&Row) -> Option<f64>| {
        let line = |(index, run): (usize, &Run)| named(runs, index, run.history.curve(value), title, is_noisy);
        chart(title, unit, span, runs.iter().enumerate().map(line).collect())
    };
    let has_pairs = runs.iter().any(|run| run.history.steps.values().any(|row| row.reward_margin.is_some()));
    let unit = if has_pairs { "nats per supervised token or pair" } else { "nats per supervised token" };
    let memory = |row: &Row| Some(row.memory_bytes? / f64::from(1 << 30));
    let charts = [
        of_steps("Training loss", unit, Span::Linear, true, |row| row.loss),
        learned_sources(runs, unit),
        of_steps("Reward margin", "chosen less rejected", Span::Linear, true, |row| row.reward_margin),
        of_steps("Reward accuracy", "part of the pairs", Span::Part, true, |row| row.reward_accuracy),
        held_out(runs),
        success(runs),
        of_steps("Learning rate", "at each step", Span::Linear, false, |row| row.learning_rate),
        of_steps("Gradient norm", "before clipping", Span::Wide, true, |row| row.gradient_norm)
            .map(|chart| Chart { level, ..chart }),
        of_steps("Speed", "tokens per second", Span::Linear, true, Row::tokens_per_second),
        of_steps("Memory", "GiB in use", Span::Linear, false, memory),
    ];
    charts.into_iter().flatten().collect()
}

/// A chart of those lines that have points, if any has.
fn chart(title: &'static str, unit: &'static str, span: Span, lines: Vec<Line>) -> Option<Chart> {
    let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    (!lines.is_empty()).then_some(Chart { title, unit, lines, span, level: None, mark: None })
}

/// A line of a run: by the name of the run where there are several, or else of the measure.
fn named(runs: &[Run], index: usize, points: Series, title: &str, is_noisy: bool) -> Line {
    let name = if runs.len() > 1 { runs[index].name.clone() } else { title.to_owned() };
    Line { name, color: index, points, is_noisy }
}

/// What one run learns from, source by source.
fn learned_sources(runs: &[Run], unit: &'static str) -> Option<Chart> {
    let [run] = runs else { return None };
    chart("Training loss by source", unit, Span::Linear, source_lines(run, &run.history.by_source, true))
}

/// A line for each source, of one colour in all charts; none where there is one alone, which is the whole.
fn source_lines(run: &Run, sources: &BySource, is_noisy: bool) -> Vec<Line> {
    let all = [&run.history.by_source, &run.history.held_out_by_source];
    let names: BTreeSet<&String> = all.iter().flat_map(|sources| sources.losses.keys()).collect();
    let several = sources.losses.iter().filter(|_| sources.losses.len() > 1);
    let line = |(name, losses): (&String, _)| Line {
        name: name.clone(),
        color: 1 + names.iter().position(|known| *known == name).unwrap_or(0) % 7,
        points: series(losses),
        is_noisy,
    };
    several.map(line).collect()
}

/// Of one run by source, of several the whole.
fn held_out(runs: &[Run]) -> Option<Chart> {
    let (title, unit) = ("Held-out loss", "nats per supervised token, of data that is not learned");
    let [run] = runs else {
        let line = |(index, run): (usize, &Run)| named(runs, index, series(&run.history.held_out), title, false);
        return chart(title, unit, Span::Linear, runs.iter().enumerate().map(line).collect());
    };
    let sources = &run.history.held_out_by_source;
    let name = if sources.losses.is_empty() { title } else { "all sources" };
    let all = Line { name: name.to_owned(), color: 0, points: series(&run.history.held_out), is_noisy: false };
    let lines = std::iter::once(all).chain(source_lines(run, sources, false)).collect();
    let chart = chart(title, unit, Span::Linear, lines)?;
    let best = run.history.best_checkpoint.as_ref();
    Some(Chart { mark: best.map(|(step, name)| (*step as f64, format!("best checkpoint, {name}"))), ..chart })
}

fn success(runs: &[Run]) -> Option<Chart> {
    let line = |(index, run): (usize, &Run)| {
        let points = run.history.success.iter().map(|(step, success)| (*step as f64, success.rate));
        named(runs, index, points.collect(), "Success rate", false)
    };
    let lines = runs.iter().enumerate().map(line).collect();
    chart("Success rate", "tasks solved by the agent", Span::Part, lines)
}

/// The longest gradient that is let through.
fn clip_norm(run: &Run) -> Option<(f64, String)> {
    let value = run.settings.get("optimizer")?.get("clip_norm")?;
    let norm = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))?;
    (norm.is_finite() && norm > 0.0).then(|| (norm, "clipped beyond".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, rows: &[&str]) -> Run {
        let mut run = Run { name: name.to_owned(), ..Run::default() };
        for row in rows {
            run.history.add(serde_json::from_str(row).as_ref().expect("an object"));
        }
        run
    }

    #[test]
    fn absent_measures_have_no_chart() {
        assert!(charts(&[run("a", &[])]).is_empty());
        let run = run("a", &[r#"{"step": 1, "loss": 1.0}"#, r#"{"step": 0, "held_out_loss": 2.0}"#]);
        let titles: Vec<&str> = charts(&[run]).iter().map(|chart| chart.title).collect();
        assert_eq!(titles, ["Training loss", "Held-out loss"]);
    }

    #[test]
    fn pairs_have_charts_of_their_own() {
        let pairs = run("a", &[r#"{"step": 1, "loss": 0.7, "reward_margin": -0.5, "reward_accuracy": 0.25}"#]);
        let charts = charts(&[pairs]);
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title).collect();
        assert_eq!(titles, ["Training loss", "Reward margin", "Reward accuracy"]);
        assert_eq!((charts[0].unit, charts[1].lines[0].points[0].1), ("nats per supervised token or pair", -0.5));
    }

    #[test]
    fn several_runs_lie_over_each_other_by_name() {
        let first = run("first", &[r#"{"step": 1, "loss": 1.0}"#]);
        let second = run("second", &[r#"{"step": 1, "loss": 2.0, "memory_bytes": 1073741824}"#]);
        let charts = charts(&[first, second]);
        let names = |chart: &Chart| chart.lines.iter().map(|line| line.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&charts[0]), ["first", "second"]);
        assert_eq!((names(&charts[1]), charts[1].lines[0].color), (vec!["second".to_owned()], 1));
        assert_eq!(charts[1].lines[0].points, [(1.0, 1.0)]);
    }

    #[test]
    fn sources_that_are_learned_have_a_chart_of_their_own_where_there_are_several() {
        let titles = |rows: &[&str]| charts(&[run("a", rows)]).iter().map(|chart| chart.title).collect::<Vec<_>>();
        let one = r#"{"step": 1, "loss": 1.0, "loss_by_source": {"x": 1.0}}"#;
        assert_eq!(titles(&[one]), ["Training loss"]);
        let other = r#"{"step": 2, "loss": 1.0, "loss_by_source": {"y": 1.0}}"#;
        assert_eq!(titles(&[one, other]), ["Training loss", "Training loss by source"]);
        let lines = charts(&[run("a", &[one, other])]).swap_remove(1).lines;
        let points = |line: &Line| (line.name.clone(), line.points.clone());
        let wanted = [("x".to_owned(), vec![(1.0, 1.0)]), ("y".to_owned(), vec![(2.0, 1.0)])];
        assert_eq!(lines.iter().map(points).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn held_out_sources_have_lines_beside_the_whole() {
        let run = run("a", &[r#"{"step": 0, "held_out_loss": 2.0, "held_out_by_source": {"x": 1, "y": 3}}"#]);
        let names: Vec<String> = charts(&[run])[0].lines.iter().map(|line| line.name.clone()).collect();
        assert_eq!(names, ["all sources", "x", "y"]);
    }
}
