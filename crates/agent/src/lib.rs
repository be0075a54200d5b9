//! The CodeAct loop: the model thinks and writes code, the code runs, the model sees what came of it.
//!
//! One loop for the terminal, the server, evaluation and the making of training data; what differs is the [`Model`]
//! behind it, the [`Profile`] it was trained with, and who listens to its [`Event`]s. This crate never sees tensors
//! or token ids, but for [`LocalModel`], which hands them from one room to the next.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod model; // read first: what the loop asks of a model

mod profile; // the wording that a model was trained with

mod event; // what a listener is told

mod agent; // the loop

mod scripted; // replies given beforehand

mod local; // replies of an engine in this process

mod error;

pub use agent::{Agent, Interrupter, Limits, Turn, TurnEnd};
pub use error::AgentError;
pub use event::Event;
pub use local::LocalModel;
pub use model::{Completion, FinishReason, Model};
pub use profile::Profile;
pub use scripted::ScriptedModel;
