//! API-Bank: which request a dialogue asks for next. Requests are compared as texts; no API is called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::source::{Row, Source, found};
use super::{Draft, FORMATS, Wanted, fault, no_split, task, told};
use crate::EvalError;
use crate::grade::asked;
use crate::suite::cut;

const APIS_OF: &str = include_str!("../../python/apis.py");
const GRADER: &str = include_str!("../../python/api_call.py");
/// Seconds that reading the classes of all APIs may take.
const SECONDS_MAX: u64 = 30;
const FILES_MAX: usize = 2000;
/// Bytes of the sources of all APIs.
const SOURCES_BYTES_MAX: usize = 16 << 20;
/// Bytes of the prompts and requests of all dialogues: each request comes after all that was said before it.
const PROMPTS_BYTES_MAX: usize = 64 << 20;
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
    for (index, row) in source.rows()?.iter().enumerate() {
        if tasks.len() == wanted.limit {
            break;
        }
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
    let mut requests = Requests { apis, tasks: Vec::new(), limit: wanted.limit, bytes: 0 };
    let mut count = 0;
    for path in files(&samples, ".jsonl")? {
        if requests.is_full() {
            break;
        }
        let source = Source::read(&path)?;
        if source.is_blank() {
            skip(&mut draft, "a dialogue without a word");
            continue;
        }
        let rows = source.rows()?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        requests.add(&rows, &stem, &mut draft)?;
        count += 1;
    }
    draft.sources.push(format!("{count} dialogues of `{DIALOGUES}`"));
    draft.files.insert("level-1".to_owned(), requests.tasks);
    Ok(draft)
}

/// The tasks of dialogues, as far as they are made.
struct Requests {
    /// What APIs say of themselves, by name.
    apis: Map<String, Value>,
    tasks: Vec<Value>,
    /// Tasks that are made at most.
    limit: usize,
    /// Bytes of prompts and requests so far.
    bytes: usize,
}

impl Requests {
    fn is_full(&self) -> bool {
        self.tasks.len() >= self.limit
    }

    /// Adds those of one dialogue.
    fn add(&mut self, rows: &[Row], stem: &str, draft: &mut Draft) -> Result<(), EvalError> {
        // In the order of names, as that of the dialogue would tell what comes next.
        let mut named = BTreeSet::new();
        for row in rows.iter().filter(|row| row.text("role").is_ok_and(|role| role == "API")) {
            named.insert(row.name("api_name")?);
        }
        let known = named.iter().filter_map(|name| Some(described_line(name, self.apis.get(name)?)));
        let told = known.collect::<Vec<String>>().join("\n");
        let mut said = String::new();
        for (index, row) in rows.iter().enumerate() {
            if self.is_full() {
                break;
            }
            let line = match row.text("role")? {
                role @ ("User" | "AI") => format!("{role}: {}", row.text("text")?),
                "API" => {
                    let request = request_of(row)?;
                    let name = row.name("api_name")?;
                    if self.apis.contains_key(&name) && is_request(&request) {
                        let prompt = format!("{ASK}\n\nAPI descriptions:\n{told}\n\nThe dialogue:\n{said}");
                        self.bytes += prompt.len() + request.len();
                        if self.bytes > PROMPTS_BYTES_MAX {
                            let what = format!("makes tasks of more than {PROMPTS_BYTES_MAX} bytes; see `--limit`");
                            return Err(row.fault("api_name", &what));
                        }
                        let id = format!("{stem}/{}", index + 1);
                        self.tasks.push(asking(id, "api-bank/level-1", prompt, &request));
                    } else {
                        skip(draft, &format!("a request of `{}`, which `apis` does not describe", cut(&name)));
                    }
                    let result = row.get("result").and_then(|result| result.get("output")).unwrap_or(&Value::Null);
                    format!("API-Request: {request}->{result}")
                }
                _ => return Err(row.fault("role", "must be `User`, `AI` or `API`")),
            };
            said.push_str(if said.is_empty() { "" } else { "\n" });
            said.push_str(&line);
        }
        Ok(())
    }
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
        other => format!("{key}='{}'", literal(other)),
    });
    Ok(format!("[{}({})]", row.name("api_name")?, parameters.collect::<Vec<_>>().join(", ")))
}

