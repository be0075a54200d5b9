//! A conversation with prepared replies and a real Python, and what is asked of it.

use codeact_agent::{
    Agent, AgentError, AgentOptions, Ask, Completion, Event, Model, Profile, Room, ScriptedModel, Turn,
};
use codeact_chat::{Message, Role};
use codeact_sandbox::{Files, Policy, Session};
use std::sync::{Arc, Mutex};

pub fn options() -> AgentOptions {
    AgentOptions::new(Profile::quickstart())
}

pub fn agent_of(model: impl Model + 'static, options: AgentOptions) -> Agent {
    agent_and_files(model, options).0
}

pub fn agent_and_files(model: impl Model + 'static, options: AgentOptions) -> (Agent, Arc<Files>) {
    let session = Session::start(&Policy::default()).unwrap();
    let files = session.files();
    (Agent::new(Box::new(model), Box::new(session), options), files)
}

pub fn agent(replies: &[&str]) -> Agent {
    agent_of(ScriptedModel::new(replies.iter().copied()), options())
}

pub fn run(agent: &mut Agent, task: &str) -> (Turn, Vec<Event>) {
    let mut events = Vec::new();
    let turn = agent.run_turn(task, &mut |event| events.push(event)).unwrap();
    (turn, events)
}

pub fn contents(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

pub fn assert_alternates(messages: &[Message]) {
    assert_eq!(messages[0].role, Role::System);
    for (index, message) in messages[1..].iter().enumerate() {
        let expected = if index % 2 == 0 { Role::User } else { Role::Assistant };
        assert_eq!(message.role, expected, "message {index} of {messages:#?}");
    }
}

/// Prompts that a model was given.
pub type Seen = Arc<Mutex<Vec<Vec<Message>>>>;

/// A script that remembers what it was shown, counts words, and has a context of some.
pub struct Counted {
    pub script: ScriptedModel,
    pub seen: Seen,
    /// Words of a prompt; `None`: any number, and nothing is counted.
    pub words_max: Option<usize>,
}

impl Counted {
    pub fn new(replies: &[&str], words_max: Option<usize>) -> Counted {
        Counted { script: ScriptedModel::new(replies.iter().copied()), seen: Seen::default(), words_max }
    }
}

pub fn words(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.content.split_whitespace().count()).sum()
}

impl Model for Counted {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        self.seen.lock().unwrap().push(ask.messages.to_vec());
        let completion = self.script.complete(ask, on_text)?;
        let completion_tokens = completion.text.split_whitespace().count();
        Ok(Completion { prompt_tokens: words(ask.messages), completion_tokens, ..completion })
    }

    fn room(&self, messages: &[Message]) -> Result<Option<Room>, AgentError> {
        let room = |prompt_tokens_max| Room { prompt_tokens: words(messages), prompt_tokens_max };
        Ok(self.words_max.map(room))
    }
}
