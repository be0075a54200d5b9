//! One question to a fresh Python, with the code that answers it: nothing of a model runs there.

use std::collections::BTreeMap;
use std::sync::Arc;

use codeact_sandbox::{Cell, CellEnd, Network, Policy, Session, Tool};
use serde_json::Value as Json;

use crate::EvalError;

/// The form in which an answer comes: `MIME` of `values.py`.
const MIME: &str = "application/x-codeact-answer";
pub(super) const VALUES: &str = include_str!("../../python/values.py");
const TOOLS_OF: &str = include_str!("../../python/tools_of.py");
const EARN: &str = include_str!("../../python/earn.py");
const ROWS: &str = include_str!("../../python/rows.py");
/// Seconds that a question of this file may take.
const SECONDS_MAX: u64 = 30;
/// Bytes of stored sources that one session takes apart.
const STORED_BYTES_MAX: usize = 1 << 20;
/// Characters of a failure that are told.
const FAILURE_CHARS_MAX: usize = 500;

/// `policy` for sessions of a grader: on a disk of their own, without the network, with nothing kept for undo.
pub(super) fn policy_for(policy: &Policy, seconds: u64) -> Policy {
    let mut policy = Policy { workspace: None, network: Network::None, tools: None, ..policy.clone() };
    policy.limits.wall_ms_max = seconds * 1000;
    policy.limits.checkpoints_max = 0;
    policy
}

/// What the last expression of `code` answers; the inner error is why it does not.
pub(super) fn ask(session: &mut Session, code: &str) -> Result<Result<String, String>, EvalError> {
    let cell = session.run(code, &mut |_| {})?;
    Ok(answer_of(&cell))
}

/// What a cell answered.
pub(super) fn answer_of(cell: &Cell) -> Result<String, String> {
    match (cell.end, cell.value.get(MIME)) {
        (CellEnd::Finished, Some(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        (CellEnd::TimedOut, _) => Err("it does not end in time".to_owned()),
        _ => Err(cell.observation(FAILURE_CHARS_MAX)),
    }
}

/// A text as a literal of Python, which one of JSON is.
pub(super) fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

/// What `question` gives as JSON, asked in a fresh Python with `code` and these files in its folder; the inner error is why
/// it gives nothing.
pub(crate) fn asked(
    code: &str,
    question: &str,
    files: &[(String, Vec<u8>)],
    seconds: u64,
    policy: &Policy,
) -> Result<Result<Json, String>, EvalError> {
    let policy = Policy { imports: Vec::new(), ..policy_for(policy, seconds) };
    let mut session = Session::start(&policy)?;
    let folder = session.files();
    for (name, bytes) in files {
        if let Err(error) = folder.write(name, &mut &bytes[..], bytes.len() as u64) {
            return Ok(Err(error.to_string()));
        }
    }
    let answer = ask(&mut session, &format!("{VALUES}\n{code}\nAnswer(json.dumps({question}))"))?;
    Ok(answer.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())))
}

/// The functions that a file of tools defines; the inner error is why there are none.
pub(crate) fn tools_of(source: &str, policy: &Policy) -> Result<Result<Vec<Tool>, String>, EvalError> {
    let mut session = Session::start(&policy_for(policy, SECONDS_MAX))?;
    let question = format!("Answer(json.dumps(tools_of({})))", quoted(source));
    let answer = ask(&mut session, &format!("{VALUES}\n{TOOLS_OF}\n{question}"))?;
    Ok(answer.and_then(|text| match serde_json::from_str::<Json>(&text) {
        Ok(Json::String(reason)) => Err(reason),
        Ok(tools) => serde_json::from_value(tools).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }))
}

/// A function that a program defined, as `earn.py` tells of it: data of whoever wrote the program.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Earned {
    /// Name of the function.
    pub name: String,
    /// How it is called.
    pub signature: String,
    /// What it does.
    pub doc: String,
    /// Python that defines it, with all that it needs.
    pub source: String,
    /// What it gave in the program, as asserts.
    pub tests: String,
    /// What it is, and what names mean in it.
    #[serde(flatten)]
    pub meaning: Meaning,
}

/// What the source of a function comes to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Meaning {
    /// The same for functions that do the same.
    pub key: String,
    /// What names mean in it, each with a hash: functions, imports, and what it takes for a builtin.
    pub defines: BTreeMap<String, String>,
}

/// Functions that could be skills, and why others could not.
pub(crate) type EarnedAndRefused = (Vec<Earned>, Vec<String>);

/// The functions of a program that could be skills, and why others could not; the inner error is why it tells of none.
pub(crate) fn earned_by(cells: &[String], policy: &Policy) -> Result<Result<EarnedAndRefused, String>, EvalError> {
    let mut session = Session::start(&policy_for(policy, SECONDS_MAX))?;
    let question = format!("Answer(json.dumps(earned({})))", Json::from(cells));
    let answer = ask(&mut session, &format!("{VALUES}\n{EARN}\n{question}"))?;
    Ok(answer.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())))
}

/// What `sources` that a store holds come to, each if it can be read; the inner error is why nothing is told. They are
/// parsed, and not run.
pub(crate) fn meanings_of(
    sources: &[String],
    policy: &Policy,
) -> Result<Result<Vec<Option<Meaning>>, String>, EvalError> {
    let (mut meanings, mut left) = (Vec::with_capacity(sources.len()), sources);
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = |source: &&String| {
            bytes += source.len();
            bytes <= STORED_BYTES_MAX
        };
        let (these, rest) = left.split_at(left.iter().take_while(fits).count().max(1));
        left = rest;
        let files = [("sources.json".to_owned(), Json::from(these).to_string().into_bytes())];
        let question = "stored(json.load(open('sources.json', encoding='utf-8')))";
        let told = asked(EARN, question, &files, SECONDS_MAX, policy)?;
        let told = told.and_then(|told| {
            let told: Vec<Option<Meaning>> = serde_json::from_value(told).map_err(|error| error.to_string())?;
            if told.len() == these.len() { Ok(told) } else { Err("the answer is none".to_owned()) }
        });
        match told {
            Ok(told) => meanings.extend(told),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(meanings))
}

/// Each part of a database: what its name ends with, and its bytes where there is one.
pub(super) type Parts = [(&'static str, Option<Arc<[u8]>>); 3];

/// The rows of a query as a literal of Python; the inner error is why there are none.
pub(super) fn rows(query: &str, parts: Parts, policy: &Policy) -> Result<Result<String, String>, EvalError> {
    let mut session = Session::start(&policy_for(policy, SECONDS_MAX))?;
    let files = session.files();
    for (end, bytes) in parts {
        if let Some(bytes) = bytes
            && let Err(error) = files.write(&format!("0/database{end}"), &mut &bytes[..], bytes.len() as u64)
        {
            return Ok(Err(error.to_string()));
        }
    }
    let question = format!("Answer(rows_of(\"0/database\", {}))", quoted(query));
    let answer = ask(&mut session, &format!("{VALUES}\n{ROWS}\n{question}"))?;
    Ok(answer.and_then(|text| match text.strip_prefix('!') {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(text),
    }))
}
