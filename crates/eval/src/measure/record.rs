//! One try of one task: a line of `results.jsonl`.

use codeact_agent::TurnEnd;
use codeact_chat::Message;
use serde::{Deserialize, Serialize};

use super::actions::{Actions, TIMEOUT};
use crate::help::Helped;

/// A model elsewhere did not answer a request.
const MODEL_ERROR: &str = "model error";

/// Which try a record is of. No two of a run have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Who was measured.
    pub contestant: String,
    /// The form of its actions: `code`, `json` or `text`.
    pub format: String,
    /// The suite by its name.
    pub suite: String,
    /// The task by its id.
    pub task: String,
    /// Which try, from 0.
    pub sample: u32,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which one it is.
    #[serde(flatten)]
    pub key: Key,
    /// Family of the task: `group/family`, or just a family.
    pub family: String,
    /// Whether the task was solved.
    pub is_solved: bool,
    /// What the model proposed in `<solution>`, if it did.
    pub solution: Option<String>,
    /// Why it is not solved, in the words of the grader.
    pub reason: Option<String>,
    /// Why the turn ended.
    pub end: TurnEnd,
    /// Why it is not solved, in a few words to count by; `None` when it is.
    pub failure: Option<String>,
    /// Replies of the model.
    pub steps: usize,
    /// Its actions.
    pub actions: Actions,
    /// Tokens of all prompts, those in a cache included; 0 where nobody counts.
    pub prompt_tokens: usize,
    /// Tokens the model wrote; 0 where nobody counts.
    pub completion_tokens: usize,
    /// Wall-clock time in seconds, starting Python and grading included.
    pub seconds: f64,
    /// What it was given besides the task; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helped: Option<Helped>,
    /// The conversation, without the examples that it was shown.
    pub transcript: Vec<Message>,
}

impl Record {
    /// What stands before the `/` of the family, if anything does.
    pub fn group(&self) -> Option<&str> {
        self.family.split_once('/').map(|(group, _)| group)
    }

    /// Why a try did not solve its task, as a class: the first of these that is true.
    ///
    /// * `context overflow`: the conversation did not fit into the context any more.
    /// * `model error`: a model elsewhere did not answer a request, or with what is no reply.
    /// * `wrong solution`: what the grader looked at was wrong: the solution, or what the turn left behind.
    /// * `timeout`: the time of the turn was over.
    /// * what went wrong with the last action that did: `invalid action`, `timeout`, `Python ended`, or the type of an
    ///   exception.
    /// * `no solution`: the turn ended without one.
    ///
    /// `is_graded` says whether there was something for the grader to look at.
    pub fn failure(end: TurnEnd, actions: &Actions, is_graded: bool) -> String {
        match end {
            TurnEnd::Context => "context overflow".to_owned(),
            TurnEnd::Error => MODEL_ERROR.to_owned(),
            _ if is_graded => "wrong solution".to_owned(),
            TurnEnd::TimeLimit => TIMEOUT.to_owned(),
            _ => actions.last_failure.clone().unwrap_or_else(|| "no solution".to_owned()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A try that nothing is special about.
    pub(crate) fn record(contestant: &str, format: &str, task: &str, is_solved: bool) -> Record {
        let key = Key {
            contestant: contestant.to_owned(),
            format: format.to_owned(),
            suite: "s".to_owned(),
            task: task.to_owned(),
            sample: 0,
        };
        Record {
            key,
            family: "seen/f".to_owned(),
            is_solved,
            solution: Some("1".to_owned()),
            reason: None,
            end: TurnEnd::Solution,
            failure: (!is_solved).then(|| "wrong solution".to_owned()),
            steps: 2,
            actions: Actions { tried: 1, ..Actions::default() },
            prompt_tokens: 100,
            completion_tokens: 10,
            seconds: 0.5,
            helped: None,
            transcript: vec![Message::user("do it")],
        }
    }

    #[test]
    fn a_failure_has_one_class() {
        let actions = |last: Option<&str>| Actions { last_failure: last.map(str::to_owned), ..Actions::default() };
        let class = |end, last, is_graded| Record::failure(end, &actions(last), is_graded);
        assert_eq!(class(TurnEnd::Context, Some("KeyError"), false), "context overflow");
        assert_eq!(class(TurnEnd::Error, Some("KeyError"), false), "model error");
        assert_eq!(class(TurnEnd::Solution, Some("KeyError"), true), "wrong solution");
        assert_eq!(class(TurnEnd::TimeLimit, Some("KeyError"), false), "timeout");
        assert_eq!(class(TurnEnd::StepLimit, Some("KeyError"), false), "KeyError");
        assert_eq!(class(TurnEnd::Answer, None, false), "no solution");
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let helped = Helped { examples: vec!["b".to_owned()], skills: 2, called: vec!["f".to_owned()] };
        let record = Record { seconds: 0.1 + 0.2, helped: Some(helped), ..record("a", "code", "t", false) };
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.starts_with(r#"{"contestant":"a","format":"code","suite":"s","task":"t","sample":0,"#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }
}
