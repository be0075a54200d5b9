//! The tables of a settings file. Fields without a default say so; every other key may be left out.

use codeact_data::{Sort, TooLong};
use codeact_model::Target;
use serde::Serialize;

use super::choices::{
    ChatFormatChoice, DeviceChoice, Exported, NewTokens, OnNotFinite, OnSpike, Precision, RecomputeChoice,
    ScheduleShape,
};
use super::reader::{Findings, TableReader};
use super::sources::{self, DataSource};
use super::tree::{Node, Value};

/// All settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// `[model]`
    pub model: Model,
    /// `[lora]`
    pub lora: Lora,
    /// `[train]`
    pub train: Train,
    /// `[optimizer]`
    pub optimizer: Optimizer,
    /// `[checkpoint]`
    pub checkpoint: Checkpoint,
    /// `[evaluation]`
    pub evaluation: Evaluation,
    /// `[guard]`
    pub guard: Guard,
    /// `[output]`
    pub output: Output,
    /// `[[data]]`, at least one that is not held out.
    pub data: Vec<DataSource>,
}

/// `[model]`: what is fine-tuned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// A folder, a `.gguf` file or a hub name. No default.
    pub name: String,
    /// Default `auto`.
    pub chat_format: ChatFormatChoice,
    /// What the rows of tokens that `chatml` adds start as. Default `mean`.
    pub new_tokens: NewTokens,
}

/// `[lora]`: which layers get an adapter, and how large.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lora {
    /// Inner width `r` of `B A`. Typical 8 to 64; optimizer memory grows linearly. No default.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`. No default.
    pub alpha: f64,
    /// Scale by `alpha / sqrt(rank)` instead. Default false.
    pub rslora: bool,
    /// Default all seven.
    pub targets: Vec<Target>,
}

/// `[train]`: how much, in what portions, on what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Train {
    /// Optimizer steps at most. Default: as many as the epochs have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Passes over the data at most. Default: 1, or as many as `steps` needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Tokens of one forward and backward pass at most. No default.
    pub pack_tokens: usize,
    /// Packs of one optimizer step. Default 1.
    pub accumulation: usize,
    /// Tokens of one conversation at most. Default `pack_tokens`.
    pub sequence_tokens_max: usize,
    /// What becomes of longer ones. Default `drop`.
    pub too_long: TooLong,
    /// `random`, drawn for every epoch and packed by best fit, or `length`, longest first. Default `random`.
    pub sort: Sort,
    /// Order of the data and start of the adapter. Default 0.
    pub seed: u64,
    /// Default `cpu`.
    pub device: DeviceChoice,
    /// Numbers of the frozen weights. Default `bf16`.
    pub dtype: Precision,
    /// Default `auto`.
    pub recompute: RecomputeChoice,
    /// CPU threads. Default: all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Folder where encoded data is kept for the next start, `off` for nowhere. Default `checkpoints/cache`.
    pub cache: String,
}

/// `[optimizer]`: AdamW and its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Optimizer {
    /// Peak learning rate. No default; 1e-4 to 1e-3 suits LoRA.
    pub learning_rate: f64,
    /// Decay of the first moment. Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment. Default 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment. Default 1e-8.
    pub eps: f64,
    /// Decoupled weight decay. Default 0.
    pub weight_decay: f64,
    /// Longest gradient (L2 norm over all parameters). Default 1.
    pub clip_norm: f64,
    /// Default `cosine`.
    pub schedule: ScheduleShape,
    /// Optimizer steps of linear warm-up; the first has learning rate 0. Default 0. Excludes `warmup_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// Warm-up as part of all steps, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Learning rate at the end, as part of the peak. Default 0.
    pub min_lr_ratio: f64,
}

/// `[checkpoint]`: what survives a crash.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checkpoint {
    /// Optimizer steps between checkpoints. Default: only the last step and interruptions leave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// Newest checkpoints that stay on disk. Default 2.
    pub keep_last: usize,
    /// Those after a multiple of so many steps stay, too. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_every: Option<usize>,
}

/// `[evaluation]`: held-out data measured while the run goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Optimizer steps between measures; the checkpoint of the best one stays. Default: before and after training only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// Measures in a row without a better one after which the run ends. Default: it takes all steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Of which step the results are, `last` or `best`. Default `best` with `every`, and `last` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Exported>,
}

/// `[guard]`: what to do when numbers go wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guard {
    /// Deviations above the median of the newest 32 losses from which a loss leaps; 0 for never. Default 6.
    pub spike: f64,
    /// `warn`, `rollback` (the step is not taken) or `stop`. Default `warn`.
    pub on_spike: OnSpike,
    /// `stop` or `rollback`, for a loss or gradient that is not finite. Default `stop`.
    pub on_not_finite: OnNotFinite,
}

/// `[output]`: where the results go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Output {
    /// Folder of the run. No default.
    pub dir: String,
    /// Replace an earlier run in `dir`. Default false.
    pub overwrite: bool,
    /// Prompt style the agent uses with this model, written to `codeact.json`. Default `codeactinstruct`.
    pub profile: String,
    /// How the model writes its actions, written there too: `code`, `json` or `text`. Default `code`.
    pub action_format: String,
    /// Write the numbers of the run as event files for TensorBoard, too, into `tensorboard/`. Default true.
    pub tensorboard: bool,
}

