//! The CodeAct loop: the model thinks and writes code, the code runs, the model sees what came of it.
//!
//! One loop for the terminal, the server, evaluation and the making of training data; what differs is the [`Model`]
//! behind it, the [`Profile`] it was trained with, and who listens to its [`Event`]s. This crate never sees tensors
//! or token ids, but for [`LocalModel`], which hands them from one room to the next.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod model; // read first: what the loop asks of a model

mod profile; // the wording that a model was trained with

mod wording; // `codeact.json` in a model folder

mod options; // what a conversation is set up with

mod skills; // functions of earlier sessions on their way into this one

mod turn; // what a turn comes to, and where a conversation stands

mod event; // what a listener is told

mod agent; // a conversation: set up, gone back in, and gone on with

mod run; // the loop

mod reply; // one reply of the model

mod execute; // code on its way to the interpreter

mod approve; // somebody who looks at code before it runs

mod call; // calls of tools that are not written as Python

mod context; // conversations that outgrow the context

pub mod transcript; // a conversation as training data, as a notebook, as text

mod scripted; // replies given beforehand

mod local; // replies of an engine in this process

mod sent; // the tokens that replies came in

pub mod endpoint; // replies of a model elsewhere

mod error;

pub use agent::Agent;
pub use approve::{Approver, Decision, Verdict, question_id};
pub use call::{python_call, python_of, tool_usage};
pub use codeact_chat::action::ActionFormat;
pub use endpoint::{EndpointError, EndpointModel, EndpointOptions};
pub use error::AgentError;
pub use event::Event;
pub use local::LocalModel;
pub use model::{Ask, Completion, FinishReason, Model, Room};
pub use options::{AgentOptions, Limits, Overflow};
pub use profile::Profile;
pub use scripted::ScriptedModel;
pub use skills::{define_skills, skills_prompt};
pub use turn::{Interrupter, Mark, Turn, TurnEnd};
pub use wording::Wording;
