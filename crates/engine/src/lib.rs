//! Token ids in, token ids out: one thread owns a model and generates for many callers at once.
//!
//! Every pass of the model takes a ragged batch of what all running requests need next: one token of each that
//! decodes, a chunk of each prompt that is still being read. What a request computed is kept, so that a prompt which
//! continues it only pays for what is new.
//!
//! What a request gets depends on its company only by rounding. The factors of a product are rounded the same in every
//! batch, chunks of a prompt end at fixed positions, and the randomness of a token comes from the request's seed and
//! the token's position; but the order of f32 sums is another for few rows (up to 8) than for many. So logits agree to
//! rounding, and where two tokens are almost equally likely, another one may win.
//!
//! Nothing here knows text, chat formats or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod engine; // the handle that callers hold
mod forward; // the joint to the model
mod limits; // read first: bounds, answers, errors
mod prefix; // caches of finished requests
mod sampling; // what a caller may ask for; logits -> the next token
mod scheduler; // which tokens go into the next pass
mod worker; // the thread that owns the model

pub use engine::Engine;
pub use limits::{EngineError, EngineLimits, FinishReason, Generated};
pub use sampling::{Sampler, Sampling, SamplingError, Token, TokenLogprobs};
