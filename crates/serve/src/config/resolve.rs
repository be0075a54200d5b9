//! Options and file together: every value that the server runs with, checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use codeact_engine::EngineLimits;
use codeact_eval::ServingArgs;
use codeact_model::serving::ServingOptions;

use crate::edge::{ApiKeys, Connections, EdgeSettings, Hosts, LogSettings, Origins};
use crate::models::{ADAPTERS_MAX, is_adapter_name};
use crate::{AgentSettings, ConfigError, EndpointSettings, ServeConfig, ServeLimits};

/// Requests and connections are counted in 16 bits, which is more than a process has files.
const COUNT_MAX: usize = 65_535;
const SECONDS_MAX: f64 = 86_400.0;
/// The least that says anything, and the most that can be read in the memory there is for it.
const BODY_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 << 20;
/// More threads than any processor has.
const THREADS_MAX: usize = 4096;

/// What the command line says. `None` and empty leave it to the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The settings file, or an empty one.
    pub config: ServeConfig,
    /// A folder, a GGUF file, or a name on the hub.
    pub model: Option<String>,
    /// What requests call it.
    pub name: Option<String>,
    /// `NAME=DIR`, or `DIR` for one that is part of the model.
    pub adapters: Vec<String>,
    /// Folders below it may be loaded by requests.
    pub adapter_dir: Option<PathBuf>,
    /// How the model is kept.
    pub serving: ServingArgs,
    /// Longest sequence in tokens.
    pub context: Option<usize>,
    /// Address to listen on.
    pub host: Option<IpAddr>,
    /// Port to listen on.
    pub port: Option<u16>,
    /// File with one key a line.
    pub api_keys: Option<PathBuf>,
    /// Python processes at once.
    pub sessions: Option<usize>,
    /// Folder for what is kept of sessions.
    pub state_dir: Option<PathBuf>,
    /// Address of a model elsewhere, in the place of one in this process.
    pub endpoint: Option<String>,
    /// Its name there.
    pub endpoint_model: Option<String>,
    /// Ignore unknown fields.
    pub is_lenient: bool,
    /// Log prompts and answers.
    pub with_prompts: bool,
}

/// Every value that the server runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A folder, a GGUF file, or a name on the hub.
    pub model: String,
    /// What requests call it.
    pub name: String,
    /// An adapter that is part of the model.
    pub adapter: Option<PathBuf>,
    /// Adapters by the names that requests use for them.
    pub adapters: Vec<(String, PathBuf)>,
    /// Folders below it may be loaded by requests.
    pub adapter_dir: Option<PathBuf>,
    /// How the model is kept.
    pub serving: ServingOptions,
    /// How much it does at once.
    pub engine: EngineLimits,
    /// Where to listen.
    pub address: SocketAddr,
    /// How requests come in.
    pub edge: EdgeSettings,
    /// How connections are kept.
    pub connections: Connections,
    /// Bounds on what requests may ask for.
    pub limits: ServeLimits,
    /// How sessions are kept.
    pub agent: AgentSettings,
    /// A model elsewhere, in the place of `model`.
    pub endpoint: Option<EndpointSettings>,
}

