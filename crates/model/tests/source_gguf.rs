//! GGUF files become Hugging Face folders; damaged and unsupported ones become errors.
#![allow(clippy::unwrap_used)]

mod source_support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use codeact_model::source::{missing_file, resolve_with};
use half::bf16;
use safetensors::SafeTensors;
use source_support::*;

fn convert(path: &Path, root: &Path) -> Result<std::path::PathBuf, String> {
    resolve_with(path.to_str().unwrap(), &options(root), &|_| {}).map_err(|error| error.to_string())
}

/// The error for the tiny model after `change`; nothing may be left behind.
fn refusal(
    change: impl FnOnce(&mut Vec<(String, Value)>, &mut Vec<(&'static str, usize, usize, GgmlDType)>),
) -> String {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    let (mut metadata, mut tensors) = (metadata(), tensor_list());
    change(&mut metadata, &mut tensors);
    write_gguf(&path, &metadata, &tensors);
    let error = convert(&path, root.path()).expect_err("the change must be refused");
    assert!(names(&root.path().join("base")).is_empty(), "left behind: {:?}", names(&root.path().join("base")));
    assert!(error.contains("tiny.gguf"), "no place in: {error}");
    error
}

fn set(metadata: &mut Vec<(String, Value)>, key: &str, value: Value) {
    metadata.retain(|entry| entry.0 != key);
    metadata.push((key.into(), value));
}

#[test]
fn weights_are_bf16_in_hugging_face_order() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let folder = convert(&path, root.path()).unwrap();
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 11, "tied: no lm_head");
    let values = |name: &str| -> Vec<f32> {
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), safetensors::Dtype::BF16);
        tensor.data().chunks(2).map(|pair| bf16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()
    };
    let v = values("model.layers.0.self_attn.v_proj.weight");
    let q = values("model.layers.0.self_attn.q_proj.weight");
    assert_eq!(v.len(), HEAD_WIDTH * HIDDEN);
    for row in 2..HEAD_WIDTH {
        assert_eq!(v[row * HIDDEN], row as f32, "v rows stay where they are");
    }
    // Rows 0..8 of a head are the even rows of the file, 8..16 the odd ones.
    let expected: Vec<f32> = (0..HEADS)
        .flat_map(|head| {
            (0..2)
                .flat_map(move |half| (0..HEAD_WIDTH / 2).map(move |pair| (head * HEAD_WIDTH + 2 * pair + half) as f32))
        })
        .collect();
    let firsts: Vec<f32> = q.chunks(HIDDEN).map(|row| row[0]).collect();
    assert_eq!(firsts, expected);
}

#[test]
fn config_and_tokenizer_are_rebuilt() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let folder = convert(&path, root.path()).unwrap();
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap() };
    let config = read("config.json");
    assert_eq!(config["rope_theta"], 100000.0);
    assert_eq!(config["rms_norm_eps"], 1e-5);
    assert_eq!(config["tie_word_embeddings"], true);
    assert_eq!(config["num_key_value_heads"], 1);
    assert_eq!(read("generation_config.json")["eos_token_id"], 2);
    assert_eq!(read("tokenizer_config.json")["chat_template"], "{{ messages }}");
    assert_eq!(read("special_tokens_map.json")["bos_token"], "<|im_start|>");
    let tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let text = "<|im_start|>hell 12é<|im_end|>";
    let encoding = tokenizer.encode(text, true).unwrap();
    assert_eq!(encoding.get_tokens()[..2], ["<|im_start|>", "hell"]);
    assert!(!encoding.get_tokens().contains(&"12".to_string()), "digits stand alone, whatever the merges say");
    assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), text);
}

