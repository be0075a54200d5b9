//! Ranks give the losses and the adapter that one rank gives, whichever way they are connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use candle_core::{Device, Tensor};
use codeact_train::config::Config;
use codeact_train::folder::{Held, Start};
use codeact_train::prepare::Prepared;
use codeact_train::ranks::{Alone, Collective, Place, RankError, Threads};
use codeact_train::requests::Requests;
use codeact_train::run::{self, Outcome};
use serde_json::{Value, json};

use crate::tiny::{Tiny, names};

/// Of losses and the gradient's length over a few updates: f32 sums in another order. Measured: 4e-7.
pub const LOSS_RELATIVE: f64 = 2e-5;

/// Of the adapter, relative to its largest entry. AdamW makes a whole step of a gradient that is almost zero, so that
/// rounding shows. Measured: 1e-6.
pub const ADAPTER_RELATIVE: f32 = 1e-3;

/// The run of these settings, in a folder of its own.
pub fn prepared(tiny: &Tiny, dir: &str, settings: &[&str]) -> Prepared {
    let mut overrides = vec![format!("output.dir={}", tiny.path(dir).display())];
    overrides.push(format!("train.cache={}", tiny.path("cache").display()));
    overrides.extend(settings.iter().map(|setting| (*setting).to_owned()));
    let config = Config::load(&tiny.path("settings.toml"), &overrides).unwrap();
    Prepared::new(config, Some(Device::Cpu), &|_| {}, &()).unwrap()
}

