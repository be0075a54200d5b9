//! Which attempts are left to make: the weakest teacher first, and a later one only where none before it did anything
//! that is worth keeping.

use std::collections::BTreeMap;

use super::attempts::Job;
use super::filter::Filter;
use crate::Suite;
use crate::measure::Record;

/// What is known of the attempts so far: whether each is worth keeping, by teacher, suite and task.
#[derive(Debug)]
pub struct Ladder {
    filter: Filter,
    done: BTreeMap<(String, String, String), BTreeMap<u32, bool>>,
}

impl Ladder {
    /// Without any attempt yet.
    ///
    /// * `filter`: says what is worth keeping. What it drops is as good as a failure: nothing is learned from it.
    pub fn new(filter: Filter) -> Ladder {
        Ladder { filter, done: BTreeMap::new() }
    }

    /// Takes note of an attempt.
    pub fn note(&mut self, attempt: &Record) {
        let key = (attempt.key.contestant.clone(), attempt.key.suite.clone(), attempt.key.task.clone());
        let is_worth = self.filter.judge(attempt).is_none();
        self.done.entry(key).or_default().insert(attempt.key.sample, is_worth);
    }

    /// The attempts that `teachers[rung]` has left to make as number `sample` at each task. They depend on nothing but
    /// what came of earlier numbers and of earlier teachers, so that a run that was interrupted asks for the same ones.
    ///
    /// * `enough`: attempts of this teacher that are worth keeping, after which a task gets no more.
    pub fn left<'a>(
        &self,
        suites: &'a [Suite],
        teachers: &[String],
        rung: usize,
        sample: u32,
        enough: usize,
    ) -> Vec<Job<'a>> {
        let all = suites.iter().flat_map(|suite| suite.tasks.iter().map(move |task| Job { suite, task, sample }));
        let is_left = |job: &Job<'_>| {
            let of = |teacher: &String| self.done.get(&(teacher.clone(), job.suite.name.clone(), job.task.id.clone()));
            let has_worth = |teacher| of(teacher).is_some_and(|attempts| attempts.values().any(|is_worth| *is_worth));
            let own = of(&teachers[rung]);
            let worth = own.map_or(0, |own| own.range(..sample).filter(|(_, is_worth)| **is_worth).count());
            let is_done = own.is_some_and(|own| own.contains_key(&sample));
            !is_done && worth < enough && !teachers[..rung].iter().any(has_worth)
        };
        all.filter(is_left).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::{record, suite};

    #[test]
    fn a_stronger_teacher_gets_what_the_weaker_ones_failed() {
        let suites = [suite(&["a", "b", "c"])];
        let teachers = ["weak".to_owned(), "strong".to_owned()];
        let mut ladder = Ladder::new(Filter { replies_min: 2 });
        let ids = |ladder: &Ladder, rung: usize, sample: u32, enough: usize| -> Vec<String> {
            let jobs = ladder.left(&suites, &teachers, rung, sample, enough);
            jobs.iter().map(|job| job.task.id.clone()).collect()
        };
        assert_eq!(ids(&ladder, 0, 0, 2), ["a", "b", "c"]);
        let mut note = |teacher: &str, task: &str, sample: u32, is_solved: bool| {
            let mut record = record(teacher, task, is_solved);
            record.key.sample = sample;
            ladder.note(&record);
        };
        note("weak", "a", 0, true);
        note("weak", "b", 0, false);
        note("weak", "a", 1, true);
        note("weak", "b", 1, false);
        note("weak", "c", 1, false);
        assert_eq!(ids(&ladder, 0, 0, 2), ["c"]);
        // Two right ones are enough, and a number that is done is not made again.
        assert_eq!(ids(&ladder, 0, 2, 2), ["b", "c"]);
        assert_eq!(ids(&ladder, 0, 2, 3), ["a", "b", "c"]);
        assert_eq!(ids(&ladder, 1, 0, 2), ["b", "c"]);
    }

    #[test]
    fn what_is_right_and_not_worth_keeping_is_no_reason_to_stop() {
        let suites = [suite(&["a", "b"])];
        let teachers = ["weak".to_owned(), "strong".to_owned()];
        let mut ladder = Ladder::new(Filter { replies_min: 3 });
        // Right with two replies, twice, and once with three.
        for (task, sample, steps) in [("a", 0, 2), ("a", 1, 2), ("b", 0, 2), ("b", 1, 3)] {
            let mut record = record("weak", task, true);
            (record.key.sample, record.steps) = (sample, steps);
            ladder.note(&record);
        }
        let ids = |rung: usize, sample: u32, enough: usize| -> Vec<String> {
            let jobs = ladder.left(&suites, &teachers, rung, sample, enough);
            jobs.iter().map(|job| job.task.id.clone()).collect()
        };
        assert_eq!((ids(0, 2, 1), ids(0, 2, 2)), (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(ids(1, 0, 2), ["a"]);
    }
}
