//! Sampling beside a slow and obvious one in f64.

mod constraint;
mod distribution;
mod edges;
mod oracle;
mod passes;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Sampler, Sampling};

/// A source of test data.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    /// In `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Logits as a model gives them: bell-shaped, with a few that stand out.
    fn logits(&mut self, count: usize, spread: f64) -> Vec<f32> {
        let bell = |random: &mut Random| (0..6).map(|_| random.unit() - 0.5).sum::<f64>();
        let mut logits: Vec<f32> = (0..count).map(|_| (spread * bell(self)) as f32).collect();
        for _ in 0..3 {
            let at = self.below(count);
            logits[at] += (2.0 * spread) as f32;
        }
        logits
    }
}

fn varied() -> Sampling {
    Sampling { temperature: 1.0, ..Sampling::default() }
}

fn choose(logits: &[f32], sampling: &Sampling, position: usize) -> Option<u32> {
    let mut sampler = Sampler::new(sampling.clone(), &[]);
    sampler.choose(&mut logits.to_vec(), position).ok().map(|token| token.id)
}