#[test]
fn linear_rope_scaling_and_an_own_head_are_kept() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    let (mut metadata, mut tensors) = (metadata(), tensor_list());
    set(&mut metadata, "llama.rope.scaling.type", Value::String("linear".into()));
    set(&mut metadata, "llama.rope.scaling.factor", Value::F32(4.0));
    tensors.push(("output.weight", tensors[0].1, HIDDEN, GgmlDType::F16));
    write_gguf(&path, &metadata, &tensors);
    let folder = convert(&path, root.path()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["rope_scaling"], serde_json::json!({"type": "linear", "factor": 4.0}));
    assert_eq!(config["tie_word_embeddings"], false);
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    assert!(SafeTensors::deserialize(&bytes).unwrap().tensor("lm_head.weight").is_ok());
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let text = |value: &str| Value::String(value.into());
    let architecture = refusal(|metadata, _| set(metadata, "general.architecture", text("qwen2")));
    assert!(architecture.contains("`qwen2`") && architecture.contains("hint:"), "{architecture}");
    assert!(refusal(|metadata, _| set(metadata, "tokenizer.ggml.pre", text("tekken"))).contains("`tekken`"));
    assert!(refusal(|metadata, _| set(metadata, "tokenizer.ggml.model", text("t5"))).contains("`t5`"));
    assert!(refusal(|metadata, _| set(metadata, "llama.rope.scaling.type", text("yarn"))).contains("`yarn`"));
    assert!(refusal(|metadata, _| set(metadata, "llama.expert_count", Value::U32(8))).contains("expert_count"));
    // Factors that no rule gives, of another length, beside another scaling.
    let factors = |rows| ("rope_freqs.weight", rows, 0, GgmlDType::F32);
    assert!(refusal(|_, tensors| tensors.push(factors(8))).contains("not that of Llama 3"));
    assert!(refusal(|_, tensors| tensors.push(factors(16))).contains("must be F32 of [8]"));
    assert!(
        refusal(|_, tensors| tensors.push(("rope_factors_long.weight", 8, 0, GgmlDType::F32))).contains("factors_long")
    );
    assert!(
        refusal(|_, tensors| tensors.push(("blk.0.attn_q.bias", 32, 0, GgmlDType::F32))).contains("blk.0.attn_q.bias")
    );
}

#[test]
fn contradictions_are_named() {
    assert!(
        refusal(|_, tensors| tensors.retain(|tensor| tensor.0 != "blk.0.ffn_up.weight"))
            .contains("blk.0.ffn_up.weight")
    );
    assert!(refusal(|_, tensors| tensors[6].1 = 32).contains("blk.0.attn_v.weight"));
    assert!(
        refusal(|metadata, _| metadata.retain(|entry| entry.0 != "llama.block_count")).contains("llama.block_count")
    );
    assert!(refusal(|metadata, _| set(metadata, "llama.block_count", Value::U32(1 << 20))).contains("layers"));
    assert!(refusal(|metadata, _| set(metadata, "llama.attention.key_length", Value::U64(1 << 63))).contains("heads"));
    let merges = |merge: &str| Value::Array(vec![Value::String(merge.into())]);
    let long = "<|endoftext|> <|endoftext|>";
    assert!(refusal(|metadata, _| set(metadata, "tokenizer.ggml.merges", merges(long))).contains("makes no token"));
    assert!(refusal(|metadata, _| set(metadata, "tokenizer.ggml.eos_token_id", Value::U32(999))).contains("999"));
    assert!(refusal(|metadata, _| set(metadata, "general.alignment", Value::U32(0))).contains("general.alignment"));
    assert!(
        refusal(|metadata, _| set(metadata, "llama.block_count", Value::String("one".into()))).contains("whole number")
    );
}

#[test]
fn absurd_lengths_are_refused_before_anything_is_allocated() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let good = fs::read(&path).unwrap();
    let tokens = good.windows(21).position(|window| window == b"tokenizer.ggml.tokens").unwrap() + 21;
    // Tensor count, metadata count, length of the first key, number of tokens.
    for position in [8, 16, 24, tokens + 8] {
        for length in [u64::MAX, 1 << 62, 1 << 40, 1 << 31] {
            let mut bad = good.clone();
            bad[position..position + 8].copy_from_slice(&length.to_le_bytes());
            fs::write(&path, &bad).unwrap();
            let error = convert(&path, root.path()).expect_err("an absurd length must be refused");
            assert!(error.contains("tiny.gguf"), "{error}");
        }
    }
}

