//! Guess the next tokens of a request from its own text, and judge whether guessing pays.
//!
//! Code and answers about files repeat what stands in the prompt. When the last three tokens occurred before, what
//! followed there is a guess that costs nothing; the model checks all guessed tokens in one pass. Nothing here decides
//! what a request gets: a guessed token counts only where the sampler chooses the same one.

use std::collections::HashMap;

/// Tokens that must be the same before a guess is made.
const GRAM: usize = 3;

/// Earlier occurrences that are looked at, newest first.
const OCCURRENCES_MAX: usize = 16;

/// Longer matches are not told apart.
const MATCH_MAX: usize = 32;

/// Where each three tokens in a row occurred in one request's text.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// Position behind the newest occurrence.
    newest: HashMap<[u32; GRAM], u32>,
    /// For each position behind an occurrence, the one before; 0 where there is none.
    older: Vec<u32>,
}

impl Lookup {
    /// What may follow `known`, at most `count` tokens: what followed the longest match of its end, the newest of equal
    /// ones. Where that runs into the end of `known`, it is taken to repeat.
    pub fn guess(&mut self, known: &[u32], count: usize) -> Vec<u32> {
        self.learn(known);
        let Some(gram) = known.last_chunk::<GRAM>() else {
            return Vec::new();
        };
        let mut best = None;
        let mut behind = self.newest.get(gram).copied().unwrap_or(0);
        for _ in 0..OCCURRENCES_MAX {
            if behind == 0 {
                break;
            }
            let before = known[..behind as usize].iter().rev();
            let same = before.zip(known.iter().rev()).take(MATCH_MAX).take_while(|(a, b)| a == b).count();
            if best.is_none_or(|(longest, _)| same > longest) {
                best = Some((same, behind as usize));
            }
            behind = self.older[behind as usize];
        }
        let Some((_, behind)) = best else {
            return Vec::new();
        };
        let period = known.len() - behind;
        (0..count).map(|index| known[behind + index % period]).collect()
    }

    /// Learns all occurrences but the one at the end, which is what is looked up.
    fn learn(&mut self, known: &[u32]) {
        let from = self.older.len().max(GRAM);
        self.older.resize(known.len().max(self.older.len()), 0);
        for behind in from..known.len() {
            let gram = known[..behind].last_chunk::<GRAM>().expect("there are so many before");
            self.older[behind] = self.newest.insert(*gram, behind as u32).unwrap_or(0);
        }
    }
}

/// How good the guesses of one request are, and so how many tokens to guess.
#[derive(Debug)]
pub(crate) struct Acceptance {
    /// Moving share of guessed tokens that were right.
    share: f64,
    /// Tokens until the next guess.
    rest: usize,
    /// The next pause, in tokens.
    pause: usize,
}

/// Weight of the newest token in the moving share.
const NEWEST: f64 = 0.15;

/// A guessed token should be right with at least this probability.
const WORTH: f64 = 0.3;

const PAUSE_MIN: usize = 32;
const PAUSE_MAX: usize = 512;

impl Default for Acceptance {
    fn default() -> Self {
        Acceptance { share: 0.7, rest: 0, pause: PAUSE_MIN }
    }
}

impl Acceptance {
    /// How many tokens to guess: as long as all of them are right with probability [`WORTH`].
    pub fn draft_tokens(&self, most: usize) -> usize {
        if self.rest > 0 || most == 0 {
            return 0;
        }
        let length = WORTH.ln() / self.share.clamp(WORTH, 0.99).ln();
        (length as usize).clamp(1, most)
    }

    /// A pass gave this many tokens.
    pub fn pass(&mut self, given: usize) {
        self.rest = self.rest.saturating_sub(given);
    }

    /// Of `drafted` guessed tokens the first `accepted` were right.
    pub fn learn(&mut self, drafted: usize, accepted: usize) {
        for _ in 0..accepted {
            self.share += NEWEST * (1.0 - self.share);
        }
        if accepted < drafted {
            self.share -= NEWEST * self.share;
        }
        if accepted > 0 {
            self.pause = PAUSE_MIN;
        }
        if self.share < WORTH {
            self.rest = self.pause;
            self.pause = (2 * self.pause).min(PAUSE_MAX);
            // After the pause a few short guesses show whether the text repeats now.
            self.share = WORTH + NEWEST;
        }
    }
}

/// Whether passes with guesses give more tokens in the same time, by how many requests generate.
#[derive(Debug)]
pub(crate) struct Payoff {
    requests_max: usize,
    /// Of one request, of two, and so on, as far as there were so many.
    accounts: Vec<Account>,
}

#[derive(Debug, Clone)]
struct Account {
    /// Moving seconds for each token given, of passes without and with guesses.
    plain: Option<f64>,
    drafted: Option<f64>,
    /// Passes with guesses since the account was opened.
    drafted_passes: usize,
    /// Passes since the last one without guesses.
    since_plain: usize,
    /// Passes until guessing is tried again.
    rest: usize,
    /// The next pause, in passes.
    pause: usize,
}

/// Passes with guesses before they are judged.
const TRIAL: usize = 8;

/// Every so many passes one goes without guesses, to know what that costs.
const PLAIN_EVERY: usize = 32;

const PASSES_PAUSE_MIN: usize = 128;
const PASSES_PAUSE_MAX: usize = 4096;

impl Default for Account {
    fn default() -> Self {
        Account { plain: None, drafted: None, drafted_passes: 0, since_plain: 0, rest: 0, pause: PASSES_PAUSE_MIN }
    }
}

impl Payoff {
    /// For at most `requests_max` requests that generate.
    pub fn new(requests_max: usize) -> Payoff {
        Payoff { requests_max, accounts: Vec::new() }
    }

    /// Whether the next pass, in which `requests` generate, should have guesses.
    pub fn pays(&self, requests: usize) -> bool {
        let account = requests.checked_sub(1).and_then(|index| self.accounts.get(index));
        account.is_some_and(|account| account.rest == 0 && account.plain.is_some() && account.since_plain < PLAIN_EVERY)
    }

    /// A pass in which only `requests` generated, without prompts, took `seconds` and gave `tokens`.
    pub fn learn(&mut self, requests: usize, with_guesses: bool, seconds: f64, tokens: usize) {
        if requests == 0 || requests > self.requests_max {
            return;
        }
        if self.accounts.len() < requests {
            self.accounts.resize(requests, Account::default());
        }
        let account = &mut self.accounts[requests - 1];
        account.rest = account.rest.saturating_sub(1);
        let each = seconds / tokens.max(1) as f64;
        let moved = |old: Option<f64>| Some(old.map_or(each, |old| old + 0.2 * (each - old)));
        if !with_guesses {
            account.plain = moved(account.plain);
            account.since_plain = 0;
            return;
        }
        account.drafted = moved(account.drafted);
        account.drafted_passes += 1;
        account.since_plain += 1;
        if account.drafted_passes < TRIAL {
            return;
        }
        if account.drafted > account.plain {
            account.rest = account.pause;
            account.pause = (2 * account.pause).min(PASSES_PAUSE_MAX);
            (account.drafted, account.drafted_passes) = (None, 0);
        } else {
            account.pause = PASSES_PAUSE_MIN;
        }
    }
}

#[cfg(test)]
mod tests;
