//! When a task is solved: graders, and the verdicts they give. `docs/tasks.md` says what each of them takes.
//!
//! What a model wrote, and the code it wrote, is never believed: texts are read here, and Python of a grader runs in a
//! session in which nothing of the model runs (`examine`).

mod short; // the short form: the same text, or the same number

mod value; // values, and when two are the same

mod literal; // values as a solution writes them

mod tree; // the workspace, taken out of a session

mod state; // what files must hold

mod examine; // Python that tests what was left behind

mod python; // one question to a fresh Python

use codeact_chat::Message;
use codeact_sandbox::Policy;
use regex::Regex;
use serde::Serialize;
use serde_json::Value as Json;

use crate::EvalError;
use value::Value;

pub(crate) use python::{Earned, Meaning, asked, earned_by, meanings_of, tools_of};
pub use short::is_right;
pub use state::{Content, Query, State};
pub(crate) use tree::Tree;
pub use value::Tolerance;

/// What decides whether a task is solved.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Grader {
    /// The short form: see [`is_right`].
    Answer {
        /// The right solution.
        answer: String,
    },
    /// The text of the solution, without blanks around it.
    Exact {
        /// The right solution.
        answer: String,
        /// Whether capitals are as good as small letters.
        ignore_case: bool,
    },
    /// A number.
    Number {
        /// The right number, as it was written.
        answer: String,
        /// How far off it may be.
        tolerance: Tolerance,
    },
    /// Values in their order.
    List {
        /// The right list.
        answer: Json,
        /// How far off numbers may be.
        tolerance: Tolerance,
    },
    /// Values in any order, any number of times.
    Set {
        /// The right values, as a list.
        answer: Json,
        /// How far off numbers may be.
        tolerance: Tolerance,
    },
    /// Values by keys.
    Dict {
        /// The right values.
        answer: Json,
        /// How far off numbers may be.
        tolerance: Tolerance,
    },
    /// A pattern that the whole solution matches.
    Regex {
        /// The pattern.
        pattern: String,
    },
    /// Functions of Python that must not raise.
    Tests {
        /// Python with functions `test_..`.
        code: String,
    },
    /// What must be in the workspace.
    State(State),
    /// All of several.
    All {
        /// They are asked in their order, up to the first that refuses.
        graders: Vec<Grader>,
    },
}

/// Whether a task is solved, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it is.
    pub passed: bool,
    /// Why not, in a line or a few; empty if it is.
    pub why: String,
}

impl Verdict {
    /// It is solved.
    pub fn right() -> Verdict {
        Verdict { passed: true, why: String::new() }
    }

    /// It is not, for this reason.
    pub fn wrong(why: impl Into<String>) -> Verdict {
        Verdict { passed: false, why: why.into() }
    }

    fn of(passed: bool, why: impl FnOnce() -> String) -> Verdict {
        if passed { Verdict::right() } else { Verdict::wrong(why()) }
    }
}

/// What a turn left behind.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    /// The text of `<solution>`.
    pub solution: Option<&'a str>,
    /// The conversation.
    pub transcript: &'a [Message],
    /// The files before the turn; empty unless [`Grader::needs_before`].
    pub before: &'a Tree,
    /// The files after it; empty unless [`Grader::needs_files`].
    pub after: &'a Tree,
}

impl Grader {
    /// Whether it looks at the workspace.
    pub(crate) fn needs_files(&self) -> bool {
        match self {
            Grader::Tests { .. } | Grader::State(_) => true,
            Grader::All { graders } => graders.iter().any(Grader::needs_files),
            _ => false,
        }
    }

    /// Whether it has to know what was in the workspace before the turn.
    pub(crate) fn needs_before(&self) -> bool {
        match self {
            Grader::State(state) => !state.unchanged.is_empty(),
            Grader::All { graders } => graders.iter().any(Grader::needs_before),
            _ => false,
        }
    }

    /// Whether nobody can be right without a `<solution>`.
    pub fn needs_solution(&self) -> bool {
        match self {
            Grader::Tests { .. } | Grader::State(_) => false,
            Grader::All { graders } => graders.iter().any(Grader::needs_solution),
            _ => true,
        }
    }

