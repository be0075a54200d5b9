//! `[mcp.NAME]` of a settings file: which servers there are, and what calls of their tools may do.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::names::is_identifier;

/// Some are downloaded when they start.
const START_SECONDS: u64 = 60;
const CALL_SECONDS: u64 = 30;
const SECONDS_MAX: u64 = 3600;
const CALLS_PER_MINUTE: u32 = 600;
const SERVERS_MAX: usize = 64;
/// Headers that belong to the protocol.
const RESERVED_HEADERS: [&str; 5] =
    ["accept", "content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id"];

/// One server: a program that is started, or a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpTable {
    /// A program that speaks MCP over stdin and stdout. It runs with the rights of whoever starts the host.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables of its environment, besides `PATH`, `HOME` and the like.
    pub env: BTreeMap<String, Secret>,
    /// The folder that it starts in.
    pub dir: Option<PathBuf>,
    /// A server that speaks MCP over HTTP.
    pub url: Option<String>,
    /// Headers of each request to it.
    pub headers: BTreeMap<String, Secret>,
    /// Tools that may be called; without it, all that it has.
    pub tools: Option<Vec<String>>,
    /// Whether somebody is asked before each call.
    pub approval: CallApproval,
    /// Seconds that it may take to start, and again to list its tools.
    pub start_seconds: Option<u64>,
    /// Seconds that a call may take.
    pub call_seconds: Option<u64>,
    /// Calls of all sessions together in a minute.
    pub calls_per_minute: Option<u32>,
}

/// Whether somebody is asked before a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallApproval {
    /// Nobody is.
    #[default]
    Auto,
    /// Whoever watches the session is.
    Ask,
}

/// A text, or the variable of the environment that has it. Never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Secret {
    /// As it stands in the file.
    Text(String),
    /// `{ from = "VARIABLE" }`.
    Variable(Variable),
}

/// See [`Secret`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub from: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => formatter.write_str("(not shown)"),
            Secret::Variable(variable) => write!(formatter, "from {}", variable.from),
        }
    }
}

/// A server, checked, with its secrets. Nothing shows them.
pub(super) struct Settings {
    pub reach: Reach,
    pub tools: Option<Vec<String>>,
    pub approval: CallApproval,
    pub start_time_max: Duration,
    pub call_time_max: Duration,
    pub calls_per_minute: u32,
}

/// How a server is reached.
pub(super) enum Reach {
    Program { command: String, args: Vec<String>, env: Vec<(String, String)>, dir: Option<PathBuf> },
    Url { url: String, headers: HashMap<HeaderName, HeaderValue> },
}

/// All servers of a file.
///
/// # Errors
/// With everything that cannot be.
pub(super) fn read(tables: &BTreeMap<String, McpTable>) -> Result<Vec<(String, Settings)>, Vec<String>> {
    let mut problems = Vec::new();
    if tables.len() > SERVERS_MAX {
        problems.push(format!("there are {} MCP servers, at most {SERVERS_MAX}", tables.len()));
    }
    let mut servers = Vec::new();
    for (name, table) in tables {
        let mut say = |what: String| problems.push(format!("`mcp.{name}`: {what}"));
        if !is_identifier(name) {
            say("the name becomes part of Python names: letters, digits and `_` only".to_owned());
        }
        let start_seconds = table.start_seconds.unwrap_or(START_SECONDS);
        let call_seconds = table.call_seconds.unwrap_or(CALL_SECONDS);
        for (key, seconds) in [("start_seconds", start_seconds), ("call_seconds", call_seconds)] {
            if !(1..=SECONDS_MAX).contains(&seconds) {
                say(format!("`{key}` is {seconds}; it must be from 1 to {SECONDS_MAX}"));
            }
        }
        let calls_per_minute = table.calls_per_minute.unwrap_or(CALLS_PER_MINUTE);
        if calls_per_minute == 0 {
            say("`calls_per_minute` is 0, so that nothing could be called".to_owned());
        }
        if let Some(reach) = reach(table, &mut say) {
            let settings = Settings {
                reach,
                tools: table.tools.clone(),
                approval: table.approval,
                start_time_max: Duration::from_secs(start_seconds),
                call_time_max: Duration::from_secs(call_seconds),
                calls_per_minute,
            };
            servers.push((name.clone(), settings));
        }
    }
    if problems.is_empty() { Ok(servers) } else { Err(problems) }
}