#[test]
fn truncated_files_are_errors() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let good = fs::read(&path).unwrap();
    // The last tensor is followed by padding only when its size is no multiple of 32; here it is one.
    let cuts = (0..good.len()).step_by(good.len() / 200).chain([good.len() - 1]);
    for cut in cuts {
        fs::write(&path, &good[..cut]).unwrap();
        let error = convert(&path, root.path()).expect_err("a cut file must be refused");
        assert!(error.contains("tiny.gguf"), "cut at {cut}: {error}");
    }
    assert!(names(&root.path().join("base")).is_empty());
}

#[test]
fn flipped_bits_never_panic_and_never_leave_half_a_model() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let good = fs::read(&path).unwrap();
    let header_bytes = good.windows(22).position(|window| window == b"blk.0.ffn_down.weight\x02").unwrap() + 60;
    // splitmix64 with a fixed seed.
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e3779b97f4a7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d049bb133111eb) as usize
    };
    let mut refused = 0;
    for case in 0..600 {
        let mut bad = good.clone();
        // Two of three cases in the header, where the structure is.
        let range = if case % 3 == 0 { good.len() } else { header_bytes };
        for _ in 0..1 + case % 3 {
            bad[random() % range] ^= 1 << (random() % 8);
        }
        fs::write(&path, &bad).unwrap();
        match convert(&path, root.path()) {
            Ok(folder) => {
                assert_eq!(missing_file(&folder), None);
                fs::remove_dir_all(&folder).unwrap();
            }
            Err(_) => refused += 1,
        }
        assert!(names(&root.path().join("base")).is_empty());
    }
    assert!(refused > 100, "only {refused} of 600 damaged files were noticed");
}

#[test]
fn converting_happens_once_even_when_asked_at_the_same_time() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let conversions = AtomicUsize::new(0);
    let settings = options(root.path());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let count = |line: &str| {
                    conversions.fetch_add(usize::from(line.starts_with("converting")), Ordering::SeqCst);
                };
                let folder = resolve_with(path.to_str().unwrap(), &settings, &count).unwrap();
                assert_eq!(missing_file(&folder), None);
            });
        }
    });
    assert_eq!(conversions.load(Ordering::SeqCst), 1);
    assert_eq!(names(&settings.base_dir).len(), 1);
}

#[test]
fn a_leftover_of_a_killed_conversion_is_replaced() {
    let root = scratch();
    let path = root.path().join("tiny.gguf");
    write_good_gguf(&path);
    let folder = convert(&path, root.path()).unwrap();
    let partial = folder.with_file_name(format!("{}.partial", folder.file_name().unwrap().to_str().unwrap()));
    fs::rename(&folder, &partial).unwrap();
    fs::write(partial.join("model.safetensors"), "half").unwrap();
    assert_eq!(convert(&path, root.path()).unwrap(), folder);
    assert!(!partial.exists());
    assert!(fs::metadata(folder.join("model.safetensors")).unwrap().len() > 1000);
}

#[test]
fn the_converted_small_model_gives_the_golden_ids() {
    let golden = shared().map(|shared| shared.join("golden/chatml/smollm2.json")).filter(|path| path.is_file());
    let model =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct");
    let (Some(golden), None) = (golden, missing_file(&model)) else {
        println!("skipped: golden ids of SmolLM2 (needs ../shared and the model in checkpoints/base)");
        return;
    };
    let golden: serde_json::Value = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(model.join("tokenizer.json")).unwrap();
    let cases = golden["conversations"].as_array().expect("a list of conversations");
    assert!(!cases.is_empty());
    for case in cases {
        let expected: Vec<u64> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let ids: Vec<u64> = tokenizer
            .encode(case["text"].as_str().unwrap(), false)
            .unwrap()
            .get_ids()
            .iter()
            .map(|&id| id as u64)
            .collect();
        assert_eq!(ids, expected, "{}", case["text"]);
    }
}
