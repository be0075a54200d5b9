//! A summary for the terminal.

use std::collections::BTreeMap;

use codeact_data::preview::harmless;

use super::summary::{Column, Comparison, Summary};
use super::tally::Tally;

/// Characters of a name.
const NAME_CHARACTERS: usize = 48;

/// Kinds of failure that are listed.
const FAILURES_MAX: usize = 12;

/// Lines of cells, each column as wide as its widest cell; the first cell of a line stands left, the others right.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new<Text: Into<String>>(head: impl IntoIterator<Item = Text>) -> Table {
        Table(vec![head.into_iter().map(Into::into).collect()])
    }

    fn text(&self) -> String {
        let count = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(index, (cell, width))| match index {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

/// A name of strangers, short and without what commands a terminal.
fn named(name: &str) -> String {
    let name = harmless(name).replace(['\n', '\t'], " ");
    match name.char_indices().nth(NAME_CHARACTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}

fn interval((low, high): (f64, f64)) -> String {
    format!("{:.1}–{:.1}", 100.0 * low, 100.0 * high)
}

fn share(part: Option<f64>) -> String {
    part.map_or_else(|| "–".to_owned(), percent)
}

impl Summary {
    /// Everything in lines of at most some 150 characters, where names are short.
    pub fn table(&self) -> String {
        let mut parts = vec![self.columns_table()];
        parts.extend(self.columns.iter().any(|column| column.suites.len() > 1).then(|| self.suites_table()));
        parts.extend(self.families_tables());
        parts.extend((!self.comparisons.is_empty()).then(|| self.pairs_table()));
        parts.extend(self.failures_table());
        parts.extend(
            (!self.notes.is_empty()).then(|| {
                self.notes.iter().map(|note| format!("note: {}\n", harmless(note).replace('\n', " "))).collect()
            }),
        );
        parts.join("\n")
    }

    fn columns_table(&self) -> String {
        let passes: Vec<usize> =
            self.columns.iter().flat_map(|column| column.all.pass_at.keys().copied()).filter(|k| *k > 1).collect();
        let passes: std::collections::BTreeSet<usize> = passes.into_iter().collect();
        let mut head: Vec<String> = ["contestant", "format", "tasks", "solved", "95 %"].map(str::to_owned).to_vec();
        head.extend(passes.iter().map(|k| format!("pass@{k}")));
        let has_help = self.has_help();
        head.extend(has_help.then(|| ["examples", "skills", "called"].map(str::to_owned)).into_iter().flatten());
        head.extend(["by actions", "turns", "tokens", "seconds", "invalid", "repaired"].map(str::to_owned));
        let mut table = Table::new(head);
        for Column { contestant, format, all, .. } in &self.columns {
            let tries = if all.tries > all.tasks {
                format!("{}×{}", all.tasks, all.tries / all.tasks.max(1))
            } else {
                all.tasks.to_string()
            };
            let mut line = vec![named(contestant), named(format), tries, percent(all.rate), interval(all.interval)];
            line.extend(passes.iter().map(|k| share(all.pass_at.get(k).copied())));
            line.extend(has_help.then(|| all.help_cells()).into_iter().flatten());
            line.extend([
                all.solved_by_actions.to_string(),
                format!("{:.1}", all.steps),
                format!("{:.0}", all.completion_tokens),
                format!("{:.1}", all.seconds),
                share(all.invalid_rate()),
                share(all.repair_rate()),
            ]);
            table.0.push(line);
        }
        table.text()
    }

    /// Whether any contestant was given more than the tasks.
    pub fn has_help(&self) -> bool {
        self.columns.iter().any(|column| column.all.help.is_some())
    }

    /// What rows name, beside each other: the rate, and how many of how many where there is one column.
    fn rates_table(&self, name: &str, rows: &[(String, Vec<Option<&Tally>>)]) -> String {
        let mut head = vec![name.to_owned()];
        match self.columns.as_slice() {
            [_] => head.extend(["tasks", "solved", "95 %"].map(str::to_owned)),
            columns => head.extend(columns.iter().map(|column| named(&column.name()))),
        }
        let mut table = Table::new(head);
        for (name, tallies) in rows {
            let mut line = vec![named(name)];
            match tallies.as_slice() {
                [Some(tally)] => {
                    line.extend([tally.tasks.to_string(), percent(tally.rate), interval(tally.interval)]);
                }
                several => line.extend(several.iter().map(|tally| share(tally.map(|tally| tally.rate)))),
            }
            table.0.push(line);
        }
        table.text()
    }

    fn suites_table(&self) -> String {
        let rows: Vec<_> = self
            .suite_names()
            .into_iter()
            .map(|suite| {
                let of = |column: &'_ Column| column.suites.contains_key(suite);
                let tallies = self.columns.iter().map(|column| of(column).then(|| &column.suites[suite].all));
                (suite.to_owned(), tallies.collect())
            })
            .collect();
        self.rates_table("suite", &rows)
    }

    fn families_tables(&self) -> Vec<String> {
        let tables = self.suite_names().into_iter().map(|suite| {
            let of = |pick: fn(&super::summary::SuiteTally) -> &BTreeMap<String, Tally>| {
                let parts = || self.columns.iter().map(move |column| column.suites.get(suite).map(pick));
                let names: std::collections::BTreeSet<&String> =
                    parts().flatten().flat_map(|part| part.keys()).collect();
                let row =
                    |name: &String| (name.clone(), parts().map(|part| part.and_then(|part| part.get(name))).collect());
                names.into_iter().map(row).collect::<Vec<(String, Vec<Option<&Tally>>)>>()
            };
            let (groups, families) = (of(|suite| &suite.groups), of(|suite| &suite.families));
            let rows = [groups.into_iter().map(|(name, row)| (format!("{name}/"), row)).collect(), families].concat();
            self.rates_table(&named(suite), &rows)
        });
        tables.collect()
    }

    /// Names of all suites.
    pub fn suite_names(&self) -> std::collections::BTreeSet<&str> {
        self.columns.iter().flat_map(|column| column.suites.keys().map(String::as_str)).collect()
    }

    fn pairs_table(&self) -> String {
        let head =
            ["second against first, same tasks", "tasks", "difference", "95 %", "only first", "only second", "p"];
        let mut table = Table::new(head);
        for pair in &self.comparisons {
            let Comparison { first, second, tasks, difference, interval: (low, high), only_first, only_second, .. } =
                pair;
            let count = |count: &Option<usize>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
            table.0.push(vec![
                format!("{}, {} – {}, {}", named(&second.0), second.1, named(&first.0), first.1),
                tasks.to_string(),
                format!("{:+.1}", 100.0 * difference),
                format!("{:+.1}..{:+.1}", 100.0 * low, 100.0 * high),
                count(only_first),
                count(only_second),
                pair.p_value.map_or_else(|| "–".to_owned(), p_value),
            ]);
        }
        table.text()
    }

    fn failures_table(&self) -> Option<String> {
        let kinds = self.failure_kinds();
        if kinds.is_empty() {
            return None;
        }
        let head = std::iter::once("not solved, by why".to_owned());
        let mut table = Table::new(head.chain(self.columns.iter().map(|column| named(&column.name()))));
        for kind in kinds.iter().take(FAILURES_MAX) {
            let counts =
                self.columns.iter().map(|column| column.all.failures.get(*kind).copied().unwrap_or(0).to_string());
            table.0.push(std::iter::once(named(kind)).chain(counts).collect());
        }
        let more = kinds.len().saturating_sub(FAILURES_MAX);
        Some(table.text() + &if more > 0 { format!("and {more} more kinds\n") } else { String::new() })
    }

    /// Why tries did not solve their tasks, most frequent first.
    pub fn failure_kinds(&self) -> Vec<&str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (kind, count) in self.columns.iter().flat_map(|column| &column.all.failures) {
            *counts.entry(kind).or_default() += count;
        }
        let mut kinds: Vec<(&str, usize)> = counts.into_iter().collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
        kinds.into_iter().map(|(kind, _)| kind).collect()
    }
}

impl Tally {
    /// Examples and skills that a try was given, and tries that called a skill.
    pub fn help_cells(&self) -> [String; 3] {
        let none = || ["–", "–", "–"].map(str::to_owned);
        self.help.as_ref().map_or_else(none, |help| {
            let called = if help.skills > 0.0 { help.tries_with_call.to_string() } else { "–".to_owned() };
            [format!("{:.1}", help.examples), format!("{:.1}", help.skills), called]
        })
    }
}

/// A p-value in a few characters.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn cells<'a>(table: &'a str, start: &str) -> Vec<&'a str> {
        let line = table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{table}"));
        line[start.len()..].split_whitespace().collect()
    }

    #[test]
    fn one_contestant_has_its_families_with_intervals() {
        let records = [("t", true), ("u", true), ("v", false)].map(|(task, solved)| record("m", "code", task, solved));
        let table = Summary::of(BTreeMap::new(), &records, vec!["mind\u{1b}[2J".to_owned()]).table();
        assert_eq!(cells(&table, "m "), ["code", "3", "66.7%", "20.8–93.9", "2", "2.0", "10", "0.5", "0.0%", "–"]);
        assert_eq!(cells(&table, "seen/ "), ["3", "66.7%", "20.8–93.9"]);
        assert_eq!(cells(&table, "seen/f"), ["3", "66.7%", "20.8–93.9"]);
        assert_eq!(cells(&table, "wrong solution"), ["1"]);
        assert!(table.contains("note: mind␛[2J\n") && !table.contains("pass@") && !table.contains("suite"));
    }

    #[test]
    fn help_has_columns_where_somebody_had_some() {
        let mut records = vec![record("m", "code", "t", true), record("n", "code", "t", true)];
        let called = vec!["f".to_owned()];
        records[1].helped = Some(crate::help::Helped { examples: vec!["e".to_owned(); 2], skills: 4, called });
        let table = Summary::of(BTreeMap::new(), &records, Vec::new()).table();
        assert!(table.lines().next().unwrap().contains("examples  skills  called"), "{table}");
        assert_eq!(cells(&table, "m ")[4..8], ["–", "–", "–", "1"]);
        assert_eq!(cells(&table, "n ")[4..8], ["2.0", "4.0", "1", "1"]);
    }

    #[test]
    fn several_stand_beside_each_other() {
        let mut records = vec![record("m", "code", "t", true), record("m", "json", "t", false)];
        records.push(Record { family: "other/g".to_owned(), ..record("m", "json", "u", false) });
        let table = Summary::of(BTreeMap::new(), &records, Vec::new()).table();
        assert_eq!(cells(&table, "seen/f"), ["100.0%", "0.0%"]);
        assert_eq!(cells(&table, "other/g"), ["–", "0.0%"]);
        assert_eq!(cells(&table, "m, json – m, code"), ["1", "-100.0", "-100.0..-100.0", "1", "0", "1.000"]);
        assert_eq!([0.0004, 0.25].map(p_value), ["<0.001", "0.250"]);
    }

    use super::super::record::Record;
}
