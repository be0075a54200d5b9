//! The model that serves on a card: right by the goldens, the same as on the processor, and the same recorded or not.
//!
//! In the emulation, or where `CODEACT_DEVICE=cuda` asks for it on the card.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod place;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{ServedAdapter, ServedModel, ServedWeights, ServingOptions, Step, Wanted};
use codeact_model::source::ModelFiles;
use codeact_ops::sampling::Choice;
use place::{Place, in_each_place, repository};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Logits have a standard deviation of 2; two attention implementations of torch differ by 1.1e-5.
const LOGITS: f32 = 1e-4;

/// On cards only: the CPU has a model of its own.
fn on_cards(test: impl Fn(&Place)) {
    in_each_place(|place| {
        if place.name != "cpu" {
            test(place);
        }
    });
}

fn golden(kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/golden").join(kind)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() > 2, "the project's own goldens are missing");
    cases
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn ids(tensor: &Tensor) -> Vec<Vec<u32>> {
    tensor.to_dtype(DType::U32).unwrap().to_vec2().unwrap()
}

fn options(weights: ServedWeights) -> ServingOptions {
    ServingOptions { weights, kv_bytes: Some(1 << 20), ..ServingOptions::default() }
}

fn load(folder: &Path, weights: ServedWeights, device: &Device) -> CardModel {
    CardModel::load(&ModelFiles::in_folder(folder), &options(weights), device).unwrap()
}

/// Pages of a sequence, anywhere but in order.
fn pages(start: u32, tokens: usize) -> Vec<u32> {
    (0..tokens.div_ceil(16) as u32).map(|page| start + page * 7 % 8).collect()
}

fn argmax(row: &[f32]) -> u32 {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).unwrap().0 as u32
}

/// Logits of all tokens of a sequence, its prompt cut after these numbers of tokens.
fn logits(model: &mut CardModel, token_ids: &[u32], cuts: &[usize], adapter: Option<&ServedAdapter>) -> Vec<Vec<f32>> {
    let (pages, mut rows, mut first) = (pages(3, token_ids.len()), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([token_ids.len()]).filter(|cut| *cut <= token_ids.len()) {
        if cut > first {
            let token_ids = &token_ids[first..cut];
            let step = Step { token_ids, first, pages: &pages, adapter, wanted: Wanted::Logits { from: 0 } };
            model.forward(&[step], &mut |_, _, row| rows.push(row.to_vec())).unwrap();
            first = cut;
        }
    }
    rows
}

fn largest_difference(rows: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(rows.len(), expected.len());
    let pairs = rows.iter().zip(expected).flat_map(|(row, expected)| {
        assert_eq!(row.len(), expected.len());
        row.iter().zip(expected)
    });
    pairs.map(|(value, expected)| (value - expected).abs()).fold(0.0, f32::max)
}

/// An engine's thread takes the model over from the one that loaded it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<CardModel>();
};

#[test]
fn logits_are_those_of_transformers() {
    on_cards(|place| {
        for folder in golden("models") {
            let io = tensors(&folder.join("io.safetensors"));
            let expected: Vec<Vec<Vec<f32>>> = io["logits"].to_vec3().unwrap();
            let mut model = load(&folder, ServedWeights::Stored, &place.device);
            for (ids, expected) in ids(&io["input_ids"]).iter().zip(&expected) {
                // Whole, in tiles and chunks; few tokens at a time, of which the first pass is queued and the next repeat.
                for cuts in [&[][..], &[9, 10, 11, 14, 17, 20]] {
                    let off = largest_difference(&logits(&mut model, ids, cuts, None), expected);
                    assert!(off < LOGITS, "{} {}: logits off by {off}", folder.display(), place.name);
                }
            }
        }
    });
}

