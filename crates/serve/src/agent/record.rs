//! What is kept of a session: settings, turns, and what its file on the disk says.

use codeact_agent::{ActionFormat, AgentOptions, Limits, Mark, Overflow, Profile, TurnEnd};
use codeact_chat::Message;
use codeact_engine::Sampling;
use codeact_sandbox::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Caller;

const MIB: u64 = 1 << 20;

/// Whether code waits for somebody to look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalMode {
    /// Each action waits for a decision.
    Ask,
    /// Everything runs.
    #[default]
    Auto,
}

impl ApprovalMode {
    /// The mode of this name.
    pub fn named(name: &str) -> Option<ApprovalMode> {
        match name {
            "ask" => Some(ApprovalMode::Ask),
            "auto" => Some(ApprovalMode::Auto),
            _ => None,
        }
    }

    /// `ask` or `auto`.
    pub fn name(self) -> &'static str {
        match self {
            ApprovalMode::Ask => "ask",
            ApprovalMode::Auto => "auto",
        }
    }
}

/// Everything about a session but its conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Which key made it; `None`: it was made where there are no keys.
    pub owner: Option<String>,
    pub title: Option<String>,
    pub model: String,
    pub profile: String,
    pub action_format: String,
    pub approval: ApprovalMode,
    pub system_prompt: Option<String>,
    pub tools: Vec<String>,
    pub packages: Vec<String>,
    pub skills: Vec<String>,
    pub overflow: Overflow,
    pub limits: SessionLimits,
    pub sampling: SessionSampling,
    pub parent: Option<Parent>,
    pub turns: Vec<TurnRecord>,
    /// What stands between its code and this machine.
    pub protection: Value,
    /// Id of the newest event when this was written.
    pub last_event: u64,
    /// A turn is running: after a crash, the one that has to be closed.
    pub running: Option<RunningTurn>,
}

/// Where a branch comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub session: String,
    /// The last turn that both share.
    pub turn: usize,
}

/// A turn that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TurnRecord {
    /// Counted from 1.
    pub turn: usize,
    pub content: String,
    pub answer: Option<String>,
    pub end: TurnEnd,
    pub steps: usize,
    pub executions: usize,
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub seconds: f64,
    pub first_event: u64,
    pub last_event: u64,
    /// Where conversation and Python were before it.
    pub before: Mark,
}

/// A turn that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningTurn {
    pub turn: usize,
    pub content: String,
    pub first_event: u64,
}

/// Bounds on the turns of a session and on its Python.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionLimits {
    pub steps: usize,
    pub executions: usize,
    /// Of all replies of a turn; `None`: no bound of its own.
    pub tokens: Option<usize>,
    /// Of a turn.
    pub seconds: Option<f64>,
    pub observation_tokens: usize,
    pub cell_seconds: u64,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub processes: u64,
}

/// How replies are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionSampling {
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: Option<usize>,
    pub seed: u64,
    pub max_tokens: usize,
}

/// A conversation between two turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub messages: Vec<Message>,
    pub now: Mark,
}

impl SessionLimits {
    pub fn new(limits: &Limits, policy: &Policy) -> SessionLimits {
        SessionLimits {
            steps: limits.steps_max,
            executions: limits.executions_max,
            tokens: limits.turn_tokens_max,
            seconds: limits.turn_time_max.map(|time| time.as_secs_f64()),
            observation_tokens: limits.observation_tokens_max,
            cell_seconds: policy.limits.wall_ms_max / 1000,
            memory_mib: policy.limits.memory_bytes_max / MIB,
            disk_mib: policy.limits.disk_bytes_max / MIB,
            processes: policy.limits.processes_max,
        }
    }

    /// `policy` with these limits.
    pub fn apply(&self, policy: &Policy) -> Policy {
        let limits = codeact_sandbox::Limits {
            wall_ms_max: self.cell_seconds * 1000,
            memory_bytes_max: self.memory_mib * MIB,
            disk_bytes_max: self.disk_mib * MIB,
            processes_max: self.processes,
            ..policy.limits.clone()
        };
        Policy { limits, ..policy.clone() }
    }
}

impl SessionSampling {
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
            max_new_tokens: self.max_tokens,
            ..Sampling::default()
        }
    }
}

impl SessionRecord {
    /// Whose it is.
    pub fn caller(&self) -> Caller {
        Caller(self.owner.as_deref().map(Arc::from))
    }

    /// What its agent is set up with, but for descriptions of tools and skills.
    pub fn options(&self) -> Option<AgentOptions> {
        let profile = Profile::named(&self.profile)?;
        let limits = Limits {
            steps_max: self.limits.steps,
            executions_max: self.limits.executions,
            turn_tokens_max: self.limits.tokens,
            turn_time_max: self.limits.seconds.map(Duration::from_secs_f64),
            observation_tokens_max: self.limits.observation_tokens,
            ..Limits::of(&profile)
        };
        Some(AgentOptions {
            format: ActionFormat::named(&self.action_format)?,
            limits,
            overflow: self.overflow,
            system_prompt: self.system_prompt.clone(),
            ..AgentOptions::new(profile)
        })
    }

    /// As callers see it. `with_turns`: all of it.
    pub fn object(&self, state: &str, last_event: u64, pending: Value, with_turns: bool) -> Value {
        let mut object = json!({"id": self.id, "object": "agent.session"});
        let Ok(Value::Object(all)) = serde_json::to_value(self) else { return object };
        for (name, value) in all {
            if !["id", "owner", "running", "last_event", "turns"].contains(&name.as_str()) {
                object[name] = value;
            }
        }
        object["state"] = json!(state);
        if with_turns {
            object["turns"] = self.turns.iter().map(TurnRecord::object).collect();
        }
        object["last_event"] = json!(last_event);
        object["pending_approval"] = pending;
        object
    }
}

impl TurnRecord {
    fn object(&self) -> Value {
        let mut object = serde_json::to_value(self).expect("a turn has only text keys");
        if let Some(fields) = object.as_object_mut() {
            fields.shift_remove("before");
        }
        object
    }
}
