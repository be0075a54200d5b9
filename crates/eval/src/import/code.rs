//! HumanEval, MBPP and the Python part of InterCode: a function to write, and asserts about it.

use serde_json::Value;

use super::asserts::{Problem, tasks};
use super::source::{Row, Source};
use super::{Draft, Wanted, fault, no_split};
use crate::EvalError;

const WHOLE: &str = "Give the whole code, with its imports, as your solution.";
/// The splits of MBPP, by `task_id`, as its paper has them.
static MBPP_SPLITS: [(&str, std::ops::RangeInclusive<u64>); 5] =
    [("test", 11..=510), ("prompt", 1..=10), ("validation", 511..=600), ("train", 601..=974), ("all", 0..=u64::MAX)];

pub(super) fn humaneval(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    no_split(wanted, "humaneval")?;
    let source = Source::read(wanted.from)?;
    let rows = source.rows()?;
    let problems = rows.iter().take(wanted.limit).map(|row| humaneval_problem(row, row.name("task_id")?, "humaneval"));
    let problems = problems.collect::<Result<Vec<_>, EvalError>>()?;
    Ok(drafted("humaneval", None, tasks(&problems, wanted)?, &source))
}

/// A row with `prompt`, `entry_point`, `canonical_solution` and `test`.
pub(super) fn humaneval_problem<'a>(row: &'a Row, id: String, family: &'static str) -> Result<Problem<'a>, EvalError> {
    let mut given = plain(row.some_text("prompt")?);
    if !given.ends_with('\n') {
        given.push('\n');
    }
    Ok(Problem {
        row,
        id,
        family,
        prompt: format!("Complete the following code:\n\n{}\n\n{WHOLE}", given.trim_end()),
        code: format!("{given}{}", plain(row.some_text("canonical_solution")?)),
        given,
        setup: String::new(),
        tests: vec![plain(row.some_text("test")?)],
        entry: Some(row.some_text("entry_point")?.to_owned()),
        keys: ["canonical_solution", "test"],
    })
}

pub(super) fn mbpp(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    let split = wanted.split.unwrap_or("test");
    let Some((_, ids)) = MBPP_SPLITS.iter().find(|(name, _)| *name == split) else {
        let known: Vec<&str> = MBPP_SPLITS.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        return Err(EvalError::Options(format!("mbpp has no split `{split}`\nhint: there are {known}")));
    };
    let source = Source::read(wanted.from)?;
    let rows = source.rows()?;
    let mut problems = Vec::new();
    for row in &rows {
        let id = row.name("task_id")?;
        let number: u64 = id.parse().map_err(|_| row.fault("task_id", "must be a whole number"))?;
        if ids.contains(&number) && problems.len() < wanted.limit {
            let text = if row.get("text").is_some() { "text" } else { "prompt" };
            let request = row.some_text(text)?.trim();
            problems.push(mbpp_problem(row, &id, request, ["code", "test_list"], "mbpp")?);
        }
    }
    if problems.is_empty() {
        let what = format!("has no task of the split `{split}`, which are those with `task_id` {ids:?}");
        return Err(fault(wanted.from, "", what, "choose another one with `--split`"));
    }
    Ok(drafted("mbpp", Some(split), tasks(&problems, wanted)?, &source))
}

/// A row with `code` and `test_list`, whatever they are called in it.
pub(super) fn mbpp_problem<'a>(
    row: &'a Row,
    id: &str,
    request: &str,
    keys: [&'static str; 2],
    family: &'static str,
) -> Result<Problem<'a>, EvalError> {
    row.value(keys[1])?;
    let tests: Vec<String> = row.texts(keys[1])?.into_iter().map(plain).collect();
    if tests.is_empty() {
        return Err(row.fault(keys[1], "must not be empty"));
    }
    let mut setup: Vec<String> = row.texts("test_imports")?.into_iter().map(plain).collect();
    if row.get("test_setup_code").is_some() {
        setup.push(plain(row.text("test_setup_code")?));
    }
    let setup = setup.join("\n").trim().to_owned();
    let shown: Vec<&str> = [setup.as_str()].into_iter().chain(tests.iter().map(|test| test.trim())).collect();
    let shown = shown.join("\n");
    Ok(Problem {
        row,
        id: format!("mbpp-{id}"),
        family,
        prompt: format!("{request}\n\nYour code should pass these tests:\n\n{}\n\n{WHOLE}", shown.trim()),
        code: plain(row.some_text(keys[0])?),
        given: String::new(),
        setup,
        tests,
        entry: None,
        keys,
    })
}

pub(super) fn intercode(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    no_split(wanted, "intercode")?;
    if wanted.from.is_dir() {
        let hint =
            "give the file `data/python/mbpp/ic_mbpp.json`; docs/benchmarks.md says why the others cannot be imported";
        return Err(fault(wanted.from, "", "is a folder, and must be a file".to_owned(), hint));
    }
    let source = Source::read(wanted.from)?;
    let rows = source.rows()?;
    let first = &rows[0];
    if first.get("tests").is_none() && first.get("query").is_some() {
        let what = match first.get("db") {
            Some(_) => "holds tasks in SQL, which need the MySQL server of InterCode",
            None => "holds tasks that need the containers of InterCode",
        };
        let hint = "only its Python tasks, `data/python/mbpp/ic_mbpp.json`, run anywhere";
        return Err(fault(wanted.from, "", what.to_owned(), hint));
    }
    let problems = rows.iter().take(wanted.limit).map(|row| {
        let (id, request) = (row.name("task_id")?, row.some_text("query")?.trim());
        mbpp_problem(row, &id, request, ["gold", "tests"], "intercode/mbpp")
    });
    let problems = problems.collect::<Result<Vec<_>, EvalError>>()?;
    Ok(drafted("intercode", None, tasks(&problems, wanted)?, &source))
}

fn drafted(name: &str, split: Option<&str>, tasks: Vec<Value>, source: &Source) -> Draft {
    let files = [(name.to_owned(), tasks)].into();
    Draft { files, split: split.map(str::to_owned), sources: vec![source.label()], ..Draft::default() }
}

/// A source with line ends of one kind.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n")
}
