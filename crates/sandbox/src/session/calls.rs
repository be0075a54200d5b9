//! Calls of tools by the cell that runs: made on threads of their own, and kept for when the cell is run again. What a
//! tool does to the world it does once.

use super::Session;
use super::jail::Jail;
use crate::Interrupter;
use crate::tools::{CALLS_AT_ONCE_MAX, CALLS_MAX, Call, JSON_BYTES_MAX, Toolbox, call};
use crate::wire::fields::{Fields, Writer};
use crate::wire::frame::Nonce;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Bytes of calls that a session keeps, of all its cells that hold.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The calls of one cell.
pub(super) struct Calls {
    made: usize,
    /// Those whose result has not come.
    waiting: usize,
    results: (Sender<Answered>, Receiver<Answered>),
    /// For those that still wait when the cell has ended.
    is_over: Arc<AtomicBool>,
    /// In the order of their results, as long as they fit.
    kept: Vec<Call>,
    /// Bytes that may still be kept; `None`: one did not fit.
    bytes_left: Option<usize>,
}

/// A result, and what the cell knows the call by.
struct Answered {
    id: Vec<u8>,
    result: Result<String, String>,
    /// What was called, unless it was refused before anything could come of it.
    called: Option<(String, String)>,
}

/// A call that the cell asked for.
struct Asked {
    id: Vec<u8>,
    name: String,
    /// JSON, if the cell is honest.
    arguments: String,
}

impl Calls {
    /// * `bytes_max`: most bytes of calls that are kept.
    pub fn new(bytes_max: usize) -> Calls {
        let (is_over, kept) = (Arc::default(), Vec::new());
        Calls { made: 0, waiting: 0, results: channel(), is_over, kept, bytes_left: Some(bytes_max) }
    }

    /// Makes a call that the cell asks for. `earlier`: the cell is run again, and had these results the first time.
    pub fn make(
        &mut self,
        payload: &[u8],
        toolbox: Option<Arc<dyn Toolbox>>,
        earlier: Option<&mut Vec<Call>>,
        interrupter: &Interrupter,
    ) {
        let fields = Fields::parse(payload).unwrap_or_default();
        let Some(id) = fields.bytes("id").map(<[u8]>::to_vec) else { return };
        self.made += 1;
        self.waiting += 1;
        let (results, interrupter, is_over) = (self.results.0.clone(), interrupter.clone(), self.is_over.clone());
        let send = move |answered| {
            // Nobody listens to what comes behind the end of the cell.
            if results.send(answered).is_ok() {
                interrupter.wake();
            }
        };
        let (asked, toolbox) = match self.admit(&fields, &id, toolbox) {
            Ok(admitted) => admitted,
            Err(reason) => return send(Answered { id, result: Err(reason), called: None }),
        };
        if let Some(earlier) = earlier {
            let result = first_result(earlier, &asked);
            return send(asked.answered(result));
        }
        // A tool may take its time, or wait for a person: the clock of the cell is watched meanwhile.
        std::thread::spawn(move || {
            let made = || call(toolbox.as_ref(), &asked.name, &asked.arguments, &is_over);
            let result = catch_unwind(AssertUnwindSafe(made));
            let result = result.unwrap_or_else(|_| Err(format!("the tool `{}` failed", asked.name)));
            send(asked.answered(result));
        });
    }

    /// What is called with what, or why it cannot be. Nothing of a call that is refused is copied.
    fn admit(
        &self,
        fields: &Fields<'_>,
        id: &[u8],
        toolbox: Option<Arc<dyn Toolbox>>,
    ) -> Result<(Asked, Arc<dyn Toolbox>), String> {
        let is_allowed = self.made <= CALLS_MAX && self.waiting <= CALLS_AT_ONCE_MAX;
        let toolbox = toolbox
            .filter(|_| is_allowed)
            .ok_or_else(|| format!("a cell may make {CALLS_MAX} calls, {CALLS_AT_ONCE_MAX} at once"))?;
        let name = fields.text("name").filter(|name| toolbox.tools().iter().any(|tool| tool.name == *name));
        let name = name.ok_or("there is no such tool")?;
        let arguments = fields.bytes("arguments").unwrap_or(b"{}");
        if arguments.len() > JSON_BYTES_MAX {
            return Err(format!("the arguments are larger than {JSON_BYTES_MAX} bytes"));
        }
        let arguments = std::str::from_utf8(arguments).map_err(|error| format!("the arguments: {error}"))?;
        Ok((Asked { id: id.to_vec(), name, arguments: arguments.to_owned() }, toolbox))
    }

    /// Hands the cell what has come.
    pub fn send_results(&mut self, jail: &mut Jail, nonce: &Nonce) {
        while let Ok(Answered { id, result, called }) = self.results.1.try_recv() {
            self.waiting -= 1;
            let fields = Writer::default().put("id", id);
            let fields = match &result {
                Ok(value) => fields.put("value", value),
                Err(error) => fields.put("error", error),
            };
            jail.link.send(nonce, b'T', &fields.finish(), None);
            if let Some((name, arguments)) = called {
                self.keep(Call { name, arguments, result });
            }
        }
    }

    fn keep(&mut self, call: Call) {
        self.bytes_left = self.bytes_left.and_then(|left| left.checked_sub(call.bytes()));
        if self.bytes_left.is_some() {
            self.kept.push(call);
        }
    }

    /// The cell has ended: what is approved later is not done.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The calls that had their results, as far as they fit.
    pub fn into_kept(self) -> Vec<Call> {
        self.kept
    }
}

impl Asked {
    fn answered(self, result: Result<String, String>) -> Answered {
        Answered { id: self.id, result, called: Some((self.name, self.arguments)) }
    }
}

/// What a call came to when the cell was run the first time. Calls may come in another order.
fn first_result(earlier: &mut Vec<Call>, asked: &Asked) -> Result<String, String> {
    let is_it = |call: &Call| call.name == asked.name && call.arguments == asked.arguments;
    match earlier.iter().position(is_it) {
        Some(index) => earlier.remove(index).result,
        None => Err(format!(
            "`{}` is not called when a cell is run again, and no result of the first time was kept",
            asked.name
        )),
    }
}

impl Session {
    /// Bytes of calls that this session may keep besides those that it does.
    pub(super) fn calls_left(&self) -> usize {
        let kept = self.steps.iter().flat_map(|step| step.calls.iter()).map(Call::bytes).sum();
        KEPT_BYTES_MAX.saturating_sub(kept)
    }
}
