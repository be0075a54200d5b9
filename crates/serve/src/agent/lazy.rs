//! A Python that starts with its first cell: many requests to the agent as a model never run code.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use codeact_sandbox::{
    Cell, CellError, Files, Interpreter, Interrupter, OnEvent, Protection, Restored, SandboxError, Usage,
};

use crate::AppState;
use crate::agent::pythons::Place;
use crate::agent::start::Recording;

/// Starts when it is needed, if there is room then.
pub(crate) struct Lazy {
    state: AppState,
    interrupter: Interrupter,
    protection: Protection,
    started: Option<(Box<dyn Interpreter>, Place)>,
}

impl Lazy {
    pub fn new(state: &AppState) -> Lazy {
        let protection = state.sandbox.protection.clone();
        Lazy { state: state.clone(), interrupter: Interrupter::unattached(), protection, started: None }
    }

    fn interpreter(&mut self) -> Result<&mut dyn Interpreter, SandboxError> {
        if self.started.is_none() {
            let refused = |error: crate::ApiError| SandboxError::System {
                action: "finding a place for a Python",
                source: io::Error::other(error.message().to_owned()),
            };
            let place = self.state.agents.pythons.reserve().map_err(refused)?;
            let started = (self.state.make_interpreter)(&self.state.policy(), Recording::None)?;
            self.interrupter.attach(&started.interpreter.interrupter());
            self.started = Some((started.interpreter, place));
        }
        match &mut self.started {
            Some((interpreter, _)) => Ok(&mut **interpreter),
            None => Err(UNSUPPORTED),
        }
    }
}

const UNSUPPORTED: SandboxError =
    SandboxError::Unsupported { backend: "a conversation without a session", what: "do this" };

impl Interpreter for Lazy {
    fn run(&mut self, code: &str, on_event: &mut OnEvent<'_>) -> Result<Cell, SandboxError> {
        self.interpreter()?.run(code, on_event)
    }

    fn check(&mut self, code: &str) -> Result<Option<CellError>, SandboxError> {
        self.interpreter()?.check(code)
    }

    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    fn protection(&self) -> &Protection {
        self.started.as_ref().map_or(&self.protection, |(interpreter, _)| interpreter.protection())
    }

    fn cells(&self) -> usize {
        self.started.as_ref().map_or(0, |(interpreter, _)| interpreter.cells())
    }

    fn undo(&mut self, count: usize) -> Result<Restored, SandboxError> {
        if count == 0 { Ok(Restored::Resumed) } else { self.interpreter()?.undo(count) }
    }

    fn branch(&mut self, _: usize, _: Option<&Path>) -> Result<(Box<dyn Interpreter>, Restored), SandboxError> {
        Err(UNSUPPORTED)
    }

    fn files(&self) -> Option<Arc<Files>> {
        self.started.as_ref().and_then(|(interpreter, _)| interpreter.files())
    }

    fn upload(&mut self, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, SandboxError> {
        self.interpreter()?.upload(path, content, bytes_max)
    }

    fn remove(&mut self, path: &str) -> Result<(), SandboxError> {
        self.interpreter()?.remove(path)
    }

    fn usage(&self) -> Option<Usage> {
        self.started.as_ref().and_then(|(interpreter, _)| interpreter.usage())
    }
}
