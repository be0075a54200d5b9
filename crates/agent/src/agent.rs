//! A model, an interpreter and their conversation: set up, gone back in, and gone on with.

use crate::context::Shortened;
use crate::{AgentError, AgentOptions, Approver, Interrupter, Mark, Model};
use codeact_chat::{Message, Role};
use codeact_sandbox::{Interpreter, Restored};
use std::path::Path;
use std::sync::Arc;

/// A model, an interpreter, and their conversation.
pub struct Agent {
    pub(crate) model: Box<dyn Model>,
    pub(crate) interpreter: Box<dyn Interpreter>,
    pub(crate) options: AgentOptions,
    pub(crate) messages: Vec<Message>,
    /// Which of them the model is shown less of.
    pub(crate) shortened: Shortened,
    pub(crate) approver: Option<Arc<dyn Approver>>,
    pub(crate) interrupter: Interrupter,
}

impl Agent {
    /// A new conversation.
    pub fn new(model: Box<dyn Model>, interpreter: Box<dyn Interpreter>, options: AgentOptions) -> Agent {
        let messages = vec![Message::system(options.system_message())];
        Agent::resume(model, interpreter, options, messages)
    }

    /// A conversation that was stored: `messages` as [`Agent::messages`] gave them, system message first. The
    /// interpreter must be where it was then.
    pub fn resume(
        model: Box<dyn Model>,
        interpreter: Box<dyn Interpreter>,
        options: AgentOptions,
        messages: Vec<Message>,
    ) -> Agent {
        let interrupter = Interrupter::new(interpreter.interrupter());
        let shortened = Shortened::default();
        Agent { model, interpreter, options, messages, shortened, approver: None, interrupter }
    }

    /// Ask `approver` before code runs, from the next turn on; `None`: everything runs.
    pub fn set_approver(&mut self, approver: Option<Arc<dyn Approver>>) {
        self.approver = approver;
    }

    /// Go on with another model from the next turn on. It sees the whole conversation, as far as it fits.
    pub fn set_model(&mut self, model: Box<dyn Model>) {
        self.model = model;
        self.shortened = Shortened::default();
    }

    /// The conversation so far, system message first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// A handle that stops the running turn from another thread.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// What runs the code, for its files and what it uses. Cells that run behind the back of the conversation shift its
    /// marks.
    pub fn interpreter(&mut self) -> &mut dyn Interpreter {
        self.interpreter.as_mut()
    }

    /// What the conversation was set up with.
    pub fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// Where the conversation and Python are now.
    pub fn mark(&self) -> Mark {
        let last_bytes = self.messages.last().map_or(0, |message| message.content.len());
        Mark { messages: self.messages.len(), last_bytes, cells: self.interpreter.cells() }
    }

    /// Go back to where the conversation, Python and the files were.
    ///
    /// # Errors
    /// When the mark is not of this conversation, or the interpreter cannot go back; then nothing has changed.
    pub fn undo_to(&mut self, mark: &Mark) -> Result<Restored, AgentError> {
        let messages = self.until(mark)?;
        let restored = self.interpreter.undo(self.interpreter.cells() - mark.cells)?;
        self.shortened.forget_from(mark.messages.saturating_sub(1));
        self.messages = messages;
        Ok(restored)
    }

    /// A second conversation that goes on from `mark`, with `model`, while this one stays as it is. Its cells are
    /// recorded in `journal_folder`, if there is one. Nobody approves its code until [`Agent::set_approver`].
    ///
    /// # Errors
    /// When the mark is not of this conversation, or the interpreter cannot be branched there.
    pub fn branch(
        &mut self,
        mark: &Mark,
        model: Box<dyn Model>,
        journal_folder: Option<&Path>,
    ) -> Result<(Agent, Restored), AgentError> {
        let messages = self.until(mark)?;
        let (interpreter, restored) = self.interpreter.branch(mark.cells, journal_folder)?;
        Ok((Agent::resume(model, interpreter, self.options.clone(), messages), restored))
    }

    /// The messages up to a mark.
    fn until(&self, mark: &Mark) -> Result<Vec<Message>, AgentError> {
        let mut messages = self.messages.get(..mark.messages).unwrap_or_default().to_vec();
        let Some(last) = messages.last_mut() else { return Err(AgentError::BadMark { mark: *mark }) };
        if !last.content.is_char_boundary(mark.last_bytes) || mark.cells > self.interpreter.cells() {
            return Err(AgentError::BadMark { mark: *mark });
        }
        last.content.truncate(mark.last_bytes);
        Ok(messages)
    }

    /// Add to the user's side. After a turn that ended on an observation that is still the same message: roles must
    /// alternate. Returns the index of the message, and where in it the text begins.
    pub(crate) fn say(&mut self, text: &str) -> (usize, usize) {
        match self.messages.last_mut() {
            Some(last) if last.role == Role::User => {
                last.content.push_str("\n\n");
                last.content.push_str(text);
            }
            _ => self.messages.push(Message::user(text)),
        }
        let index = self.messages.len() - 1;
        (index, self.messages[index].content.len() - text.len())
    }
}
