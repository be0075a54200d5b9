//! What each running request brings to the next pass.

use std::time::Duration;

use super::Worker;
use crate::forward::Forward;
use crate::scheduler::{Reader, share};
use crate::sequence::Share;

/// A session that was not used for so long gives way to a running request. Most actions of an agent take less.
const SESSION_IDLE: Duration = Duration::from_secs(15);

impl<F: Forward> Worker<F> {
    /// The shares of the next pass, by index in `running`. Their pages are there.
    pub(super) fn plan(&mut self) -> Vec<(usize, Share)> {
        self.make_room();
        let drafts = self.draft();
        let readers: Vec<usize> =
            (0..self.running.len()).filter(|&index| !self.running[index].is_generating()).collect();
        let wishes: Vec<Reader> = readers
            .iter()
            .map(|&index| &self.running[index])
            .map(|running| Reader { remaining: running.remaining(), most: running.most() })
            .collect();
        // Health checks may come on top of `running_max`.
        let budget = self.pace.budget(self.limits.prompt_tokens_per_pass).max(readers.len());
        let mut shares: Vec<(usize, Share)> = readers
            .into_iter()
            .zip(share(&wishes, budget))
            .map(|(index, tokens)| (index, Share::new(tokens, Vec::new())))
            .collect();
        let generating = drafts.into_iter().map(|(index, draft)| (index, Share::new(1, draft)));
        shares.extend(generating);
        shares.sort_unstable_by_key(|(index, _)| *index);
        if self.model.chooses() {
            for (index, share) in &mut shares {
                share.choices = self.running[*index].choices(share);
            }
        }
        shares
    }

    /// Gives each generating request, the oldest first, the page of its next token. Where there is none to have, sessions
    /// give way that nobody used for a while, then the youngest request; the youngest itself sits the pass out. To the one
    /// that is left alone all sessions give way.
    fn make_room(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            let known = self.running[index].known.len();
            while !self.pages.grow(&mut self.running[index].holding, known) {
                let idle_since = (self.clock)().checked_sub(SESSION_IDLE);
                let gave_way = idle_since.is_some_and(|since| self.pages.unpin_idle(since))
                    || self.preempt_behind(index)
                    || (self.is_first(index) && self.pages.unpin_oldest());
                if !gave_way {
                    assert!(!self.is_first(index), "a sequence of {known} tokens fits in the pages when it is alone");
                    break;
                }
            }
            index += 1;
        }
    }

    /// Whether it is the oldest of those that share pages.
    fn is_first(&self, index: usize) -> bool {
        self.running[..index].iter().all(|running| running.holding.is_probe())
    }

    /// The generating requests that have the page of their next token, each with guessed tokens behind it.
    fn draft(&mut self) -> Vec<(usize, Vec<u32>)> {
        let has_page = |index: usize| {
            let running = &self.running[index];
            running.holding.pages().len() >= self.pages.pages_for(running.known.len())
        };
        let generating: Vec<usize> =
            (0..self.running.len()).filter(|&index| self.running[index].is_generating() && has_page(index)).collect();
        let pays = self.payoff.pays(generating.len());
        generating.into_iter().map(|index| (index, if pays { self.guess(index) } else { Vec::new() })).collect()
    }

    fn guess(&mut self, index: usize) -> Vec<u32> {
        let running = &mut self.running[index];
        if !running.job.request.speculation {
            return Vec::new();
        }
        // The pass gives one token more than it guesses right.
        let room = running.room(self.context_tokens_max).saturating_sub(1);
        let count = running.acceptance.draft_tokens(self.limits.draft_tokens_max).min(room);
        if count == 0 {
            return Vec::new();
        }
        let mut draft = running.lookup.guess(&running.known, count);
        let known = running.known.len();
        // Nobody gives way to a guess.
        if !self.pages.grow(&mut running.holding, known + draft.len()) {
            let page_tokens = self.model.page_tokens();
            draft.truncate(running.holding.pages().len() * page_tokens - known);
        }
        draft
    }
}