/// A run by as many threads.
pub fn by_threads(run: &Prepared, count: usize) -> Vec<Outcome> {
    let take_part = |ranks: Threads| {
        let outcome = run::train(run, &Start::Fresh, Held::default(), &Requests::default(), &ranks).unwrap();
        ranks.leave(None);
        outcome
    };
    std::thread::scope(|scope| {
        let ranks: Vec<_> =
            Threads::new(count).into_iter().map(|ranks| scope.spawn(move || take_part(ranks))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Losses of the steps, by source too, gradient norms, and the held-out losses.
fn curve(tiny: &Tiny, dir: &str) -> Vec<(String, f64)> {
    let text = String::from_utf8(tiny.read(&format!("{dir}/metrics.jsonl"))).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys = ["loss", "gradient_norm", "held_out_loss"];
    rows.flat_map(|row| {
        let by_source = row["loss_by_source"].as_object().cloned().unwrap_or_default();
        let all = keys.map(|key| (key.to_owned(), row[key].clone())).into_iter().chain(by_source);
        let step = row["step"].clone();
        all.filter_map(move |(name, value)| Some((format!("{name} of {step}"), value.as_f64()?)))
    })
    .collect()
}

fn adapter(tiny: &Tiny, dir: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(tiny.path(&format!("{dir}/adapter/adapter_model.safetensors")), &Device::Cpu)
        .unwrap()
}

/// The run in `other` is that in `one`, but for rounding.
#[track_caller]
pub fn assert_close(tiny: &Tiny, one: &str, other: &str) {
    let (left, right) = (curve(tiny, one), curve(tiny, other));
    assert_eq!(left.len(), right.len());
    let mut worst = 0.0f64;
    for ((name, left), (same, right)) in left.iter().zip(&right) {
        assert_eq!(name, same);
        let difference = (left - right).abs() / left.abs();
        worst = worst.max(difference);
        assert!(difference < LOSS_RELATIVE, "{name}: {left} and {right} in {other}");
    }
    let furthest = assert_adapters_close(&adapter(tiny, one), &adapter(tiny, other), other);
    println!("{other}: losses {worst:.1e} apart, adapter {furthest:.1e}");
}

#[track_caller]
fn assert_adapters_close(left: &HashMap<String, Tensor>, right: &HashMap<String, Tensor>, other: &str) -> f32 {
    assert_eq!(left.len(), right.len());
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut furthest = 0.0f32;
    for (name, left) in left {
        let (left, right) = (values(left), values(&right[name]));
        let largest = left.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let apart = left.iter().zip(&right).fold(0.0f32, |apart, (left, right)| apart.max((left - right).abs()));
        furthest = furthest.max(apart / largest);
        assert!(apart < ADAPTER_RELATIVE * largest, "{name}: {apart} apart of {largest} in {other}");
    }
    furthest
}

#[test]
fn threads_train_all_weights_as_one_rank_does() {
    let tiny = Tiny::new();
    let text = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let text = text.replace("[lora]\nrank = 4\nalpha = 16\n", "").replace("[train]\n", "[train]\nmethod = \"full\"\n");
    tiny.write("settings.toml", &text.replace("learning_rate = 2e-2", "learning_rate = 3e-3"));
    run::train(
        &prepared(&tiny, "one", &["train.steps=4"]),
        &Start::Fresh,
        Held::default(),
        &Requests::default(),
        &Alone,
    )
    .unwrap();
    let outcomes = by_threads(&prepared(&tiny, "two", &["train.steps=4"]), 2);
    assert!(matches!(outcomes[0], Outcome::Finished { .. }));
    for ((name, left), (_, right)) in curve(&tiny, "one").iter().zip(&curve(&tiny, "two")) {
        assert!((left - right).abs() < LOSS_RELATIVE * left.abs(), "{name}: {left} and {right}");
    }
    let model = |dir: &str| {
        candle_core::safetensors::load(tiny.path(&format!("{dir}/model/model.safetensors")), &Device::Cpu).unwrap()
    };
    assert_adapters_close(&model("one"), &model("two"), "two");
}

#[test]
fn threads_learn_pairs_as_one_rank_does() {
    let tiny = Tiny::new();
    let rows = (0..12).map(|index| {
        let said = |text: String| {
            json!([{"role": "user", "content": format!("add {index}")}, {"role": "assistant", "content": text}])
        };
        let (chosen, rejected) = (said(format!("it is {}", index + 1)), said(format!("{index}? Ask him.")));
        json!({"chosen": chosen, "rejected": rejected}).to_string() + "\n"
    });
    tiny.write("train.jsonl", &rows.collect::<String>());
    let settings = ["preference.beta=0.3", "train.accumulation=6", "train.steps=3"];
    run::train(&prepared(&tiny, "one", &settings), &Start::Fresh, Held::default(), &Requests::default(), &Alone)
        .unwrap();
    let outcomes = by_threads(&prepared(&tiny, "two", &settings), 2);
    assert!(matches!(outcomes[0], Outcome::Finished { .. }));
    assert_close(&tiny, "one", "two");
    let losses = |dir: &str| -> Vec<f64> {
        let text = String::from_utf8(tiny.read(&format!("{dir}/metrics.jsonl"))).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| row["chosen_loss"].as_f64()).collect()
    };
    let (one, two) = (losses("one"), losses("two"));
    assert_eq!((one.len(), two.len()), (3, 3));
    assert!(one.iter().zip(&two).all(|(one, two)| (one - two).abs() < LOSS_RELATIVE * one), "{one:?} {two:?}");
}

#[test]
fn threads_give_what_one_rank_gives() {
    let tiny = Tiny::new();
    tiny.write_data("other.jsonl", 5);
    tiny.add_source("other.jsonl", "");
    // Six packs a step, of which the last step of an epoch has fewer; then fewer packs than ranks.
    for (name, accumulation) in [("many", "train.accumulation=6"), ("few", "train.accumulation=2")] {
        let settings = [accumulation, "train.steps=4"];
        let one = format!("one-{name}");
        let run = prepared(&tiny, &one, &settings);
        run::train(&run, &Start::Fresh, Held::default(), &Requests::default(), &Alone).unwrap();
        for count in [1, 2, 3] {
            let dir = format!("threads-{name}-{count}");
            let run = prepared(&tiny, &dir, &settings);
            let outcomes = by_threads(&run, count);
            assert!(matches!(outcomes[0], Outcome::Finished { .. }));
            assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Followed));
            assert_close(&tiny, &one, &dir);
        }
        let bytes = |dir: &str| tiny.read(&format!("{dir}/adapter/adapter_model.safetensors"));
        assert!(bytes(&one) == bytes(&format!("threads-{name}-1")), "one rank is one rank");
    }
}

#[test]
fn passes_that_one_pack_is_split_into_are_shared() {
    let tiny = Tiny::new();
    let settings = ["train.accumulation=1", "train.pack_tokens=2000", "train.steps=3"];
    run::train(&prepared(&tiny, "one", &settings), &Start::Fresh, Held::default(), &Requests::default(), &Alone)
        .unwrap();
    let mut run = prepared(&tiny, "split", &settings);
    run.fit.pass_tokens = 300;
    by_threads(&run, 3);
    assert_close(&tiny, "one", "split");
}

#[test]
fn ranks_decide_alike_when_a_step_goes_wrong() {
    let tiny = Tiny::new();
    let settings = ["guard.spike=0.15", "guard.on_spike=rollback", "train.steps=40", "optimizer.learning_rate=1e-5"];
    let run = prepared(&tiny, "spikes", &settings);
    let outcomes = by_threads(&run, 2);
    assert!(matches!(outcomes[0], Outcome::Finished { step: 40, .. }), "{outcomes:?}");
    let metrics = String::from_utf8(tiny.read("spikes/metrics.jsonl")).unwrap();
    assert!(metrics.contains("taken_back"), "no step was taken back");
    assert_eq!(metrics.lines().filter(|line| line.contains("\"loss\"") || line.contains("taken_back")).count(), 40);
}

#[test]
fn a_stop_on_any_rank_ends_all_at_the_same_step() {
    let tiny = Tiny::new();
    let run = prepared(&tiny, "stopped", &["train.steps=3000"]);
    let take_part = |ranks: Threads| {
        let requests = Requests::default();
        if ranks.place().rank == 1 {
            requests.stop();
        }
        let outcome = run::train(&run, &Start::Fresh, Held::default(), &requests, &ranks).unwrap();
        ranks.leave(None);
        outcome
    };
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let ranks = Threads::new(3).into_iter().map(|ranks| scope.spawn(|| take_part(ranks))).collect::<Vec<_>>();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert_eq!(outcomes, [Outcome::Stopped { checkpoint: None }, Outcome::Followed, Outcome::Followed]);
}

/// A rank that dies at its next sum after so many.
#[derive(Debug)]
struct Mortal(Threads, AtomicUsize);

impl Collective for Mortal {
    fn place(&self) -> Place {
        self.0.place()
    }

    fn sum(&self, values: &Tensor) -> Result<(), RankError> {
        let left = self.1.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| RankError::Nccl("the card is on fire".to_owned()))?;
        self.0.sum(values)
    }

    fn spread(&self, values: &Tensor) -> Result<(), RankError> {
        self.0.spread(values)
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        self.0.gather(mine)
    }

    fn check(&self) -> Result<(), RankError> {
        self.0.check()
    }

    fn leave(&self, failure: Option<&str>) {
        self.0.leave(failure);
    }

    fn means(&self) -> &'static str {
        self.0.means()
    }
}

