//! Held-out data measured while a run goes on.

use serde_json::{Value, json};

use crate::tiny::{Tiny, names};

/// Enough steps for a tiny model to forget what it does not see.
const LONG: [&str; 6] =
    ["--set", "optimizer.learning_rate=0.1", "--set", "train.steps=30", "--set", "optimizer.schedule=constant"];

/// A conversation that is in nothing like what is learned, so that learning makes it worse, sooner or later.
fn row(text: &str) -> String {
    let turns = json!([{"role": "user", "content": "shout"}, {"role": "assistant", "content": text}]);
    json!({"conversations": turns}).to_string() + "\n"
}

fn rows(tiny: &Tiny, key: &str) -> Vec<Value> {
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| !row[key].is_null()).collect()
}

fn set(arguments: &[&str]) -> Vec<String> {
    arguments.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
}

fn run(tiny: &Tiny, settings: &[&str], more: &[&str]) -> crate::tiny::Ended {
    let settings = set(settings);
    let arguments: Vec<&str> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
    tiny.run(&arguments)
}

#[test]
fn a_step_tells_its_loss_source_by_source() {
    let tiny = Tiny::new();
    tiny.write("other.jsonl", &row(&"QUARTZ JOB VEX ".repeat(4)));
    // Between the two that are learned stands what is held out.
    tiny.add_source("other.jsonl", "");
    run(&tiny, &["train.steps=14"], &[]).expect_code(0);
    let [first, second] = ["train.jsonl", "other.jsonl"].map(|name| tiny.path(name).display().to_string());
    let (mut with_both, mut worst_after) = (0, Vec::new());
    for row in rows(&tiny, "loss") {
        let (all, by_source) = (row["loss"].as_f64().unwrap(), row["loss_by_source"].as_object().unwrap());
        let learned = by_source[&first].as_f64().unwrap();
        let Some(other) = by_source.get(&second).map(|loss| loss.as_f64().unwrap()) else {
            assert!(by_source.len() == 1 && (learned - all).abs() < 1e-12, "{row}");
            continue;
        };
        assert!(by_source.len() == 2 && learned.min(other) < all && all < learned.max(other), "{row}");
        with_both += 1;
        worst_after.push(other > learned);
    }
    // The second source is one conversation, once in an epoch, and harder to learn than many that are alike.
    assert!((1..7).contains(&with_both) && worst_after.last() == Some(&true), "{with_both}, {worst_after:?}");
}

#[test]
fn held_out_data_is_measured_by_source_and_the_best_step_is_kept_and_exported() {
    let tiny = Tiny::new();
    tiny.write("validation.jsonl", &row(&"QUARTZ JOB VEX ".repeat(4)));
    tiny.write("other.jsonl", &row(&"WHY PIGMY FLUX ".repeat(3)));
    tiny.add_source("other.jsonl", "held_out = true\n");
    let ended = run(&tiny, &["evaluation.every=2", "checkpoint.keep_last=1"], &LONG).expect_code(0);
    let measures = rows(&tiny, "held_out_loss");
    let steps: Vec<u64> = measures.iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (0..=30).step_by(2).collect::<Vec<u64>>());
    for row in &measures {
        let by_source = row["held_out_by_source"].as_object().unwrap();
        let losses: Vec<f64> = by_source.values().map(|loss| loss.as_f64().unwrap()).collect();
        let all = row["held_out_loss"].as_f64().unwrap();
        assert_eq!(losses.len(), 2);
        assert!(losses[0].min(losses[1]) <= all && all <= losses[0].max(losses[1]), "{row}");
    }
    let loss = |row: &&Value| row["held_out_loss"].as_f64().unwrap();
    let best = measures[1..].iter().min_by(|left, right| loss(left).total_cmp(&loss(right))).unwrap();
    let step = best["step"].as_u64().unwrap();
    assert!(step < 30, "it never got worse");
    assert_eq!(rows(&tiny, "best").last().unwrap()["step"], step);
    ended.says(&format!("the results are of step {step}"));
    let kept: Vec<String> = names(&tiny.path("run")).into_iter().filter(|name| name.starts_with("step")).collect();
    assert_eq!(kept, [format!("step-{step:06}"), "step-000030".to_owned()]);
    let exported = tiny.read("run/adapter/adapter_model.safetensors");
    assert!(exported == tiny.read(&format!("run/step-{step:06}/adapter_model.safetensors")));

    let last = ["evaluation.every=2", "evaluation.export=last", "output.overwrite=true"];
    run(&tiny, &last, &LONG).expect_code(0);
    let exported = tiny.read("run/adapter/adapter_model.safetensors");
    assert!(exported == tiny.read("run/step-000030/adapter_model.safetensors"));
}

