//! Values that are each fine and wrong together. What one key alone may be is said where it is read.

use super::Problem;
use super::choices::{Exported, Method, Metric, Precision, ScheduleShape};
use super::flywheel;
use super::patterns::quoted;
use super::preference;
use super::sources;
use super::tables::Config;

/// Largest rank of a module.
const RANK_MAX: usize = 4096;

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
}

impl Config {
    /// All faults of the values, alone and together; empty when the settings can be used. Keys in `unread` hold
    /// placeholders: they are not blamed, and no other key is for not agreeing with them.
    pub(super) fn problems(&self, unread: &[String]) -> Vec<Problem> {
        let mut list = List { unread, found: Vec::new() };
        self.check_lora(&mut list);
        sources::check(&self.data, &mut |key, what, hint| list.wrong(key, what, hint));
        flywheel::check(self, &mut |key, what, hint| list.wrong(key, what, hint));
        preference::check(self, &mut |key, what, hint| list.wrong(key, what, hint));
        self.check_train(&mut list);
        self.check_full(&mut list);
        self.check_optimizer(&mut list);
        self.check_evaluation(&mut list);
        list.found.retain(|problem| !unread.contains(&problem.key));
        list.found
    }

    fn check_lora(&self, list: &mut List) {
        let Some(lora) = &self.lora else {
            return;
        };
        for (pattern, rank) in lora.rank_pattern.entries() {
            let key = format!("lora.rank_pattern.{}", quoted(pattern.text()));
            if !(1..=RANK_MAX).contains(rank) {
                list.wrong(&key, format!("is {rank}, expected 1 to {RANK_MAX}"), "");
            }
        }
        for (pattern, alpha) in lora.alpha_pattern.entries() {
            let key = format!("lora.alpha_pattern.{}", quoted(pattern.text()));
            if !(*alpha > 0.0 && alpha.is_finite()) {
                list.wrong(&key, format!("is {alpha:?}, expected more than 0"), "");
            }
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
        let are_sound = list.is_sound("train.pack_tokens") && list.is_sound("train.sequence_tokens_max");
        if are_sound && train.sequence_tokens_max > train.pack_tokens {
            let what = format!(
                "is {}, more than the {} of `train.pack_tokens`; a conversation is never split over packs",
                train.sequence_tokens_max, train.pack_tokens
            );
            list.wrong("train.sequence_tokens_max", what, "lower it, or raise `train.pack_tokens`");
        }
    }

    /// What has no meaning where every weight is trained.
    fn check_full(&self, list: &mut List) {
        if self.train.method != Method::Full {
            return;
        }
        if self.train.dtype == Precision::Nf4 {
            let what = "is \"nf4\", and weights of 4 bits cannot be trained themselves".to_owned();
            list.wrong(
                "train.dtype",
                what,
                "\"bf16\" or \"f32\"; or `train.method = \"lora\"` beside weights in nf4 (QLoRA)",
            );
        }
        if self.model.adapter.is_some() {
            let what = "does nothing with `train.method = \"full\"`".to_owned();
            list.wrong("model.adapter", what, "merge it first (`codeact-train merge`), and name the merged model");
        }
        if self.optimizer.lora_plus_ratio.is_some() {
            let what = "does nothing with `train.method = \"full\"`".to_owned();
            list.wrong("optimizer.lora_plus_ratio", what, "leave it out");
        }
    }

    fn check_evaluation(&self, list: &mut List) {
        let evaluation = &self.evaluation;
        let is_by_success = evaluation.metric == Metric::Success;
        let keys = [
            ("evaluation.tasks_every", evaluation.tasks_every.is_some()),
            ("evaluation.task_count", evaluation.task_count.is_some()),
            ("evaluation.metric", is_by_success),
        ];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set && evaluation.tasks.is_none()) {
            if list.is_sound("evaluation.tasks") {
                list.wrong(key, "needs `evaluation.tasks`".to_owned(), "name a file of tasks");
            }
        }
        let wants_best = evaluation.export == Some(Exported::Best);
        let needed = if is_by_success { "evaluation.tasks_every" } else { "evaluation.every" };
        for (key, is_set) in [("evaluation.patience", evaluation.patience.is_some()), ("evaluation.export", wants_best)]
        {
            let is_sound =
                list.is_sound("evaluation.every") && list.is_sound("evaluation.metric") && list.is_sound(needed);
            if is_set && evaluation.best_every().is_none() && is_sound {
                list.wrong(key, format!("needs `{needed}`"), "set the steps between two measures");
            }
        }
    }

    fn check_optimizer(&self, list: &mut List) {
        let optimizer = &self.optimizer;
        let floor = optimizer.min_lr_ratio;
        let are_sound = list.is_sound("optimizer.schedule") && list.is_sound("optimizer.min_lr_ratio");
        if are_sound && optimizer.schedule == ScheduleShape::Constant && floor != 0.0 {
            let what = "does nothing with `schedule = \"constant\"`".to_owned();
            list.wrong("optimizer.min_lr_ratio", what, "leave it out");
        }
        let are_sound = list.is_sound("optimizer.warmup_ratio") && list.is_sound("optimizer.warmup_steps");
        if are_sound && optimizer.warmup_ratio.is_some() && optimizer.warmup_steps.is_some() {
            let what = "stands beside `optimizer.warmup_steps`".to_owned();
            list.wrong("optimizer.warmup_ratio", what, "keep one of the two");
        }
    }
}
