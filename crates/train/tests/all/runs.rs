//! Whole runs of the binary on a tiny model.

use candle_core::{DType, Device};
use codeact_model::{Adapter, Batch, Decoder};

use crate::tiny::{Tiny, names};

const RESULTS: [&str; 3] = [
    "run/step-000006/adapter_model.safetensors",
    "run/step-000006/optimizer.safetensors",
    "run/merged/model.safetensors",
];

fn results(tiny: &Tiny) -> Vec<Vec<u8>> {
    RESULTS.iter().map(|name| tiny.read(name)).collect()
}

/// Steps of metrics.jsonl without wall time and memory.
fn metrics(tiny: &Tiny) -> Vec<serde_json::Value> {
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        let cells = row.as_object_mut().unwrap();
        cells.remove("memory_bytes");
        cells.remove("seconds")?;
        Some(row)
    });
    rows.collect()
}

#[test]
fn a_whole_run_learns_and_leaves_everything_a_user_needs() {
    let tiny = Tiny::new();
    let ended = tiny.run(&[]).expect_code(0).says("held-out loss before training and after step 6: ");
    assert!(ended.stdout.contains(&format!("codeact-chat -- --model {}", tiny.path("run/merged").display())));
    assert_eq!(
        names(&tiny.path("run")),
        [
            "adapter",
            "config.toml",
            "merged",
            "metrics.jsonl",
            "plan.jsonl",
            "step-000003",
            "step-000006",
            "tensorboard"
        ]
    );
    let rows = metrics(&tiny);
    assert_eq!(rows.len(), 6);
    let loss = |row: &serde_json::Value| row["loss"].as_f64().unwrap();
    assert!(loss(&rows[5]) < 0.8 * loss(&rows[0]), "{rows:?}");
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let (first, last) = (text.lines().next().unwrap(), text.lines().last().unwrap());
    assert!(first.starts_with("{\"step\":0,\"held_out_loss\":"), "{first}");
    assert!(last.starts_with("{\"step\":6,\"held_out_loss\":"), "{last}");
    assert_eq!(ended.stderr.contains("memory: "), cfg!(target_os = "linux"), "{}", ended.stderr);
    for folder in ["adapter", "merged"] {
        assert_eq!(tiny.read(&format!("run/{folder}/codeact.json")), b"{\"profile\":\"quickstart\"}\n");
        assert!(codeact_chat::ChatFormat::load(&tiny.path(&format!("run/{folder}"))).is_ok());
    }
}

#[test]
fn the_merged_folder_gives_the_loss_of_base_and_adapter() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let load = |name| Decoder::load(&tiny.path(name), DType::F32, &Device::Cpu).unwrap();
    let (base, merged) = (load("model"), load("run/merged"));
    let adapter = Adapter::load(&tiny.path("run/adapter"), base.config(), &Device::Cpu).unwrap();
    let ids: Vec<u32> = (3..60).collect();
    let batch = Batch::new([(ids.as_slice(), [&[false], [true; 56].as_slice()].concat().as_slice())]).unwrap();
    let with_adapter = base.loss(Some(&adapter), &batch).unwrap();
    let difference = (merged.loss(None, &batch).unwrap() - with_adapter).abs();
    // Two orders of f32 sums over 56 tokens.
    assert!(difference < 1e-3, "{difference}");
    assert!((base.loss(None, &batch).unwrap() - with_adapter).abs() > 0.1, "the adapter changed nothing");
}

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let (wanted, wanted_metrics) = (results(&tiny), metrics(&tiny));
    for name in ["step-000006", "adapter", "merged"] {
        std::fs::remove_dir_all(tiny.path("run").join(name)).unwrap();
    }
    tiny.run(&["--resume"]).expect_code(0).says("continuing").says("step-000003");
    assert!(results(&tiny) == wanted);
    assert_eq!(metrics(&tiny), wanted_metrics);
}

#[test]
fn threads_and_recompute_change_no_bit() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let wanted = results(&tiny);
    for setting in ["train.threads=1", "train.recompute=mlp", "train.recompute=block"] {
        tiny.run(&["--set", setting, "--set", "output.overwrite=true"]).expect_code(0);
        assert!(results(&tiny) == wanted, "{setting}");
    }
}

