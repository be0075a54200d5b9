//! Token ids in, token ids out: one thread owns a model and generates for many callers at once.
//!
//! Every pass of the model takes a ragged batch of what all running requests need next: one token of each that
//! generates, a chunk of each prompt that is still being read. Keys and values lie in pages; full pages are kept in a
//! tree by their tokens, so that a prompt pays only for what no request before it has computed.
//!
//! What a request gets does not depend on its company, as far as the model's rows do not ([`Forward`]): the randomness
//! of a token comes from the request's seed and the token's position, a guess counts only where the sampler chooses the
//! same token, and a request that lost its pages is computed again, not sampled again.
//!
//! Nothing here knows text, chat formats or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod request; // read first: what a caller may ask for
mod event; // what it hears
mod error;
mod limits;
mod metrics;
mod sampling; // logits -> the next token

mod engine; // the handle that callers hold
mod inbox; // between the handles and the thread
mod forward; // the joint to the model
mod worker; // the thread that owns the model

mod sequence; // one request from its arrival to its end
mod scheduler; // who reads how much of its prompt in a pass
mod pace; // how much a pass may read
mod speculate; // guesses at the next tokens
mod pages; // who holds which page
mod pins; // what sessions keep
mod radix; // full pages by their tokens
mod pool; // free pages

#[cfg(test)]
mod mock;

pub use engine::{Engine, SessionPin};
pub use error::EngineError;
pub use event::{Event, FinishReason, Finished, Generated};
pub use forward::{Choice, Forward, Row, Step, Wanted};
pub use limits::EngineLimits;
pub use metrics::{Histogram, Metrics};
pub use request::{Output, Request, SessionId, Ticket};
pub use sampling::{Sampler, Sampling, SamplingError, Token, TokenLogprobs};
