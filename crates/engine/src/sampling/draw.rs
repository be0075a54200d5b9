//! Draw a token: which ones may come, how likely each is, and a random number that belongs to the position.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::scan::{BLOCK, Candidate, Weigh, above, likeliest};
use super::settings::Sampling;

/// More candidates than this are given back to the system after a choice; a request keeps room for so many.
const KEPT_ROOM: usize = 4096;

/// Draws one of the tokens that `sampling` leaves, as likely as the logits say.
///
/// * `largest`: the largest finite logit.
/// * `random`: in `[0, 1)`.
/// * `room`: for candidates, so that not every choice allocates.
pub(super) fn draw(logits: &[f32], largest: f32, sampling: &Sampling, random: f64, room: &mut Vec<Candidate>) -> u32 {
    let weigh = Weigh { largest, scale: (1.0 / sampling.temperature) as f32 };
    if collect(logits, weigh, sampling, room) {
        let id = pick(room, weigh, random);
        room.clear();
        room.shrink_to(KEPT_ROOM);
        return id;
    }
    pick_from_all(logits, weigh, random)
}

/// Puts the tokens that may be drawn into `kept`; false, and nothing there, if that is every token.
fn collect(logits: &[f32], weigh: Weigh, sampling: &Sampling, kept: &mut Vec<Candidate>) -> bool {
    if let Some(top_k) = sampling.top_k.filter(|&top_k| top_k < logits.len()) {
        likeliest(logits, top_k, kept);
        if sampling.top_p < 1.0 {
            let wanted = sampling.top_p * mass(kept, weigh);
            keep_mass(kept, weigh, wanted);
        }
    } else if sampling.top_p < 1.0 {
        let total = weigh.all(logits);
        // All that weighs less, taken together, is not more than what may be left out.
        let weight = (1.0 - sampling.top_p) * total / logits.len() as f64;
        above(logits, weigh.bar(weight), kept);
        keep_mass(kept, weigh, sampling.top_p * total);
    } else if sampling.min_p > 0.0 {
        above(logits, weigh.bar(sampling.min_p), kept);
    } else {
        return false;
    }
    if sampling.min_p > 0.0 {
        // The likeliest weighs 1.
        kept.retain(|candidate| f64::from(weigh.one(candidate.logit)) >= sampling.min_p);
    }
    true
}

fn mass(candidates: &[Candidate], weigh: Weigh) -> f64 {
    candidates.iter().map(|candidate| f64::from(weigh.one(candidate.logit))).sum()
}

/// Keeps the shortest run of the likeliest that weighs `wanted`; it is not empty. Takes time in proportion to the
/// candidates: only the part in which the run ends is sorted.
fn keep_mass(candidates: &mut Vec<Candidate>, weigh: Weigh, wanted: f64) {
    const SORTED_AT_ONCE: usize = 32;
    let (mut start, mut end) = (0, candidates.len());
    let mut before = 0.0;
    while end - start > SORTED_AT_ONCE {
        let middle = (start + end) / 2;
        candidates[start..end].select_nth_unstable_by(middle - start, Candidate::likelier);
        let upper = mass(&candidates[start..middle], weigh);
        if before + upper >= wanted {
            end = middle;
        } else {
            before += upper;
            start = middle;
        }
    }
    candidates[start..end].sort_unstable_by(Candidate::likelier);
    let reached = candidates[start..end].iter().position(|candidate| {
        before += f64::from(weigh.one(candidate.logit));
        before >= wanted
    });
    candidates.truncate(reached.map_or(end, |last| start + last + 1).max(1));
}

/// The candidate at `random`, in `[0, 1)`, of their mass.
fn pick(candidates: &mut [Candidate], weigh: Weigh, random: f64) -> u32 {
    // Selection leaves an order of its own.
    candidates.sort_unstable_by_key(|candidate| candidate.id);
    let rest = random * mass(candidates, weigh);
    walk(candidates.iter().map(|candidate| (candidate.id, candidate.logit)), weigh, rest)
}

/// The token at `random`, in `[0, 1)`, of the mass of all tokens: first its block, then the token itself.
fn pick_from_all(logits: &[f32], weigh: Weigh, random: f64) -> u32 {
    let masses = weigh.blocks(logits);
    let mut rest = random * masses.iter().sum::<f64>();
    let mut chosen = 0;
    // Rounding can leave a sliver after the last block; it belongs to the last one that weighs anything.
    for (index, &mass) in masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
        chosen = index;
        if rest < mass {
            break;
        }
        rest -= mass;
    }
    let start = chosen * BLOCK;
    let block = &logits[start..logits.len().min(start + BLOCK)];
    walk(block.iter().enumerate().map(|(within, &logit)| ((start + within) as u32, logit)), weigh, rest)
}

/// The first token at which `rest` is used up; the last that weighs anything when rounding leaves a sliver.
fn walk(tokens: impl Iterator<Item = (u32, f32)>, weigh: Weigh, mut rest: f64) -> u32 {
    let mut last = 0;
    for (id, logit) in tokens {
        let weight = f64::from(weigh.one(logit));
        if weight > 0.0 {
            last = id;
            if rest < weight {
                break;
            }
            rest -= weight;
        }
    }
    last
}

/// A number in `[0, 1)` that belongs to this seed and position: ChaCha8 with the position as its stream.
pub(super) fn uniform(seed: u64, position: usize) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(position as u64);
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
