//! How the settings of single methods are written, and every fault with its place.

use codeact_model::Target;
use codeact_train::config::Problem;

use crate::written::{GOOD, load, problems};

#[test]
fn all_linear_is_all_seven_projections() {
    let config = load(GOOD, &["lora.targets=all-linear"]).unwrap();
    assert_eq!(config.lora.as_ref().unwrap().targets, Target::ALL);
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    let found = problems(GOOD, &["lora.targets=all-linaer"]);
    assert!(found[0].what.starts_with("is \"all-linaer\", expected \"all-linear\" or a list, each one of \"q_proj\""));
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `all-linear`?"));
    assert_eq!(problems(GOOD, &["lora.targets=[\"lm_head\"]"])[0].key, "lora.targets");
}

#[test]
fn patterns_keep_their_order_and_each_fault_has_its_place() {
    let text = GOOD.replace(
        "alpha = 16",
        "alpha = 16\nrank_pattern = { q_proj = 16, \"layers\\\\.0\\\\..*\" = 4 }\n[lora.alpha_pattern]\nq_proj = 32\nk_proj = 0.5",
    );
    let config = load(&text, &["lora.alpha_pattern.a_proj=1"]).unwrap();
    let ranks: Vec<(&str, usize)> = config
        .lora
        .as_ref()
        .unwrap()
        .rank_pattern
        .entries()
        .iter()
        .map(|(pattern, rank)| (pattern.text(), *rank))
        .collect();
    assert_eq!(ranks, [("q_proj", 16), (r"layers\.0\..*", 4)]);
    assert_eq!(config.lora.as_ref().unwrap().rank_pattern.to_string(), r#"{ q_proj = 16, "layers\\.0\\..*" = 4 }"#);
    let alphas: Vec<f64> =
        config.lora.as_ref().unwrap().alpha_pattern.entries().iter().map(|(_, alpha)| *alpha).collect();
    assert_eq!(alphas, [32.0, 0.5, 1.0]);
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    let found = problems(&text.replace("k_proj = 0.5", "k_proj = 0\n\"v_proj(\" = 1\no_proj = \"much\""), &[]);
    let found: Vec<String> = found.iter().map(Problem::to_string).collect();
    assert_eq!(found[0], "line 11: `lora.alpha_pattern.k_proj` is 0.0, expected more than 0");
    assert!(
        found[1].starts_with("line 12: `lora.alpha_pattern.\"v_proj(\"` is no regular expression: unclosed"),
        "{found:?}"
    );
    assert_eq!(found[2], "line 13: `lora.alpha_pattern.o_proj` is \"much\", expected a number");
    assert_eq!(problems(GOOD, &["lora.rank_pattern.q_proj=0"])[0].key, "lora.rank_pattern.q_proj");
    assert_eq!(problems(GOOD, &["lora.rank_pattern=7"])[0].what, "is 7, expected a table of module patterns");
}

#[test]
fn layers_are_a_list_or_a_range() {
    let layers = |typed: &str| load(GOOD, &[&format!("lora.layers={typed}")]).unwrap().lora.unwrap().layers;
    assert_eq!(layers("\"8-11\""), Some(vec![8, 9, 10, 11]));
    assert_eq!(layers("3-3"), Some(vec![3]));
    assert_eq!(layers("[9, 2]"), Some(vec![9, 2]));
    assert_eq!(load(GOOD, &[]).unwrap().lora.as_ref().unwrap().layers, None);
    let config = load(GOOD, &["lora.layers=1-2"]).unwrap();
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    for (typed, what) in [
        ("9-8", "is \"9-8\", expected a list of layers or a range like \"8-31\""),
        ("0-99999999999", "expected a list of layers"),
        ("[-1]", "expected a list of layers"),
        ("[]", "is empty, so nothing would be trained"),
        ("[1, 2, 1]", "names layer 1 twice"),
    ] {
        let found = problems(GOOD, &[&format!("lora.layers={typed}")]);
        assert!(found.len() == 1 && found[0].what.contains(what), "{found:?}");
    }
}

#[test]
fn what_is_off_leaves_no_trace_in_the_settings() {
    let config = load(GOOD, &["lora.dropout=0", "train.neftune_alpha=0"]).unwrap();
    assert_eq!(config, load(GOOD, &[]).unwrap());
    for key in ["dropout", "neftune_alpha", "lora_plus_ratio", "pattern", "layers"] {
        assert!(!config.resolved().contains(key), "{key}");
    }
    let on = ["lora.dropout=0.05", "train.neftune_alpha=5", "optimizer.lora_plus_ratio=16"];
    let config = load(GOOD, &on).unwrap();
    assert_eq!((config.lora.as_ref().unwrap().dropout, config.train.neftune_alpha), (0.05, 5.0));
    assert_eq!(config.optimizer.lora_plus_ratio, Some(16.0));
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    for (typed, what) in [
        ("lora.dropout=1.0", "is 1.0, expected 0 or more and less than 1"),
        ("lora.dropout=nan", "expected 0 or more and less than 1"),
        ("train.neftune_alpha=-1", "is -1.0, expected 0 or more"),
        ("optimizer.lora_plus_ratio=0", "is 0.0, expected more than 0"),
    ] {
        let found = problems(GOOD, &[typed]);
        assert!(found.len() == 1 && found[0].what.contains(what), "{found:?}");
    }
}

#[test]
fn rank_and_alpha_may_be_left_to_the_adapter() {
    let text = GOOD.replace("rank = 8\nalpha = 16\n", "");
    let keys: Vec<String> = problems(&text, &[]).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["lora.rank", "lora.alpha"]);
    let config = load(&text, &["model.adapter=some/adapter"]).unwrap();
    assert_eq!(config.model.adapter.as_deref(), Some("some/adapter"));
}
