//! MINT: a folder of parts, each with `test_prompts.json`, whose lines are `{"id", "prompt", "reference"}` and more.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::asserts::{Problem, tasks};
use super::code::{humaneval_problem, mbpp_problem};
use super::source::{Row, Source, found};
use super::{Draft, FORMATS, Wanted, far_from, fault, off_by_one, task};
use crate::EvalError;

const PARTS: [(&str, &str); 7] = [
    ("gsm8k", "mint/gsm8k"),
    ("hotpotqa", "mint/hotpotqa"),
    ("humaneval", "mint/humaneval"),
    ("math", "mint/math"),
    ("mbpp", "mint/mbpp"),
    ("mmlu", "mint/mmlu"),
    ("theoremqa", "mint/theoremqa"),
];
const FILE: &str = "test_prompts.json";
/// How far off a number may be, as the authors have it: `compare_w_digits`, and `within_eps` of TheoremQA.
const REASONING_RELATIVE: f64 = 0.05;
const THEOREM_RELATIVE: f64 = 0.04;
const THEOREM_ASK: &str = "Answer the following question with a number, a list of numbers or True or False. ";
const UNSURE: &str = "I do not know";

pub(super) fn draft(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    let mut draft = Draft { split: wanted.split.map(str::to_owned), ..Draft::default() };
    let parts = chosen(wanted, &mut draft)?;
    for (name, family, path) in parts {
        let source = Source::read(&path)?;
        let rows = source.rows()?;
        let rows = &rows[..rows.len().min(wanted.limit)];
        let tasks = match name {
            "humaneval" | "mbpp" => {
                let problems =
                    rows.iter().map(|row| problem(name, family, row)).collect::<Result<Vec<_>, EvalError>>()?;
                tasks(&problems, wanted)?
            }
            _ => rows.iter().map(|row| asked(name, family, row)).collect::<Result<Vec<_>, EvalError>>()?,
        };
        draft.sources.push(format!("{name}/{}", source.label()));
        draft.files.insert(name.to_owned(), tasks);
    }
    Ok(draft)
}

/// Whether Python has to parse some of what is asked for: the parts whose asserts become tests.
pub(super) fn has_code(from: &Path, split: Option<&str>) -> bool {
    let folder = from.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let part = split.or_else(|| folder.filter(|_| !from.is_dir()));
    part.is_none_or(|part| ["humaneval", "mbpp"].contains(&part))
}

type Part = (&'static str, &'static str, PathBuf);

/// The parts that are there: those of a folder, or the one whose file is given.
fn chosen(wanted: &Wanted<'_>, draft: &mut Draft) -> Result<Vec<Part>, EvalError> {
    let known = || PARTS.map(|(name, _)| name).join(", ");
    let named = wanted.split.map(|split| {
        let part = PARTS.iter().find(|(name, _)| *name == split);
        part.ok_or_else(|| EvalError::Options(format!("mint has no part `{split}`\nhint: there are {}", known())))
    });
    let named = named.transpose()?;
    if !wanted.from.is_dir() {
        let folder = wanted.from.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
        let part = named.or_else(|| PARTS.iter().find(|(name, _)| folder == *name));
        let hint = format!("name it with `--split`, one of {}", known());
        let what = "lies in no folder that is named as a part of MINT".to_owned();
        let (name, family) = part.ok_or_else(|| fault(wanted.from, "", what, &hint))?;
        return Ok(vec![(*name, *family, wanted.from.to_owned())]);
    }
    let at = |name: &str| found(wanted.from, &["", "data/processed/"].map(|folder| format!("{folder}{name}/{FILE}")));
    let parts: Vec<Part> = PARTS
        .iter()
        .filter(|(name, _)| named.is_none_or(|(wanted, _)| wanted == name))
        .filter_map(|(name, family)| Some((*name, *family, at(name)?)))
        .collect();
    if parts.is_empty() {
        return Err(fault(wanted.from, "", format!("has no `{FILE}` in a folder of its part"), FORMATS));
    }
    let world = ["", "data/processed/"].map(|folder| format!("{folder}alfworld"));
    if named.is_none() && found(wanted.from, &world).is_some() {
        draft.skipped.insert("the part `alfworld`, which needs its simulator".to_owned(), 1);
    }
    Ok(parts)
}

fn problem<'a>(name: &str, family: &'static str, row: &'a Row) -> Result<Problem<'a>, EvalError> {
    let id = row.name("id")?;
    match name {
        "humaneval" => humaneval_problem(row, format!("humaneval-{id}"), family),
        _ => mbpp_problem(row, &id, row.some_text("text")?.trim(), ["code", "test_list"], family),
    }
}

