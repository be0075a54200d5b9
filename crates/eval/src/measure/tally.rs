//! Counts over the tries of some tasks, and what follows from them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Record;
use super::statistics::{pass_at, wilson};

/// What came of some tasks, each tried as often.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Tasks.
    pub tasks: usize,
    /// Tries of them.
    pub tries: usize,
    /// Tries that solved their task.
    pub solved: usize,
    /// The share of tries that did, a mean over tasks.
    pub rate: f64,
    /// The 95 % interval of `rate`, Wilson's, with tasks as the trials.
    pub interval: (f64, f64),
    /// By k: how likely one of k tries solves a task. Empty with one try each.
    pub pass_at: BTreeMap<usize, f64>,
    /// Solved tries in which an action ran well or badly.
    pub solved_by_actions: usize,
    /// Replies of the model, a mean over tries.
    pub steps: f64,
    /// Tokens of prompts, a mean over tries.
    pub prompt_tokens: f64,
    /// Tokens of replies, a mean over tries.
    pub completion_tokens: f64,
    /// Wall-clock time in seconds, a mean over tries.
    pub seconds: f64,
    /// Actions tried.
    pub actions: usize,
    /// Those that were no valid action.
    pub invalid_actions: usize,
    /// Those that ran and failed.
    pub failed_actions: usize,
    /// Tries with at least one invalid or failed action.
    pub tries_with_failure: usize,
    /// How many of these solved their task all the same: self-repair.
    pub repaired: usize,
    /// Tries that did not solve their task, by why.
    pub failures: BTreeMap<String, usize>,
    /// What tries were given besides their task; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<HelpTally>,
}

/// What tries were given besides their task.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HelpTally {
    /// Examples that were shown, a mean over tries.
    pub examples: f64,
    /// Functions that were defined already, a mean over tries.
    pub skills: f64,
    /// Tries whose code called one of them.
    pub tries_with_call: usize,
}

impl Tally {
    /// Counts `records`, of one contestant in one format. Tasks may differ in their number of tries, in a run that goes
    /// on; each counts as much.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Tally {
        let mut tally = Tally::default();
        let mut tasks: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for record in records {
            let (tries, right) = tasks.entry((&record.key.suite, &record.key.task)).or_default();
            (*tries, *right) = (*tries + 1, *right + usize::from(record.is_solved));
            tally.add(record);
        }
        tally.tasks = tasks.len();
        for sum in [&mut tally.steps, &mut tally.prompt_tokens, &mut tally.completion_tokens, &mut tally.seconds] {
            *sum /= tally.tries.max(1) as f64;
        }
        if let Some(help) = &mut tally.help {
            help.examples /= tally.tries.max(1) as f64;
            help.skills /= tally.tries.max(1) as f64;
        }
        let solved: f64 = tasks.values().map(|(tries, right)| *right as f64 / *tries as f64).sum();
        tally.rate = solved / tally.tasks.max(1) as f64;
        tally.interval = wilson(solved, tally.tasks);
        let least = tasks.values().map(|(tries, _)| *tries).min().unwrap_or(0);
        for k in ks(least) {
            let each = tasks.values().filter_map(|(tries, right)| pass_at(*tries, *right, k));
            tally.pass_at.insert(k, each.sum::<f64>() / tally.tasks.max(1) as f64);
        }
        tally
    }

    fn add(&mut self, record: &Record) {
        let Record { is_solved, actions, .. } = record;
        self.tries += 1;
        self.solved += usize::from(*is_solved);
        self.solved_by_actions += usize::from(*is_solved && actions.tried > actions.invalid);
        self.steps += record.steps as f64;
        self.prompt_tokens += record.prompt_tokens as f64;
        self.completion_tokens += record.completion_tokens as f64;
        self.seconds += record.seconds;
        self.actions += actions.tried;
        self.invalid_actions += actions.invalid;
        self.failed_actions += actions.failed;
        self.tries_with_failure += usize::from(actions.has_failure());
        self.repaired += usize::from(actions.has_failure() && *is_solved);
        if let Some(helped) = &record.helped {
            let help = self.help.get_or_insert_default();
            help.examples += helped.examples.len() as f64;
            help.skills += helped.skills as f64;
            help.tries_with_call += usize::from(!helped.called.is_empty());
        }
        if let Some(failure) = record.failure.as_ref().filter(|_| !is_solved) {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
    }

    /// The share of actions that were none; `None` without actions.
    pub fn invalid_rate(&self) -> Option<f64> {
        (self.actions > 0).then(|| self.invalid_actions as f64 / self.actions as f64)
    }

    /// Of the tries in which an action went wrong, the share that solved the task all the same; `None` without any.
    pub fn repair_rate(&self) -> Option<f64> {
        (self.tries_with_failure > 0).then(|| self.repaired as f64 / self.tries_with_failure as f64)
    }
}

