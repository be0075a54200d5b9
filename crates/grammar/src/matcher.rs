//! One answer, token by token.

use crate::action::ActionMatcher;
use crate::error::GrammarError;
use crate::guided::Guided;

/// Which tokens may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed<'a> {
    /// Every token.
    All,
    /// Those whose bit is set: token `id` is bit `id % 32` of word `id / 32`. Tokens beyond the words are not allowed.
    Only(&'a [u32]),
}

impl Allowed<'_> {
    /// Whether `id` may come next.
    pub fn has(self, id: u32) -> bool {
        match self {
            Allowed::All => true,
            Allowed::Only(words) => words.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1),
        }
    }
}

/// Follows one answer through a grammar. Cloning starts another answer from here.
#[derive(Clone)]
pub struct Matcher(State);

#[derive(Clone)]
enum State {
    Guided(Box<Guided>),
    Action(ActionMatcher),
}

impl Matcher {
    pub(crate) fn guided(guided: Guided) -> Matcher {
        Matcher(State::Guided(Box::new(guided)))
    }

    pub(crate) fn action(action: ActionMatcher) -> Matcher {
        Matcher(State::Action(action))
    }

    /// What may come next, whatever the room: [`Matcher::allowed_within`] without a bound.
    ///
    /// # Errors
    /// As there.
    pub fn allowed(&mut self) -> Result<Allowed<'_>, GrammarError> {
        self.allowed_within(usize::MAX)
    }

    /// What may come next when `left` tokens are left, this one included. Never empty: once the answer is done, these
    /// are the end tokens. A grammar that knows how it can be closed ([`Matcher::closing_tokens`]) only allows tokens
    /// after which it still can.
    ///
    /// # Errors
    /// When finding out takes more work than a token may, or when `left` cannot suffice.
    pub fn allowed_within(&mut self, left: usize) -> Result<Allowed<'_>, GrammarError> {
        match &mut self.0 {
            State::Guided(guided) => guided.allowed().map(Allowed::Only),
            State::Action(action) => action.allowed(left).map(Allowed::Only),
        }
    }

    /// Whether `id` may come next when `left` tokens are left, this one included. Cheaper than finding all that may.
    ///
    /// # Errors
    /// As [`Matcher::allowed_within`].
    pub fn allows(&mut self, id: u32, left: usize) -> Result<bool, GrammarError> {
        match &mut self.0 {
            State::Guided(guided) => guided.allows(id),
            State::Action(action) => Ok(action.allows(id, left)),
        }
    }

    /// Takes the next token of the answer.
    ///
    /// # Errors
    /// When it is not allowed; the answer is then where it was.
    pub fn accept(&mut self, id: u32) -> Result<(), GrammarError> {
        match &mut self.0 {
            State::Guided(guided) => guided.accept(id),
            State::Action(action) => action.accept(id),
        }
    }

    /// Whether the answer may end here.
    ///
    /// # Errors
    /// As [`Matcher::allowed_within`].
    pub fn is_complete(&mut self) -> Result<bool, GrammarError> {
        match &mut self.0 {
            State::Guided(guided) => guided.is_complete(),
            State::Action(action) => Ok(action.is_complete()),
        }
    }

    /// Whether the answer must end here: nothing but an end token could follow, or one came.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            State::Guided(guided) => guided.is_done(),
            State::Action(action) => action.is_done(),
        }
    }

    /// The fewest tokens that make the answer complete, without an end token. `None` if this grammar cannot know:
    /// then an answer that runs out of tokens is cut short.
    pub fn closing_tokens(&self) -> Option<usize> {
        match &self.0 {
            State::Guided(_) => None,
            State::Action(action) => Some(action.closing_tokens()),
        }
    }

    /// The tokens that end an answer.
    pub fn end_ids(&self) -> &[u32] {
        match &self.0 {
            State::Guided(guided) => guided.end_ids(),
            State::Action(action) => action.end_ids(),
        }
    }
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            State::Guided(_) => "guided",
            State::Action(_) => "action",
        };
        formatter.debug_struct("Matcher").field("kind", &kind).field("is_done", &self.is_done()).finish()
    }
}
