//! What runs and commands leave: adapter, merged folder and GGUF file, each read again; and what is refused.

use std::process::Command;

use candle_core::{DType, Device};
use codeact_model::{Adapter, Decoder};
use codeact_train::Trained;
use codeact_train::config::Config;
use codeact_train::export::{self, Base, Check, Training};
use codeact_train::prepare::Prepared;
use codeact_train::progress::EncodeProgress;
use serde_json::Value;

use crate::tiny::{Ended, Tiny, names};

impl Tiny {
    /// A subcommand of the trainer.
    fn tool(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codeact-train"));
        Ended::new(command.args(arguments).current_dir(self.path("")).output().unwrap())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }
}

/// Two adapters of one base: what is exported of one and checked against the other differs.
#[test]
fn an_export_that_computes_something_else_is_kept_named_and_says_so() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let cache = format!("train.cache={}", tiny.path("cache").display());
    let config = Config::load(&tiny.path("settings.toml"), &[cache]).unwrap();
    let run = Prepared::new(config, Some(Device::Cpu), &|_| {}, &EncodeProgress::default()).unwrap();
    let decoder = Decoder::load(&run.base_dir, DType::F32, &Device::Cpu).unwrap();
    let trained = Adapter::load(&tiny.path("run/adapter"), decoder.config(), &Device::Cpu).unwrap();
    let fresh = decoder.new_adapter(&run.config.lora_config().unwrap(), run.format.vocab_size(), 1).unwrap();
    let check = Check::of_run(&run, &decoder, &Trained::Adapter(fresh)).unwrap();
    let wording = codeact_agent::Wording::default();
    let base = Base { name: "some/base", dir: &run.base_dir, format: &run.format, wording: &wording };
    let training = Training::of_run(&run, run.plan.steps.len(), None);
    let error = export::export(&tiny.path("other"), Trained::Adapter(trained), base, &check, &training).unwrap_err();
    assert!(error.to_string().contains("other/adapter"), "{error}");
    assert_eq!(error.exit_code(), 1);
    for folder in ["other/adapter", "other/merged"] {
        check_files(&tiny, folder);
        let check = &tiny.json(&format!("{folder}/manifest.json"))["check"];
        assert!(check["relative"].as_f64().unwrap() > 0.1, "{check}");
        assert!(tiny.text(&format!("{folder}/README.md")).contains("do not rely on this export"));
    }
    let card = tiny.text("other/adapter/README.md");
    assert!(
        card.starts_with("---\nbase_model: \"some/base\"\nbase_model_relation: adapter\nlibrary_name: peft\n"),
        "{card}"
    );
}

#[test]
fn names_of_others_stay_text_in_the_card() {
    let tiny = Tiny::new();
    tiny.write("model/README.md", "---\nlicense: apache-2.0\n---\n# x\n");
    let evil = "train `|` <b>![x](y).jsonl";
    tiny.write_data(evil, 3);
    let path = tiny.path(evil);
    let data = format!("data.0.path={}", path.display());
    let license = "data.0.license=mit\n---\nmalicious: true";
    tiny.run(&["--set", &data, "--set", license, "--set", "train.steps=1"]).expect_code(0);
    let card = tiny.text("run/adapter/README.md");
    let header = card.split("---\n").nth(1).unwrap();
    assert!(header.contains("license: \"apache-2.0\"\n") && !header.contains("malicious"), "{header}");
    let lines: Vec<&str> = card.lines().filter(|line| line.contains("jsonl")).collect();
    assert_eq!(lines.len(), 4, "two sources, in a table and a list: {card}");
    assert!(lines.iter().all(|line| line.matches('|').count() == 8 || !line.contains('|')), "{lines:?}");
    assert!(card.contains("``") && !card.contains("\nmalicious"), "{card}");
}

