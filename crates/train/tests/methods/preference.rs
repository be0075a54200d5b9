//! Whole runs that learn from pairs: what they learn, that they go on as they were, and what is refused.

use std::collections::HashMap;
use std::process::Command;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::tiny::{Ended, Tiny, names};
use crate::written::{GOOD, load, problems};
use crate::{metrics, results, with};

/// So many pairs about sums, an answer chosen, or none.
fn pairs(count: usize, is_swapped: bool) -> String {
    let rows = (0..count).map(|index| {
        let said = |text: String| {
            json!([{"role": "user", "content": format!("add {index}")}, {"role": "assistant", "content": text}])
        };
        let (right, wrong) = (said(format!("{index} and one is {}", index + 1)), said(format!("{index}? Ask him.")));
        let (chosen, rejected) = if is_swapped { (wrong, right) } else { (right, wrong) };
        json!({"id": format!("pair {index}"), "chosen": chosen, "rejected": rejected}).to_string() + "\n"
    });
    rows.collect()
}

/// A room whose training data are pairs.
fn room(from: Tiny) -> Tiny {
    from.write("train.jsonl", &pairs(12, false));
    from
}

/// Rows of steps.
fn steps(tiny: &Tiny) -> Vec<Value> {
    metrics(tiny).into_iter().filter(|row| row["loss"].is_number()).collect()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {row}"))
}

#[test]
fn pairs_are_told_apart_and_a_resumed_run_ends_in_the_same_bits() {
    let tiny = room(Tiny::new());
    let settings = ["preference.beta=0.3", "preference.sft_weight=0.5"];
    let ended = tiny.run(&with(&settings, &[])).expect_code(0);
    ended.says("pairs    DPO with beta 0.3").says("comparing with the start of the run: 12 pairs");
    let rows = steps(&tiny);
    let (first, last) = (&rows[0], &rows[5]);
    // Nothing has moved yet: a pair is even.
    let even = 2f64.ln() + 0.5 * number(first, "chosen_loss");
    assert!((number(first, "loss") - even).abs() < 1e-4, "{first}");
    assert!(number(first, "reward_margin").abs() < 1e-4, "{first}");
    assert!(number(last, "loss") < number(first, "loss") && number(last, "reward_margin") > 0.05, "{last}");
    assert!(number(last, "reward_accuracy") > 0.9 && number(last, "reward_chosen") > 0.0, "{last}");
    let margin = number(last, "reward_chosen") - number(last, "reward_rejected");
    assert!((margin - number(last, "reward_margin")).abs() < 1e-9, "{last}");
    // What is held out are conversations, as ever.
    assert!(metrics(&tiny).iter().any(|row| row["held_out_loss"].is_number()));
    let card = String::from_utf8(tiny.read("run/adapter/README.md")).unwrap();
    assert!(card.contains("- dpo\n") && card.contains("what the run began as: the base model."), "{card}");

    let wanted = results(&tiny);
    std::fs::remove_dir_all(tiny.path("run/step-000006")).unwrap();
    tiny.run(&with(&settings, &["--resume"])).expect_code(0).says("continuing").says("comparing with the start");
    assert!(results(&tiny) == wanted);
    for more in ["train.threads=1", "train.recompute=mlp", "train.recompute=block"] {
        tiny.run(&with(&settings, &["--set", more, "--set", "output.overwrite=true"])).expect_code(0);
        assert!(results(&tiny) == wanted, "{more}");
    }
    let other = ["preference.beta=0.2", "preference.sft_weight=0.5"];
    tiny.run(&with(&other, &["--resume"])).expect_code(2).says("`preference.beta` was 0.3 there and is 0.2 here");
    // Settings that the run wrote are settings.
    let resolved = String::from_utf8(tiny.read("run/config.toml")).unwrap();
    assert!(resolved.contains("[preference]\nbeta = 0.3\nsft_weight = 0.5\n"), "{resolved}");
}

#[test]
fn pairs_learn_the_same_however_a_step_is_cut() {
    let tiny = room(Tiny::new());
    let settings = ["preference.beta=0.3", "train.steps=3", "output.overwrite=true"];
    let run = |more: [&str; 2]| {
        tiny.run(&with(&settings, &with(&more, &[]))).expect_code(0);
        steps(&tiny)
    };
    let apart = run(["train.pack_tokens=100", "train.accumulation=24"]);
    let together = run(["train.pack_tokens=2000", "train.accumulation=1"]);
    assert_eq!((apart.len(), together.len()), (3, 3));
    for (apart, together) in apart.iter().zip(&together) {
        for key in ["loss", "gradient_norm", "chosen_loss"] {
            let (left, right) = (number(apart, key), number(together, key));
            // f32 sums in another order, over three updates.
            assert!((left - right).abs() < 1e-4 * right.abs(), "{key}: {left} and {right}");
        }
    }
}

