//! The model that serves: right by the goldens of transformers and PEFT, and the same bits however it is asked.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Isa;
use codeact_model::serving::{ServedAdapter, ServedModel, ServedWeights, ServingOptions, Step, Wanted};
use codeact_model::source::ModelFiles;
use codeact_model::{Adapter, Batch, Decoder, Weights};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Logits have a standard deviation of 2; two attention implementations of torch differ by 1.1e-5.
const LOGITS: f32 = 1e-4;

fn golden(kind: &str) -> Vec<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    let beside = std::env::var_os("CODEACT_SHARED").map_or(repository.join("../shared"), PathBuf::from);
    let mut cases = Vec::new();
    for root in [repository.join("tests/golden"), beside.join("golden")] {
        match std::fs::read_dir(root.join(kind)) {
            Ok(entries) => cases.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())),
            Err(_) => println!("skipped: 1 set of goldens, `{}` is not here", root.display()),
        }
    }
    cases.sort();
    assert!(!cases.is_empty(), "the project's own goldens are missing");
    cases
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn ids(tensor: &Tensor) -> Vec<Vec<u32>> {
    tensor.to_dtype(DType::U32).unwrap().to_vec2().unwrap()
}

fn load(folder: &Path, weights: ServedWeights, threads: usize) -> ServedModel {
    load_with(folder, weights, threads, None)
}

fn load_with(folder: &Path, weights: ServedWeights, threads: usize, isa: Option<Isa>) -> ServedModel {
    let options = ServingOptions {
        weights,
        threads: NonZeroUsize::new(threads),
        isa,
        kv_bytes: Some(16 << 20),
        ..ServingOptions::default()
    };
    ServedModel::load(&ModelFiles::in_folder(folder), &options).unwrap()
}

/// Pages for `tokens` tokens from `first` on, in order.
fn pages(first: u32, tokens: usize, model: &ServedModel) -> Vec<u32> {
    (first..first + tokens.div_ceil(model.page_tokens()) as u32).collect()
}

/// Logits of all tokens of a sequence that is alone and whole.
fn alone(model: &mut ServedModel, token_ids: &[u32], adapter: Option<&ServedAdapter>) -> Vec<Vec<f32>> {
    let pages = pages(0, token_ids.len(), model);
    let step = Step { token_ids, first: 0, pages: &pages, adapter, wanted: Wanted::Logits { from: 0 } };
    let mut rows = Vec::new();
    model.forward(&[step], &mut |_, _, row| rows.push(row.to_vec())).unwrap();
    rows
}

