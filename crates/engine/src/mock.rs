//! A model for tests whose rows depend on every key and value that its pages hold.
//!
//! Each position stores a hash of the whole sequence up to it, and a row is made of all those that its pages hold. So a
//! page of another sequence, a guess that was not overwritten or a wrong beginning gives other rows. To give guesses a
//! chance, most rows favour a token that depends on the last two tokens only.

use std::sync::{Arc, Mutex};

use crate::error::EngineError;
use crate::event::FinishReason;
use crate::forward::{Forward, Row, Step, Wanted};
use crate::request::Request;
use crate::sampling::{Sampler, Token, TokenLogprobs, chosen};

pub(crate) const VOCAB_SIZE: usize = 24;

/// After this token no logit is finite.
pub(crate) const NAN_TOKEN: u32 = 23;

/// Names the adapter, which adds this many tokens.
pub(crate) struct MockAdapter {
    pub id: u64,
    pub added: usize,
}

/// What tests see of a mock, and tell it, while an engine owns it.
#[derive(Default)]
pub(crate) struct Control {
    /// For each pass, what each step brought: first position, tokens.
    pub passes: Vec<Vec<(usize, Vec<u32>)>>,
    /// The next pass fails, after it has spoilt the pages of its steps.
    pub fails: Option<String>,
    /// The next pass panics.
    pub panics: bool,
    /// What the pages hold: a hash of the sequence, and the token.
    pub pages: Vec<Vec<(u64, u32)>>,
}

pub(crate) struct Mock {
    pub page_tokens: usize,
    pub page_count: usize,
    pub context_tokens_max: usize,
    pub control: Arc<Mutex<Control>>,
    /// Passes wait here while a test holds it.
    pub gate: Arc<Mutex<()>>,
    /// It chooses tokens itself.
    pub chooses: bool,
}

impl Mock {
    /// `page_count` pages for requests, and the one that is kept for health checks.
    pub fn new(page_tokens: usize, page_count: usize, context_tokens_max: usize) -> Mock {
        let page_count = page_count + 1;
        let control = Control { pages: vec![vec![(0, 0); page_tokens]; page_count], ..Control::default() };
        Mock {
            page_tokens,
            page_count,
            context_tokens_max,
            control: Arc::new(Mutex::new(control)),
            gate: Arc::default(),
            chooses: false,
        }
    }
}

/// Scatters bits. Source: Steele, Lea and Flood 2014, SplitMix64.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What attention has seen: all that the pages hold up to a position, in order.
#[derive(Clone, Copy, Default)]
struct Seen {
    all: u64,
    last: [u32; 2],
}

impl Seen {
    fn see(&mut self, (hash, token): (u64, u32)) {
        self.all = mix(self.all ^ hash);
        self.last = [self.last[1], token];
    }

    fn logits(&self, vocab_size: usize) -> Vec<f32> {
        if self.last[1] == NAN_TOKEN {
            return vec![f32::NAN; vocab_size];
        }
        let unit = |value: u64| (mix(value) >> 40) as f32 / (1u64 << 24) as f32;
        let mut logits: Vec<f32> = (0..vocab_size as u64).map(|id| unit(self.all ^ id)).collect();
        let pair = mix(u64::from(self.last[0]) << 32 | u64::from(self.last[1]));
        let favourite = if self.all % 10 < 8 { pair } else { mix(self.all) };
        logits[(favourite % (vocab_size as u64 - 1)) as usize] += 3.0;
        logits
    }

    fn hidden(&self) -> Vec<f32> {
        (0..4).map(|index| (mix(self.all ^ index) >> 40) as f32).collect()
    }
}

/// What is stored at `position`, behind what is stored before it.
fn entry(before: u64, position: usize, token: u32, adapter: Option<&MockAdapter>) -> (u64, u32) {
    let adapter = adapter.map_or(0, |adapter| adapter.id + 1);
    (mix(before ^ mix(u64::from(token) << 20 ^ position as u64) ^ adapter << 50), token)
}

impl Forward for Mock {
    type Adapter = MockAdapter;

    fn adapter_id(adapter: &MockAdapter) -> u64 {
        adapter.id
    }

    fn added_token_count(adapter: &MockAdapter) -> usize {
        adapter.added
    }

    fn check_adapter(adapter: &MockAdapter) -> Result<(), String> {
        if adapter.added > 64 { Err("the mock adds at most 64 tokens".to_owned()) } else { Ok(()) }
    }

    fn draft_tokens_max(&self) -> usize {
        if self.chooses { 5 } else { usize::MAX }
    }

    fn chooses(&self) -> bool {
        self.chooses
    }

    fn vocab_size(&self) -> usize {
        VOCAB_SIZE
    }

    fn context_tokens_max(&self) -> usize {
        self.context_tokens_max
    }

    fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    fn page_count(&self) -> usize {
        self.page_count
    }

