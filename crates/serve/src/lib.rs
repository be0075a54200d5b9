//! Let a model act for people: in a terminal (`codeact-chat`) and over HTTP (`codeact-serve`).
//!
//! Only this crate knows HTTP. Handlers take a request apart, call one function of a lower floor, and put the result
//! together; what blocks runs outside of the threads that serve.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod state; // read first: what all handlers share
mod config; // settings from a file and the command line
mod edge; // what every request passes before its handler
mod fields; // bodies taken apart field by field
mod agent; // sessions in which code runs, and what else runs code
mod brain; // what acts in them
mod api; // the routes
mod models; // what requests can name
mod adapters; // models listed, adapters loaded and unloaded
mod openai; // the plain model, as OpenAI's API has it
mod health; // whether it works, and what it has done
mod ui; // the web page
mod openapi; // the description of all of it
mod error;
mod console; // events for a terminal
mod doctor; // whether the sandbox holds here
mod describe; // what stands in the start-up line
mod environments; // tasks to act in, step by step
pub mod mcp; // tools of MCP servers
mod bench; // how fast it is here
#[cfg(feature = "jupyter")]
mod jupyter; // code in a kernel of the user's own

pub use agent::{AgentSettings, ApprovalMode, Recording, Started, StateError};
pub use api::app;
pub use bench::BenchArgs;
pub use brain::EndpointSettings;
pub use config::{
    AgentTable, ConfigError, LimitsTable, ListenTable, LogTable, ModelTable, Options, ServeConfig, Settings,
};
pub use console::{Console, harmless};
pub use describe::{served_lines, start_lines};
pub use doctor::{DoctorError, examine};
pub use edge::{ApiKeys, Connections, EdgeSettings, Hosts, KeysError, LogSettings, Origins, serve};
pub use environments::{EnvironmentSettings, serve_environments};
pub use error::{ApiError, is_bad_input};
#[cfg(feature = "jupyter")]
pub use jupyter::JupyterArgs;
pub use models::Models;
pub use state::{AppState, MakeInterpreter, MakeModel, ServeLimits, Source};
