//! Passes over all logits of a token, written so that they vectorise.
//!
//! Sums run in fixed lanes and blocks, and the exponential is made of single multiplications and additions, which the
//! compiler never joins: every processor gets the same bits, whatever vector instructions it has.

/// Values side by side: the width of the widest vectors, in which narrower ones fit.
const LANES: usize = 16;

/// Logits that are looked at, and summed, together.
pub(super) const BLOCK: usize = 256;

/// Rules out the tokens whose bits are not set: token `id` is bit `id % 32` of word `id / 32`.
pub(super) fn rule_out(logits: &mut [f32], allowed: &[u32]) {
    let (known, beyond) = logits.split_at_mut(logits.len().min(32 * allowed.len()));
    beyond.fill(f32::NEG_INFINITY);
    for (chunk, &word) in known.chunks_mut(32).zip(allowed) {
        match word {
            u32::MAX => {}
            0 => chunk.fill(f32::NEG_INFINITY),
            _ => {
                let forbidden = chunk.iter_mut().enumerate().filter(|(bit, _)| word >> bit & 1 == 0);
                forbidden.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
            }
        }
    }
}

/// One token that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub id: u32,
    pub logit: f32,
}

impl Candidate {
    /// The likelier first, equal ones by id.
    pub fn likelier(&self, other: &Candidate) -> std::cmp::Ordering {
        let by_logit = other.logit.partial_cmp(&self.logit).expect("candidates have finite logits");
        by_logit.then(self.id.cmp(&other.id))
    }
}

/// The largest finite logit with the smallest id; `None` if there is none.
pub(super) fn argmax(logits: &[f32]) -> Option<Candidate> {
    let mut largest = maximum(logits);
    if largest == f32::INFINITY {
        let finite = logits.iter().copied().filter(|logit| logit.is_finite());
        largest = finite.fold(f32::NEG_INFINITY, f32::max);
    }
    if largest == f32::NEG_INFINITY {
        return None;
    }
    let start = logits.chunks(BLOCK).position(|block| contains(block, largest))? * BLOCK;
    let within = logits[start..].iter().position(|&logit| logit == largest)?;
    Some(Candidate { id: (start + within) as u32, logit: largest })
}

/// The largest value that is not NaN; minus infinity if there is none.
pub(super) fn maximum(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, &value| larger(largest, value))
}

fn contains(block: &[f32], wanted: f32) -> bool {
    let mut found = [false; LANES];
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in found.iter_mut().zip(chunk) {
            *lane |= value == wanted;
        }
    }
    found.contains(&true) || rest.contains(&wanted)
}

/// `exp((logit - largest) * scale)`: how likely a token is beside the likeliest, which has exactly 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weigh {
    pub largest: f32,
    /// One over the temperature.
    pub scale: f32,
}

impl Weigh {
    /// 0 for what is not finite, and for what is less than `exp(-87)`.
    #[inline(always)]
    pub fn one(self, logit: f32) -> f32 {
        exp_of_negative((logit - self.largest) * self.scale)
    }

    /// The sum over at most [`BLOCK`] logits. Relative error below 2e-6.
    #[inline(always)]
    fn block(self, logits: &[f32]) -> f64 {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = logits.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &logit) in lanes.iter_mut().zip(chunk) {
                *lane += self.one(logit);
            }
        }
        let rest = rest.iter().map(|&logit| f64::from(self.one(logit)));
        lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest.sum::<f64>()
    }

    /// The sums of all blocks, in order.
    pub fn blocks(self, logits: &[f32]) -> Vec<f64> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which is all the function asks for.
            return unsafe { self.blocks_avx2(logits) };
        }
        self.blocks_plain(logits)
    }

    /// The same steps with wider vectors, so the same bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn blocks_avx2(self, logits: &[f32]) -> Vec<f64> {
        self.blocks_plain(logits)
    }

    #[inline(always)]
    pub fn blocks_plain(self, logits: &[f32]) -> Vec<f64> {
        // A loop: what an iterator's method calls would not get the wider vectors of the function around it.
        let mut masses = Vec::with_capacity(logits.len().div_ceil(BLOCK));
        for block in logits.chunks(BLOCK) {
            masses.push(self.block(block));
        }
        masses
    }

    /// The sum over all logits.
    pub fn all(self, logits: &[f32]) -> f64 {
        self.blocks(logits).iter().sum()
    }

    /// A logit below which no token weighs `weight` or more.
    pub fn bar(self, weight: f64) -> f32 {
        let exact = f64::from(self.largest) + weight.ln() / f64::from(self.scale);
        // What rounding may add up to in the product and the exponential, in logits.
        let slack = 1e-4 / f64::from(self.scale) + 1e-6 * exact.abs();
        (exact - slack) as f32
    }
}

/// `e^x` for `-87 <= x <= 0`, within 2 units in the last place; 0 for everything else.
///
/// Source: Cephes, `expf`: `x = n ln 2 + r`, a polynomial in `r`, and `2^n` put together from bits.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    // Adding it rounds to a whole number, which then stands in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    /// 355 / 512: its products with small whole numbers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let is_inside = (-87.0..=0.0).contains(&x);
    let x = if is_inside { x } else { 0.0 };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let value = (p * (r * r) + r + 1.0) * power;
    if is_inside { value } else { 0.0 }
}

/// The `count` likeliest tokens with finite logits, likeliest first, into `kept`.
///
/// Blocks without a logit above the worst one kept so far are passed over, so that only few are looked at closely.
pub(super) fn likeliest(logits: &[f32], count: usize, kept: &mut Vec<Candidate>) {
    /// Short, so that one large logit costs little.
    const STEP: usize = 64;
    kept.clear();
    let count = count.min(logits.len());
    if count == 0 {
        return;
    }
    let room = (2 * count).max(STEP);
    let mut bar = f32::NEG_INFINITY;
    for (index, block) in logits.chunks(STEP).enumerate() {
        if maximum(block) <= bar {
            continue;
        }
        for (within, &logit) in block.iter().enumerate() {
            // Of equal logits the first are kept, so what only equals the bar comes too late.
            if logit > bar && logit < f32::INFINITY {
                kept.push(Candidate { id: (index * STEP + within) as u32, logit });
            }
            if kept.len() == room {
                keep_likeliest(kept, count);
                bar = kept.last().map_or(bar, |worst| worst.logit);
            }
        }
    }
    keep_likeliest(kept, count);
    kept.sort_unstable_by(Candidate::likelier);
}

/// Cuts `kept` to its `count` likeliest; the last one is then the least likely.
fn keep_likeliest(kept: &mut Vec<Candidate>, count: usize) {
    if kept.len() > count {
        kept.select_nth_unstable_by(count - 1, Candidate::likelier);
    }
    kept.truncate(count);
}

/// All tokens with finite logits from `bar` on, by id, into `kept`.
pub(super) fn above(logits: &[f32], bar: f32, kept: &mut Vec<Candidate>) {
    kept.clear();
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        if maximum(block) < bar {
            continue;
        }
        let here = block.iter().enumerate().filter(|(_, logit)| **logit >= bar && logit.is_finite());
        kept.extend(here.map(|(within, &logit)| Candidate { id: (index * BLOCK + within) as u32, logit }));
    }
}
