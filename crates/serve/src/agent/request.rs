//! What a request says about a session, checked field by field.

use std::collections::BTreeSet;

use codeact_agent::{ActionFormat, AgentOptions, Overflow, Profile};
use serde_json::Value;

use crate::agent::change::Update;
use crate::agent::record::{ApprovalMode, SessionLimits, SessionRecord, SessionSampling};
use crate::agent::{Caller, fresh_id, start};
use crate::fields::{Fields, Ignored};
use crate::state::{Wanted, fresh_seed};
use crate::{ApiError, AppState};

const TITLE_CHARS_MAX: usize = 200;
const SYSTEM_BYTES_MAX: usize = 256 << 10;
const NAMES_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 128;
/// Replies and actions of a turn.
const STEPS_MAX: usize = 1000;
const TOKENS_MAX: usize = 10_000_000;
const OBSERVATION_TOKENS_MAX: usize = 100_000;
const SECONDS_MAX: f64 = 86_400.0;
/// Less memory than a Python needs to start.
const MEMORY_MIB_MIN: u64 = 64;

/// Reads the body of a request for a session. Everything in it is optional.
///
/// # Errors
/// When a field has a value that it cannot have; the message names it.
pub(crate) fn new_session(
    state: &AppState,
    caller: &Caller,
    mut body: Fields,
    ignored: &mut Ignored,
) -> Result<SessionRecord, ApiError> {
    let brain = state.brain(body.text("model")?.as_deref())?;
    let profile = named(&mut body, "profile", &Profile::NAMES, Profile::named)?.unwrap_or(brain.profile);
    let format = named(&mut body, "action_format", &ActionFormat::NAMES, ActionFormat::named)?.unwrap_or(brain.format);
    let overflow = named(&mut body, "overflow", &Overflow::NAMES, Overflow::named)?.unwrap_or_default();
    let approval = named(&mut body, "approval", &["ask", "auto"], ApprovalMode::named)?;
    let defaults = AgentOptions::new(profile.clone()).limits;
    let mut limits = SessionLimits::new(&defaults, &state.sandbox.policy);
    if let Some(mut fields) = body.object("limits")? {
        read_limits(&mut fields, &mut limits)?;
        fields.finish(ignored)?;
    }
    let record = SessionRecord {
        id: fresh_id()?,
        created: crate::agent::log::unix_seconds() as u64,
        owner: caller.0.as_deref().map(str::to_owned),
        title: title(&mut body)?,
        model: brain.name,
        profile: profile.name().to_owned(),
        action_format: format.name().to_owned(),
        approval: approval.unwrap_or(state.agents.settings.approval),
        system_prompt: bounded(&mut body, "system_prompt", SYSTEM_BYTES_MAX)?,
        tools: tools(state, &mut body)?,
        packages: names(&mut body, "packages", is_module)?,
        skills: skills(state, &mut body)?,
        overflow,
        limits,
        sampling: sampling(state, &mut body, brain.vocab_size)?,
        parent: None,
        turns: Vec::new(),
        protection: Value::Null,
        last_event: 0,
        running: None,
    };
    body.finish(ignored)?;
    // Both refuse names that nobody knows.
    start::options(state, &record)?;
    Ok(record)
}

/// Reads what of a session is to be another.
///
/// # Errors
/// As [`new_session`].
pub(crate) fn update(mut body: Fields, ignored: &mut Ignored) -> Result<Update, ApiError> {
    let update = Update {
        title: title(&mut body)?,
        approval: named(&mut body, "approval", &["ask", "auto"], ApprovalMode::named)?,
        model: body.text("model")?,
    };
    body.finish(ignored)?;
    Ok(update)
}

fn read_limits(fields: &mut Fields, limits: &mut SessionLimits) -> Result<(), ApiError> {
    let or = |value: Option<usize>, default: usize| value.unwrap_or(default);
    limits.steps = or(fields.count("steps", 1, STEPS_MAX)?, limits.steps);
    limits.executions = or(fields.count("executions", 0, STEPS_MAX)?, limits.executions);
    limits.tokens = fields.count("tokens", 1, TOKENS_MAX)?.or(limits.tokens);
    limits.seconds = fields.number("seconds", 0.001, SECONDS_MAX)?.or(limits.seconds);
    let tokens = fields.count("observation_tokens", 1, OBSERVATION_TOKENS_MAX)?;
    limits.observation_tokens = or(tokens, limits.observation_tokens);
    // Of the sandbox a session gets at most what the server was started with.
    let mut lower =
        |name, least: u64, now: u64| fields.integer(name, least.min(now), now).map(|given| given.unwrap_or(now));
    limits.cell_seconds = lower("cell_seconds", 1, limits.cell_seconds)?;
    limits.memory_mib = lower("memory_mib", MEMORY_MIB_MIN, limits.memory_mib)?;
    limits.disk_mib = lower("disk_mib", 1, limits.disk_mib)?;
    limits.processes = lower("processes", 1, limits.processes)?;
    Ok(())
}