#[test]
fn a_run_that_gets_no_better_ends_early_and_is_over_then() {
    let tiny = Tiny::new();
    tiny.write("validation.jsonl", &row(&"QUARTZ JOB VEX ".repeat(4)));
    let patient = ["evaluation.every=1", "evaluation.patience=3"];
    let ended = run(&tiny, &patient, &LONG).expect_code(0).says("no better held-out loss in the last 3 measures");
    let measures = rows(&tiny, "held_out_loss");
    let last = measures.last().unwrap()["step"].as_u64().unwrap();
    let best = rows(&tiny, "best").last().unwrap()["step"].as_u64().unwrap();
    assert_eq!((last, rows(&tiny, "loss").len() as u64), (best + 3, last), "{}", ended.stderr);
    let before = (tiny.read("run/metrics.jsonl"), tiny.read("run/adapter/adapter_model.safetensors"));
    run(&tiny, &patient, &[&LONG[..], &["--resume"]].concat()).expect_code(0);
    assert!((tiny.read("run/metrics.jsonl"), tiny.read("run/adapter/adapter_model.safetensors")) == before);
}

#[test]
fn a_damaged_best_checkpoint_is_not_exported() {
    let tiny = Tiny::new();
    tiny.write("validation.jsonl", &row(&"QUARTZ JOB VEX ".repeat(4)));
    let settings = ["evaluation.every=2", "checkpoint.keep_last=1"];
    run(&tiny, &settings, &LONG).expect_code(0);
    let best = names(&tiny.path("run")).into_iter().find(|name| name.starts_with("step-")).unwrap();
    assert_ne!(best, "step-000030");
    tiny.write(&format!("run/{best}/adapter_model.safetensors"), "rot");
    let ended = run(&tiny, &settings, &[&LONG[..], &["--resume"]].concat()).expect_code(0);
    ended.says("the results are of the last step").says(&best);
    let exported = tiny.read("run/adapter/adapter_model.safetensors");
    assert!(exported == tiny.read("run/step-000030/adapter_model.safetensors"));
}

#[test]
fn measuring_changes_no_bit_and_neither_does_resuming_between_measures() {
    let tiny = Tiny::new();
    let adapter = "run/step-000006/adapter_model.safetensors";
    tiny.run(&[]).expect_code(0);
    let wanted = tiny.read(adapter);
    run(&tiny, &["evaluation.every=2", "output.overwrite=true"], &[]).expect_code(0);
    assert!(tiny.read(adapter) == wanted);
    let measures = rows(&tiny, "held_out_loss");
    for name in ["step-000006", "step-000004", "adapter", "merged"] {
        let _ = std::fs::remove_dir_all(tiny.path("run").join(name));
    }
    run(&tiny, &["evaluation.every=2"], &["--resume"]).expect_code(0).says("step-000003");
    assert!(tiny.read(adapter) == wanted);
    assert_eq!(rows(&tiny, "held_out_loss"), measures);
}

#[test]
fn nothing_held_out_cannot_be_measured() {
    let tiny = Tiny::new();
    let settings = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let second = format!("[[data]]\npath = {:?}\nheld_out = true\n", tiny.path("validation.jsonl"));
    tiny.write("settings.toml", &settings.replace(&second, ""));
    run(&tiny, &["evaluation.every=2"], &[])
        .expect_code(2)
        .says("no data is held out")
        .says("hint: set `held_out = 50`");
    run(&tiny, &["evaluation.patience=2"], &[]).expect_code(2).says("needs `evaluation.every`");
}