/// Every file but the manifest is in it, with its size and hash.
fn check_files(tiny: &Tiny, folder: &str) {
    let manifest = tiny.json(&format!("{folder}/manifest.json"));
    let listed: Vec<&str> =
        manifest["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    let mut found = names(&tiny.path(folder));
    found.retain(|name| name != "manifest.json");
    assert_eq!(listed, found);
    for file in manifest["files"].as_array().unwrap() {
        let path = tiny.path(folder).join(file["name"].as_str().unwrap());
        assert_eq!(file["bytes"], std::fs::metadata(&path).unwrap().len());
        assert_eq!(file["sha256"], codeact_data::hash::of_file(&path).unwrap());
    }
}

#[test]
fn a_run_reads_its_exports_again_and_says_how_far_they_are_off() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    for (folder, bound) in [("run/adapter", 0.0), ("run/merged", 2e-4)] {
        check_files(&tiny, folder);
        let manifest = tiny.json(&format!("{folder}/manifest.json"));
        let check = &manifest["check"];
        assert_eq!(check["bound"], bound);
        assert!(check["relative"].as_f64().unwrap() <= bound, "{check}");
        assert_eq!(check["asked"], "held-out conversations");
        assert!(check["tokens"].as_u64().unwrap() > 20);
        // A check of a model that did not move would show nothing.
        assert!(check["adapter_changes"].as_f64().unwrap() > 0.1, "{check}");
        assert_eq!(manifest["base"]["name"], tiny.path("model").to_str().unwrap());
        assert_eq!(manifest["training"]["amount"]["steps"], 6);
    }
    let card = tiny.text("run/merged/README.md");
    for text in
        ["| `lora.rank` | `4` |", "24 | 24 | 0 |", "4 | 0 | 4 |", "Held-out loss per supervised token", "100.0%"]
    {
        assert!(card.contains(text), "no `{text}` in:\n{card}");
    }
    let train = tiny.path("train.jsonl");
    assert!(card.contains(&format!("* `{}`: not known, look it up", train.display())), "{card}");
    let settings = &tiny.json("run/merged/manifest.json")["training"]["settings"];
    assert!(settings["output"].is_null() && settings["train"]["cache"].is_null(), "{settings}");
    // A path is nothing that the hub knows.
    assert!(card.starts_with("---\nlibrary_name: transformers\n"), "{card}");
}

#[test]
fn merging_a_checkpoint_gives_the_bits_of_the_run() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let ended = tiny.tool(&["merge", "--adapter", "run/step-000006", "--out", "merged"]).expect_code(0);
    assert!(ended.stdout.contains("read again"), "{}", ended.stdout);
    check_files(&tiny, "merged");
    for name in ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "codeact.json"] {
        assert!(tiny.read(&format!("merged/{name}")) == tiny.read(&format!("run/merged/{name}")), "{name}");
    }
    // The checkpoint knows its settings, the adapter of the run also the data.
    assert!(tiny.json("merged/manifest.json")["training"]["amount"].is_null());
    tiny.tool(&["merge", "--adapter", "run/adapter", "--out", "other"]).expect_code(0);
    assert_eq!(tiny.json("other/manifest.json")["training"], tiny.json("run/merged/manifest.json")["training"]);
}

