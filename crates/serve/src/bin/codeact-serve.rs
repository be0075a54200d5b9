//! `codeact-serve`: the model and the agent over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use codeact_eval::{Actor, Sandbox, SandboxArgs, ServingArgs, TaskRow, load_suites};
use codeact_model::ModelConfig;
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{ServedAdapter, ServedModel, ServingPlace};
use codeact_model::source::ModelFiles;
use codeact_serve::mcp::connect;
use codeact_serve::{
    ApiKeys, AppState, BenchArgs, Connections, EdgeSettings, EnvironmentSettings, Hosts, MakeInterpreter, Models,
    Options, ServeConfig, Settings, Source, app, is_bad_input, serve, serve_environments, served_lines,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// How long what still runs after the time for it may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// Serve a model: OpenAI's API, and sessions in which it runs Python under /v1/agent/sessions.
///
/// SIGTERM or Ctrl-C lets what is running finish; a second one ends at once.
#[derive(Parser)]
#[command(name = "codeact-serve", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Model: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// What requests call it; without it, what stands after --model
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// PEFT adapter: with a name, requests choose it by `model: "MODEL:NAME"`; without, it is part of the model
    #[arg(long, value_name = "[NAME=]DIR")]
    adapter: Vec<String>,
    /// Requests may load and unload adapters from folders below this one
    #[arg(long, value_name = "DIR")]
    adapter_dir: Option<PathBuf>,
    /// Settings file; options go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Longest sequence in tokens, prompt and answer together
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Only requests with one of these keys are served: a file with one a line
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Python processes of agents at once [default: 16]
    #[arg(long, value_name = "NUMBER")]
    sessions: Option<usize>,
    /// Folder for what is kept of agent sessions [default: ~/.local/state/codeact]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Serve the agent only, with a model at this address, which has OpenAI's API: http://127.0.0.1:8000/v1
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The model's name at the endpoint; without it, the first that is listed there
    #[arg(long, value_name = "NAME")]
    endpoint_model: Option<String>,
    /// Ignore unknown fields of requests instead of refusing them
    #[arg(long)]
    lenient: bool,
    /// Log prompts and answers
    #[arg(long)]
    log_prompts: bool,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[cfg(feature = "jupyter")]
    #[command(flatten)]
    jupyter: codeact_serve::JupyterArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measure how fast a model reads prompts and writes answers here, and how far that is from what memory allows
    Bench {
        /// Model: a folder, a GGUF file, or a name on the hub
        #[arg(long, value_name = "DIR")]
        model: String,
        #[command(flatten)]
        bench: BenchArgs,
        #[command(flatten)]
        serving: ServingArgs,
    },
    /// Serve tasks as environments: reset, step and submit, with the reward of their graders; no model is needed
    Env(Box<EnvironmentArgs>),
}

#[derive(clap::Args)]
struct EnvironmentArgs {
    /// Suites: folders with suite.toml, or .jsonl files
    #[arg(long = "suites", required = true, num_args = 1.., value_name = "SUITE")]
    suites: Vec<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Only requests with one of these keys are served: a file with one a line
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Environments that are open at once
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    environments: u16,
    /// Seconds after which an environment that nobody uses is closed
    #[arg(long, value_name = "NUMBER", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    idle_seconds: u32,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.command {
        Some(Command::Bench { model, bench, serving }) => return measure(model, bench, serving),
        Some(Command::Env(environments)) => return ended(serve_tasks(environments)),
        None => {}
    }
    let prepared = settings(&args).and_then(|mut settings| {
        let key = draw_key(&mut settings)?;
        Ok((prepare(&args, &settings)?, settings, key))
    });
    let (state, settings, key) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(if is_bad_input(&error) { 2 } else { 1 });
        }
    };
    match run(state, &settings, key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn measure(model: &str, bench: &BenchArgs, serving: &ServingArgs) -> ExitCode {
    let report = || -> anyhow::Result<String> {
        let files = ModelFiles::find(model, &|text| eprintln!("{text}"))?;
        let options = serving.options();
        serving.check()?;
        let config = ModelConfig::load(files.folder())?;
        let adapters = bench.adapters().iter().map(|folder| ServedAdapter::load(folder, &config));
        let adapters = adapters.collect::<Result<Vec<_>, _>>()?;
        Ok(match options.place {
            ServingPlace::Processor => {
                let mut model = ServedModel::load(&files, &options)?;
                let facts = model.facts().clone();
                bench.run(&mut model, &facts, &adapters, |model| Some(model.read_bandwidth()))?
            }
            ServingPlace::Card => {
                let device = codeact_ops::device::open(0)?;
                adapters.iter().try_for_each(CardModel::check_adapter)?;
                let mut model = CardModel::load(&files, &options, &device)?;
                let facts = model.facts().clone();
                bench.run(&mut model, &facts, &adapters, |_| None)?
            }
        })
    };
    ended(report().map(|report| println!("{report}")))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_bad_input(&error) { 2 } else { 1 })
        }
    }
}

