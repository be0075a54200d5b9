//! API-Bank: which request a dialogue asks for next. Requests are compared as texts; no API is called.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::source::{Row, Source, found};
use super::{Draft, FORMATS, Wanted, fault, no_split, task};
use crate::EvalError;
use crate::grade::asked;

const APIS_OF: &str = include_str!("../../python/apis.py");
const GRADER: &str = include_str!("../../python/api_call.py");
/// Seconds that reading the classes of all APIs may take.
const SECONDS_MAX: u64 = 30;
const FILES_MAX: usize = 2000;
const DIALOGUES: &str = "lv1-lv2-samples/level-1-given-desc";
const ASK: &str = "Give the one API request that the AI makes next as your solution, in the format \
                   [ApiName(key1='value1', key2='value2', ...)]. The current year is 2023.";
const SOLVE: &str = "Give the request [ApiName(key1='value1', key2='value2', ...)] as your solution.";

pub(super) fn draft(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    no_split(wanted, "api-bank")?;
    if wanted.from.is_dir() { dialogues(wanted) } else { requests(wanted) }
}

/// A file of `{"file", "id", "instruction", "input", "expected_output"}`.
fn requests(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    let source = Source::read(wanted.from)?;
    let mut draft = Draft { sources: vec![source.label()], ..Draft::default() };
    let mut tasks = Vec::new();
    for (index, row) in source.rows()?.iter().take(wanted.limit).enumerate() {
        let (instruction, input) = (row.some_text("instruction")?.trim(), row.some_text("input")?.trim());
        let expected = row.some_text("expected_output")?.trim();
        match expected.strip_prefix("API-Request:").map(str::trim).filter(|request| is_request(request)) {
            None => skip(&mut draft, "a reply in words, which its authors compare by ROUGE"),
            Some(request) => {
                let prompt = format!("{instruction}\n\n{input}\n\n{SOLVE}");
                let id =
                    format!("{}-{}", index + 1, request.split('(').next().unwrap_or_default().trim_start_matches('['));
                tasks.push(asking(id, "api-bank/requests", prompt, request));
            }
        }
    }
    draft.files.insert("requests".to_owned(), tasks);
    Ok(draft)
}

/// `[Name(..)]` with a name of Python.
fn is_request(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(")]"));
    let name = inside.and_then(|text| text.split_once('(')).map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_'))
}

fn skip(draft: &mut Draft, why: &str) {
    *draft.skipped.entry(why.to_owned()).or_default() += 1;
}

fn asking(id: String, family: &str, prompt: String, request: &str) -> Value {
    let code = format!("{GRADER}RIGHT = {}\n", Value::from(request));
    let name = request.trim_start_matches('[').split('(').next().unwrap_or_default();
    // A plausible mistake: the request without its parameters, or another one where there are none.
    let wrong = if request.ends_with("()]") { "[Unknown()]".to_owned() } else { format!("[{name}()]") };
    task(id, family, prompt, json!({"kind": "tests", "code": code}), request, &wrong)
}

/// The folder `api-bank`: each request of each dialogue of level 1, after what was said before it.
fn dialogues(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    let missing = |name: &str| fault(wanted.from, "", format!("has no `{name}`"), FORMATS);
    let samples = found(wanted.from, &[DIALOGUES.to_owned()]).ok_or_else(|| missing(DIALOGUES))?;
    let apis = found(wanted.from, &["apis".to_owned()]).ok_or_else(|| missing("apis"))?;
    let apis = described(&apis, wanted)?;
    let mut draft = Draft::default();
    let (mut tasks, mut count) = (Vec::new(), 0);
    for path in files(&samples, ".jsonl")? {
        let source = Source::read(&path)?;
        if source.is_blank() {
            skip(&mut draft, "a dialogue without a word");
            continue;
        }
        let rows = source.rows()?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let made = requests_of(&rows, &stem, &apis, &mut draft)?;
        tasks.extend(made.into_iter().take(wanted.limit));
        count += 1;
    }
    draft.sources.push(format!("{count} dialogues of `{DIALOGUES}`"));
    draft.files.insert("level-1".to_owned(), tasks);
    Ok(draft)
}

