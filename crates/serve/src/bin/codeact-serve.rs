//! `codeact-serve`: the model and the agent over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use codeact_engine::EngineLimits;
use codeact_eval::{Actor, Dtype, SandboxArgs};
use codeact_model::source;
use codeact_serve::{AppState, ServeLimits, app, is_bad_input, start_lines};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// Serve a model: /v1/chat/completions, and sessions in which it runs Python under /v1/agent/sessions.
///
/// SIGTERM or Ctrl-C lets what is running finish; a second one ends at once.
#[derive(Parser)]
#[command(name = "codeact-serve", version)]
struct Args {
    /// Model: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR")]
    model: String,
    /// PEFT adapter on top of the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Agent sessions at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    sessions: u16,
    /// Precision of the weights
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

fn main() -> ExitCode {
    codeact_ops::allocator::keep_freed_pages();
    let args = Args::parse();
    let state = match prepare(&args) {
        Ok(state) => state,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(if is_bad_input(&error) { 2 } else { 1 });
        }
    };
    match serve(&args, state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn prepare(args: &Args) -> anyhow::Result<AppState> {
    // Before the first request, and before the weights load: whether Python starts, and what protects this machine.
    let (_, sandbox) = args.sandbox.start(None)?;
    let folder = source::resolve(&args.model, &|text| eprintln!("{text}"))?;
    let actor = Actor::load(&folder, args.adapter.as_deref(), args.dtype, EngineLimits::default())?;
    eprintln!("{}", start_lines(&folder.display().to_string(), args.dtype.name(), &sandbox));
    let limits = ServeLimits { sessions_max: args.sessions.into(), ..ServeLimits::default() };
    Ok(AppState::new(actor, args.model.clone(), sandbox, limits))
}

#[tokio::main]
async fn serve(args: &Args, state: AppState) -> anyhow::Result<()> {
    let listener = TcpListener::bind(SocketAddr::new(args.host, args.port)).await?;
    let address = listener.local_addr()?;
    if !args.host.is_loopback() {
        eprintln!(
            "warning: {address} can be reached from other machines, and there is no password: whoever reaches it can run code in the sandbox"
        );
    }
    eprintln!("listening on http://{address}");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        eprintln!("finishing what is running; once more to end at once");
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
    };
    axum::serve(listener, app(state)).with_graceful_shutdown(stop).await?;
    Ok(())
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
