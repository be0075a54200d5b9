//! Why a run cannot start or go on.

mod report; // how it is told

use std::path::PathBuf;

use codeact_chat::FormatError;
use codeact_data::DataError;
use codeact_model::ModelError;
use codeact_model::source::SourceError;

use crate::config::ConfigError;
use crate::describe::bytes;
use crate::ranks::RankError;
use report::{foreign, hint, hint_for};

/// Errors of the trainer.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Tasks cannot be read, or what is to solve them cannot be asked.
    #[error(transparent)]
    Eval(Box<codeact_eval::EvalError>),
    /// A setting does not fit the model or what else it is used with.
    #[error("`{key}`: {what}\nhint: {hint}")]
    Setting {
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
        /// The way out.
        hint: &'static str,
    },
    /// Not even the leanest way fits into memory.
    #[error("the run needs {}{fixed}, and {} can be used\n{}", bytes(*need), bytes(*budget), hint(ways))]
    DoesNotFit {
        /// Bytes of the leanest way.
        need: usize,
        /// What no shorter pass makes smaller, where that is most of it; empty elsewhere.
        fixed: String,
        /// Bytes that may be planned with.
        budget: usize,
        /// Settings that fit.
        ways: Vec<String>,
    },
    /// The settings ask for a GPU, and there is none that can be used.
    #[error(transparent)]
    Device(candle_core::Error),
    /// The threads of the settings cannot be had.
    #[error("cannot start {count} threads\nhint: lower `train.threads`, or leave it out for all cores")]
    Threads {
        /// `train.threads`.
        count: usize,
        /// What the thread pool said.
        source: rayon::ThreadPoolBuildError,
    },
    /// A folder or file without a manifest that fits.
    #[error(
        "`{path}`: {what}\nhint: give a folder or GGUF file that this program exported; `merge` and `gguf` make them anew"
    )]
    NotExport {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Data is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A conversation is longer than the model was made for.
    #[error(
        "a conversation has {token_count} tokens, but `{model}` was made for at most {max}\n\
         hint: set `train.sequence_tokens_max={max}`"
    )]
    BeyondContext {
        /// Tokens of the longest conversation.
        token_count: usize,
        /// The model's bound.
        max: usize,
        /// The model.
        model: String,
    },
    /// The tokenizer has more tokens than the model.
    #[error(
        "the tokenizer of `{model}` has {token_count} tokens, but its embedding only {row_count} rows\n\
         hint: the extra tokens would have no meaning; use the tokenizer that belongs to the model"
    )]
    VocabularyTooLarge {
        /// The model.
        model: String,
        /// Tokens of the tokenizer.
        token_count: usize,
        /// Rows of the embedding.
        row_count: usize,
    },
    /// A token of the added chat format would not be trained.
    #[error(
        "`model.chat_format` is \"chatml\", but its token `{token}` would get id {id} of `{model}`, one of the {row_count} \
         embedding rows that stay frozen: the model has more rows than its tokenizer has tokens\n\
         hint: take a model whose tokenizer has the ChatML tokens, or cut the embedding to the tokens of the tokenizer"
    )]
    FrozenToken {
        /// The model.
        model: String,
        /// `<|im_start|>` or `<|im_end|>`.
        token: &'static str,
        /// Where the tokenizer would put it.
        id: u32,
        /// Rows of the embedding.
        row_count: usize,
    },
    /// The model cannot be found or fetched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model's chat format cannot be used.
    #[error(transparent)]
    Format(FormatError),
    /// The model folder or the adapter of a checkpoint cannot be used.
    #[error(transparent)]
    Load(ModelError),
    /// Another run writes into the run folder.
    #[error("`{dir}` is in use by another run\nhint: wait for its end or stop it, or choose another `output.dir`")]
    FolderInUse {
        /// `output.dir`.
        dir: PathBuf,
    },
    /// The run folder is not empty.
    #[error(
        "`{dir}` holds an earlier run\nhint: continue it with `--resume`, replace it with `--set output.overwrite=true`, \
         or choose another `output.dir`"
    )]
    FolderTaken {
        /// `output.dir`.
        dir: PathBuf,
    },
    /// The run folder is to be continued and holds results, but nothing to continue from.
    #[error(
        "`{dir}` holds the results of an earlier run, but no checkpoint to continue\n\
         hint: replace it with `--set output.overwrite=true`, or choose another `output.dir`"
    )]
    NothingToResume {
        /// `output.dir`.
        dir: PathBuf,
    },
    /// The run folder is no folder.
    #[error("`output.dir` is `{dir}`, which is or goes through a file\nhint: choose another `output.dir`")]
    NotAFolder {
        /// `output.dir`.
        dir: PathBuf,
    },
    /// The run folder holds what no run wrote.
    #[error("`{dir}` holds `{entry}`, which no run wrote\nhint: choose another `output.dir`")]
    FolderForeign {
        /// `output.dir`.
        dir: PathBuf,
        /// One of its entries.
        entry: String,
    },
    /// The checkpoint belongs to another run.
    #[error(
        "`{checkpoint}` is of another run: {}\nhint: use the settings of that run ({checkpoint}/config.toml), or another `output.dir`",
        .differences.join("; ")
    )]
    OtherRun {
        /// The checkpoint folder.
        checkpoint: String,
        /// What differs, one sentence each.
        differences: Vec<String>,
    },
    /// A checkpoint is damaged.
    #[error("checkpoint `{path}`: {what}\nhint: remove this folder to continue from the one before")]
    BadCheckpoint {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no run to report about.
    #[error("`{dir}` holds no run\nhint: name the folder that `output.dir` named, with metrics.jsonl in it")]
    NoRun {
        /// The folder.
        dir: PathBuf,
    },
    /// A page cannot hold so many.
    #[error("{count} runs, but a page can tell at most {max} apart")]
    TooManyRuns {
        /// Runs asked for.
        count: usize,
        /// Most of them.
        max: usize,
    },
    /// The record of an earlier run cannot be read.
    #[error("cannot read `{path}`\nhint: move it away to continue without it")]
    ReadBack {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A result cannot be written.
    #[error("cannot write `{path}`{}", hint_for(.source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A result cannot be made.
    #[error("cannot export to `{path}`")]
    Export {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// An export computes something else than the model it was made of.
    #[error(
        "`{path}` was written, but computes something else than the model it was made of: read again, its logits are off by \
         {found} of the largest one, allowed is {bound:.0e}\n\
         hint: do not use it; its manifest has the figures. A base with very large weights may need one in f32"
    )]
    Differs {
        /// The folder or file.
        path: PathBuf,
        /// The difference of logits, of the largest one.
        found: String,
        /// The largest that is allowed.
        bound: f64,
    },
    /// An export cannot be held against the model it was made of.
    #[error(
        "`{path}` was written, and could not be read again to be compared with the model it was made of\n\
         hint: `--resume` makes it once more from the last checkpoint"
    )]
    NotRead {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// The tokenizer in a GGUF file gives other ids.
    #[error(
        "`{path}` was not written: read again, its tokenizer gives other tokens for {what}\n\
         hint: GGUF files have no way to describe this tokenizer; use the safetensors folder"
    )]
    TokensDiffer {
        /// The file.
        path: PathBuf,
        /// The text.
        what: String,
    },
    /// An export would replace an earlier one.
    #[error("`{path}` is there already\nhint: replace it with `--overwrite`, or choose another `--out`")]
    TargetTaken {
        /// `--out`.
        path: PathBuf,
    },
    /// An export would replace something else.
    #[error("`{path}` {}\nhint: choose another `--out`", foreign(.entry.as_deref()))]
    TargetForeign {
        /// `--out`.
        path: PathBuf,
        /// What it holds; `None` when it is itself of another kind.
        entry: Option<String>,
    },
    /// An export would replace what it is made of.
    #[error("`{path}` holds `{input}`, which this export is made of\nhint: choose another `--out`")]
    TargetIsInput {
        /// `--out`.
        path: PathBuf,
        /// What would be overwritten.
        input: PathBuf,
    },
    /// The name of a GGUF file.
    #[error("`{path}` does not end with `.gguf`, by which such files are recognised\nhint: choose another `--out`")]
    NotGgufName {
        /// `--out`.
        path: PathBuf,
    },
    /// The adapter does not say what it belongs to.
    #[error("`{adapter}/adapter_config.json` names no base model\nhint: name it with `--base`")]
    NoBase {
        /// The adapter.
        adapter: PathBuf,
    },
    /// Loss or gradient is not a number.
    #[error(
        "step {step}: the {what} is {value}; {documents}; nothing of this step was kept, {kept}\n\
         hint: lower `optimizer.learning_rate`, look at these conversations with `codeact-train preview --index N`, or go \
         on without such steps: `--resume --set guard.on_not_finite=rollback`"
    )]
    NotFinite {
        /// Step counted from 1.
        step: usize,
        /// `loss`, `gradient norm` or `held-out loss`.
        what: &'static str,
        /// NaN or infinity.
        value: f64,
        /// Where in the step, as a phrase.
        documents: String,
        /// The checkpoint to continue from, as a phrase.
        kept: String,
    },
    /// The loss leaps, and the settings say to stop then.
    #[error(
        "step {step}: {what}; nothing of this step was kept, {kept}\n\
         hint: lower `optimizer.learning_rate`, look at these conversations with `codeact-train preview --index N`, or go \
         on without such steps: `--resume --set guard.on_spike=rollback`"
    )]
    Spike {
        /// Step counted from 1.
        step: usize,
        /// What the loss did, and where.
        what: String,
        /// The checkpoint to continue from, as a phrase.
        kept: String,
    },
    /// Steps are taken back and it does not help.
    #[error(
        "step {step}: {count} steps in a row had to be taken back; the last one: {what}; {kept}\n\
         hint: lower `optimizer.learning_rate`, and look at the data of these steps"
    )]
    TakenBackTooOften {
        /// Step counted from 1.
        step: usize,
        /// How many.
        count: usize,
        /// Why the last one was.
        what: String,
        /// The checkpoint to continue from, as a phrase.
        kept: String,
    },
    /// What a flywheel compares is no number.
    #[error(
        "the chat loss of {name} is {value}, and nothing can be held against that\n\
         hint: look at its adapter and at the conversations of `flywheel.chat`; a lower learning rate is another flywheel, \
         in another `output.dir`"
    )]
    ChatLoss {
        /// What was measured.
        name: String,
        /// NaN or infinity.
        value: f64,
    },
    /// A part of what is trained does not learn.
    #[error(
        "after the first step the gradient of `{module}` is zero, so that it cannot learn\n\
         hint: look at the weights of the base model there; with LoRA `lora.targets` can leave it out"
    )]
    NotReached {
        /// Name of the matrix.
        module: String,
    },
    /// Held-out data is to be measured, and there is none.
    #[error(
        "`{key}` is set, but no data is held out\n\
         hint: set `held_out = 50` in a `[[data]]`, or `held_out = true` in one that is only measured"
    )]
    NothingHeldOut {
        /// The setting.
        key: &'static str,
    },
    /// There are tasks, and nowhere to run their code.
    #[error(
        "`evaluation.tasks` is set, and the code that a model writes for tasks runs in a sandbox alone, which cannot be had \
         here\nhint: leave `evaluation.tasks` out to train without"
    )]
    NoSandbox(#[source] Box<codeact_sandbox::SandboxError>),
    /// The disk is too small for what the run will write.
    #[error(
        "the run will write about {} into `{dir}`, and {} are free there\n\
         hint: lower `checkpoint.keep_last` or raise `checkpoint.keep_every`, or choose another `output.dir`",
        bytes(*need), bytes(*free)
    )]
    DiskTooSmall {
        /// `output.dir`.
        dir: PathBuf,
        /// Bytes.
        need: usize,
        /// Bytes.
        free: usize,
    },
    /// The ranks of the run cannot begin or go on together.
    #[error(transparent)]
    Ranks(#[from] RankError),
    /// The system does not let the program listen to signals.
    #[error("cannot listen to signals")]
    Signals(#[source] std::io::Error),
    /// An operation failed in the middle of a run.
    #[error("step {step} failed")]
    Step {
        /// Step counted from 1; 0 while held-out data is measured.
        step: usize,
        /// Why.
        source: ModelError,
    },
}