#[test]
fn logits_with_an_adapter_are_those_of_peft() {
    on_cards(|place| {
        // Adapters of DoRA are served merged; `serving.rs` shows that they are refused.
        let is_dora = |folder: &PathBuf| folder.file_name().unwrap().to_string_lossy().contains("dora");
        for folder in golden("lora").into_iter().filter(|folder| !is_dora(folder)) {
            let io = tensors(&folder.join("io.safetensors"));
            let info: serde_json::Value =
                serde_json::from_slice(&std::fs::read(folder.join("train.json")).unwrap()).unwrap();
            let base = folder.join("../..").join(info["base"].as_str().unwrap());
            let mut model = load(&base, ServedWeights::Stored, &place.device);
            let adapter = ServedAdapter::load(&folder.join("adapter"), model.config()).unwrap();
            let expected: Vec<Vec<Vec<f32>>> = io["logits"].to_vec3().unwrap();
            let mask = ids(&io["attention_mask"]);
            for (row, (ids, expected)) in ids(&io["input_ids"]).iter().zip(&expected).enumerate() {
                let length = mask[row].iter().filter(|one| **one == 1).count();
                for cuts in [&[][..], &[9, 11]] {
                    let rows = logits(&mut model, &ids[..length], cuts, Some(&adapter));
                    let off = largest_difference(&rows, &expected[..length]);
                    assert!(off < LOGITS, "{} {}: logits off by {off}", folder.display(), place.name);
                }
            }
        }
    });
}

#[test]
fn greedy_continuations_are_those_of_transformers() {
    on_cards(|place| {
        for folder in golden("models") {
            let io = tensors(&folder.join("io.safetensors"));
            let (prompt, expected) = (ids(&io["greedy_prompt"])[0].clone(), ids(&io["greedy_new"])[0].clone());
            let mut model = load(&folder, ServedWeights::Stored, &place.device);
            let pages = pages(5, prompt.len() + expected.len());
            let (mut last, mut new) = (prompt[prompt.len() - 1], Vec::new());
            let ahead = &prompt[..prompt.len() - 1];
            let step = Step { token_ids: ahead, first: 0, pages: &pages, adapter: None, wanted: Wanted::Nothing };
            model.forward(&[step], &mut |_, _, _| panic!("nothing is wanted")).unwrap();
            for first in ahead.len()..ahead.len() + expected.len() {
                let step = Step { token_ids: &[last], first, pages: &pages, adapter: None, wanted: Wanted::Nothing };
                last = model.choose(&[step], &[Choice::GREEDY]).unwrap()[0];
                new.push(last);
            }
            assert_eq!(new, expected, "{} {}", folder.display(), place.name);
            assert!(model.recording_count() > 0, "nothing was recorded");
        }
    });
}

/// A sequence on its way.
struct Conversation<'a> {
    token_ids: Vec<u32>,
    pages: Vec<u32>,
    adapter: Option<&'a ServedAdapter>,
    done: usize,
}

/// Passes of random sizes over some sequences, the same for every model; all logits.
fn random_passes(model: &mut CardModel, adapter: &ServedAdapter, seed: u64) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |bound: usize| (random.next_u64() % bound as u64) as usize;
    let mut sequences: Vec<Conversation<'_>> = (0..4)
        .map(|index| Conversation {
            token_ids: (0..if index == 0 { 150 } else { 30 + 9 * index }).map(|_| below(100) as u32).collect(),
            pages: (0..12).map(|page| (index * 12 + page * 5 % 12) as u32).collect(),
            adapter: (index % 2 == 1).then_some(adapter),
            done: 0,
        })
        .collect();
    let mut rows = Vec::new();
    // Long prompts first, then a few tokens at a time: some alone, some checked together.
    for pass in 0..16 {
        let mut lens = Vec::new();
        for sequence in &sequences {
            let len = if pass == 0 { sequence.token_ids.len() - 24 } else { [0, 1, 1, 1, 4][below(5)] };
            lens.push(len.min(sequence.token_ids.len() - sequence.done));
        }
        let steps: Vec<Step<'_>> = sequences
            .iter()
            .zip(&lens)
            .filter(|(_, len)| **len > 0)
            .map(|(sequence, len)| Step {
                token_ids: &sequence.token_ids[sequence.done..][..*len],
                first: sequence.done,
                pages: &sequence.pages,
                adapter: sequence.adapter,
                wanted: if pass == 0 { Wanted::Nothing } else { Wanted::Logits { from: 0 } },
            })
            .collect();
        model.forward(&steps, &mut |_, _, row| rows.push(row.to_vec())).unwrap();
        sequences.iter_mut().zip(&lens).for_each(|(sequence, len)| sequence.done += len);
    }
    rows
}

