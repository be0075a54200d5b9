//! The handle that callers hold: checks a request, leaves it for the worker, and waits where a caller wants to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::EngineError;
use crate::event::{Event, FinishReason, Generated};
use crate::forward::Forward;
use crate::inbox::{Caller, Inbox, Job, OnEvent, Phase, SessionList, lock};
use crate::limits::EngineLimits;
use crate::metrics::Metrics;
use crate::request::{Output, Request, SessionId, Ticket};
use crate::sampling::{Sampler, Sampling, Token, TokenLogprobs};
use crate::worker::{Clock, Worker};

/// A handle to a running engine; clones share it. When the last one is dropped, all requests end and the model's memory
/// is free.
///
/// `A` is what the model takes for an adapter ([`Forward::Adapter`]).
pub struct Engine<A: Send + Sync + 'static = codeact_model::serving::ServedAdapter>(Arc<Shared<A>>);

struct Shared<A: Send + Sync + 'static> {
    inbox: Arc<Inbox<A>>,
    metrics: Arc<Mutex<Metrics>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    waiting_max: usize,
    context_tokens_max: usize,
    vocab_size: usize,
    added_token_count: fn(&A) -> usize,
}

/// An open session: what its last request computed stays, so that the next one only computes what is new, and the last
/// few tokens that do not fill a page. When sessions together keep more than half of all pages, the one that was not
/// used for longest loses its claim. Closed when dropped.
pub struct SessionPin {
    id: SessionId,
    sessions: Arc<dyn SessionList>,
}

impl SessionPin {
    /// For [`Request::session`].
    pub fn id(&self) -> SessionId {
        self.id
    }
}

impl Drop for SessionPin {
    fn drop(&mut self) {
        self.sessions.close_session(self.id);
    }
}

impl<A: Send + Sync + 'static> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Engine(Arc::clone(&self.0))
    }
}

