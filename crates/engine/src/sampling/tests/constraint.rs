//! Constraints restrict what is drawn, and change nothing else.

use std::sync::{Arc, LazyLock};

use codeact_grammar::{ActionRule, Grammar, GrammarError, Matcher, Vocabulary};

use super::distribution::assert_follows;
use super::oracle::{adjusted, probabilities};
use super::*;
use crate::sampling::SamplingError;

/// All bytes and an end token, which is also what rows of logits are wide, and a bit more.
const END: u32 = 256;
const WIDTH: usize = 300;

static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let bytes = (0..=255u8).map(|byte| Some(vec![byte]));
    let tokens: Vec<Option<Vec<u8>>> = bytes.chain([None]).collect();
    Vocabulary::new(&tokens, &[END]).unwrap()
});

fn letters() -> Matcher {
    Grammar::regex("[a-f0-9]{1,30}").unwrap().matcher(&VOCABULARY).unwrap()
}

fn execute() -> Matcher {
    let rule = ActionRule { execute: true, solution: false, is_required: true };
    Grammar::action(rule).unwrap().matcher(&VOCABULARY).unwrap()
}

/// The logits with everything that `matcher` does not allow ruled out, one token after the other.
fn masked(matcher: &mut Matcher, logits: &[f32], left: usize) -> Vec<f32> {
    let is_allowed = |id: usize, matcher: &mut Matcher| matcher.allows(id as u32, left).unwrap();
    let keep = |(id, &logit)| if is_allowed(id, matcher) { logit } else { f32::NEG_INFINITY };
    logits.iter().enumerate().map(keep).collect()
}

#[test]
fn draws_follow_the_probabilities_of_what_is_allowed() {
    let mut random = Random::new(31);
    for round in 0..8 {
        let logits = random.logits(WIDTH, 4.0);
        let sampling = Sampling { top_k: (round % 2 == 0).then_some(9), seed: round, temperature: 1.3, ..varied() };
        let mut sampler = Sampler::new(sampling.clone(), &[]).constrained(letters(), 50).unwrap();
        let mut counts = vec![0; WIDTH];
        for position in 0..20_000 {
            counts[sampler.choose(&mut logits.clone(), position).unwrap().id as usize] += 1;
        }
        let masked = masked(&mut letters(), &logits, 50);
        assert_follows(&counts, &probabilities(&adjusted(&masked, &sampling, &[], &[]), &sampling), &sampling);
    }
}

#[test]
fn greedy_takes_the_most_likely_of_what_is_allowed() {
    let mut random = Random::new(32);
    let mut asked = [0, 0];
    for _ in 0..20 {
        let mut sampler = Sampler::new(Sampling::default(), &[]).constrained(letters(), 50).unwrap();
        let mut matcher = letters();
        while !sampler.is_done() {
            let mut logits = random.logits(WIDTH, 4.0);
            // Often what is likeliest is allowed, and often not.
            let liked = b"abcdef0123456789"[random.below(16)];
            logits[usize::from(liked)] += 9.0;
            let masked = masked(&mut matcher, &logits, 50);
            let expected = (0..WIDTH).fold(0, |best, id| if masked[id] > masked[best] { id } else { best });
            let is_allowed = expected == choose(&logits, &Sampling::default(), 0).unwrap() as usize;
            asked[usize::from(is_allowed)] += 1;
            let token = sampler.choose(&mut logits, 0).unwrap();
            assert_eq!(token.id as usize, expected);
            assert_eq!(sampler.is_end(token.id), token.id == END);
            sampler.accept(token.id).unwrap();
            matcher.accept(token.id).unwrap();
        }
    }
    assert!(asked[0] > 20 && asked[1] > 20, "{asked:?}");
}

#[test]
fn logprobs_are_those_of_the_unconstrained_model() {
    let logits = Random::new(33).logits(WIDTH, 4.0);
    let sampling = Sampling { logprobs: Some(5), ..varied() };
    let mut free = Sampler::new(sampling.clone(), &[]);
    let mut bound = Sampler::new(sampling, &[]).constrained(letters(), 50).unwrap();
    let (free, bound) = (free.choose(&mut logits.clone(), 0).unwrap(), bound.choose(&mut logits.clone(), 0).unwrap());
    assert_eq!(free.logprobs.unwrap().top, bound.logprobs.clone().unwrap().top);
    let exact = super::oracle::logprobs(&logits)[bound.id as usize];
    assert!((f64::from(bound.logprobs.unwrap().logprob) - exact).abs() < 1e-4);
}

#[test]
fn an_action_is_closed_within_its_tokens() {
    let mut random = Random::new(34);
    for tokens_max in [19, 20, 25, 60] {
        let mut sampler = Sampler::new(varied(), &[]).constrained(execute(), tokens_max).unwrap();
        let mut reply = Vec::new();
        while !sampler.is_done() {
            let token = sampler.choose(&mut random.logits(WIDTH, 4.0), reply.len()).unwrap();
            sampler.accept(token.id).unwrap();
            reply.push(token.id as u8);
        }
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.len() <= tokens_max && reply.ends_with("</execute>"), "{reply:?}");
    }
    let refusal = Sampler::new(varied(), &[]).constrained(execute(), 18).unwrap_err();
    assert_eq!(refusal, SamplingError::Constraint(GrammarError::NoRoom { needed: 19, left: 18 }));
}

#[test]
fn what_is_not_allowed_is_not_accepted() {
    let mut sampler = Sampler::new(varied(), &[]).constrained(letters(), 50).unwrap();
    assert!(matches!(sampler.accept(u32::from(b'x')), Err(SamplingError::Constraint(_))));
    sampler.accept(u32::from(b'a')).unwrap();
    // A model that rules out everything that is allowed has no next token.
    let mut logits = vec![f32::NEG_INFINITY; WIDTH];
    logits[usize::from(b'x')] = 1.0;
    assert_eq!(sampler.choose(&mut logits, 3).unwrap_err(), SamplingError::NotFinite { position: 3 });
}

#[test]
fn stop_tokens_end_unless_they_are_ignored() {
    let stopping = Sampling { stop_ids: vec![7], ..varied() };
    let sampler = Sampler::new(stopping.clone(), &[]);
    assert!(sampler.is_end(7) && !sampler.is_end(8) && !sampler.is_done());
    let deaf = Sampling { ignore_eos: true, ..stopping };
    assert!(!Sampler::new(deaf.clone(), &[]).is_end(7));
    let bound = Sampler::new(deaf, &[]).constrained(letters(), 50).unwrap();
    assert!(bound.is_end(END) && !bound.is_end(7));
}
