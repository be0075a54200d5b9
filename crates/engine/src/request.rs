//! What a caller asks for, and what it holds while it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use codeact_grammar::Matcher;

use crate::sampling::Sampling;

/// A prompt, and what is wanted of it.
///
/// `A` is what the model takes for an adapter ([`crate::Forward::Adapter`]).
pub struct Request<A = codeact_model::serving::ServedAdapter> {
    /// The tokens to continue, at least one.
    pub prompt_ids: Vec<u32>,
    /// How the tokens of the answer are chosen, and when it ends.
    pub sampling: Sampling,
    /// Used in every layer, for the prompt and the answer. Requests with different ones share passes.
    pub adapter: Option<Arc<A>>,
    /// What was computed for a prompt is only used for prompts with the same salt. Callers that are not to learn from each
    /// other's times have different ones.
    pub salt: u128,
    /// Lets only tokens be chosen that it allows. The answer ends when it is complete.
    pub constraint: Option<Matcher>,
    /// Keeps what this request computed until the next request of the same session has ended.
    pub session: Option<SessionId>,
    /// The answer ends then, with what there is; also while the request waits.
    pub deadline: Option<Instant>,
    /// The answer ends with [`crate::FinishReason::Cancelled`] and what there is once this is true, also while the
    /// request waits or its prompt is read: the engine looks before each pass. For callers that block in
    /// [`crate::Engine::generate`] and so have no [`Ticket`] to drop; several requests may share one flag.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Give the log-probability of each prompt token but the first, and of this many of the likeliest in its place, at
    /// most 20.
    /// With it, `sampling.max_new_tokens` may be 0: then the prompt is only scored.
    pub prompt_logprobs: Option<usize>,
    /// Guess tokens from the request's own text and check them together. Changes nothing but speed.
    pub speculation: bool,
    /// What the answer is.
    pub output: Output,
}

impl<A> Request<A> {
    /// A prompt to continue, with nothing special.
    pub fn new(prompt_ids: Vec<u32>, sampling: Sampling) -> Request<A> {
        Request {
            prompt_ids,
            sampling,
            adapter: None,
            salt: 0,
            constraint: None,
            session: None,
            deadline: None,
            cancel: None,
            prompt_logprobs: None,
            speculation: true,
            output: Output::Tokens,
        }
    }

    /// Whether tokens are to be generated.
    pub(crate) fn is_answered(&self) -> bool {
        let is_scored_only = self.sampling.max_new_tokens == 0 && self.prompt_logprobs.is_some();
        self.output == Output::Tokens && !is_scored_only
    }
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Tokens that continue the prompt.
    #[default]
    Tokens,
    /// The mean, over the prompt's tokens, of the hidden states after the model's last norm
    /// ([`crate::Event::Embedding`]). No token is generated, so `sampling` has no effect.
    Embedding,
}

/// Names a session, that is a row of requests of which each continues the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// A request on its way. Dropping it cancels: the request takes part in no pass that begins later.
#[derive(Debug)]
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket {
    pub(crate) is_cancelled: Arc<AtomicBool>,
}

impl Ticket {
    /// Ends the answer with what there is. Does nothing when it has ended already.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}
