//! All results in numbers: by contestant and format, by suite, group and family, and beside each other.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::record::Record;
use super::results::Identity;
use super::statistics::{bootstrap, mcnemar};
use super::tally::Tally;

/// Most pairs that are compared; of more nobody reads.
const PAIRS_MAX: usize = 64;

/// What `summary.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The settings of each run.
    pub runs: BTreeMap<String, Identity>,
    /// Each contestant in each format, in the order in which they came.
    pub columns: Vec<Column>,
    /// Pairs of them on the tasks that both tried.
    pub comparisons: Vec<Comparison>,
    /// What a reader must know besides.
    pub notes: Vec<String>,
}

/// A contestant in a format.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// Who was measured.
    pub contestant: String,
    /// The form of its actions.
    pub format: String,
    /// Over all suites.
    pub all: Tally,
    /// By suite.
    pub suites: BTreeMap<String, SuiteTally>,
}

/// A suite of one column.
#[derive(Debug, Clone, Serialize)]
pub struct SuiteTally {
    /// All of it.
    pub all: Tally,
    /// By what stands before the `/` of the family.
    pub groups: BTreeMap<String, Tally>,
    /// By family.
    pub families: BTreeMap<String, Tally>,
}

/// Two columns on the same tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Contestant and format.
    pub first: (String, String),
    /// Contestant and format.
    pub second: (String, String),
    /// Tasks that both tried.
    pub tasks: usize,
    /// How much larger the success rate of the second is, in `[-1, 1]`.
    pub difference: f64,
    /// Its 95 % interval: a bootstrap over tasks.
    pub interval: (f64, f64),
    /// Tasks that only the first solved; `None` where tasks were tried more than once.
    pub only_first: Option<usize>,
    /// Tasks that only the second solved, likewise.
    pub only_second: Option<usize>,
    /// McNemar's exact test of these two, two-sided.
    pub p_value: Option<f64>,
}

/// The records by what `name` says of them; those of which it says nothing are left out.
fn by<'a>(records: &[&'a Record], name: impl Fn(&'a Record) -> Option<&'a str>) -> BTreeMap<String, Vec<&'a Record>> {
    let mut parts: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        if let Some(name) = name(record) {
            parts.entry(name.to_owned()).or_default().push(record);
        }
    }
    parts
}

impl Column {
    fn of(records: &[&Record]) -> Column {
        let key = &records[0].key;
        let tallies = |parts: BTreeMap<String, Vec<&Record>>| -> BTreeMap<String, Tally> {
            parts.into_iter().map(|(name, part)| (name, Tally::of(part.into_iter()))).collect()
        };
        let suites = by(records, |record| Some(&record.key.suite)).into_iter().map(|(name, of)| {
            let groups = tallies(by(&of, Record::group));
            let families = tallies(by(&of, |record| Some(&record.family)));
            (name, SuiteTally { all: Tally::of(of.into_iter()), groups, families })
        });
        let (contestant, format) = (key.contestant.clone(), key.format.clone());
        Column { contestant, format, suites: suites.collect(), all: Tally::of(records.iter().copied()) }
    }

    /// What it is called where formats matter too.
    pub fn name(&self) -> String {
        format!("{}, {}", self.contestant, self.format)
    }
}

impl Summary {
    /// Counts `records`; the columns come in the order of their first ones.
    pub fn of(runs: BTreeMap<String, Identity>, records: &[Record], mut notes: Vec<String>) -> Summary {
        let mut order: Vec<(&str, &str)> = Vec::new();
        let mut parts: HashMap<(&str, &str), Vec<&Record>> = HashMap::new();
        for record in records {
            let column = (record.key.contestant.as_str(), record.key.format.as_str());
            let part = parts.entry(column).or_default();
            if part.is_empty() {
                order.push(column);
            }
            part.push(record);
        }
        let columns = order.iter().map(|column| Column::of(&parts[column])).collect();
        let rates: Vec<Rates> = order.iter().map(|column| rates(&parts[column])).collect();
        let mut comparisons = Vec::new();
        let mut left_out = 0;
        for second in 0..order.len() {
            for first in 0..second {
                // One thing differs: who, or how.
                if (order[first].0 == order[second].0) == (order[first].1 == order[second].1) {
                    continue;
                }
                if comparisons.len() == PAIRS_MAX {
                    left_out += 1;
                    continue;
                }
                comparisons.extend(Comparison::of((order[first], &rates[first]), (order[second], &rates[second])));
            }
        }
        if left_out > 0 {
            notes.push(format!("{left_out} more pairs are not compared"));
        }
        Summary { runs, columns, comparisons, notes }
    }
}

