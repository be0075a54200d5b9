//! `adapter_config.json` of an adapter, as PEFT reads and writes it.

use serde_json::{Map, Value, json};

use super::config::{LoraConfig, ModulePattern, first_match, module_name};
use super::{Adapter, NewTokens, Target};
use crate::config::ModelConfig;

/// The largest rank and alpha that are believed.
const RANK_MAX: u64 = 4096;
const ALPHA_MAX: f64 = 1e6;

/// The most patterns that are believed: PEFT writes one for each module where a method chose the ranks.
const PATTERNS_MAX: usize = 4096;

impl Adapter {
    pub(super) fn peft_config(&self, base_model: &str) -> Value {
        let targets: Vec<&str> = self.config.targets.iter().map(|target| target.name()).collect();
        let modules: Vec<String> = self.slots.iter().map(|slot| module_name(slot.layer, slot.target)).collect();
        json!({
            "alpha_pattern": pattern_map(&self.config.alpha_pattern, &modules),
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": self.config.layers,
            "lora_alpha": self.config.alpha,
            "lora_dropout": self.config.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.config.rank,
            "rank_pattern": pattern_map(&self.config.rank_pattern, &modules),
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "trainable_token_indices": self.token_indices(),
            "use_dora": self.config.dora,
            "use_rslora": self.config.rslora,
        })
    }

    /// PEFT's `trainable_token_indices`: the new tokens, for each table that has rows of its own.
    fn token_indices(&self) -> Value {
        let NewTokens { count, first, tied, .. } = self.new_tokens;
        let indices: Vec<usize> = (first..first + count).collect();
        match (count, tied) {
            (0, _) => Value::Null,
            (_, true) => json!(indices),
            (_, false) => json!({"embed_tokens": indices, "lm_head": indices}),
        }
    }
}

/// PEFT's object of patterns. It sorts them whenever it saves, so that where several match a module, each module is
/// written with its own value.
fn pattern_map<T: Copy + Into<Value>>(patterns: &[(ModulePattern, T)], modules: &[String]) -> Value {
    let match_count = |module: &String| patterns.iter().filter(|(pattern, _)| pattern.matches(module)).count();
    let map: Map<String, Value> = match modules.iter().all(|module| match_count(module) <= 1) {
        true => patterns.iter().map(|(pattern, value)| (pattern.text().to_owned(), (*value).into())).collect(),
        false => {
            let value = |module: &String| Some((module.clone(), first_match(patterns, module)?.into()));
            modules.iter().filter_map(value).collect()
        }
    };
    map.into()
}

/// How many tokens the adapter adds; they must be the ones that follow the base model's.
pub(super) fn new_token_count(map: &Map<String, Value>, model: &ModelConfig) -> Result<usize, String> {
    let value = map.get("trainable_token_indices").unwrap_or(&Value::Null);
    let lists: Vec<&Value> = match value {
        Value::Null => return Ok(0),
        // One list for each table.
        Value::Object(lists) if lists.keys().all(|table| ["embed_tokens", "lm_head"].contains(&table.as_str())) => {
            lists.values().collect()
        }
        list => vec![list],
    };
    let count = lists.first().and_then(|list| list.as_array()).map_or(0, Vec::len);
    let appended = |list: &Value| {
        let indices = list.as_array()?.iter().enumerate();
        let is_appended = |(at, index): (usize, &Value)| index.as_u64() == Some((model.vocab_size + at) as u64);
        Some(list.as_array()?.len() == count && indices.into_iter().all(is_appended))
    };
    if count == 0 || !lists.into_iter().all(|list| appended(list) == Some(true)) {
        return Err(format!("`trainable_token_indices` = {} on a vocabulary of {}", shown(value), model.vocab_size));
    }
    Ok(count)
}

/// A value in a message, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

