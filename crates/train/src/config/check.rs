//! Values that have the right type and are wrong all the same.

use codeact_agent::{ActionFormat, Profile};

use super::Problem;
use super::choices::{Exported, ScheduleShape};
use super::patterns::quoted;
use super::sources;
use super::tables::Config;

/// Most steps and epochs: beyond any run, and small enough for the plan to fit memory.
const COUNT_MAX: usize = 10_000_000;

/// Largest rank of a module.
const RANK_MAX: usize = 4096;

/// Most CPU threads.
const THREADS_MAX: usize = 1024;

/// Collects problems.
struct List<'a> {
    /// Keys whose values are placeholders, because what was written could not be read.
    unread: &'a [String],
    found: Vec<Problem>,
}

impl List<'_> {
    /// Whether a key can be blamed together with another one.
    fn is_sound(&self, key: &str) -> bool {
        !self.unread.iter().any(|unread| unread == key) && !self.found.iter().any(|problem| problem.key == key)
    }

    fn wrong(&mut self, key: &str, what: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.found.push(Problem { origin: None, key: key.to_owned(), what, hint });
    }

    fn one_of(&mut self, key: &str, value: &str, names: &[&str]) {
        if !names.contains(&value) {
            let hint = super::suggestion(value, names).unwrap_or_default();
            self.wrong(key, format!("is {value:?}, expected one of {names:?}"), &hint);
        }
    }

    fn at_least_one(&mut self, key: &str, value: Option<usize>) {
        if value == Some(0) {
            self.wrong(key, "is 0, expected at least 1".to_owned(), "");
        }
    }

    fn count(&mut self, key: &str, value: Option<usize>, max: usize) {
        if let Some(value) = value.filter(|value| !(1..=max).contains(value)) {
            self.wrong(key, format!("is {value}, expected 1 to {max}"), "");
        }
    }

    fn range(&mut self, key: &str, value: f64, fits: bool, expected: &str) {
        if !fits {
            self.wrong(key, format!("is {value:?}, expected {expected}"), "");
        }
    }
}

impl Config {
    /// All faults of the values, alone and together; empty when the settings can be used. Keys in `unread` hold
    /// placeholders: they are not blamed, and no other key is for not agreeing with them.
    pub(super) fn problems(&self, unread: &[String]) -> Vec<Problem> {
        let mut list = List { unread, found: Vec::new() };
        self.check_lora(&mut list);
        sources::check(&self.data, &mut |key, what, hint| list.wrong(key, what, hint));
        self.check_train(&mut list);
        self.check_optimizer(&mut list);
        list.at_least_one("checkpoint.every", self.checkpoint.every);
        list.at_least_one("checkpoint.keep_last", Some(self.checkpoint.keep_last));
        list.at_least_one("checkpoint.keep_every", self.checkpoint.keep_every);
        self.check_evaluation(&mut list);
        list.one_of("output.profile", &self.output.profile, &Profile::NAMES);
        list.one_of("output.action_format", &self.output.action_format, &ActionFormat::NAMES);
        list.found.retain(|problem| !unread.contains(&problem.key));
        list.found
    }

    fn check_lora(&self, list: &mut List) {
        let lora = &self.lora;
        list.at_least_one("lora.rank", Some(lora.rank));
        list.range("lora.alpha", lora.alpha, lora.alpha > 0.0 && lora.alpha.is_finite(), "more than 0");
        list.range("lora.dropout", lora.dropout, (0.0..1.0).contains(&lora.dropout), "0 or more and less than 1");
        for (pattern, rank) in lora.rank_pattern.entries() {
            list.count(&format!("lora.rank_pattern.{}", quoted(pattern.text())), Some(*rank), RANK_MAX);
        }
        for (pattern, alpha) in lora.alpha_pattern.entries() {
            let fits = *alpha > 0.0 && alpha.is_finite();
            list.range(&format!("lora.alpha_pattern.{}", quoted(pattern.text())), *alpha, fits, "more than 0");
        }
        if lora.targets.is_empty() {
            list.wrong(
                "lora.targets",
                "is empty, so nothing would be trained".to_owned(),
                "leave it out for all seven",
            );
        }
        for (index, layer) in lora.layers.iter().flatten().enumerate() {
            if lora.layers.iter().flatten().take(index).any(|other| other == layer) {
                list.wrong("lora.layers", format!("names layer {layer} twice"), "");
            }
        }
        if lora.layers.as_ref().is_some_and(Vec::is_empty) {
            list.wrong("lora.layers", "is empty, so nothing would be trained".to_owned(), "leave it out for all");
        }
        for (index, target) in lora.targets.iter().enumerate() {
            if lora.targets[..index].contains(target) {
                list.wrong("lora.targets", format!("names `{}` twice", target.name()), "");
            }
        }
    }