fn largest_difference(rows: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(rows.len(), expected.len());
    let pairs = rows.iter().zip(expected).flat_map(|(row, expected)| row.iter().zip(expected));
    pairs.map(|(value, expected)| (value - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_transformers() {
    for folder in golden("models") {
        let io = tensors(&folder.join("io.safetensors"));
        let logits: Vec<Vec<Vec<f32>>> = io["logits"].to_vec3().unwrap();
        for isa in Isa::available() {
            let mut model = load_with(&folder, ServedWeights::Stored, 2, Some(isa));
            for (ids, logits) in ids(&io["input_ids"]).iter().zip(&logits) {
                let off = largest_difference(&alone(&mut model, ids, None), logits);
                assert!(off < LOGITS, "{} {isa:?}: logits off by {off}", folder.display());
            }
        }
    }
}

/// Logits of SmolLM2 reach 30; sums over its 30 layers run in other orders than torch's.
const SMOLLM2_LOGITS: f32 = 5e-3;

#[test]
fn logits_of_smollm2_are_those_of_transformers() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    let shared = std::env::var_os("CODEACT_SHARED").map_or(repository.join("../shared"), PathBuf::from);
    let golden = shared.join("golden/generate/smollm2_logits.safetensors");
    let folder = repository.join("checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct");
    if !golden.exists() || !folder.join("config.json").exists() {
        println!("skipped: 1 set of logits of SmolLM2 (no base model or no ../shared/golden/generate)");
        return;
    }
    let golden = tensors(&golden);
    let ids = |name: &str| golden[name].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    let mut model = load(&folder, ServedWeights::F32, 2);
    for prompt in 0..5 {
        let rows = alone(&mut model, &ids(&format!("p{prompt}.input_ids")), None);
        let expected: Vec<f32> = golden[&format!("p{prompt}.last_logits_first_8192")].to_vec1().unwrap();
        let off = largest_difference(&[rows[rows.len() - 1][..8192].to_vec()], &[expected]);
        assert!(off < SMOLLM2_LOGITS, "prompt {prompt}: logits off by {off}");
    }
    let rows = alone(&mut model, &ids("text.input_ids"), None);
    let beginnings: Vec<Vec<f32>> = rows.iter().map(|row| row[..1024].to_vec()).collect();
    let off = largest_difference(&beginnings, &golden["text.logits_first_1024"].to_vec2().unwrap());
    assert!(off < SMOLLM2_LOGITS, "text: logits off by {off}");
    assert_eq!(rows.iter().map(|row| argmax(row)).collect::<Vec<_>>(), ids("text.argmax"));
}

#[test]
fn logits_with_an_adapter_are_those_of_peft() {
    let mut refused = 0;
    for folder in golden("lora") {
        let io = tensors(&folder.join("io.safetensors"));
        let config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("adapter/adapter_config.json")).unwrap()).unwrap();
        let base = Path::new(config["base_model_name_or_path"].as_str().unwrap()).file_name().unwrap().to_owned();
        let base = folder.ancestors().nth(2).unwrap().join("models").join(base);
        let mut model = load(&base, ServedWeights::Stored, 2);
        let adapter = match ServedAdapter::load(&folder.join("adapter"), model.config()) {
            Ok(adapter) => adapter,
            Err(error) => {
                assert!(
                    error.to_string().contains("dora") && error.to_string().contains("codeact-train merge"),
                    "{error}"
                );
                refused += 1;
                continue;
            }
        };
        let logits: Vec<Vec<Vec<f32>>> = io["logits"].to_vec3().unwrap();
        let mask = io.get("attention_mask").map(ids);
        for (row, (ids, logits)) in ids(&io["input_ids"]).iter().zip(&logits).enumerate() {
            let length = mask.as_ref().map_or(ids.len(), |mask| mask[row].iter().filter(|one| **one == 1).count());
            let off = largest_difference(&alone(&mut model, &ids[..length], Some(&adapter)), &logits[..length]);
            assert!(off < LOGITS, "{}: logits off by {off}", folder.display());
        }
    }
    assert!(refused > 0, "adapters of DoRA are refused");
}

#[test]
fn greedy_continuations_are_those_of_transformers() {
    for folder in golden("models") {
        let io = tensors(&folder.join("io.safetensors"));
        let (prompt, expected) = (ids(&io["greedy_prompt"])[0].clone(), ids(&io["greedy_new"])[0].clone());
        let mut model = load(&folder, ServedWeights::Stored, 2);
        let pages = pages(0, prompt.len() + expected.len(), &model);
        let (mut token_ids, mut first, mut new) = (prompt, 0, Vec::new());
        while new.len() < expected.len() {
            let from = token_ids.len() - 1;
            let step =
                Step { token_ids: &token_ids, first, pages: &pages, adapter: None, wanted: Wanted::Logits { from } };
            let mut best = 0;
            model.forward(&[step], &mut |_, _, row| best = argmax(row)).unwrap();
            first += token_ids.len();
            token_ids = vec![best];
            new.push(best);
        }
        assert_eq!(new, expected, "{}", folder.display());
    }
}

fn argmax(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.unwrap().0 as u32
}

/// One sequence on its way through passes of random sizes.
struct Sequence<'a> {
    token_ids: Vec<u32>,
    pages: Vec<u32>,
    adapter: Option<&'a ServedAdapter>,
    done: usize,
    expected: Vec<Vec<f32>>,
}

