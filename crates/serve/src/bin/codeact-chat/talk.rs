//! Somebody types: texts for the model, and lines for the program.

use std::collections::BTreeSet;
use std::io::Stdout;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use codeact_agent::Approver;
use codeact_sandbox::{Policy, Tool};
use codeact_serve::{Console, harmless};
use rustyline::error::ReadlineError;

use crate::asking::{Asker, edit};
use crate::commands::{self, Command};
use crate::conversation::Conversations;
use crate::source::Source;
use crate::{files, input, skills};

/// A program in which somebody talks with a model.
pub struct Talk {
    pub conversations: Conversations,
    pub source: Source,
    pub console: Console<Stdout>,
    pub asker: Arc<Asker>,
    /// Functions of this machine that code can call.
    pub tools: Vec<Tool>,
    /// Where skills are kept.
    pub skills: PathBuf,
    /// What skills are tested under.
    pub policy: Policy,
    /// Files that this conversation wrote.
    pub written: BTreeSet<PathBuf>,
}

/// What comes after a line.
enum Next {
    Line,
    Turn(String),
    Leave,
}

impl Talk {
    /// Reads and answers until somebody leaves.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut editor = input::editor()?;
        let history = input::state_folder().map(|folder| folder.join("history"));
        if let Some(path) = &history {
            // None yet.
            let _ = editor.load_history(path);
        }
        let mut is_leaving = false;
        loop {
            let text = match editor.readline("> ") {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) if !is_leaving => {
                    is_leaving = true;
                    eprintln!("Ctrl-C again or Ctrl-D leaves");
                    continue;
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            is_leaving = false;
            if text.trim().is_empty() {
                continue;
            }
            editor.add_history_entry(text.trim_end())?;
            if let Some(path) = &history {
                // A history that cannot be kept is no reason to stop.
                let _ = editor.append_history(path);
            }
            let next = match commands::parse(text.trim_end()) {
                Ok(None) => Ok(Next::Turn(input::joined(&text))),
                Ok(Some(command)) => self.obey(command),
                Err(message) => Err(anyhow::Error::msg(message)),
            };
            match next {
                Ok(Next::Line) => {}
                Ok(Next::Leave) => return Ok(()),
                Ok(Next::Turn(task)) => drop(self.turn(&task)?),
                Err(error) => self.console.fail(&harmless(&format!("{error:#}")))?,
            }
        }
    }

    /// One turn. Gives whether it ended with an answer.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn turn(&mut self, task: &str) -> anyhow::Result<bool> {
        let approver = Arc::clone(&self.asker) as Arc<dyn Approver>;
        let approver = self.asker.is_asking().then_some(approver);
        let conversation = self.conversations.current();
        conversation.agent.set_approver(approver);
        let turn = conversation.run_turn(task, &mut self.console, &self.asker)?;
        Ok(turn.is_some_and(|turn| turn.answer.is_some()))
    }

    fn obey(&mut self, command: Command) -> anyhow::Result<Next> {
        let current = self.conversations.current();
        let told = match command {
            Command::Quit => return Ok(Next::Leave),
            Command::Retry => return self.again(None),
            Command::Edit => {
                let task = current.turns.last().context("nothing was asked yet")?.task.clone();
                return self.again(Some(edit(&task, ".md")?));
            }
            Command::Help => commands::help(),
            Command::Undo(count) => current.undo(count)?,
            Command::Branch(turn) => self.conversations.branch(turn, self.source.model()?)?,
            Command::Branches => self.conversations.lines(),
            Command::Switch(number) => self.conversations.switch(number)?,
            Command::Files(folder) => files::list(current, &folder)?,
            Command::Get(path, to) => files::get(current, &path, to.as_deref())?,
            Command::Put(from, path) => files::put(current, &from, path.as_deref())?,
            Command::Save(path) => files::save(current, &path, &mut self.written)?,
            Command::Skills => skills::list(&self.skills)?,
            Command::KeepSkill(name, test) if test.is_empty() => {
                bail!("`{name}` needs a test\nhint: /skills save {name} assert {name}(..) == ..")
            }
            Command::KeepSkill(name, test) => {
                skills::keep(&self.skills, &self.policy, &name, &test, &current.events())?
            }
            Command::Tools => self.tools(),
            Command::Approve(how) => {
                how.into_iter().for_each(|is_asking| self.asker.set_asking(is_asking));
                let how = if self.asker.is_asking() {
                    "ask: code waits until you have seen it"
                } else {
                    "auto: code runs at once"
                };
                how.to_owned()
            }
            Command::Model(name) => self.model(name)?,
        };
        self.console.tell(&harmless(&told))?;
        Ok(Next::Line)
    }

    /// The last turn again, perhaps with another text.
    fn again(&mut self, text: Option<String>) -> anyhow::Result<Next> {
        let current = self.conversations.current();
        let task = current.turns.last().context("nothing was asked yet")?.task.clone();
        let is_same = text.is_none();
        let task = text.unwrap_or(task);
        if task.trim().is_empty() {
            bail!("nothing is left to ask");
        }
        let told = current.undo(1)?;
        if is_same {
            // The same seed would give the same.
            self.source.retries += 1;
            let model = self.source.model()?;
            self.conversations.current().agent.set_model(model);
        }
        self.console.tell(&harmless(&told))?;
        if is_same && self.source.sampling.temperature == 0.0 {
            self.console.tell("at temperature 0 a model says the same again; --temperature 0.7 lets it vary")?;
        }
        Ok(Next::Turn(task.trim_end().to_owned()))
    }

    fn tools(&self) -> String {
        if self.tools.is_empty() {
            return "no tools\nhint: `[mcp.NAME]` tables in the file of --config".to_owned();
        }
        let line = |tool: &Tool| {
            let about = tool.doc.lines().next().unwrap_or_default();
            format!("{}{}  {about}", tool.name, tool.signature)
        };
        self.tools.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn model(&mut self, name: Option<String>) -> anyhow::Result<String> {
        if let Some(name) = name {
            self.source.change(&name)?;
            for agent in self.conversations.agents() {
                agent.set_model(self.source.model()?);
            }
        }
        Ok(self.source.name())
    }
}