/// Every `B` of the adapter of a run, end to end.
fn ups(tiny: &Tiny, run: &str) -> Vec<f32> {
    let path = tiny.path(run).join("adapter/adapter_model.safetensors");
    let tensors: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut ups: Vec<(&String, &Tensor)> = tensors.iter().filter(|(name, _)| name.contains("lora_B")).collect();
    ups.sort_by_key(|(name, _)| *name);
    ups.iter().flat_map(|(_, tensor)| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

#[test]
fn swapped_pairs_pull_the_other_way_and_without_beta_nothing_pulls() {
    let tiny = room(Tiny::new());
    let plain = ["preference.sft_weight=0", "train.steps=1", "train.pack_tokens=2000"];
    let run = |beta: &str, dir: &str| {
        tiny.run(&with(&plain, &with(&[beta, dir], &[]))).expect_code(0);
    };
    run("preference.beta=0.1", "output.dir=one");
    run("preference.beta=1e-7", "output.dir=weak");
    tiny.write("train.jsonl", &pairs(12, true));
    run("preference.beta=0.1", "output.dir=other");
    let norm = |dir: &str| {
        let text = String::from_utf8(tiny.read(&format!("{dir}/metrics.jsonl"))).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| row["gradient_norm"].as_f64()).next().unwrap()
    };
    assert!((norm("one") / norm("other") - 1.0).abs() < 1e-3, "{} {}", norm("one"), norm("other"));
    assert!((norm("weak") / norm("one") * 1e6 - 1.0).abs() < 1e-2, "{} {}", norm("weak"), norm("one"));
    // The first step of Adam goes by the sign of each gradient.
    let (one, other) = (ups(&tiny, "one"), ups(&tiny, "other"));
    let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosine = dot(&one, &other) / (dot(&one, &one) * dot(&other, &other)).sqrt();
    assert!(cosine < -0.99, "{cosine}");
}

#[test]
fn an_adapter_is_compared_with_itself() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "lora.dropout=0.1"]).expect_code(0);
    std::fs::rename(tiny.path("run"), tiny.path("first")).unwrap();
    let tiny = room(tiny);
    let adapter = format!("model.adapter={:?}", tiny.path("first/adapter").display().to_string());
    let settings = [adapter.as_str(), "preference.beta=0.3", "preference.sft_weight=0"];
    tiny.run(&with(&settings, &[])).expect_code(0);
    let rows = steps(&tiny);
    assert!((number(&rows[0], "loss") - 2f64.ln()).abs() < 1e-4, "{}", rows[0]);
    // Against the base it would not be even: the adapter has learned the sums that are chosen. It had dropout, and pairs
    // are learned without: settings that the run wrote are settings.
    let resolved = String::from_utf8(tiny.read("run/config.toml")).unwrap();
    assert!(!resolved.contains("dropout"), "{resolved}");
    load(&resolved, &[]).unwrap();
    let wanted = results(&tiny);
    std::fs::remove_dir_all(tiny.path("run/step-000006")).unwrap();
    tiny.run(&with(&settings, &["--resume"])).expect_code(0);
    assert!(results(&tiny) == wanted);
}

#[test]
fn what_does_not_go_with_pairs_is_refused() {
    let tiny = Tiny::new();
    let beta = ["--set", "preference.beta=0.1"];
    tiny.run(&beta).expect_code(2).says("train.jsonl` has conversations, and `[preference]` learns from pairs");
    let tiny = room(tiny);
    let mut preview = Command::new(env!("CARGO_BIN_EXE_codeact-train"));
    preview.args(["preview", "--index", "3", "--config", "settings.toml"]).args(beta).current_dir(tiny.path(""));
    let shown = Ended::new(preview.output().unwrap()).expect_code(0).stdout;
    assert!(shown.contains("conversation 3, chosen, id \"pair 3\", 2 turns, "), "{shown}");
    assert!(shown.contains("conversation 3, rejected, id \"pair 3\", ") && shown.contains("⟦3? Ask him."), "{shown}");
    tiny.run(&[]).expect_code(2).says("train.jsonl` has pairs of a chosen and a rejected conversation");
    // Both of a pair are shown, one after the other.
    let shown = tiny.run(&with(&beta[1..], &["--dry-run"])).expect_code(0).stdout;
    assert!(shown.contains("first pair of step 1;") && shown.contains("\n\nrejected:\n\n<|im_start|>"), "{shown}");
    tiny.write("validation.jsonl", &pairs(2, false));
    tiny.run(&beta).expect_code(2).says("validation.jsonl` has pairs, and only conversations are measured");
    assert!(!names(&tiny.path("")).contains(&"run".to_owned()));
    let long = ["train.sequence_tokens_max=60", "preference.beta=0.1"];
    tiny.write_data("validation.jsonl", 4);
    tiny.run(&with(&long, &[])).expect_code(2).says("no conversation of train data is left");
}

#[test]
fn settings_of_pairs_have_defaults_and_faults_their_place() {
    assert_eq!(load(GOOD, &[]).unwrap().pairs(), None);
    let text = format!("{GOOD}[preference]\n");
    let config = load(&text, &[]).unwrap();
    let preference = config.pairs().unwrap();
    assert_eq!((preference.beta, preference.sft_weight), (0.1, 1.0));
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    for (typed, key, what) in [
        ("preference.beta=0", "preference.beta", "is 0.0, expected more than 0"),
        ("preference.sft_weight=-1", "preference.sft_weight", "is -1.0, expected 0 or more"),
        ("lora.dropout=0.1", "lora.dropout", "random numbers would change"),
        ("train.neftune_alpha=5", "train.neftune_alpha", "random numbers would change"),
        ("train.too_long=truncate", "train.too_long", "the end of a pair is that of its rejected conversation"),
        ("data.0.held_out=3", "data.0.held_out", "only conversations are measured"),
    ] {
        let found = problems(&text, &[typed]);
        assert!(found.len() == 1 && found[0].key == key && found[0].what.contains(what), "{found:?}");
    }
    let found = problems(&text, &["preference.bata=1"]);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `beta`?"));
    let full = text.replace("[lora]\nrank = 8\nalpha = 16\n", "").replace("[train]\n", "[train]\nmethod = \"full\"\n");
    let found = problems(&full, &[]);
    assert!(found.len() == 1 && found[0].key == "train.method", "{found:?}");
}