/// Powers of two below the number of tries, and that number; none for a single try.
fn ks(tries: usize) -> Vec<usize> {
    if tries < 2 {
        return Vec::new();
    }
    let powers = (0..usize::BITS).map(|power| 1_usize << power).take_while(|k| *k < tries);
    powers.chain([tries]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::actions::Actions;
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn means_and_shares_are_those_by_hand() {
        let mut records = [
            record("c", "code", "a", true),
            record("c", "code", "b", true),
            record("c", "code", "d", false),
            record("c", "code", "e", false),
        ];
        let failing =
            |invalid, failed| Actions { tried: 3, invalid, failed, last_failure: Some("KeyError".to_owned()) };
        records[1].actions = failing(1, 1);
        records[2].actions = failing(0, 2);
        records[2].failure = Some("KeyError".to_owned());
        records[3].actions = Actions::default();
        records[3].steps = 6;
        let tally = Tally::of(records.iter());
        assert_eq!((tally.tasks, tally.tries, tally.solved, tally.rate), (4, 4, 2, 0.5));
        assert_eq!(tally.interval, wilson(2.0, 4));
        assert_eq!((tally.steps, tally.seconds, tally.prompt_tokens), (3.0, 0.5, 100.0));
        assert_eq!((tally.actions, tally.invalid_actions, tally.failed_actions), (7, 1, 3));
        assert_eq!((tally.tries_with_failure, tally.repaired, tally.solved_by_actions), (2, 1, 2));
        assert_eq!((tally.invalid_rate(), tally.repair_rate()), (Some(1.0 / 7.0), Some(0.5)));
        assert_eq!(tally.failures, BTreeMap::from([("KeyError".to_owned(), 1), ("wrong solution".to_owned(), 1)]));
        assert!(tally.pass_at.is_empty());
        let none = Tally::of([].into_iter());
        assert_eq!((none.rate, none.interval, none.repair_rate()), (0.0, (0.0, 1.0), None));
    }

    #[test]
    fn help_is_a_mean_over_tries_and_nothing_where_there_was_none() {
        let helped = |examples: usize, called: &[&str]| crate::help::Helped {
            examples: vec!["e".to_owned(); examples],
            skills: 3,
            called: called.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut records = [record("c", "code", "a", true), record("c", "code", "b", false)];
        assert_eq!(Tally::of(records.iter()).help, None);
        records[0].helped = Some(helped(2, &["f", "g"]));
        records[1].helped = Some(helped(1, &[]));
        let help = Tally::of(records.iter()).help;
        assert_eq!(help, Some(HelpTally { examples: 1.5, skills: 3.0, tries_with_call: 1 }));
    }

    #[test]
    fn several_tries_of_a_task_are_one_trial() {
        let tries = |task: &str, solved: [bool; 4]| {
            let tried = solved.into_iter().enumerate().map(|(sample, is_solved)| {
                let mut record = record("c", "code", task, is_solved);
                record.key.sample = sample as u32;
                record
            });
            tried.collect::<Vec<_>>()
        };
        let records = [tries("a", [true, true, false, false]), tries("b", [false; 4])].concat();
        let tally = Tally::of(records.iter());
        assert_eq!((tally.tasks, tally.tries, tally.solved, tally.rate), (2, 8, 2, 0.25));
        assert_eq!(tally.interval, wilson(0.5, 2));
        // Of the six pairs of tries of `a`, one has none that is right.
        let pass_at = BTreeMap::from([(1, 0.25), (2, 5.0 / 12.0), (4, 0.5)]);
        for (k, wanted) in &pass_at {
            assert!((tally.pass_at[k] - wanted).abs() < 1e-12, "{:?}", tally.pass_at);
        }
        assert_eq!(tally.pass_at.len(), 3);
    }
}
