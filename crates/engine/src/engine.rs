//! The handle that callers hold: checks a request, hands it to the worker and waits for the tokens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use codeact_model::{Adapter, Decoder};

use crate::forward::{AdaptedDecoder, Forward};
use crate::limits::{EngineError, EngineLimits, FinishReason, Generated};
use crate::sampling::Sampling;
use crate::worker::{Reply, Request, Worker};

/// A handle to a running engine; clones share it. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    /// `None` only while the handle is dropped.
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Why the thread ended, when it ended by itself.
    stopped: Arc<OnceLock<String>>,
    waiting_max: usize,
    context_tokens_max: usize,
    vocab_size: usize,
}

impl Engine {
    /// Starts the thread that owns `decoder` and, if given, the `adapter` every request uses.
    ///
    /// # Panics
    /// When a limit that must be positive is zero, or the operating system gives no thread.
    pub fn start(decoder: Decoder, adapter: Option<Adapter>, limits: EngineLimits) -> Engine {
        Engine::start_with(AdaptedDecoder { decoder, adapter }, limits)
    }

    pub(crate) fn start_with<F: Forward>(model: F, limits: EngineLimits) -> Engine {
        assert!(
            limits.running_max > 0 && limits.waiting_max > 0 && limits.prompt_tokens_per_pass > 0,
            "an engine needs room for a request: {limits:?}"
        );
        let model_tokens_max = model.context_tokens_max();
        let context_tokens_max =
            limits.context_tokens_max.map_or(model_tokens_max, |asked| asked.min(model_tokens_max));
        let (sender, requests) = sync_channel(limits.waiting_max);
        let stopped = Arc::new(OnceLock::new());
        let (waiting_max, vocab_size) = (limits.waiting_max, model.vocab_size());
        let worker = Worker::new(model, limits, context_tokens_max, requests);
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn({
                let stopped = Arc::clone(&stopped);
                move || serve(worker, &stopped)
            })
            .expect("the operating system gives a thread");
        Engine(Arc::new(Shared {
            requests: Some(sender),
            thread: Some(thread),
            stopped,
            waiting_max,
            context_tokens_max,
            vocab_size,
        }))
    }

    /// Continues `prompt_ids` and waits for the end. May be called from many threads at once.
    ///
    /// `on_token` sees each new token as it comes, stop tokens excepted; `false` ends the answer with what there is.
    ///
    /// # Errors
    /// When the prompt or a setting is not acceptable, too many requests wait, or the model fails.
    pub fn generate(
        &self,
        prompt_ids: &[u32],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Generated, EngineError> {
        self.check(prompt_ids, sampling)?;
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let (replies, receiver) = channel();
        let request = Request {
            prompt: prompt_ids.to_vec(),
            sampling: sampling.clone(),
            is_cancelled: Arc::clone(&is_cancelled),
            replies,
        };
        // The flag is also set when `on_token` panics: the worker must not go on for nobody.
        let _cancel = CancelOnDrop(is_cancelled);
        self.send(request)?;
        self.collect(&receiver, prompt_ids.len(), on_token)
    }

    /// The longest sequence this engine takes, prompt and answer together, in tokens.
    pub fn context_tokens_max(&self) -> usize {
        self.0.context_tokens_max
    }

    /// Whether requests can still be served.
    ///
    /// # Errors
    /// When the thread has ended by itself; the reason.
    pub fn health(&self) -> Result<(), EngineError> {
        match self.0.stopped.get() {
            None => Ok(()),
            Some(reason) => Err(EngineError::Stopped { reason: reason.clone() }),
        }
    }

    fn check(&self, prompt_ids: &[u32], sampling: &Sampling) -> Result<(), EngineError> {
        let vocab_size = self.0.vocab_size;
        sampling.check(vocab_size)?;
        if prompt_ids.is_empty() {
            return Err(EngineError::PromptEmpty);
        }
        if prompt_ids.len() >= self.0.context_tokens_max {
            return Err(EngineError::PromptTooLong {
                prompt_tokens: prompt_ids.len(),
                context_tokens_max: self.0.context_tokens_max,
            });
        }
        let mut unknown = prompt_ids.iter().enumerate();
        match unknown.find(|&(_, &token_id)| token_id as usize >= vocab_size) {
            None => Ok(()),
            Some((index, &token_id)) => Err(EngineError::TokenUnknown { index, token_id, vocab_size }),
        }
    }

    fn send(&self, request: Request) -> Result<(), EngineError> {
        let requests = self.0.requests.as_ref();
        match requests.expect("taken only on drop").try_send(request) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(EngineError::Busy { waiting_max: self.0.waiting_max }),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    fn collect(
        &self,
        replies: &Receiver<Reply>,
        prompt_tokens: usize,
        on_token: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Generated, EngineError> {
        let mut generated =
            Generated { token_ids: Vec::new(), finish: FinishReason::Cancelled, prompt_tokens, cached_tokens: 0 };
        loop {
            match replies.recv() {
                Ok(Reply::Started { cached_tokens }) => generated.cached_tokens = cached_tokens,
                Ok(Reply::Token(token_id)) => {
                    generated.token_ids.push(token_id);
                    if !on_token(token_id) {
                        return Ok(generated);
                    }
                }
                Ok(Reply::Done(finish)) => {
                    return Ok(Generated { finish, ..generated });
                }
                Ok(Reply::Failed(error)) => return Err(error),
                Err(_) => return Err(self.stopped()),
            }
        }
    }

    fn stopped(&self) -> EngineError {
        // The worker drops its channels while it unwinds, just before the reason is set.
        let reason = self.0.stopped.wait().clone();
        EngineError::Stopped { reason }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without requests to come the thread ends; then the model's memory is free.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was caught and told to its callers.
            let _ = thread.join();
        }
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs the worker; a panic in it becomes the reason every caller gets.
fn serve<F: Forward>(worker: Worker<F>, stopped: &OnceLock<String>) {
    let reason = match catch_unwind(AssertUnwindSafe(|| worker.run())) {
        Ok(()) => "its handles were dropped".to_owned(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("its thread panicked: {}", text.unwrap_or_default())
        }
    };
    stopped.set(reason).expect("only this thread sets the reason");
}

#[cfg(test)]
mod tests;