fn reach(table: &McpTable, say: &mut dyn FnMut(String)) -> Option<Reach> {
    match (&table.command, &table.url) {
        (Some(command), None) => {
            if !table.headers.is_empty() {
                say("`headers` are for servers with a `url`".to_owned());
            }
            let env = table.env.iter().filter_map(|(key, secret)| Some((key.clone(), value(key, secret, say)?)));
            Some(Reach::Program {
                command: command.clone(),
                args: table.args.clone(),
                env: env.collect(),
                dir: table.dir.clone(),
            })
        }
        (None, Some(url)) => {
            if !table.args.is_empty() || !table.env.is_empty() || table.dir.is_some() {
                say("`args`, `env` and `dir` are for servers with a `command`".to_owned());
            }
            if !url.starts_with("http://") && !url.starts_with("https://") {
                say("`url` must begin with `http://` or `https://`".to_owned());
            }
            let headers = table.headers.iter().filter_map(|(key, secret)| header(key, secret, say));
            Some(Reach::Url { url: url.clone(), headers: headers.collect() })
        }
        _ => {
            say("it needs either a `command` or a `url`".to_owned());
            None
        }
    }
}

fn value(key: &str, secret: &Secret, say: &mut dyn FnMut(String)) -> Option<String> {
    match secret {
        Secret::Text(text) => Some(text.clone()),
        Secret::Variable(Variable { from }) => {
            let value = std::env::var(from).ok();
            if value.is_none() {
                say(format!("`{key}` comes from `{from}`, which the environment does not have"));
            }
            value
        }
    }
}

fn header(key: &str, secret: &Secret, say: &mut dyn FnMut(String)) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(key).ok().filter(|name| !RESERVED_HEADERS.contains(&name.as_str()));
    if name.is_none() {
        say(format!("`{key}` cannot be the name of a header of one's own"));
    }
    let value = HeaderValue::try_from(value(key, secret, say)?);
    if value.is_err() {
        say(format!("the value of header `{key}` has characters that no header may have"));
    }
    let (name, mut value) = (name?, value.ok()?);
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> BTreeMap<String, McpTable> {
        toml::from_str(text).unwrap()
    }

    fn problems(text: &str) -> String {
        read(&tables(text)).err().unwrap_or_default().join("\n")
    }

    #[test]
    fn all_that_cannot_be_is_told_at_once() {
        let text = "['a b']\ncommand = 'x'\n[both]\ncommand = 'x'\nurl = 'http://x'\n[none]\n[ftp]\nurl = 'ftp://x'\nargs = ['x']\n\
                    headers = { Accept = 'x', Authorization = \"a\\nb\" }\n[slow]\ncommand = 'x'\ncall_seconds = 0\ncalls_per_minute = 0\n\
                    headers = { A = 'b' }\nenv = { TOKEN = { from = 'CODEACT_NO_SUCH_VARIABLE' } }\n";
        let told = problems(text);
        let expected = [
            "`mcp.a b`: the name",
            "`mcp.both`: it needs either",
            "`mcp.none`: it needs either",
            "`mcp.ftp`: `url` must begin",
            "`mcp.ftp`: `args`",
            "`Accept` cannot be",
            "header `Authorization` has characters",
            "`mcp.slow`: `call_seconds` is 0",
            "`calls_per_minute` is 0",
            "`headers` are for",
            "`TOKEN` comes from `CODEACT_NO_SUCH_VARIABLE`",
        ];
        for part in expected {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn secrets_come_from_the_environment_and_are_never_shown() {
        let text = "[a]\ncommand = 'x'\nenv = { PLAIN = 'hunter2', HERE = { from = 'PATH' } }\n";
        let (tables, path) = (tables(text), std::env::var("PATH").unwrap());
        let servers = read(&tables).ok().unwrap();
        let Reach::Program { env, .. } = &servers[0].1.reach else { panic!("not a program") };
        assert!(env.contains(&("HERE".to_owned(), path)) && env.contains(&("PLAIN".to_owned(), "hunter2".to_owned())));
        let shown = format!("{tables:?}");
        assert!(shown.contains("from PATH") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_key_that_there_is_not_is_refused() {
        let error = toml::from_str::<BTreeMap<String, McpTable>>("[a]\ncomand = 'x'").unwrap_err().to_string();
        assert!(error.contains("unknown field `comand`"), "{error}");
        assert!(toml::from_str::<BTreeMap<String, McpTable>>("[a]\nenv = { A = { form = 'B' } }").is_err());
        assert!(toml::from_str::<BTreeMap<String, McpTable>>("[a]\napproval = 'never'").is_err());
    }
}
