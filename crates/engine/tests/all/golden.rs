//! Greedy generations recorded with transformers: the ids must be equal. Those of `tests/golden` come with the
//! repository; where the larger ones beside it are missing, their tests skip, and say so.

use std::path::{Path, PathBuf};

use codeact_engine::{Engine, EngineLimits, Request, Sampling};
use codeact_model::serving::{ServedModel, ServedWeights, ServingOptions};
use codeact_model::source::ModelFiles;
use safetensors::SafeTensors;

fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("crates/engine lies in the repository").to_owned()
}

/// The folder of shared reference files: `CODEACT_SHARED`, or `shared` beside the repository.
fn shared() -> PathBuf {
    std::env::var_os("CODEACT_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from)
}

fn load(folder: &Path) -> Engine {
    let options =
        ServingOptions { weights: ServedWeights::F32, kv_bytes: Some(256 << 20), ..ServingOptions::default() };
    let model = ServedModel::load(&ModelFiles::in_folder(folder), &options).unwrap();
    Engine::start(model, EngineLimits::default()).unwrap()
}

fn greedy(engine: &Engine, prompt: &[u32], count: usize) -> Vec<u32> {
    let sampling = Sampling { max_new_tokens: count, ..Sampling::default() };
    engine.generate(Request::new(prompt.to_vec(), sampling), &mut |_| true).unwrap().token_ids()
}

fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let bytes = file.tensor(name).unwrap().data().chunks_exact(8);
    bytes.map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32).collect()
}

fn check(folder: &Path, recorded: &[u8]) {
    let file = SafeTensors::deserialize(recorded).unwrap();
    let (prompt, expected) = (integers(&file, "greedy_prompt"), integers(&file, "greedy_new"));
    assert!(!expected.is_empty());
    assert_eq!(greedy(&load(folder), &prompt, expected.len()), expected, "{}", folder.display());
}

#[test]
fn the_models_of_the_repository_generate_what_transformers_generates() {
    for name in ["llama-tiny", "llama-tiny-tied", "mistral-tiny-sw", "llama3rope-tiny"] {
        let folder = repository().join("tests/golden/models").join(name);
        check(&folder, &std::fs::read(folder.join("io.safetensors")).unwrap());
    }
}

#[test]
fn tiny_models_generate_what_transformers_generates() {
    let models = [
        "llama-tiny",
        "llama-tiny-tied",
        "mistral-tiny-sw16",
        "mistral-tiny-sw16-tied",
        "llama3rope-tiny",
        "llama3rope-tiny-tied",
    ];
    let mut skipped = 0;
    for name in models {
        let folder = shared().join("golden/models").join(name);
        let Ok(bytes) = std::fs::read(folder.join("io.safetensors")) else {
            skipped += 1;
            continue;
        };
        check(&folder, &bytes);
    }
    if skipped > 0 {
        println!("skipped: {skipped} of {} golden generations (no ../shared/golden/models)", models.len());
    }
}

#[test]
fn smollm2_generates_what_transformers_generates() {
    let base = repository().join("checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct");
    let golden = shared().join("golden/generate/smollm2_greedy.json");
    let (true, Ok(text)) = (base.join("config.json").exists(), std::fs::read_to_string(golden)) else {
        println!("skipped: 5 golden generations of SmolLM2 (no base model or no ../shared/golden/generate)");
        return;
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ids = |value: &serde_json::Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    let engine = load(&base);
    // All at once, as the engine is meant to be used.
    std::thread::scope(|scope| {
        for generation in json["generations"].as_array().unwrap() {
            let (engine, ids) = (&engine, &ids);
            scope.spawn(move || {
                let expected = ids(&generation["new_ids"]);
                let generated = greedy(engine, &ids(&generation["input_ids"]), expected.len());
                assert_eq!(generated, expected, "{}", generation["prompt"]);
            });
        }
    });
}
