//! Settings, checkpoints and folders of runs that somebody damaged: reading them ends, in what they say or in errors
//! that name a place, and never in a panic. `CODEACT_FUZZ_CASES=1000000` runs a million of each kind.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation;
#[path = "../../../tests/fuzz/harness.rs"]
mod harness;

use std::cell::RefCell;
use std::path::Path;

use candle_core::{Device, Tensor};
use codeact_data::hash;
use codeact_model::write_f32;
use codeact_train::checkpoint::{self, Identity, State, VERSION};
use codeact_train::config::{Config, ConfigError, Metric, Origin};
use codeact_train::losses::LossSum;
use codeact_train::report::{Run, html};
use codeact_train::standing::{Measure, Solved, Standing, Success};
use codeact_train::{TrainError, guard};
use harness::{Bounds, Random, campaign, damage};
use serde_json::json;
use sha2::{Digest, Sha256};
use toml::Value;

/// A tree of the file, the problems and the settings; small beside what a loop without end would take.
const SETTINGS: Bounds = Bounds { factor: 1000, constant: 16 << 20 };

/// What files are hashed through, and the header of moments as a tree.
const CHECKPOINT: Bounds = Bounds { factor: 200, constant: 8 << 20 };

/// Rows, and a page of bounded size.
const FOLDER: Bounds = Bounds { factor: 400, constant: 24 << 20 };

fn configs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let paths = names.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Reads settings, and holds the reader to what it promises. True when they were accepted.
fn read(text: &str, overrides: &[String], validator: &jsonschema::Validator) -> bool {
    let path = Path::new("x.toml");
    let error = match Config::parse(text, path, overrides) {
        Ok(config) => {
            let resolved = config.resolved();
            let again = Config::parse(&resolved, path, &[]);
            assert_eq!(again.unwrap_or_else(|error| panic!("{error}\n{resolved}")), config);
            let as_json = serde_json::to_value(resolved.parse::<toml::Table>().unwrap()).unwrap();
            assert!(validator.is_valid(&as_json), "the schema refuses what the trainer takes:\n{resolved}");
            return true;
        }
        Err(error) => error,
    };
    let (said, lines) = (error.to_string(), 1 + text.matches('\n').count());
    match error {
        ConfigError::Syntax { line, what, .. } => {
            assert!((1..=lines).contains(&line) && !what.is_empty() && said.contains("`x.toml` line "), "{said}");
        }
        ConfigError::Set { typed, what } => assert!(overrides.contains(&typed) && !what.is_empty(), "{said}"),
        ConfigError::Problems { problems, .. } => {
            assert!(!problems.is_empty() && said.contains("`x.toml`"), "{said}");
            for problem in problems {
                assert!(said.contains(&format!("`{}`", problem.key)) && !problem.what.is_empty(), "{said}");
                match problem.origin {
                    Some(Origin::Line(line)) => assert!((1..=lines).contains(&line), "{said}"),
                    Some(Origin::Set(typed)) => assert!(overrides.contains(&typed), "{said}"),
                    // What nobody wrote has no place.
                    None => assert!(problem.what.contains("is missing") || problem.key == "data", "{problem:?}"),
                }
            }
        }
        ConfigError::Io { .. } => panic!("nothing was opened: {said}"),
    }
    false
}

fn odd_value(random: &mut Random) -> Value {
    let texts = ["", " ", "auto", "q_proj", "nan", "*[", "\u{202e}", "off", "cuda", "a\"b\\c\n"];
    match random.below(9) {
        0 => Value::Integer(random.odd_number() as i64),
        1 => Value::Integer(*random.pick(&[-1, 0, 1, 2, 3, 512])),
        2 => Value::Float(*random.pick(&[f64::NAN, f64::INFINITY, -0.0, 0.5, 1.0, 1e-300, 1e300, -1.0])),
        3 => Value::String((*random.pick(&texts)).to_owned()),
        4 => Value::Boolean(random.once_in(2)),
        5 => Value::Array(vec![]),
        6 => Value::Array(vec![Value::String((*random.pick(&texts)).to_owned()); 2]),
        7 => Value::Table(toml::Table::new()),
        _ => Value::Datetime("1979-05-27T07:32:00Z".parse().unwrap()),
    }
}

