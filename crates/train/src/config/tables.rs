//! The tables of a settings file. Fields without a default say so; every other key may be left out.

use codeact_agent::{ActionFormat, Profile};
use codeact_data::{Sort, TooLong};
use codeact_model::Target;
use documented::DocumentedFields;
use serde::Serialize;

use super::choices::{
    ChatFormatChoice, DeviceChoice, Layers, Method, NewTokens, OnNotFinite, OnSpike, Precision, RecomputeChoice,
    ScheduleShape, Targets,
};
use super::evaluation::Evaluation;
use super::flywheel::Flywheel;
use super::patterns::{self, Patterns};
use super::preference::Preference;
use super::range::Range;
use super::reader::{Findings, Setting, TableReader, Written};
use super::sources::{self, DataSource};
use super::tree::Node;

/// Most steps and epochs: beyond any run, and small enough for the plan to fit memory.
const COUNT_MAX: u32 = 10_000_000;

/// Most CPU threads.
const THREADS_MAX: u32 = 1024;

/// All settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Config {
    /// What is fine-tuned.
    pub model: Model,
    /// Which layers get an adapter, and how large. Not with `train.method = "full"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// How much, in what portions, on what.
    pub train: Train,
    /// AdamW and its learning rate.
    pub optimizer: Optimizer,
    /// What survives a crash.
    pub checkpoint: Checkpoint,
    /// Held-out data and tasks measured while the run goes on.
    pub evaluation: Evaluation,
    /// What to do when numbers go wrong.
    pub guard: Guard,
    /// Where the results go.
    pub output: Output,
    /// Learn from pairs of a chosen and a rejected conversation; beside `[flywheel]` each of its rounds does so with what it
    /// collected. It may be empty. Default: none, learn from conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference: Option<Preference>,
    /// Rounds of collecting, training and measuring. Default: none, one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flywheel: Option<Flywheel>,
    /// Where conversations come from: at least one `[[data]]` that is not all held out.
    pub data: Vec<DataSource>,
}

/// `[model]`: what is fine-tuned.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Model {
    /// A folder, a `.gguf` file or a hub name. No default.
    pub name: String,
    /// A PEFT folder, or a checkpoint of a run, whose weights the run starts from. What `[lora]` leaves out is then as the
    /// adapter has it; what it says must agree, but for `dropout`. Default: a fresh adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Where the chat template comes from. Default `auto`.
    pub chat_format: ChatFormatChoice,
    /// What the rows of tokens that `chatml` adds start as. Default `mean`.
    pub new_tokens: NewTokens,
}

/// `[lora]`: which layers get an adapter, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Lora {
    /// Inner width `r` of `B A`. Typical 8 to 64; optimizer memory grows linearly. No default, but with `model.adapter`.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`. No default, but with `model.adapter`.
    pub alpha: f64,
    /// Scale by `alpha / sqrt(rank)` instead. Default false.
    pub rslora: bool,
    /// DoRA (Liu et al. 2024), as PEFT's `use_dora`: each row of a changed weight has a trained length. A pass
    /// takes longer, most with `dropout`, and the estimate of a run's time does not count that. Such an adapter is served
    /// merged. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dora: bool,
    /// Probability that a value in front of an adapter's pair is dropped, in training alone, as PEFT's `lora_dropout`:
    /// 0 or more and less than 1. Default 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Projections that get a pair: a list of names (`q_proj`, ...), or `all-linear` for all seven of a block; never the
    /// head. Default all seven.
    pub targets: Vec<Target>,
    /// Layers whose projections get a pair, counted from 0: a list (`[8, 9]`) or a range with both ends (`"8-31"`), PEFT's
    /// `layers_to_transform`. Default all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Ranks of single modules, as PEFT's `rank_pattern`: each key is a regular expression that a module's name
    /// (`model.layers.7.self_attn.q_proj`) or its end behind a dot (`q_proj`) matches as a whole, and the first that does
    /// counts. Default none.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub rank_pattern: Patterns<usize>,
    /// Alphas of single modules, likewise; the update of a module is scaled by its alpha and its rank. Default none.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub alpha_pattern: Patterns<f64>,
    /// The keys that were written.
    #[serde(skip)]
    pub(crate) written: Written,
}

