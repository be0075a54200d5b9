//! The grader `tests`: Python that examines what a turn left behind.
//!
//! Two sessions. In G the grader runs, and nothing else ever does. In C lies a copy of the workspace, and the code of the
//! model runs there when G asks for it. G asks through a function of the host, which passes texts on: what comes back is
//! data, and the worst that C can do is to give wrong values.

use std::sync::{Arc, Mutex, PoisonError};

use codeact_chat::Role;
use codeact_sandbox::{CellEnd, Policy, Session, State, Tool, Toolbox};
use serde_json::{Value as Json, json};

use super::python::{self, VALUES, quoted};
use super::tree::{Node, Tree};
use super::{Attempt, Verdict};
use crate::EvalError;

const GRADER: &str = include_str!("../../python/grader.py");
const CANDIDATE: &str = include_str!("../../python/candidate.py");
/// Seconds that all tests of a grader may take, with all that they ask for.
const SECONDS_MAX: u64 = 60;
/// The folder of G with the files of the model, under numbers: no name of a module is one.
const FOLDER: &str = "0";
/// The file of G with everything else that it is given.
const GIVEN: &str = "0/given";
/// The name under which G asks.
const ASK: &str = "_codeact_ask";
/// Bytes of the bundle that G is given.
const GIVEN_BYTES_MAX: u64 = 256 << 20;

/// Whether the tests in `code` pass.
pub(super) fn judge(code: &str, attempt: &Attempt<'_>, policy: &Policy) -> Result<Verdict, EvalError> {
    if let Some(reason) = attempt.after.is_cut() {
        return Ok(Verdict::wrong(reason));
    }
    let source = attempt.solution.map(without_fence);
    let candidate = Candidate {
        policy: python::policy_for(policy, policy.limits.wall_ms_max.div_ceil(1000).min(SECONDS_MAX)),
        tree: attempt.after.clone(),
        source,
        session: None,
        is_ready: false,
        failure: None,
    };
    let bridge = Arc::new(Bridge(Mutex::new(candidate)));
    let mut policy = python::policy_for(policy, SECONDS_MAX);
    policy.tools = Some(bridge.clone());
    let mut session = Session::start(&policy)?;
    let nodes = match handed_over(&session, attempt.after) {
        Ok(nodes) => nodes,
        Err(reason) => return Ok(Verdict::wrong(format!("the files cannot be looked at: {reason}"))),
    };
    let messages = attempt.transcript.iter().map(|message| json!({"role": message.role, "content": message.content}));
    let reply = attempt.transcript.iter().rev().find(|message| message.role == Role::Assistant);
    let given = json!({
        "code": code,
        "solution": attempt.solution,
        "reply": reply.map(|message| message.content.as_str()).unwrap_or_default(),
        "transcript": messages.collect::<Vec<_>>(),
        "nodes": nodes,
        "folder": FOLDER,
    });
    // By a file: what a turn leaves may be larger than a cell can be.
    let given = session.files().write(GIVEN, &mut given.to_string().as_bytes(), GIVEN_BYTES_MAX);
    if let Err(reason) = given {
        return Ok(Verdict::wrong(format!("what the turn left cannot be looked at: {reason}")));
    }
    let question = format!("Answer(json.dumps(examine(**json.load(open('{GIVEN}', encoding='utf-8')))))");
    let cell = session.run(&format!("{VALUES}\n{GRADER}\n{question}"), &mut |_| {})?;
    drop(session);
    let mut candidate = bridge.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = candidate.failure.take() {
        return Err(failure);
    }
    if cell.end == CellEnd::TimedOut {
        return Ok(Verdict::wrong(format!("the tests do not end within {SECONDS_MAX} seconds")));
    }
    Ok(match python::answer_of(&cell).map(|text| serde_json::from_str::<Json>(&text)) {
        Ok(Ok(told)) => {
            let text = |key: &str| told.get(key).and_then(Json::as_str).map(str::to_owned);
            if let Some(reason) = text("broken") {
                return Err(EvalError::Grader { reason });
            }
            match (told.get("passed").and_then(Json::as_u64), text("failed")) {
                (Some(1..), None) => Verdict::right(),
                (_, why) => Verdict::wrong(why.unwrap_or_default()),
            }
        }
        Ok(Err(error)) => Verdict::wrong(format!("the tests give no result: {error}")),
        Err(reason) => Verdict::wrong(format!("the tests give no result: {reason}")),
    })
}