/// All weights, batches of random company, chunks of random sizes, pages in random order, drafts that are taken back,
/// one and several threads: the same bits.
#[test]
fn company_chunks_pages_drafts_and_threads_change_no_bit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("tests/golden");
    let kinds = [
        ("llama-tiny", Some("llama-lora"), ServedWeights::F32),
        ("mistral-tiny-sw", Some("mistral-sw-lora"), ServedWeights::F32),
        ("llama-tiny-tied", Some("llama-tied-lora"), ServedWeights::Bf16),
        ("llama-tiny", Some("llama-rslora"), ServedWeights::Q8_0),
        ("llama-tiny", None, ServedWeights::Q4K),
    ];
    for (name, adapter, weights) in kinds {
        let folder = root.join("models").join(name);
        let mut model = load(&folder, weights, 1);
        let adapter = adapter
            .map(|name| ServedAdapter::load(&root.join("lora").join(name).join("adapter"), model.config()).unwrap());
        let mut random = ChaCha8Rng::seed_from_u64(name.len() as u64);
        let mut expected = Vec::new();
        for index in 0..6 {
            let length = 1 + random.next_u32() as usize % 60;
            let token_ids: Vec<u32> = (0..length).map(|_| random.next_u32() % 120).collect();
            let adapter = adapter.as_ref().filter(|_| index & 1 == 0);
            let rows = alone(&mut model, &token_ids, adapter);
            expected.push((token_ids, adapter, rows));
        }
        for threads in [1, 3] {
            in_company(&mut load(&folder, weights, threads), &expected, &mut random);
        }
        // Bits are those of the same instructions alone.
        for isa in Isa::available().filter(|isa| *isa < Isa::best()) {
            let mut model = load_with(&folder, weights, 2, Some(isa));
            for (token_ids, adapter, rows) in &mut expected {
                *rows = alone(&mut model, token_ids, *adapter);
            }
            in_company(&mut model, &expected, &mut random);
        }
    }
}

type Alone<'a> = (Vec<u32>, Option<&'a ServedAdapter>, Vec<Vec<f32>>);

fn in_company(model: &mut ServedModel, expected: &[Alone<'_>], random: &mut ChaCha8Rng) {
    let mut free: Vec<u32> = (0..64).collect();
    for index in (1..free.len()).rev() {
        free.swap(index, random.next_u32() as usize % (index + 1));
    }
    let mut sequences: Vec<Sequence<'_>> = expected
        .iter()
        .map(|(token_ids, adapter, expected)| Sequence {
            token_ids: token_ids.clone(),
            // One more page, for drafts at the end.
            pages: free.split_off(free.len() - token_ids.len().div_ceil(model.page_tokens()) - 1),
            adapter: *adapter,
            done: 0,
            expected: expected.clone(),
        })
        .collect();
    while sequences.iter().any(|sequence| sequence.done < sequence.token_ids.len()) {
        let mut inputs = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let left = sequence.token_ids.len() - sequence.done;
            if left == 0 || random.next_u32().is_multiple_of(3) {
                continue;
            }
            let taken = 1 + random.next_u32() as usize % left.min(40);
            let mut token_ids = sequence.token_ids[sequence.done..sequence.done + taken].to_vec();
            // What is drafted is computed, and then written over.
            token_ids.extend((0..random.next_u32() % 4).map(|_| random.next_u32() % 120));
            inputs.push((index, taken, token_ids));
        }
        let steps: Vec<Step<'_>> = inputs
            .iter()
            .map(|(index, _, token_ids)| Step {
                token_ids,
                first: sequences[*index].done,
                pages: &sequences[*index].pages,
                adapter: sequences[*index].adapter,
                wanted: Wanted::Logits { from: 0 },
            })
            .collect();
        model
            .forward(&steps, &mut |step, token, row| {
                let (index, taken, _) = &inputs[step];
                if token < *taken {
                    let sequence = &sequences[*index];
                    assert_eq!(row, sequence.expected[sequence.done + token], "sequence {index}");
                }
            })
            .unwrap();
        for (index, taken, _) in inputs {
            sequences[index].done += taken;
        }
    }
}

