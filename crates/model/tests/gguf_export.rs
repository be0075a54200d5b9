//! GGUF files that are written are read back: the same model, the same tokenizer.
#![allow(clippy::unwrap_used)]

mod source_support;

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use codeact_model::gguf::{self, Facts, Quant};
use codeact_model::source::{ModelFiles, resolve_with};
use codeact_model::{Adapter, ModelConfig, merge_and_save};
use serde_json::{Value, json};
use source_support::{options, scratch, shared};
use tokenizers::Tokenizer;

const BLANK: char = '\u{2581}';

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// A SentencePiece vocabulary of control tokens, bytes and `pieces`; every merge of two pieces into a third, by the place
/// of the third.
fn sentence_piece(pieces: &[&str]) -> Value {
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter().chain(bytes);
    let tokens: Vec<String> = tokens.chain(pieces.iter().map(|piece| piece.to_string())).collect();
    let vocab: Value = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let mut merges = Vec::new();
    for piece in pieces {
        for (cut, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(cut);
            if pieces.contains(&left) && pieces.contains(&right) {
                merges.push(json!([left, right]));
            }
        }
    }
    let special = |id: usize| {
        json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0), special(1), special(2)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": BLANK}, {"type": "Replace", "pattern": {"String": " "}, "content": BLANK},
        ]},
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                  "ignore_merges": false, "vocab": vocab, "merges": merges},
    })
}

const PIECES: [&str; 11] =
    ["\u{2581}", "a", "b", "c", "ab", "\u{2581}a", "\u{2581}ab", "bc", "\u{2581}\u{2581}", "abc", "cc"];

fn write_tokenizer(folder: &Path, tokenizer: &Value) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config =
        json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": {"content": "<unk>"}, "chat_template": "{{ 1 }}"});
    fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
}

