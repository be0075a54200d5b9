//! Tokens chosen on a card beside the same choice made step by step in f64.

use candle_core::{DType, Device, Tensor};
use codeact_ops::emulation::Emulation;
use codeact_ops::sampling::{Choice, NO_TOKEN, choose};

use super::lab::{SEEDS, numbers, values};

/// The definition: sort, cut, cut, cut, walk. With the token how far the draw is from the nearest border, as a share of
/// the mass, and how far each cut is from one.
fn expected(logits: &[f32], choice: &Choice) -> (u32, f64) {
    let mut tokens: Vec<(u32, f64)> =
        logits.iter().enumerate().filter(|(_, x)| x.is_finite()).map(|(id, x)| (id as u32, f64::from(*x))).collect();
    tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let Some(&(best, largest)) = tokens.first() else { return (NO_TOKEN, 1.0) };
    if choice.temperature == 0.0 || choice.top_k == Some(1) {
        return (best, 1.0);
    }
    tokens.iter_mut().for_each(|token| token.1 = ((token.1 - largest) / f64::from(choice.temperature)).exp());
    tokens.truncate(choice.top_k.unwrap_or(u32::MAX) as usize);
    let mut margin = 1.0f64;
    if choice.top_p < 1.0 {
        let total: f64 = tokens.iter().map(|token| token.1).sum();
        let wanted = f64::from(choice.top_p) * total;
        let mut mass = 0.0;
        let end = tokens.iter().position(|token| {
            mass += token.1;
            margin = margin.min((mass - wanted).abs() / total);
            mass >= wanted
        });
        tokens.truncate(end.map_or(tokens.len(), |last| last + 1));
    }
    margin = tokens.iter().fold(margin, |margin, token| margin.min((token.1 - f64::from(choice.min_p)).abs()));
    tokens.retain(|token| token.1 >= f64::from(choice.min_p));
    tokens.sort_by_key(|token| token.0);
    let total: f64 = tokens.iter().map(|token| token.1).sum();
    let (mut rest, mut chosen) = (choice.random * total, tokens[tokens.len() - 1].0);
    for (id, weight) in &tokens {
        margin = margin.min(rest / total + f64::from(u8::from(*id == tokens[0].0))).min((weight - rest).abs() / total);
        if rest < *weight {
            chosen = *id;
            break;
        }
        rest -= weight;
    }
    (chosen, margin)
}

fn check(logits: &Tensor, choices: &[Choice]) -> usize {
    let rows: Vec<Vec<f32>> = (0..choices.len()).map(|row| values(&logits.get(row).unwrap())).collect();
    let words: Vec<u32> = choices.iter().flat_map(Choice::words).collect();
    let words = Tensor::from_vec(words, choices.len() * 8, &Device::Cpu).unwrap();
    let mut drawn = 0;
    for seed in SEEDS {
        let emulation = Emulation::begin(seed);
        let tokens = Tensor::zeros(choices.len(), DType::U32, &Device::Cpu).unwrap();
        choose(logits, &words, &tokens).unwrap();
        drop(emulation);
        for ((got, choice), logits) in tokens.to_vec1::<u32>().unwrap().into_iter().zip(choices).zip(&rows) {
            let (want, margin) = expected(logits, choice);
            // So near to a border that the last bits of an exponential decide.
            if margin > 1e-5 {
                assert_eq!(got, want, "{choice:?}, seed {seed}, margin {margin:e}");
                drawn += 1;
            }
        }
    }
    drawn
}

/// Choices of every kind, with random numbers all over.
fn choices(count: usize) -> Vec<Choice> {
    let random = |i: usize| (i as f64 * 0.618_033_988_749).fract();
    let choice = |i: usize| Choice {
        temperature: [0.0, 0.7, 1.0, 3.0][i % 4],
        top_k: [None, Some(5), None, Some(40), Some(1)][i % 5],
        top_p: [1.0, 0.9, 0.3, 1.0, 0.999, 1e-6][i % 6],
        min_p: [0.0, 0.0, 0.05, 0.5, 1.0][i % 7 % 5],
        random: (random(i) * (1u64 << 53) as f64).floor() / (1u64 << 53) as f64,
    };
    (0..count).map(choice).collect()
}

#[test]
fn tokens_are_those_of_the_definition() {
    // One tile and less, several, and a vocabulary with a remainder.
    for (count, rows) in [(3, 60), (512, 20), (1100, 60)] {
        let logits = (numbers(&[rows, count], count as u32) * 6.0).unwrap();
        let drawn = check(&logits, &choices(rows));
        assert!(drawn > rows * 5 / 2, "{drawn} of {} draws were far from a border", 3 * rows);
    }
}

#[test]
fn equal_logits_are_ordered_by_id() {
    // Rounded, so that most are equal to others; zeros of both signs are equal.
    let logits = (numbers(&[60, 700], 3) * 2.0).unwrap().round().unwrap();
    assert!(check(&logits, &choices(60)) > 120);
    let zeros = (Tensor::zeros((30, 600), DType::F32, &Device::Cpu).unwrap() * -1.0).unwrap();
    assert!(check(&zeros, &choices(30)) > 60);
}

#[test]
fn what_is_not_finite_is_never_chosen() {
    let rows = [
        vec![f32::NAN, f32::INFINITY, 1.0, f32::NEG_INFINITY, 0.5],
        vec![f32::NAN, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, f32::NAN],
        vec![f32::NEG_INFINITY, f32::MIN, f32::MIN, f32::NAN, f32::NEG_INFINITY],
    ];
    let logits = Tensor::from_vec(rows.concat(), (3, 5), &Device::Cpu).unwrap();
    for i in 0..40 {
        check(&logits, &[choices(40)[i], choices(40)[i], choices(40)[i]]);
    }
}
