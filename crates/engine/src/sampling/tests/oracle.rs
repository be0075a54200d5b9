//! What sampling should do, in f64 and without any care for speed.

use crate::sampling::Sampling;

/// The logits after penalties and bias.
pub fn adjusted(logits: &[f32], sampling: &Sampling, prompt: &[u32], answer: &[u32]) -> Vec<f64> {
    let mut adjusted: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    for (index, logit) in adjusted.iter_mut().enumerate() {
        let id = index as u32;
        let count = answer.iter().filter(|&&seen| seen == id).count();
        if count > 0 || prompt.contains(&id) {
            *logit = match *logit < 0.0 {
                true => *logit * sampling.repetition_penalty,
                false => *logit / sampling.repetition_penalty,
            };
        }
        *logit -= sampling.frequency_penalty * count as f64;
        *logit -= if count > 0 { sampling.presence_penalty } else { 0.0 };
        for &(biased, bias) in &sampling.logit_bias {
            *logit += if biased == id { f64::from(bias) } else { 0.0 };
        }
    }
    adjusted
}

/// The probability of each token: temperature, then top-k, top-p and min-p, each on what the one before left.
pub fn probabilities(logits: &[f64], sampling: &Sampling) -> Vec<f64> {
    let mut order: Vec<usize> = (0..logits.len()).filter(|&index| logits[index].is_finite()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if sampling.temperature == 0.0 {
        order.truncate(1);
    }
    let temperature = if sampling.temperature == 0.0 { 1.0 } else { sampling.temperature };
    order.truncate(sampling.top_k.unwrap_or(logits.len()));
    let largest = logits[order[0]];
    let weight = |index: &usize| ((logits[*index] - largest) / temperature).exp();
    let total: f64 = order.iter().map(weight).sum();
    let mut mass = 0.0;
    let reached = order.iter().position(|index| {
        mass += weight(index) / total;
        mass >= sampling.top_p
    });
    order.truncate(reached.map_or(order.len(), |last| last + 1));
    order.retain(|index| weight(index) >= sampling.min_p);
    let total: f64 = order.iter().map(weight).sum();
    let mut probabilities = vec![0.0; logits.len()];
    for index in order {
        probabilities[index] = weight(&index) / total;
    }
    probabilities
}

/// The logarithm of the probability of each token before anything is done to the logits.
pub fn logprobs(logits: &[f32]) -> Vec<f64> {
    let finite = || logits.iter().filter(|logit| logit.is_finite()).map(|&logit| f64::from(logit));
    let largest = finite().fold(f64::NEG_INFINITY, f64::max);
    let total = largest + finite().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    let of = |logit: f32| if logit.is_finite() { f64::from(logit) - total } else { f64::NEG_INFINITY };
    logits.iter().map(|&logit| of(logit)).collect()
}
