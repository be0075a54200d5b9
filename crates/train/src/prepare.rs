//! Everything that can be known, checked and refused before the first step, without writing anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use codeact_chat::ChatFormat;
use codeact_data::{DataSet, Document, Plan, Watch};
use codeact_eval::Task;
use codeact_model::{
    LoraConfig, MemoryPlan, ModelConfig, NewRows, Noise, Pass, Weights, Workload, safetensors_files, source,
};
use codeact_sandbox::Policy;

use crate::checkpoint::{self, Identity};
use crate::config::{Config, DeviceChoice, Exported, Lora, NewTokens, Precision};
use crate::describe;
use crate::error::TrainError;
use crate::material::{self, Material, plan_settings};
use crate::memory::{self, Fit};
use crate::overlap;
use crate::schedule::Schedule;
use crate::start::StartingAdapter;
use crate::tasks;
use codeact_data::hash;

/// Fewer are no conversation; the settings refuse them.
const CONTEXT_TOKENS_MIN: usize = 256;

/// A run that is ready to start.
#[derive(Debug)]
pub struct Prepared {
    /// The settings.
    pub config: Config,
    /// Folder of the base model.
    pub base_dir: PathBuf,
    /// Shape of the base model.
    pub model: ModelConfig,
    /// Tokenizer and template.
    pub format: Arc<ChatFormat>,
    /// Tokens and masks.
    pub data: DataSet,
    /// What is learned when.
    pub plan: Plan,
    /// Learning rates.
    pub schedule: Schedule,
    /// Where it computes; `None` for a plan alone, of a card that is not here.
    pub device: Option<Device>,
    /// What is trained.
    pub workload: Workload,
    /// How it uses its memory.
    pub fit: Fit,
    /// Tokens that the chat format adds to the model's vocabulary; their rows are trained.
    pub new_token_count: usize,
    /// What it starts from, if not from a fresh adapter.
    pub starting_adapter: Option<StartingAdapter>,
    /// What a checkpoint has to agree with.
    pub identity: Identity,
    /// What the agent is to solve while it is trained.
    pub tasks: Arc<[Task]>,
    /// What the code of these tasks runs under.
    pub policy: Policy,
}

impl Prepared {
    /// Reads the data, finds the model, renders, plans and estimates. `say` gets lines for the user, `watch` hears of the
    /// encoding of data.
    ///
    /// * `device`: where the settings want to compute, if it is here.
    ///
    /// # Errors
    /// Every fault of settings and input, before anything is written into `output.dir`.
    pub fn new(
        mut config: Config,
        device: Option<Device>,
        say: &dyn Fn(&str),
        watch: &dyn Watch,
    ) -> Result<Prepared, TrainError> {
        // Paths first, so that nobody waits for a model to hear of a misspelt one.
        let sources = material::locate(&config, say)?;
        let base_dir = source::resolve(&config.model.name, say)?;
        let model = ModelConfig::load(&base_dir).map_err(TrainError::Load)?;
        let starting_adapter = StartingAdapter::find(&mut config, &model)?;
        let Material { format, data, .. } = Material::new(&config, sources, (&base_dir, Some(&model)), watch)?;
        check_held_out(&config, &data)?;
        let tasks = tasks::read(&config.evaluation)?;
        overlap::warn(&tasks, &data.train, say);
        let lora = config.lora_config();
        if let Some((lora, settings)) = lora.as_ref().zip(config.lora.as_ref()) {
            let is_own = ["rank_pattern", "alpha_pattern"].iter().any(|key| settings.written.has(key));
            check_lora(lora, &model, is_own)?;
            check_dora(&config, lora)?;
        }
        let new_token_count = material::new_token_count(&model, &format);
        starting_adapter.as_ref().map_or(Ok(()), |adapter| adapter.check_tokens(new_token_count))?;
        let plan = Plan::new(&data.train.documents, &data.train.shares, &plan_settings(&config));
        let schedule = Schedule::new(&config.optimizer, plan.steps.len());
        let workload = Workload {
            model: model.clone(),
            lora,
            new_token_count,
            weights: config.weights(),
            is_on_card: config.train.device == DeviceChoice::Cuda,
        };
        let budget = device.as_ref().map_or(Ok(None), memory::budget).map_err(TrainError::Device)?;
        let fit = fit(&config, &workload, (&plan, &data), budget)?;
        let plan_hash = plan.hash(&data.content_hash);
        let mut identity = checkpoint::identity(&config, &plan_hash, &data.held_out_hash, &model_hash(&base_dir)?);
        if let Some(adapter) = &starting_adapter {
            identity.insert(checkpoint::STARTING_ADAPTER.to_owned(), adapter.content_hash.clone());
        }
        identity.extend(tasks::identity(&tasks, &config, &model));
        Ok(Prepared {
            config,
            base_dir,
            model,
            format: Arc::new(format),
            data,
            plan,
            schedule,
            device,
            workload,
            fit,
            new_token_count,
            starting_adapter,
            identity,
            tasks,
            policy: Policy::default(),
        })
    }

