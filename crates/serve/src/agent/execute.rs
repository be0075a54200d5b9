//! `POST /execute`: Python by itself, as the execution engine of the original CodeAct has it.
//!
//! `{"convid", "code"}` gives `{"result", "new_kernel_created"}`, also when the code raises or takes too long. Each
//! `convid` of a key has a Python of its own, which ends when it lies idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codeact_sandbox::{Bundle, Cell, CellEnd, Interpreter, Kind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agent::kept::Name;
use crate::agent::pythons::Place;
use crate::agent::start::Recording;
use crate::agent::{Caller, blocking};
use crate::edge::{parse_json, read_body};
use crate::fields::{Fields, Ignored};
use crate::{ApiError, AppState};

/// What stands for nothing at all.
const NO_OUTPUT: &str = "[Code executed successfully with no output]";
/// Bytes of a result; nobody reads more, and it has to be held.
const RESULT_BYTES_MAX: usize = 64 << 20;
const CUT: &str = "\n[Output truncated]";

/// A Python, and its place.
struct Kernel {
    interpreter: Box<dyn Interpreter>,
    _place: Place,
}

pub(crate) async fn execute(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    // Clients of the original send JSON without saying so. A page of another site is refused before, by its origin.
    let edge = &state.edge;
    let (body, taken) = read_body(request.into_body(), edge.settings.body_bytes_max, &edge.memory).await?;
    let body = parse_json(&body)?;
    blocking(move || {
        let mut ignored = Ignored { is_lenient: state.edge.settings.is_lenient, names: Vec::new() };
        let mut body = Fields::new(body, "")?;
        let convid = body.required_text("convid")?;
        let code = body.required_text("code")?;
        body.finish(&mut ignored)?;
        drop(taken);
        let name = Name::Execute(caller, Sha256::digest(convid.as_bytes()).into());
        run(&state, name, &code).map(Json)
    })
    .await
}

fn run(state: &AppState, name: Name, code: &str) -> Result<Value, ApiError> {
    // Calls of one conversation come one after the other.
    let line = line(&name);
    let _turn = line.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut kernel, is_new) = match state.agents.kept.take::<Kernel>(&name) {
        Some(kernel) => (kernel, false),
        None => {
            let place = state.agents.pythons.reserve()?;
            let started = (state.make_interpreter)(&state.policy(), Recording::None)?;
            (Kernel { interpreter: started.interpreter, _place: place }, true)
        }
    };
    let mut printed = Printed::default();
    let cell = kernel.interpreter.run(&unindented(code), &mut |event| match event.kind {
        Kind::Output { text, .. } | Kind::Late { text, .. } => printed.add(text),
        Kind::Display(bundle) => printed.show(bundle),
    })?;
    let result = printed.result(&cell, state.sandbox.policy.limits.wall_ms_max / 1000);
    state.agents.kept.put(name, kernel);
    Ok(json!({"result": result, "new_kernel_created": is_new}))
}

/// Held while code of this name runs.
fn line(name: &Name) -> Arc<Mutex<()>> {
    static LINES: OnceLock<Mutex<HashMap<Name, Weak<Mutex<()>>>>> = OnceLock::new();
    let mut lines = LINES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(line) = lines.get(name).and_then(Weak::upgrade) {
        return line;
    }
    lines.retain(|_, line| line.strong_count() > 0);
    let line = Arc::default();
    lines.insert(name.clone(), Arc::downgrade(&line));
    line
}

/// What came out, in the order in which it came.
#[derive(Default)]
struct Printed {
    text: String,
    is_cut: bool,
}

impl Printed {
    fn add(&mut self, text: &str) {
        if self.text.len() + text.len() > RESULT_BYTES_MAX {
            if !std::mem::replace(&mut self.is_cut, true) {
                self.text.push_str(CUT);
            }
            return;
        }
        self.text.push_str(text);
    }

    fn show(&mut self, bundle: &Bundle) {
        for (mime, bytes) in bundle.iter() {
            if mime == "text/plain" {
                self.add(&String::from_utf8_lossy(bytes));
            }
        }
        for (_, bytes) in bundle.iter().filter(|(mime, _)| *mime == "image/png") {
            self.add(&format!("![image](data:image/png;base64,{})", BASE64_STANDARD.encode(bytes)));
        }
    }

    fn result(mut self, cell: &Cell, seconds_max: u64) -> String {
        if cell.end == CellEnd::TimedOut {
            return format!("[Execution timed out ({seconds_max} seconds).]");
        }
        self.show(&cell.value);
        if let Some(error) = &cell.error {
            self.add(&error.traceback);
        }
        match self.text.is_empty() {
            true => NO_OUTPUT.to_owned(),
            false => without_colours(&self.text),
        }
    }
}

/// Without empty lines at the start, and without the indentation of the first line in all that have it, as IPython takes
/// cells.
fn unindented(code: &str) -> String {
    let is_empty = |line: &&str| line.trim().is_empty();
    let lines: Vec<&str> = code.split('\n').skip_while(is_empty).collect();
    let first = lines.first().copied().unwrap_or_default();
    let indent = &first[..first.len() - first.trim_start_matches([' ', '\t']).len()];
    lines.iter().map(|line| line.strip_prefix(indent).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Without the escape sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let digits = behind.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';');
        match digits.strip_prefix('m') {
            Some(after) => rest = after,
            None => {
                plain.push_str("\x1b[");
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_loses_the_indentation_of_its_first_line() {
        assert_eq!(unindented("\n  \n  a\n    b\n c\n"), "a\n  b\n c\n");
        assert_eq!(unindented("if x:\n  y"), "if x:\n  y");
        assert_eq!(unindented("   \n"), "");
    }

    #[test]
    fn colours_go_and_everything_else_stays() {
        assert_eq!(without_colours("\x1b[0;31mred\x1b[0m \x1b[1;2;3mx\x1b[m"), "red x");
        assert_eq!(without_colours("a\x1b[2Jb\x1b[ \x1b"), "a\x1b[2Jb\x1b[ \x1b");
    }
}
