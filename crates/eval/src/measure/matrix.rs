//! Every task of every suite, by every contestant, in every form of action, so many times: what is done is written down
//! at once, and what is not is done.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use codeact_agent::{ActionFormat, AgentOptions, Profile};
use codeact_engine::EngineLimits;
use codeact_model::serving::ServingOptions;
use codeact_sandbox::Policy;
use sha2::{Digest, Sha256};

use super::contestant::Entrant;
use super::record::{Key, Record};
use super::results::{Identity, Results};
use super::solve::{Unanswered, try_task};
use super::surroundings::{seeded, surroundings};
use crate::{Draw, EvalError, Solver, Suite, Task, in_order};

/// How everything is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Forms of actions; none: the one that each contestant was trained with.
    pub formats: Vec<ActionFormat>,
    /// Wording of the prompts; `None`: the one that each contestant was trained with.
    pub profile: Option<Profile>,
    /// Tries of each task, at least one.
    pub samples: u32,
    /// What all seeds follow from.
    pub seed: u64,
    /// Sampling temperature of every try.
    pub temperature: f64,
    /// Most tokens of a reply.
    pub reply_tokens_max: usize,
    /// What sessions run under.
    pub policy: Policy,
    /// How models here are loaded.
    pub serving: ServingOptions,
    /// What their engines do at once.
    pub limits: EngineLimits,
    /// Tries at once. It changes no result.
    pub parallel: usize,
}

/// All that there is to do.
pub struct Matrix {
    suites: Vec<Suite>,
    entrants: Vec<Entrant>,
    settings: Settings,
}

/// One try.
struct Try<'a> {
    key: Key,
    entrant: usize,
    format: ActionFormat,
    task: &'a Task,
}

impl Matrix {
    /// Puts it together. A session's order of sets follows from the seed too.
    pub fn new(suites: Vec<Suite>, entrants: Vec<Entrant>, mut settings: Settings) -> Matrix {
        settings.policy = seeded(&settings.policy, settings.seed);
        Matrix { suites, entrants, settings }
    }

    /// Everything that a result depends on, but for the machine.
    pub fn identity(&self) -> Identity {
        let Settings { formats, profile, policy, serving, .. } = &self.settings;
        let formats: Vec<&str> = formats.iter().map(|format| format.name()).collect();
        let own = || "as trained".to_owned();
        let mut identity = surroundings(policy, &self.suites);
        identity.extend([
            ("formats".to_owned(), if formats.is_empty() { own() } else { formats.join(",") }),
            ("profile".to_owned(), profile.as_ref().map_or_else(own, |profile| profile.name().to_owned())),
            ("samples".to_owned(), self.settings.samples.to_string()),
            ("seed".to_owned(), self.settings.seed.to_string()),
            ("temperature".to_owned(), self.settings.temperature.to_string()),
            ("reply tokens".to_owned(), self.settings.reply_tokens_max.to_string()),
            ("weights".to_owned(), format!("{:?} on the {:?}", serving.weights, serving.place).to_lowercase()),
        ]);
        for entrant in &self.entrants {
            identity.insert(format!("contestant {}", entrant.contestant.name), entrant.fingerprint.clone());
            identity.extend(entrant.help.identity(&entrant.contestant.name));
        }
        identity
    }