#[test]
fn recorded_passes_are_those_that_are_queued() {
    on_cards(|place| {
        let folder = repository().join("tests/golden/models/llama-tiny");
        for weights in [ServedWeights::F32, ServedWeights::Bf16] {
            let mut model = load(&folder, weights, &place.device);
            let adapter = repository().join("tests/golden/lora/llama-lora/adapter");
            let adapter = ServedAdapter::load(&adapter, model.config()).unwrap();
            model.set_recorded(false);
            let queued = random_passes(&mut model, &adapter, 1);
            assert_eq!(model.recording_count(), 0);
            model.set_recorded(true);
            let repeated = random_passes(&mut model, &adapter, 1);
            let again = random_passes(&mut model, &adapter, 1);
            assert!(model.recording_count() > 2, "{} recordings", model.recording_count());
            assert!(queued.len() > 40 && queued.iter().flatten().all(|logit| logit.is_finite()));
            assert!(queued == repeated && queued == again, "{weights:?} {}: recording changes bits", place.name);
        }
    });
}

#[test]
fn tokens_are_chosen_by_the_logits_of_their_rows() {
    on_cards(|place| {
        let folder = repository().join("tests/golden/models/llama-tiny");
        let mut model = load(&folder, ServedWeights::Stored, &place.device);
        let token_ids = [5, 9, 11, 7, 2, 1, 8];
        let pages = pages(0, 16);
        let step = || Step { token_ids: &token_ids, first: 0, pages: &pages, adapter: None, wanted: Wanted::Hidden };
        let draw = |random: f64| Choice { temperature: 5.0, random, ..Choice::GREEDY };
        let choices: Vec<Choice> =
            (0..7).map(|i| if i < 3 { Choice::GREEDY } else { draw(f64::from(i) / 7.0) }).collect();
        let rows = logits(&mut model, &token_ids, &[], None);
        for _ in 0..3 {
            let tokens = model.choose(&[step()], &choices).unwrap();
            for (at, (token, row)) in tokens.iter().zip(&rows).enumerate() {
                let expected = if at < 3 { argmax(row) } else { drawn(row, 5.0, choices[at].random) };
                assert_eq!(*token, expected, "row {at}");
            }
        }
        let error = model.choose(&[step()], &choices[..3]).unwrap_err().to_string();
        assert!(error.contains("3 choices for 7"), "{error}");
        let refused = Step { token_ids: &[500], first: 0, pages: &pages, adapter: None, wanted: Wanted::Nothing };
        assert!(model.forward(&[refused], &mut |_, _, _| {}).is_err());
        let mut widths = Vec::new();
        model.forward(&[step()], &mut |_, _, row| widths.push(row.len())).unwrap();
        assert_eq!(widths, [model.config().hidden_size; 7]);
    });
}

fn drawn(row: &[f32], temperature: f64, random: f64) -> u32 {
    let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
    let weights: Vec<f64> = row.iter().map(|x| ((f64::from(*x) - largest) / temperature).exp()).collect();
    let mut rest = random * weights.iter().sum::<f64>();
    let taken = |weight: &f64| {
        rest -= weight;
        rest < 0.0
    };
    weights.iter().position(taken).unwrap_or(row.len() - 1) as u32
}

/// A model whose heads and widths tensor cores take, with random weights in bf16.
fn random_model(folder: &Path) {
    let (hidden, inner, vocab, heads, kv_heads, width) = (256, 512, 100, 4, 2, 64);
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 2,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": width, "vocab_size": vocab,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut tensor = |shape: &[usize], size: f32| {
        let mut next = || (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * size;
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
    };
    let mut weights = HashMap::new();
    let mut put = |name: String, shape: &[usize]| {
        // Norms about one, products that keep the size of what they multiply.
        let value = match *shape {
            [width] => (tensor(&[width], 0.2) + 1.0).unwrap(),
            _ => tensor(shape, 3.4 / (shape[1] as f32).sqrt()),
        };
        weights.insert(name, value);
    };
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        put(name("input_layernorm"), &[hidden]);
        put(name("post_attention_layernorm"), &[hidden]);
        put(name("self_attn.q_proj"), &[heads * width, hidden]);
        put(name("self_attn.k_proj"), &[kv_heads * width, hidden]);
        put(name("self_attn.v_proj"), &[kv_heads * width, hidden]);
        put(name("self_attn.o_proj"), &[hidden, heads * width]);
        put(name("mlp.gate_proj"), &[inner, hidden]);
        put(name("mlp.up_proj"), &[inner, hidden]);
        put(name("mlp.down_proj"), &[hidden, inner]);
    }
    put("model.embed_tokens.weight".to_owned(), &[vocab, hidden]);
    put("lm_head.weight".to_owned(), &[vocab, hidden]);
    put("model.norm.weight".to_owned(), &[hidden]);
    candle_core::safetensors::save(&weights, folder.join("model.safetensors")).unwrap();
}