/// The config as an adapter of a model of so many layers has it.
pub(super) fn read_config(map: &Map<String, Value>, layer_count: usize) -> Result<LoraConfig, String> {
    let get = |key: &str| map.get(key).unwrap_or(&Value::Null);
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    };
    if get("peft_type") != "LORA" {
        return Err(format!("`peft_type` = {} (LORA is supported)", shown(get("peft_type"))));
    }
    if !get("bias").is_null() && get("bias") != "none" {
        return Err(format!("`bias` = {}", shown(get("bias"))));
    }
    let unsupported = [
        "modules_to_save",
        "fan_in_fan_out",
        "target_parameters",
        "exclude_modules",
        "lora_bias",
        "alora_invocation_tokens",
    ];
    if let Some(key) = unsupported.iter().find(|key| is_set(get(key))) {
        return Err(format!("`{key}` = {}", shown(get(key))));
    }
    refuse_changed_base(get("init_lora_weights"))?;
    let rank = read_rank(get("r")).map_err(|what| format!("`r` = {what}"))?;
    let alpha = read_alpha(get("lora_alpha")).map_err(|what| format!("`lora_alpha` = {what}"))?;
    let switch = |key: &str| match get(key) {
        Value::Null => Ok(false),
        value => value.as_bool().ok_or_else(|| format!("`{key}` = {} (true or false)", shown(value))),
    };
    let (rslora, dora) = (switch("use_rslora")?, switch("use_dora")?);
    let layers = match (get("layers_to_transform"), get("layers_pattern")) {
        (layers, _) if !is_set(layers) => None,
        (layers, pattern) if !is_set(pattern) || *pattern == "layers" || *pattern == json!(["layers"]) => {
            Some(read_layers(layers)?)
        }
        (_, pattern) => return Err(format!("`layers_pattern` = {}", shown(pattern))),
    };
    let dropout = match get("lora_dropout") {
        Value::Null => Some(0.0),
        value => value.as_f64().filter(|dropout| (0.0..1.0).contains(dropout)),
    };
    let dropout = dropout.ok_or_else(|| {
        format!("`lora_dropout` = {} (0 or more and less than 1 is supported)", shown(get("lora_dropout")))
    })?;
    let (targets, layers) = read_targets(get("target_modules"), layers.as_deref(), layer_count)?;
    Ok(LoraConfig {
        rank,
        alpha,
        rslora,
        dora,
        targets,
        layers,
        rank_pattern: read_patterns(get("rank_pattern"), read_rank).map_err(|what| format!("`rank_pattern` {what}"))?,
        alpha_pattern: read_patterns(get("alpha_pattern"), read_alpha)
            .map_err(|what| format!("`alpha_pattern` {what}"))?,
        dropout,
    })
}

fn read_rank(value: &Value) -> Result<usize, String> {
    let rank = value.as_u64().filter(|rank| (1..=RANK_MAX).contains(rank));
    rank.map(|rank| rank as usize).ok_or_else(|| format!("{} (1 to {RANK_MAX} is supported)", shown(value)))
}

fn read_alpha(value: &Value) -> Result<f64, String> {
    let alpha = value.as_f64().filter(|alpha| *alpha > 0.0 && *alpha <= ALPHA_MAX);
    alpha.ok_or_else(|| format!("{} (a number above 0 and up to {ALPHA_MAX} is supported)", shown(value)))
}

fn read_patterns<T>(value: &Value, read: fn(&Value) -> Result<T, String>) -> Result<Vec<(ModulePattern, T)>, String> {
    let entries = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(entries) if entries.len() <= PATTERNS_MAX => entries,
        Value::Object(entries) => {
            return Err(format!("with {} patterns (up to {PATTERNS_MAX} are supported)", entries.len()));
        }
        other => return Err(format!("= {}", shown(other))),
    };
    let entry = |(key, value): (&String, &Value)| {
        let place = shown(&json!(key));
        let pattern = ModulePattern::new(key).map_err(|what| format!("key {place}, which {what}"))?;
        Ok((pattern, read(value).map_err(|what| format!("of {place} = {what}"))?))
    };
    entries.iter().map(entry).collect()
}

/// Refuses initialisations that change the weights of the base: what was trained then belongs to a base that the folder
/// does not have. PEFT converts such an adapter with `path_initial_model_for_weight_conversion`.
fn refuse_changed_base(init: &Value) -> Result<(), String> {
    match init {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(name) if ["gaussian", "eva", "orthogonal"].contains(&name.as_str()) => Ok(()),
        other => Err(format!("`init_lora_weights` = {} (a base that stays as it is is supported)", shown(other))),
    }
}

/// PEFT's `layers_to_transform`: a number or a list of them.
fn read_layers(value: &Value) -> Result<Vec<usize>, String> {
    let number = |value: &Value| value.as_u64().map(|layer| layer as usize);
    let layers = match value {
        Value::Array(items) => items.iter().map(number).collect(),
        value => number(value).map(|layer| vec![layer]),
    };
    layers.ok_or_else(|| format!("`layers_to_transform` = {}", shown(value)))
}

