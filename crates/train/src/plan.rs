//! The order of everything: which conversations go into which pack of which optimizer step.
//!
//! A pure function of the documents' sizes and five settings; no clock, no thread, no state. Resuming is reading the
//! step number, and the loss divisor of a whole step is known before its first pass.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What the plan knows of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// Tokens, at most `pack_tokens`.
    pub token_count: usize,
    /// Supervised tokens.
    pub target_count: usize,
    /// How often it comes up in an epoch.
    pub repeat: usize,
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
}

/// Conversations of one forward and backward pass, by index into the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// In order.
    pub documents: Vec<usize>,
    /// Tokens in all.
    pub token_count: usize,
    /// Supervised tokens in all.
    pub target_count: usize,
}

impl Pack {
    /// The same conversations in the same order, in parts of at most `pass_tokens` tokens: conversations do not see each
    /// other, so the parts' gradients add up to that of the pack.
    pub fn passes(&self, documents: &[Document], pass_tokens: usize) -> Vec<Pack> {
        match self.token_count <= pass_tokens {
            true => vec![self.clone()],
            false => pack(documents, &self.documents, pass_tokens),
        }
    }
}

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Makes the plan. `documents` must not be empty.
    ///
    /// # Panics
    /// When there are no documents, or one does not fit a pack: the reader of the data refuses both.
    pub fn new(documents: &[Document], settings: &PlanSettings) -> Plan {
        assert!(!documents.is_empty(), "a plan needs documents");
        let epochs_max = settings.epochs.unwrap_or(if settings.steps.is_some() { usize::MAX } else { 1 });
        let steps_max = settings.steps.unwrap_or(usize::MAX);
        let mut steps = Vec::new();
        for epoch in 0..epochs_max {
            let order = shuffled(documents, settings.seed, epoch);
            let packs = pack(documents, &order, settings.pack_tokens);
            let epoch_steps = packs.chunks(settings.accumulation).map(|packs| Step { epoch, packs: packs.to_vec() });
            steps.extend(epoch_steps.take(steps_max - steps.len()));
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

    /// Tokens of the largest pack, which decides the memory.
    pub fn pack_tokens_max(&self) -> usize {
        self.steps.iter().flat_map(|step| &step.packs).map(|pack| pack.token_count).max().unwrap_or(0)
    }

    /// All packs in passes of at most `pass_tokens` tokens.
    pub fn passes<'a>(&'a self, documents: &'a [Document], pass_tokens: usize) -> impl Iterator<Item = Pack> + 'a {
        self.steps.iter().flat_map(|step| &step.packs).flat_map(move |pack| pack.passes(documents, pass_tokens))
    }

    /// Epochs begun.
    pub fn epoch_count(&self) -> usize {
        self.steps.last().map_or(0, |step| step.epoch + 1)
    }

    /// sha256 in hex over the order and `content_hash`, which stands for the tokens and the mask of every document.
    /// Two runs with the same hash see the same numbers in the same order.
    pub fn hash(&self, content_hash: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"codeact plan 1\n");
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

/// Every document `repeat` times, in an order of its own for every epoch.
fn shuffled(documents: &[Document], seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        order.extend(std::iter::repeat_n(index, document.repeat));
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch as u64);
    for last in (1..order.len()).rev() {
        order.swap(last, below(&mut random, last as u64 + 1) as usize);
    }
    order
}

/// A number less than `bound`, all equally likely (Lemire 2019, without the rejection of the last 2^-32 of bias).
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    ((random.next_u64() as u128 * bound as u128) >> 64) as u64
}

/// Takes documents in order and opens a new pack when the next one does not fit. There is no padding, so a pack that
/// is not full costs nothing.
pub fn pack(documents: &[Document], order: &[usize], pack_tokens: usize) -> Vec<Pack> {
    let mut packs: Vec<Pack> = Vec::new();
    for &index in order {
        let Document { token_count, target_count, .. } = documents[index];
        assert!(token_count <= pack_tokens, "document {index} has {token_count} tokens, a pack {pack_tokens}");
        match packs.last_mut() {
            Some(pack) if pack.token_count + token_count <= pack_tokens => {
                pack.documents.push(index);
                pack.token_count += token_count;
                pack.target_count += target_count;
            }
            _ => packs.push(Pack { documents: vec![index], token_count, target_count }),
        }
    }
    packs
}
