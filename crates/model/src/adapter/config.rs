//! Rank and scaling of an adapter's pairs: one for all, or by PEFT's patterns.

use regex::{Regex, RegexBuilder};

use super::Target;

/// Bytes that a compiled pattern may take: a hostile one is refused.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// Which pairs an adapter has, and their shape and scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Inner width `R`, where no pattern says another.
    pub rank: usize,
    /// The update is scaled by `alpha / R`, or with `rslora` by `alpha / sqrt(R)`; where no pattern says another.
    pub alpha: f64,
    /// Rank-stabilised scaling (Kalajdzievski 2023).
    pub rslora: bool,
    /// Each row of a changed weight is scaled to a trained length (Liu et al. 2024, DoRA; PEFT's `use_dora`).
    pub dora: bool,
    /// Projections that carry a pair.
    pub targets: Vec<Target>,
    /// Layers whose projections do, counted from 0; `None` for all (PEFT's `layers_to_transform`).
    pub layers: Option<Vec<usize>>,
    /// Ranks of the modules that a pattern matches; the first that does counts (PEFT's `rank_pattern`).
    pub rank_pattern: Vec<(ModulePattern, usize)>,
    /// Their alphas, likewise (PEFT's `alpha_pattern`).
    pub alpha_pattern: Vec<(ModulePattern, f64)>,
    /// Probability that a value in front of a pair is dropped in training, less than 1 (PEFT's `lora_dropout`).
    pub dropout: f64,
}

/// Shape and scaling of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairShape {
    /// Inner width `R`.
    pub rank: usize,
    /// The factor on the update.
    pub scaling: f64,
}

impl LoraConfig {
    /// The same pairs on all seven projections of every layer.
    pub fn all_linear(rank: usize, alpha: f64) -> Self {
        Self {
            rank,
            alpha,
            rslora: false,
            dora: false,
            targets: Target::ALL.to_vec(),
            layers: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            dropout: 0.0,
        }
    }

    /// The pair on a projection, if it has one. A pattern is asked for the module's whole name.
    pub fn pair(&self, layer: usize, target: Target) -> Option<PairShape> {
        let is_layer = self.layers.as_ref().is_none_or(|layers| layers.contains(&layer));
        if !is_layer || !self.targets.contains(&target) {
            return None;
        }
        let (mut rank, mut alpha) = (self.rank, self.alpha);
        if !self.rank_pattern.is_empty() || !self.alpha_pattern.is_empty() {
            let module = module_name(layer, target);
            rank = first_match(&self.rank_pattern, &module).unwrap_or(rank);
            alpha = first_match(&self.alpha_pattern, &module).unwrap_or(alpha);
        }
        let divisor = if self.rslora { (rank as f64).sqrt() } else { rank as f64 };
        Some(PairShape { rank, scaling: alpha / divisor })
    }

    /// Patterns that say nothing of any pair on a model of so many layers: no module matches, or an earlier pattern does
    /// first.
    pub fn idle_patterns(&self, layer_count: usize) -> Vec<&ModulePattern> {
        let layers = (0..layer_count).filter(|layer| self.layers.as_ref().is_none_or(|some| some.contains(layer)));
        let names = layers.flat_map(|layer| self.targets.iter().map(move |target| module_name(layer, *target)));
        let names: Vec<String> = names.collect();
        let mut idle = idle(self.rank_pattern.iter().map(|(pattern, _)| pattern), &names);
        idle.extend(self::idle(self.alpha_pattern.iter().map(|(pattern, _)| pattern), &names));
        idle
    }
}

/// Name of a projection in the model, as PEFT's patterns see it.
pub(super) fn module_name(layer: usize, target: Target) -> String {
    format!("model.layers.{layer}.{}", target.module())
}

pub(super) fn first_match<T: Copy>(patterns: &[(ModulePattern, T)], module: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| pattern.matches(module)).map(|(_, value)| *value)
}

fn idle<'a>(patterns: impl Iterator<Item = &'a ModulePattern>, names: &[String]) -> Vec<&'a ModulePattern> {
    let mut left: Vec<&String> = names.iter().collect();
    let mut idle = Vec::new();
    for pattern in patterns {
        let before = left.len();
        left.retain(|name| !pattern.matches(name));
        if left.len() == before {
            idle.push(pattern);
        }
    }
    idle
}