#[test]
fn when_a_rank_is_gone_the_last_whole_step_is_saved() {
    let tiny = Tiny::new();
    let run = prepared(&tiny, "gone", &["train.steps=3000", "checkpoint.every=2999"]);
    let take_part = |ranks: Threads| {
        let sums = if ranks.place().rank == 1 { 3 } else { usize::MAX };
        let told = run::train(
            &run,
            &Start::Fresh,
            Held::default(),
            &Requests::default(),
            &Mortal(ranks, AtomicUsize::new(sums)),
        );
        told.unwrap_err().report()
    };
    let told: Vec<String> = std::thread::scope(|scope| {
        let ranks = Threads::new(3).into_iter().map(|ranks| scope.spawn(|| take_part(ranks))).collect::<Vec<_>>();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert!(told[0].starts_with("rank 1 is gone: its thread has ended"), "{told:?}");
    assert!(told[2].starts_with("rank 1 is gone"), "{told:?}");
    assert_eq!(names(&tiny.path("gone")), ["config.toml", "metrics.jsonl", "plan.jsonl", "step-000003", "tensorboard"]);
    let one = prepared(&tiny, "one", &["train.steps=3000", "checkpoint.every=3", "checkpoint.keep_last=1"]);
    let stop_after = Mortal(Threads::new(1).remove(0), AtomicUsize::new(3));
    run::train(&one, &Start::Fresh, Held::default(), &Requests::default(), &stop_after).unwrap_err();
    let load = |dir: &str| {
        let path = tiny.path(&format!("{dir}/step-000003/adapter_model.safetensors"));
        candle_core::safetensors::load(path, &Device::Cpu).unwrap()
    };
    assert_adapters_close(&load("one"), &load("gone"), "gone");
}

#[test]
fn ranks_that_differ_are_named() {
    let told: Vec<RankError> = std::thread::scope(|scope| {
        let ranks = Threads::new(4).into_iter().map(|ranks| {
            scope.spawn(move || {
                let mine = [ranks.place().rank as u8 / 2];
                let told = ranks.same("the adapter after step 7", &mine).unwrap_err();
                ranks.leave(None);
                told
            })
        });
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    for error in told {
        let said = error.to_string();
        assert!(said.starts_with("ranks 2, 3: the adapter after step 7 is not what it is on rank 0"), "{said}");
    }
}
