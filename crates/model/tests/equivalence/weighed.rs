//! Gradients of functions of the losses: of a sum, of DPO by the tape, and of a batch that is cut.

use candle_core::{DType, Result, Tensor, Var};
use codeact_model::{Adapter, Batch, Decoder, Recompute};

use super::{CPU, SlowModel, adapter, assert_close, batch, documents, gradients, in_each_place, models};

fn weighed(decoder: &Decoder, adapter: &Adapter, batch: &Batch, weigh: &mut dyn FnMut(&[f64]) -> Vec<f32>) -> Vec<f32> {
    let flat = adapter.parameters().zeros_like().unwrap();
    decoder.weighed_gradients(adapter, batch, weigh, Recompute::Mlp, &flat).unwrap();
    flat.to_vec1().unwrap()
}

#[test]
fn weights_that_are_all_alike_give_the_bits_of_a_sum() {
    in_each_place(|place| {
        for model in models() {
            let decoder = Decoder::load(&model, DType::F32, &place.device).unwrap();
            let adapter = adapter(&decoder);
            let batch = batch(&documents(&decoder, &[13, 2, 40]));
            let (loss, want) = gradients(&decoder, &adapter, std::slice::from_ref(&batch), Recompute::None);
            let count = batch.labels.len();
            let mut seen = Vec::new();
            let got = weighed(&decoder, &adapter, &batch, &mut |losses| {
                seen = losses.to_vec();
                vec![(1.0 / count as f64) as f32; count]
            });
            assert!(got == want, "{} {}", model.display(), place.name);
            assert_eq!(seen, decoder.losses(Some(&adapter), &batch).unwrap());
            let mean = seen.iter().sum::<f64>() / count as f64;
            assert!((mean - loss).abs() < 1e-6 * loss, "{mean} {loss}");
        }
    });
}

/// `log(1 + exp(-margin))` of two sums of losses, and of what they were in the model that they are compared with.
fn dpo(losses: [&Tensor; 2], reference: [f64; 2], beta: f64) -> Result<Tensor> {
    let [chosen, rejected] = losses;
    let margin = (((rejected - chosen)? + (reference[0] - reference[1]))? * beta)?;
    (margin.neg()?.exp()? + 1.0)?.log()
}

#[test]
fn the_gradient_of_dpo_agrees_with_the_tape() {
    let beta = 0.3;
    for model in models() {
        let decoder = Decoder::load(&model, DType::F32, CPU).unwrap();
        let adapter = adapter(&decoder);
        let documents = documents(&decoder, &[19, 27]);
        let [chosen, rejected] = [0, 1].map(|index| batch(&documents[index..=index]));
        let sums =
            |adapter| [&chosen, &rejected].map(|batch| decoder.losses(adapter, batch).unwrap().iter().sum::<f64>());
        // Compared with the base: new tokens have rows in the adapter alone.
        let base = decoder.new_adapter(adapter.config(), decoder.config().vocab_size + super::NEW_TOKENS, 7).unwrap();
        let reference = sums(Some(&base));
        let now = sums(Some(&adapter));
        let margin = beta * ((reference[0] - now[0]) - (reference[1] - now[1]));
        assert!(margin.abs() > 1e-3, "{margin}");
        let pull = beta / (1.0 + margin.exp());
        let counts = [chosen.labels.len(), rejected.labels.len()];
        let both = batch(&documents);
        let mut weigh = |losses: &[f64]| {
            assert_eq!(losses.len(), counts[0] + counts[1]);
            [vec![pull as f32; counts[0]], vec![-pull as f32; counts[1]]].concat()
        };
        let got = weighed(&decoder, &adapter, &both, &mut weigh);
        let flat = Var::from_tensor(&adapter.parameters().copy().unwrap()).unwrap();
        let slow = SlowModel::load(&model, &decoder, &adapter, &flat);
        let sum = |batch: &Batch| (slow.loss(batch).unwrap() * batch.labels.len() as f64).unwrap();
        let want = dpo([&sum(&chosen), &sum(&rejected)], reference, beta).unwrap();
        let want = want.backward().unwrap().get(&flat).unwrap().to_vec1::<f32>().unwrap();
        // The pull itself follows from sums of f32 losses on both sides.
        assert_close(&got, &want, 1e-4, &model.display().to_string());
    }
}

#[test]
fn as_many_weights_as_losses_are_needed() {
    let decoder = Decoder::load(&models()[0], DType::F32, CPU).unwrap();
    let adapter = adapter(&decoder);
    let batch = batch(&documents(&decoder, &[9]));
    let flat = adapter.parameters().zeros_like().unwrap();
    let refused = decoder.weighed_gradients(&adapter, &batch, &mut |_| vec![1.0], Recompute::None, &flat);
    assert!(refused.unwrap_err().to_string().contains("1 scales for"));
}