/// The model in `base`, whose vocabulary is cut or grown to that of the tokenizer in a folder beside it.
fn model_with(root: &Path, tokenizer: &Value) -> PathBuf {
    let folder = root.join("model");
    write_tokenizer(&folder, tokenizer);
    let rows = tokenizer["model"]["vocab"].as_object().unwrap().len() + 3;
    let base = golden("models/llama-tiny");
    let mut config: Value = serde_json::from_slice(&fs::read(base.join("config.json")).unwrap()).unwrap();
    config["vocab_size"] = json!(rows);
    config["tie_word_embeddings"] = json!(true);
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = candle_core::safetensors::load(base.join("model.safetensors"), &Device::Cpu).unwrap();
    tensors.remove("lm_head.weight");
    let width = config["hidden_size"].as_u64().unwrap() as usize;
    let table = candle_core::Tensor::zeros((rows, width), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("model.embed_tokens.weight".to_owned(), table);
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    folder
}

fn write(model: &Path, adapter: Option<&Adapter>, format: &Path, quant: Quant, out: &Path) -> Result<(), String> {
    let facts = Facts { name: "tiny".into(), license: Some("mit".into()) };
    gguf::write(model, adapter, format, (quant, &facts), out).map_err(|error| error.to_string())
}

/// A tokenizer for a model without one: enough tokens for every row.
fn format_of(root: &Path) -> PathBuf {
    let folder = root.join("format");
    // Golden vocabularies are smaller than 256 bytes: byte-level, of so few letters.
    let letters: Vec<String> = ('a'..='z').map(String::from).chain(["<s>".into(), "</s>".into()]).collect();
    let vocab: Value = letters.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let tokenizer = json!({
        "added_tokens": [], "normalizer": null, "decoder": null, "post_processor": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    write_tokenizer(&folder, &tokenizer);
    folder
}

/// The model with the parameters of Llama 3's scaling that published models have: of others a GGUF file says too little.
fn published(model: &Path, root: &Path) -> PathBuf {
    let mut config: Value = serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
    let Some(rope) = ["rope_parameters", "rope_scaling"].into_iter().find(|key| config[key]["rope_type"] == "llama3")
    else {
        return model.to_owned();
    };
    config[rope]["original_max_position_embeddings"] = json!(8192);
    config[rope]["low_freq_factor"] = json!(1.0);
    config[rope]["high_freq_factor"] = json!(4.0);
    config[rope]["factor"] = json!(32.0);
    config[rope]["rope_theta"] = json!(500_000.0);
    config["rope_theta"] = json!(500_000.0);
    let folder = root.join("published");
    fs::create_dir(&folder).unwrap();
    fs::copy(model.join("model.safetensors"), folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn every_golden_model_comes_back_with_its_shape_and_its_weights() {
    for name in ["llama-tiny", "llama-tiny-tied", "llama3rope-tiny", "mistral-tiny-sw"] {
        let root = scratch();
        let (model, out) = (published(&golden("models").join(name), root.path()), root.path().join("tiny.gguf"));
        write(&model, None, &format_of(root.path()), Quant::Bf16, &out)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let folder = resolve_with(out.to_str().unwrap(), &options(root.path()), &|_| {}).unwrap();
        let (mut want, found) = (ModelConfig::load(&model).unwrap(), ModelConfig::load(&folder).unwrap());
        if let Some(window) = want.sliding_window.take() {
            // Within its window the model attends as one without.
            want.context_tokens_max = want.context_tokens_max.min(window);
        }
        let (ours, theirs) = (want.rotary.inverse_frequencies.clone(), &found.rotary.inverse_frequencies);
        for (one, other) in ours.iter().zip(theirs) {
            // The rule is found again from f32 quotients.
            assert!((one / other - 1.0).abs() < 1e-4, "{name}: {ours:?} and {theirs:?}");
        }
        want.rotary = found.rotary.clone();
        assert_eq!(found, want, "{name}");
        let load =
            |folder: &Path| candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let (want, found) = (load(&model), load(&folder));
        assert!(found.len() >= want.len() - 1, "{name}");
        for (tensor, found) in &found {
            let rounded = |tensor: &candle_core::Tensor| {
                let rounded = tensor.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
                rounded.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(rounded(found), rounded(&want[tensor]), "{name}: {tensor}");
        }
    }
}

#[test]
fn an_adapter_is_merged_while_writing() {
    for name in ["llama-lora", "llama-dora"] {
        is_merged_while_writing(&golden("lora").join(name).join("adapter"));
    }
}

fn is_merged_while_writing(adapter: &Path) {
    let root = scratch();
    let model = golden("models/llama-tiny");
    let config = ModelConfig::load(&model).unwrap();
    let adapter = Adapter::load(adapter, &config, &Device::Cpu).unwrap();
    let merged = root.path().join("merged");
    fs::create_dir(&merged).unwrap();
    merge_and_save(&model, &adapter, &merged).unwrap();
    let format = format_of(root.path());
    let [one, other, bare] = ["one.gguf", "other.gguf", "bare.gguf"].map(|name| root.path().join(name));
    write(&model, Some(&adapter), &format, Quant::F16, &one).unwrap();
    write(&merged, None, &format, Quant::F16, &other).unwrap();
    write(&model, None, &format, Quant::F16, &bare).unwrap();
    assert!(fs::read(&one).unwrap() == fs::read(other).unwrap());
    assert!(fs::read(one).unwrap() != fs::read(bare).unwrap());
}

/// Texts become the same ids after they went through a file.
fn check_tokenizer(tokenizer: &Value, texts: &[String]) {
    let root = scratch();
    let model = model_with(root.path(), tokenizer);
    let out = root.path().join("tiny.gguf");
    write(&model, None, &model, Quant::F16, &out).unwrap();
    let files = ModelFiles::in_gguf(&out).unwrap();
    let load = |folder: &Path| Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let (ours, theirs) = (load(&model), load(files.folder()));
    for text in texts {
        let ids = |tokenizer: &Tokenizer| tokenizer.encode(text.as_str(), true).unwrap().get_ids().to_vec();
        assert_eq!(ids(&theirs), ids(&ours), "{text:?}");
    }
}

#[test]
fn a_sentence_piece_tokenizer_comes_back_from_the_order_of_its_merges() {
    let texts =
        ["", "a", "abc", " ab", "  a  b", "abcc bc", "cccc", "aaab \u{e9}\u{4f60}", "</s>a<s> b", "     ", "bab  abc"];
    check_tokenizer(&sentence_piece(&PIECES), &texts.map(str::to_owned));
}

#[test]
fn real_sentence_piece_tokenizers_come_back() {
    let Some(folder) = shared().map(|shared| shared.join("tokenizers")).filter(|folder| folder.is_dir()) else {
        println!("skipped: 2 tokenizers, no shared folder");
        return;
    };
    for name in ["llama2", "mistral"] {
        let read =
            |file: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(name).join(file)).unwrap()).unwrap() };
        let texts = read("validation.json");
        let texts = texts.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap().to_owned());
        check_tokenizer(&read("tokenizer.json"), &texts.collect::<Vec<_>>());
    }
}

#[test]
fn tokenizers_that_would_be_read_otherwise_are_refused() {
    let refusal = |change: &dyn Fn(&mut Value)| {
        let root = scratch();
        let mut tokenizer = sentence_piece(&PIECES);
        let model = model_with(root.path(), &tokenizer);
        change(&mut tokenizer);
        write_tokenizer(&model, &tokenizer);
        write(&model, None, &model, Quant::F16, &root.path().join("tiny.gguf")).expect_err("the change must be refused")
    };
    assert!(refusal(&|tokenizer| tokenizer["model"]["merges"] = json!([["a", "b"]])).contains("no merge makes it"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["merges"][0] = json!(["a", "x"])).contains("known pieces"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["merges"][0] = json!("a")).contains("not two tokens"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["merges"] = json!(null)).contains("no `merges`"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["vocab"]["a"] = json!(1u64 << 40)).contains("rows"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["vocab"]["a"] = json!(-1)).contains("has the id -1"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["vocab"]["a"] = json!(0)).contains("token id 0 is"));
    let without_bytes = |tokenizer: &mut Value| {
        tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("<0x0A>");
    };
    assert!(refusal(&without_bytes).contains("<0x0A>"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["unk_token"] = json!(null)).contains("unk_token"));
    assert!(refusal(&|tokenizer| tokenizer["model"]["type"] = json!("Unigram")).contains("Unigram"));
    assert!(refusal(&|tokenizer| tokenizer["normalizer"] = json!({"type": "NFKC"})).contains("NFKC"));
    assert!(refusal(&|tokenizer| tokenizer["post_processor"]["single"] = json!([])).contains("post-processor"));
    assert!(refusal(&|tokenizer| tokenizer["added_tokens"][0]["content"] = json!("<x>")).contains("token id 0 is"));
}

#[test]
fn a_value_that_half_precision_cannot_hold_is_refused_by_name() {
    let root = scratch();
    let model = model_with(root.path(), &sentence_piece(&PIECES));
    let path = model.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let name = "model.layers.0.mlp.up_proj.weight";
    let large = (tensors[name].zeros_like().unwrap() + 1e6).unwrap();
    tensors.insert(name.to_owned(), large);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let out = root.path().join("tiny.gguf");
    let error = write(&model, None, &model, Quant::F16, &out).unwrap_err();
    assert!(error.contains(name) && error.contains("hint: bf16"), "{error}");
    write(&model, None, &model, Quant::Bf16, &out).unwrap();
    tensors.insert(name.to_owned(), (tensors[name].zeros_like().unwrap() / 0.0).unwrap());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert!(write(&model, None, &model, Quant::Q8_0, &out).unwrap_err().contains(name));
}
