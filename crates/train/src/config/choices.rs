//! Settings with a fixed list of spellings.

use codeact_chat::Role;
use codeact_data::{OnBadRow, RowFormat, Sort, TooLong};
use codeact_model::Target;
use serde::Serialize;
use serde_json::json;

use super::reader::{Choice, Setting};
use super::tree::{Node, Value};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $text:literal])+ $case:ident = $spelling:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[doc = $text])+ #[serde(rename = $spelling)] $case),+
        }

        impl Choice for $name {
            const NAMES: &'static [(&'static str, Self)] = &[$(($spelling, $name::$case)),+];
            const DOCS: &'static [&'static str] = &[$(concat!($($text),+)),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $($name::$case => $spelling),+ })
            }
        }
    };
}

choice! {
    /// Where the chat template comes from.
    ChatFormatChoice {
        /// The model's own template.
        Auto = "auto",
        /// ChatML, whose two tokens are added to the vocabulary when they are missing: for base models.
        ChatMl = "chatml",
        /// `[INST]` turns as in Llama-2-chat: for base models of its tokenizer.
        Llama2 = "llama2",
        /// `[INST]` turns as in Mistral-7B-Instruct.
        Mistral = "mistral",
    }
}

choice! {
    /// What the embedding rows of tokens that the chat format adds start as.
    NewTokens {
        /// The mean of all rows.
        Mean = "mean",
        /// A copy of the last row, as the CodeAct models started.
        Copy = "copy",
    }
}

choice! {
    /// What is trained.
    Method {
        /// Pairs of narrow matrices beside the frozen weights, as `[lora]` says.
        Lora = "lora",
        /// Every weight of the model: 16 bytes a weight, and 2 more with `dtype` bf16. There is no `[lora]` then.
        Full = "full",
    }
}

choice! {
    /// Numbers in which the weights are kept that products read.
    Precision {
        /// 4 bits with doubly quantised scales, expanded to bf16 for each product: QLoRA.
        Nf4 = "nf4",
        /// 16 bits, products with f32 sums.
        Bf16 = "bf16",
        /// 32 bits.
        F32 = "f32",
    }
}

choice! {
    /// Where the run computes.
    DeviceChoice {
        /// The processor.
        Cpu = "cpu",
        /// An NVIDIA GPU.
        Cuda = "cuda",
    }
}

choice! {
    /// What backward computes anew instead of keeping it: less memory for more work, same bits.
    RecomputeChoice {
        /// The cheapest level whose estimate fits the memory that is free.
        Auto = "auto",
        /// Keep everything.
        None = "none",
        /// The MLPs.
        Mlp = "mlp",
        /// Whole blocks.
        Block = "block",
    }
}

choice! {
    /// Shape of the learning rate after the warm-up.
    ScheduleShape {
        /// Half a cosine down to `min_lr_ratio`.
        Cosine = "cosine",
        /// A straight line down to `min_lr_ratio`.
        Linear = "linear",
        /// Stays at its maximum.
        Constant = "constant",
    }
}

choice! {
    /// What a round of the flywheel trains.
    RoundStart {
        /// A fresh adapter, on all data and everything that was collected so far.
        Base = "base",
        /// The best adapter so far.
        Best = "best",
    }
}

choice! {
    /// What becomes of a step whose loss leaps.
    OnSpike {
        /// It is told, and the step is taken.
        Warn = "warn",
        /// The adapter stays as before the step, and the run goes on with the next one.
        Rollback = "rollback",
        /// The run ends.
        Stop = "stop",
    }
}

choice! {
    /// What becomes of a step whose loss or gradient is not a number.
    OnNotFinite {
        /// The run ends.
        Stop = "stop",
        /// The adapter stays as before the step, and the run goes on with the next one.
        Rollback = "rollback",
    }
}

choice! {
    /// By what one step is better than another.
    Metric {
        /// The lowest held-out loss.
        Loss = "loss",
        /// The most tasks solved.
        Success = "success",
    }
}

choice! {
    /// Of which step the results are.
    Exported {
        /// Of the last one.
        Last = "last",
        /// Of the best one by `evaluation.metric`.
        Best = "best",
    }
}

impl Choice for Target {
    const NAMES: &'static [(&'static str, Target)] = &[
        ("q_proj", Target::Q),
        ("k_proj", Target::K),
        ("v_proj", Target::V),
        ("o_proj", Target::O),
        ("gate_proj", Target::Gate),
        ("up_proj", Target::Up),
        ("down_proj", Target::Down),
    ];
}

/// PEFT's word for all seven.
const ALL_LINEAR: &str = "all-linear";

/// Projections, as a list or by PEFT's word.
#[derive(Debug)]
pub(super) struct Targets(pub(super) Vec<Target>);

impl Setting for Targets {
    fn expected() -> String {
        format!("{ALL_LINEAR:?} or {}", Vec::<Target>::expected())
    }
    fn from_node(node: &Node) -> Option<Targets> {
        match &node.value {
            Value::Text(text) => (text == ALL_LINEAR).then(|| Targets(Target::ALL.to_vec())),
            _ => Vec::from_node(node).map(Targets),
        }
    }
    fn placeholder() -> Targets {
        Targets(Target::ALL.to_vec())
    }
    fn schema() -> serde_json::Value {
        let mut list = Vec::<Target>::schema();
        (list["minItems"], list["uniqueItems"]) = (json!(1), json!(true));
        json!({"anyOf": [{"const": ALL_LINEAR}, list]})
    }
}

/// Layers, as a list or a range with both ends.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Vec<usize>);

/// Most layers of a range: beyond any model.
const LAYERS_MAX: usize = 4096;

impl Setting for Layers {
    fn expected() -> String {
        "a list of layers or a range like \"8-31\"".to_owned()
    }
    fn from_node(node: &Node) -> Option<Layers> {
        let Value::Text(text) = &node.value else {
            return Vec::from_node(node).map(Layers);
        };
        let (first, last) = text.split_once('-')?;
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last && last < LAYERS_MAX).then(|| Layers((first..=last).collect()))
    }
    fn placeholder() -> Layers {
        Layers(vec![0])
    }
    fn schema() -> serde_json::Value {
        json!({"anyOf": [{"type": "string", "pattern": "^ *[0-9]+ *- *[0-9]+ *$"}, Vec::<usize>::schema()]})
    }
}

/// What becomes of a conversation longer than `train.sequence_tokens_max`.
impl Choice for TooLong {
    const NAMES: &'static [(&'static str, TooLong)] =
        &[("drop", TooLong::Drop), ("truncate", TooLong::Truncate), ("error", TooLong::Error)];
}

impl Choice for Sort {
    const NAMES: &'static [(&'static str, Sort)] = &[("random", Sort::Random), ("length", Sort::Length)];
}

impl Choice for RowFormat {
    const NAMES: &'static [(&'static str, RowFormat)] = &[
        ("auto", RowFormat::Auto),
        ("messages", RowFormat::Messages),
        ("sharegpt", RowFormat::ShareGpt),
        ("alpaca", RowFormat::Alpaca),
        ("openai", RowFormat::OpenAi),
        ("preference", RowFormat::Preference),
    ];
}

impl Choice for OnBadRow {
    const NAMES: &'static [(&'static str, OnBadRow)] = &[("error", OnBadRow::Error), ("skip", OnBadRow::Skip)];
}

impl Choice for Role {
    const NAMES: &'static [(&'static str, Role)] =
        &[("system", Role::System), ("user", Role::User), ("assistant", Role::Assistant)];
}
