//! Settings of the agent: where sessions lie, what they may take, and who acts in them.

use std::path::PathBuf;
use std::time::Duration;

use codeact_agent::{ActionFormat, EndpointOptions, Profile};

use crate::config::{AgentTable, Options};
use crate::{AgentSettings, EndpointSettings, StateError};

const SECONDS_MAX: f64 = 86_400.0;
const COUNT_MAX: usize = 1_000_000;

impl Options {
    pub(super) fn agent(&self, problems: &mut Vec<String>) -> AgentSettings {
        let table: &AgentTable = &self.config.agent;
        let state_dir = self.state_dir.clone().or_else(|| table.state_dir.clone()).or_else(home);
        if state_dir.is_none() {
            problems.push(StateError::NoHome.to_string());
        }
        let default = AgentSettings::new(state_dir.unwrap_or_default());
        let bytes = |mebibytes: std::num::NonZeroU32| u64::from(mebibytes.get()) << 20;
        let settings = AgentSettings {
            skills_dir: table.skills_dir.clone(),
            approval: table.approval.unwrap_or(default.approval),
            idle_time_max: match table.idle_seconds {
                Some(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Duration::from_secs_f64(seconds),
                Some(seconds) => {
                    problems
                        .push(format!("`agent.idle_seconds` is {seconds}; it must be above 0, at most {SECONDS_MAX}"));
                    default.idle_time_max
                }
                None => default.idle_time_max,
            },
            session_bytes_max: table.session_mib_max.map_or(default.session_bytes_max, bytes),
            file_bytes_max: table.file_mib_max.map_or(default.file_bytes_max, bytes),
            sessions_per_key_max: table.sessions_per_key_max.unwrap_or(default.sessions_per_key_max),
            turns_per_key_max: table.turns_per_key_max.unwrap_or(default.turns_per_key_max),
            keep_execute_stop: table.keep_execute_stop.unwrap_or(default.keep_execute_stop),
            ..default
        };
        for (key, count) in
            [("sessions_per_key_max", settings.sessions_per_key_max), ("turns_per_key_max", settings.turns_per_key_max)]
        {
            if !(1..=COUNT_MAX).contains(&count) {
                problems.push(format!("`agent.{key}` is {count}; it must be from 1 to {COUNT_MAX}"));
            }
        }
        settings
    }

    pub(super) fn endpoint(&self, problems: &mut Vec<String>) -> Option<EndpointSettings> {
        let table = &self.config.agent;
        let model = self.endpoint_model.clone().or_else(|| table.endpoint_model.clone());
        let Some(url) = self.endpoint.clone().or_else(|| table.endpoint.clone()) else {
            if model.is_some() || table.endpoint_profile.is_some() {
                problems.push("the model or the wording of an endpoint is given, and no endpoint".to_owned());
            }
            return None;
        };
        let name = table.endpoint_profile.as_deref();
        let profile = name.map_or_else(|| Some(Profile::codeactinstruct()), Profile::named);
        let profile = profile.unwrap_or_else(|| {
            let known = Profile::NAMES.join("`, `");
            problems.push(format!("`agent.endpoint_profile` must be one of `{known}`"));
            Profile::codeactinstruct()
        });
        let options = EndpointOptions { model, ..EndpointOptions::new(url) };
        Some(EndpointSettings { options, profile, format: ActionFormat::Code })
    }
}

/// Where programs of this user keep their state.
fn home() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    state.map(|state| state.join("codeact"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{ApprovalMode, Options, ServeConfig};

    fn options(text: &str) -> Options {
        let config = ServeConfig::parse(text, Path::new("serve.toml")).unwrap();
        Options { config, state_dir: Some("state".into()), ..Options::default() }
    }

    #[test]
    fn a_model_elsewhere_takes_the_place_of_one_here() {
        let text = "[agent]\nendpoint = 'http://127.0.0.1:1/v1'\nendpoint_model = 'm'\nendpoint_profile = 'chat'\napproval = 'ask'\n";
        let settings = options(text).resolve().unwrap();
        let endpoint = settings.endpoint.unwrap();
        assert_eq!((endpoint.options.model.as_deref(), endpoint.profile.name()), (Some("m"), "chat"));
        assert_eq!(settings.agent.approval, ApprovalMode::Ask);
        let both = Options { model: Some("x".to_owned()), ..options(text) };
        assert!(both.resolve().unwrap_err().to_string().contains("two answers"));
    }

    #[test]
    fn settings_of_the_agent_that_cannot_be_are_told() {
        let text = "[model]\npath = 'm'\n[agent]\nidle_seconds = 0.0\nturns_per_key_max = 0\nendpoint_model = 'm'\n";
        let message = options(text).resolve().unwrap_err().to_string();
        for part in ["`agent.idle_seconds` is 0", "`agent.turns_per_key_max` is 0", "no endpoint"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
