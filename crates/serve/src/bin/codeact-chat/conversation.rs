//! Conversations of one program: turns, the way back, and branches.

use std::io::Write;

use anyhow::{bail, ensure};
use codeact_agent::{Agent, Event, Mark, Model, Turn};
use codeact_sandbox::Restored;
use codeact_serve::Console;

use crate::asking::Asker;

/// What code did outside of the workspace is not its own to take back.
const BEYOND: &str = "what code did elsewhere (tools, network) stays done";
const TASK_CHARS_SHOWN: usize = 60;

/// All conversations, of which one goes on.
pub struct Conversations {
    all: Vec<Conversation>,
    current: usize,
}

/// One of them.
pub struct Conversation {
    pub agent: Agent,
    pub turns: Vec<Told>,
    /// The conversation and the turn that it goes on from.
    origin: Option<(usize, usize)>,
}

/// A turn, as it was told.
#[derive(Clone)]
pub struct Told {
    pub task: String,
    before: Mark,
    pub events: Vec<Event>,
}

impl Conversations {
    pub fn new(agent: Agent) -> Conversations {
        Conversations { all: vec![Conversation { agent, turns: Vec::new(), origin: None }], current: 0 }
    }

    /// The one that goes on.
    pub fn current(&mut self) -> &mut Conversation {
        &mut self.all[self.current]
    }

    /// All agents, for what holds for each of them.
    pub fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.all.iter_mut().map(|conversation| &mut conversation.agent)
    }

    /// A second conversation from the end of `turn` on (0: from the start), which goes on from now.
    ///
    /// # Errors
    /// When there is no such turn, or Python cannot be branched.
    pub fn branch(&mut self, turn: Option<usize>, model: Box<dyn Model>) -> anyhow::Result<String> {
        let from = self.current;
        let conversation = self.current();
        let turn = turn.unwrap_or(conversation.turns.len());
        let mark = conversation.mark_after(turn)?;
        let (agent, restored) = conversation.agent.branch(&mark, model, None)?;
        let turns = conversation.turns[..turn].to_vec();
        self.all.push(Conversation { agent, turns, origin: Some((from, turn)) });
        self.current = self.all.len() - 1;
        let (number, from) = (self.current + 1, from + 1);
        let told = format!("conversation {number} goes on from the end of turn {turn} of {from}");
        Ok(format!("{told}{}", how(&restored)))
    }

    /// Another one goes on, by its number.
    ///
    /// # Errors
    /// When there is none.
    pub fn switch(&mut self, number: usize) -> anyhow::Result<String> {
        ensure!(
            (1..=self.all.len()).contains(&number),
            "there is no conversation {number}\nhint: /branches lists them"
        );
        self.current = number - 1;
        Ok(self.line(self.current))
    }

    /// One line for each.
    pub fn lines(&self) -> String {
        let lines = (0..self.all.len()).map(|index| {
            let mark = if index == self.current { '*' } else { ' ' };
            format!("{mark} {}", self.line(index))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, index: usize) -> String {
        let Conversation { turns, origin, .. } = &self.all[index];
        let origin = origin.map(|(from, turn)| format!(", from turn {turn} of {}", from + 1)).unwrap_or_default();
        let last = turns.last().map(|told| {
            let task: String = told.task.lines().next().unwrap_or_default().chars().take(TASK_CHARS_SHOWN).collect();
            format!(": {task}")
        });
        format!("conversation {}, {} turns{origin}{}", index + 1, turns.len(), last.unwrap_or_default())
    }
}

impl Conversation {
    /// One turn, shown as it happens. `None`: it failed, and that was shown; the conversation can go on.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn run_turn<W: Write>(
        &mut self,
        task: &str,
        console: &mut Console<W>,
        asker: &Asker,
    ) -> anyhow::Result<Option<Turn>> {
        let interrupter = self.agent.interrupter();
        let before = self.agent.mark();
        let mut events = Vec::new();
        let mut shown = Ok(());
        crate::begin_turn(interrupter.clone());
        let result = self.agent.run_turn(task, &mut |event| {
            if matches!(event, Event::ExecEnd { .. }) {
                asker.end_calls();
            }
            if shown.is_ok() {
                shown = console.show(&event);
                if shown.is_err() {
                    // Nobody reads any more, so nothing more should run.
                    interrupter.interrupt();
                }
            }
            keep(&mut events, event);
        });
        crate::end_turn();
        asker.end_calls();
        self.turns.push(Told { task: task.to_owned(), before, events });
        shown?;
        Ok(result.ok())
    }

    /// Takes back the last turns.
    ///
    /// # Errors
    /// When there are fewer, or Python cannot go back.
    pub fn undo(&mut self, count: usize) -> anyhow::Result<String> {
        let turns = self.turns.len();
        if count == 0 || count > turns {
            bail!("there are {turns} turns that can be taken back");
        }
        let restored = self.agent.undo_to(&self.turns[turns - count].before)?;
        self.turns.truncate(turns - count);
        let what = if count == 1 { "1 turn is".to_owned() } else { format!("{count} turns are") };
        Ok(format!("{what} taken back; {BEYOND}{}", how(&restored)))
    }

    /// All events, for those who write the conversation down.
    pub fn events(&self) -> Vec<Event> {
        self.turns.iter().flat_map(|told| told.events.iter().cloned()).collect()
    }

    /// What was asked first, on one line.
    pub fn title(&self) -> String {
        let first = self.turns.first().and_then(|told| told.task.lines().next()).unwrap_or("Conversation");
        first.chars().take(TASK_CHARS_SHOWN).collect()
    }

    fn mark_after(&self, turn: usize) -> anyhow::Result<Mark> {
        let turns = self.turns.len();
        ensure!(turn <= turns, "there is no turn {turn}; the conversation has {turns}");
        Ok(self.turns.get(turn).map_or_else(|| self.agent.mark(), |next| next.before))
    }
}

/// What must be known about the way back.
fn how(restored: &Restored) -> String {
    match restored {
        Restored::Resumed => String::new(),
        Restored::WithoutFiles { reason } => format!("\nfiles are not as they were: {reason}"),
        Restored::Replayed { reason, differences } if differences.is_empty() => {
            format!("\nits code was run again: {reason}")
        }
        Restored::Replayed { reason, differences } => {
            format!("\nits code was run again: {reason}; not all came out as before:\n  {}", differences.join("\n  "))
        }
    }
}

/// Adds an event; pieces of one text become one.
fn keep(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), &event) {
        (Some(Event::Token { text }), Event::Token { text: more })
        | (Some(Event::CodeDelta { text }), Event::CodeDelta { text: more })
        | (Some(Event::SolutionDelta { text }), Event::SolutionDelta { text: more }) => text.push_str(more),
        (
            Some(Event::ExecStdout { stream, text, is_late }),
            Event::ExecStdout { stream: same, text: more, is_late: also },
        ) if stream == same && is_late == also => text.push_str(more),
        _ => events.push(event),
    }
}
