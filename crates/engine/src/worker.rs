//! The thread that owns the model: take requests, run passes, hand out tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use crate::forward::{Forward, Step};
use crate::limits::{EngineError, EngineLimits, FinishReason};
use crate::prefix::KeptCaches;
use crate::sampling::{Sampler, Sampling, SamplingError, Token};
use crate::scheduler::{Progress, Share, plan};

/// A checked request, on its way to the worker.
pub(crate) struct Request {
    pub prompt: Vec<u32>,
    pub sampling: Sampling,
    /// Set by the caller when it wants no more.
    pub is_cancelled: Arc<AtomicBool>,
    pub replies: Sender<Reply>,
}

/// What a caller hears about its request.
pub(crate) enum Reply {
    Started { cached_tokens: usize },
    Token(u32),
    Done(FinishReason),
    Failed(EngineError),
}

/// A request that has a cache.
struct Running<C> {
    request: Request,
    sampler: Sampler,
    /// The prompt and what was generated.
    token_ids: Vec<u32>,
    /// How many of them the cache holds.
    computed: usize,
    cache: C,
}

/// What became of a request in a pass.
enum Outcome {
    Goes,
    Ends(FinishReason),
    Fails(EngineError),
}

/// All state of the engine's thread.
pub(crate) struct Worker<F: Forward> {
    model: F,
    limits: EngineLimits,
    context_tokens_max: usize,
    requests: Receiver<Request>,
    running: Vec<Running<F::Cache>>,
    kept: KeptCaches<F::Cache>,
}

impl<F: Forward> Worker<F> {
    pub fn new(model: F, limits: EngineLimits, context_tokens_max: usize, requests: Receiver<Request>) -> Self {
        Worker {
            kept: KeptCaches::new(limits.kept_caches_max, limits.kept_bytes_max),
            running: Vec::with_capacity(limits.running_max),
            model,
            limits,
            context_tokens_max,
            requests,
        }
    }

    /// Serves until every handle is gone and nothing runs.
    pub fn run(mut self) {
        loop {
            let arrived = match self.receive() {
                Some(arrived) => arrived,
                None if self.running.is_empty() => return,
                None => Vec::new(),
            };
            // A caller that cancels and asks again set its flag before its new request came in: letting go first
            // makes the cache of the old request available to the new one.
            self.release_cancelled();
            arrived.into_iter().for_each(|request| self.admit(request));
            if !self.running.is_empty() {
                self.pass();
            }
        }
    }

