//! Token ids in, token ids out: one thread owns a model and generates for many callers at once.
//!
//! Every pass of the model takes a ragged batch of what all running requests need next: one token of each that
//! decodes, a chunk of each prompt that is still being read. A request gets the same tokens alone and in company: the
//! sums of the model do not depend on the batch, chunks of a prompt end at fixed positions, and the randomness of a
//! token comes from the request's seed and the token's position. What a request computed is kept, so that a prompt
//! which continues it only pays for what is new.
//!
//! Nothing here knows text, chat formats or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod engine;
mod forward; // the joint to the model
mod limits; // read first: what a caller may ask for
mod prefix; // caches of finished requests
mod sampler; // logits -> the next token
mod scheduler; // which tokens go into the next pass
mod worker; // the thread that owns the model // the handle that callers hold

pub use engine::Engine;
pub use limits::{EngineError, EngineLimits, FinishReason, Generated, Sampling};