    fn check_train(&self, list: &mut List) {
        let train = &self.train;
        list.count("train.steps", train.steps, COUNT_MAX);
        list.count("train.epochs", train.epochs, COUNT_MAX);
        list.at_least_one("train.accumulation", Some(train.accumulation));
        list.count("train.threads", train.threads, THREADS_MAX);
        let alpha = train.neftune_alpha;
        list.range("train.neftune_alpha", alpha, alpha >= 0.0 && alpha.is_finite(), "0 or more");
        if train.pack_tokens < 2 {
            list.wrong("train.pack_tokens", format!("is {}, expected at least 2", train.pack_tokens), "");
        }
        // Left out it is that of the pack, which is to blame then.
        let is_own = list.is_sound("train.pack_tokens") || train.sequence_tokens_max != train.pack_tokens;
        if train.sequence_tokens_max < 2 && is_own {
            let what = format!("is {}, expected at least 2", train.sequence_tokens_max);
            list.wrong("train.sequence_tokens_max", what, "");
        }
        let are_sound = list.is_sound("train.pack_tokens") && list.is_sound("train.sequence_tokens_max");
        if are_sound && train.sequence_tokens_max > train.pack_tokens {
            let what = format!(
                "is {}, more than the {} of `train.pack_tokens`; a conversation is never split over packs",
                train.sequence_tokens_max, train.pack_tokens
            );
            list.wrong("train.sequence_tokens_max", what, "lower it, or raise `train.pack_tokens`");
        }
    }

    fn check_evaluation(&self, list: &mut List) {
        let evaluation = &self.evaluation;
        list.at_least_one("evaluation.every", evaluation.every);
        list.at_least_one("evaluation.patience", evaluation.patience);
        let wants_best = evaluation.export == Some(Exported::Best);
        for (key, is_set) in [("evaluation.patience", evaluation.patience.is_some()), ("evaluation.export", wants_best)]
        {
            if is_set && evaluation.every.is_none() && list.is_sound("evaluation.every") {
                list.wrong(key, "needs `evaluation.every`".to_owned(), "set the steps between two measures");
            }
        }
        let spike = self.guard.spike;
        list.range("guard.spike", spike, spike >= 0.0 && spike.is_finite(), "0 or more");
    }

    fn check_optimizer(&self, list: &mut List) {
        let optimizer = &self.optimizer;
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let part = |value: f64| (0.0..1.0).contains(&value);
        let rate = optimizer.learning_rate;
        list.range("optimizer.learning_rate", rate, positive(rate), "more than 0");
        for (key, value) in [("beta1", optimizer.beta1), ("beta2", optimizer.beta2)] {
            list.range(&format!("optimizer.{key}"), value, part(value), "0 or more and less than 1");
        }
        list.range("optimizer.eps", optimizer.eps, positive(optimizer.eps), "more than 0");
        let decay = optimizer.weight_decay;
        list.range("optimizer.weight_decay", decay, decay >= 0.0 && decay.is_finite(), "0 or more");
        list.range("optimizer.clip_norm", optimizer.clip_norm, positive(optimizer.clip_norm), "more than 0");
        if let Some(ratio) = optimizer.lora_plus_ratio {
            list.range("optimizer.lora_plus_ratio", ratio, positive(ratio), "more than 0");
        }
        let floor = optimizer.min_lr_ratio;
        list.range("optimizer.min_lr_ratio", floor, (0.0..=1.0).contains(&floor), "0 to 1");
        let are_sound = list.is_sound("optimizer.schedule") && list.is_sound("optimizer.min_lr_ratio");
        if are_sound && optimizer.schedule == ScheduleShape::Constant && floor != 0.0 {
            let what = "does nothing with `schedule = \"constant\"`".to_owned();
            list.wrong("optimizer.min_lr_ratio", what, "leave it out");
        }
        if let Some(ratio) = optimizer.warmup_ratio {
            list.range("optimizer.warmup_ratio", ratio, part(ratio), "0 or more and less than 1");
            let are_sound = list.is_sound("optimizer.warmup_ratio") && list.is_sound("optimizer.warmup_steps");
            if are_sound && optimizer.warmup_steps.is_some() {
                let what = "stands beside `optimizer.warmup_steps`".to_owned();
                list.wrong("optimizer.warmup_ratio", what, "keep one of the two");
            }
        }
    }
}
