//! One server: connected, asked, and started again after it ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::ServiceExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, Implementation,
    InitializeRequestParams, JsonObject, PaginatedRequestParams, Tool,
};
use rmcp::service::{Peer, RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::timeout;

use super::program::{Allowance, Program};
use super::schema::readable;
use super::settings::{Reach, Settings};
use crate::fields::closest;

/// Bytes that a server may write for each request, and for all that are under way.
const REQUEST_BYTES_MAX: usize = 16 << 20;
const REQUESTS_BYTES_MAX: usize = 8 * REQUEST_BYTES_MAX;
const CALLS_AT_ONCE_MAX: usize = 8;
const PAGES_MAX: usize = 100;
const LISTED_MAX: usize = 10_000;
/// Until a server is started again after it ended twice without an answer between: this, twice this, and so on.
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const ERROR_CHARS_MAX: usize = 4000;

type Service = RunningService<RoleClient, InitializeRequestParams>;

/// A server and the way to it.
pub(super) struct Server {
    pub name: String,
    pub settings: Settings,
    link: AsyncMutex<Link>,
    places: Semaphore,
    rate: Mutex<Rate>,
}

/// The connection, or why there is none.
#[derive(Default)]
struct Link {
    open: Option<Open>,
    /// In a row, without an answer between them.
    failures: u32,
    not_before: Option<Instant>,
}

struct Open {
    service: Service,
    program: Option<Program>,
    allowance: Arc<Allowance>,
}

/// Calls that may be made now; they come back with time.
struct Rate {
    calls: f64,
    since: Instant,
}

impl Server {
    pub fn new(name: String, settings: Settings) -> Server {
        let rate = Rate { calls: f64::from(settings.calls_per_minute), since: Instant::now() };
        let places = Semaphore::new(CALLS_AT_ONCE_MAX);
        Server { name, settings, link: AsyncMutex::default(), places, rate: Mutex::new(rate) }
    }

    /// Starts it and gives its tools, those that are allowed and each once.
    ///
    /// # Errors
    /// With what stands in the way, for whoever wrote the settings.
    pub async fn start(&self) -> Result<Vec<Tool>, String> {
        let mut link = self.link.lock().await;
        let open = self.open().await?;
        let listed = timeout(self.settings.start_time_max, self.list(&open)).await;
        let listed = listed.unwrap_or_else(|_| Err(self.late("list its tools")));
        let listed = listed.map_err(|what| with_last_words(what, open.program.as_ref()));
        link.open = Some(open);
        listed
    }

    /// Makes a call.
    ///
    /// # Errors
    /// With what the code that called gets to see.
    pub async fn call(&self, tool: &str, arguments: JsonObject) -> Result<CallToolResult, String> {
        self.take_turn()?;
        let _place = self.places.acquire().await.map_err(|_| self.says("is closed"))?;
        let (peer, allowance) = self.peer().await?;
        allowance.grant(REQUEST_BYTES_MAX);
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let time_max = self.settings.call_time_max;
        let answer = match timeout(time_max, peer.call_tool_once(params)).await {
            Err(_) => return Err(self.says(&format!("did not answer within {} s", time_max.as_secs()))),
            Ok(answer) => answer,
        };
        match answer {
            Ok(CallToolResponse::Complete(result)) => {
                self.link.lock().await.failures = 0;
                Ok(result)
            }
            Ok(_) => Err(self.says("wants to go on in a way that is not supported here")),
            Err(ServiceError::McpError(error)) => Err(readable(&error.message, ERROR_CHARS_MAX)),
            Err(ServiceError::UnexpectedResponse) => Err(self.says("answered something else than a result")),
            Err(_) => Err(self.says("ended during the call")),
        }
    }

    /// Ends the connection, and with it the program.
    pub async fn close(&self) {
        if let Some(open) = self.link.lock().await.open.take() {
            open.close().await;
        }
    }

    fn says(&self, what: &str) -> String {
        format!("the MCP server `{}` {what}", self.name)
    }

    fn late(&self, what: &str) -> String {
        let seconds = self.settings.start_time_max.as_secs();
        format!("did not {what} within {seconds} s\nhint: `start_seconds` gives it more time")
    }

    /// Counts a call.
    fn take_turn(&self) -> Result<(), String> {
        let per_minute = f64::from(self.settings.calls_per_minute);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let back = now.duration_since(rate.since).as_secs_f64() * per_minute / 60.0;
        (rate.calls, rate.since) = ((rate.calls + back).min(per_minute), now);
        if rate.calls < 1.0 {
            let seconds = ((1.0 - rate.calls) * 60.0 / per_minute).ceil();
            return Err(self.says(&format!("may be called {per_minute} times a minute; try again in {seconds} s")));
        }
        rate.calls -= 1.0;
        Ok(())
    }

    /// The connection, made again if it is gone and enough time has passed.
    async fn peer(&self) -> Result<(Peer<RoleClient>, Arc<Allowance>), String> {
        let mut link = self.link.lock().await;
        if let Some(gone) = link.open.take_if(|open| open.service.is_transport_closed()) {
            drop(gone);
            link.postpone();
        }
        if link.open.is_none() {
            let wait = link.not_before.and_then(|time| time.checked_duration_since(Instant::now()));
            if let Some(wait) = wait {
                return Err(self.says(&format!("has ended; it is started again in {:.1} s", wait.as_secs_f64())));
            }
            match self.open().await {
                Ok(open) => link.open = Some(open),
                // Why is for whoever started the host: it may hold what code should not see.
                Err(_) => {
                    link.postpone();
                    return Err(self.says("does not start"));
                }
            }
        }
        let open = link.open.as_ref().ok_or_else(|| self.says("is closed"))?;
        Ok((open.service.peer().clone(), Arc::clone(&open.allowance)))
    }

    async fn open(&self) -> Result<Open, String> {
        let allowance = Arc::new(Allowance::new(REQUESTS_BYTES_MAX));
        allowance.grant(REQUEST_BYTES_MAX);
        let about = Implementation::new("codeact", env!("CARGO_PKG_VERSION"));
        let about = InitializeRequestParams::new(ClientCapabilities::default(), about);
        let (served, program) = match &self.settings.reach {
            Reach::Program { command, args, env, dir } => {
                let started = Program::start(command, args, env, dir.as_deref(), &allowance);
                let (program, output, input) =
                    started.map_err(|error| format!("`{command}` does not start: {error}"))?;
                let transport = AsyncRwTransport::new_client(output, input).with_max_line_length(REQUEST_BYTES_MAX);
                (timeout(self.settings.start_time_max, about.serve(transport)).await, Some(program))
            }
            Reach::Url { url, headers } => {
                let config =
                    StreamableHttpClientTransportConfig::with_uri(url.as_str()).custom_headers(headers.clone());
                let transport = StreamableHttpClientTransport::from_config(config);
                (timeout(self.settings.start_time_max, about.serve(transport)).await, None)
            }
        };
        let served = match served {
            Ok(served) => served.map_err(|error| format!("does not speak MCP: {error}")),
            Err(_) => Err(self.late("answer")),
        };
        match served {
            Ok(service) => Ok(Open { service, program, allowance }),
            Err(what) => Err(with_last_words(readable(&what, ERROR_CHARS_MAX), program.as_ref())),
        }
    }

    /// Those of its tools that the settings allow.
    fn allowed(&self, mut tools: Vec<Tool>) -> Result<Vec<Tool>, String> {
        let Some(wanted) = &self.settings.tools else { return Ok(tools) };
        if let Some(name) = wanted.iter().find(|name| !tools.iter().any(|tool| tool.name == **name)) {
            let known: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
            let hint = closest(name, &known).map(|hint| format!("\nhint: did you mean `{hint}`?"));
            return Err(format!("has no tool `{name}`{}", hint.unwrap_or_default()));
        }
        tools.retain(|tool| wanted.iter().any(|name| *name == tool.name));
        Ok(tools)
    }

    async fn list(&self, open: &Open) -> Result<Vec<Tool>, String> {
        let (mut tools, mut cursor, mut listed) = (Vec::new(), None, 0);
        // Of a name that is there twice, only one could be called.
        let mut names = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            open.allowance.grant(REQUEST_BYTES_MAX);
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = open.service.list_tools(Some(params)).await;
            let page = page.map_err(|error| readable(&format!("cannot list its tools: {error}"), ERROR_CHARS_MAX))?;
            listed += page.tools.len();
            tools.extend(page.tools.into_iter().filter(|tool| names.insert(tool.name.to_string())));
            cursor = page.next_cursor;
            if listed > LISTED_MAX {
                break;
            }
            if cursor.is_none() {
                return self.allowed(tools);
            }
        }
        Err(format!("lists more than {LISTED_MAX} tools, or more than {PAGES_MAX} pages of them"))
    }
}

impl Link {
    /// After it ended: when it may be started again.
    fn postpone(&mut self) {
        let doubled = |failures: u32| BACKOFF.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX);
        // Once may be an accident.
        let wait = self.failures.checked_sub(1).map_or(Duration::ZERO, doubled);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + wait);
    }
}

impl Open {
    async fn close(mut self) {
        // Closes its input.
        let _ = self.service.close().await;
        if let Some(program) = self.program {
            program.end().await;
        }
    }
}

fn with_last_words(what: String, program: Option<&Program>) -> String {
    let words = program.map(Program::last_words).filter(|words| !words.is_empty());
    words.map_or_else(|| what.clone(), |words| format!("{what}\nit wrote to stderr: {words}"))
}
