//! Fine-tune a Llama-family model, with LoRA or as a whole: settings, data plan, optimizer loop, checkpoints and exports.
//!
//! The arithmetic is `codeact-model`'s, the mask `codeact-chat`'s, data and plan `codeact-data`'s; this crate takes the
//! steps, and sees to it that nothing is lost when a run stops.

pub mod config; // read first: what can be set
pub mod material; // base model, chat format and data
pub mod devices;
pub mod prepare; // all of it planned and estimated, refused before anything is written
pub mod preflight; // time and disk

pub mod start; // an adapter that is there already

pub mod run; // then: from the start or a checkpoint to the exports
mod learner; // the loop
mod measuring; // what it measures
mod preference; // pairs of conversations
pub mod losses; // of a step, source by source
pub mod guard;
pub mod optimizer;
pub mod ranks; // many programs, one run
pub mod requests;
pub mod schedule;
pub mod standing;
mod trained; // the adapter, or all weights

pub mod checkpoint; // what survives
pub mod export;
pub mod folder;
pub mod metrics;
pub mod tensorboard;

pub mod flywheel; // rounds of collecting, training and measuring

pub mod describe; // what the user sees
pub mod look; // preview and statistics of the data
pub mod evaluate;
pub mod samples;
pub mod tasks; // the agent while it is trained
mod tried; // what came of its tasks
mod overlap; // tasks that the data has
pub mod memory;
mod allowance; // what there is of it
pub mod progress;
pub mod report; // a page about runs

mod error;

pub use error::TrainError;
pub use preference::Rewards;
pub use trained::Trained;
