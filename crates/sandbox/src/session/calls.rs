//! Calls of tools by the cell that runs: made on threads of their own, and kept for when the cell is run again. What a
//! tool does to the world it does once.

use super::Session;
use super::jail::Jail;
use crate::tools::{CALLS_AT_ONCE_MAX, CALLS_MAX, Call, Toolbox, call};
use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::Nonce;
use crate::{Cell, Interrupter, SandboxError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Bytes of calls that a session keeps, of all its cells together.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The calls of one cell.
pub(super) struct Calls {
    made: usize,
    /// Those whose result has not come.
    waiting: usize,
    results: (Sender<Answered>, Receiver<Answered>),
    /// For those that still wait when the cell has ended.
    is_over: Arc<AtomicBool>,
    /// In the order of their results.
    answered: Vec<Call>,
}

/// A call with its result, and what the cell knows it by.
struct Answered {
    id: Vec<u8>,
    call: Call,
}

/// A call that the cell asked for.
struct Asked {
    id: Vec<u8>,
    name: String,
    arguments: Vec<u8>,
}

impl Asked {
    fn parse(payload: &[u8]) -> Option<Asked> {
        let fields = Fields::parse(payload).ok()?;
        let (id, name) = (fields.bytes("id")?.to_vec(), fields.text("name")?);
        Some(Asked { id, name, arguments: fields.bytes("arguments").unwrap_or(b"{}").to_vec() })
    }

    fn answered(self, result: Result<String, String>) -> Answered {
        let arguments = String::from_utf8_lossy(&self.arguments).into_owned();
        Answered { id: self.id, call: Call { name: self.name, arguments, result } }
    }
}

impl Calls {
    pub fn new() -> Calls {
        Calls { made: 0, waiting: 0, results: channel(), is_over: Arc::default(), answered: Vec::new() }
    }

    /// Makes a call that the cell asks for. `earlier`: the cell is run again, and had these results the first time.
    pub fn make(
        &mut self,
        payload: &[u8],
        toolbox: Option<Arc<dyn Toolbox>>,
        earlier: Option<&mut Vec<Call>>,
        interrupter: &Interrupter,
    ) {
        let Some(asked) = Asked::parse(payload) else { return };
        self.made += 1;
        self.waiting += 1;
        let (results, interrupter, is_over) = (self.results.0.clone(), interrupter.clone(), self.is_over.clone());
        let send = move |answered| {
            // Nobody listens to what comes behind the end of the cell.
            if results.send(answered).is_ok() {
                interrupter.wake();
            }
        };
        if let Some(earlier) = earlier {
            let result = first_result(earlier, &asked);
            return send(asked.answered(result));
        }
        let is_allowed = self.made <= CALLS_MAX && self.waiting <= CALLS_AT_ONCE_MAX;
        let Some(toolbox) = toolbox.filter(|_| is_allowed) else {
            let reason = format!("a cell may make {CALLS_MAX} calls, {CALLS_AT_ONCE_MAX} at once");
            return send(asked.answered(Err(reason)));
        };
        // A tool may take its time, or wait for a person: the clock of the cell is watched meanwhile.
        std::thread::spawn(move || {
            let made = || call(toolbox.as_ref(), &asked.name, &asked.arguments, &is_over);
            let result = catch_unwind(AssertUnwindSafe(made));
            let result = result.unwrap_or_else(|_| Err(format!("the tool `{}` failed", asked.name)));
            send(asked.answered(result));
        });
    }

    /// Hands the cell what has come.
    pub fn send_results(&mut self, jail: &mut Jail, nonce: &Nonce) {
        while let Ok(Answered { id, call }) = self.results.1.try_recv() {
            self.waiting -= 1;
            let fields = Writer::default().put("id", id);
            let fields = match &call.result {
                Ok(value) => fields.put("value", value),
                Err(error) => fields.put("error", error),
            };
            jail.link.send(nonce, b'T', &fields.finish(), None);
            self.answered.push(call);
        }
    }

    /// The cell has ended: what is approved later is not done.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The calls that had their results, as far as they fit.
    pub fn keep(self, bytes_max: usize) -> Vec<Call> {
        let mut bytes = 0;
        let fits = |call: &Call| {
            bytes += call.bytes();
            bytes <= bytes_max
        };
        self.answered.into_iter().take_while(fits).collect()
    }
}

/// What a call came to when the cell was run the first time. Calls of several threads may come in another order.
fn first_result(earlier: &mut Vec<Call>, asked: &Asked) -> Result<String, String> {
    let is_it = |call: &Call| call.name == asked.name && call.arguments.as_bytes() == asked.arguments;
    match earlier.iter().position(is_it) {
        Some(index) => earlier.remove(index).result,
        None => Err(format!(
            "`{}` is not called when a cell is run again, and no result of the first time was kept",
            asked.name
        )),
    }
}

impl Session {
    /// Run a cell again. Tools are not called again: their results are those of the first time.
    pub(super) fn run_cell_again(&mut self, code: &str, calls: &[Call]) -> Result<Cell, SandboxError> {
        self.earlier = Some(calls.to_vec());
        let cell = self.run_cell(code, &mut |_| {});
        self.earlier = None;
        cell
    }

    /// Bytes of calls that this session may keep besides those that it does.
    pub(super) fn calls_left(&self) -> usize {
        let kept = self.steps.iter().flat_map(|step| step.calls.iter()).map(Call::bytes).sum();
        KEPT_BYTES_MAX.saturating_sub(kept)
    }
}