/// A key of PEFT's `rank_pattern` and `alpha_pattern`: a regular expression that a module's name, or its end behind a dot,
/// matches as a whole.
///
/// Source: `get_pattern_key` in `peft/utils/other.py`, which asks `re.match(rf"(.*\.)?({key})$", name)`.
#[derive(Debug, Clone)]
pub struct ModulePattern {
    text: String,
    regex: Regex,
}

impl ModulePattern {
    /// Compiles a key.
    ///
    /// # Errors
    /// What is wrong with it; look-around and back references are not supported.
    pub fn new(text: &str) -> Result<Self, String> {
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| reason(&error))
        };
        // Alone first: `a)|(b` would be whole only between the parentheses put around it.
        compile(text)?;
        Ok(Self { text: text.to_owned(), regex: compile(&format!(r"^(?:.*\.)?(?:{text})$"))? })
    }

    /// The key as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of this module, `model.layers.0.self_attn.q_proj` for example.
    pub fn matches(&self, module: &str) -> bool {
        self.regex.is_match(module)
    }
}

impl PartialEq for ModulePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The last line of what the parser says, which has the reason; the others draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("is no regular expression: {}", last.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_in_peft() {
        let name = "model.layers.11.self_attn.q_proj";
        // Each as `peft.utils.other.get_pattern_key([key], name) == key` answers.
        for (key, matches) in [
            ("q_proj", true),
            ("self_attn.q_proj", true),
            ("model.layers.11.self_attn.q_proj", true),
            ("^model.layers.11.self_attn.q_proj", true),
            ("11.self_attn.q_proj", true),
            ("1.self_attn.q_proj", false),
            ("^self_attn.q_proj", false),
            ("proj", false),
            ("_proj", false),
            (".*_proj", true),
            ("[qk]_proj", true),
            ("q_proj|k_proj", true),
            ("k_proj|layers", false),
            (r"layers\.(1|2)\..*", false),
            (r"layers\.\d+\..*", true),
            ("self_attn", false),
            ("", false),
            ("Q_PROJ", false),
            ("(?i:Q_PROJ)", true),
        ] {
            assert_eq!(ModulePattern::new(key).unwrap().matches(name), matches, "{key}");
        }
        for (key, why) in [("q_proj(", "unclosed group"), ("a)|(b", "unopened group"), ("(?=q)", "look-around")] {
            let error = ModulePattern::new(key).unwrap_err();
            assert!(error.starts_with("is no regular expression: ") && error.contains(why), "{error}");
        }
        assert!(ModulePattern::new(&"(\\pL{900}){900}".repeat(40)).is_err());
    }

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let pattern = |key: &str| ModulePattern::new(key).unwrap();
        let lora = LoraConfig {
            rslora: true,
            rank_pattern: vec![(pattern("layers.0.*"), 4), (pattern("q_proj"), 16), (pattern("0.mlp.up_proj"), 2)],
            alpha_pattern: vec![(pattern("q_proj"), 32.0)],
            ..LoraConfig::all_linear(9, 6.0)
        };
        let shape = |layer, target| {
            let pair = lora.pair(layer, target).unwrap();
            (pair.rank, pair.scaling)
        };
        assert_eq!(shape(0, Target::Q), (4, 16.0));
        assert_eq!(shape(1, Target::Q), (16, 8.0));
        assert_eq!(shape(0, Target::Up), (4, 3.0));
        assert_eq!(shape(1, Target::Up), (9, 2.0));
        let idle: Vec<&str> = lora.idle_patterns(2).into_iter().map(ModulePattern::text).collect();
        assert_eq!(idle, ["0.mlp.up_proj"]);
        assert!(lora.pair(0, Target::Down).is_some());
        let some = LoraConfig { layers: Some(vec![1]), ..lora.clone() };
        assert_eq!((some.pair(0, Target::Q), some.pair(1, Target::Q)), (None, lora.pair(1, Target::Q)));
        assert_eq!(some.idle_patterns(2).len(), 2);
        assert!(LoraConfig { targets: vec![Target::Q], ..lora }.pair(0, Target::Down).is_none());
    }
}
