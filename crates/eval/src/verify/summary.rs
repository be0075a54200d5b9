//! What came of all rows: counts for a table, for JSON, and in words.

use std::collections::BTreeMap;

use codeact_chat::disguises_name;
use serde::Serialize;

use super::class::{Reason, Verdict};
use super::replay::RowReport;

/// Names that are listed of each reason.
const NAMES_SHOWN_MAX: usize = 8;
/// The source of rows whose id names none.
const NO_SOURCE: &str = "-";
/// Most characters of a source.
const SOURCE_CHARS_MAX: usize = 120;

/// Counts over some rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceTally {
    /// How many there are.
    pub rows: usize,
    /// By verdict.
    pub reproduced: usize,
    /// See there.
    pub flagged: usize,
    /// See there.
    pub not_verifiable: usize,
    /// See there.
    pub dropped: usize,
    /// See there.
    pub unreadable: usize,
    /// Outputs that were compared.
    pub outputs_compared: usize,
    /// Outputs among them that came out the same.
    pub outputs_same: usize,
    /// Reproduced of all that could be verified: reproduced, flagged and dropped. `None`: there were none.
    pub rate: Option<f64>,
    /// Rows by reason.
    pub reasons: BTreeMap<Reason, usize>,
}

impl SourceTally {
    fn add(&mut self, report: &RowReport) {
        self.rows += 1;
        *match report.verdict {
            Verdict::Reproduced => &mut self.reproduced,
            Verdict::Flagged => &mut self.flagged,
            Verdict::NotVerifiable => &mut self.not_verifiable,
            Verdict::Dropped => &mut self.dropped,
            Verdict::Unreadable => &mut self.unreadable,
        } += 1;
        self.outputs_compared += report.compared;
        self.outputs_same += report.same;
        if let Some(reason) = report.reason {
            *self.reasons.entry(reason).or_default() += 1;
        }
        let verified = self.reproduced + self.flagged + self.dropped;
        self.rate = (verified > 0).then(|| self.reproduced as f64 / verified as f64);
    }

    fn cells(&self) -> [String; 8] {
        let outputs = format!("{}/{}", self.outputs_same, self.outputs_compared);
        [
            self.rows.to_string(),
            self.reproduced.to_string(),
            self.flagged.to_string(),
            self.dropped.to_string(),
            self.not_verifiable.to_string(),
            self.unreadable.to_string(),
            self.rate.map_or("-".to_owned(), |rate| format!("{:.1}%", 100.0 * rate)),
            outputs,
        ]
    }
}

/// A reason, and the rows that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReasonTally {
    /// Which.
    pub reason: Reason,
    /// What it does to a row.
    pub verdict: Verdict,
    /// Rows.
    pub rows: usize,
    /// The line of the first.
    pub first_line: usize,
    /// Names that they are about, most frequent first.
    pub about: Vec<(String, usize)>,
}

/// What came of all rows, and what that depends on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifySummary {
    /// What was verified.
    pub data: String,
    /// Where the rows are that were kept, and how many.
    pub out: String,
    /// See there.
    pub kept: usize,
    /// One line for each row.
    pub report: String,
    /// All rows.
    pub all: SourceTally,
    /// By source.
    pub sources: BTreeMap<String, SourceTally>,
    /// By reason, most frequent first.
    pub reasons: Vec<ReasonTally>,
    /// What the result depends on: interpreter, packages, limits, seeds.
    pub run: BTreeMap<String, String>,
    /// Packages of the interpreter: `numpy==1.26.4`.
    pub packages: Vec<String>,
    /// Wall-clock time of this run in seconds; of an earlier one that was stopped nothing is counted.
    pub seconds: f64,
}

/// What a row is counted with: the first `depth` parts of its id, without the last part.
pub fn source_of(id: &str, depth: usize) -> String {
    let parts: Vec<&str> = id.split('/').collect();
    let count = (parts.len() - 1).min(depth);
    match parts[..count].join("/") {
        source if source.is_empty() => NO_SOURCE.to_owned(),
        source => source.chars().take(SOURCE_CHARS_MAX).collect(),
    }
}

/// A name out of the data, on one line and without anything that steers a terminal or hides.
fn plain(name: &str) -> String {
    name.replace(disguises_name, "\u{fffd}")
}

/// The tallies of `reports`: all, by source, by reason.
pub fn tallies<'a>(
    reports: impl Iterator<Item = &'a RowReport>,
) -> (SourceTally, BTreeMap<String, SourceTally>, Vec<ReasonTally>) {
    let mut all = SourceTally::default();
    let mut sources: BTreeMap<String, SourceTally> = BTreeMap::new();
    let mut reasons: BTreeMap<Reason, (usize, usize, BTreeMap<String, usize>)> = BTreeMap::new();
    for report in reports {
        all.add(report);
        sources.entry(report.source.clone()).or_default().add(report);
        let Some(reason) = report.reason else { continue };
        let (rows, _, about) = reasons.entry(reason).or_insert((0, report.line, BTreeMap::new()));
        *rows += 1;
        if let Some(name) = &report.about {
            *about.entry(name.clone()).or_default() += 1;
        }
    }
    let mut reasons: Vec<ReasonTally> = reasons
        .into_iter()
        .map(|(reason, (rows, first_line, about))| {
            let mut about: Vec<(String, usize)> = about.into_iter().collect();
            about.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
            ReasonTally { reason, verdict: reason.verdict(), rows, first_line, about }
        })
        .collect();
    reasons.sort_by_key(|tally| (std::cmp::Reverse(tally.rows), tally.reason));
    (all, sources, reasons)
}

