//! Problems that asserts decide: they become tests of a grader, for which only functions of the solution run elsewhere.

use serde_json::{Value, json};

use super::source::Row;
use super::{BESIDE_TAG, FORMATS, Wanted, fault, task, told};
use crate::EvalError;
use crate::grade::asked;
use crate::suite::cut;

const ASSERTS: &str = include_str!("../../python/asserts.py");
/// Problems that one session takes.
const AT_ONCE: usize = 200;
/// Seconds that it may take for them.
const SECONDS_MAX: u64 = 60;

/// Something to write, and the asserts that it must pass.
pub(super) struct Problem<'a> {
    pub row: &'a Row,
    pub id: String,
    pub family: &'static str,
    pub prompt: String,
    /// A solution.
    pub code: String,
    /// Its beginning that the prompt gives; the asserts may use it.
    pub given: String,
    /// Python that runs before the asserts.
    pub setup: String,
    /// The asserts, or one text that defines `check`.
    pub tests: Vec<String>,
    /// The function that `check` is called with.
    pub entry: Option<String>,
    /// How the row calls the code and the tests.
    pub keys: [&'static str; 2],
}

/// The tasks of `problems`. Their sources are parsed in the sandbox, and not run.
pub(super) fn tasks(problems: &[Problem<'_>], wanted: &Wanted<'_>) -> Result<Vec<Value>, EvalError> {
    let mut tasks = Vec::new();
    for problems in problems.chunks(AT_ONCE) {
        let items = problems.iter().map(|problem| {
            let Problem { code, given, setup, tests, entry, .. } = problem;
            json!({"code": code, "given": given, "setup": setup, "tests": tests, "entry": entry})
        });
        let items = Value::Array(items.collect()).to_string();
        let question = "[tests_of(item) for item in json.load(open('items.json', encoding='utf-8'))]";
        let files = [("items.json".to_owned(), items.into_bytes())];
        let answer = asked(ASSERTS, question, &files, SECONDS_MAX, wanted.policy)?;
        let answers = answer.and_then(|answer| match answer {
            Value::Array(answers) if answers.len() == problems.len() => Ok(answers),
            _ => Err("the answer is none".to_owned()),
        });
        let answers = answers.map_err(|why| {
            let what = format!("the asserts from `{}` on cannot be read: {}", cut(&problems[0].id), told(&why));
            fault(wanted.from, "", what, "take the row that is out of the ordinary out of the file")
        })?;
        for (problem, answer) in problems.iter().zip(&answers) {
            tasks.push(made(problem, answer)?);
        }
    }
    Ok(tasks)
}

fn made(problem: &Problem<'_>, answer: &Value) -> Result<Value, EvalError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(what) = answer.pointer("/fault/1").and_then(text) {
        let key = match answer.pointer("/fault/0").and_then(Value::as_str) {
            Some("code") => problem.keys[0],
            Some("tests") => problem.keys[1],
            _ => "entry_point",
        };
        return Err(problem.row.fault(key, &told(&what)));
    }
    let (Some(code), Some(why)) = (answer.get("code").and_then(text), answer.get("why").and_then(text)) else {
        return Err(problem.row.fault(problem.keys[1], &format!("cannot be read; {FORMATS}")));
    };
    // A plausible mistake: the functions are there, and nobody wrote what they give.
    let names = answer.get("asked").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let wrong: String = names.map(|name| format!("def {name}(*args, **kwargs):\n    return None\n\n\n")).collect();
    let wrong = format!("\n{}\n", if wrong.is_empty() { "pass" } else { wrong.trim_end() });
    let right = format!("\n{}\n", problem.code.trim_end());
    let grader = json!({"kind": "tests", "code": code});
    let mut task = task(problem.id.clone(), problem.family, problem.prompt.clone(), grader, &right, &wrong);
    if !why.is_empty() {
        task["tags"] = json!([BESIDE_TAG]);
    }
    Ok(task)
}