/// Puts the files into G, and tells by path where they are.
fn handed_over(session: &Session, tree: &Tree) -> Result<Json, String> {
    let files = session.files();
    let mut nodes = serde_json::Map::new();
    for (number, (path, node)) in tree.iter().enumerate() {
        let node = match node {
            Node::File(bytes) => {
                let name = format!("{FOLDER}/{number}");
                files.write(&name, &mut &bytes[..], GIVEN_BYTES_MAX).map_err(|error| error.to_string())?;
                json!({"kind": "file", "number": number})
            }
            Node::Folder => json!({"kind": "folder"}),
            Node::Unreadable(why) => json!({"kind": "other", "why": why}),
        };
        nodes.insert(path.to_owned(), node);
    }
    Ok(Json::Object(nodes))
}

/// Code without the fence of Markdown around it.
fn without_fence(solution: &str) -> String {
    let text = solution.trim();
    let inside =
        text.strip_prefix("```").and_then(|text| text.strip_suffix("```")).and_then(|text| text.split_once('\n'));
    match inside {
        Some((language, code)) if !language.contains('`') => code.to_owned(),
        _ => solution.to_owned(),
    }
}

/// What G asks through.
#[derive(Debug)]
struct Bridge(Mutex<Candidate>);

/// The session C, which starts when it is first asked.
#[derive(Debug)]
struct Candidate {
    policy: Policy,
    tree: Tree,
    source: Option<String>,
    session: Option<Session>,
    /// Whether its Python has the code that answers.
    is_ready: bool,
    /// Why no session starts.
    failure: Option<EvalError>,
}

impl Toolbox for Bridge {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool { name: ASK.to_owned(), signature: "(request: str) -> str".to_owned(), doc: String::new() }]
    }

    fn call(&self, _name: &str, arguments: Json) -> Result<Json, String> {
        let request = arguments.get("request").and_then(Json::as_str).ok_or("there is no request")?;
        let mut candidate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match candidate.answer(request) {
            Ok(Ok(answer)) => Ok(Json::String(answer)),
            Ok(Err(reason)) => Ok(Json::String(json!({"refused": reason}).to_string())),
            Err(error) => {
                candidate.failure.get_or_insert(error);
                Err("no session starts".to_owned())
            }
        }
    }
}

impl Candidate {
    /// What the code of the model gives; the inner error is why it gives nothing.
    fn answer(&mut self, request: &str) -> Result<Result<String, String>, EvalError> {
        if self.session.is_none() {
            let session = Session::start(&self.policy)?;
            if let Err(reason) = filled(&session, &self.tree) {
                return Ok(Err(reason));
            }
            self.session = Some(session);
        }
        let Some(session) = &mut self.session else { return Ok(Err("there is no session".to_owned())) };
        if !self.is_ready {
            let source = self.source.as_deref().map_or_else(|| "None".to_owned(), quoted);
            let start = format!("{VALUES}\n{CANDIDATE}\n_codeact_answer = start_candidate({source})");
            let cell = session.run(&start, &mut |_| {}).map_err(EvalError::from);
            // Code of the model may have run before: it can spoil its own session for good.
            match cell {
                Ok(cell) if cell.end == CellEnd::Finished => self.is_ready = true,
                Ok(cell) => return Ok(Err(cell.observation(FAILURE_CHARS_MAX))),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        let cell = match session.run(&format!("_codeact_answer({})", quoted(request)), &mut |_| {}) {
            Ok(cell) => cell,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.is_ready = cell.state == State::Kept;
        Ok(python::answer_of(&cell))
    }
}

/// Characters of a failure that are told.
const FAILURE_CHARS_MAX: usize = 500;

/// Puts the files of a tree into the workspace of C.
fn filled(session: &Session, tree: &Tree) -> Result<(), String> {
    let files = session.files();
    for (path, node) in tree.iter() {
        if let Node::File(bytes) = node {
            files.write(path, &mut &bytes[..], GIVEN_BYTES_MAX).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