impl VerifySummary {
    /// One line for each source and for all, and one for each reason.
    pub fn table(&self) -> String {
        let head = ["rows", "reproduced", "flagged", "dropped", "not verif.", "unreadable", "rate", "outputs same"];
        let all = (&"all".to_owned(), &self.all);
        let width = self.sources.keys().map(|name| name.chars().count()).max().unwrap_or(0).max("source".len());
        let line = |name: &str, cells: &[String]| {
            let cells: String =
                cells.iter().zip(head).map(|(cell, head)| format!("  {cell:>width$}", width = head.len())).collect();
            format!("{}\n", format!("{:<width$}{cells}", plain(name)).trim_end())
        };
        let mut text = line("source", &head.map(str::to_owned));
        for (name, tally) in self.sources.iter().chain([all]) {
            text.push_str(&line(name, &tally.cells()));
        }
        for tally in &self.reasons {
            let names: Vec<String> = tally
                .about
                .iter()
                .take(NAMES_SHOWN_MAX)
                .map(|(name, rows)| format!("{} {rows}", plain(name)))
                .collect();
            let more = if tally.about.len() > NAMES_SHOWN_MAX { ", .." } else { "" };
            let names = if names.is_empty() { String::new() } else { format!(" ({}{more})", names.join(", ")) };
            let (rows, verdict, words) = (tally.rows, tally.verdict.name(), tally.reason.words());
            let option = tally.reason.option().map(|option| format!("; see `{option}`")).unwrap_or_default();
            text.push_str(&format!(
                "{rows:>6} {verdict}: {words}{names}, first in line {}{option}\n",
                tally.first_line
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_start_of_an_id() {
        for (id, source) in [
            ("mint/reasoning/gsm8k/20/model/cfg", "mint/reasoning/gsm8k"),
            ("set/family/7", "set/family"),
            ("set/7", "set"),
            ("7", "-"),
            ("", "-"),
            ("/", "-"),
        ] {
            assert_eq!(source_of(id, 3), source, "{id}");
        }
        assert_eq!(source_of("a/b/c/d", 1), "a");
    }

    #[test]
    fn a_name_out_of_the_data_neither_steers_nor_turns_nor_hides() {
        let name = "set/\u{1b}[2J\n\u{202e}a\u{61c}\u{200e}b\u{200b}\u{feff}é";
        assert_eq!(plain(name), "set/\u{fffd}[2J\u{fffd}\u{fffd}a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}é");
    }

    #[test]
    fn rates_are_of_what_could_be_verified() {
        let report = |line, source: &str, verdict, reason, about: Option<&str>| RowReport {
            source: source.to_owned(),
            verdict,
            reason,
            about: about.map(str::to_owned),
            compared: 2,
            same: 1,
            ..RowReport::unreadable(line, String::new())
        };
        let reports = [
            report(1, "a", Verdict::Reproduced, None, None),
            report(2, "a", Verdict::NotVerifiable, Some(Reason::Module), Some("numpy")),
            report(3, "b", Verdict::Dropped, Some(Reason::Output), None),
            report(4, "b", Verdict::NotVerifiable, Some(Reason::Module), Some("numpy")),
        ];
        let (all, sources, reasons) = tallies(reports.iter());
        assert_eq!((all.rate, sources["a"].rate, sources["b"].rate), (Some(0.5), Some(1.0), Some(0.0)));
        assert_eq!((reasons[0].rows, reasons[0].first_line), (2, 2));
        assert_eq!(reasons[0].about, [("numpy".to_owned(), 2)]);
        let summary = VerifySummary {
            data: "d".into(),
            out: "o".into(),
            kept: 3,
            report: "r".into(),
            all,
            sources,
            reasons,
            run: BTreeMap::new(),
            packages: Vec::new(),
            seconds: 1.0,
        };
        let table = summary.table();
        let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert_eq!(
            line("all").split_whitespace().collect::<Vec<_>>(),
            ["all", "4", "1", "0", "1", "2", "0", "50.0%", "4/8"]
        );
        assert!(
            table.contains(
                "2 not_verifiable: needs a package that is not installed (numpy 2), first in line 2; see `--python`"
            ),
            "{table}"
        );
        assert_eq!(serde_json::to_value(&summary).unwrap()["sources"]["b"]["reasons"]["output"], 1);
    }
}