impl Config {
    /// Reads all tables; faults go to `findings`.
    pub(super) fn read(root: &Node, findings: &Findings) -> Config {
        let mut reader = TableReader::new("", Some(root), findings);
        let mut table = |name| TableReader::new(name, reader.node(name), findings);
        let model = Model::read(table("model"));
        let lora = Lora::read(table("lora"), findings);
        let train = Train::read(table("train"));
        let optimizer = Optimizer::read(table("optimizer"));
        let checkpoint = Checkpoint::read(table("checkpoint"));
        let evaluation = Evaluation::read(table("evaluation"));
        let guard = Guard::read(table("guard"));
        let output = Output::read(table("output"));
        let data = sources::read(reader.node("data"), findings);
        reader.finish();
        Config { model, lora, train, optimizer, checkpoint, evaluation, guard, output, data }
    }
}

impl Model {
    fn read(mut table: TableReader<'_>) -> Model {
        let model = Model {
            name: table.required("name"),
            chat_format: table.or("chat_format", ChatFormatChoice::Auto),
            new_tokens: table.or("new_tokens", NewTokens::Mean),
        };
        table.finish();
        model
    }
}

impl Lora {
    fn read(mut table: TableReader<'_>, findings: &Findings) -> Lora {
        let lora = Lora {
            rank: table.required("rank"),
            alpha: table.required("alpha"),
            rslora: table.or("rslora", false),
            targets: table.or("targets", Target::ALL.to_vec()),
        };
        // Known from PEFT and therefore expected: refused by name rather than ignored.
        if let Some(node) = table.node("dropout")
            && !matches!(node.value, Value::Integer(0) | Value::Float(0.0))
        {
            let hint = "leave it out, or set it to 0";
            findings.fault(
                Some(&node.origin),
                "lora.dropout",
                format!("is {node}, but only 0 is supported"),
                Some(hint.to_owned()),
            );
        }
        table.finish();
        lora
    }
}

impl Train {
    fn read(mut table: TableReader<'_>) -> Train {
        let pack_tokens = table.required("pack_tokens");
        let train = Train {
            steps: table.optional("steps"),
            epochs: table.optional("epochs"),
            pack_tokens,
            accumulation: table.or("accumulation", 1),
            sequence_tokens_max: table.or("sequence_tokens_max", pack_tokens),
            too_long: table.or("too_long", TooLong::Drop),
            sort: table.or("sort", Sort::Random),
            seed: table.or("seed", 0),
            device: table.or("device", DeviceChoice::Cpu),
            dtype: table.or("dtype", Precision::Bf16),
            recompute: table.or("recompute", RecomputeChoice::Auto),
            threads: table.optional("threads"),
            cache: table.or("cache", "checkpoints/cache".to_owned()),
        };
        table.finish();
        train
    }
}

impl Optimizer {
    fn read(mut table: TableReader<'_>) -> Optimizer {
        let optimizer = Optimizer {
            learning_rate: table.required("learning_rate"),
            beta1: table.or("beta1", 0.9),
            beta2: table.or("beta2", 0.999),
            eps: table.or("eps", 1e-8),
            weight_decay: table.or("weight_decay", 0.0),
            clip_norm: table.or("clip_norm", 1.0),
            schedule: table.or("schedule", ScheduleShape::Cosine),
            warmup_steps: table.optional("warmup_steps"),
            warmup_ratio: table.optional("warmup_ratio"),
            min_lr_ratio: table.or("min_lr_ratio", 0.0),
        };
        table.finish();
        optimizer
    }
}

impl Checkpoint {
    fn read(mut table: TableReader<'_>) -> Checkpoint {
        let checkpoint = Checkpoint {
            every: table.optional("every"),
            keep_last: table.or("keep_last", 2),
            keep_every: table.optional("keep_every"),
        };
        table.finish();
        checkpoint
    }
}

impl Evaluation {
    fn read(mut table: TableReader<'_>) -> Evaluation {
        let evaluation = Evaluation {
            every: table.optional("every"),
            patience: table.optional("patience"),
            export: table.optional("export"),
        };
        table.finish();
        evaluation
    }
}

impl Guard {
    fn read(mut table: TableReader<'_>) -> Guard {
        let guard = Guard {
            spike: table.or("spike", 6.0),
            on_spike: table.or("on_spike", OnSpike::Warn),
            on_not_finite: table.or("on_not_finite", OnNotFinite::Stop),
        };
        table.finish();
        guard
    }
}

impl Output {
    fn read(mut table: TableReader<'_>) -> Output {
        let output = Output {
            dir: table.required("dir"),
            overwrite: table.or("overwrite", false),
            profile: table.or("profile", "codeactinstruct".to_owned()),
            action_format: table.or("action_format", "code".to_owned()),
            tensorboard: table.or("tensorboard", true),
        };
        table.finish();
        output
    }
}