/// By suite and task: tries, and how many of them were right.
type Rates<'a> = BTreeMap<(&'a str, &'a str), (usize, usize)>;

fn rates<'a>(records: &[&'a Record]) -> Rates<'a> {
    let mut rates = Rates::new();
    for record in records {
        let (tries, right) = rates.entry((&record.key.suite, &record.key.task)).or_default();
        (*tries, *right) = (*tries + 1, *right + usize::from(record.is_solved));
    }
    rates
}

impl Comparison {
    /// `None` where they have no task in common.
    fn of(
        (first, first_rates): ((&str, &str), &Rates<'_>),
        (second, second_rates): ((&str, &str), &Rates<'_>),
    ) -> Option<Comparison> {
        let both: Vec<_> = first_rates
            .iter()
            .filter_map(|(task, first)| second_rates.get(task).map(|second| (*first, *second)))
            .collect();
        if both.is_empty() {
            return None;
        }
        let rate = |(tries, right): (usize, usize)| right as f64 / tries as f64;
        let differences: Vec<f64> = both.iter().map(|(first, second)| rate(*second) - rate(*first)).collect();
        let is_single = both.iter().all(|(first, second)| (first.0, second.0) == (1, 1));
        let count = |sign: f64| differences.iter().filter(|difference| **difference * sign > 0.0).count();
        let (only_first, only_second) = (count(-1.0), count(1.0));
        let named = |(contestant, format): (&str, &str)| (contestant.to_owned(), format.to_owned());
        Some(Comparison {
            first: named(first),
            second: named(second),
            tasks: both.len(),
            difference: differences.iter().sum::<f64>() / both.len() as f64,
            interval: bootstrap(&differences),
            only_first: is_single.then_some(only_first),
            only_second: is_single.then_some(only_second),
            p_value: is_single.then(|| mcnemar(only_first, only_second)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn columns_suites_groups_and_families_are_counted() {
        let mut records =
            vec![record("b", "code", "t", true), record("a", "json", "t", false), record("a", "code", "t", true)];
        records.push(Record { family: "alone".to_owned(), ..record("b", "code", "u", false) });
        let mut other = record("b", "code", "t", false);
        other.key.suite = "other".to_owned();
        records.push(other);
        let summary = Summary::of(BTreeMap::new(), &records, Vec::new());
        let names: Vec<String> = summary.columns.iter().map(Column::name).collect();
        assert_eq!(names, ["b, code", "a, json", "a, code"]);
        let column = &summary.columns[0];
        let counts = |tally: &Tally| (tally.tasks, tally.solved);
        // The same id in two suites is two tasks.
        assert_eq!((counts(&column.all), column.suites.len()), ((3, 1), 2));
        let suite = &column.suites["s"];
        assert_eq!((counts(&suite.all), counts(&suite.groups["seen"])), ((2, 1), (1, 1)));
        assert_eq!((counts(&suite.families["alone"]), suite.groups.len()), ((1, 0), 1));
    }

    #[test]
    fn pairs_that_differ_in_one_thing_are_compared_on_common_tasks() {
        let solved = |contestant: &str, format: &str, tasks: &[(&str, bool)]| {
            tasks.iter().map(|(task, solved)| record(contestant, format, task, *solved)).collect::<Vec<_>>()
        };
        let records = [
            solved("a", "code", &[("t", true), ("u", true), ("v", true), ("w", false)]),
            solved("b", "code", &[("t", false), ("u", true), ("v", false), ("x", true)]),
            solved("b", "json", &[("y", true)]),
        ]
        .concat();
        let summary = Summary::of(BTreeMap::new(), &records, Vec::new());
        // `a` as code and `b` as json differ in both; `b`'s two have no task in common.
        assert_eq!(summary.comparisons.len(), 1, "{:?}", summary.comparisons);
        let Comparison { tasks, difference, only_first, only_second, p_value, .. } = summary.comparisons[0];
        assert_eq!((tasks, only_first, only_second, p_value), (3, Some(2), Some(0), Some(0.5)));
        assert!((difference + 2.0 / 3.0).abs() < 1e-12);
        let mut again = records.clone();
        let mut second = record("a", "code", "t", false);
        second.key.sample = 1;
        again.push(second);
        let comparison = &Summary::of(BTreeMap::new(), &again, Vec::new()).comparisons[0];
        assert_eq!((comparison.only_first, comparison.p_value), (None, None));
        assert!((comparison.difference + 0.5).abs() < 1e-12);
    }
}
