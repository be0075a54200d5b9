//! One page about one run or several, made of nothing but their results. It needs no script and no network, and what
//! models, tasks and their code wrote is text on it.

mod bars; // grouped bars with intervals
mod tables; // everything in numbers
mod transcripts; // what was said

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use codeact_agent::ActionFormat;
use codeact_data::page::text::{count, shortened};
use codeact_data::page::{end, head, put_section};

use super::record::Record;
use super::summary::{Column, Summary};
use super::tally::Tally;
use bars::{Bar, Bars, Scale};

/// As many as there are colours.
const SERIES_MAX: usize = 8;
/// Contestants that have a figure of their own.
const FIGURES_MAX: usize = 6;
/// Characters of a name.
const NAME_CHARACTERS: usize = 80;

/// The page about `summary`, which was made of `records`.
pub fn html(summary: &Summary, records: &[Record]) -> String {
    let names: Vec<String> = summary.runs.keys().map(|name| shortened(name, NAME_CHARACTERS)).collect();
    let title = match names.as_slice() {
        [name] => format!("Results of {name}"),
        names => format!("Results of {} runs: {}", names.len(), names.join(", ")),
    };
    let mut page = head(&title);
    let tasks: BTreeSet<(&str, &str)> =
        records.iter().map(|record| (record.key.suite.as_str(), record.key.task.as_str())).collect();
    let _ = writeln!(
        page,
        "<header><h1>{title}</h1><p>tries: {} · tasks: {} · suites: {}</p></header>",
        count(records.len() as u64),
        count(tasks.len() as u64),
        summary.suite_names().len()
    );
    let notes: String = summary.notes.iter().map(|note| format!("<li>{}</li>\n", shortened(note, 1000))).collect();
    if !notes.is_empty() {
        let _ = writeln!(page, "<ul class=\"notes\" aria-label=\"What to know\">{notes}</ul>");
    }
    let figures: String = figures(summary).iter().enumerate().map(|(index, bars)| bars.html(index)).collect();
    if !figures.is_empty() {
        put_section(&mut page, "figures", "Success", &format!("<div class=\"charts\">{figures}</div>\n"));
    }
    put_section(&mut page, "columns", "In numbers", &tables::columns(summary));
    put_section(&mut page, "pairs", "The same tasks, pair by pair", &tables::pairs(summary));
    put_section(&mut page, "parts", "By suite, group and family", &tables::parts(summary));
    put_section(&mut page, "failures", "Why tasks were not solved", &tables::failures(summary));
    put_section(&mut page, "settings", "Settings", &tables::settings(summary));
    put_section(&mut page, "transcripts", "Transcripts", &transcripts::html(records));
    page.push_str(&end("codeact-eval", "the results"));
    page
}

/// Names in the order in which they came, without repeats.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// Formats that were measured: those that are known first, in their order.
fn formats(summary: &Summary) -> Vec<&str> {
    let mut found = distinct(summary.columns.iter().map(|column| column.format.as_str()));
    let place = |format: &str| ActionFormat::NAMES.iter().position(|name| *name == format).unwrap_or(usize::MAX);
    found.sort_by_key(|format| place(format));
    found.truncate(SERIES_MAX);
    found
}

fn rate(tally: &Tally) -> Bar {
    (tally.rate, Some(tally.interval))
}

fn figures(summary: &Summary) -> Vec<Bars> {
    if summary.columns.is_empty() {
        return Vec::new();
    }
    let (formats, contestants) =
        (formats(summary), distinct(summary.columns.iter().map(|column| column.contestant.as_str())));
    let by_format = |title: &str, unit, scale, bar: &dyn Fn(&Tally) -> Bar| {
        let of = |contestant: &str, format: &str| {
            let column = |column: &&Column| column.contestant == contestant && column.format == format;
            summary.columns.iter().find(column).map(|column| bar(&column.all))
        };
        let group =
            |name: &&str| ((*name).to_owned(), formats.iter().map(|format| of(name, format)).collect::<Vec<_>>());
        let series = formats.iter().map(|format| (*format).to_owned()).collect();
        let groups = contestants.iter().map(group).collect();
        Bars { title: title.to_owned(), unit, scale, series, groups }
    };
    let rate_unit = "share of tasks solved, with the 95 % interval; higher is better";
    let turns_unit = "replies of the model for a task, mean of all tries; fewer is better";
    let mut figures = vec![
        by_format("Success rate by form of action", rate_unit, Scale::Part, &rate),
        by_format("Turns by form of action", turns_unit, Scale::Number, &|tally| (tally.steps, None)),
    ];
    match formats.len() {
        0 => {}
        1 => figures.extend(by_part(
            "Success rate by kind of task",
            summary.columns.iter().map(|column| (column.contestant.as_str(), column)),
        )),
        _ => figures.extend(contestants.iter().take(FIGURES_MAX).filter_map(|contestant| {
            let columns = summary.columns.iter().filter(|column| column.contestant == **contestant);
            let title = format!("Success rate of {contestant} by kind of task");
            by_part(&title, columns.map(|column| (column.format.as_str(), column)))
        })),
    }
    figures
}

