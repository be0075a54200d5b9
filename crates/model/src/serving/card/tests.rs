//! What only the inside shows: recordings that are refused or forgotten.

use std::path::Path;

use codeact_ops::emulation::Emulation;

use super::small::{Known, Recorded};
use super::*;
use crate::serving::{Step, Wanted};
use crate::{Decoder, Weights};

fn model() -> CardModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/models/llama-tiny");
    let options = ServingOptions { kv_bytes: Some(1 << 20), ..ServingOptions::default() };
    CardModel::load(&ModelFiles::in_folder(&folder), &options, &Device::Cpu).unwrap()
}

/// A pass of one token each of so many sequences.
fn logits(model: &mut CardModel, sequences: u32) -> Vec<f32> {
    let (ids, pages): (Vec<u32>, Vec<u32>) = (0..sequences).map(|at| (at * 7 % 90, at)).unzip();
    let step = |(id, page)| Step {
        token_ids: std::slice::from_ref(id),
        first: 0,
        pages: std::slice::from_ref(page),
        adapter: None,
        wanted: Wanted::Logits { from: 0 },
    };
    let steps: Vec<Step<'_>> = ids.iter().zip(&pages).map(step).collect();
    let mut rows = Vec::new();
    model.forward(&steps, &mut |_, _, row| rows.extend_from_slice(row)).unwrap();
    rows
}

#[test]
fn a_kind_of_pass_that_cannot_be_recorded_is_queued() {
    let _emulation = Emulation::begin(0);
    let mut model = model();
    let first = logits(&mut model, 3);
    for Known { recorded, .. } in model.small.as_mut().unwrap().known.values_mut() {
        *recorded = Recorded::Refused;
    }
    for _ in 0..3 {
        assert_eq!(logits(&mut model, 3), first);
    }
    assert_eq!(model.recording_count(), 0);
    // Others are recorded as before.
    assert_eq!([0; 3].map(|_| logits(&mut model, 1)), [0; 3].map(|_| first[..first.len() / 3].to_vec()));
    assert_eq!(model.recording_count(), 1);
}

#[test]
fn recordings_are_bounded_and_the_oldest_go() {
    let _emulation = Emulation::begin(0);
    let mut model = model();
    model.small.as_mut().unwrap().known_max = 2;
    let first = logits(&mut model, 4);
    for _ in 0..3 {
        for sequences in [1, 2, 4, 4, 4] {
            assert_eq!(logits(&mut model, sequences)[..], first[..first.len() / 4 * sequences as usize]);
        }
        let small = model.small.as_ref().unwrap();
        assert_eq!((small.known.len(), model.recording_count()), (2, 1));
    }
}

#[test]
fn a_decoder_serves_out_of_its_own_memory_recorded_or_not() {
    let _emulation = Emulation::begin(0);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/models/llama-tiny");
    let options = ServingOptions { kv_bytes: Some(1 << 20), ..ServingOptions::default() };
    for (weights, served) in [(Weights::F32, ServedWeights::F32), (Weights::Bf16, ServedWeights::Bf16)] {
        let decoder = Decoder::load(&folder, weights, &Device::Cpu).unwrap();
        let mut live = CardModel::of_decoder(&decoder, &options).unwrap();
        let own = ServingOptions { weights: served, ..options.clone() };
        let mut loaded = CardModel::load(&ModelFiles::in_folder(&folder), &own, &Device::Cpu).unwrap();
        assert_eq!(live.facts().formats, loaded.facts().formats);
        for _ in 0..3 {
            assert_eq!(logits(&mut live, 3), logits(&mut loaded, 3), "{weights:?}");
        }
    }
    let decoder = Decoder::load(&folder, Weights::Nf4, &Device::Cpu).unwrap();
    let mut live = CardModel::of_decoder(&decoder, &options).unwrap();
    let first = logits(&mut live, 3);
    for _ in 0..2 {
        assert_eq!(logits(&mut live, 3), first);
    }
    assert_eq!((live.recording_count(), live.facts().formats.clone()), (1, vec!["NF4", "BF16"]));
    let batch = |id: u32| crate::Batch::new([(&[id][..], &[false][..])]).unwrap();
    let trained = (0..3).flat_map(|at| {
        let row = decoder.logits(None, &batch(at * 7 % 90)).unwrap();
        row.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    let off = trained.zip(&first).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Training keeps every activation in bf16, and sums in another order.
    assert!(off < 0.1, "logits off by {off}");
}