impl Options {
    /// Puts the options over the file, and the defaults under it.
    ///
    /// # Errors
    /// With all values that cannot be.
    pub fn resolve(self) -> Result<Settings, ConfigError> {
        let mut problems = Vec::new();
        let ServeConfig { model: table, listen, .. } = &self.config;
        let model = self.model.clone().or_else(|| table.path.clone()).unwrap_or_default();
        let endpoint = self.endpoint(&mut problems);
        match (&endpoint, model.is_empty()) {
            (None, true) => problems
                .push("no model\nhint: `--model DIR`, or `model.path` in the settings; or `--endpoint URL`".to_owned()),
            (Some(_), false) => problems.push("a model and an endpoint are two answers to one question".to_owned()),
            _ => {}
        }
        let name = self.name.clone().or_else(|| table.name.clone()).unwrap_or_else(|| model.clone());
        let (adapter, adapters) = self.adapters(&name, &mut problems);
        let host = self.host.or(listen.host).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let settings = Settings {
            adapter_dir: self.adapter_dir.clone().or_else(|| table.adapter_dir.clone()),
            serving: self.serving_args(&mut problems).options(),
            engine: self.engine(&mut problems),
            address: SocketAddr::new(host, self.port.or(listen.port).unwrap_or(8080)),
            edge: self.edge(host, &mut problems),
            connections: self.connections(&mut problems),
            limits: self.limits(&mut problems),
            agent: self.agent(&mut problems),
            endpoint,
            model,
            name,
            adapter,
            adapters,
        };
        if let Some(dir) = settings.adapter_dir.as_ref().filter(|dir| !dir.is_dir()) {
            problems.push(format!("`adapter_dir`: `{}` is not a folder", dir.display()));
        }
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError::Problems(problems)) }
    }

    /// * `served`: what requests call the model itself.
    fn adapters(&self, served: &str, problems: &mut Vec<String>) -> (Option<PathBuf>, Vec<(String, PathBuf)>) {
        let (mut part, mut named) = (None, Vec::new());
        for typed in &self.adapters {
            match typed.split_once('=') {
                Some((name, folder)) => named.push((name.to_owned(), PathBuf::from(folder))),
                None if part.is_none() => part = Some(PathBuf::from(typed)),
                None => problems.push(format!("`--adapter {typed}`: a second one needs a name: `NAME={typed}`")),
            }
        }
        let of_file = self.config.model.adapters.iter();
        let of_file = of_file.filter(|(name, _)| !named.iter().any(|(typed, _)| typed == *name));
        let of_file: Vec<(String, PathBuf)> = of_file.map(|(name, folder)| (name.clone(), folder.clone())).collect();
        named.extend(of_file);
        if named.len() > ADAPTERS_MAX {
            problems.push(format!("there are {} adapters with names; at most {ADAPTERS_MAX} have room", named.len()));
        }
        for (index, (name, _)) in named.iter().enumerate() {
            if name == served {
                problems.push(format!("adapter `{name}` has the name of the model"));
            }
            if !is_adapter_name(name) {
                problems.push(format!("adapter `{name}`: a name has letters, digits, `.`, `_` and `-` only"));
            }
            if named[..index].iter().any(|(earlier, _)| earlier == name) {
                problems.push(format!("adapter `{name}` is there twice"));
            }
        }
        (part, named)
    }

    fn serving_args(&self, problems: &mut Vec<String>) -> ServingArgs {
        let (typed, table) = (&self.serving, &self.config.model);
        if table.dtype.is_some() && table.quant.is_some() {
            problems.push("`model.dtype` and `model.quant` are two answers to one question".to_owned());
        }
        let threads = typed.threads.or(table.threads);
        if let Some(threads) = threads.filter(|threads| threads.get() > THREADS_MAX) {
            problems.push(format!("`threads` is {threads}; it must be at most {THREADS_MAX}"));
        }
        let is_typed = typed.dtype.is_some() || typed.quant.is_some();
        ServingArgs {
            dtype: if is_typed { typed.dtype } else { table.dtype },
            quant: if is_typed { typed.quant } else { table.quant },
            threads,
            kv_memory: typed.kv_memory.or(table.kv_memory),
        }
    }

    fn engine(&self, problems: &mut Vec<String>) -> EngineLimits {
        let (table, default) = (&self.config.limits, EngineLimits::default());
        let is_guessing = self.config.model.speculation.unwrap_or(true);
        let limits = EngineLimits {
            running_max: table.running_max.unwrap_or(default.running_max),
            waiting_max: table.waiting_max.unwrap_or(default.waiting_max),
            prompt_tokens_per_pass: table.prompt_tokens_per_pass.unwrap_or(default.prompt_tokens_per_pass),
            context_tokens_max: self.context.or(self.config.model.context),
            draft_tokens_max: if is_guessing { default.draft_tokens_max } else { 0 },
            ..default
        };
        if let Err(error) = limits.check() {
            problems.push(error.to_string());
        }
        limits
    }

    fn edge(&self, host: IpAddr, problems: &mut Vec<String>) -> EdgeSettings {
        let (listen, table, default) = (&self.config.listen, &self.config.limits, EdgeSettings::default());
        let origins = match listen.origins.as_deref().map(Origins::new) {
            Some(Ok(origins)) => origins,
            Some(Err(what)) => {
                problems.push(format!("`listen.origins`: {what}"));
                default.origins.clone()
            }
            None => default.origins.clone(),
        };
        let keys = self.api_keys.as_ref().or(listen.api_keys.as_ref()).map(|path| ApiKeys::read(path));
        if let Some(Err(error)) = &keys {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            problems.push(format!("{error}{}", source.unwrap_or_default()));
        }
        for host in listen.hosts.iter().filter(|host| !Hosts::is_host(host)) {
            problems.push(format!("`listen.hosts`: `{host}` is not a name or an address, with a port or without"));
        }
        let log = &self.config.log;
        EdgeSettings {
            hosts: Hosts::new(&listen.hosts, host.is_loopback()),
            origins,
            keys: keys.and_then(Result::ok),
            requests_max: count("requests_max", table.requests_max, default.requests_max, problems),
            requests_per_key_max: count(
                "requests_per_key_max",
                table.requests_per_key_max,
                default.requests_per_key_max,
                problems,
            ),
            body_bytes_max: body_bytes(table.body_bytes_max, default.body_bytes_max, problems),
            request_time_max: time(
                "request_seconds_max",
                table.request_seconds_max,
                default.request_time_max,
                problems,
            ),
            is_lenient: self.is_lenient || listen.lenient,
            log: LogSettings { requests: log.requests.unwrap_or(true), prompts: self.with_prompts || log.prompts },
            ..default
        }
    }

    fn connections(&self, problems: &mut Vec<String>) -> Connections {
        let (table, default) = (&self.config.limits, Connections::default());
        Connections {
            count_max: count("connections_max", table.connections_max, default.count_max, problems),
            drain_time_max: time("drain_seconds", table.drain_seconds, default.drain_time_max, problems),
            ..default
        }
    }

    fn limits(&self, problems: &mut Vec<String>) -> ServeLimits {
        let (table, default) = (&self.config.limits, ServeLimits::default());
        let sessions_max = self.sessions.or(table.sessions_max);
        if table.reply_tokens_max == Some(0) || table.session_reply_tokens_max == Some(0) {
            problems.push("a reply must be allowed at least one token".to_owned());
        }
        ServeLimits {
            sessions_max: count("sessions_max", sessions_max, default.sessions_max, problems),
            session_reply_tokens_max: table.session_reply_tokens_max.unwrap_or(default.session_reply_tokens_max),
            reply_tokens_max: table.reply_tokens_max,
        }
    }
}