#[test]
fn accumulation_splits_a_step_without_changing_its_loss() {
    let tiny = Tiny::new();
    // One conversation a pack, all 24 in a step; then all of them in one pack.
    let split = ["--set", "train.pack_tokens=70", "--set", "train.accumulation=24", "--set", "train.steps=3"];
    tiny.run(&split).expect_code(0);
    let apart = metrics(&tiny);
    let whole = ["--set", "train.pack_tokens=2000", "--set", "train.accumulation=1", "--set", "train.steps=3"];
    let mut whole = whole.to_vec();
    whole.extend(["--set", "output.overwrite=true"]);
    tiny.run(&whole).expect_code(0);
    for (apart, together) in apart.iter().zip(metrics(&tiny)) {
        for key in ["loss", "gradient_norm"] {
            let (left, right) = (apart[key].as_f64().unwrap(), together[key].as_f64().unwrap());
            // f32 sums in another order, over three updates.
            assert!((left - right).abs() < 1e-4 * right.abs(), "{key}: {left} and {right}");
        }
        assert_eq!(apart["supervised_tokens"], together["supervised_tokens"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_stays_flat_over_a_thousand_steps() {
    let tiny = Tiny::new();
    let settings = ["train.steps=1000", "checkpoint.every=50", "evaluation.every=50"];
    tiny.run(&settings.map(|setting| ["--set", setting]).concat()).expect_code(0);
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let memory: Vec<u64> = rows.filter_map(|row| row["memory_bytes"].as_u64()).collect();
    assert_eq!(memory.len(), 1000);
    let median = |range: std::ops::Range<usize>| {
        let mut part = memory[range].to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    let (early, late) = (median(200..400), median(800..1000));
    // An allocator takes pieces of 2 MiB, and one more was seen; one activation that each step forgets would be 17 MB.
    assert!(late < early + (4 << 20), "{early} bytes at first, {late} in the end");
}

#[test]
fn a_run_in_bf16_learns_too() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.dtype=bf16"]).expect_code(0);
    let rows = metrics(&tiny);
    assert!(rows[5]["loss"].as_f64() < rows[0]["loss"].as_f64(), "{rows:?}");
}

#[test]
fn a_base_model_gets_chatml_and_its_new_tokens_are_trained() {
    let tiny = Tiny::base();
    tiny.run(&[]).expect_code(2).says("no chat template");
    let chatml = ["--set", "model.chat_format=chatml"];
    tiny.run(&chatml).expect_code(0).says("2 new tokens");
    let config: serde_json::Value = serde_json::from_slice(&tiny.read("run/merged/config.json")).unwrap();
    assert_eq!(config["vocab_size"], 259);
    let merged = Decoder::load(&tiny.path("run/merged"), DType::F32, &Device::Cpu).unwrap();
    let base = Decoder::load(&tiny.path("model"), DType::F32, &Device::Cpu).unwrap();
    let adapter = Adapter::load(&tiny.path("run/adapter"), base.config(), &Device::Cpu).unwrap();
    let format = codeact_chat::ChatFormat::load(&tiny.path("run/merged")).unwrap();
    let end_of_turn = format.token_id("<|im_end|>").unwrap();
    assert_eq!(format.vocab_size(), 259);
    let ids = [10, 11, 12, end_of_turn];
    let batch = Batch::new([(ids.as_slice(), [false, true, true, true].as_slice())]).unwrap();
    let (with_adapter, alone) = (base.loss(Some(&adapter), &batch).unwrap(), merged.loss(None, &batch).unwrap());
    assert!((with_adapter - alone).abs() < 1e-4, "{with_adapter} and {alone}");
    // Both new rows start as the same mean; training has told them apart.
    let rows = adapter.new_embedding(adapter.parameters()).unwrap().unwrap().to_vec2::<f32>().unwrap();
    assert_ne!(rows[0], rows[1]);

    let wanted = results(&tiny);
    for name in ["step-000006", "adapter", "merged"] {
        std::fs::remove_dir_all(tiny.path("run").join(name)).unwrap();
    }
    tiny.run(&[&chatml[..], &["--resume"]].concat()).expect_code(0);
    assert!(results(&tiny) == wanted, "resumed with other bits");
}

#[test]
fn new_tokens_start_as_the_mean_or_as_the_last_row_and_learn_apart() {
    let start = |choice: &str| {
        let tiny = Tiny::base();
        let choice = format!("model.new_tokens={choice}");
        // The first step of a warm-up has learning rate 0: the rows are as they started.
        let one = ["--set", "model.chat_format=chatml", "--set", &choice, "--set", "train.steps=1"];
        tiny.run(&[&one[..], &["--set", "optimizer.warmup_steps=1"]].concat()).expect_code(0);
        let base = Decoder::load(&tiny.path("model"), DType::F32, &Device::Cpu).unwrap();
        let adapter = Adapter::load(&tiny.path("run/adapter"), base.config(), &Device::Cpu).unwrap();
        let rows = adapter.new_embedding(adapter.parameters()).unwrap().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows[0], rows[1]);
        let weights = candle_core::safetensors::load(tiny.path("model/model.safetensors"), &Device::Cpu).unwrap();
        let table = weights["model.embed_tokens.weight"].to_vec2::<f32>().unwrap();
        (rows[0].clone(), table)
    };
    let (row, table) = start("copy");
    assert_eq!(&row, table.last().unwrap());
    let (row, table) = start("mean");
    let mean: f32 = table.iter().map(|row| row[0]).sum::<f32>() / table.len() as f32;
    // f32 sums over 257 rows in another order.
    assert!((row[0] - mean).abs() < 1e-5, "{} and {mean}", row[0]);

    let tiny = Tiny::base();
    tiny.run(&["--set", "model.chat_format=chatml", "--set", "model.new_tokens=copy"]).expect_code(0);
    let base = Decoder::load(&tiny.path("model"), DType::F32, &Device::Cpu).unwrap();
    let adapter = Adapter::load(&tiny.path("run/adapter"), base.config(), &Device::Cpu).unwrap();
    let rows = adapter.new_embedding(adapter.parameters()).unwrap().unwrap().to_vec2::<f32>().unwrap();
    assert_ne!(rows[0], rows[1]);
}

#[test]
fn a_run_that_the_disk_cannot_hold_is_refused_before_it_begins() {
    let tiny = Tiny::new();
    // 60,000 checkpoints of 6 MB.
    let settings = ["train.steps=60000", "checkpoint.every=1", "checkpoint.keep_last=60000", "lora.rank=512"];
    let settings = settings.map(|setting| ["--set", setting]).concat();
    let ended = tiny.run(&settings).expect_code(2).says("are free there").says("hint: lower `checkpoint.keep_last`");
    assert!(ended.stderr.contains("writes   at most "));
    assert!(!tiny.path("run").exists());
    tiny.run(&[&settings[..], &["--dry-run"]].concat()).expect_code(2).says("are free there");
}

#[test]
fn what_is_never_learned_is_told() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0).says("of 24 conversations: the steps end before");
    let ended = tiny.run(&["--set", "output.overwrite=true"]).expect_code(0);
    assert!(!ended.stderr.contains("unused  "), "{}", ended.stderr);
}

#[test]
fn a_dry_run_prints_plan_and_mask_and_writes_nothing() {
    let tiny = Tiny::new();
    let ended = tiny.run(&["--dry-run"]).expect_code(0);
    for part in ["model  ", "data  ", "plan     6 steps", "memory   about", "speed    about", "writes   at most", "⟦"]
    {
        assert!(ended.stdout.contains(part), "no `{part}` in:\n{}", ended.stdout);
    }
    // First the settings, with what nobody wrote: as the run would leave them in its folder.
    let (settings, plan) = ended.stdout.split_once("\n\nmodel  ").unwrap();
    let path = std::path::Path::new("config.toml");
    let typed = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let config = codeact_train::config::Config::parse(&typed, path, &[]).unwrap();
    assert_eq!(codeact_train::config::Config::parse(settings, path, &[]).unwrap(), config);
    assert!(settings.contains("\nbeta1 = ") && !plan.contains("[lora]"), "{settings}");
    // Learned: the answer and its end-of-turn token; not learned: the user's words.
    assert!(ended.stdout.contains("<|im_start|>assistant\n⟦") && ended.stdout.contains("<|im_end|>⟧\n"));
    assert!(!ended.stdout.contains("⟦add"));
    // Those of steps 3 and 6, one that somebody asks for, and the one that is being written.
    let ended = tiny.run(&["--dry-run", "--set", "checkpoint.keep_last=9"]).expect_code(0);
    assert!(ended.stdout.contains(": 4 checkpoints of "), "{}", ended.stdout);
    assert!(!tiny.path("run").exists());
}
