//! `[preference]`: pairs of conversations, to learn what makes the first of them the better one.

use codeact_data::{HeldOut, TooLong};
use documented::DocumentedFields;
use serde::Serialize;

use super::range::Range;
use super::reader::{Findings, TableReader};
use super::tables::Config;
use super::tree::Node;

/// `[preference]`: the `[[data]]` hold pairs of a chosen and a rejected conversation, and the difference is learned:
/// DPO (Rafailov et al. 2023). Beside `[flywheel]` its rounds do that with what they collect.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Preference {
    /// How soon a pair counts as told apart: the smaller, the further the model may go from what it began as. Typical
    /// 0.05 to 0.5. Default 0.1.
    pub beta: f64,
    /// Weight of the chosen conversation's own loss, a mean over its learned tokens, beside that of the pair. It keeps
    /// the chosen one from becoming less likely together with the rejected one (Pang et al. 2024, for answers that are
    /// reasoned out). 0 for plain DPO. Default 1.
    pub sft_weight: f64,
}

impl Preference {
    /// Reads the table, if it is there; faults go to `findings`. What it asks for is noted in any case.
    pub(super) fn read(node: Option<&Node>, findings: &Findings) -> Option<Preference> {
        let mut table = TableReader::new("preference", node, findings);
        let preference = Preference {
            beta: table.within(Range::POSITIVE).or("beta", 0.1),
            sft_weight: table.within(Range::NOT_NEGATIVE).or("sft_weight", 1.0),
        };
        table.finish();
        node.map(|_| preference)
    }
}

impl Config {
    /// How the run itself learns from pairs; `None` where it learns from conversations, as a flywheel's runs do first.
    pub fn pairs(&self) -> Option<&Preference> {
        self.preference.as_ref().filter(|_| self.flywheel.is_none())
    }
}

/// Faults of the values: key, what is wrong, and the way out.
pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&str, String, &str)) {
    if let Some(flywheel) = config.flywheel.as_ref().filter(|_| config.preference.is_none()) {
        let keys = [
            ("flywheel.preference_learning_rate", flywheel.preference_learning_rate.is_some()),
            ("flywheel.preference_epochs", flywheel.preference_epochs.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
            wrong(key, "needs `[preference]`".to_owned(), "add the table; it may be empty");
        }
    }
    if config.pairs().is_none() {
        return;
    }
    if config.lora.is_none() {
        let what = "is \"full\", and `[preference]` compares with the model as it was before".to_owned();
        wrong("train.method", what, "\"lora\", which keeps it; or leave `[preference]` out");
    }
    let dropout = config.lora.as_ref().map_or(0.0, |lora| lora.dropout);
    for (key, value) in [("lora.dropout", dropout), ("train.neftune_alpha", config.train.neftune_alpha)] {
        if value > 0.0 {
            let what = format!("is {value}, and random numbers would change what `[preference]` compares");
            wrong(key, what, "leave it out");
        }
    }
    if config.train.too_long == TooLong::Truncate {
        let what = "is \"truncate\", but the end of a pair is that of its rejected conversation alone".to_owned();
        wrong("train.too_long", what, "\"drop\" or \"error\"");
    }
    for (index, source) in config.data.iter().enumerate() {
        if matches!(source.held_out, HeldOut::Some(_)) {
            let what = "holds pairs out, and only conversations are measured".to_owned();
            wrong(&format!("data.{index}.held_out"), what, "hold out conversations, in a `[[data]]` of their own");
        }
    }
}
