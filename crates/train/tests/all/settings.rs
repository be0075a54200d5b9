//! Settings: defaults, overrides, and every fault with its place.

use std::path::Path;

use codeact_data::HeldOut;
use codeact_model::Target;
use codeact_train::config::{Config, Origin, RecomputeChoice};

use crate::written::{GOOD, load, problems};

#[test]
fn defaults_fill_what_is_left_out() {
    let config = load(GOOD, &[]).unwrap();
    assert_eq!(config.lora.as_ref().unwrap().targets, Target::ALL);
    assert_eq!(config.train.sequence_tokens_max, 512);
    assert_eq!(config.train.recompute, RecomputeChoice::Auto);
    assert_eq!(config.optimizer.beta2, 0.999);
    assert_eq!((config.train.steps, config.train.epochs), (None, None));
}

#[test]
fn resolved_settings_read_back_to_the_same() {
    let config = load(GOOD, &["train.steps=7", "lora.targets=[\"q_proj\", \"v_proj\"]"]).unwrap();
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
}

#[test]
fn an_unknown_key_names_file_line_and_what_was_meant() {
    let text = GOOD.replace("rank = 8", "rnak = 8\nrank = 8");
    let error = load(&text, &[]).unwrap_err().to_string();
    assert_eq!(error, "1 problem in `x.toml`\n  line 6: `lora.rnak` is not a setting\n    hint: did you mean `rank`?");
}

#[test]
fn an_unknown_table_and_an_unknown_choice_are_suggested_too() {
    let found = problems(&format!("{GOOD}\n[optimiser]\nbeta1 = 0.9\n"), &["train.recompute=\"blok\""]);
    let hints: Vec<&str> = found.iter().filter_map(|problem| problem.hint.as_deref()).collect();
    assert_eq!(hints, ["did you mean `optimizer`?", "did you mean `block`?"]);
}

#[test]
fn a_key_like_no_other_is_answered_with_the_known_ones() {
    let found = problems(&GOOD.replace("rank = 8", "rank = 8\nzzz = 1"), &[]);
    assert!(found[0].hint.as_ref().unwrap().starts_with("known here: rank, alpha"), "{found:?}");
}

#[test]
fn all_problems_come_at_once_in_order_of_line() {
    let text = r#"
[model]
nmae = "some/model"
[lora]
rank = -1
alpha = "much"
dropout = 1
[train]
pack_tokens = 512
sequence_tokens_max = 1024
too_long = "cut"
epochs = 0
[optimizer]
learning_rate = 1e-3
beta1 = 1.5
warmup_steps = 2
warmup_ratio = 0.1
min_lr_ratio = 0.1
schedule = "constant"
[checkpoint]
every = 0
[output]
profile = "quikstart"
action_format = "yaml"
"#;
    let found = problems(text, &[]);
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "model.name",
            "model.nmae",
            "lora.rank",
            "lora.alpha",
            "lora.dropout",
            "train.sequence_tokens_max",
            "train.too_long",
            "train.epochs",
            "optimizer.beta1",
            "optimizer.warmup_ratio",
            "optimizer.min_lr_ratio",
            "checkpoint.every",
            "output.dir",
            "output.profile",
            "output.action_format",
            "data",
        ]
    );
    assert_eq!(found[5].origin, Some(Origin::Line(10)));
    assert!(found[5].to_string().contains("is 1024, more than the 512 of `train.pack_tokens`"), "{}", found[5]);
}

#[test]
fn a_key_at_fault_is_blamed_once_and_takes_no_other_along() {
    let keys = |overrides: &[&str]| -> Vec<String> {
        problems(GOOD, overrides).into_iter().map(|problem| problem.key).collect()
    };
    assert_eq!(keys(&["train.pack_tokens=0"]), ["train.pack_tokens"]);
    assert_eq!(keys(&["train.pack_tokens=-5", "train.sequence_tokens_max=64"]), ["train.pack_tokens"]);
    assert_eq!(keys(&["optimizer.warmup_ratio=0.1", "optimizer.warmup_steps=-1"]), ["optimizer.warmup_steps"]);
    let constant = ["optimizer.schedule=constant", "optimizer.min_lr_ratio=2"];
    assert_eq!(keys(&constant), ["optimizer.min_lr_ratio"]);
}

#[test]
fn sources_say_where_they_lie_and_how_much_of_them_is_taken() {
    let config = load(
        &GOOD.replace(
            "path = \"a.jsonl\"",
            "hub = \"xingyaoww/code-act\"\nsplit = \"codeact\"\nweight = 3\nheld_out = 100\nmax_samples = 5000\n\
             on_bad_row = \"skip\"\nformat = \"sharegpt\"\nroles_to_train = [\"assistant\", \"user\"]\n\
             license = \"apache-2.0\"\n\
             filter = { id = \"oct28*\", not_id = [\"*alfworld*\"], turns_min = 3, tokens_max = 4000 }",
        ),
        &[],
    );
    let config = config.unwrap();
    assert_eq!(config.data[0].name(), "xingyaoww/code-act (codeact)");
    assert_eq!(config.data[0].held_out, HeldOut::Some(100));
    assert_eq!(config.data[0].license.as_deref(), Some("apache-2.0"));
    let filter = config.data[0].filter.filter();
    assert!(filter.takes("oct28_full6728/math/1", 4, 100));
    for (id, turns, tokens) in [("nov2", 4, 1), ("oct28/alfworld/7", 4, 1), ("oct28", 2, 1), ("oct28", 4, 4001)] {
        assert!(!filter.takes(id, turns, tokens), "{id} {turns} {tokens}");
    }
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
}