    /// Requests for the free places; waits for one when nothing runs. `None`: there will be no more.
    fn receive(&mut self) -> Option<Vec<Request>> {
        let mut arrived = Vec::new();
        if self.running.is_empty() {
            arrived.push(self.requests.recv().ok()?);
        }
        while self.running.len() + arrived.len() < self.limits.running_max {
            match self.requests.try_recv() {
                Ok(request) => arrived.push(request),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if arrived.is_empty() => return None,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Some(arrived)
    }

    fn release_cancelled(&mut self) {
        let is_cancelled = |running: &mut Running<F::Cache>| running.request.is_cancelled.load(Ordering::Acquire);
        let cancelled: Vec<_> = self.running.extract_if(.., is_cancelled).collect();
        for running in cancelled {
            self.finish(running, FinishReason::Cancelled);
        }
    }

    fn admit(&mut self, request: Request) {
        let (mut cache, computed) = self.kept.take(&request.prompt).unwrap_or_else(|| (self.model.new_cache(), 0));
        F::truncate(&mut cache, computed);
        let token_ids = request.prompt.clone();
        let cached_tokens = computed;
        // The caller may be gone by now; its flag says so before the next pass.
        let _ = request.replies.send(Reply::Started { cached_tokens });
        let sampler = Sampler::new(request.sampling.clone(), &request.prompt);
        self.running.push(Running { request, sampler, token_ids, computed, cache });
    }

    /// Keeps the cache and says goodbye.
    fn finish(&mut self, mut running: Running<F::Cache>, reason: FinishReason) {
        running.token_ids.truncate(running.computed);
        let bytes = F::bytes(&running.cache);
        self.kept.put(running.token_ids, running.cache, bytes);
        let _ = running.request.replies.send(Reply::Done(reason));
    }

    /// One ragged pass over what all running requests need next.
    fn pass(&mut self) {
        let progress: Vec<Progress> = self.running.iter().map(Running::progress).collect();
        let shares = plan(&progress, self.limits.prompt_tokens_per_pass);
        let tokens = match self.forward(&shares) {
            Ok(tokens) => tokens,
            Err(reason) => return self.fail(&shares, &reason),
        };
        let mut outcomes = BTreeMap::new();
        for (share, token) in shares.iter().zip(tokens) {
            let running = &mut self.running[share.index];
            running.computed = share.tokens.end;
            let outcome = match token {
                None => Outcome::Goes,
                Some(token) => running.extend(token, self.context_tokens_max),
            };
            outcomes.insert(share.index, outcome);
        }
        // From the back, so that the indices still to come stay right.
        for (index, outcome) in outcomes.into_iter().rev() {
            match outcome {
                Outcome::Goes => {}
                Outcome::Ends(reason) => {
                    let running = self.running.remove(index);
                    self.finish(running, reason);
                }
                Outcome::Fails(error) => {
                    let running = self.running.remove(index);
                    let _ = running.request.replies.send(Reply::Failed(error));
                }
            }
        }
    }

    /// Runs the model. Gives, for each share, the token chosen after it; `None` where the prompt goes on.
    fn forward(&mut self, shares: &[Share]) -> Result<Vec<Option<Result<Token, SamplingError>>>, String> {
        let mut wanted = Vec::with_capacity(shares.len());
        let mut steps: Vec<Step<'_, F::Cache>> = Vec::with_capacity(shares.len());
        let mut next = shares.iter().peekable();
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(share) = next.next_if(|share| share.index == index) else {
                continue;
            };
            let is_last = share.tokens.end == running.token_ids.len();
            wanted.push(is_last.then_some((&mut running.sampler, share.tokens.end)));
            steps.push((&running.token_ids[share.tokens.clone()], &mut running.cache));
        }
        let mut tokens = vec![None; shares.len()];
        self.model.forward(&mut steps, &mut |row, logits| {
            let wanted = wanted[row].as_mut();
            tokens[row] = wanted.map(|(sampler, position)| sampler.choose(&mut logits.to_vec(), *position));
        })?;
        Ok(tokens)
    }

    /// After a failed pass the caches of its requests are undefined; the others go on.
    fn fail(&mut self, shares: &[Share], reason: &str) {
        for share in shares.iter().rev() {
            let running = self.running.remove(share.index);
            let reason = reason.to_owned();
            let _ = running.request.replies.send(Reply::Failed(EngineError::Model { reason }));
        }
    }
}

impl<C> Running<C> {
    fn progress(&self) -> Progress {
        Progress { computed: self.computed, known: self.token_ids.len() }
    }

    /// Takes the token chosen for the next position.
    fn extend(&mut self, token: Result<Token, SamplingError>, context_tokens_max: usize) -> Outcome {
        let Request { prompt, sampling, replies, .. } = &self.request;
        let token = match token.and_then(|token| self.sampler.accept(token.id).map(|()| token.id)) {
            Ok(token) => token,
            Err(error) => return Outcome::Fails(error.into()),
        };
        if sampling.stop_ids.contains(&token) {
            return Outcome::Ends(FinishReason::Stop);
        }
        self.token_ids.push(token);
        if replies.send(Reply::Token(token)).is_err() {
            return Outcome::Ends(FinishReason::Cancelled);
        }
        if self.token_ids.len() - prompt.len() == sampling.max_new_tokens {
            return Outcome::Ends(FinishReason::Length);
        }
        if self.token_ids.len() == context_tokens_max {
            return Outcome::Ends(FinishReason::Context);
        }
        Outcome::Goes
    }
}