/// A question with a reference.
fn asked(name: &str, family: &str, row: &Row) -> Result<Value, EvalError> {
    let id = format!("{name}-{}", row.name("id")?);
    let prompt = row.some_text("prompt")?.trim();
    let reference = row.value("reference")?;
    let (prompt, grader, right, wrong) = match name {
        "theoremqa" => {
            let (grader, right, wrong) = theorem(row, reference)?;
            (format!("{THEOREM_ASK}{prompt}"), grader, right, wrong)
        }
        "mmlu" => {
            let (grader, right, wrong) = choice(row, prompt)?;
            (format!("{prompt}\n\nGive the letter of the right option as your solution."), grader, right, wrong)
        }
        _ => {
            let (grader, right, wrong) = reasoning(row, reference)?;
            (prompt.to_owned(), grader, right, wrong)
        }
    };
    Ok(task(id, family, prompt, grader, &right, &wrong))
}

type Decided = (Value, String, String);

/// A number within 5 %, or a text that the solution holds as whole words.
fn reasoning(row: &Row, reference: &Value) -> Result<Decided, EvalError> {
    let text = match reference {
        Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err(row.fault("reference", "must be a text or a number")),
    };
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        let grader = json!({"kind": "number", "answer": text, "absolute": 0.0, "relative": REASONING_RELATIVE});
        let wrong = far_from(text.parse().unwrap_or_default());
        return Ok((grader, text, wrong));
    }
    let pattern = format!(r"(?is)(.*\W)?{}(\W.*)?", regex::escape(&text));
    Ok((json!({"kind": "regex", "pattern": pattern}), text, UNSURE.to_owned()))
}

/// The letter of an option, alone or before what it says, or what it says.
fn choice(row: &Row, prompt: &str) -> Result<Decided, EvalError> {
    let letter = row.text("reference")?.trim().to_lowercase();
    if letter.len() != 1 || !letter.bytes().all(|next| next.is_ascii_lowercase()) {
        return Err(row.fault("reference", "must be the letter of an option"));
    }
    let options = prompt.rsplit_once("Options:").map_or("", |(_, options)| options);
    let said = options.split(" , ").filter_map(|option| option.split_once(')'));
    let mut said = said.map(|(name, text)| (name.trim().to_lowercase(), text.trim().trim_end_matches('.').trim()));
    let content = said.find(|(name, _)| *name == letter).map(|(_, text)| text).filter(|text| !text.is_empty());
    let content = content.map(|text| format!(r"|{}\.?", regex::escape(text))).unwrap_or_default();
    let pattern = format!(r"(?is)\(?\s*{letter}\s*([).:].*)?{content}");
    let wrong = if letter == "a" { "b" } else { "a" };
    Ok((json!({"kind": "regex", "pattern": pattern}), letter, wrong.to_owned()))
}

/// As `answer_type` says: numbers that are no whole ones within 4 %, lists in their order.
fn theorem(row: &Row, reference: &Value) -> Result<Decided, EvalError> {
    let refuse = |what: &str| Err(row.fault("reference", what));
    let is_rough = |value: &Value| value.is_f64();
    let kind = row.text("answer_type")?.to_lowercase();
    let rough = |grader: &mut Value| {
        grader["absolute"] = json!(0.0);
        grader["relative"] = json!(THEOREM_RELATIVE);
    };
    match (kind.as_str(), reference) {
        ("integer" | "float", Value::Number(number)) => {
            let text = number.to_string();
            let mut grader = json!({"kind": "number", "answer": text});
            if is_rough(reference) {
                rough(&mut grader);
            }
            let wrong = match is_rough(reference) {
                true => far_from(number.as_f64().unwrap_or_default()),
                false => off_by_one(&text),
            };
            Ok((grader, text, wrong))
        }
        ("bool", Value::Bool(right)) => {
            let name = |value: bool| (if value { "True" } else { "False" }).to_owned();
            let grader = json!({"kind": "exact", "answer": name(*right), "ignore_case": true});
            Ok((grader, name(*right), name(!*right)))
        }
        ("option", Value::String(letter)) if letter.len() == 1 => {
            let pattern = format!(r"(?i)\(?{}\)?\.?", regex::escape(letter));
            let wrong = if letter.eq_ignore_ascii_case("a") { "b" } else { "a" };
            Ok((json!({"kind": "regex", "pattern": pattern}), letter.clone(), wrong.to_owned()))
        }
        ("list of integer" | "list of float", Value::Array(items)) if items.iter().all(Value::is_number) => {
            let mut grader = json!({"kind": "list", "answer": reference});
            if items.iter().any(is_rough) {
                rough(&mut grader);
            }
            let wrong = if items.is_empty() { "[0]" } else { "[]" };
            Ok((grader, reference.to_string(), wrong.to_owned()))
        }
        (kind @ ("integer" | "float" | "bool" | "option" | "list of integer" | "list of float"), _) => {
            refuse(&format!("is no value of the `answer_type` {kind}"))
        }
        (kind, _) => Err(row.fault("answer_type", &format!("is `{}`, which is none", crate::suite::cut(kind)))),
    }
}