/// A figure of suites, or of the groups of a single one; `None` where there is only one part.
fn by_part<'a>(title: &str, columns: impl Iterator<Item = (&'a str, &'a Column)>) -> Option<Bars> {
    let columns: Vec<(&str, BTreeMap<&str, &Tally>)> = columns
        .take(SERIES_MAX)
        .map(|(name, column)| {
            let mut suites = column.suites.iter();
            let parts = match (suites.next(), suites.next()) {
                (Some((_, only)), None) => only.groups.iter().map(|(name, tally)| (name.as_str(), tally)).collect(),
                _ => column.suites.iter().map(|(name, suite)| (name.as_str(), &suite.all)).collect(),
            };
            (name, parts)
        })
        .collect();
    let parts: BTreeSet<&str> = columns.iter().flat_map(|(_, parts)| parts.keys().copied()).collect();
    let group = |part: &&str| {
        let bars = columns.iter().map(|(_, parts)| parts.get(part).map(|tally| rate(tally)));
        ((*part).to_owned(), bars.collect::<Vec<_>>())
    };
    (parts.len() > 1).then(|| Bars {
        title: title.to_owned(),
        unit: "share of tasks solved, with the 95 % interval",
        scale: Scale::Part,
        series: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        groups: parts.iter().map(group).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::super::results::Identity;
    use super::*;

    const HOSTILE: &str = "</pre></style></title></script><script>alert(1)</script><img src=x onerror=alert(1)>";

    fn page(records: &[Record], notes: &[&str]) -> String {
        let identity = Identity::from([("seed".to_owned(), HOSTILE.to_owned())]);
        let runs = BTreeMap::from([(HOSTILE.to_owned(), identity)]);
        let notes = notes.iter().map(|note| (*note).to_owned()).collect();
        html(&Summary::of(runs, records, notes), records)
    }

    /// Only elements of the page's own, a policy, nothing that runs, loads or leads elsewhere, and every number one.
    #[track_caller]
    fn assert_is_harmless(page: &str) {
        assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"));
        for part in page.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("no end: {part}"));
            let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
            assert!(!["script", "img", "iframe", "a", "form", "link", "object"].contains(&name), "<{tag}>");
            for attribute in [" on", " src=", " href=", " style=", " action=", "javascript:"] {
                assert!(!tag.contains(attribute), "<{tag}>");
            }
            assert!(!["NaN", "inf"].iter().any(|word| tag.contains(word) || text.trim() == *word), "<{tag}>{text}");
        }
        for name in ["svg", "main", "table", "figure", "details", "pre", "title", "article", "section", "div"] {
            let opened = page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
            assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
        }
    }

    #[test]
    fn formats_of_a_contestant_stand_beside_each_other_in_their_order() {
        let records: Vec<Record> = ["text", "code", "json"]
            .into_iter()
            .flat_map(|format| {
                ["t", "u"].map(|task| {
                    let family = if task == "t" { "seen/f" } else { "new/f" };
                    Record { family: family.to_owned(), ..record("m", format, task, format == "code") }
                })
            })
            .collect();
        let page = page(&records, &["a note"]);
        assert_is_harmless(&page);
        for text in [
            "Success rate by form of action",
            "m, code: 100.0% (34.2% to 100.0%). m, json: 0.0% (0.0% to 65.8%).",
            "Success rate of m by kind of task",
            "wrong solution",
            "a note",
            "tries: 6 · tasks: 2 · suites: 1",
        ] {
            assert!(page.contains(text), "no {text:?}");
        }
    }

    #[test]
    fn what_strangers_wrote_is_never_markup() {
        let mut records = vec![record(HOSTILE, HOSTILE, HOSTILE, false), record("n", "code", HOSTILE, true)];
        for record in &mut records {
            record.key.suite = HOSTILE.to_owned();
            record.family = format!("{HOSTILE}/{HOSTILE}");
            record.failure = Some(HOSTILE.to_owned());
            record.reason = Some(HOSTILE.to_owned());
            record.transcript[0].content = format!("{HOSTILE}\u{1b}[2J\u{202e}");
            record.seconds = f64::MAX;
        }
        let page = page(&records, &[HOSTILE]);
        assert_is_harmless(&page);
        assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
        assert_is_harmless(&self::page(&[], &[]));
    }
}