/// `[train]`: how much, in what portions, on what.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Train {
    /// What is trained. Default `lora`.
    #[serde(skip_serializing_if = "is_lora")]
    pub method: Method,
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
    /// Tokens of one conversation, or of both of a pair, at most, no more than `pack_tokens`. Default `pack_tokens`.
    pub sequence_tokens_max: usize,
    /// What becomes of longer ones: `drop` leaves them out, `truncate` cuts them at the end, `error` refuses the run.
    /// Default `drop`.
    pub too_long: TooLong,
    /// `random`, drawn for every epoch and packed by best fit, or `length`, longest first. Default `random`.
    pub sort: Sort,
    /// NEFTune (Jain et al. 2023): uniform noise on the embeddings of a conversation of L tokens within
    /// `alpha / sqrt(L width)`, in training alone. Typical 5. Default 0, none.
    #[serde(skip_serializing_if = "is_zero")]
    pub neftune_alpha: f64,
    /// Order of the data, start of the adapter, dropout and noise. Default 0.
    pub seed: u64,
    /// Where the run computes. Default `cpu`.
    pub device: DeviceChoice,
    /// Numbers of the weights that products read. What is trained is kept in 32 bits besides. Default `bf16`.
    pub dtype: Precision,
    /// What backward computes anew instead of keeping it: less memory for more work, same bits. Default `auto`.
    pub recompute: RecomputeChoice,
    /// CPU threads. Default: all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Folder where encoded data is kept for the next start, `off` for nowhere. Default `checkpoints/cache`.
    pub cache: String,
}

/// `[optimizer]`: AdamW and its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Optimizer {
    /// Peak learning rate. No default; 1e-4 to 1e-3 suits LoRA, 1e-5 to 5e-5 training all weights.
    pub learning_rate: f64,
    /// Decay of the first moment. Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment. Default 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment. Default 1e-8.
    pub eps: f64,
    /// Decoupled weight decay; not of the weights of norms. Default 0.
    pub weight_decay: f64,
    /// LoRA+ (Hayou et al. 2024): the learning rate of every `B`, and of DoRA's lengths, is this many times that of the
    /// rest, which are every `A` and the rows of new tokens. Weight decay stays as it is set. Typical 2 to 16, with a lower
    /// `learning_rate`. Default 1, plain LoRA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_plus_ratio: Option<f64>,
    /// Longest gradient (L2 norm over all parameters). Default 1.
    pub clip_norm: f64,
    /// Shape of the learning rate after the warm-up. Default `cosine`.
    pub schedule: ScheduleShape,
    /// Optimizer steps of linear warm-up; the first has learning rate 0. Default 0. Excludes `warmup_ratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// Warm-up as part of all steps, rounded up. Default: none. Excludes `warmup_steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Learning rate at the end, as part of the peak. Default 0.
    pub min_lr_ratio: f64,
}

/// `[checkpoint]`: what survives a crash.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
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

/// `[guard]`: what to do when numbers go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Guard {
    /// Deviations from which a loss leaps: of its excess over what is usual of its sources, beside that of the newest
    /// 32 steps; 0 for never. Default 6.
    pub spike: f64,
    /// `warn`, `rollback` (the step is not taken) or `stop`. Default `warn`.
    pub on_spike: OnSpike,
    /// `stop` or `rollback`, for a loss or gradient that is not finite. Default `stop`.
    pub on_not_finite: OnNotFinite,
}

/// `[output]`: where the results go.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
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

/// Left out where it is off, so that a checkpoint of before the setting is still of the same run.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_lora(method: &Method) -> bool {
    *method == Method::Lora
}

impl Config {
    /// Reads all tables; faults go to `findings`.
    pub(super) fn read(root: &Node, findings: &Findings) -> Config {
        let mut reader = TableReader::new("", Some(root), findings);
        let mut table = |name| TableReader::new(name, reader.node(name), findings);
        let model = Model::read(table("model"));
        let method = method(root);
        let is_full = method == Some(Method::Full);
        let lora = Lora::read(table("lora"), model.adapter.is_none() && method == Some(Method::Lora));
        let train = Train::read(table("train"));
        let optimizer = Optimizer::read(table("optimizer"));
        let checkpoint = Checkpoint::read(table("checkpoint"));
        let evaluation = Evaluation::read(table("evaluation"));
        let guard = Guard::read(table("guard"));
        let output = Output::read(table("output"));
        let preference = Preference::read(reader.node("preference"), findings);
        let flywheel = Flywheel::read(reader.node("flywheel"), findings);
        let data = sources::read(reader.node("data"), findings);
        if let Some(node) = reader.node("lora").filter(|_| is_full) {
            let what = "stands beside `train.method = \"full\"`, which trains every weight itself".to_owned();
            let hint = "leave `[lora]` out, or set `train.method = \"lora\"`".to_owned();
            findings.fault(Some(&node.origin), "lora", what, Some(hint));
        }
        reader.finish();
        let lora = (!is_full).then_some(lora);
        Config { model, lora, train, optimizer, checkpoint, evaluation, guard, output, preference, flywheel, data }
    }
}

/// `train.method`, which decides what `[lora]` must have and is read behind it; `None` where it is misspelt.
fn method(root: &Node) -> Option<Method> {
    root.get("train").and_then(|train| train.get("method")).map_or(Some(Method::Lora), Method::from_node)
}

