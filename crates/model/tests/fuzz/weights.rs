//! Safetensors files and their index.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use codeact_model::source::missing_file;
use codeact_model::{Decoder, ModelError};
use serde_json::{Value, json};

use crate::folder::{config, file, header, tensors};
use crate::harness::{Bounds, Case, Random, alone, campaign, damage};
use crate::json::mutate;
use crate::scratch;

/// The header is parsed and every tensor becomes f32, for a moment beside what it was fused from.
const BOUNDS: Bounds = Bounds { factor: 64, constant: 1 << 20 };

fn load(folder: &Path) -> Result<Decoder, ModelError> {
    Decoder::load(folder, DType::F32, &Device::Cpu)
}

/// A changed file of these tensors.
pub fn bad_file(random: &mut Random, tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, data_bytes) = header(tensors);
    let names: Vec<String> = header.as_object().unwrap().keys().skip(1).cloned().collect();
    for _ in 0..random.below(3) {
        let (name, other) = (random.pick(&names).clone(), random.pick(&names).clone());
        if !header[&name].is_object() {
            continue;
        }
        match random.below(6) {
            0 => header[&name]["data_offsets"] = header[&other]["data_offsets"].clone(),
            1 => header[&name]["dtype"] = json!(*random.pick(&["F16", "F64", "I64", "F4", "F8_E4M3", "BOOL", "F33"])),
            2 => header[&name]["shape"] = json!([0, random.odd_number()]),
            3 => header[&name]["shape"] = json!(vec![1u64 << random.below(64); random.below(6)]),
            4 => header[&name]["data_offsets"] = json!([random.odd_number(), random.odd_number()]),
            _ => mutate(random, &mut header[&name]),
        }
    }
    let mut text = header.to_string();
    if random.once_in(8) {
        // The same name twice.
        text.insert_str(1, &format!("{:?}:{},", random.pick(&names), header[random.pick(&names)]));
    }
    let mut bytes = file(&text, data_bytes);
    match random.below(6) {
        0 => bytes[..8].copy_from_slice(&random.odd_number().to_le_bytes()),
        1 | 2 => damage(random, &mut bytes),
        _ => {}
    }
    bytes
}

fn judge<T>(result: Result<T, ModelError>, counts: &mut (usize, usize)) {
    match result {
        Ok(_) => counts.0 += 1,
        Err(ModelError::Op(error)) => panic!("an error without a place: {error}"),
        Err(_) => counts.1 += 1,
    }
}

#[test]
fn damaged_weights() {
    let (root, mut counts) = (scratch(), (0, 0));
    fs::write(root.path().join("config.json"), config().to_string()).unwrap();
    campaign("model.safetensors", 4000, BOUNDS, |case| {
        let bytes = bad_file(&mut case.random, &tensors());
        fs::write(root.path().join("model.safetensors"), &bytes).unwrap();
        judge(case.measure(bytes.len(), || load(root.path())), &mut counts);
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (counts.0 > 100 && counts.1 > 1000), "{counts:?}");
}

#[test]
fn damaged_indexes() {
    let (root, mut counts) = (scratch(), (0, 0));
    fs::write(root.path().join("config.json"), config().to_string()).unwrap();
    fs::write(root.path().join("tokenizer.json"), "{}").unwrap();
    let (header, data_bytes) = header(&tensors());
    fs::write(root.path().join("a.safetensors"), file(&header.to_string(), data_bytes)).unwrap();
    let weight_map: Value = tensors().into_iter().map(|(name, _)| (name, json!("a.safetensors"))).collect();
    let good = json!({"metadata": {"total_size": data_bytes}, "weight_map": weight_map});
    let index = root.path().join("model.safetensors.index.json");
    let run = |case: &mut Case| {
        let mut value = good.clone();
        for _ in 0..1 + case.random.below(2) {
            mutate(&mut case.random, &mut value);
        }
        let map = value.get_mut("weight_map").and_then(Value::as_object_mut);
        if let (Some(map), true) = (map, case.random.once_in(2)) {
            let names = ["../a.safetensors", "/etc/passwd", "..", ".", "", "a.safetensors/", "\0", "b/a.safetensors"];
            map.insert("x".into(), json!(*case.random.pick(&names)));
        }
        let mut bytes = value.to_string().into_bytes();
        if case.random.once_in(4) {
            damage(&mut case.random, &mut bytes);
        }
        fs::write(&index, &bytes).unwrap();
        let result = case.measure(bytes.len() + data_bytes, || load(root.path()));
        let missing = case.measure(bytes.len(), || missing_file(root.path()));
        assert!(result.is_err() || missing.is_none(), "loaded, but said to be incomplete: {missing:?}");
        judge(result, &mut counts);
    };
    campaign("index of shards", 4000, BOUNDS, run);
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (counts.0 > 100 && counts.1 > 1000), "{counts:?}");
}

#[test]
fn an_index_does_not_lead_out_of_its_folder() {
    let _alone = alone();
    let root = scratch();
    let (header, data_bytes) = header(&tensors());
    fs::write(root.path().join("out.safetensors"), file(&header.to_string(), data_bytes)).unwrap();
    let folder = root.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), config().to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    let absolute = root.path().join("out.safetensors").to_str().unwrap().to_owned();
    for name in ["../out.safetensors", "./../out.safetensors", &absolute] {
        let index = json!({"weight_map": {"lm_head.weight": name}});
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
        let error = load(&folder).err().unwrap().to_string();
        assert!(error.contains("not a file beside it"), "{error}");
        assert!(missing_file(&folder).unwrap().contains("not a file beside it"));
    }
}
