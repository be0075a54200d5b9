//! Learning rates against literal values and transformers'.

use std::path::{Path, PathBuf};

use codeact_train::config::{Config, Optimizer, ScheduleShape};
use codeact_train::schedule::Schedule;

/// Learning rates are f64 arithmetic of a few operations.
const TOLERANCE: f64 = 1e-12;

fn settings(shape: ScheduleShape, warmup_steps: usize, min_lr_ratio: f64) -> Optimizer {
    let text = "[model]\nname=\"a\"\n[lora]\nrank=1\nalpha=1\n[[data]]\npath=\"a\"\n[train]\npack_tokens=9\n\
                [optimizer]\nlearning_rate=1e-3\n[output]\ndir=\"a\"";
    let optimizer = Config::parse(text, Path::new("x.toml"), &[]).unwrap().optimizer;
    Optimizer { schedule: shape, warmup_steps: Some(warmup_steps), min_lr_ratio, ..optimizer }
}

fn rates(settings: &Optimizer, step_count: usize) -> Vec<f64> {
    let schedule = Schedule::new(settings, step_count);
    (0..step_count).map(|index| schedule.learning_rate(index)).collect()
}

fn assert_close(got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() < TOLERANCE, "{got} is not {wanted}");
    }
}

#[test]
fn linear_is_the_schedule_of_transformers() {
    let wanted = [0.0, 0.0005, 0.001, 0.000875, 0.00075, 0.000625, 0.0005, 0.000375, 0.00025, 0.000125];
    assert_close(&rates(&settings(ScheduleShape::Linear, 2, 0.0), 10), &wanted);
}

#[test]
fn cosine_is_the_schedule_of_transformers() {
    let root = 0.5f64.sqrt() / 2.0;
    let wanted = [0.0, 0.001, 0.001 * (0.5 + root), 0.0005, 0.001 * (0.5 - root)];
    assert_close(&rates(&settings(ScheduleShape::Cosine, 1, 0.0), 5), &wanted);
}

#[test]
fn constant_stays_after_the_warm_up() {
    assert_close(&rates(&settings(ScheduleShape::Constant, 2, 0.0), 4), &[0.0, 0.0005, 0.001, 0.001]);
}

#[test]
fn no_rate_after_the_warm_up_is_below_the_floor() {
    for shape in [ScheduleShape::Linear, ScheduleShape::Cosine] {
        let rates = rates(&settings(shape, 0, 0.1), 1000);
        assert_eq!(rates[0], 1e-3);
        assert!(rates.iter().all(|rate| *rate >= 1e-4));
        assert!(rates[999] < 1.01e-4, "{}", rates[999]);
    }
}

#[test]
fn a_warm_up_ratio_is_rounded_up() {
    let settings =
        Optimizer { warmup_steps: None, warmup_ratio: Some(0.03), ..settings(ScheduleShape::Linear, 0, 0.0) };
    assert_eq!(Schedule::new(&settings, 87).warmup_steps(), 3);
}

#[test]
fn golden_runs_have_the_same_learning_rates() {
    let shared = std::env::var_os("CODEACT_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let mut compared = 0;
    for entry in std::fs::read_dir(shared.join("golden/lora")).into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("train.json")) else {
            continue;
        };
        let run: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted: Vec<f64> =
            run["learning_rates"].as_array().unwrap().iter().map(|rate| rate.as_f64().unwrap()).collect();
        assert_close(&rates(&settings(ScheduleShape::Linear, 2, 0.0), wanted.len()), &wanted);
        compared += 1;
    }
    if compared == 0 {
        eprintln!("skipped: golden learning rates, no folder `{}`", shared.join("golden/lora").display());
    }
}