/// Changes one place of a table.
fn scramble(value: &mut Value, random: &mut Random) {
    const KEYS: [&str; 10] = [
        "rank",
        "steps",
        "filter",
        "held_out",
        "weight",
        "repeat",
        "warmup_steps",
        "data",
        "tensorboard",
        "max_samples",
    ];
    match value {
        Value::Table(entries) => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            let Some(key) = (!keys.is_empty()).then(|| random.pick(&keys).clone()) else { return };
            match random.below(8) {
                0 => drop(entries.remove(&key)),
                1 => drop(entries.insert((*random.pick(&KEYS)).to_owned(), odd_value(random))),
                2 => {
                    let moved = entries.remove(&key).unwrap();
                    entries.insert(format!("{key}s"), moved);
                }
                _ => scramble(entries.get_mut(&key).unwrap(), random),
            }
        }
        Value::Array(items) if !items.is_empty() && !random.once_in(5) => {
            let at = random.below(items.len());
            match random.below(5) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => scramble(&mut items[at], random),
            }
        }
        value => *value = odd_value(random),
    }
}

#[test]
fn settings_with_other_values_are_read_or_refused_with_a_place() {
    let validator = jsonschema::validator_for(&Config::schema()).unwrap();
    let seeds: Vec<Value> = configs().iter().map(|text| Value::Table(text.parse().unwrap())).collect();
    let mut accepted = 0;
    campaign("scrambled settings", 6_000, SETTINGS, |case| {
        let mut settings = case.random.pick(&seeds).clone();
        for _ in 0..1 + case.random.below(3) {
            scramble(&mut settings, &mut case.random);
        }
        let text = toml::to_string(&settings).unwrap();
        accepted += u64::from(case.measure(text.len(), || read(&text, &[], &validator)));
    });
    assert!(accepted > 0, "nothing was accepted, so nothing was read back");
}

