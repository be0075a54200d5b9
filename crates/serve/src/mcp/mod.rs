//! Tools of MCP servers, as Python functions of the host that cells can call.
//!
//! Servers are trusted by whoever writes the settings, as far as running them goes; what they say is not. Code that
//! calls their tools is trusted with nothing.

mod settings; // read first: which servers there are

mod server; // one server

mod program; // the process of one that is a program

mod names; // what tools are called in Python

mod schema; // how they look there

mod check; // whether arguments fit

mod answer; // what comes back

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use codeact_agent::python_call;
use codeact_sandbox::{Approval, Tool, Toolbox};
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

use schema::Shape;
use server::Server;

pub use settings::{CallApproval, McpTable, Secret, Variable};

/// Tools of all servers together. Each is in the system prompt, and defined in each session.
const TOOLS_MAX: usize = 256;
/// How long all servers together may take to end.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(3);

/// Why there are no tools.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// Values that cannot be, all of them.
    #[error("settings of MCP servers cannot be used:\n  {}", .0.join("\n  "))]
    Settings(Vec<String>),
    /// A server that does not do.
    #[error("the MCP server `{name}` {what}")]
    Server {
        /// Its name in the settings.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// More than anybody could choose from.
    #[error(
        "the MCP servers have {count} tools together, at most {TOOLS_MAX}\nhint: `tools = [..]` under `[mcp.NAME]` names those that are wanted"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Threads for them could not be started.
    #[error("cannot start threads for MCP servers")]
    Threads(#[source] std::io::Error),
}

/// Bytes of a call that somebody can be shown whole.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// A call as Python, as whoever is asked about it sees all of it.
///
/// # Errors
/// When it is too long for anybody to look at: why it is refused.
pub fn shown_call(tool: &str, arguments: &Value) -> Result<String, String> {
    let shown = python_call(tool, arguments.as_object().unwrap_or(&Map::new()));
    match shown.len() <= SHOWN_BYTES_MAX {
        true => Ok(shown),
        false => Err("it is too long to be shown to whoever would be asked".to_owned()),
    }
}

/// Asked before a call of a server whose settings say so: the tool's name in Python, and its arguments.
pub type Ask = dyn Fn(&str, &Value) -> Approval + Send + Sync;

/// The servers of one program. Dropped, they end.
pub struct McpTools {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    servers: Vec<Arc<Server>>,
    tools: Vec<Known>,
}

/// A tool, and where calls of it go.
struct Known {
    tool: Tool,
    /// What its server calls it.
    name: String,
    server: usize,
    shape: Shape,
}

/// Starts all servers and asks them for their tools. Blocks meanwhile.
///
/// # Errors
/// When the settings cannot be used, or a server does not start, does not speak MCP or does not have a tool that is
/// named.
pub fn connect(tables: &BTreeMap<String, McpTable>) -> Result<Arc<McpTools>, McpError> {
    let servers = settings::read(tables).map_err(McpError::Settings)?;
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("mcp").enable_all().build();
    let servers = servers.into_iter().map(|(name, settings)| Arc::new(Server::new(name, settings))).collect();
    let runtime = Some(runtime.map_err(McpError::Threads)?);
    let mut all = McpTools { runtime, servers, tools: Vec::new() };
    let starts: Vec<_> =
        all.servers.iter().cloned().map(|server| all.begin(async move { server.start().await })).collect();
    let mut listed = Vec::new();
    for (index, start) in starts.into_iter().enumerate() {
        let failed = |what| McpError::Server { name: all.servers[index].name.clone(), what };
        let tools = start.recv().unwrap_or_else(|_| Err("ended at once".to_owned())).map_err(failed)?;
        listed.extend(tools.into_iter().map(|tool| (index, tool)));
    }
    if listed.len() > TOOLS_MAX {
        return Err(McpError::TooMany { count: listed.len() });
    }
    let pairs: Vec<(&str, &str)> =
        listed.iter().map(|(index, tool)| (&*all.servers[*index].name, &*tool.name)).collect();
    let names = names::of_tools(&pairs);
    let known = names.into_iter().zip(&listed).map(|(python, (server, tool))| {
        let shape = Shape::of(tool);
        let tool_seen = Tool { name: python, signature: shape.signature.clone(), doc: shape.doc.clone() };
        Known { tool: tool_seen, name: tool.name.to_string(), server: *server, shape }
    });
    all.tools = known.collect();
    Ok(Arc::new(all))
}

impl McpTools {
    /// All that there are, by their names in Python.
    pub fn tools(&self) -> Vec<Tool> {
        self.tools.iter().map(|known| known.tool.clone()).collect()
    }

    /// What sessions get.
    ///
    /// * `ask`: who is asked before calls where the settings want that; without one they are refused.
    pub fn toolbox(self: &Arc<McpTools>, ask: Option<Arc<Ask>>) -> Arc<dyn Toolbox> {
        Arc::new(View { all: Arc::clone(self), ask })
    }

    /// Lets a future run, wherever this is called from; the result comes out of the channel.
    fn begin<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Nobody waits any more.
                let _ = sender.send(future.await);
            });
        }
        receiver
    }
}

impl fmt::Debug for McpTools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<&str> = self.servers.iter().map(|server| &*server.name).collect();
        formatter.debug_struct("McpTools").field("servers", &servers).field("tools", &self.tools.len()).finish()
    }
}

impl Drop for McpTools {
    fn drop(&mut self) {
        let ends: Vec<_> = std::mem::take(&mut self.servers)
            .into_iter()
            .map(|server| self.begin(async move { server.close().await }))
            .collect();
        let deadline = std::time::Instant::now() + CLOSE_TIME_MAX;
        for end in ends {
            let _ = end.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
        }
        if let Some(runtime) = self.runtime.take() {
            // A runtime that waits for its threads may not be dropped on one of another.
            runtime.shutdown_background();
        }
    }
}

/// The tools, for those who can ask somebody.
struct View {
    all: Arc<McpTools>,
    ask: Option<Arc<Ask>>,
}

impl View {
    fn known(&self, name: &str) -> Option<&Known> {
        self.all.tools.iter().find(|known| known.tool.name == name)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(formatter)
    }
}

impl Toolbox for View {
    fn tools(&self) -> Vec<Tool> {
        self.all.tools()
    }

    fn approve(&self, name: &str, arguments: &Value) -> Approval {
        let wants = self.known(name).map(|known| self.all.servers[known.server].settings.approval);
        match (wants, &self.ask) {
            (Some(CallApproval::Auto), _) => Approval::Allow,
            (Some(CallApproval::Ask), Some(ask)) => ask(name, arguments),
            _ => Approval::Deny("somebody would have to be asked, and nobody can be".to_owned()),
        }
    }

    fn call(&self, name: &str, arguments: Value) -> Result<Value, String> {
        let known = self.known(name).ok_or_else(|| format!("there is no tool `{name}`"))?;
        let arguments = known.shape.arguments(arguments)?;
        let (server, tool) = (Arc::clone(&self.all.servers[known.server]), known.name.clone());
        let answer = self.all.begin(async move { server.call(&tool, arguments).await });
        let result = answer.recv().map_err(|_| "the MCP servers are closed".to_owned())?;
        answer::value(result?)
    }
}