#[test]
fn hidden_states_are_given_for_all_tokens_and_lead_to_the_logits() {
    let folder = golden("models").remove(0);
    let mut model = load(&folder, ServedWeights::Stored, 2);
    let token_ids = [5, 6, 7, 8];
    let pages = pages(0, 4, &model);
    let step = Step { token_ids: &token_ids, first: 0, pages: &pages, adapter: None, wanted: Wanted::Hidden };
    let mut rows = Vec::new();
    model.forward(&[step], &mut |_, token, row| rows.push((token, row.to_vec()))).unwrap();
    let tokens: Vec<usize> = rows.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [0, 1, 2, 3]);
    assert!(rows.iter().all(|(_, row)| row.len() == model.config().hidden_size));
    assert!(rows[0].1 != rows[1].1);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_computed() {
    let folder = golden("models").remove(0);
    let mut model = load(&folder, ServedWeights::Stored, 1);
    let vocab_size = model.vocab_size(None) as u32;
    let mut refuse = |token_ids: &[u32], first: usize, pages: &[u32], what: &str| {
        let step = Step { token_ids, first, pages, adapter: None, wanted: Wanted::Nothing };
        let error = model.forward(&[step], &mut |_, _, _| unreachable!()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refuse(&[], 0, &[0], "no new tokens");
    refuse(&[1], 16, &[0], "1 pages for 17 tokens");
    refuse(&[1], 0, &[u32::MAX], "page 4294967295");
    refuse(&[vocab_size], 0, &[0], &format!("token {vocab_size} of a vocabulary of {vocab_size}"));
}

/// Training rounds activations to bf16 where the processor multiplies so, and serving keeps keys and values in f16: logits
/// of a deviation of 2 were seen to differ by up to 0.25.
const BF16_LOGITS: f32 = 0.4;

/// Without a second copy: the bits of the same weights packed, and the adapter's values of the moment.
#[test]
fn a_decoder_serves_out_of_its_own_memory_what_its_exports_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("tests/golden");
    for (name, lora) in
        [("llama-tiny", "llama-lora"), ("llama-tiny-tied", "llama-tied-lora"), ("llama-tiny", "llama-dora")]
    {
        let folder = root.join("models").join(name);
        let adapter_folder = root.join("lora").join(lora).join("adapter");
        for weights in [Weights::F32, Weights::Bf16, Weights::Nf4] {
            let decoder = Decoder::load(&folder, weights, &Device::Cpu).unwrap();
            let adapter = Adapter::load(&adapter_folder, decoder.config(), &Device::Cpu).unwrap();
            let options =
                ServingOptions { threads: NonZeroUsize::new(2), kv_bytes: Some(1 << 20), ..ServingOptions::default() };
            let mut live = ServedModel::of_decoder(&decoder, &options).unwrap();
            let ids: Vec<u32> = (0..70).map(|at| at * 37 % 90).collect();
            let mut before = Vec::new();
            for _ in 0..2 {
                let now = ServedAdapter::of(&adapter, &decoder).unwrap();
                let rows = alone(&mut live, &ids, Some(&now));
                assert!(rows != before, "the adapter moved");
                let targets: Vec<bool> = (0..70).map(|at| at > 0).collect();
                let batch = Batch::new([(&ids[..], &targets[..])]).unwrap();
                let trained: Vec<Vec<f32>> = decoder.logits(Some(&adapter), &batch).unwrap().to_vec2().unwrap();
                let (off, bound) = (largest_difference(&rows, &trained), BF16_LOGITS);
                let bound = if weights == Weights::F32 { LOGITS } else { bound };
                assert!(off < bound, "{name} {weights:?}: logits off by {off}");
                // One of DoRA is served beside the decoder alone, whose weights say its gates.
                if weights == Weights::F32 && !adapter.config().dora {
                    let exported = tempfile::tempdir().unwrap();
                    adapter.save(exported.path(), "base").unwrap();
                    let exported = ServedAdapter::load(exported.path(), decoder.config()).unwrap();
                    let mut packed = load(&folder, ServedWeights::F32, 2);
                    assert!(alone(&mut packed, &ids, Some(&exported)) == rows, "{name}: other bits than its export");
                }
                // As the optimizer does it.
                let moved = (adapter.parameters() * 1.5).unwrap();
                adapter.parameters().slice_set(&moved, 0, 0).unwrap();
                before = rows;
            }
        }
    }
}
