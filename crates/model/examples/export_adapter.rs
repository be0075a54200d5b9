//! Write a trained adapter again, as an adapter folder and merged into its base.
//!
//! usage: export_adapter BASE_DIR ADAPTER_DIR OUT_ADAPTER_DIR OUT_MERGED_DIR
//!
//! The same two calls end a training run; `tests/export_check.py` uses this on the tiny golden models.

use std::path::Path;

use candle_core::Device;
use codeact_model::{Adapter, ModelConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [base, adapter, out_adapter, out_merged] = &args[..] else {
        return Err("usage: export_adapter BASE_DIR ADAPTER_DIR OUT_ADAPTER_DIR OUT_MERGED_DIR".into());
    };
    let config = ModelConfig::load(Path::new(base))?;
    let adapter = Adapter::load(Path::new(adapter), &config, &Device::Cpu)?;
    std::fs::create_dir_all(out_adapter)?;
    std::fs::create_dir_all(out_merged)?;
    adapter.save(Path::new(out_adapter), base)?;
    codeact_model::merge_and_save(Path::new(base), &adapter, Path::new(out_merged))?;
    Ok(())
}