    /// Whether the help of every contestant is of use in every form of action.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn check_help(&self) -> Result<(), EvalError> {
        let mut pairs = self.entrants.iter().flat_map(|entrant| {
            let formats = self.formats_of(entrant);
            formats.into_iter().map(move |format| (entrant, format))
        });
        pairs.try_for_each(|(entrant, format)| entrant.help.check(format))
    }

    /// The forms of action that it is measured in.
    fn formats_of(&self, entrant: &Entrant) -> Vec<ActionFormat> {
        match self.settings.formats.is_empty() {
            true => vec![entrant.wording.format],
            false => self.settings.formats.clone(),
        }
    }

    /// How many tries there are in all.
    pub fn count(&self) -> usize {
        self.tries().len()
    }

    /// Places of records in the order of suites, contestants and formats as they were given, for reports.
    pub fn order(&self) -> Vec<Key> {
        self.tries().into_iter().map(|each| each.key).collect()
    }

    fn tries(&self) -> Vec<Try<'_>> {
        let mut tries = Vec::new();
        for (entrant, each) in self.entrants.iter().enumerate() {
            for format in self.formats_of(each) {
                for suite in &self.suites {
                    for task in &suite.tasks {
                        tries.extend((0..self.settings.samples).map(|sample| {
                            let key = Key {
                                contestant: each.contestant.name.clone(),
                                format: format.name().to_owned(),
                                suite: suite.name.clone(),
                                task: task.id.clone(),
                                sample,
                            };
                            Try { key, entrant, format, task }
                        }));
                    }
                }
            }
        }
        tries
    }

    /// Does what is not in `done` yet, adds it to `results`, and calls `on_done` with each, from any thread. Contestants of
    /// the same weights run beside each other; weights are loaded when they are needed first and dropped before the next.
    /// Ends early, between tries, when `stop` is set.
    ///
    /// # Errors
    /// When a model cannot be loaded, does not answer several times in a row or not at all, Python does not start, a
    /// task's setup fails, or results cannot be written; what ended before is kept.
    pub fn run(
        &self,
        results: &Results,
        done: &HashSet<Key>,
        stop: &AtomicBool,
        on_done: &(dyn Fn(&Record) + Sync),
    ) -> Result<(), EvalError> {
        let mut open: Vec<Try<'_>> = self.tries().into_iter().filter(|each| !done.contains(&each.key)).collect();
        while let Some(first) = open.first() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let leader = &self.entrants[first.entrant];
            let (now, later): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|each| self.entrants[each.entrant].shares_weights(leader));
            let mut solvers: Vec<Option<Solver>> = self.entrants.iter().map(|_| None).collect();
            let mut loaded: Option<Solver> = None;
            for each in &now {
                if solvers[each.entrant].is_none() {
                    let entrant = &self.entrants[each.entrant];
                    let solver = entrant.load(loaded.as_ref(), &self.settings.serving, self.settings.limits.clone())?;
                    loaded.get_or_insert_with(|| solver.clone());
                    solvers[each.entrant] = Some(solver);
                }
            }
            self.run_on(&solvers, &now, results, stop, on_done)?;
            open = later;
        }
        Ok(())
    }

    fn run_on(
        &self,
        solvers: &[Option<Solver>],
        tries: &[Try<'_>],
        results: &Results,
        stop: &AtomicBool,
        on_done: &(dyn Fn(&Record) + Sync),
    ) -> Result<(), EvalError> {
        let (failure, unanswered) = (Mutex::new(None), Unanswered::default());
        in_order(tries, self.settings.parallel, |_, each| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let solver = solvers[each.entrant].as_ref().expect("every entrant with a try was loaded");
            let record = self.run_one(solver, each).and_then(|record| unanswered.count(record));
            match record.and_then(|record| results.add(&record).map(|()| record)) {
                Ok(record) => {
                    on_done(&record);
                    Some(())
                }
                Err(error) => {
                    failure.lock().expect("nothing panics while it holds this lock").get_or_insert(error);
                    None
                }
            }
        });
        match failure.into_inner().expect("nothing panics while it holds a lock") {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn run_one(&self, solver: &Solver, each: &Try<'_>) -> Result<Record, EvalError> {
        let Settings { seed, temperature, reply_tokens_max, profile, policy, .. } = &self.settings;
        let Key { suite, task, sample, .. } = &each.key;
        let seed = draw_seed(*seed, suite, task, *sample);
        let draw = Draw { temperature: *temperature, seed, reply_tokens_max: *reply_tokens_max };
        let Entrant { wording, help, .. } = &self.entrants[each.entrant];
        let profile = profile.clone().unwrap_or_else(|| wording.profile.clone());
        let options = AgentOptions { format: each.format, ..AgentOptions::new(profile) };
        try_task(each.key.clone(), each.task, solver.model(&draw)?, &options, policy, help)
    }
}

/// The seed of a try. It is that of no other, and the same for every contestant and form, so that they differ in nothing
/// else.
pub(crate) fn draw_seed(seed: u64, suite: &str, task: &str, sample: u32) -> u64 {
    let mut hasher = Sha256::new();
    for part in [&seed.to_le_bytes()[..], suite.as_bytes(), task.as_bytes(), &sample.to_le_bytes()] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    u64::from_le_bytes(hasher.finalize()[..8].try_into().expect("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_task_and_sample() {
        let mut seeds: Vec<u64> = Vec::new();
        for (seed, suite, task, sample) in [(0, "a", "b", 0), (1, "a", "b", 0), (0, "ab", "", 0), (0, "a", "b", 1)] {
            seeds.push(draw_seed(seed, suite, task, sample));
            assert_eq!(seeds.last(), Some(&draw_seed(seed, suite, task, sample)));
        }
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 4);
    }
}