    /// Folder of the run.
    pub fn dir(&self) -> &Path {
        Path::new(&self.config.output.dir)
    }

    /// A name for each `[[data]]`, no two alike.
    pub fn source_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for source in &self.config.data {
            let name = source.name();
            let numbered = (2..).map(|number| format!("{name} ({number})"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
            names.extend(free);
        }
        names
    }
}

impl Config {
    /// How the weights are kept that products read.
    pub fn weights(&self) -> Weights {
        match self.train.dtype {
            Precision::Nf4 => Weights::Nf4,
            Precision::Bf16 => Weights::Bf16,
            Precision::F32 => Weights::F32,
        }
    }

    /// Of which step the results are.
    pub fn exported(&self) -> Exported {
        let default = if self.evaluation.best_every().is_some() { Exported::Best } else { Exported::Last };
        self.evaluation.export.unwrap_or(default)
    }

    /// What the rows of new tokens start as.
    pub fn new_rows(&self) -> NewRows {
        match self.model.new_tokens {
            NewTokens::Mean => NewRows::Mean,
            NewTokens::Copy => NewRows::CopyOfLast,
        }
    }

    /// The adapter as the model takes it; `None` where all weights are trained.
    pub fn lora_config(&self) -> Option<LoraConfig> {
        self.lora.as_ref().map(Lora::model_config)
    }

