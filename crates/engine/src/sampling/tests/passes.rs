//! The passes over all logits, beside plain loops.

use super::oracle;
use super::*;
use crate::sampling::TokenLogprobs;
use crate::sampling::scan::{Candidate, Weigh, above, argmax, likeliest, maximum, rule_out};

/// Logits with everything a broken model can give.
fn spoilt(random: &mut Random, count: usize) -> Vec<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN, 3.0, 3.0];
    let mut logits = random.logits(count, 4.0);
    for _ in 0..random.below(count + 1) {
        let at = random.below(count);
        logits[at] = odd[random.below(odd.len())];
    }
    logits
}

fn sorted(logits: &[f32]) -> Vec<Candidate> {
    let all = logits.iter().enumerate().map(|(index, &logit)| Candidate { id: index as u32, logit });
    let mut finite: Vec<Candidate> = all.filter(|candidate| candidate.logit.is_finite()).collect();
    finite.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap().then(a.id.cmp(&b.id)));
    finite
}

#[test]
fn the_largest_are_found_among_anything() {
    let mut random = Random::new(11);
    let mut kept = Vec::new();
    for round in 0..600 {
        let count = 1 + random.below(if round % 10 == 0 { 3000 } else { 90 });
        let logits = spoilt(&mut random, count);
        let sorted = sorted(&logits);
        assert_eq!(argmax(&logits), sorted.first().copied());
        let plain = logits.iter().copied().filter(|logit| !logit.is_nan());
        assert_eq!(maximum(&logits), plain.fold(f32::NEG_INFINITY, f32::max));
        let wanted = random.below(count + 5);
        likeliest(&logits, wanted, &mut kept);
        assert_eq!(kept, sorted[..wanted.min(sorted.len())]);
        let bar = sorted.get(wanted).map_or(-1.0, |candidate| candidate.logit);
        above(&logits, bar, &mut kept);
        let mut expected: Vec<Candidate> = sorted.into_iter().filter(|candidate| candidate.logit >= bar).collect();
        expected.sort_by_key(|candidate| candidate.id);
        assert_eq!(kept, expected);
    }
}

#[test]
fn rising_falling_and_equal_logits_keep_their_order() {
    let rising: Vec<f32> = (0..2000).map(|index| index as f32).collect();
    let falling: Vec<f32> = rising.iter().rev().copied().collect();
    let mut kept = Vec::new();
    for logits in [rising, falling, vec![2.0; 2000]] {
        likeliest(&logits, 70, &mut kept);
        assert_eq!(kept, sorted(&logits)[..70]);
    }
}

#[test]
fn the_exponential_is_within_two_units_in_the_last_place() {
    let weigh = Weigh { largest: 0.0, scale: 1.0 };
    assert_eq!(weigh.one(0.0), 1.0);
    let mut worst: f64 = 0.0;
    for step in 0..870_000 {
        let x = -(step as f32) * 1e-4;
        let exact = f64::from(x).exp();
        let unit = f64::from((exact as f32).next_up() - exact as f32);
        worst = worst.max((f64::from(weigh.one(x)) - exact).abs() / unit);
    }
    assert!(worst < 2.0, "{worst} units");
    for x in [-87.5, -1e30, f32::NEG_INFINITY, f32::NAN, f32::INFINITY, 0.5] {
        assert_eq!(weigh.one(x), 0.0, "{x}");
    }
}

#[test]
fn sums_are_close_to_those_in_f64() {
    let mut random = Random::new(12);
    for count in [1, 15, 16, 17, 255, 256, 257, 5000, 49_152] {
        let logits = random.logits(count, 5.0);
        let largest = maximum(&logits);
        let weigh = Weigh { largest, scale: 1.25 };
        let exact: f64 = logits.iter().map(|&logit| ((f64::from(logit) - f64::from(largest)) * 1.25).exp()).sum();
        let error = (weigh.all(&logits) / exact - 1.0).abs();
        assert!(error < 2e-6, "{count} logits: {error}");
    }
}

/// On a processor without wider vectors both are the same code.
#[test]
fn wider_vectors_give_the_same_bits() {
    let mut random = Random::new(15);
    for count in [1, 17, 300, 5001] {
        let logits = spoilt(&mut random, count);
        let largest = argmax(&logits).map_or(0.0, |best| best.logit);
        let weigh = Weigh { largest, scale: 0.77 };
        assert_eq!(weigh.blocks(&logits), weigh.blocks_plain(&logits));
    }
}

#[test]
fn log_probabilities_are_those_of_the_raw_logits() {
    let mut random = Random::new(13);
    for count in [1, 5, 400, 49_152] {
        let mut logits = random.logits(count, 5.0);
        logits[count / 2] = if count > 1 { f32::NEG_INFINITY } else { 1.0 };
        let exact = oracle::logprobs(&logits);
        let mut order: Vec<u32> = (0..count as u32).filter(|&id| logits[id as usize].is_finite()).collect();
        order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        order.truncate(20);
        let sampling = Sampling {
            logprobs: Some(20),
            repetition_penalty: 1.7,
            logit_bias: vec![(0, 100.0)],
            temperature: 0.7,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(sampling, &[0, 3]);
        let token = sampler.choose(&mut logits.clone(), 1).unwrap();
        assert_eq!(token.id, 0);
        let told = token.logprobs.unwrap();
        let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 5e-6 * (1.0 + b.abs());
        assert!(close(told.logprob, exact[0]), "{} instead of {}", told.logprob, exact[0]);
        assert_eq!(told.top.iter().map(|(id, _)| *id).collect::<Vec<u32>>(), order);
        assert!(told.top.iter().all(|&(id, logprob)| close(logprob, exact[id as usize])));
        let scored = TokenLogprobs::of(&logits, 0, 20).unwrap();
        assert_eq!(scored, told);
        let ruled_out = TokenLogprobs::of(&logits, (count / 2) as u32, 0).unwrap();
        assert!(count == 1 || ruled_out.logprob == f32::NEG_INFINITY);
    }
}

#[test]
fn what_has_no_bit_is_ruled_out() {
    let mut random = Random::new(14);
    for count in [1, 31, 32, 33, 64, 500] {
        for words in [0, 1, 2, 16, 20] {
            let kinds = [0, u32::MAX, 0xDEAD_BEEF, 1];
            let allowed: Vec<u32> = (0..words).map(|_| kinds[random.below(4)]).collect();
            let mut logits = vec![1.0; count];
            rule_out(&mut logits, &allowed);
            for (id, logit) in logits.iter().enumerate() {
                let has = allowed.get(id / 32).is_some_and(|word| word >> (id % 32) & 1 == 1);
                assert_eq!(*logit, if has { 1.0 } else { f32::NEG_INFINITY });
            }
        }
    }
}
