//! The order of everything: which conversations go into which pack of which optimizer step.
//!
//! A pure function of the documents' sizes and groups, their shares, and a few settings; no clock, no thread, no state.
//! Resuming is reading the step number, and the loss divisor of a whole step is known before its first pass.

mod mix; // which documents an epoch has
mod pack; // how they fill packs

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use mix::{Share, quotas};
pub use pack::{Pack, fill};

/// What the plan knows of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// Tokens, at most `pack_tokens`.
    pub token_count: usize,
    /// Supervised tokens.
    pub target_count: usize,
    /// Index of its share.
    pub group: usize,
}

/// The order of packs and of what is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Drawn for every epoch; conversations are put where they fit best.
    Random,
    /// Longest conversations first, and packs filled in that order: as the original was trained.
    Length,
}

/// What decides the plan besides the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSettings {
    /// Seed of the order.
    pub seed: u64,
    /// Tokens of a pack at most.
    pub pack_tokens: usize,
    /// Packs of an optimizer step.
    pub accumulation: usize,
    /// Optimizer steps at most.
    pub steps: Option<usize>,
    /// Epochs at most; without it `steps` decides, and without both it is 1.
    pub epochs: Option<usize>,
    /// The order.
    pub sort: Sort,
}

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Epoch, counted from 0. A step never spans two.
    pub epoch: usize,
    /// At most `accumulation` packs; the last step of an epoch may have fewer.
    pub packs: Vec<Pack>,
}

impl Step {
    /// Tokens of all packs.
    pub fn token_count(&self) -> usize {
        self.packs.iter().map(|pack| pack.token_count).sum()
    }

    /// Supervised tokens of all packs: what the step's loss is divided by.
    pub fn target_count(&self) -> usize {
        self.packs.iter().map(|pack| pack.target_count).sum()
    }
}

/// All steps of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order, at least one.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Makes the plan. `documents` must not be empty, and `shares` has one for each of their groups.
    ///
    /// # Panics
    /// When there are no documents, one does not fit a pack, or a group has no share: whoever reads the data refuses
    /// all three.
    pub fn new(documents: &[Document], shares: &[Share], settings: &PlanSettings) -> Plan {
        assert!(!documents.is_empty(), "a plan needs documents");
        let epochs_max = settings.epochs.unwrap_or(if settings.steps.is_some() { usize::MAX } else { 1 });
        let steps_max = settings.steps.unwrap_or(usize::MAX);
        let mix = mix::Mix::new(documents, shares, settings.seed);
        let mut steps = Vec::new();
        for epoch in 0..epochs_max {
            let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
            random.set_stream(epoch as u64);
            let mut order = mix.epoch(epoch);
            let packs = match settings.sort {
                Sort::Random => {
                    shuffle(&mut order, &mut random);
                    let mut packs = pack::best_fit(documents, &order, settings.pack_tokens);
                    shuffle(&mut packs, &mut random);
                    packs
                }
                Sort::Length => {
                    order.sort_by_key(|index| std::cmp::Reverse(documents[*index].token_count));
                    fill(documents, &order, settings.pack_tokens)
                }
            };
            let mut packs = packs.into_iter();
            while steps.len() < steps_max {
                let packs: Vec<Pack> = packs.by_ref().take(settings.accumulation).collect();
                if packs.is_empty() {
                    break;
                }
                steps.push(Step { epoch, packs });
            }
            if steps.len() == steps_max {
                break;
            }
        }
        Plan { steps }
    }

    /// Tokens of all steps.
    pub fn token_count(&self) -> usize {
        self.steps.iter().map(Step::token_count).sum()
    }

    /// Supervised tokens of all steps.
    pub fn target_count(&self) -> usize {
        self.steps.iter().map(Step::target_count).sum()
    }

    /// Packs of all steps.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.steps.iter().flat_map(|step| &step.packs)
    }

    /// Tokens of all steps as part of what their packs could hold.
    pub fn efficiency(&self, pack_tokens: usize) -> f64 {
        self.token_count() as f64 / (self.packs().count() * pack_tokens) as f64
    }

    /// Tokens of the largest pack, which decides the memory.
    pub fn pack_tokens_max(&self) -> usize {
        self.packs().map(|pack| pack.token_count).max().unwrap_or(0)
    }

    /// All packs in passes of at most `pass_tokens` tokens.
    pub fn passes<'a>(&'a self, documents: &'a [Document], pass_tokens: usize) -> impl Iterator<Item = Pack> + 'a {
        self.packs().flat_map(move |pack| pack.passes(documents, pass_tokens))
    }

    /// Epochs begun.
    pub fn epoch_count(&self) -> usize {
        self.steps.last().map_or(0, |step| step.epoch + 1)
    }

    /// sha256 in hex over the order and `content_hash`, which stands for the tokens and the mask of every document.
    /// Two runs with the same hash see the same numbers in the same order.
    pub fn hash(&self, content_hash: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"codeact plan 2\n");
        hasher.update(content_hash.as_bytes());
        for step in &self.steps {
            hasher.update((step.packs.len() as u64).to_le_bytes());
            for pack in &step.packs {
                hasher.update((pack.documents.len() as u64).to_le_bytes());
                for index in &pack.documents {
                    hasher.update((*index as u64).to_le_bytes());
                }
            }
        }
        crate::hash::hex(&hasher.finalize())
    }
}

/// So many different indices below `count` as there are, in an order that the seed draws.
pub fn draw(count: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..count).collect();
    shuffle(&mut indices, &mut ChaCha8Rng::seed_from_u64(seed));
    indices.truncate(wanted);
    indices
}

/// An order drawn by `random` (Fisher and Yates).
fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last as u64 + 1) as usize);
    }
}

/// A number less than `bound`, all equally likely (Lemire 2019, without the rejection of the last 2^-32 of bias).
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    ((random.next_u64() as u128 * bound as u128) >> 64) as u64
}
