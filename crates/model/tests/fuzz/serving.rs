//! What a server reads: a damaged file is found, its weights are packed, and a token goes through them; or it is refused.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use codeact_model::serving::{ServedAdapter, ServedModel, ServedWeights, ServingOptions, Step, Wanted};
use codeact_model::source::{ModelFiles, SourceError};
use codeact_model::{ModelConfig, ModelError};

use super::gguf::{Parts, goods};
use super::weights::bad_file;
use crate::folder::{VOCABULARY, adapter_config, adapter_tensors, config, file, header, tensors};
use crate::harness::{Bounds, Case, Random, alone, campaign, damage};
use crate::json::mutate;
use crate::scratch;
use crate::source_support::{metadata, options, tensor_list, write_gguf};

/// Bytes for keys and values. Whoever starts the server says how many; they are not the file's.
const KV_BYTES: usize = 1 << 20;

/// A header is parsed into a tree of values, for a moment beside its text; a vocabulary is parsed, written as JSON and
/// parsed again to prove it. That is small beside real weights, but all there is of these files.
const BOUNDS: Bounds = Bounds { factor: 160, constant: KV_BYTES + (8 << 20) };

/// Weights take what the file has, rounded up to whole panels of 32 outputs, and once more while one matrix is packed.
const WEIGHT_BOUNDS: Bounds = Bounds { factor: 3, constant: KV_BYTES + (4 << 20) };

fn serving(weights: ServedWeights) -> ServingOptions {
    ServingOptions { weights, threads: NonZeroUsize::new(1), kv_bytes: Some(KV_BYTES), ..ServingOptions::default() }
}

fn weights(random: &mut Random) -> ServedWeights {
    use ServedWeights::{Bf16, F32, Q4K, Q8_0, Stored};
    *random.pick(&[Stored, Stored, Stored, F32, Bf16, Q8_0, Q4K])
}

/// Sends a few tokens through the model: the last row has a number for each token that there is.
fn pass(model: &mut ServedModel, adapter: Option<&ServedAdapter>) {
    let vocab_size = model.vocab_size(adapter);
    let ids = [0, 1, vocab_size / 2, vocab_size - 1].map(|id| u32::try_from(id.min(vocab_size - 1)).unwrap());
    let step = Step { token_ids: &ids, first: 0, pages: &[0], adapter, wanted: Wanted::Logits { from: 3 } };
    let mut widths = Vec::new();
    model.forward(&[step], &mut |_, _, row| widths.push(row.len())).unwrap();
    assert_eq!(widths, [vocab_size]);
}

/// Why a model is not served: where it was looked for, or when its weights were read.
#[derive(Debug)]
enum Refusal {
    Source(SourceError),
    Model(ModelError),
}

fn serve(path: &Path, settings: &codeact_model::source::Options, how: &ServingOptions) -> Result<(), Refusal> {
    let files = ModelFiles::find_with(path.to_str().unwrap(), settings, &|_| {}).map_err(Refusal::Source)?;
    pass(&mut ServedModel::load(&files, how).map_err(Refusal::Model)?, None);
    Ok(())
}

/// Counts how it ended; an error must say where.
fn judge(result: Result<(), Refusal>, place: &str, counts: &mut (usize, usize)) {
    match result {
        Ok(()) => counts.0 += 1,
        Err(Refusal::Model(ModelError::Op(error))) => panic!("an error without a place: {error}"),
        Err(error) => {
            let text = match &error {
                Refusal::Source(error) => error.to_string(),
                Refusal::Model(error) => error.to_string(),
            };
            let is_of_settings = matches!(error, Refusal::Model(ModelError::Pages { .. }));
            assert!(is_of_settings || text.contains(place), "no place in: {text}");
            counts.1 += 1;
        }
    }
}

fn check_counts(name: &str, counts: (usize, usize)) {
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (counts.0 > 50 && counts.1 > 300), "{name}: {counts:?} served and refused");
}

#[test]
fn damaged_gguf_files_are_served_or_refused() {
    let (root, goods) = (scratch(), goods());
    let (path, settings) = (root.path().join("bad.gguf"), options(root.path()));
    let parts: Vec<Parts> = goods.iter().map(|good| Parts::read(good)).collect();
    let mut counts = (0, 0);
    campaign("GGUF files, served", 1500, BOUNDS, |case| {
        let which = case.random.below(parts.len());
        let mut bytes = match case.random.below(4) {
            0 => goods[which].clone(),
            _ => {
                let mut parts = parts[which].clone();
                (0..1 + case.random.below(2)).for_each(|_| parts.mutate(&mut case.random));
                parts.write()
            }
        };
        if case.random.once_in(3) {
            damage(&mut case.random, &mut bytes);
        }
        fs::write(&path, &bytes).unwrap();
        let how = serving(weights(&mut case.random));
        judge(case.measure(bytes.len(), || serve(&path, &settings, &how)), "bad.gguf", &mut counts);
    });
    check_counts("GGUF files", counts);
}

