//! Everything in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use codeact_data::page::text::{number, percent, shortened};

use super::super::summary::{Comparison, SuiteTally, Summary};
use super::super::table::p_value;
use super::super::tally::Tally;

/// Characters of a name and of a setting.
const NAME_CHARACTERS: usize = 60;
const SETTING_CHARACTERS: usize = 300;
/// Rows and columns of a table; what a page leaves out is in `summary.json`.
const ROWS_MAX: usize = 400;
const COLUMNS_MAX: usize = 24;

/// A table of texts that are HTML already; the first of a row heads it.
fn table(label: &str, head: &[String], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html =
        format!("<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{label}\"><table><thead><tr>");
    for cell in head.iter().take(COLUMNS_MAX) {
        let _ = write!(html, "<th scope=\"col\">{cell}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows.iter().take(ROWS_MAX) {
        for (index, cell) in row.iter().take(COLUMNS_MAX).enumerate() {
            let _ = match index {
                0 => write!(html, "<tr><th scope=\"row\">{cell}</th>"),
                _ => write!(html, "<td>{cell}</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    if rows.len() > ROWS_MAX || head.len() > COLUMNS_MAX {
        html.push_str("<p class=\"hint\">There is more, left out so that the page stays small.</p>\n");
    }
    html
}

fn named(name: &str) -> String {
    shortened(name, NAME_CHARACTERS)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn share(part: Option<f64>) -> String {
    part.map_or_else(|| "–".to_owned(), percent)
}

fn rate(tally: &Tally) -> String {
    let (low, high) = tally.interval;
    format!("{}<br><small>{:.1} to {:.1}</small>", percent(tally.rate), 100.0 * low, 100.0 * high)
}

/// Each contestant in each format.
pub fn columns(summary: &Summary) -> String {
    let passes: BTreeSet<usize> =
        summary.columns.iter().flat_map(|column| column.all.pass_at.keys().copied()).collect();
    let passes: Vec<usize> = passes.into_iter().filter(|k| *k > 1).collect();
    let mut head = texts(&["Contestant", "Format", "Tasks", "Tries", "Solved"]);
    head.extend(passes.iter().map(|k| format!("pass@{k}")));
    let has_help = summary.has_help();
    head.extend(has_help.then(|| texts(&["Examples", "Skills", "Tries that called a skill"])).into_iter().flatten());
    head.extend(texts(&[
        "By actions",
        "Turns",
        "Tokens read",
        "Tokens written",
        "Seconds",
        "Invalid actions",
        "Self-repair",
    ]));
    let rows = summary.columns.iter().map(|column| {
        let all = &column.all;
        let mut row = vec![
            named(&column.contestant),
            named(&column.format),
            all.tasks.to_string(),
            all.tries.to_string(),
            rate(all),
        ];
        row.extend(passes.iter().map(|k| share(all.pass_at.get(k).copied())));
        row.extend(has_help.then(|| all.help_cells()).into_iter().flatten());
        let of = |part: usize, whole: usize| format!("<br><small>{part} of {whole}</small>");
        row.extend([
            all.solved_by_actions.to_string(),
            number(all.steps),
            number(all.prompt_tokens),
            number(all.completion_tokens),
            number(all.seconds),
            share(all.invalid_rate()) + &of(all.invalid_actions, all.actions),
            share(all.repair_rate()) + &of(all.repaired, all.tries_with_failure),
        ]);
        row
    });
    table("Contestants in numbers", &head, &rows.collect::<Vec<_>>())
}

/// Pairs on the same tasks.
pub fn pairs(summary: &Summary) -> String {
    let head = texts(&["First", "Second", "Tasks", "Difference", "Only first", "Only second", "p (McNemar)"]);
    let rows = summary.comparisons.iter().map(|pair| {
        let Comparison { first, second, tasks, difference, interval: (low, high), only_first, only_second, .. } = pair;
        let count = |count: &Option<usize>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let points =
            format!("{:+.1}<br><small>{:+.1} to {:+.1}</small>", 100.0 * difference, 100.0 * low, 100.0 * high);
        vec![
            format!("{}, {}", named(&first.0), named(&first.1)),
            format!("{}, {}", named(&second.0), named(&second.1)),
            tasks.to_string(),
            points,
            count(only_first),
            count(only_second),
            pair.p_value.map_or_else(|| "–".to_owned(), |p| p_value(p).replace('<', "&lt;")),
        ]
    });
    let html = table("The same tasks, pair by pair", &head, &rows.collect::<Vec<_>>());
    match html.is_empty() {
        true => html,
        false => {
            html + "<p class=\"hint\">Difference: second less first, in percentage points, with the 95 % interval of a \
                    bootstrap over tasks. p: McNemar's exact test; it says nothing of how large a difference is, and one \
                    of many pairs falls below 0.05 by chance.</p>\n"
        }
    }
}

/// Rates by suite, group and family.
pub fn parts(summary: &Summary) -> String {
    let head: Vec<String> =
        std::iter::once("Tasks".to_owned()).chain(summary.columns.iter().map(|column| named(&column.name()))).collect();
    let mut html = String::new();
    for suite in summary.suite_names() {
        let mut rows = vec![row(summary, suite, "all", |suite| Some(&suite.all))];
        for (mark, pick) in [("/", groups as fn(&SuiteTally) -> &BTreeMap<String, Tally>), ("", families)] {
            let of = |column: &'_ super::super::summary::Column| column.suites.get(suite).map(pick).is_some();
            let names: BTreeSet<&String> = summary
                .columns
                .iter()
                .filter(|column| of(column))
                .flat_map(|column| pick(&column.suites[suite]).keys())
                .collect();
            rows.extend(
                names
                    .into_iter()
                    .map(|name| row(summary, suite, &format!("{}{mark}", named(name)), |suite| pick(suite).get(name))),
            );
        }
        let _ = write!(html, "<h3>{}</h3>\n{}", named(suite), table(&named(suite), &head, &rows));
    }
    html
}

fn groups(suite: &SuiteTally) -> &BTreeMap<String, Tally> {
    &suite.groups
}

fn families(suite: &SuiteTally) -> &BTreeMap<String, Tally> {
    &suite.families
}

fn row(summary: &Summary, suite: &str, name: &str, pick: impl Fn(&SuiteTally) -> Option<&Tally>) -> Vec<String> {
    let tally = |column: &super::super::summary::Column| column.suites.get(suite).and_then(&pick).map(rate);
    let cells = summary.columns.iter().map(|column| tally(column).unwrap_or_else(|| "–".to_owned()));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// Why tries did not solve their tasks.
pub fn failures(summary: &Summary) -> String {
    let head: Vec<String> =
        std::iter::once("Why".to_owned()).chain(summary.columns.iter().map(|column| named(&column.name()))).collect();
    let rows = summary.failure_kinds().into_iter().map(|kind| {
        let count = |tally: &Tally| tally.failures.get(kind).copied().unwrap_or(0).to_string();
        std::iter::once(named(kind)).chain(summary.columns.iter().map(|column| count(&column.all))).collect()
    });
    table("Why tasks were not solved", &head, &rows.collect::<Vec<_>>())
}

/// What each run was started with.
pub fn settings(summary: &Summary) -> String {
    let keys: BTreeSet<&String> = summary.runs.values().flat_map(BTreeMap::keys).collect();
    let head: Vec<String> =
        std::iter::once("Setting".to_owned()).chain(summary.runs.keys().map(|name| named(name))).collect();
    let rows = keys.into_iter().map(|key| {
        let cells = summary.runs.values().map(|run| {
            run.get(key).map_or_else(
                || "–".to_owned(),
                |value| format!("<code>{}</code>", shortened(value, SETTING_CHARACTERS)),
            )
        });
        std::iter::once(named(key)).chain(cells).collect()
    });
    table("Settings", &head, &rows.collect::<Vec<_>>())
}