impl<A: Send + Sync + 'static> Engine<A> {
    /// Starts the thread that owns `model`.
    ///
    /// # Errors
    /// When a limit is out of range, the model has no pages, or the operating system gives no thread.
    pub fn start<F: Forward<Adapter = A>>(model: F, limits: EngineLimits) -> Result<Engine<A>, EngineError> {
        limits.check()?;
        let page_tokens_all = model.page_count() * model.page_tokens();
        let asked = limits.context_tokens_max.unwrap_or(usize::MAX);
        let context_tokens_max = asked.min(model.context_tokens_max()).min(page_tokens_all);
        if context_tokens_max < 2 {
            return Err(EngineError::Limits { field: "page_count", value: model.page_count(), range: "at least 1" });
        }
        let inbox = Arc::new(Inbox::new(limits.running_max.saturating_add(limits.waiting_max)));
        let metrics = Arc::new(Mutex::new(Metrics::new(model.page_count())));
        let (waiting_max, vocab_size) = (limits.waiting_max, model.vocab_size());
        let clock: Clock = Box::new(Instant::now);
        let worker = Worker::new(model, limits, context_tokens_max, Arc::clone(&inbox), Arc::clone(&metrics), clock);
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn({
            let inbox = Arc::clone(&inbox);
            move || serve(worker, &inbox)
        });
        let thread = thread.map_err(|error| EngineError::Stopped { reason: error.to_string() })?;
        Ok(Engine(Arc::new(Shared {
            inbox,
            metrics,
            thread: Mutex::new(Some(thread)),
            waiting_max,
            context_tokens_max,
            vocab_size,
            added_token_count: F::added_token_count,
        })))
    }

    /// Takes a request and returns at once.
    ///
    /// * `on_event`: hears what happens, on the engine's thread, between two passes: it must be quick and never wait.
    ///
    /// # Errors
    /// When the prompt or a setting is not acceptable, too many requests wait, or the engine takes none any more. Then
    /// `on_event` is never called.
    pub fn submit(&self, request: Request<A>, on_event: OnEvent) -> Result<Ticket, EngineError> {
        let sampler = self.check(&request)?;
        let Some(place) = self.0.inbox.places.take() else {
            lock(&self.0.metrics).refused += 1;
            return Err(EngineError::Busy { waiting_max: self.0.waiting_max });
        };
        let caller = Caller::new(on_event, Some(place), self.0.inbox.stopped());
        self.push(request, sampler, caller, false)
    }

    /// Takes a request and waits for its end. May be called from many threads at once.
    ///
    /// * `on_token`: sees each new token as it comes; `false` ends the answer with what there is.
    ///
    /// # Errors
    /// As [`Engine::submit`], and when the model fails.
    pub fn generate(
        &self,
        request: Request<A>,
        on_token: &mut dyn FnMut(&Token) -> bool,
    ) -> Result<Generated, EngineError> {
        let prompt_tokens = request.prompt_ids.len();
        let (_ticket, events) = self.listen(request)?;
        let mut answer = Generated {
            tokens: Vec::new(),
            finish: FinishReason::Cancelled,
            prompt_tokens,
            cached_tokens: 0,
            prompt_logprobs: None,
        };
        loop {
            match self.next(&events)? {
                Event::Started { cached_tokens, prompt_logprobs } => {
                    answer.cached_tokens = cached_tokens;
                    answer.prompt_logprobs = prompt_logprobs;
                }
                Event::Token(token) => {
                    let goes_on = on_token(&token);
                    answer.tokens.push(token);
                    if !goes_on {
                        return Ok(answer);
                    }
                }
                Event::Embedding(_) => {}
                Event::Done(finished) => return Ok(Generated { finish: finished.finish, ..answer }),
                Event::Failed(error) => return Err(error),
            }
        }
    }

    /// How likely each token of a prompt is after those before it, and the `top` likeliest in its place. `None` for the
    /// first token. Waits for the end.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    pub fn score(
        &self,
        prompt_ids: &[u32],
        adapter: Option<Arc<A>>,
        top: usize,
    ) -> Result<Vec<Option<TokenLogprobs>>, EngineError> {
        let sampling = Sampling { max_new_tokens: 0, ..Sampling::default() };
        let request = Request { adapter, prompt_logprobs: Some(top), ..Request::new(prompt_ids.to_vec(), sampling) };
        let answer = self.generate(request, &mut |_| true)?;
        Ok(answer.prompt_logprobs.expect("a prompt that was read to its end has the log-probabilities asked for"))
    }

    /// The mean over the prompt's tokens of the hidden states after the last norm, `(C,)`, not normalised. Waits for
    /// the end.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    pub fn embed(&self, prompt_ids: &[u32], adapter: Option<Arc<A>>) -> Result<Vec<f32>, EngineError> {
        let request = Request::new(prompt_ids.to_vec(), Sampling::default());
        let (_ticket, events) = self.listen(Request { adapter, output: Output::Embedding, ..request })?;
        loop {
            match self.next(&events)? {
                Event::Embedding(embedding) => return Ok(embedding),
                Event::Failed(error) => return Err(error),
                Event::Started { .. } | Event::Token(_) | Event::Done(_) => {}
            }
        }
    }

    /// Opens a session, whose requests name it with [`Request::session`].
    pub fn open_session(&self) -> SessionPin {
        let id = self.0.inbox.open_session();
        SessionPin { id, sessions: Arc::clone(&self.0.inbox) as Arc<dyn SessionList> }
    }

    /// What the engine has done so far, and holds now.
    pub fn metrics(&self) -> Metrics {
        Metrics { sessions: self.0.inbox.session_count(), ..lock(&self.0.metrics).clone() }
    }

    /// Requests that the engine holds at once, running and waiting; what comes beyond is refused with
    /// [`EngineError::Busy`]. A caller that would submit more than so many together can never succeed.
    pub fn places_max(&self) -> usize {
        self.0.inbox.places.max()
    }

    /// Whether the thread that owns the model is there: false once it was told to stop or has panicked. Asks nobody, so
    /// it says nothing about how fast the model answers ([`Engine::health`] does).
    pub fn is_running(&self) -> bool {
        self.0.inbox.is_running()
    }

    /// The longest sequence this engine takes, prompt and answer together, in tokens.
    pub fn context_tokens_max(&self) -> usize {
        self.0.context_tokens_max
    }

    /// Tokens the model knows without an adapter.
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// Whether the model answers: one token goes through it, before the requests that wait.
    ///
    /// # Errors
    /// When the thread has ended, the model fails, or no answer comes `within` this time.
    pub fn health(&self, within: Duration) -> Result<(), EngineError> {
        let (sender, events) = channel();
        let send: OnEvent = Box::new(move |event| drop(sender.send(event)));
        let sampling = Sampling { max_new_tokens: 1, ..Sampling::default() };
        let deadline = Instant::now().checked_add(within);
        let request = Request { deadline, speculation: false, ..Request::new(vec![0], sampling) };
        let sampler = self.check(&request)?;
        let caller = Caller::new(send, None, self.0.inbox.stopped());
        let _ticket = self.push(request, sampler, caller, true)?;
        let unresponsive = EngineError::Unresponsive { within_ms: within.as_millis() as u64 };
        loop {
            let left = deadline.map_or(within, |deadline| deadline.saturating_duration_since(Instant::now()));
            match events.recv_timeout(left) {
                Ok(Event::Done(finished)) if finished.finish == FinishReason::Deadline => return Err(unresponsive),
                Ok(Event::Done(_)) => return Ok(()),
                Ok(Event::Failed(error)) => return Err(error),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(unresponsive),
                Err(RecvTimeoutError::Disconnected) => return Err(self.0.inbox.stop_error()),
            }
        }
    }

    /// Takes no new requests and waits until all that are here have ended; false when that takes longer than `within`.
    /// The engine stays as it is then: [`Engine::stop`] ends the rest.
    pub fn drain(&self, within: Duration) -> bool {
        self.0.inbox.enter(Phase::Draining);
        self.0.inbox.places.wait_until_free(within)
    }

    /// Ends all requests with [`EngineError::Stopped`] and the thread with them, and waits for that.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn listen(&self, request: Request<A>) -> Result<(Ticket, Receiver<Event>), EngineError> {
        let (sender, events) = channel();
        // Nobody listens any more once the ticket is dropped.
        let ticket = self.submit(request, Box::new(move |event| drop(sender.send(event))))?;
        Ok((ticket, events))
    }

    fn next(&self, events: &Receiver<Event>) -> Result<Event, EngineError> {
        // Every request ends with an event, so this only fails when the thread was killed from outside.
        events.recv().map_err(|_| self.0.inbox.stop_error())
    }

    fn push(
        &self,
        request: Request<A>,
        sampler: Sampler,
        caller: Caller,
        is_probe: bool,
    ) -> Result<Ticket, EngineError> {
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let ticket = Ticket { is_cancelled: Arc::clone(&is_cancelled) };
        let job = Job { arrival: 0, request, sampler, is_cancelled, caller, submitted: Instant::now(), is_probe };
        self.0.inbox.push(job)?;
        Ok(ticket)
    }

    /// The sampler of a request that is acceptable.
    fn check(&self, request: &Request<A>) -> Result<Sampler, EngineError> {
        let context_tokens_max = self.0.context_tokens_max;
        let added = request.adapter.as_deref().map_or(0, self.0.added_token_count);
        let vocab_size = self.0.vocab_size + added;
        let prompt_ids = &request.prompt_ids;
        if prompt_ids.is_empty() {
            return Err(EngineError::PromptEmpty);
        }
        if request.is_answered() {
            request.sampling.check(vocab_size)?;
        }
        // As many alternatives as for tokens of the answer.
        Sampling { logprobs: request.prompt_logprobs, ..Sampling::default() }.check(vocab_size)?;
        let prompt_tokens = prompt_ids.len();
        if prompt_tokens + usize::from(request.is_answered()) > context_tokens_max {
            return Err(EngineError::PromptTooLong { prompt_tokens, context_tokens_max });
        }
        let mut ids = prompt_ids.iter().enumerate();
        if let Some((index, &token_id)) = ids.find(|&(_, &token_id)| token_id as usize >= vocab_size) {
            return Err(EngineError::TokenUnknown { index, token_id, vocab_size });
        }
        let tokens_max = request.sampling.max_new_tokens.min(context_tokens_max - prompt_tokens);
        let sampler = Sampler::new(request.sampling.clone(), prompt_ids);
        Ok(match &request.constraint {
            Some(matcher) if request.is_answered() => sampler.constrained(matcher.clone(), tokens_max)?,
            _ => sampler,
        })
    }
}

impl<A: Send + Sync + 'static> Shared<A> {
    fn stop(&self) {
        self.inbox.enter(Phase::Stopping);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // The last handle may go in a caller's closure, on the thread itself, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the thread was caught and told to its callers.
                let _ = thread.join();
            }
        }
    }
}

impl<A: Send + Sync + 'static> Drop for Shared<A> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs the worker; a panic in it becomes the reason every caller gets.
fn serve<F: Forward>(mut worker: Worker<F>, inbox: &Inbox<F::Adapter>) {
    let reason = match catch_unwind(AssertUnwindSafe(|| worker.run())) {
        Ok(()) => "it was told to".to_owned(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("its thread panicked: {}", text.unwrap_or_default())
        }
    };
    inbox.close(reason);
    // Only now its requests, whose callers are told the reason.
    drop(worker);
}

#[cfg(test)]
mod tests;
