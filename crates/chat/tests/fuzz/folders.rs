//! The settings files of a folder, and JSON that is changed where it hurts.

use codeact_chat::FormatError;
use serde_json::{Value, json};

use crate::harness::{Bounds, Random, alone, campaign, damage};
use crate::tiny::{CHATML, byte_level};

/// `[],` takes three bytes and becomes more than a hundred.
const BOUNDS: Bounds = Bounds { factor: 200, constant: 16 << 20 };

/// Changes one value, anywhere within.
pub fn mutate(random: &mut Random, value: &mut Value) {
    match value {
        Value::Object(map) if !map.is_empty() && !random.once_in(8) => {
            let key = map.keys().nth(random.below(map.len())).cloned().unwrap();
            match random.below(6) {
                0 => drop(map.shift_remove(&key)),
                1 => {
                    let value = map[&key].clone();
                    map.insert(format!("{key}{}", random.below(3)), value);
                }
                _ => mutate(random, map.get_mut(&key).unwrap()),
            }
        }
        Value::Array(list) if !list.is_empty() && !random.once_in(8) => {
            let at = random.below(list.len());
            match random.below(6) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                2 => list.swap(at, 0),
                _ => mutate(random, &mut list[at]),
            }
        }
        other => {
            *other = match random.below(10) {
                0 => Value::Null,
                1 => json!(random.once_in(2)),
                2 => json!(-1),
                3 => json!(1e308),
                4 => json!(""),
                5 => json!("x".repeat(random.below(300))),
                6 => (0..random.below(200)).fold(json!(1), |inner, _| json!([inner])),
                7 => json!(*random.pick(&["<|im_end|>", "a", "h e", "\u{0}", "Ġ", "\u{2581}", "BPE", "Unigram"])),
                8 => json!(vec![0; random.below(3000)]),
                _ => json!(random.odd_number()),
            }
        }
    }
}

#[test]
fn damaged_settings() {
    let folder = byte_level(CHATML);
    let token = json!({"content": "<|im_end|>", "special": true});
    let goods = [
        (
            "tokenizer_config.json",
            json!({"eos_token": token, "bos_token": "<|im_start|>", "unk_token": null, "model_max_length": 1e30,
                   "chat_template": [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": "x"}],
                   "added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": true}}}),
        ),
        ("generation_config.json", json!({"eos_token_id": [2, 0], "bos_token_id": 1})),
        ("special_tokens_map.json", json!({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})),
    ];
    for (name, good) in &goods {
        folder.write(name, good);
    }
    folder.load().unwrap();
    let (mut used, mut refused) = (0, 0);
    campaign("settings", 2000, BOUNDS, |case| {
        let (name, good) = case.random.pick(&goods);
        let mut value = good.clone();
        (0..1 + case.random.below(2)).for_each(|_| mutate(&mut case.random, &mut value));
        let mut bytes = value.to_string().into_bytes();
        if case.random.once_in(4) {
            damage(&mut case.random, &mut bytes);
        }
        std::fs::write(folder.path().join(name), &bytes).unwrap();
        match case.measure(bytes.len(), || folder.load()) {
            Ok(format) => {
                let copy = tempfile::tempdir().unwrap();
                format.save(copy.path()).unwrap();
                used += 1;
            }
            Err(_) => refused += 1,
        }
        folder.write(name, good);
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (used > 100 && refused > 100), "{used} used, {refused} refused");
}

#[test]
fn a_file_without_end_is_not_read() {
    let _alone = alone();
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"] {
        let folder = byte_level(CHATML);
        let path = folder.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let error = folder.load().unwrap_err();
        assert!(matches!(&error, FormatError::Io { path: at, .. } if *at == path), "{error}");
    }
}