/// A value as Python prints it, which is how the authors write it into a request.
fn literal(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", list(items.iter().map(literal).collect())),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), literal(value)));
            format!("{{{}}}", list(entries.collect()))
        }
    }
}

/// A text as Python prints it: in double quotes where it has single ones only.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut written = String::from(quote);
    for next in text.chars() {
        match next {
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => written.push_str(&format!("\\x{:02x}", u32::from(next))),
            next => {
                if next == quote || next == '\\' {
                    written.push('\\');
                }
                written.push(next);
            }
        }
    }
    written.push(quote);
    written
}

/// What the classes in `folder` say of themselves, by name. They are parsed in the sandbox, and not run.
fn described(folder: &Path, wanted: &Wanted<'_>) -> Result<Map<String, Value>, EvalError> {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    for path in files(folder, ".py")? {
        let text = Source::read(&path)?.text()?.to_owned();
        bytes += text.len();
        if bytes > SOURCES_BYTES_MAX {
            let what = format!("has sources of more than {SOURCES_BYTES_MAX} bytes");
            return Err(fault(folder, "", what, "give the folder of API-Bank alone"));
        }
        texts.push(text);
    }
    let given = [("apis.json".to_owned(), json!(texts).to_string().into_bytes())];
    let question = "apis_of(json.load(open('apis.json', encoding='utf-8')))";
    match asked(APIS_OF, question, &given, SECONDS_MAX, wanted.policy)? {
        Ok(Value::Object(apis)) if !apis.is_empty() => Ok(apis),
        Ok(_) => Err(fault(folder, "", "describes no API".to_owned(), FORMATS)),
        Err(why) => Err(fault(folder, "", format!("cannot be read: {}", told(&why)), FORMATS)),
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

#[cfg(test)]
mod tests {
    use codeact_sandbox::Policy;

    use super::*;

    #[test]
    fn what_is_read_and_made_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "{\"role\": \"API\", \"api_name\": \"Add\", \"param_dict\": {}}\n").unwrap();
        let rows = Source::read(&path).unwrap().rows().unwrap();
        let apis: Map<String, Value> = [("Add".to_owned(), json!({}))].into_iter().collect();
        let (mut requests, mut draft) = (Requests { apis, tasks: Vec::new(), limit: 2, bytes: 0 }, Draft::default());
        requests.add(&rows, "a", &mut draft).unwrap();
        assert!(requests.tasks.len() == 1 && requests.bytes > ASK.len());
        requests.bytes = PROMPTS_BYTES_MAX;
        let error = requests.add(&rows, "a", &mut draft).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("see `--limit`"), "{error}");
        requests.limit = 1;
        requests.add(&rows, "a", &mut draft).unwrap();
        assert_eq!(requests.tasks.len(), 1);

        std::fs::write(folder.path().join("large.py"), "#".repeat(SOURCES_BYTES_MAX + 1)).unwrap();
        let wanted = Wanted { from: folder.path(), split: None, limit: 1, policy: &Policy::default() };
        let error = described(folder.path(), &wanted).unwrap_err().to_string();
        assert!(error.contains("has sources of more than"), "{error}");
    }

    #[test]
    fn values_are_written_as_python_prints_them() {
        for (value, expected) in [
            (json!([null, true, false, 1, -2.5, "a"]), "[None, True, False, 1, -2.5, 'a']"),
            (json!({"it's": [], "b": {}}), r#"{"it's": [], 'b': {}}"#),
            (json!("'\"\\\n\u{1}\u{7f}é"), r#"'\'"\\\n\x01\x7fé'"#),
        ] {
            assert_eq!(literal(&value), expected);
        }
    }
}
