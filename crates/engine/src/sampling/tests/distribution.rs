//! Draws follow the probabilities that the settings leave.

use super::oracle::{adjusted, probabilities};
use super::*;

const DRAWS: usize = 20_000;

/// Fails when `counts` cannot come from `probabilities`: a chi-square test at about five standard deviations. The
/// seeds are fixed, so it gives the same answer every time.
pub fn assert_follows(counts: &[usize], probabilities: &[f64], what: &dyn std::fmt::Debug) {
    let draws: usize = counts.iter().sum();
    // Cells that should get less than five draws are put together.
    let (mut statistic, mut cells) = (0.0, 0.0);
    let (mut rare_expected, mut rare_count) = (0.0, 0.0);
    for (id, (&count, &probability)) in counts.iter().zip(probabilities).enumerate() {
        assert!(probability > 0.0 || count == 0, "token {id} came {count} times, and never should: {what:?}");
        let expected = probability * draws as f64;
        if expected < 5.0 {
            rare_expected += expected;
            rare_count += count as f64;
        } else {
            statistic += (count as f64 - expected).powi(2) / expected;
            cells += 1.0;
        }
    }
    if rare_expected >= 5.0 {
        statistic += (rare_count - rare_expected).powi(2) / rare_expected;
        cells += 1.0;
    } else {
        // Hardly ever: five expected draws stay below 25 far beyond five standard deviations.
        assert!(rare_count < 25.0, "{rare_count} rare draws, {rare_expected} expected: {what:?}");
    }
    let freedom: f64 = f64::max(cells - 1.0, 1.0);
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 10.0;
    assert!(statistic < bound, "chi-square {statistic} with {freedom} degrees of freedom, at most {bound}: {what:?}");
}

fn counts(logits: &[f32], sampling: &Sampling, prompt: &[u32], answer: &[u32]) -> Vec<usize> {
    let mut sampler = Sampler::new(sampling.clone(), prompt);
    answer.iter().for_each(|&id| sampler.accept(id).unwrap());
    let mut counts = vec![0; logits.len()];
    for position in 0..DRAWS {
        counts[sampler.choose(&mut logits.to_vec(), position).unwrap().id as usize] += 1;
    }
    counts
}

#[test]
fn draws_follow_the_probabilities_under_every_setting() {
    let mut random = Random::new(1);
    for round in 0..60 {
        let count = 2 + random.below(700);
        let logits = random.logits(count, 6.0);
        let mut sampling = Sampling { temperature: 0.3 + 1.5 * random.unit(), seed: round, ..Sampling::default() };
        if round % 2 == 1 {
            sampling.top_k = Some(1 + random.below(60));
        }
        if round % 3 == 1 {
            sampling.top_p = 0.2 + 0.79 * random.unit();
        }
        if round % 5 == 1 {
            sampling.min_p = 0.3 * random.unit();
        }
        let expected = probabilities(&adjusted(&logits, &sampling, &[], &[]), &sampling);
        assert_follows(&counts(&logits, &sampling, &[], &[]), &expected, &sampling);
    }
}

#[test]
fn draws_follow_the_penalised_probabilities() {
    let mut random = Random::new(2);
    for round in 0..12 {
        let logits = random.logits(40, 4.0);
        let mut ids = |count: usize| (0..count).map(|_| random.below(40) as u32).collect::<Vec<u32>>();
        let (prompt, answer) = (ids(10), ids(15));
        let sampling = Sampling {
            repetition_penalty: 0.7 + 1.3 * random.unit(),
            frequency_penalty: 2.0 * random.unit() - 0.5,
            presence_penalty: 2.0 * random.unit() - 0.5,
            logit_bias: vec![(3, 1.5), (20, -2.0), (39, -100.0)],
            temperature: 0.8,
            top_k: (round % 2 == 0).then_some(12),
            seed: round,
            ..Sampling::default()
        };
        let expected = probabilities(&adjusted(&logits, &sampling, &prompt, &answer), &sampling);
        assert_follows(&counts(&logits, &sampling, &prompt, &answer), &expected, &sampling);
    }
}