#[test]
fn weights_of_every_kind_give_what_they_give_on_the_processor() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let token_ids: Vec<u32> = (0..75).map(|i| i * 31 % 100).collect();
    for weights in [ServedWeights::Bf16, ServedWeights::Q8_0, ServedWeights::Q4K] {
        let files = ModelFiles::in_folder(folder.path());
        let mut reference = ServedModel::load(&files, &options(weights)).unwrap();
        let order = pages(0, token_ids.len());
        let step =
            Step { token_ids: &token_ids, first: 0, pages: &order, adapter: None, wanted: Wanted::Logits { from: 0 } };
        let mut expected = Vec::new();
        reference.forward(&[step], &mut |_, _, row| expected.extend_from_slice(row)).unwrap();
        let size = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
        on_cards(|place| {
            let mut model = load(folder.path(), weights, &place.device);
            // As a whole, with expanded weights; then in parts, the last tokens few at a time.
            for cuts in [&[][..], &[30, 60, 61, 62, 63, 66, 69]] {
                let got = logits(&mut model, &token_ids, cuts, None).concat();
                let off = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                // Activations are rounded to bf16 here, to 8 bits there.
                assert!(off < 0.03 * size, "{weights:?} {}: off by {off} of {size}", place.name);
            }
        });
    }
}

#[test]
fn a_step_of_few_tokens_does_not_depend_on_its_company() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    for weights in [ServedWeights::Bf16, ServedWeights::Q8_0, ServedWeights::Q4K] {
        on_cards(|place| {
            let mut model = load(folder.path(), weights, &place.device);
            // More sequences than eight, and a prompt beside them that goes through another pass.
            let (count, prompt) = (20u32, (0..70).map(|at| at * 13 % 100).collect::<Vec<u32>>());
            let token_ids: Vec<Vec<u32>> =
                (0..count).map(|own| (0..3 + own).map(|at| (own * 31 + at * at) % 100).collect()).collect();
            let pages: Vec<[u32; 2]> = (0..count).map(|own| [2 * own, 2 * own + 1]).collect();
            let last = |own: usize| Step {
                token_ids: &token_ids[own][token_ids[own].len() - 1..],
                first: token_ids[own].len() - 1,
                pages: &pages[own],
                adapter: None,
                wanted: Wanted::Logits { from: 0 },
            };
            let mut alone = Vec::new();
            for (own, whole) in token_ids.iter().enumerate() {
                for first in (0..whole.len() - 1).step_by(7) {
                    let end = (first + 7).min(whole.len() - 1);
                    let wanted = Wanted::Nothing;
                    let step = Step { token_ids: &whole[first..end], first, wanted, ..last(own) };
                    model.forward(&[step], &mut |_, _, _| {}).unwrap();
                }
                model.forward(&[last(own)], &mut |_, _, row| alone.push(row.to_vec())).unwrap();
            }
            let prompt_pages: Vec<u32> = (50..55).collect();
            let reader = Step { token_ids: &prompt, first: 0, pages: &prompt_pages, adapter: None, ..last(0) };
            let reader = Step { wanted: Wanted::Logits { from: 69 }, ..reader };
            let mut steps: Vec<Step<'_>> = (0..count as usize).map(last).collect();
            steps.insert(3, reader);
            for _ in 0..3 {
                let mut rows = vec![Vec::new(); steps.len()];
                model.forward(&steps, &mut |step, _, row| rows[step] = row.to_vec()).unwrap();
                assert_eq!(rows.remove(3).len(), 100);
                assert!(rows == alone, "{weights:?} {}: company changes bits", place.name);
            }
        });
    }
}