    /// The random numbers of documents of these names in a step, counted from 1; none where nothing draws any.
    pub fn noise(&self, step: usize, documents: Vec<u32>) -> Option<Noise> {
        let (seed, neftune_alpha) = (self.train.seed, self.train.neftune_alpha);
        let noise = Noise { seed, step: step as u64, documents, neftune_alpha };
        let drops = self.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
        (neftune_alpha > 0.0 || drops).then_some(noise)
    }
}

impl Lora {
    /// The adapter as the model takes it.
    pub(crate) fn model_config(&self) -> LoraConfig {
        LoraConfig {
            rank: self.rank,
            alpha: self.alpha,
            rslora: self.rslora,
            dora: self.dora,
            targets: self.targets.clone(),
            layers: self.layers.clone(),
            rank_pattern: self.rank_pattern.entries().to_vec(),
            alpha_pattern: self.alpha_pattern.entries().to_vec(),
            dropout: self.dropout,
        }
    }
}

/// Refuses to measure what is not there.
fn check_held_out(config: &Config, data: &DataSet) -> Result<(), TrainError> {
    let evaluation = &config.evaluation;
    let has_tasks = evaluation.tasks.is_some();
    // What `every` says may be meant for tasks alone.
    let keys = [("evaluation.every", evaluation.every.is_some()), ("evaluation.samples", evaluation.samples > 0)];
    match keys.into_iter().find(|(_, is_set)| *is_set && !has_tasks && data.validation.documents.is_empty()) {
        Some((key, _)) => Err(TrainError::NothingHeldOut { key }),
        None => Ok(()),
    }
}

/// Refuses to ask a model that is not served as it is trained.
fn check_dora(config: &Config, lora: &LoraConfig) -> Result<(), TrainError> {
    if !lora.dora || config.train.device != DeviceChoice::Cuda || !tasks::is_asked(config) {
        return Ok(());
    }
    let is_own = config.lora.as_ref().is_some_and(|lora| lora.written.has("dora"));
    Err(TrainError::Setting {
        key: if is_own { "lora.dora" } else { "model.adapter" }.to_owned(),
        what: "leads to an adapter of DoRA, which a card does not serve beside its base, as `evaluation.tasks` and \
               `evaluation.samples` need it"
            .to_owned(),
        hint: "leave these out and measure what is merged, or train with `train.device = \"cpu\"`",
    })
}

/// Refuses layers that the model does not have, and patterns that change nothing.
///
/// * `is_own`: whether patterns are of the settings, not of an adapter that the run starts from.
fn check_lora(lora: &LoraConfig, model: &ModelConfig, is_own: bool) -> Result<(), TrainError> {
    let count = model.layer_count;
    if let Some(layer) = lora.layers.iter().flatten().find(|layer| **layer >= count) {
        return Err(TrainError::Setting {
            key: "lora.layers".to_owned(),
            what: format!("names layer {layer} of a model with {count}"),
            hint: "layers are counted from 0",
        });
    }
    let Some(pattern) = lora.idle_patterns(model.layer_count).into_iter().next().filter(|_| is_own) else {
        return Ok(());
    };
    Err(TrainError::Setting {
        key: "lora.rank_pattern` and `lora.alpha_pattern".to_owned(),
        what: format!(
            "the pattern {:?} says nothing: no module of `lora.targets` in {} layers matches, or an earlier pattern does",
            pattern.text(),
            model.layer_count
        ),
        hint: "modules are named `model.layers.0.self_attn.q_proj`; a pattern matches the whole name or its end behind \
               a dot",
    })
}

/// The way to use memory, or a refusal with the ways out.
fn fit(
    config: &Config,
    workload: &Workload,
    (plan, data): (&Plan, &DataSet),
    budget: Option<usize>,
) -> Result<Fit, TrainError> {
    let documents: &[Document] = &data.train.documents;
    let planner = workload.planner();
    let worst = |pass_tokens, level| {
        let passes = plan.passes(documents, pass_tokens);
        let passes = passes.map(|pack| Pass { token_count: pack.token_count, target_count: pack.target_count });
        let plans = passes.map(|pass| compared(planner.plan(pass, level), config));
        tasks::reserved(plans.max_by_key(|plan| plan.total()).expect("a plan has a pack"), config, workload)
    };
    let all = documents.iter().chain(&data.validation.documents);
    let longest = all.map(|document| document.token_count).max().unwrap_or(0);
    let sizes = (plan.pack_tokens_max().max(longest), longest);
    memory::choose(config.train.recompute, budget, sizes, worst).map_err(|least| {
        let (budget, plan) = (budget.unwrap_or(0), least.plan);
        let fixed = match &workload.lora {
            Some(_) => String::new(),
            None => format!(
                ", {} of it for {} trained weights with their gradients and moments",
                describe::bytes(plan.weights + plan.adapter + plan.optimizer),
                workload.parameter_count()
            ),
        };
        let reserved = |plan, workload: &Workload| tasks::reserved(compared(plan, config), config, workload);
        let choice = config.train.recompute;
        let leaner = memory::leaner(choice, workload, longest, budget, &reserved);
        let shorter = shorter_tries(config, workload, longest, budget);
        let others = memory::remedies(workload, longest, memory::leanest(choice), budget, &reserved);
        let ways = leaner.into_iter().chain(shorter).chain(others);
        TrainError::DoesNotFit { need: plan.total(), fixed, budget, ways: ways.take(memory::WAYS_MAX).collect() }
    })
}

/// A plan under which there is room for the adapter that pairs are compared with: before the first step, when no pass
/// has saved anything.
fn compared(plan: MemoryPlan, config: &Config) -> MemoryPlan {
    match config.pairs() {
        Some(_) => MemoryPlan { saved: plan.saved.max(plan.adapter), ..plan },
        None => plan,
    }
}

/// Shorter conversations for the model to be tried in, where that is what makes a run fit.
///
/// * `longest`: tokens of the smallest pass there can be.
fn shorter_tries(config: &Config, workload: &Workload, longest: usize, budget: usize) -> Option<String> {
    let pass = Pass { token_count: longest, target_count: longest };
    let plan = compared(workload.plan(pass, memory::leanest(config.train.recompute)), config);
    let need = |length: usize| {
        let mut config = config.clone();
        config.evaluation.context_tokens = Some(length);
        tasks::reserved(plan, &config, workload).total()
    };
    let now = tasks::context_tokens(config, &workload.model);
    let shorter = std::iter::successors(Some(now / 2), |length| Some(length / 2));
    let lengths = shorter.take_while(|length| *length >= CONTEXT_TOKENS_MIN).map(|length| (length, need(length)));
    let (length, need) = lengths.filter(|_| need(now) > budget).find(|(_, need)| *need <= budget)?;
    Some(format!("evaluation.context_tokens = {length} (about {})", describe::bytes(need)))
}

/// Stands for the base weights in a checkpoint: the config's content, and the weight files' names and sizes. Reading
/// all weights for a hash would cost more than the check is worth.
pub(crate) fn model_hash(dir: &Path) -> Result<String, TrainError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Load(codeact_model::ModelError::Io { path, source })
    };
    let config = dir.join("config.json");
    let mut parts = vec![hash::of_file(&config).map_err(io(&config))?];
    for path in safetensors_files(dir).map_err(TrainError::Load)? {
        let bytes = std::fs::metadata(&path).map_err(io(&path))?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parts.push(format!("{name} {bytes}"));
    }
    parts[1..].sort();
    Ok(hash::of_text(&parts.join("\n")))
}

