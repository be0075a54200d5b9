//! Rendered text, ids and masks of nine conversations with three real tokenizers, made with Python's tokenizers and
//! transformers. The files are large and partly not ours to ship, so a missing folder skips the test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use codeact_chat::{ChatFormat, Message, Role};
use serde_json::Value;

use crate::tiny::conversation;

/// The one conversation in which we differ on purpose: control-token text typed by a user stays text.
const SAFE_CASE: &str = "edge-special-token-text-in-user";

/// Golden files and large tokenizers live beside the repository.
pub fn shared(path: &str) -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("CODEACT_SHARED").map_or_else(beside, PathBuf::from).join(path)
}

/// Says that a test did not run. Written past the test runner, which hides what passing tests print.
pub fn skipped(test: &str, missing: &Path) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("skipped: {test}: `{}` is missing ({count} skipped so far)\n", missing.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

struct Golden {
    messages: Vec<Message>,
    add_generation_prompt: bool,
    text: String,
    ids: Vec<u32>,
    mask: Vec<bool>,
    im_end: u32,
}

fn read_golden(path: &Path, with_bos: bool) -> Vec<(String, Golden)> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let suffix = if with_bos { "_with_bos" } else { "" };
    let golden = |case: &Value| Golden {
        messages: serde_json::from_value(case["messages"].clone()).unwrap(),
        add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
        text: case["text"].as_str().unwrap().to_owned(),
        ids: serde_json::from_value(case[format!("ids{suffix}")].clone()).unwrap(),
        mask: case[format!("assistant_mask{suffix}")].as_array().unwrap().iter().map(|bit| *bit == 1).collect(),
        im_end: file["im_end"].as_u64().unwrap() as u32,
    };
    let cases = file["conversations"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    cases.iter().map(|case| (case["name"].as_str().unwrap().to_owned(), golden(case))).collect()
}

fn check_all(format: &ChatFormat, golden_path: &Path, with_bos: bool) {
    let mut safe_cases = 0;
    for (name, golden) in read_golden(golden_path, with_bos) {
        let text = format.render(&golden.messages, golden.add_generation_prompt).unwrap();
        assert_eq!(text, golden.text, "{name}");
        assert!(format.end_of_turn_ids().contains(&golden.im_end));
        if name == SAFE_CASE {
            safe_cases += 1;
            check_safe_case(format, &golden);
            continue;
        }
        let example = format.example(&conversation(&golden.messages)).unwrap();
        let count = example.token_ids.len();
        assert_eq!(example.token_ids, golden.ids[..count], "{name}");
        assert_eq!(example.is_target, golden.mask[..count], "{name}");
        if golden.add_generation_prompt {
            assert_eq!(format.prompt_ids(&golden.messages).unwrap(), golden.ids, "{name}");
            assert!(!golden.mask[count..].contains(&true), "{name}: the generation prompt is not learned");
        } else {
            assert_eq!(count, golden.ids.len(), "{name}");
        }
    }
    assert_eq!(safe_cases, 1);
}

/// Header and answer are as in the golden file; the user's text between them is encoded without control tokens.
fn check_safe_case(format: &ChatFormat, golden: &Golden) {
    let example = format.example(&conversation(&golden.messages)).unwrap();
    let user = &golden.messages[0].content;
    assert_eq!(golden.messages[0].role, Role::User);
    let im_start = format.token_id("<|im_start|>").unwrap();
    let controls = [im_start, golden.im_end];

    let ours = &example.token_ids;
    let same_start = ours.iter().zip(&golden.ids).take_while(|(ours, golden)| ours == golden).count();
    let same_end = ours.iter().rev().zip(golden.ids.iter().rev()).take_while(|(ours, golden)| ours == golden).count();
    let middle = &ours[same_start..ours.len() - same_end];
    assert!(middle.len() > 8, "the two control tokens became several ordinary ones: {middle:?}");
    assert!(!middle.iter().any(|id| controls.contains(id)));
    let control_count = ours.iter().filter(|id| controls.contains(id)).count();
    let typed_count = user.matches("<|im_start|>").count() + user.matches("<|im_end|>").count();
    let golden_count = golden.ids.iter().filter(|id| controls.contains(id)).count();
    assert_eq!(control_count, golden_count - typed_count);

    let mask_end = golden.mask.len() - same_end;
    assert_eq!(example.is_target[ours.len() - same_end..], golden.mask[mask_end..]);
    assert!(!example.is_target[..ours.len() - same_end].contains(&true));
    assert!(format.decode(ours, false).contains(user.as_str()), "{}", format.decode(ours, false));
}

fn check_chatml_added(name: &str) {
    let (model, golden) = (shared(&format!("tokenizers/{name}")), shared(&format!("golden/chatml/{name}.json")));
    if !model.exists() || !golden.exists() {
        return skipped(&format!("chatml golden of {name}"), &model);
    }
    let format = ChatFormat::chatml_added(&model).unwrap();
    assert_eq!(format.token_id("<|im_start|>"), Some(32000));
    assert_eq!(format.token_id("<|im_end|>"), Some(32001));
    assert_eq!(format.vocab_size(), 32002);
    assert_eq!(format.end_of_turn_ids(), [32001]);
    check_all(&format, &golden, true);

    let saved = tempfile::tempdir().unwrap();
    format.save(saved.path()).unwrap();
    check_all(&ChatFormat::load(saved.path()).unwrap(), &golden, true);
}

#[test]
fn llama2_with_added_chatml_equals_golden() {
    check_chatml_added("llama2");
}

#[test]
fn mistral_with_added_chatml_equals_golden() {
    check_chatml_added("mistral");
}

#[test]
fn smollm2_equals_golden() {
    let in_checkpoints = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.join("checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct")
    };
    let model = std::env::var_os("CODEACT_SMOLLM2").map_or_else(in_checkpoints, PathBuf::from);
    let golden = shared("golden/chatml/smollm2.json");
    if !model.exists() || !golden.exists() {
        return skipped("chatml golden of smollm2", if golden.exists() { &model } else { &golden });
    }
    let format = ChatFormat::load(&model).unwrap();
    assert_eq!(format.end_of_turn_ids(), [2]);
    assert_eq!(format.vocab_size(), 49152);
    check_all(&format, &golden, false);
}