#[test]
fn damaged_folders_are_served_or_refused() {
    let root = scratch();
    let folder = root.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    let settings = options(root.path());
    let mut counts = (0, 0);
    let run = |case: &mut Case| {
        let mut config = config();
        if case.random.once_in(3) {
            mutate(&mut case.random, &mut config);
        }
        let config = config.to_string();
        fs::write(folder.join("config.json"), &config).unwrap();
        let bytes = bad_file(&mut case.random, &tensors());
        fs::write(folder.join("model.safetensors"), &bytes).unwrap();
        let how = serving(weights(&mut case.random));
        let result = case.measure(config.len() + bytes.len(), || serve(&folder, &settings, &how));
        judge(result, "model", &mut counts);
    };
    campaign("folders, served", 3000, BOUNDS, run);
    check_counts("folders", counts);
}

#[test]
fn damaged_adapters_are_served_or_refused() {
    let root = scratch();
    let folder = root.path();
    let (good, data_bytes) = header(&tensors());
    fs::write(folder.join("config.json"), config().to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), file(&good.to_string(), data_bytes)).unwrap();
    let files = ModelFiles::in_folder(folder);
    let mut model = ServedModel::load(&files, &serving(ServedWeights::Stored)).unwrap();
    let config = ModelConfig::load(folder).unwrap();
    let mut counts = (0, 0);
    campaign("adapters, served", 3000, BOUNDS, |case| {
        let mut value = adapter_config();
        if case.random.once_in(2) {
            mutate(&mut case.random, &mut value);
        }
        let text = value.to_string();
        fs::write(folder.join("adapter_config.json"), &text).unwrap();
        let bytes = bad_file(&mut case.random, &adapter_tensors());
        fs::write(folder.join("adapter_model.safetensors"), &bytes).unwrap();
        let result = case.measure(text.len() + bytes.len(), || {
            let adapter = ServedAdapter::load(folder, &config).map_err(Refusal::Model)?;
            pass(&mut model, Some(&adapter));
            Ok(())
        });
        judge(result, "adapter_", &mut counts);
    });
    // It is as it was.
    pass(&mut model, None);
    check_counts("adapters", counts);
}

#[test]
fn weights_take_the_memory_of_their_file_and_no_multiple_of_it() {
    let root = scratch();
    let settings = options(root.path());
    let path = root.path().join("large.gguf");
    // A vocabulary is all that can be large in the tiny model.
    let (mut values, mut list) = (metadata(), tensor_list());
    for (key, value) in &mut values {
        if key == "llama.feed_forward_length" {
            *value = candle_core::quantized::gguf_file::Value::U32(64 << 10);
        }
    }
    for (name, rows, columns, _) in &mut list {
        match *name {
            "blk.0.ffn_gate.weight" | "blk.0.ffn_up.weight" => *rows = 64 << 10,
            "blk.0.ffn_down.weight" => *columns = 64 << 10,
            _ => {}
        }
    }
    {
        // Writing it takes memory too.
        let _alone = alone();
        write_gguf(&path, &values, &list);
    }
    campaign("memory of a served file", 1, WEIGHT_BOUNDS, |case| {
        let bytes = fs::metadata(&path).unwrap().len() as usize;
        assert!(bytes > 8 << 20, "{bytes} bytes");
        case.measure(bytes, || serve(&path, &settings, &serving(ServedWeights::Stored)).unwrap());
    });
}

#[test]
fn values_that_are_no_numbers_are_refused_by_tensor_and_row() {
    let _alone = alone();
    let root = scratch();
    let folder = root.path();
    fs::write(folder.join("config.json"), config().to_string()).unwrap();
    let (header, data_bytes) = header(&tensors());
    let good = file(&header.to_string(), data_bytes);
    let data_start = good.len() - data_bytes;
    for (name, row, column) in
        [("lm_head.weight", VOCABULARY - 1, 3), ("model.norm.weight", 0, 1), ("model.embed_tokens.weight", 7, 0)]
    {
        let offset = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut bytes = good.clone();
            let at = data_start + offset + (row * crate::folder::HIDDEN + column) * 4;
            bytes[at..at + 4].copy_from_slice(&bad.to_le_bytes());
            fs::write(folder.join("model.safetensors"), &bytes).unwrap();
            let error =
                ServedModel::load(&ModelFiles::in_folder(folder), &serving(ServedWeights::Stored)).err().unwrap();
            let expected = format!("tensor `{name}` has a value in row {row} that is not finite");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
    // The scale of a block of a GGUF file.
    let (path, settings) = (root.path().join("bad.gguf"), options(root.path()));
    write_gguf(&path, &metadata(), &tensor_list());
    let mut bytes = fs::read(&path).unwrap();
    let parts = Parts::read(&bytes);
    let at = bytes.len() - parts.bytes_from("token_embd.weight") + 34;
    bytes[at..at + 2].copy_from_slice(&[0x00, 0x7c]);
    fs::write(&path, &bytes).unwrap();
    match serve(&path, &settings, &serving(ServedWeights::Stored)) {
        Err(Refusal::Model(error)) => {
            let text = error.to_string();
            assert!(
                text.contains("`model.embed_tokens.weight` has a value in row 1 ") && text.contains("bad.gguf"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}