/// The projections, and the layers if not all, that `target_modules` names: PEFT takes ends of module names (`q_proj`,
/// `mlp.up_proj`), of which `layers` picks, whole names, and `all-linear`.
///
/// Source: `check_target_module_exists` in `peft/tuners/tuners_utils.py`.
fn read_targets(
    value: &Value,
    layers: Option<&[usize]>,
    layer_count: usize,
) -> Result<(Vec<Target>, Option<Vec<usize>>), String> {
    let all = || (0..layer_count).flat_map(|layer| Target::ALL.map(|target| (layer, target)));
    let mut chosen = vec![[false; Target::ALL.len()]; layer_count];
    let is_layer = |layer| layers.is_none_or(|layers| layers.contains(&layer));
    if value == "all-linear" {
        all().filter(|(layer, _)| is_layer(*layer)).for_each(|(layer, target)| chosen[layer][target as usize] = true);
    } else {
        let names = value.as_array().ok_or_else(|| format!("`target_modules` = {}", shown(value)))?;
        for name in names {
            let unknown = || format!("target module {}", shown(name));
            let wanted = name.as_str().ok_or_else(unknown)?;
            let mut is_known = false;
            for (layer, target) in all() {
                let module = module_name(layer, target);
                let is_end = module.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('.'));
                is_known |= is_end || module == wanted;
                chosen[layer][target as usize] |= module == wanted || (is_end && is_layer(layer));
            }
            if !is_known {
                return Err(unknown());
            }
        }
    }
    let used: Vec<usize> = (0..layer_count).filter(|layer| chosen[*layer].contains(&true)).collect();
    let Some(first) = used.first().map(|layer| chosen[*layer]) else {
        return Err(format!("`target_modules` = {}, which name no module", shown(value)));
    };
    if used.iter().any(|layer| chosen[*layer] != first) {
        return Err(format!("`target_modules` = {}, which differ between layers", shown(value)));
    }
    let targets = Target::ALL.into_iter().filter(|target| first[*target as usize]).collect();
    Ok((targets, (used.len() < layer_count).then_some(used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_in_their_order_or_refused_by_name() {
        let read = |patterns: Value| {
            let config = json!({
                "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "rank_pattern": patterns,
            });
            read_config(config.as_object().unwrap(), 2)
        };
        let found = read(json!({"z_first": 2, "a_second": 3})).unwrap().rank_pattern;
        let found: Vec<(&str, usize)> = found.iter().map(|(pattern, rank)| (pattern.text(), *rank)).collect();
        assert_eq!(found, [("z_first", 2), ("a_second", 3)]);
        for (patterns, what) in [
            (json!({"q_proj": 0}), "`rank_pattern` of \"q_proj\" = 0 (1 to 4096 is supported)"),
            (json!({"q_proj": "four"}), "`rank_pattern` of \"q_proj\" = \"four\""),
            (json!({"q_proj(": 4}), "`rank_pattern` key \"q_proj(\", which is no regular expression"),
            (json!(["q_proj"]), "`rank_pattern` = [\"q_proj\"]"),
        ] {
            let error = read(patterns).unwrap_err();
            assert!(error.starts_with(what), "{error}");
        }
        let many: Map<String, Value> = (0..5000).map(|index| (format!("{index}"), json!(1))).collect();
        assert!(read(many.into()).unwrap_err().contains("with 5000 patterns"));
    }

    #[test]
    fn an_adapter_of_a_changed_base_is_refused() {
        let read = |init: Value| {
            let config = json!({
                "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "init_lora_weights": init,
            });
            read_config(config.as_object().unwrap(), 2)
        };
        for init in [json!(null), json!(true), json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")] {
            assert!(read(init.clone()).is_ok(), "{init}");
        }
        for init in ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", ""] {
            let error = read(json!(init)).unwrap_err();
            assert!(error.contains(&format!("`init_lora_weights` = \"{init}\"")), "{error}");
        }
        assert!(read(json!(7)).is_err());
    }

    #[test]
    fn targets_and_layers_are_what_peft_takes_them_for() {
        let read = |targets: Value, layers: Value, pattern: Value| {
            let config = json!({
                "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": targets, "layers_to_transform": layers,
                "layers_pattern": pattern,
            });
            read_config(config.as_object().unwrap(), 3).map(|lora| (lora.targets, lora.layers))
        };
        let (q, up) = (Target::Q, Target::Up);
        let (nothing, all) = (Value::Null, Target::ALL.to_vec());
        for (targets, layers, wanted) in [
            (json!("all-linear"), json!(null), (all.clone(), None)),
            (json!("all-linear"), json!([2]), (all, Some(vec![2]))),
            (json!(["up_proj", "q_proj", "q_proj"]), json!([]), (vec![q, up], None)),
            (json!(["self_attn.q_proj"]), json!([2, 0, 9]), (vec![q], Some(vec![0, 2]))),
            (json!(["q_proj"]), json!(1), (vec![q], Some(vec![1]))),
            (json!(["q_proj"]), json!([0, 1, 2]), (vec![q], None)),
            // A whole name counts whatever the layers are.
            (json!(["model.layers.1.mlp.up_proj"]), json!([0]), (vec![up], Some(vec![1]))),
            (json!(["0.mlp.up_proj", "layers.2.mlp.up_proj"]), json!(null), (vec![up], Some(vec![0, 2]))),
        ] {
            assert_eq!(read(targets.clone(), layers, nothing.clone()), Ok(wanted), "{targets}");
        }
        assert!(read(json!(["q_proj"]), json!([1]), json!("layers")).is_ok());
        for (targets, layers, pattern, what) in [
            (json!(["lm_head"]), json!(null), json!(null), "target module \"lm_head\""),
            (json!(["proj"]), json!(null), json!(null), "target module \"proj\""),
            (json!(["q_proj"]), json!([7]), json!(null), "name no module"),
            (json!(["q_proj"]), json!([-1]), json!(null), "`layers_to_transform` = [-1]"),
            (json!(["q_proj"]), json!([0]), json!(["h"]), "`layers_pattern` = [\"h\"]"),
            (json!(["q_proj", "1.mlp.up_proj"]), json!(null), json!(null), "which differ between layers"),
            (json!(".*"), json!(null), json!(null), "`target_modules` = \".*\""),
        ] {
            let error = read(targets, layers, pattern).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
