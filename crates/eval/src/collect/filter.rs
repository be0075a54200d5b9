//! Which attempts are worth learning from: the rules of the CodeAct paper, each with a name to count by.

use std::collections::BTreeMap;

use codeact_agent::TurnEnd;
use serde::{Deserialize, Serialize};

use crate::measure::Record;

/// Why an attempt is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// The turn ended without anything to grade.
    NoSolution,
    /// What it ended with is not right.
    Wrong,
    /// Fewer replies than asked for.
    TooShort,
    /// Right, but nothing was run.
    NoAction,
    /// Right, but everything that was run failed.
    OnlyErrors,
    /// The same prompt and code as one that is kept.
    Duplicate,
    /// The task has as many kept ones as it may.
    Enough,
    /// Run again, its code does not give what the conversation says.
    NotReproduced,
}

impl Dropped {
    /// All of them, as tables list them.
    pub const ALL: [Dropped; 8] = [
        Dropped::NoSolution,
        Dropped::Wrong,
        Dropped::TooShort,
        Dropped::NoAction,
        Dropped::OnlyErrors,
        Dropped::Duplicate,
        Dropped::Enough,
        Dropped::NotReproduced,
    ];

    /// In a few words, for a table.
    pub fn words(self) -> &'static str {
        match self {
            Dropped::NoSolution => "no solution",
            Dropped::Wrong => "wrong",
            Dropped::TooShort => "right, with too few replies",
            Dropped::NoAction => "right, without an action that ran",
            Dropped::OnlyErrors => "right, but every action failed",
            Dropped::Duplicate => "the same prompt and code as a kept one",
            Dropped::Enough => "more than a task may have",
            Dropped::NotReproduced => "other observations when run again",
        }
    }
}

/// How often each reason was the one.
pub type DropCounts = BTreeMap<Dropped, usize>;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Replies of the model at least. The paper keeps conversations of more than two.
    pub replies_min: usize,
}

impl Filter {
    /// Why this attempt is not kept, by the first rule that it breaks; `None` when it is worth keeping.
    ///
    /// Source: Wang et al., "Executable code actions elicit better LLM agents", arXiv 2402.01030, appendix G.2, and the
    /// notebooks of its repository (`scripts/data/interaction/collection`): solved; more than two turns; not every reply
    /// before the last an invalid action; not every execution an error, so that an error that is repaired stays.
    pub fn judge(&self, attempt: &Record) -> Option<Dropped> {
        let ran = attempt.actions.tried.saturating_sub(attempt.actions.invalid);
        match () {
            () if !attempt.is_solved && attempt.end != TurnEnd::Solution => Some(Dropped::NoSolution),
            () if !attempt.is_solved => Some(Dropped::Wrong),
            () if ran == 0 => Some(Dropped::NoAction),
            () if attempt.actions.failed >= ran => Some(Dropped::OnlyErrors),
            () if attempt.steps < self.replies_min => Some(Dropped::TooShort),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::record;
    use crate::measure::Actions;

    fn attempt(is_solved: bool, steps: usize, tried: usize, invalid: usize, failed: usize) -> Record {
        let actions = Actions { tried, invalid, failed, last_failure: None };
        Record { is_solved, steps, actions, ..record("m", "t", is_solved) }
    }

    #[test]
    fn each_rule_of_the_paper_drops_what_it_is_for() {
        let judge = |attempt: &Record| Filter { replies_min: 3 }.judge(attempt);
        assert_eq!(judge(&attempt(true, 3, 2, 0, 0)), None);
        // An error that is repaired is what teaches to repair.
        assert_eq!(judge(&attempt(true, 3, 2, 0, 1)), None);
        assert_eq!(judge(&attempt(true, 3, 2, 1, 0)), None);
        assert_eq!(judge(&attempt(true, 2, 1, 0, 0)), Some(Dropped::TooShort));
        assert_eq!(judge(&attempt(true, 1, 0, 0, 0)), Some(Dropped::NoAction));
        assert_eq!(judge(&attempt(true, 4, 3, 3, 0)), Some(Dropped::NoAction));
        assert_eq!(judge(&attempt(true, 4, 3, 1, 2)), Some(Dropped::OnlyErrors));
        assert_eq!(judge(&attempt(false, 3, 2, 0, 0)), Some(Dropped::Wrong));
        let silent = Record { end: TurnEnd::StepLimit, ..attempt(false, 5, 5, 0, 0) };
        assert_eq!(judge(&silent), Some(Dropped::NoSolution));
        // What is graded by what it left behind needs no solution.
        let by_state = Record { end: TurnEnd::Answer, ..attempt(true, 3, 2, 0, 0) };
        assert_eq!(judge(&by_state), None);
    }
}