#[test]
fn every_fault_of_a_source_is_named_with_its_way_out() {
    let found = |lines: &str| -> String {
        let found = problems(&GOOD.replace("path = \"a.jsonl\"", lines), &[]);
        found.iter().map(|problem| format!("{problem}\n")).collect()
    };
    for (lines, texts) in [
        ("path = \"a\"\nhub = \"b/c\"", ["`data.0.hub` stands beside `path`", "keep one"]),
        ("format = \"auto\"", ["`data.0.path` is missing", "`hub` for a data set"]),
        ("path = \"a\"\nsplit = \"validation\"", ["`data.0.split` is of data sets", "`held_out = true`"]),
        ("path = \"a\"\nweight = 0", ["`data.0.weight` is 0.0, expected more than 0", "hint"]),
        ("path = \"a\"\nweight = 1\nrepeat = 2", ["`data.0.repeat` stands beside `weight`", "keep one"]),
        (
            "path = \"a\"\nheld_out = true\nweight = 1",
            ["`data.0.weight` stands at data that is not learned", "`data` has nothing"],
        ),
        (
            "path = \"a\"\nheld_out = true\nrepeat = 3",
            ["`data.0.repeat` is 3, but held-out data", "`data` has nothing"],
        ),
        ("path = \"a\"\n[[data]]\npath = \"b\"\nweight = 2", ["`data.0.weight` is missing", "every source a weight"]),
        ("path = \"a\"\nroles_to_train = []", ["`data.0.roles_to_train` is empty", "leave it out"]),
        ("path = \"a\"\nfilter = { id = \"a[\" }", ["`data.0.filter.id` has \"a[\", which is no pattern", ""]),
        ("path = \"a\"\nfilter = { turns_min = 5, turns_max = 4 }", ["nothing would be left", "turns_max"]),
        ("path = \"a\"\nfilter = { idd = \"x\" }", ["`data.0.filter.idd` is not a setting", "did you mean `id`?"]),
        ("path = \"a\"\nheld_out = \"yes\"", ["expected true, false, or a number", "held_out"]),
        ("path = \"a\"\nformat = \"shareGPT\"", ["`data.0.format` is \"shareGPT\"", "did you mean `sharegpt`?"]),
    ] {
        let found = found(lines);
        assert!(texts.iter().all(|text| found.contains(text)), "{lines}:\n{found}");
    }
}

#[test]
fn silly_counts_are_refused() {
    for key in ["train.steps", "train.epochs"] {
        assert!(load(GOOD, &[&format!("{key}=10000000")]).is_ok());
        let found = problems(GOOD, &[&format!("{key}=10000001")]);
        assert!(found[0].what == "is 10000001, expected 1 to 10000000", "{found:?}");
    }
}

#[test]
fn a_wrong_value_is_shown_with_what_was_expected() {
    let found = problems(&GOOD.replace("rank = 8", "rank = \"eight\""), &[]);
    assert_eq!(found[0].to_string(), "line 6: `lora.rank` is \"eight\", expected a whole number, 0 or more");
}

#[test]
fn broken_toml_names_the_line() {
    let error = load("[model]\nname = \n", &[]).unwrap_err().to_string();
    assert!(error.starts_with("`x.toml` line 2: not TOML"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/no/such/file.toml"), &[]).unwrap_err().to_string();
    assert!(error.contains("`/no/such/file.toml`"), "{error}");
}

#[test]
fn set_overrides_and_adds_values_of_any_type() {
    let typed =
        ["train.steps=20", "lora.alpha=32.5", "output.dir=runs/b", "data.0.path=\"b.jsonl\"", "lora.rslora=true"];
    let config = load(GOOD, &typed).unwrap();
    assert_eq!(config.train.steps, Some(20));
    assert_eq!(config.lora.as_ref().unwrap().alpha, 32.5);
    assert_eq!(config.output.dir, "runs/b");
    assert_eq!(config.data[0].path.as_deref(), Some("b.jsonl"));
    assert!(config.lora.as_ref().unwrap().rslora);
}

#[test]
fn set_adds_a_table_that_the_file_lacks() {
    assert_eq!(load(GOOD, &["checkpoint.every=5"]).unwrap().checkpoint.every, Some(5));
}

#[test]
fn a_wrong_set_is_quoted_as_typed() {
    let found = problems(GOOD, &["train.stpes=20"]);
    assert_eq!(
        found[0].to_string(),
        "`--set train.stpes=20`: `train.stpes` is not a setting\n    hint: did you mean `steps`?"
    );
    for (typed, what) in [
        ("train.steps", "expected `key=value`"),
        ("data.3.path=x", "`data` is a list of 1; `3` is not an index"),
        ("lora.rank.x=1", "`lora.rank` is a value, not a table"),
    ] {
        let error = load(GOOD, &[typed]).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(typed), "{error}");
    }
}

#[test]
fn the_configs_of_the_project_are_good_and_say_what_they_are_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut count = 0;
    let files =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (inner, mut paths): (Vec<_>, Vec<_>) = files(&folder).into_iter().partition(|path| path.is_dir());
    paths.extend(inner.iter().flat_map(|inner| files(inner)));
    // The server's is read by a test of its own.
    for path in paths.iter().filter(|path| !path.ends_with("serve.toml")) {
        let text = std::fs::read_to_string(path).unwrap();
        Config::load(path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let name = path.strip_prefix(&folder).unwrap().display();
        assert!(text.starts_with("# "), "{name} does not open with its purpose");
        assert!(text.contains(&format!("--config configs/{name}")), "{name} lacks the line that runs it");
        count += 1;
    }
    assert!(count >= 3);
}