#[test]
fn settings_with_other_bytes_are_read_or_refused_with_a_place() {
    let validator = jsonschema::validator_for(&Config::schema()).unwrap();
    let seeds = configs();
    campaign("damaged settings", 4_000, SETTINGS, |case| {
        let mut bytes = case.random.pick(&seeds).clone().into_bytes();
        damage(&mut case.random, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        case.measure(text.len(), || read(&text, &[], &validator));
    });
}

#[test]
fn overrides_of_any_kind_are_applied_or_refused_as_typed() {
    let validator = jsonschema::validator_for(&Config::schema()).unwrap();
    let text = &configs()[0];
    let keys =
        ["train.steps", "data.0.path", "data.1", "lora", "lora.targets", "model.name.x", "", "a..b", "output.dir"];
    campaign("overrides", 4_000, SETTINGS, |case| {
        let value = odd_value(&mut case.random).to_string();
        let mut bytes = format!("{}={value}", case.random.pick(&keys)).into_bytes();
        if case.random.once_in(2) {
            damage(&mut case.random, &mut bytes);
        }
        let typed = String::from_utf8_lossy(&bytes).into_owned();
        case.measure(text.len() + typed.len(), || read(text, &[typed], &validator));
    });
}

/// The files of a run, each with something of everything.
fn folder() -> [(&'static str, String); 4] {
    let rows = (1..40).map(|step| {
        json!({"step": step, "epoch": 0, "loss": 2.5 / f64::from(step), "learning_rate": 1e-3, "gradient_norm": 1.5,
               "loss_by_source": {"<a>": 2.5, "c": 1.5}, "tokens": 700, "supervised_tokens": 300, "seconds": 1.25,
               "memory_bytes": 1 << 30})
    });
    let others = [
        json!({"step": 0, "held_out_loss": 2.0, "held_out_by_source": {"<a>": 1.5, "b": 2.5}}),
        json!({"step": 20, "success_rate": 0.5, "solved": 5, "tasks": 10}),
        json!({"step": 20, "checkpoint": "step-000020", "best": true}),
    ];
    let lines =
        |rows: &mut dyn Iterator<Item = serde_json::Value>| rows.map(|row| format!("{row}\n")).collect::<String>();
    let file =
        json!({"path": "<x>", "sha256": "abcdef", "rows": 5, "tokens": 7, "planned_tokens": 7, "is_held_out": false});
    let samples = [json!({"step": 1, "prompt": "<p>", "text": "</pre>", "source": "s"})];
    [
        ("metrics.jsonl", lines(&mut rows.chain(others))),
        ("plan.jsonl", lines(&mut [json!({"steps": 40, "epochs": 1, "files": [file]})].into_iter())),
        ("samples.jsonl", lines(&mut samples.into_iter())),
        ("config.toml", configs().swap_remove(0)),
    ]
}

#[test]
fn folders_of_runs_of_any_damage_give_a_page() {
    let room = tempfile::tempdir().unwrap();
    let seeds = folder();
    campaign("damaged runs", 1_000, FOLDER, |case| {
        let mut written = 0;
        for (name, content) in &seeds {
            let mut bytes = content.clone().into_bytes();
            if case.random.once_in(2) {
                damage(&mut case.random, &mut bytes);
            }
            if case.random.once_in(3) {
                // Numbers that break arithmetic, in the place of small ones.
                let odd = format!(
                    ":{}",
                    *case.random.pick(&["1e308", "-1e308", "1e-320", "18446744073709551615", "-0.0", "null"])
                );
                let text = String::from_utf8_lossy(&bytes).replacen(":1", &odd, 1 + case.random.below(30));
                bytes = text.into_bytes();
            }
            written += bytes.len();
            std::fs::write(room.path().join(name), bytes).unwrap();
        }
        case.measure(written, || {
            let page = html(&[Run::load(room.path()).unwrap(), Run::load(room.path()).unwrap()]);
            let alone = html(&[Run::load(room.path()).unwrap()]);
            for page in [page, alone] {
                for text in ["<script", "<x>", "<p></", ">NaN", "\"NaN", " NaN", ">inf", "-inf", "\"inf"] {
                    assert!(!page.contains(text), "{text}");
                }
            }
        });
    });
}

/// Steps of the plan, and values that are trained.
const STEPS: usize = 24;
const VALUES: usize = 40;

/// Of a run that has everything.
fn state() -> State {
    let mut guard = guard::Memory::default();
    (1..=20).for_each(|step| guard.kept(&[LossSum { sum: 30.0 / f64::from(step), units: 10 }]));
    let measure = |step, loss| Some(Measure { step, loss });
    let solved = |step, solved| Some(Solved { step, solved, tasks: 4 });
    let success = Success { newest: solved(20, 1), best: solved(8, 2), worse_in_a_row: 3 };
    let (newest, best) = (measure(20, 1.75), measure(16, 1.5));
    let standing = Standing { before: Some(2.5), newest, best, worse_in_a_row: 1, success };
    let identity =
        Identity::from([("data plan", "abcdef"), ("lora.rank", "4")].map(|(key, value)| (key.into(), value.into())));
    State { version: VERSION, step: 20, updates: 20, pass_tokens: 512, standing, guard, identity }
}

/// The files of a checkpoint, the list of their sums last.
fn checkpoint_files() -> Vec<(&'static str, Vec<u8>)> {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("moments");
    let moments = Tensor::arange(0f32, VALUES as f32, &Device::Cpu).unwrap();
    write_f32(&path, &[("m", &moments), ("v", &moments)], None).unwrap();
    let state = serde_json::to_string_pretty(&state()).unwrap().into_bytes();
    let mut files = vec![("optimizer.safetensors", std::fs::read(path).unwrap()), ("state.json", state)];
    files.push(("SHA256SUMS", sums(&files)));
    files
}

fn sums(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let lines = files.iter().map(|(name, bytes)| format!("{}  {name}\n", hash::hex(&Sha256::digest(bytes))));
    lines.collect::<String>().into_bytes()
}

fn write_files(folder: &Path, files: &[(&str, Vec<u8>)]) {
    std::fs::create_dir_all(folder).unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
}

/// Reads a checkpoint whatever its sums say, and goes on with what is accepted as a run does. True when all of it was.
fn read_checkpoint(folder: &Path) -> bool {
    let wanted = state().identity;
    let refused = |error: TrainError| {
        let said = error.report();
        assert!(said.contains(folder.to_str().unwrap()) && said.contains("\nhint: "), "{said}");
        assert!(matches!(error, TrainError::BadCheckpoint { .. } | TrainError::OtherRun { .. }), "{said}");
    };
    let optimizer = checkpoint::load_optimizer(folder, 20, VALUES, &Device::Cpu).map_err(&refused);
    if let Ok(optimizer) = &optimizer {
        assert_eq!([&optimizer.m, &optimizer.v].map(Tensor::elem_count), [VALUES; 2]);
    }
    let Ok(mut state) = checkpoint::load_state(folder, &wanted).map_err(&refused) else { return false };
    assert_eq!((state.version, &state.identity), (VERSION, &wanted));
    if checkpoint::check_steps(folder, &state, STEPS).map_err(&refused).is_err() {
        return false;
    }
    assert!(state.step <= STEPS && state.updates <= state.step as u64);
    let losses = [LossSum { sum: 15.0, units: 10 }, LossSum { sum: 3.0, units: 2 }];
    let _ = (state.guard.compared(&losses), state.guard.usual(0), state.guard.taken_back());
    state.guard.kept(&losses);
    state.standing.note(Measure { step: STEPS, loss: 1.0 });
    state.standing.note_solved(Solved { step: STEPS, solved: 1, tasks: 4 });
    let _ = [Metric::Loss, Metric::Success].map(|metric| (state.standing.best_step(metric), metric.no_progress()));
    optimizer.is_ok()
}

#[test]
fn checkpoints_of_any_damage_are_read_or_refused_by_name() {
    let room = tempfile::tempdir().unwrap();
    let [older, newer] = ["step-000010", "step-000020"].map(|name| room.path().join(name));
    let seeds = checkpoint_files();
    write_files(&older, &seeds);
    let mut accepted = 0;
    campaign("damaged checkpoints", 1_500, CHECKPOINT, |case| {
        let (mut files, list) = (seeds.clone(), seeds.len() - 1);
        let at = case.random.below(files.len());
        let (name, bytes) = &mut files[at];
        if *name == "state.json" && case.random.once_in(2) {
            // Numbers that break arithmetic, in the place of small ones.
            let odd = format!(": {}", *case.random.pick(&["18446744073709551615", "1e308", "-1", "21", "25", "null"]));
            let text = String::from_utf8(std::mem::take(bytes)).unwrap();
            let place = *case.random.pick(&[": 20", ": 1", ": 2", ": 3"]);
            *bytes = text.replacen(place, &odd, 1 + case.random.below(3)).into_bytes();
        } else {
            damage(&mut case.random, bytes);
        }
        let is_told = files != seeds && (at == list || case.random.once_in(2));
        if is_told && at != list {
            files[list].1 = sums(&files[..list]);
        }
        write_files(&newer, &files);
        let said = RefCell::new(Vec::new());
        let size = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let (newest, is_read) = case.measure(size, || {
            let say = |line: &str| said.borrow_mut().push(line.to_owned());
            (checkpoint::newest_whole(room.path(), false, &say).unwrap().unwrap(), read_checkpoint(&newer))
        });
        match newest == newer {
            true => assert!(is_told || files == seeds, "a change was not seen"),
            false => assert!(newest == older && said.borrow()[0].contains("step-000020"), "{said:?}"),
        }
        accepted += u64::from(is_read && at != list && files != seeds);
    });
    assert!(accepted > 0, "nothing that was changed was accepted, so nothing went on");
}