#[test]
fn weights_are_cut_into_files_that_load_as_one() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let merge = ["merge", "--adapter", "run/adapter", "--out", "merged", "--shard-size", "20KB"];
    tiny.tool(&merge).expect_code(0);
    let shards: Vec<String> =
        names(&tiny.path("merged")).into_iter().filter(|name| name.starts_with("model-")).collect();
    assert!(shards.len() > 3, "{shards:?}");
    let index = tiny.json("merged/model.safetensors.index.json");
    let mut total = 0;
    for shard in &shards {
        let bytes = tiny.read(&format!("merged/{shard}"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data: usize = tensors.tensors().iter().map(|(_, view)| view.data().len()).sum();
        assert!(data <= 20_000 || tensors.len() == 1, "{shard} has {data} bytes of {} tensors", tensors.len());
        total += data;
        for name in tensors.names() {
            assert_eq!(index["weight_map"][name], *shard);
        }
    }
    assert_eq!(index["metadata"]["total_size"], total);
    let load = |name: &str| Decoder::load(&tiny.path(name), DType::F32, &Device::Cpu).unwrap();
    let batch = codeact_model::Batch::new([(&[3, 4, 5][..], &[false, true, true][..])]).unwrap();
    let logits = |model: Decoder| model.logits(None, &batch).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(logits(load("merged")), logits(load("run/merged")));
}

#[test]
fn tokens_that_were_added_are_in_every_export() {
    let tiny = Tiny::base();
    tiny.run(&["--set", "model.chat_format=chatml"]).expect_code(0);
    // The checkpoint has no tokenizer: its settings say how it is made from that of the base.
    let merge = ["merge", "--adapter", "run/step-000006", "--out", "merged", "--shard-size", "40KB"];
    tiny.tool(&merge).expect_code(0);
    assert_eq!(tiny.json("merged/config.json")["vocab_size"], 259);
    assert!(tiny.read("merged/tokenizer.json") == tiny.read("run/merged/tokenizer.json"));
    let gguf = ["gguf", "--model", "model", "--adapter", "run/adapter", "--quant", "f16", "--out", "tiny.gguf"];
    tiny.tool(&gguf).expect_code(0);
    let check = tiny.json("tiny.gguf.manifest.json");
    assert!(check["check"]["relative"].as_f64().unwrap() < 0.05, "{check}");
    // Merged or not, it is the same model.
    tiny.tool(&["gguf", "--model", "merged", "--quant", "f16", "--out", "merged.gguf"]).expect_code(0);
    let weights = |name: &str| {
        let bytes = tiny.read(name);
        bytes[bytes.len() - 50_000..].to_vec()
    };
    assert!(weights("tiny.gguf") == weights("merged.gguf"));
}

#[test]
fn every_quantisation_is_read_back_by_our_own_engine() {
    let tiny = Tiny::new();
    tiny.run(&[]).expect_code(0);
    let mut sizes = Vec::new();
    for quant in ["f16", "bf16", "q8_0", "q4_0", "q4_k_m"] {
        let out = format!("{quant}.gguf");
        let ended = tiny.tool(&["gguf", "--model", "run/merged", "--quant", quant, "--out", &out]).expect_code(0);
        assert!(ended.stdout.contains("read again"), "{}", ended.stdout);
        let manifest = tiny.json(&format!("{out}.manifest.json"));
        assert_eq!(manifest["kind"], "gguf");
        assert_eq!(manifest["files"][0]["sha256"], codeact_data::hash::of_file(&tiny.path(&out)).unwrap());
        sizes.push(std::fs::metadata(tiny.path(&out)).unwrap().len());
    }
    assert_eq!(sizes[0], sizes[1]);
    assert!(sizes[1] > sizes[2] && sizes[2] > sizes[3], "{sizes:?}");
    // And by whatever takes a GGUF file for a base.
    tiny.tool(&["gguf", "--model", "bf16.gguf", "--quant", "q8_0", "--out", "again.gguf"]).expect_code(0);
}

#[test]
fn what_is_in_the_way_stays() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0);
    let merge = ["merge", "--adapter", "run/adapter/", "--out", "merged/"];
    tiny.tool(&merge).expect_code(0);
    assert!(!tiny.path("merged/.partial").exists());
    let before = tiny.read("merged/manifest.json");
    tiny.tool(&merge).expect_code(2).says("`merged` is there already").says("--overwrite");
    tiny.tool(&[&merge[..], &["--overwrite"]].concat()).expect_code(0);
    assert!(tiny.read("merged/manifest.json") == before, "the same again");
    tiny.write("merged/thesis.tex", "");
    tiny.tool(&[&merge[..], &["--overwrite"]].concat()).expect_code(2).says("`thesis.tex`");
    let over_base = ["merge", "--adapter", "run/adapter", "--out", "model", "--overwrite"];
    tiny.tool(&over_base).expect_code(2).says("`model` holds").says("which this export is made of");
    let over_adapter = ["merge", "--adapter", "run/adapter", "--out", "run/adapter", "--overwrite"];
    tiny.tool(&over_adapter).expect_code(2).says("which this export is made of");
    tiny.write("taken.gguf", "");
    let gguf = ["gguf", "--model", "model", "--quant", "f16", "--out"];
    tiny.tool(&[&gguf[..], &["taken.gguf"]].concat()).expect_code(2).says("is there already");
    tiny.tool(&[&gguf[..], &["model"]].concat()).expect_code(2).says("does not end with `.gguf`");
    tiny.tool(&[&gguf[..], &["settings.toml/x.gguf"]].concat()).expect_code(1).says("cannot write");
    let unwritable = ["merge", "--adapter", "run/adapter", "--out", "settings.toml/merged"];
    tiny.tool(&unwritable).expect_code(1).says("cannot write");
    tiny.tool(&["merge", "--adapter", "run/adapter", "--out", "settings.toml"]).expect_code(2).says("something else");
}

