//! Model, Python, tools and skills, ready to talk.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use codeact_agent::{Agent, AgentOptions, EndpointModel, EndpointOptions, Limits, Profile};
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox};
use codeact_model::source::ModelFiles;
use codeact_sandbox::{Interpreter, Policy, Tool, Toolbox};
use codeact_serve::mcp::{Ask, connect};
use codeact_serve::{Console, ServeConfig};

use crate::args::{Approve, Args};
use crate::asking::Asker;
use crate::conversation::Conversations;
use crate::source::{Place, Source};
use crate::talk::Talk;
use crate::{input, skills};

/// Loads the model, starts Python and says so.
///
/// # Errors
/// When something of it is not there or does not start.
pub fn prepare(args: &Args) -> anyhow::Result<Talk> {
    let sampling = Sampling { temperature: args.temperature, seed: args.seed, ..Sampling::default() };
    // Nothing of it depends on the vocabulary, and a wrong number should not wait for the weights.
    sampling.check(usize::MAX)?;
    let can_ask = std::io::stdin().is_terminal();
    if args.approve == Approve::Ask && !can_ask {
        bail!("--approve ask needs somebody to ask, and the input is not a terminal");
    }
    let asker = Arc::new(Asker::new(args.approve == Approve::Ask));
    let toolbox = toolbox(args, can_ask.then(|| Arc::clone(&asker)))?;
    let tools = toolbox.as_ref().map(|toolbox| toolbox.tools()).unwrap_or_default();
    let policy = Policy { tools: toolbox, ..args.sandbox.policy(args.workspace.clone()) };
    // Python first: it starts faster than the weights load.
    let (mut interpreter, sandbox) = start(args, &policy)?;
    let skills = match (&args.skills_dir, input::state_folder()) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.join("skills"),
        (None, None) => bail!("no folder for skills\nhint: --skills-dir names one"),
    };
    let skills_prompt = match args.skills.is_empty() {
        true => None,
        false => skills::define(&skills, &args.skills, interpreter.as_mut())?,
    };
    let source = source(args, sampling)?;
    eprintln!("{}", source.announcement(&sandbox));
    let options = options(args, &source, tools.clone(), skills_prompt);
    let agent = Agent::new(source.model()?, interpreter, options);
    let stdout = std::io::stdout();
    let is_coloured = stdout.is_terminal() && has_colours();
    let mut console = Console::new(stdout, args.json, is_coloured);
    console.keep_figures(&args.figures);
    let conversations = Conversations::new(agent);
    Ok(Talk { conversations, source, console, asker, tools, skills, policy, written: BTreeSet::new() })
}

/// <https://no-color.org>: any value but an empty one.
fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The tools of the settings file.
fn toolbox(args: &Args, asker: Option<Arc<Asker>>) -> anyhow::Result<Option<Arc<dyn Toolbox>>> {
    let Some(path) = &args.config else { return Ok(None) };
    let config = ServeConfig::read(path)?;
    if config.mcp.is_empty() {
        return Ok(None);
    }
    let ask = asker.map(|asker| -> Arc<Ask> { Arc::new(move |name, arguments| asker.approve(name, arguments)) });
    Ok(Some(connect(&config.mcp)?.toolbox(ask)))
}

/// Starts what runs the code.
fn start(args: &Args, policy: &Policy) -> anyhow::Result<(Box<dyn Interpreter>, Sandbox)> {
    #[cfg(feature = "jupyter")]
    if let Some((kernel, sandbox)) = args.jupyter.start(policy.clone())? {
        if policy.tools.is_some() {
            bail!("tools cannot be called from a kernel of your own\nhint: leave out --jupyter, or the [mcp] tables");
        }
        return Ok((Box::new(kernel), sandbox));
    }
    let (session, sandbox) = args.sandbox.open(policy.clone())?;
    Ok((Box::new(session), sandbox))
}

fn source(args: &Args, sampling: Sampling) -> anyhow::Result<Source> {
    let place = match &args.endpoint {
        Some(url) => {
            args.serving.check_unused()?;
            let options = EndpointOptions {
                model: args.endpoint_model.clone(),
                temperature: Some(args.temperature),
                seed: Some(args.seed),
                ..EndpointOptions::new(url.clone())
            };
            let name = EndpointModel::connect(options.clone())?.name().to_owned();
            // The first of its list now is the one for the whole conversation.
            Place::Endpoint { options: EndpointOptions { model: Some(name.clone()), ..options }, name }
        }
        None => {
            let model = args.model.as_deref().context("no model\nhint: --model, or --endpoint")?;
            let files = ModelFiles::find(model, &|text| eprintln!("{text}"))?;
            let adapter = args.adapter.as_deref();
            let actor = Box::new(Actor::load(&files, adapter, &args.serving.options(), args.serving.limits())?);
            // A GGUF file is unpacked into a folder that says nothing.
            let shown = if Path::new(model).is_file() { Path::new(model) } else { files.folder() };
            let mut shown = shown.display().to_string();
            if let Some(adapter) = adapter {
                shown = format!("{shown} + {}", adapter.display());
            }
            Place::Local { base: actor.clone(), actor, folder: files.folder().to_owned(), shown, adapter: None }
        }
    };
    Ok(Source { place, sampling, retries: 0 })
}

/// What the command line says goes before what the model was trained with.
fn options(args: &Args, source: &Source, tools: Vec<Tool>, skills_prompt: Option<String>) -> AgentOptions {
    let mut options = source.options().unwrap_or_else(|| AgentOptions::new(Profile::codeactinstruct()));
    if let Some(profile) = &args.profile {
        options.limits = Limits::of(profile);
        options.profile = profile.clone();
    }
    if let Some(format) = args.action_format {
        options.format = format;
    }
    AgentOptions { system_prompt: args.system.clone(), tools, skills_prompt, ..options }
}