#[cfg(test)]
mod tests {
    use codeact_model::Recompute;

    use super::*;
    use crate::config::RecomputeChoice;
    use crate::tasks::tests::{config, workload};

    #[test]
    fn the_adapter_that_pairs_are_compared_with_has_room() {
        let pairs = config("[preference]\n");
        let workload = workload(Weights::Bf16, false, &pairs);
        let plan = |token_count| workload.plan(Pass { token_count, target_count: token_count }, Recompute::Block);
        let (short, long) = (plan(1), plan(4096));
        assert!(short.saved < short.adapter && short.adapter < long.saved);
        assert_eq!(compared(short, &pairs), MemoryPlan { saved: short.adapter, ..short });
        assert_eq!((compared(long, &pairs), compared(short, &config(""))), (long, short));
    }

    #[test]
    fn shorter_conversations_are_a_way_where_they_are_what_does_not_fit() {
        let tried = config("tasks = \"t\"\n");
        let workload = workload(Weights::Bf16, false, &tried);
        let total = |config: &Config| {
            let plan = workload.plan(Pass { token_count: 64, target_count: 64 }, Recompute::Block);
            tasks::reserved(plan, config, &workload).total()
        };
        let (all, none) = (total(&tried), total(&config("every = 5\n")));
        assert!(all > none);
        assert_eq!(shorter_tries(&tried, &workload, 64, all), None, "it fits");
        let way = shorter_tries(&tried, &workload, 64, all - 1).expect("half of them takes less");
        assert!(way.starts_with("evaluation.context_tokens = 2048 (about "), "{way}");
        assert_eq!(shorter_tries(&tried, &workload, 64, none / 2), None, "training itself does not fit");
        assert_eq!(shorter_tries(&config("every = 5\n"), &workload, 64, none - 1), None, "nothing is tried");
        // Where nothing may be computed again, what a pass keeps is what does not fit: shorter tries do not help.
        let short = config("tasks = \"t\"\ncontext_tokens = 2048\n");
        let needs = |config: &Config, level, token_count| {
            let plan = workload.plan(Pass { token_count, target_count: token_count }, level);
            tasks::reserved(plan, config, &workload).total()
        };
        let is_case = |tokens: &usize| {
            let of_blocks = needs(&tried, Recompute::Block, *tokens);
            needs(&short, Recompute::Block, *tokens) < of_blocks && of_blocks < needs(&tried, Recompute::None, *tokens)
        };
        let tokens =
            (1..128usize).map(|count| 64 * count).find(is_case).expect("a pass that keeps more than a try takes");
        let budget = needs(&short, Recompute::Block, tokens);
        assert!(shorter_tries(&tried, &workload, tokens, budget).is_some());
        let mut kept = tried;
        kept.train.recompute = RecomputeChoice::None;
        assert_eq!(shorter_tries(&kept, &workload, tokens, budget), None);
    }
}
