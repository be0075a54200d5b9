//! Settings and logits at and beyond their bounds.

use super::*;
use crate::sampling::{SamplingError, TokenLogprobs};

#[test]
fn greedy_takes_the_first_of_the_largest() {
    let logits = [0.0, f32::NAN, 3.0, 3.0, f32::INFINITY];
    assert_eq!(choose(&logits, &Sampling::default(), 0), Some(2));
    assert_eq!(choose(&logits, &Sampling { temperature: 1e-300, ..varied() }, 0), Some(2));
    assert_eq!(choose(&logits, &Sampling { top_k: Some(1), ..varied() }, 0), Some(2));
}

#[test]
fn no_finite_logit_gives_no_token() {
    for sampling in [Sampling::default(), varied(), Sampling { logprobs: Some(3), ..varied() }] {
        for logits in [&[][..], &[f32::NAN, f32::NEG_INFINITY], &[f32::NAN; 300], &[f32::INFINITY]] {
            let refusal = Sampler::new(sampling.clone(), &[]).choose(&mut logits.to_vec(), 7).unwrap_err();
            assert_eq!(refusal, SamplingError::NotFinite { position: 7 });
        }
    }
    assert_eq!(TokenLogprobs::of(&[f32::NAN], 0, 3), None);
}

#[test]
fn a_single_candidate_is_always_taken() {
    let mut logits = vec![f32::NEG_INFINITY; 600];
    logits[431] = -1e30;
    let settings = [
        varied(),
        Sampling { top_p: 1e-9, ..varied() },
        Sampling { min_p: 1.0, ..varied() },
        Sampling { top_k: Some(50), top_p: 0.5, min_p: 0.1, ..varied() },
        Sampling { top_k: Some(usize::MAX), ..varied() },
        Sampling { temperature: 100.0, ..varied() },
    ];
    for sampling in settings {
        assert!((0..200).all(|position| choose(&logits, &sampling, position) == Some(431)), "{sampling:?}");
    }
}

#[test]
fn extreme_settings_still_choose_something_finite() {
    let mut random = Random::new(21);
    for round in 0..400 {
        let mut logits = random.logits(1 + round % 300, 4.0);
        if round % 3 == 0 {
            let at = random.below(logits.len());
            logits[at] = [f32::MAX, f32::MIN, f32::INFINITY, f32::NAN][round % 4];
        }
        let pick = |random: &mut Random, values: &[f64]| values[random.below(values.len())];
        let sampling = Sampling {
            temperature: pick(&mut random, &[1e-5, 0.01, 1.0, 100.0]),
            top_k: [None, Some(1), Some(3), Some(299), Some(usize::MAX)][random.below(5)],
            top_p: pick(&mut random, &[f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON, 1.0]),
            min_p: pick(&mut random, &[0.0, f64::MIN_POSITIVE, 0.5, 1.0]),
            repetition_penalty: pick(&mut random, &[0.01, 1.0, 100.0]),
            frequency_penalty: pick(&mut random, &[-2.0, 0.0, 2.0]),
            presence_penalty: pick(&mut random, &[-2.0, 0.0, 2.0]),
            logit_bias: vec![(0, 100.0)],
            logprobs: Some(20),
            ..Sampling::default()
        };
        sampling.check(logits.len()).unwrap();
        let mut sampler = Sampler::new(sampling, &[0, 1, 5000]);
        for position in 0..4 {
            match sampler.choose(&mut logits.clone(), position) {
                Ok(token) => {
                    assert!(logits[token.id as usize].is_finite());
                    sampler.accept(token.id).unwrap();
                }
                Err(_) => assert!(logits.iter().all(|logit| !logit.is_finite())),
            }
        }
    }
}

#[test]
fn a_large_bias_decides() {
    let logits = Random::new(22).logits(500, 4.0);
    let up = Sampling { logit_bias: vec![(77, 100.0)], ..varied() };
    assert!((0..200).all(|position| choose(&logits, &up, position) == Some(77)));
    let likeliest = choose(&logits, &Sampling::default(), 0).unwrap();
    let down = Sampling { logit_bias: vec![(likeliest, -100.0)], ..varied() };
    assert!((0..200).all(|position| choose(&logits, &down, position) != Some(likeliest)));
}

#[test]
fn every_value_out_of_range_is_refused_with_its_range() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-300, -3.0, 1e300, 101.0];
    type Set = fn(&mut Sampling, f64);
    let fields: [(&str, Set); 6] = [
        ("temperature", |sampling, value| sampling.temperature = value),
        ("top_p", |sampling, value| sampling.top_p = value),
        ("min_p", |sampling, value| sampling.min_p = value),
        ("repetition_penalty", |sampling, value| sampling.repetition_penalty = value),
        ("frequency_penalty", |sampling, value| sampling.frequency_penalty = value * 3e300),
        ("presence_penalty", |sampling, value| sampling.presence_penalty = value * 3e300),
    ];
    for (name, set) in fields {
        for value in odd {
            let mut sampling = Sampling::default();
            set(&mut sampling, value);
            let SamplingError::Refused { field, range, .. } = sampling.check(10).unwrap_err() else {
                panic!("{name} {value}");
            };
            assert!(field == name && !range.is_empty());
        }
    }
    let others = [
        Sampling { top_k: Some(0), ..varied() },
        Sampling { top_p: 0.0, ..varied() },
        Sampling { max_new_tokens: 0, ..varied() },
        Sampling { logprobs: Some(21), ..varied() },
        Sampling { logit_bias: vec![(10, 1.0)], ..varied() },
        Sampling { logit_bias: vec![(9, f32::NAN)], ..varied() },
        Sampling { logit_bias: vec![(9, f32::INFINITY)], ..varied() },
        Sampling { logit_bias: vec![(9, 1.0), (3, 1.0), (9, 1.0)], ..varied() },
        Sampling { stop_ids: vec![1; 513], ..varied() },
    ];
    for sampling in others {
        assert!(sampling.check(10).is_err(), "{sampling:?}");
    }
    let error = Sampling { min_p: -0.5, ..varied() }.check(10).unwrap_err();
    assert_eq!(error.to_string(), "`min_p` is -0.5; it must be from 0 to 1");
}

#[test]
fn whatever_is_accepted_can_be_sampled() {
    let mut random = Random::new(23);
    let logits = random.logits(50, 4.0);
    let mut accepted = 0;
    for _ in 0..20_000 {
        // Any bit pattern may come over the network.
        let mut any = || match random.below(3) {
            0 => f64::from_bits(random.0.next_u64()),
            1 => (random.unit() - 0.3) * 3.0,
            _ => 1.0,
        };
        let mut sampling = Sampling {
            temperature: any(),
            top_p: any(),
            min_p: any(),
            repetition_penalty: any(),
            frequency_penalty: any(),
            presence_penalty: any(),
            logit_bias: vec![(30, any() as f32)],
            ..Sampling::default()
        };
        sampling.top_k = [None, Some(random.below(60))][random.below(2)];
        sampling.seed = random.0.next_u64();
        if sampling.check(50).is_ok() {
            accepted += 1;
            let position = random.below(1 << 40);
            let mut sampler = Sampler::new(sampling, &[1, 2, 3]);
            sampler.accept(4).unwrap();
            assert!(sampler.choose(&mut logits.clone(), position).unwrap().id < 50);
        }
    }
    assert!(accepted > 100, "only {accepted} accepted");
}