/// Serves environments until it is told to end.
fn serve_tasks(args: &EnvironmentArgs) -> anyhow::Result<()> {
    let row = TaskRow::new(load_suites(&args.suites)?);
    let keys = args.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    let (session, sandbox) = args.sandbox.start(None)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(&format!("{} tasks; ", row.len())));
    let is_loopback = args.listen.ip().is_loopback();
    let mut edge = EdgeSettings { hosts: Hosts::new(&[], is_loopback), keys, ..EdgeSettings::default() };
    let mut drawn = None;
    // Whoever reaches the server can run code.
    if !is_loopback && edge.keys.is_none() {
        let (keys, key) = ApiKeys::for_this_run().map_err(|error| anyhow::anyhow!(error.message().to_owned()))?;
        (edge.keys, drawn) = (Some(keys), Some(key));
    }
    let settings = EnvironmentSettings {
        row,
        policy: sandbox.policy,
        count_max: args.environments.into(),
        idle_max: Duration::from_secs(args.idle_seconds.into()),
        edge,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = TcpListener::bind(args.listen).await?;
        if let Some(key) = drawn {
            eprintln!(
                "other machines can reach this server, and no keys are set up, so there is one for this run: {key}"
            );
        }
        eprintln!("listening on http://{}", listener.local_addr()?);
        serve_environments(listener, settings, told_to_end(signals, Connections::default().drain_time_max)).await;
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(END_TIME_MAX);
    result
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let config = args.config.as_deref().map(ServeConfig::read).transpose()?.unwrap_or_default();
    let options = Options {
        config,
        model: args.model.clone(),
        name: args.name.clone(),
        adapters: args.adapter.clone(),
        adapter_dir: args.adapter_dir.clone(),
        serving: args.serving.clone(),
        context: args.context,
        host: args.host,
        port: args.port,
        api_keys: args.api_keys.clone(),
        sessions: args.sessions,
        state_dir: args.state_dir.clone(),
        endpoint: args.endpoint.clone(),
        endpoint_model: args.endpoint_model.clone(),
        is_lenient: args.lenient,
        with_prompts: args.log_prompts,
    };
    Ok(options.resolve()?)
}

/// Whoever reaches the server can run code: off loopback nobody comes in without a key.
fn draw_key(settings: &mut Settings) -> anyhow::Result<Option<String>> {
    if settings.address.ip().is_loopback() || settings.edge.keys.is_some() {
        return Ok(None);
    }
    let (keys, key) = ApiKeys::for_this_run().map_err(|error| anyhow::anyhow!(error.message().to_owned()))?;
    settings.edge.keys = Some(keys);
    Ok(Some(key))
}

fn prepare(args: &Args, settings: &Settings) -> anyhow::Result<AppState> {
    // Before the first request, and before the weights load: whether Python starts, and what protects this machine.
    let (sandbox, make_interpreter) = start(args)?;
    let source = match &settings.endpoint {
        Some(endpoint) => {
            let url = &endpoint.options.url;
            eprintln!("{}", sandbox.announcement(&format!("agents with the model at {url}; ")));
            Source::Endpoint(endpoint.clone())
        }
        None => Source::Local(Box::new(load(settings, &sandbox)?)),
    };
    let (state, problems) = AppState::new(source, sandbox, settings.limits, settings.agent.clone())?;
    for problem in problems {
        eprintln!("warning: {problem}");
    }
    let mut state = state.with_edge(settings.edge.clone());
    if !settings.mcp.is_empty() {
        let tools = connect(&settings.mcp)?;
        eprintln!("{} tools of {} MCP servers", tools.tools().len(), settings.mcp.len());
        state = state.with_tools(tools);
    }
    Ok(match make_interpreter {
        Some(make_interpreter) => state.with_interpreters(make_interpreter),
        None => state,
    })
}

fn load(settings: &Settings, sandbox: &Sandbox) -> anyhow::Result<Models> {
    let files = ModelFiles::find(&settings.model, &|text| eprintln!("{text}"))?;
    let actor = Actor::load(&files, settings.adapter.as_deref(), &settings.serving, settings.engine.clone())?;
    eprintln!("{}", served_lines(&settings.name, &actor, sandbox, settings.engine.context_tokens_max));
    let models = Models::new(actor, settings.name.clone(), files, settings.adapter_dir.clone());
    for (name, folder) in &settings.adapters {
        models.load(name, folder)?;
        eprintln!("adapter `{}:{name}` from {}", settings.name, folder.display());
    }
    Ok(models)
}

/// Tries what is to run the code of sessions. Without anything to start it with, it is the sandbox.
fn start(args: &Args) -> anyhow::Result<(Sandbox, Option<MakeInterpreter>)> {
    #[cfg(feature = "jupyter")]
    if let Some((_, sandbox)) = args.jupyter.start(args.sandbox.policy(None))? {
        let make_interpreter = args.jupyter.make_interpreter(&sandbox);
        return Ok((sandbox, make_interpreter));
    }
    let (_, sandbox) = args.sandbox.start(None)?;
    Ok((sandbox, None))
}

/// Serves until it is told to end.
fn run(state: AppState, settings: &Settings, key: Option<String>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(listen(state, settings, key));
    // Left to itself it waits for work that nothing can stop, however long that takes.
    runtime.shutdown_timeout(END_TIME_MAX);
    result
}

async fn listen(state: AppState, settings: &Settings, key: Option<String>) -> anyhow::Result<()> {
    // Whoever reads that it listens may tell it to end.
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(settings.address).await?;
    let address = listener.local_addr()?;
    if let Some(key) = key {
        eprintln!("other machines can reach this server, and no keys are set up, so there is one for this run:");
        eprintln!("http://{address}/#key={key}");
    }
    eprintln!("OpenAI's API at http://{address}/v1, sessions at http://{address}/v1/agent/sessions");
    eprintln!("listening on http://{address}");
    let drain_time_max = settings.connections.drain_time_max;
    let stop = told_to_end((terminate, interrupt), drain_time_max);
    if !serve(listener, app(state.clone()), state, settings.connections, stop).await {
        eprintln!("what was still running was ended");
    }
    Ok(())
}

/// Ready at the first signal; the second ends the program.
async fn told_to_end(mut signals: (Signal, Signal), drain_time_max: Duration) {
    either(&mut signals).await;
    eprintln!("finishing what is running, {} seconds at most; once more to end at once", drain_time_max.as_secs_f64());
    tokio::spawn(async move {
        either(&mut signals).await;
        std::process::exit(1);
    });
}

async fn either((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