    /// The right solution, where the task has it in the short form.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Grader::Answer { answer } => Some(answer),
            _ => None,
        }
    }

    /// Whether `attempt` solves the task. Python of the grader runs under `policy`; whatever the code of the model does
    /// there is a verdict.
    ///
    /// # Errors
    /// When Python does not start, or the code of the grader is none.
    pub(crate) fn judge(&self, attempt: &Attempt<'_>, policy: &Policy) -> Result<Verdict, EvalError> {
        if let Grader::All { graders } = self {
            for grader in graders {
                let verdict = grader.judge(attempt, policy)?;
                if !verdict.passed {
                    return Ok(verdict);
                }
            }
            return Ok(Verdict::right());
        }
        match self {
            Grader::Tests { code } => examine::judge(code, attempt, policy),
            Grader::State(state) => state.judge(attempt, policy),
            _ => Ok(match attempt.solution {
                Some(solution) => self.judge_solution(solution),
                None => Verdict::wrong("there is no `<solution>`"),
            }),
        }
    }

    /// What a grader says that looks at nothing but the text of a solution; `tests`, `state` and `all` look at more, and
    /// refuse.
    pub fn judge_solution(&self, solution: &str) -> Verdict {
        let solution = solution.trim();
        let is_not = |answer: &str| format!("the solution is `{}`, and `{answer}` is right", shown(solution));
        match self {
            Grader::Answer { answer } => Verdict::of(is_right(solution, answer), || is_not(answer)),
            Grader::Exact { answer, ignore_case } => {
                let answer = answer.trim();
                // The small form of a sign of other scripts may be a Latin letter.
                let is_alike = || match answer.is_ascii() {
                    true => solution.eq_ignore_ascii_case(answer),
                    false => solution.to_lowercase() == answer.to_lowercase(),
                };
                let is_same = solution == answer || *ignore_case && is_alike();
                Verdict::of(is_same, || is_not(answer))
            }
            Grader::Number { answer, tolerance } => {
                let (right, found) = (number(answer), number(solution));
                let is_same =
                    right.zip(found).is_some_and(|(right, found)| value::same_number(&right, &found, *tolerance));
                Verdict::of(is_same, || is_not(answer))
            }
            Grader::List { answer, tolerance } | Grader::Dict { answer, tolerance } => judge_value(solution, |found| {
                let answer = Value::of(answer);
                let is_same = value::same(&answer, found, *tolerance);
                Verdict::of(is_same, || format!("the solution {}", value::difference(&answer, found, *tolerance)))
            }),
            Grader::Set { answer, tolerance } => judge_value(solution, |found| {
                let (Value::List(right), Value::List(items) | Value::Set(items)) = (Value::of(answer), found) else {
                    return Verdict::wrong(format!("the solution is {}, which is no list or set", found.shown()));
                };
                let is_same = value::same_set(&right, items, *tolerance);
                Verdict::of(is_same, || {
                    format!("the solution is {}, and {} is right", found.shown(), Value::Set(right).shown())
                })
            }),
            Grader::Regex { pattern } => match compiled(pattern) {
                Ok(whole) => Verdict::of(whole.is_match(solution), || {
                    format!("the solution is `{}`, which does not match `{pattern}`", shown(solution))
                }),
                Err(reason) => Verdict::wrong(format!("the pattern `{pattern}` is none: {reason}")),
            },
            Grader::Tests { .. } | Grader::State(_) | Grader::All { .. } => Verdict::wrong("this grader reads no text"),
        }
    }
}

fn judge_value(solution: &str, judge: impl FnOnce(&Value) -> Verdict) -> Verdict {
    match literal::read(solution) {
        Ok(found) => judge(&found),
        Err(reason) => Verdict::wrong(format!("the solution `{}` is no value: {reason}", shown(solution))),
    }
}

/// A number as a solution writes it.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.contains(|next: char| !next.is_ascii_digit() && !".eE+-".contains(next)) {
        return None;
    }
    let all_digits = digits.bytes().all(|next| next.is_ascii_digit());
    let bare = if all_digits { digits.trim_start_matches('0') } else { digits };
    let number = Value::number(if bare.is_empty() && !digits.is_empty() { "0" } else { bare })?;
    Some(if is_negative { number.negated() } else { number })
}

/// A pattern as one for the whole text.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn compiled(pattern: &str) -> Result<Regex, String> {
    // By itself too: `a)(b` would close our bracket.
    Regex::new(pattern).map_err(|error| error.to_string())?;
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| error.to_string())
}

/// A text of a model as a verdict shows it.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push_str("..");
    }
    cut
}