#[test]
fn broken_adapters_and_other_bases_are_refused_and_leave_nothing() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0);
    let merge = |adapter: &str, more: &[&str]| {
        let ended = tiny.tool(&[&["merge", "--adapter", adapter, "--out", "merged"], more].concat());
        assert!(!tiny.path("merged").exists() && !tiny.path("merged.partial").exists(), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    };
    merge("nowhere", &[]).expect_code(2).says("nowhere/adapter_config.json");
    merge("run/adapter", &["--base", "./elsewhere"]).expect_code(2).says("`./elsewhere` does not exist");
    merge("run/adapter", &["--base", "run"]).expect_code(2).says("config.json");
    merge("run/adapter", &["--shard-size", "5TB"]).expect_code(2).says("such as 5GB");
}

#[test]
fn a_damaged_adapter_names_its_fault() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0);
    let refused = || {
        let ended = tiny.tool(&["merge", "--adapter", "run/adapter", "--out", "merged"]);
        assert!(!tiny.path("merged").exists() && !tiny.path("merged.partial").exists(), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended.expect_code(2)
    };
    let config = tiny.text("run/adapter/adapter_config.json");
    let base = format!("\"base_model_name_or_path\": {:?}", tiny.path("model"));
    assert!(config.contains(&base), "{config}");
    tiny.write("run/adapter/adapter_config.json", &config.replace(&base, "\"base_model_name_or_path\": null"));
    refused().says("names no base model").says("--base");
    tiny.write("run/adapter/adapter_config.json", &config.replace("\"r\": 4", "\"r\": 5"));
    refused().says("expected [5, 32]");
    tiny.write("run/adapter/adapter_config.json", "{");
    refused().says("adapter_config.json");
    tiny.write("run/adapter/adapter_config.json", &config);
    let weights = tiny.read("run/adapter/adapter_model.safetensors");
    std::fs::write(tiny.path("run/adapter/adapter_model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    refused().says("adapter_model.safetensors");
    std::fs::write(tiny.path("run/adapter/adapter_model.safetensors"), &weights).unwrap();
    // A base of the same name with other weights in it.
    let shape = tiny.text("model/config.json");
    tiny.write("model/config.json", &shape.replace("\"intermediate_size\":64", "\"intermediate_size\":48"));
    refused().says("gate_proj");
    tiny.write("model/config.json", &shape);
    std::fs::remove_file(tiny.path("run/adapter/tokenizer.json")).unwrap();
    std::fs::remove_file(tiny.path("model/tokenizer.json")).unwrap();
    refused().says("tokenizer.json");
}

#[test]
fn another_base_than_the_adapters_is_told() {
    let tiny = Tiny::new();
    tiny.run(&["--set", "train.steps=1"]).expect_code(0);
    let shape = tiny.text("model/config.json");
    tiny.write("model/config.json", &shape.replace("\"rope_theta\":10000.0", "\"rope_theta\":20000.0"));
    for adapter in ["run/adapter", "run/step-000001"] {
        let ended = tiny.tool(&["merge", "--adapter", adapter, "--out", "merged", "--overwrite"]);
        ended.expect_code(0).says("was trained on a base whose config");
    }
}

#[test]
fn a_tokenizer_that_gguf_cannot_describe_is_refused() {
    let tiny = Tiny::new();
    let good = tiny.text("model/tokenizer.json");
    let refused = |text: &str| {
        tiny.write("model/tokenizer.json", text);
        let ended = tiny.tool(&["gguf", "--model", "model", "--quant", "f16", "--out", "out.gguf"]);
        assert_eq!(names(&tiny.path("")), ["model", "settings.toml", "train.jsonl", "validation.jsonl"]);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert_ne!(ended.code, Some(0));
        ended
    };
    let regex = "\"use_regex\":true";
    assert!(good.contains(regex));
    refused(&good.replace(regex, "\"use_regex\":false")).says("cannot be written as GGUF").says("the pre-tokenizer");
    refused("{}");
    refused(&good[..good.len() / 2]);
    std::fs::remove_file(tiny.path("model/tokenizer_config.json")).unwrap();
    tiny.write("model/tokenizer.json", &good);
    let ended = tiny.tool(&["gguf", "--model", "model", "--quant", "f16", "--out", "out.gguf"]);
    // The config of the model names an end token.
    ended.expect_code(0);
}