impl Model {
    fn read(mut table: TableReader<'_>) -> Model {
        let model = Model {
            name: table.required("name"),
            adapter: table.optional("adapter"),
            chat_format: table.or("chat_format", ChatFormatChoice::Auto),
            new_tokens: table.or("new_tokens", NewTokens::Mean),
        };
        table.finish();
        model
    }
}

impl Lora {
    /// `is_new`: there is no adapter to take from what is left out.
    fn read(mut table: TableReader<'_>, is_new: bool) -> Lora {
        let (ranks, alphas) = (Range::at_least(1), Range::POSITIVE);
        let lora = Lora {
            rank: if is_new { table.within(ranks).required("rank") } else { table.within(ranks).or("rank", 1) },
            alpha: if is_new { table.within(alphas).required("alpha") } else { table.within(alphas).or("alpha", 1.0) },
            rslora: table.or("rslora", false),
            dora: table.or("dora", false),
            dropout: table.within(Range::LESS_THAN_ONE).or("dropout", 0.0),
            targets: table.optional("targets").unwrap_or(Targets(Target::ALL.to_vec())).0,
            layers: table.optional("layers").map(|Layers(layers)| layers),
            rank_pattern: patterns::read(&mut table, "rank_pattern"),
            alpha_pattern: patterns::read(&mut table, "alpha_pattern"),
            written: table.written(),
        };
        table.finish();
        lora
    }
}

impl Train {
    fn read(mut table: TableReader<'_>) -> Train {
        let pack_tokens = table.within(Range::at_least(2)).required("pack_tokens");
        let train = Train {
            method: table.or("method", Method::Lora),
            steps: table.within(Range::to(1, COUNT_MAX)).optional("steps"),
            epochs: table.within(Range::to(1, COUNT_MAX)).optional("epochs"),
            pack_tokens,
            accumulation: table.within(Range::at_least(1)).or("accumulation", 1),
            sequence_tokens_max: table.within(Range::at_least(2)).or_that_of("sequence_tokens_max", pack_tokens),
            too_long: table.or("too_long", TooLong::Drop),
            sort: table.or("sort", Sort::Random),
            neftune_alpha: table.within(Range::NOT_NEGATIVE).or("neftune_alpha", 0.0),
            seed: table.or("seed", 0),
            device: table.or("device", DeviceChoice::Cpu),
            dtype: table.or("dtype", Precision::Bf16),
            recompute: table.or("recompute", RecomputeChoice::Auto),
            threads: table.within(Range::to(1, THREADS_MAX)).optional("threads"),
            cache: table.or("cache", "checkpoints/cache".to_owned()),
        };
        table.finish();
        train
    }
}

impl Optimizer {
    fn read(mut table: TableReader<'_>) -> Optimizer {
        let optimizer = Optimizer {
            learning_rate: table.within(Range::POSITIVE).required("learning_rate"),
            beta1: table.within(Range::LESS_THAN_ONE).or("beta1", 0.9),
            beta2: table.within(Range::LESS_THAN_ONE).or("beta2", 0.999),
            eps: table.within(Range::POSITIVE).or("eps", 1e-8),
            weight_decay: table.within(Range::NOT_NEGATIVE).or("weight_decay", 0.0),
            lora_plus_ratio: table.within(Range::POSITIVE).optional("lora_plus_ratio"),
            clip_norm: table.within(Range::POSITIVE).or("clip_norm", 1.0),
            schedule: table.or("schedule", ScheduleShape::Cosine),
            warmup_steps: table.optional("warmup_steps"),
            warmup_ratio: table.within(Range::LESS_THAN_ONE).optional("warmup_ratio"),
            min_lr_ratio: table.within(Range::PART).or("min_lr_ratio", 0.0),
        };
        table.finish();
        optimizer
    }
}

impl Checkpoint {
    fn read(mut table: TableReader<'_>) -> Checkpoint {
        let checkpoint = Checkpoint {
            every: table.within(Range::at_least(1)).optional("every"),
            keep_last: table.within(Range::at_least(1)).or("keep_last", 2),
            keep_every: table.within(Range::at_least(1)).optional("keep_every"),
        };
        table.finish();
        checkpoint
    }
}

impl Guard {
    fn read(mut table: TableReader<'_>) -> Guard {
        let guard = Guard {
            spike: table.within(Range::NOT_NEGATIVE).or("spike", 6.0),
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
            profile: table.named("profile", &Profile::NAMES, "codeactinstruct"),
            action_format: table.named("action_format", &ActionFormat::NAMES, "code"),
            tensorboard: table.or("tensorboard", true),
        };
        table.finish();
        output
    }
}
