//! GSM8K: `{"question", "answer"}`, where the answer ends with `#### 72`.

use std::path::PathBuf;

use serde_json::json;

use super::source::{Row, Source, found};
use super::{Draft, FORMATS, Wanted, fault, off_by_one, task};
use crate::EvalError;

const SPLITS: [&str; 4] = ["test", "train", "test_socratic", "train_socratic"];
/// What stands before the number.
const MARK: &str = "####";
const ASK: &str = "\n\nGive the number alone as your solution, without a unit and without separators.";

pub(super) fn draft(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    let (path, split) = chosen(wanted)?;
    let source = Source::read(&path)?;
    let rows = source.rows()?;
    let numbered = rows.iter().take(wanted.limit).enumerate();
    let tasks = numbered.map(|(index, row)| {
        let question = row.some_text("question")?.trim();
        let number = number(row)?;
        let wrong = slip(row.text("answer")?, &number);
        let grader = json!({"kind": "number", "answer": number});
        Ok(task(format!("{split}-{}", index + 1), "gsm8k", format!("{question}{ASK}"), grader, &number, &wrong))
    });
    let tasks = tasks.collect::<Result<Vec<_>, EvalError>>()?;
    let files = [(split.clone(), tasks)].into();
    Ok(Draft { files, split: Some(split), sources: vec![source.label()], ..Draft::default() })
}

/// The file, and which split it is: a file is the one of its name.
fn chosen(wanted: &Wanted<'_>) -> Result<(PathBuf, String), EvalError> {
    if let Some(split) = wanted.split.filter(|split| !SPLITS.contains(split)) {
        let known = SPLITS.join(", ");
        return Err(EvalError::Options(format!("gsm8k has no split `{split}`\nhint: there are {known}")));
    }
    if !wanted.from.is_dir() {
        let stem = wanted.from.file_stem().unwrap_or_default().to_string_lossy();
        let named = SPLITS.into_iter().rev().find(|split| stem.starts_with(*split));
        if let (Some(split), Some(named)) = (wanted.split, named)
            && split != named
        {
            let what = format!("is named as the split `{named}`, and `{split}` is asked for");
            return Err(fault(wanted.from, "", what, "leave `--split` out, or rename the file"));
        }
        return Ok((wanted.from.to_owned(), wanted.split.or(named).unwrap_or("test").to_owned()));
    }
    let split = wanted.split.unwrap_or("test");
    let names = ["", "data/", "grade_school_math/data/"].map(|folder| format!("{folder}{split}.jsonl"));
    let path = found(wanted.from, &names);
    let path = path.ok_or_else(|| fault(wanted.from, "", format!("has no `{split}.jsonl`"), FORMATS))?;
    Ok((path, split.to_owned()))
}

/// The number after the first mark, as `extract_answer` of the authors takes it: without commas.
fn number(row: &Row) -> Result<String, EvalError> {
    let answer = row.text("answer")?;
    let refuse = |what: &str| row.fault("answer", what);
    let (_, after) = answer.split_once(MARK).ok_or_else(|| refuse(&format!("has no line `{MARK} number`")))?;
    let number = after.trim().replace(',', "");
    let number = number.trim_end_matches('.');
    let is_plain = number.chars().all(|next| next.is_ascii_digit() || ".-".contains(next));
    match is_plain && number.parse::<f64>().is_ok_and(f64::is_finite) {
        true => Ok(number.to_owned()),
        false => Err(refuse(&format!("has no number after `{MARK}`"))),
    }
}

/// A plausible mistake: the last result on the way that is not the last one, as the calculator's `<<48/2=24>>` have them.
fn slip(answer: &str, right: &str) -> String {
    let results = answer.split("<<").skip(1).filter_map(|part| part.split_once(">>")?.0.rsplit_once('='));
    let results = results.map(|(_, result)| result.trim());
    let is_other = |result: &&str| {
        let (result, right) = (result.parse::<f64>(), right.parse::<f64>());
        result.ok().zip(right.ok()).is_some_and(|(result, right)| result.is_finite() && (result - right).abs() > 0.01)
    };
    results.filter(is_other).last().map_or_else(|| off_by_one(right), str::to_owned)
}