    fn forward(
        &mut self,
        steps: &[Step<'_, MockAdapter>],
        on_row: &mut dyn FnMut(usize, usize, Row<'_>),
    ) -> Result<(), String> {
        {
            let mut control = self.control.lock().unwrap();
            let brought = steps.iter().map(|step| (step.first, step.token_ids.to_vec())).collect();
            control.passes.push(brought);
        }
        let _held = self.gate.lock().unwrap();
        let mut control = self.control.lock().unwrap();
        if std::mem::take(&mut control.panics) {
            drop(control);
            panic!("the mock was told to");
        }
        let fails = control.fails.take();
        let at = |step: &Step<'_, MockAdapter>, position: usize| {
            (step.pages[position / self.page_tokens] as usize, position % self.page_tokens)
        };
        // All is written before anything is read: a page that two steps write would show.
        for step in steps {
            for (index, &token) in step.token_ids.iter().enumerate() {
                let position = step.first + index;
                let before = position.checked_sub(1).map_or(0, |before| {
                    let (page, slot) = at(step, before);
                    control.pages[page][slot].0
                });
                let (page, slot) = at(step, position);
                let spoilt = if fails.is_some() { u64::MAX } else { 0 };
                let (hash, token) = entry(before, position, token, step.adapter);
                control.pages[page][slot] = (hash ^ spoilt, token);
            }
        }
        if let Some(reason) = fails {
            return Err(reason);
        }
        for (index, step) in steps.iter().enumerate() {
            let vocab_size = VOCAB_SIZE + step.adapter.map_or(0, |adapter| adapter.added);
            let mut seen = Seen::default();
            for position in 0..step.first + step.token_ids.len() {
                let (page, slot) = at(step, position);
                seen.see(control.pages[page][slot]);
                let Some(token) = position.checked_sub(step.first) else {
                    continue;
                };
                match step.wanted {
                    Wanted::Tokens { from, choices } if token >= from && self.chooses => {
                        on_row(index, token, Row::Token(chosen(&seen.logits(vocab_size), &choices[token - from])));
                    }
                    Wanted::Logits { from } | Wanted::Tokens { from, .. } if token >= from => {
                        on_row(index, token, Row::Values(&mut seen.logits(vocab_size)));
                    }
                    Wanted::Hidden => on_row(index, token, Row::Values(&mut seen.hidden())),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// What the pages of a sequence must hold.
pub(crate) fn entries(tokens: &[u32], adapter: Option<&MockAdapter>) -> Vec<(u64, u32)> {
    let mut before = 0;
    let stored = tokens.iter().enumerate().map(|(position, &token)| {
        let stored = entry(before, position, token, adapter);
        before = stored.0;
        stored
    });
    stored.collect()
}

/// The answer to a request that is alone: without pages, batches, chunks, guesses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alone {
    pub tokens: Vec<Token>,
    pub end: Result<FinishReason, EngineError>,
    pub prompt_logprobs: Option<Vec<Option<TokenLogprobs>>>,
    pub embedding: Vec<f32>,
}

/// The sampler of a request.
pub(crate) fn sampler(request: &Request<MockAdapter>, context_tokens_max: usize) -> Sampler {
    let sampler = Sampler::new(request.sampling.clone(), &request.prompt_ids);
    let Some(matcher) = request.constraint.clone().filter(|_| request.is_answered()) else {
        return sampler;
    };
    let room = context_tokens_max - request.prompt_ids.len();
    sampler.constrained(matcher, request.sampling.max_new_tokens.min(room)).unwrap()
}

/// What a request gets alone.
pub(crate) fn alone(request: &Request<MockAdapter>, context_tokens_max: usize) -> Alone {
    let adapter = request.adapter.as_deref();
    let vocab_size = VOCAB_SIZE + adapter.map_or(0, |adapter| adapter.added);
    let (mut seen, mut before, mut position) = (Seen::default(), 0, 0);
    let mut see = |token| {
        let stored = entry(before, position, token, adapter);
        (before, position) = (stored.0, position + 1);
        seen.see(stored);
        seen
    };
    let prompt: Vec<Seen> = request.prompt_ids.iter().map(|&token| see(token)).collect();
    let mut sums = [0f64; 4];
    for seen in &prompt {
        sums.iter_mut().zip(seen.hidden()).for_each(|(sum, value)| *sum += f64::from(value));
    }
    let count = prompt.len() as f64;
    let mut answer = Alone {
        tokens: Vec::new(),
        end: Ok(FinishReason::Length),
        prompt_logprobs: None,
        embedding: sums.iter().map(|sum| (sum / count) as f32).collect(),
    };
    if let Some(top) = request.prompt_logprobs {
        let mut rows = vec![None];
        for (position, (seen, &next)) in prompt.iter().zip(&request.prompt_ids[1..]).enumerate() {
            let Some(row) = TokenLogprobs::of(&seen.logits(vocab_size), next, top) else {
                answer.end = Err(EngineError::NotFinite { position: position + 1 });
                return answer;
            };
            rows.push(Some(row));
        }
        answer.prompt_logprobs = Some(rows);
    }
    if !request.is_answered() {
        return answer;
    }
    let mut sampler = sampler(request, context_tokens_max);
    let mut seen = *prompt.last().unwrap();
    loop {
        let position = request.prompt_ids.len() + answer.tokens.len();
        let token = match sampler.choose(&mut seen.logits(vocab_size), position) {
            Ok(token) => token,
            Err(error) => {
                answer.end = Err(error.into());
                return answer;
            }
        };
        if sampler.is_end(token.id) {
            answer.end = Ok(FinishReason::Stop);
            return answer;
        }
        sampler.accept(token.id).unwrap();
        seen = see(token.id);
        answer.tokens.push(token);
        if sampler.is_done() {
            answer.end = Ok(FinishReason::Stop);
            return answer;
        }
        if answer.tokens.len() == request.sampling.max_new_tokens {
            return answer;
        }
        if position + 1 == context_tokens_max {
            answer.end = Ok(FinishReason::Context);
            return answer;
        }
    }
}