pub(super) fn count(key: &str, value: Option<usize>, default: usize, problems: &mut Vec<String>) -> usize {
    let count = value.unwrap_or(default);
    if !(1..=COUNT_MAX).contains(&count) {
        problems.push(format!("`limits.{key}` is {count}; it must be from 1 to {COUNT_MAX}"));
    }
    count
}

fn body_bytes(value: Option<usize>, default: usize, problems: &mut Vec<String>) -> usize {
    let bytes = value.unwrap_or(default);
    if !BODY_BYTES.contains(&bytes) {
        let (least, most) = (BODY_BYTES.start(), BODY_BYTES.end());
        problems.push(format!("`limits.body_bytes_max` is {bytes}; it must be from {least} to {most}"));
    }
    bytes
}

fn time(key: &str, value: Option<f64>, default: Duration, problems: &mut Vec<String>) -> Duration {
    let Some(seconds) = value else { return default };
    if seconds > 0.0 && seconds <= SECONDS_MAX {
        return Duration::from_secs_f64(seconds);
    }
    problems.push(format!("`limits.{key}` is {seconds}; it must be above 0, at most {SECONDS_MAX}"));
    default
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn options(text: &str) -> Options {
        let config = ServeConfig::parse(text, Path::new("serve.toml")).unwrap();
        Options { config, state_dir: Some("state".into()), ..Options::default() }
    }

    fn with_model(text: &str) -> Options {
        Options { model: Some("m".to_owned()), ..options(text) }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text = "[model]\npath = 'a'\nquant = 'q8_0'\ncontext = 100\nadapters = { sql = 'x', qa = 'y' }\n[listen]\nport = 1\n";
        let typed = ["sql=z".to_owned(), "whole".to_owned()];
        let both = Options { port: Some(2), adapters: typed.to_vec(), context: Some(50), ..options(text) };
        let settings = both.resolve().unwrap();
        assert_eq!((&*settings.model, &*settings.name, settings.address.port()), ("a", "a", 2));
        assert_eq!(settings.engine.context_tokens_max, Some(50));
        assert_eq!(settings.adapter, Some(PathBuf::from("whole")));
        let named = [("sql".to_owned(), PathBuf::from("z")), ("qa".to_owned(), PathBuf::from("y"))];
        assert_eq!(settings.adapters, named);
        assert_eq!(settings.serving, options(text).resolve().unwrap().serving);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = "[model]\ndtype = 'f32'\nquant = 'q4_k'\nadapter_dir = 'no-such-folder'\n[listen]\norigins = ['x']\napi_keys = 'no-such-file'\n\
                    [limits]\nrequests_max = 0\nrunning_max = 0\ndrain_seconds = -1.0\nrequest_seconds_max = nan\n";
        let typed = ["a=x".to_owned(), "a=y".to_owned(), "b c=z".to_owned()];
        let text = text.replace("[limits]\n", "hosts = ['http://x']\n[limits]\nbody_bytes_max = 0\n");
        let text = text.replace("[model]\n", "[model]\nthreads = 1000000\n");
        let message = Options { adapters: typed.to_vec(), ..options(&text) }.resolve().unwrap_err().to_string();
        let expected = [
            "no model",
            "`listen.hosts`: `http://x`",
            "`limits.body_bytes_max` is 0",
            "`threads` is 1000000",
            "`model.dtype` and `model.quant`",
            "`x` is not an origin",
            "no-such-file",
            "`limits.requests_max` is 0",
            "`running_max` is 0",
            "`limits.drain_seconds` is -1",
            "`limits.request_seconds_max` is NaN",
            "adapter `a` is there twice",
            "adapter `b c`",
            "`no-such-folder` is not a folder",
        ];
        for part in expected {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn adapters_have_room_and_names_of_their_own() {
        let faults = |adapters: Vec<String>| {
            let options = Options { name: Some("base".to_owned()), adapters, ..with_model("") };
            options.resolve().err().map(|error| error.to_string()).unwrap_or_default()
        };
        let many = |count: usize| (0..count).map(|index| format!("a{index}=x")).collect::<Vec<_>>();
        assert_eq!(faults(many(ADAPTERS_MAX)), "");
        assert!(faults(many(ADAPTERS_MAX + 1)).contains("65 adapters"));
        assert!(faults(vec!["base=x".to_owned()]).contains("`base` has the name of the model"));
    }

    #[test]
    fn a_server_that_others_reach_is_called_by_any_name() {
        let settings = |text: &str| with_model(text).resolve().unwrap();
        assert_eq!(settings("").edge.hosts, Hosts::new(&[], true));
        assert_eq!(settings("[listen]\nhost = '0.0.0.0'").edge.hosts, Hosts::new(&[], false));
    }
}
