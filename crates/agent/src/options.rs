//! What a conversation is set up with: wording, form of the actions, bounds, tools.

use crate::Profile;
use codeact_chat::action::ActionFormat;
use codeact_sandbox::Tool;
use std::time::Duration;

/// Bounds on one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Replies of the model, each with one action.
    pub steps_max: usize,
    /// Actions that run; to be raised together with `steps_max`. When they are used up the model is told, and may still
    /// answer.
    pub executions_max: usize,
    /// Tokens of all replies of the turn.
    pub turn_tokens_max: Option<usize>,
    /// Wall-clock time of the turn. While somebody thinks about an approval it stands still.
    pub turn_time_max: Option<Duration>,
    /// Solutions that the wording of [`Profile::codeactinstruct`] offers. A turn ends with the first one.
    pub solutions_max: usize,
    /// Tokens of an observation that the model sees: the first and the last half of the text.
    pub observation_tokens_max: usize,
    /// The same in characters, for a model that does not count tokens.
    pub observation_chars_max: usize,
}

impl Limits {
    /// What turns in the wording of `profile` are given: those of the original programs.
    pub fn of(profile: &Profile) -> Limits {
        Limits { executions_max: profile.executions_max(), ..Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            steps_max: 5,
            executions_max: 5,
            turn_tokens_max: None,
            turn_time_max: None,
            solutions_max: 2,
            observation_tokens_max: 700,
            observation_chars_max: 2000,
        }
    }
}

/// What to do when a conversation does not fit into the context of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Show the model less of the oldest observations, and say so with `Event::ContextShortened`.
    #[default]
    Shorten,
    /// End the turn with `TurnEnd::Context`.
    Stop,
}

impl Overflow {
    /// The names that [`Overflow::named`] knows.
    pub const NAMES: [&'static str; 2] = ["shorten", "stop"];

    /// The policy of this name.
    pub fn named(name: &str) -> Option<Overflow> {
        [Overflow::Shorten, Overflow::Stop].into_iter().find(|overflow| overflow.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Overflow::NAMES[self as usize]
    }
}

/// What a conversation is set up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// The wording the model was trained with.
    pub profile: Profile,
    /// How the model writes its actions.
    pub format: ActionFormat,
    /// Bounds on each turn.
    pub limits: Limits,
    /// What to do when the context is full.
    pub overflow: Overflow,
    /// Stands in the place of the profile's system prompt. Tools and skills are described after it all the same.
    pub system_prompt: Option<String>,
    /// Functions that code can call, to be described in the system prompt. Whoever starts Python defines them there.
    pub tools: Vec<Tool>,
    /// A description of the skills that code can call, at the end of the system prompt.
    pub skills_prompt: Option<String>,
}

impl AgentOptions {
    /// Python as the form of actions, the limits of `profile`, no tools.
    pub fn new(profile: Profile) -> AgentOptions {
        AgentOptions {
            limits: Limits::of(&profile),
            profile,
            format: ActionFormat::Code,
            overflow: Overflow::default(),
            system_prompt: None,
            tools: Vec::new(),
            skills_prompt: None,
        }
    }

    /// The system message of the conversation: the prompt, then tools, then skills.
    pub fn system_message(&self) -> String {
        let prompt = match &self.system_prompt {
            Some(prompt) => prompt.clone(),
            None => self.profile.system_prompt(&self.limits, self.format),
        };
        let tools = self.profile.tools_prompt(&self.tools, self.format);
        let skills = self.skills_prompt.clone().unwrap_or_default();
        [prompt, tools, skills].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}
