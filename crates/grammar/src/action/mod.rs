//! Replies with an `<execute>` or `<solution>` block that is always closed, also when tokens run out.
//!
//! The rule is small enough to be worked out beforehand: for each state, the tokens that are allowed, and the fewest
//! tokens that close the reply. So a token costs nothing but a look at a table, and closing begins when it must.

mod automaton;

use std::sync::Arc;

use crate::error::GrammarError;
use crate::vocabulary::Vocabulary;

use automaton::Automaton;

/// What a reply may do: free text without tags, then at most one block, and then the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionRule {
    /// It may run code: `<execute>` code `</execute>`.
    pub execute: bool,
    /// It may propose a solution: `<solution>` text `</solution>`.
    pub solution: bool,
    /// It must do one of the two.
    pub is_required: bool,
}

impl ActionRule {
    pub(crate) fn check(self) -> Result<(), GrammarError> {
        if self.is_required && !self.execute && !self.solution {
            return Err(GrammarError::Unusable {
                kind: "action rule",
                what: "a block is required, but none is allowed".to_owned(),
                hint: "allow execute, solution or both",
            });
        }
        Ok(())
    }
}

/// Everything about a rule that depends on the vocabulary only.
pub(crate) struct ActionTable {
    automaton: Automaton,
    /// For each state, one bit for each token: those that are allowed where there is room enough for what follows.
    masks: Vec<Vec<u32>>,
    /// For each state, the fewest tokens that complete the reply; `usize::MAX` where no tokens do.
    closing: Vec<usize>,
    /// For each state, the most that `closing` can be after a token.
    closing_after: Vec<usize>,
}

impl ActionTable {
    pub fn new(vocabulary: &Vocabulary, rule: ActionRule) -> ActionTable {
        let automaton = Automaton::new(rule);
        let count = automaton.state_count();
        let mut reached = vec![vec![false; count]; count];
        let mut masks = vec![vec![0u32; vocabulary.mask_words()]; count];
        for (state, (reached, mask)) in (0u8..).zip(reached.iter_mut().zip(&mut masks)) {
            vocabulary.walk(
                state,
                |state, byte| automaton.step(state, byte),
                |id, next| {
                    reached[usize::from(next)] = true;
                    allow(mask, id);
                },
            );
            if automaton.is_complete(state) {
                vocabulary.end_ids().iter().for_each(|&id| allow(mask, id));
            }
        }
        let closing = closing(&automaton, &reached);
        let after = |reached: &Vec<bool>| {
            let tokens = reached.iter().zip(&closing).filter(|(is_reached, _)| **is_reached).map(|(_, tokens)| *tokens);
            tokens.max().unwrap_or(0)
        };
        let closing_after: Vec<usize> = reached.iter().map(after).collect();
        ActionTable { automaton, masks, closing, closing_after }
    }

    /// The tokens after which the reply can be completed with at most `most` more, and where it may end the end tokens.
    fn mask(&self, vocabulary: &Vocabulary, state: u8, most: usize) -> Vec<u32> {
        let mut mask = vec![0u32; vocabulary.mask_words()];
        let step = |state, byte| self.automaton.step(state, byte);
        vocabulary.walk(state, step, |id, next| {
            if self.closing[usize::from(next)] <= most {
                allow(&mut mask, id);
            }
        });
        if self.automaton.is_complete(state) {
            vocabulary.end_ids().iter().for_each(|&id| allow(&mut mask, id));
        }
        mask
    }
}

fn allow(mask: &mut [u32], id: u32) {
    mask[id as usize / 32] |= 1 << (id % 32);
}

/// The fewest tokens from each state to one in which the reply may end.
fn closing(automaton: &Automaton, reached: &[Vec<bool>]) -> Vec<usize> {
    let complete = (0..automaton.state_count() as u8).map(|state| automaton.is_complete(state));
    let mut closing: Vec<usize> = complete.map(|is_complete| if is_complete { 0 } else { usize::MAX }).collect();
    loop {
        let mut is_changed = false;
        for state in 0..closing.len() {
            let after = reached[state].iter().zip(&closing).filter(|(is_reached, _)| **is_reached);
            let fewest = after.map(|(_, tokens)| tokens.saturating_add(1)).min().unwrap_or(usize::MAX);
            if fewest < closing[state] {
                closing[state] = fewest;
                is_changed = true;
            }
        }
        if !is_changed {
            return closing;
        }
    }
}

/// One reply.
#[derive(Clone)]
pub(crate) struct ActionMatcher {
    vocabulary: Arc<Vocabulary>,
    table: Arc<ActionTable>,
    state: u8,
    tokens: usize,
    /// What is allowed where room is short.
    tight: Vec<u32>,
}

impl ActionMatcher {
    /// # Errors
    /// When the vocabulary has no tokens that spell the tags.
    pub fn new(vocabulary: &Arc<Vocabulary>, rule: ActionRule) -> Result<ActionMatcher, GrammarError> {
        let table = vocabulary.action_table(rule);
        let state = table.automaton.start();
        if table.closing[usize::from(state)] == usize::MAX {
            return Err(GrammarError::Vocabulary { what: "no tokens spell the tags".to_owned() });
        }
        Ok(ActionMatcher { vocabulary: Arc::clone(vocabulary), table, state, tokens: 0, tight: Vec::new() })
    }

    pub fn allowed(&mut self, left: usize) -> Result<&[u32], GrammarError> {
        let needed = self.closing_tokens();
        if needed > left {
            return Err(GrammarError::NoRoom { needed, left });
        }
        let state = usize::from(self.state);
        // Where a token leads to what no tokens close, that is `usize::MAX` and not within any room.
        let most = left.saturating_sub(1).min(usize::MAX - 1);
        if self.table.closing_after[state] <= most {
            return Ok(&self.table.masks[state]);
        }
        self.tight = self.table.mask(&self.vocabulary, self.state, most);
        Ok(&self.tight)
    }

    pub fn allows(&self, id: u32, left: usize) -> bool {
        if self.vocabulary.end_ids().contains(&id) {
            return self.is_complete();
        }
        let after = self.after(id).map(|state| self.table.closing[usize::from(state)]);
        after.is_some_and(|tokens| tokens < left)
    }

    pub fn accept(&mut self, id: u32) -> Result<(), GrammarError> {
        if !self.allows(id, usize::MAX) {
            return Err(GrammarError::NotAllowed { id, tokens: self.tokens });
        }
        // A token without text is an end token.
        self.state = self.after(id).unwrap_or(self.table.automaton.done());
        self.tokens += 1;
        Ok(())
    }

    pub fn is_complete(&self) -> bool {
        self.table.automaton.is_complete(self.state)
    }

    pub fn is_done(&self) -> bool {
        self.state == self.table.automaton.done()
    }

    pub fn closing_tokens(&self) -> usize {
        self.table.closing[usize::from(self.state)]
    }

    pub fn end_ids(&self) -> &[u32] {
        self.vocabulary.end_ids()
    }

    /// The state after a token; `None` if it is not allowed, or stands for no text.
    fn after(&self, id: u32) -> Option<u8> {
        let bytes = self.vocabulary.bytes(id)?;
        bytes.iter().try_fold(self.state, |state, &byte| self.table.automaton.step(state, byte))
    }
}

#[cfg(test)]
mod tests;
