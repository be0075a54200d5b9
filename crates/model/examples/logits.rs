//! Logits of every token of a few prompts, for `tests/export_check.py`.
//!
//! usage: logits MODEL_DIR IDS.json OUT.safetensors [--adapter DIR]
//!
//! IDS.json is a list of lists of token ids. OUT gets `logits.<index>`, `(T, V)` f32, for each list. Everything runs in
//! f32 on the CPU.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device};
use codeact_model::{Adapter, Batch, Decoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, ids, out, adapter) = match &args[..] {
        [model, ids, out] => (model, ids, out, None),
        [model, ids, out, flag, adapter] if flag == "--adapter" => (model, ids, out, Some(adapter)),
        _ => return Err("usage: logits MODEL_DIR IDS.json OUT.safetensors [--adapter DIR]".into()),
    };
    let decoder = Decoder::load(Path::new(model), DType::F32, &Device::Cpu)?;
    let adapter = match adapter {
        Some(folder) => Some(Adapter::load(Path::new(folder), decoder.config(), &Device::Cpu)?),
        None => None,
    };
    let prompts: Vec<Vec<u32>> = serde_json::from_str(&std::fs::read_to_string(ids)?)?;
    let mut tensors = HashMap::new();
    for (index, prompt) in prompts.iter().enumerate() {
        // A batch wants a target; which one does not matter to the logits.
        let targets: Vec<bool> = (0..prompt.len()).map(|at| at + 1 == prompt.len()).collect();
        let batch = Batch::new([(&prompt[..], &targets[..])])?;
        tensors.insert(format!("logits.{index}"), decoder.logits(adapter.as_ref(), &batch)?);
    }
    candle_core::safetensors::save(&tensors, out)?;
    Ok(())
}