fn sampling(state: &AppState, body: &mut Fields, vocab_size: Option<usize>) -> Result<SessionSampling, ApiError> {
    let wanted = Wanted {
        temperature: body.number("temperature", 0.0, 100.0)?,
        top_p: body.number("top_p", f64::MIN_POSITIVE, 1.0)?,
        top_k: body.count("top_k", 0, TOKENS_MAX)?.filter(|&top_k| top_k > 0),
        seed: body.integer("seed", 0, u64::MAX)?,
        max_tokens: body.count("max_tokens", 1, TOKENS_MAX)?,
    };
    // One that JavaScript can say too.
    let seed = wanted.seed.unwrap_or_else(|| fresh_seed() >> 11);
    let sampling = Wanted { seed: Some(seed), ..wanted }.sampling(vocab_size, &state.limits)?;
    Ok(SessionSampling {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        seed,
        max_tokens: sampling.max_new_tokens,
    })
}

fn named<T>(
    body: &mut Fields,
    field: &'static str,
    known: &[&str],
    find: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(name) = body.text(field)? else { return Ok(None) };
    match find(&name) {
        Some(found) => Ok(Some(found)),
        None => body.refuse(field, &Value::String(name), &format!("one of `{}`", known.join("`, `"))),
    }
}

fn title(body: &mut Fields) -> Result<Option<String>, ApiError> {
    let Some(title) = body.text("title")? else { return Ok(None) };
    if title.chars().nth(TITLE_CHARS_MAX).is_some() {
        return Err(ApiError::invalid("title", format!("`title` has more than {TITLE_CHARS_MAX} characters")));
    }
    Ok(Some(title))
}

fn bounded(body: &mut Fields, field: &'static str, bytes_max: usize) -> Result<Option<String>, ApiError> {
    let text = body.text(field)?;
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
        return Err(ApiError::invalid(field, format!("`{field}` has more than {bytes_max} bytes")));
    }
    Ok(text)
}

/// A list of names, each once.
fn names(body: &mut Fields, field: &'static str, is_name: fn(&str) -> bool) -> Result<Vec<String>, ApiError> {
    let Some(value) = body.take(field) else { return Ok(Vec::new()) };
    read_names(body, field, &value, is_name)
}

fn read_names(
    body: &Fields,
    field: &'static str,
    value: &Value,
    is_name: fn(&str) -> bool,
) -> Result<Vec<String>, ApiError> {
    let read =
        |item: &Value| item.as_str().filter(|name| name.len() <= NAME_CHARS_MAX && is_name(name)).map(str::to_owned);
    let items = value.as_array().filter(|items| items.len() <= NAMES_MAX);
    match items.and_then(|items| items.iter().map(read).collect::<Option<Vec<String>>>()) {
        Some(mut names) => {
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Ok(names)
        }
        None => body.refuse(field, value, &format!("an array of at most {NAMES_MAX} names")),
    }
}

/// Without the field, all that the server has.
fn tools(state: &AppState, body: &mut Fields) -> Result<Vec<String>, ApiError> {
    match body.take("tools") {
        Some(value) => read_names(body, "tools", &value, is_word),
        None => Ok(state.tools().into_iter().map(|tool| tool.name).collect()),
    }
}

fn skills(state: &AppState, body: &mut Fields) -> Result<Vec<String>, ApiError> {
    let Some(value) = body.take("skills") else { return Ok(Vec::new()) };
    let asked = match &value {
        Value::String(all) if all == "all" => None,
        Value::String(_) => return body.refuse("skills", &value, "`all`, or an array of names"),
        names => Some(read_names(body, "skills", names, is_word)?),
    };
    if asked.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let (known, _) = state.agents.skills()?.skills().map_err(|error| ApiError::internal(error.to_string()))?;
    let known: Vec<String> = known.into_iter().map(|skill| skill.name).collect();
    let Some(asked) = asked else { return Ok(known) };
    match asked.iter().find(|name| !known.contains(name)) {
        None => Ok(asked),
        Some(name) => {
            let message = format!("there is no skill `{name}`\nhint: GET /v1/agent/skills lists them");
            Err(ApiError::invalid("skills", message))
        }
    }
}

/// An identifier of Python, in ASCII.
fn is_word(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_part) && !name.as_bytes()[0].is_ascii_digit()
}

fn is_module(name: &str) -> bool {
    name.split('.').all(is_word)
}
