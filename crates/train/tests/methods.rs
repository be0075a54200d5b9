//! Whole runs with the settings of single methods: dropout, NEFTune, LoRA+, layers and patterns, all weights, pairs.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "all/tiny.rs"]
#[allow(dead_code)] // this file uses its part
mod tiny; // a model small enough to train in a blink

#[path = "all/written.rs"]
mod written; // settings that are all right

#[path = "methods/full.rs"]
mod full;

#[path = "methods/preference.rs"]
mod preference;

#[path = "methods/settings.rs"]
mod settings;

use serde_json::{Value, json};

use tiny::{Tiny, names};

/// Everything that draws random numbers or changes what is trained.
const ALL: [&str; 6] = [
    "lora.dropout=0.2",
    "train.neftune_alpha=5",
    "optimizer.lora_plus_ratio=4",
    "lora.layers=[1]",
    "lora.rank_pattern.q_proj=2",
    "lora.alpha_pattern.up_proj=5",
];

fn with<'a>(settings: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    settings.chain(more.iter().copied()).collect()
}

fn results(tiny: &Tiny) -> [Vec<u8>; 2] {
    ["adapter_model", "optimizer"].map(|name| tiny.read(&format!("run/step-000006/{name}.safetensors")))
}

fn metrics(tiny: &Tiny) -> Vec<Value> {
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_resumed_run_draws_the_same_numbers() {
    let tiny = Tiny::new();
    let settings = with(&ALL, &[]);
    tiny.run(&settings).expect_code(0);
    let wanted = results(&tiny);
    std::fs::remove_dir_all(tiny.path("run/step-000006")).unwrap();
    tiny.run(&with(&ALL, &["--resume"])).expect_code(0).says("continuing");
    assert!(results(&tiny) == wanted);
    for more in ["train.threads=1", "train.recompute=mlp", "train.recompute=block"] {
        tiny.run(&with(&ALL, &["--set", more, "--set", "output.overwrite=true"])).expect_code(0);
        assert!(results(&tiny) == wanted, "{more}");
    }
    tiny.run(&with(&ALL, &["--set", "train.seed=1", "--set", "output.overwrite=true"])).expect_code(0);
    assert!(results(&tiny) != wanted);
    tiny.run(&with(&ALL[1..], &["--resume"])).expect_code(2).says("`lora.dropout` was 0.2 there and is unset here");
}

#[test]
fn a_document_draws_the_same_numbers_in_any_pack() {
    let tiny = Tiny::new();
    // Each of them twice in every step, with numbers of its own each time.
    let noisy = ["lora.dropout=0.2", "train.neftune_alpha=5", "train.steps=3", "data.0.repeat=2"];
    tiny.run(&with(&noisy, &["--set", "train.pack_tokens=70", "--set", "train.accumulation=48"])).expect_code(0);
    let apart = metrics(&tiny);
    let whole = ["train.pack_tokens=4000", "train.accumulation=1", "output.overwrite=true"];
    tiny.run(&with(&noisy, &with(&whole, &[]))).expect_code(0);
    let together = metrics(&tiny);
    for (apart, together) in apart.iter().zip(&together).filter(|(apart, _)| apart.get("loss").is_some()) {
        for key in ["loss", "gradient_norm"] {
            let (left, right) = (apart[key].as_f64().unwrap(), together[key].as_f64().unwrap());
            // f32 sums in another order, over three updates.
            assert!((left - right).abs() < 1e-4 * right.abs(), "{key}: {left} and {right}");
        }
    }
    // Held-out data goes through without noise, learned data does not.
    tiny.run(&with(&noisy[2..], &with(&whole, &[]))).expect_code(0);
    let plain = metrics(&tiny);
    assert_eq!(plain[0]["held_out_loss"], together[0]["held_out_loss"]);
    assert_ne!(plain[1]["loss"], together[1]["loss"]);
}

#[test]
fn the_adapter_says_how_it_was_made_as_peft_does() {
    let tiny = Tiny::new();
    tiny.run(&with(&ALL, &[])).expect_code(0);
    let config: Value = serde_json::from_slice(&tiny.read("run/adapter/adapter_config.json")).unwrap();
    for (key, value) in [
        ("lora_dropout", json!(0.2)),
        ("layers_to_transform", json!([1])),
        ("rank_pattern", json!({"q_proj": 2})),
        ("alpha_pattern", json!({"up_proj": 5.0})),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    assert!(names(&tiny.path("run")).contains(&"merged".to_owned()));
}

#[test]
fn dora_goes_on_as_it_was_and_is_merged_as_it_was_trained() {
    let tiny = Tiny::new();
    let dora = [
        "lora.dora=true",
        "lora.dropout=0.1",
        "lora.targets=[\"q_proj\", \"v_proj\", \"up_proj\", \"down_proj\"]",
        "optimizer.lora_plus_ratio=4",
    ];
    tiny.run(&with(&dora, &[])).expect_code(0);
    let wanted = results(&tiny);
    let config: Value = serde_json::from_slice(&tiny.read("run/adapter/adapter_config.json")).unwrap();
    assert_eq!(config["use_dora"], true);
    let card = String::from_utf8(tiny.read("run/adapter/README.md")).unwrap();
    assert!(card.contains("codeact-serve --model merged") && !card.contains("--adapter tuned="), "{card}");
    // An export that computes something else ends the run with an error.
    let manifest: Value = serde_json::from_slice(&tiny.read("run/merged/manifest.json")).unwrap();
    assert!(manifest["check"]["adapter_changes"].as_f64().unwrap() > 0.0, "{manifest}");
    std::fs::remove_dir_all(tiny.path("run/step-000006")).unwrap();
    tiny.run(&with(&dora, &["--resume"])).expect_code(0).says("continuing");
    assert!(results(&tiny) == wanted);
    let plain = &dora[1..];
    tiny.run(&with(plain, &["--resume"])).expect_code(2).says("`lora.dora` was true there and is unset here");
    tiny.run(&with(plain, &["--set", "output.dir=plain"])).expect_code(0);
    assert!(tiny.read("plain/step-000006/optimizer.safetensors") != wanted[1]);
    let adapter = format!("model.adapter={:?}", tiny.path("run/adapter").display().to_string());
    let on = [adapter.as_str(), "output.dir=on"];
    tiny.run(&with(&on, &["--set", "lora.rank=4", "--set", "lora.alpha=16"])).expect_code(0);
    let on = [adapter.as_str(), "output.dir=other"];
    tiny.run(&with(&on, &["--set", "lora.dora=false"])).expect_code(2).says("`lora.dora`: is not that of");
    let asked = with(&dora, &["--set", "evaluation.samples=1", "--set", "train.device=\"cuda\"", "--dry-run"]);
    tiny.run(&asked).expect_code(2).says("a card does not serve beside its base");
}

#[test]
fn a_ratio_of_one_is_plain_lora_and_another_is_not() {
    let tiny = Tiny::base();
    let run = |ratio: &[&str]| {
        let chatml = ["--set", "model.chat_format=chatml", "--set", "output.overwrite=true"];
        tiny.run(&with(ratio, &chatml)).expect_code(0);
        results(&tiny)
    };
    let plain = run(&[]);
    assert!(run(&["optimizer.lora_plus_ratio=1"]) == plain);
    assert!(run(&["optimizer.lora_plus_ratio=16"]) != plain);
}

#[test]
fn settings_that_do_not_fit_the_model_are_refused() {
    let tiny = Tiny::new();
    let says = |setting: &str, what: &str| {
        tiny.run(&["--set", setting]).expect_code(2).says(what);
    };
    says("lora.layers=[1, 2]", "`lora.layers`: names layer 2 of a model with 2");
    says("lora.rank_pattern.query=4", "the pattern \"query\" says nothing");
    says("lora.alpha_pattern={q_proj=4, \"0.self_attn.q_proj\"=2}", "the pattern \"0.self_attn.q_proj\" says nothing");
}

#[test]
fn a_run_starts_from_an_adapter_and_takes_its_shape() {
    let tiny = Tiny::new();
    let shape = ["lora.targets=[\"q_proj\", \"up_proj\"]", "lora.rank_pattern.q_proj=2", "lora.dropout=0.1"];
    tiny.run(&with(&shape, &[])).expect_code(0);
    std::fs::rename(tiny.path("run"), tiny.path("first")).unwrap();
    let text = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let adapter = tiny.path("first/adapter").display().to_string();
    let text =
        text.replace("[lora]\nrank = 4\nalpha = 16\n", "").replace("[model]\n", "[model]\nadapter = \"ADAPTER\"\n");
    tiny.write("settings.toml", &text.replace("ADAPTER", &adapter));
    tiny.run(&[]).expect_code(0);
    let held_out = |folder: &str, row: fn(&[Value]) -> &Value| {
        let text = String::from_utf8(tiny.read(&format!("{folder}/metrics.jsonl"))).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        row(&rows)["held_out_loss"].as_f64().unwrap()
    };
    let (before, after) = (held_out("run", |rows| &rows[0]), held_out("first", |rows| rows.last().unwrap()));
    assert_eq!(before, after, "the second run starts where the first ended");
    let config = |folder: &str| -> Value {
        serde_json::from_slice(&tiny.read(&format!("{folder}/adapter/adapter_config.json"))).unwrap()
    };
    assert_eq!(config("run"), config("first"));

    // Continued as it was begun, wherever the same adapter lies; not with another content.
    let wanted = results(&tiny);
    std::fs::remove_dir_all(tiny.path("run/step-000006")).unwrap();
    std::fs::rename(tiny.path("first"), tiny.path("moved")).unwrap();
    let moved = format!("model.adapter={:?}", tiny.path("moved/step-000006").display().to_string());
    tiny.run(&["--resume", "--set", &moved]).expect_code(0);
    assert!(results(&tiny) == wanted);
    let earlier = format!("model.adapter={:?}", tiny.path("moved/step-000003").display().to_string());
    tiny.run(&["--resume", "--set", &earlier]).expect_code(2).says("did not start from the adapter");

    let refused = |setting: &str, what: &str| {
        tiny.run(&["--set", &moved, "--set", "output.dir=other", "--set", setting]).expect_code(2).says(what);
    };
    refused("lora.rank=8", "`lora.rank`: is not that of `model.adapter`, which has 4");
    refused("lora.targets=all-linear", "`lora.targets`: is not that of `model.adapter`, which has q_proj, up_proj");
    refused("model.adapter=moved", "has no `adapter_config.json`");
    let inside = ["--set", &moved, "--set", "output.dir=moved", "--set", "output.overwrite=true"];
    tiny.run(&inside).expect_code(2).says("lies in `output.dir`");
    let agreeing =
        ["--set", &moved, "--set", "lora.rank=4", "--set", "lora.rank_pattern.q_proj=2", "--set", "lora.dropout=0"];
    tiny.run(&[&agreeing[..], &["--set", "output.dir=other"]].concat()).expect_code(0);
}

#[test]
fn an_adapter_with_new_tokens_wants_its_chat_format() {
    let tiny = Tiny::base();
    let chatml = ["model.chat_format=chatml"];
    tiny.run(&with(&chatml, &[])).expect_code(0);
    let adapter = format!("model.adapter={:?}", tiny.path("run/adapter").display().to_string());
    let again = [adapter.as_str(), "output.dir=again"];
    tiny.run(&with(&again, &with(&chatml, &[]))).expect_code(0).says("2 new tokens");
    let other = with(&["model.chat_format=llama2"], &[]);
    tiny.run(&with(&again, &other)).expect_code(2);
}