/// The tasks of one dialogue.
fn requests_of(
    rows: &[Row],
    stem: &str,
    apis: &Map<String, Value>,
    draft: &mut Draft,
) -> Result<Vec<Value>, EvalError> {
    let mut named: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| row.text("role").is_ok_and(|role| role == "API")) {
        let name = row.name("api_name")?;
        if !named.contains(&name) {
            named.push(name);
        }
    }
    let told: Vec<String> = named.iter().filter_map(|name| Some(described_line(name, apis.get(name)?))).collect();
    let (mut said, mut tasks) = (Vec::new(), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        match row.text("role")? {
            role @ ("User" | "AI") => said.push(format!("{role}: {}", row.text("text")?)),
            "API" => {
                let request = request_of(row)?;
                let name = row.name("api_name")?;
                match apis.contains_key(&name) && is_request(&request) {
                    true => {
                        let (told, said) = (told.join("\n"), said.join("\n"));
                        let prompt = format!("{ASK}\n\nAPI descriptions:\n{told}\n\nThe dialogue:\n{said}");
                        tasks.push(asking(format!("{stem}/{}", index + 1), "api-bank/level-1", prompt, &request));
                    }
                    false => skip(
                        draft,
                        &format!("a request of `{}`, which `apis` does not describe", crate::suite::cut(&name)),
                    ),
                }
                let result = row.get("result").and_then(|result| result.get("output")).unwrap_or(&Value::Null);
                said.push(format!("API-Request: {request}->{result}"));
            }
            _ => return Err(row.fault("role", "must be `User`, `AI` or `API`")),
        }
    }
    Ok(tasks)
}

fn described_line(name: &str, parts: &Value) -> String {
    let part = |key: &str| parts.get(key).cloned().unwrap_or_default();
    let mut line = json!({"name": name});
    for key in ["description", "input_parameters", "output_parameters"] {
        line[key] = part(key);
    }
    line.to_string()
}

/// `[Name(key='value', ..)]` of `{"api_name", "param_dict"}`.
fn request_of(row: &Row) -> Result<String, EvalError> {
    let Value::Object(entries) = row.value("param_dict")? else {
        return Err(row.fault("param_dict", "must be an object"));
    };
    let parameters = entries.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key}='{text}'"),
        other => format!("{key}='{other}'"),
    });
    Ok(format!("[{}({})]", row.name("api_name")?, parameters.collect::<Vec<_>>().join(", ")))
}

/// What the classes in `folder` say of themselves, by name. They are parsed in the sandbox, and not run.
fn described(folder: &Path, wanted: &Wanted<'_>) -> Result<Map<String, Value>, EvalError> {
    let mut texts = Vec::new();
    for path in files(folder, ".py")? {
        texts.push(Source::read(&path)?.text()?.to_owned());
    }
    let given = [("apis.json".to_owned(), json!(texts).to_string().into_bytes())];
    let question = "apis_of(json.load(open('apis.json', encoding='utf-8')))";
    match asked(APIS_OF, question, &given, SECONDS_MAX, wanted.policy)? {
        Ok(Value::Object(apis)) if !apis.is_empty() => Ok(apis),
        Ok(_) => Err(fault(folder, "", "describes no API".to_owned(), FORMATS)),
        Err(why) => Err(fault(folder, "", format!("cannot be read: {why}"), FORMATS)),
    }
}

/// The plain files of a folder with this end, by name.
fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>, EvalError> {
    let failed = |source| EvalError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.to_string_lossy().ends_with(end) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(fault(folder, "", format!("has more than {FILES_MAX} files"), FORMATS));
        }
    }
    paths.sort();
    Ok(paths)
}