#[test]
fn flat_and_steep_vocabularies_are_drawn_right() {
    let mut steep = vec![-30.0; 1000];
    steep[700] = 5.0;
    let settings = [varied(), Sampling { top_p: 0.5, ..varied() }, Sampling { min_p: 0.5, ..varied() }];
    for sampling in settings {
        for logits in [vec![1.5; 300], steep.clone()] {
            let expected = probabilities(&adjusted(&logits, &sampling, &[], &[]), &sampling);
            assert_follows(&counts(&logits, &sampling, &[], &[]), &expected, &sampling);
        }
    }
}

/// A chi-square test that would accept anything proves nothing.
#[test]
#[should_panic(expected = "chi-square")]
fn a_wrong_temperature_is_noticed() {
    let logits = Random::new(3).logits(50, 4.0);
    let right = varied();
    let wrong = Sampling { temperature: 1.1, ..varied() };
    let expected = probabilities(&adjusted(&logits, &right, &[], &[]), &right);
    assert_follows(&counts(&logits, &wrong, &[], &[]), &expected, &right);
}

#[test]
fn the_most_likely_token_after_penalties_wins_greedily() {
    let mut random = Random::new(4);
    for _ in 0..300 {
        let logits = random.logits(64, 4.0);
        let answer: Vec<u32> = (0..20).map(|_| random.below(64) as u32).collect();
        let sampling =
            Sampling { repetition_penalty: 1.3, frequency_penalty: 0.4, presence_penalty: 0.6, ..Sampling::default() };
        let expected = probabilities(&adjusted(&logits, &sampling, &[7, 8], &answer), &sampling);
        let mut sampler = Sampler::new(sampling, &[7, 8]);
        answer.iter().for_each(|&id| sampler.accept(id).unwrap());
        let token = sampler.choose(&mut logits.clone(), 0).unwrap();
        assert_eq!(expected[token.id as usize], 1.0);
    }
}

#[test]
fn a_draw_belongs_to_seed_and_position() {
    let logits = vec![0.0; 1000];
    let at = |seed, position| choose(&logits, &Sampling { seed, ..varied() }, position);
    assert_eq!(at(1, 5), at(1, 5));
    let other_positions = (0..50).filter(|&position| at(1, position) == at(1, 5)).count();
    let other_seeds = (0..50).filter(|&seed| at(seed, 5) == at(1, 5)).count();
    assert!(other_positions < 5 && other_seeds < 5);
}

#[test]
fn checking_a_guess_gives_what_choosing_one_by_one_gives() {
    let mut random = Random::new(5);
    let rows: Vec<Vec<f32>> = (0..40).map(|_| random.logits(300, 3.0)).collect();
    let sampling = Sampling { repetition_penalty: 1.2, frequency_penalty: 0.5, top_k: Some(40), seed: 9, ..varied() };
    let mut alone = Sampler::new(sampling.clone(), &[1, 2]);
    let mut answer = Vec::new();
    for (position, row) in rows.iter().enumerate() {
        let token = alone.choose(&mut row.clone(), position).unwrap().id;
        alone.accept(token).unwrap();
        answer.push(token);
    }
    // A guess that is wrong here and there: what was chosen instead is kept, the rest of the guess is dropped.
    let mut guess = answer.clone();
    [4, 9, 23].into_iter().for_each(|at| guess[at] += 1);
    let mut checked = Sampler::new(sampling, &[1, 2]);
    let mut given: Vec<u32> = Vec::new();
    while given.len() < rows.len() {
        let guessed = given.len()..rows.len().min(given.len() + 5);
        for position in guessed {
            let token = checked.choose(&mut rows[position].clone(), position).unwrap().id;
            checked.accept(token).unwrap();
            given.push(token);
            if token != guess[position] {
                break;
            }
        }
    }
    assert_eq!(given, answer);
}
