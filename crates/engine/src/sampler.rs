//! Choose the next token from logits.
//!
//! The choice depends on the logits, the settings, the seed and the position, and on nothing else: not on what was
//! drawn before, not on the batch. So a request can be paused, batched or continued and still gives the same tokens.

use std::cmp::Ordering;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::limits::Sampling;

/// The token that comes at `position` (its index in the sequence), or `None` when no logit is finite.
///
/// * `logits`: `(V,)`. Equal logits are ordered by id, smaller first.
///
/// Order of the steps, as in transformers: temperature, then top-k, then top-p, then the draw.
pub(crate) fn sample(logits: &[f32], sampling: &Sampling, position: usize) -> Option<u32> {
    let best = argmax(logits)?;
    if sampling.temperature == 0.0 || sampling.top_k == Some(1) {
        return Some(best);
    }
    let weights = candidates(logits, logits[best as usize], sampling);
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut rest = uniform(sampling.seed, position) * total;
    for (token_id, weight) in &weights {
        rest -= weight;
        if rest < 0.0 {
            return Some(*token_id);
        }
    }
    // Rounding can leave a sliver after the last candidate; it belongs to the last one that can occur.
    weights.iter().rfind(|(_, weight)| *weight > 0.0).map(|(token_id, _)| *token_id)
}

/// The smallest id among the largest finite logits.
fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (index, &logit) in logits.iter().enumerate() {
        if logit.is_finite() && best.is_none_or(|(_, largest)| logit > largest) {
            best = Some((index, logit));
        }
    }
    best.map(|(index, _)| index as u32)
}

/// Tokens that may be drawn, with unnormalised probabilities.
fn candidates(logits: &[f32], largest: f32, sampling: &Sampling) -> Vec<(u32, f64)> {
    let weight = |logit: f32| {
        if logit.is_finite() { (f64::from(logit - largest) / sampling.temperature).exp() } else { 0.0 }
    };
    let mut weights: Vec<(u32, f64)> =
        logits.iter().enumerate().map(|(index, &logit)| (index as u32, weight(logit))).collect();
    if let Some(top_k) = sampling.top_k.filter(|&top_k| top_k < weights.len()) {
        weights.select_nth_unstable_by(top_k - 1, likelier);
        weights.truncate(top_k);
    }
    if sampling.top_p < 1.0 {
        weights.sort_unstable_by(likelier);
        keep_mass(&mut weights, sampling.top_p);
    }
    // The draw walks the candidates in this order, so it must not depend on how the selection left them.
    weights.sort_unstable_by_key(|(token_id, _)| *token_id);
    weights
}

/// Keeps the shortest beginning whose share of the whole reaches `top_p`.
fn keep_mass(sorted: &mut Vec<(u32, f64)>, top_p: f64) {
    let wanted = top_p * sorted.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut mass = 0.0;
    let reached = sorted.iter().position(|(_, weight)| {
        mass += weight;
        mass >= wanted
    });
    if let Some(last) = reached {
        sorted.truncate(last + 1);
    }
}

fn likelier(a: &(u32, f64), b: &(u32, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// A number in `[0, 1)` that belongs to this seed and position: ChaCha8 with the position as its stream.
fn uniform(seed: u64, position: usize) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(position as u64);
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied() -> Sampling {
        Sampling { temperature: 1.0, ..Sampling::default() }
    }

    /// How often each of `count` tokens is drawn over many positions.
    fn shares(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        const DRAWS: usize = 20_000;
        let mut counts = vec![0usize; logits.len()];
        for position in 0..DRAWS {
            counts[sample(logits, sampling, position).unwrap() as usize] += 1;
        }
        counts.into_iter().map(|count| count as f64 / DRAWS as f64).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let logits = [0.0, f32::NAN, 3.0, 3.0, f32::INFINITY];
        assert_eq!(sample(&logits, &Sampling::default(), 0), Some(2));
    }

    #[test]
    fn no_finite_logit_gives_no_token() {
        assert_eq!(sample(&[f32::NAN, f32::NEG_INFINITY], &varied(), 0), None);
        assert_eq!(sample(&[], &varied(), 0), None);
    }

    #[test]
    fn draws_follow_the_softmax() {
        // Probabilities 0.1, 0.2, 0.7; 20,000 draws have a standard deviation of at most 0.0036.
        let logits = [0.1f32.ln(), 0.2f32.ln(), 0.7f32.ln()];
        let shares = shares(&logits, &varied());
        for (share, expected) in shares.iter().zip([0.1, 0.2, 0.7]) {
            assert!((share - expected).abs() < 0.015, "{shares:?}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_only_the_likeliest() {
        let logits = [0.1f32.ln(), 0.2f32.ln(), 0.7f32.ln()];
        let top_k = Sampling { top_k: Some(2), ..varied() };
        assert_eq!(shares(&logits, &top_k)[0], 0.0);
        assert!(shares(&logits, &top_k)[1] > 0.15);
        let top_p = Sampling { top_p: 0.8, ..varied() };
        assert_eq!(shares(&logits, &top_p)[0], 0.0);
        assert!(shares(&logits, &top_p)[1] > 0.15);
        let narrow = Sampling { top_p: 0.5, ..varied() };
        assert_eq!(shares(&logits, &narrow), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_draw_belongs_to_seed_and_position() {
        let logits = vec![0.0; 1000];
        let at = |seed, position| sample(&logits, &Sampling { seed, ..varied() }, position);
        assert_eq!(at(1, 5), at(1, 5));
        let other_positions = (0..50).filter(|&position| at(1, position) == at(1, 5)).count();
        let other_seeds = (0..50).filter(|&seed| at(seed, 5) == at(1, 5)).count();
        assert!(other_positions < 5 && other_seeds < 5);
    }
}
