//! What all stages work with: settings, tasks, data, base model, sandbox.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use candle_core::Device;
use codeact_agent::{ActionFormat, Profile};
use codeact_engine::EngineLimits;
use codeact_eval::help::HelpFiles;
use codeact_eval::measure::{self, Contestant, Entrant, Place};
use codeact_eval::{EvalError, SandboxArgs, Suite, Task, limits_on, load_suites};
use codeact_model::serving::{ServingOptions, ServingPlace};
use codeact_model::{ModelConfig, source};
use codeact_sandbox::Policy;

use crate::config::{Config, DataSource, DeviceChoice, Evaluation, FilterTable, Flywheel, Metric, RoundStart};
use crate::error::TrainError;
use crate::flywheel::Figures;
use crate::flywheel::state;
use crate::material::{self, Material};
use crate::overlap::Overlap;
use crate::progress::EncodeProgress;
use crate::requests::Requests;
use crate::start::StartingAdapter;
use codeact_data::{HeldOut, OnBadRow, Role, RowFormat, TooLong, hash};

/// What all stages work with.
pub(super) struct Wheel<'a> {
    pub config: Config,
    pub flywheel: Flywheel,
    pub practice: Vec<Suite>,
    pub held_out: Vec<Suite>,
    pub base_dir: PathBuf,
    pub model: ModelConfig,
    /// For the chat loss.
    pub material: Material,
    /// Stands for the contents of data, base model and starting adapter, by what they are.
    contents: Vec<(String, String)>,
    /// Held-out conversations that are chat.
    pub chat: Vec<usize>,
    pub policy: Policy,
    pub device: Device,
    pub requests: &'a Requests,
    pub say: &'a dyn Fn(&str),
}

impl<'a> Wheel<'a> {
    /// Reads tasks and data, finds the model, and sees whether the sandbox holds.
    pub fn new(
        mut config: Config,
        sandbox: &SandboxArgs,
        requests: &'a Requests,
        say: &'a dyn Fn(&str),
    ) -> Result<Wheel<'a>, TrainError> {
        let flywheel = config.flywheel.clone().expect("the settings have a flywheel");
        let policy = policy(&flywheel, sandbox, say)?;
        let (practice, held_out) = (load_suites(&flywheel.practice)?, load_suites(&flywheel.held_out)?);
        refuse_trained_tasks(&practice, &held_out)?;
        if let Some(metric) = flywheel.metric.as_deref() {
            let mut tasks = held_out.iter().flat_map(|suite| &suite.tasks);
            if !tasks.any(|task| super::figures::is_of(Some(metric), &task.family)) {
                let what = format!("no held-out task is of {metric:?}");
                return Err(setting("flywheel.metric", what, "name a family of `flywheel.held_out`, or its beginning"));
            }
        }
        let sources = material::locate(&config, say)?;
        let base_dir = source::resolve(&config.model.name, say)?;
        let model = ModelConfig::load(&base_dir).map_err(TrainError::Load)?;
        let adapter = StartingAdapter::find(&mut config, &model)?;
        if config.lora.as_ref().is_some_and(|lora| lora.dora) {
            let what =
                "is an adapter of DoRA, which is served merged, and a flywheel serves adapters beside their base";
            let hint = "merge it (`codeact-train merge`) and name the merged folder as `model.name`";
            return Err(setting("model.adapter", what.to_owned(), hint));
        }
        // Of all rounds: an adapter that learned from pairs says that it was trained without.
        config.lora.iter_mut().for_each(|lora| lora.written.note("dropout"));
        let material = Material::new(&config, sources, (&base_dir, Some(&model)), &EncodeProgress::default())?;
        if let Some(overlap) = Overlap::find(held_out.iter().flat_map(|suite| &suite.tasks), &material.data.train) {
            let hint = "take such conversations out of the data, or such tasks out of what is measured";
            return Err(setting("flywheel.held_out", overlap.told(), hint));
        }
        let contents = contents(&base_dir, &material, adapter)?;
        let pattern = glob::Pattern::new(&flywheel.chat).expect("the settings are checked for it");
        let part = &material.data.validation;
        let chat: Vec<usize> =
            (0..part.documents.len()).filter(|index| pattern.matches(&part.entry(*index).1.id)).collect();
        if chat.is_empty() {
            let what = format!("no held-out conversation has an id like {:?}", flywheel.chat);
            return Err(setting("flywheel.chat", what, "name the ids of chat in a `[[data]]` with `held_out`"));
        }
        let device = crate::devices::open(&config, false, None, say)?.unwrap_or(Device::Cpu);
        Ok(Wheel {
            config,
            flywheel,
            practice,
            held_out,
            base_dir,
            model,
            material,
            contents,
            chat,
            policy,
            device,
            requests,
            say,
        })
    }

    /// Where everything is written.
    pub fn dir(&self) -> &Path {
        Path::new(&self.config.output.dir)
    }

    /// Folder of a round.
    pub fn round_dir(&self, number: usize) -> PathBuf {
        self.dir().join(format!("round-{number}"))
    }

    /// File of the pairs that a round collects.
    pub fn pairs(&self, number: usize) -> PathBuf {
        self.round_dir(number).join("collect").join("pairs.jsonl")
    }

    /// What numbers depend on.
    pub fn identity(&self) -> std::collections::BTreeMap<String, String> {
        // Two suites may have one name where one is practised on and the other one is not.
        let digest = |role: &'static str| move |suite: &Suite| (format!("{role}{}", suite.name), suite.digest());
        let (practice, held_out) =
            (self.practice.iter().map(digest(state::PRACTICE)), self.held_out.iter().map(digest(state::MEASURED)));
        state::identity(&self.config, practice.chain(held_out).chain(self.contents.iter().cloned()))
    }

    /// The model with an adapter, found and not loaded.
    pub fn entrant(&self, name: &str, adapter: Option<&Path>) -> Result<Entrant, EvalError> {
        entrant(&self.base_dir, name, adapter)
    }

    /// How models are loaded, and what their engines do at once.
    pub fn serving(&self) -> (ServingOptions, EngineLimits) {
        let place = match self.config.train.device {
            DeviceChoice::Cpu => ServingPlace::Processor,
            DeviceChoice::Cuda => ServingPlace::Card,
        };
        let threads = self.config.train.threads.and_then(NonZeroUsize::new);
        let threads = threads.filter(|_| place == ServingPlace::Processor);
        let limits = EngineLimits { running_max: self.flywheel.parallel, ..limits_on(place) };
        (ServingOptions { place, threads, ..ServingOptions::default() }, limits)
    }

    /// Prompts and actions as the settings have them, for the base model too.
    pub fn wording(&self) -> (Profile, ActionFormat) {
        let output = &self.config.output;
        let profile = Profile::named(&output.profile).expect("the settings are checked for its name");
        (profile, ActionFormat::named(&output.action_format).expect("the settings are checked for its name"))
    }

    /// Settings of the run that makes the first adapter.
    pub fn start_config(&self) -> Config {
        let mut config = self.config.clone();
        (config.flywheel, config.preference) = (None, None);
        config.output.dir = self.dir().join("start").join("train").to_string_lossy().into_owned();
        config
    }

    /// Settings of the run of a round: all data of the settings and what was `collected`.
    pub fn round_config(&self, number: usize, collected: &[PathBuf], best: &Figures) -> Config {
        let mut config = self.start_config();
        config.output.dir = self.round_dir(number).join("train").to_string_lossy().into_owned();
        config.model.adapter = match self.flywheel.train_from {
            RoundStart::Base => None,
            RoundStart::Best => best.adapter.as_ref().map(|adapter| adapter.to_string_lossy().into_owned()),
        };
        config.optimizer.learning_rate = self.flywheel.learning_rate.unwrap_or(config.optimizer.learning_rate);
        config.data.extend(collected.iter().map(|file| source_of(file, RowFormat::Messages, &self.flywheel)));
        config
    }

    /// Settings of the run in which the `adapter` of a round learns from the pairs of that round. It is measured behind
    /// that as every other, and by nothing else.
    pub fn pairs_config(&self, number: usize, adapter: &Path) -> Config {
        let mut config = self.start_config();
        let folder = self.round_dir(number).join("pairs").join("train");
        config.output.dir = folder.to_string_lossy().into_owned();
        config.preference = self.config.preference.clone();
        config.model.adapter = Some(adapter.to_string_lossy().into_owned());
        let of_rounds = self.flywheel.learning_rate.unwrap_or(config.optimizer.learning_rate);
        config.optimizer.learning_rate = self.flywheel.preference_learning_rate.unwrap_or(of_rounds / 10.0);
        // Numbers of steps are meant for runs of conversations.
        config.optimizer.warmup_steps = None;
        (config.train.steps, config.train.epochs) = (None, Some(self.flywheel.preference_epochs.unwrap_or(1)));
        // Of both conversations of a pair.
        config.train.sequence_tokens_max = config.train.pack_tokens;
        (config.train.too_long, config.train.neftune_alpha) = (TooLong::Drop, 0.0);
        if let Some(lora) = &mut config.lora {
            lora.dropout = 0.0;
        }
        config.evaluation = Evaluation {
            every: None,
            tasks: None,
            tasks_every: None,
            task_count: None,
            metric: Metric::Loss,
            samples: 0,
            patience: None,
            export: None,
            ..config.evaluation
        };
        let pairs = source_of(&self.pairs(number), RowFormat::Preference, &self.flywheel);
        config.data = vec![DataSource { repeat: None, on_bad_row: OnBadRow::Skip, ..pairs }];
        config
    }
}

fn entrant(base_dir: &Path, name: &str, adapter: Option<&Path>) -> Result<Entrant, EvalError> {
    let (model, adapter) = (base_dir.to_string_lossy().into_owned(), adapter.map(Path::to_owned));
    let place = Place::Here { model, adapter };
    let contestant = Contestant { name: name.to_owned(), place, help: HelpFiles::default() };
    let mut found = measure::find(&[contestant], &|_| {})?;
    Ok(found.pop().expect("one was asked for"))
}

/// What stands for the contents that numbers depend on. Tokens and masks stand for the data and its chat format.
fn contents(
    base_dir: &Path,
    material: &Material,
    adapter: Option<StartingAdapter>,
) -> Result<Vec<(String, String)>, TrainError> {
    let base_model = entrant(base_dir, "base", None)?.fingerprint;
    let data = &material.data;
    let hashes = [
        (state::DATA, Some(data.content_hash.clone())),
        (state::HELD_OUT_DATA, Some(data.held_out_hash.clone())),
        (state::BASE_MODEL, Some(base_model)),
        (state::STARTING_ADAPTER, adapter.map(|adapter| adapter.content_hash)),
    ];
    Ok(hashes.into_iter().filter_map(|(name, hash)| Some((name.to_owned(), hash?))).collect())
}

/// Everything in a file of collected conversations.
fn source_of(file: &Path, format: RowFormat, flywheel: &Flywheel) -> DataSource {
    DataSource {
        path: Some(file.to_string_lossy().into_owned()),
        hub: None,
        split: None,
        format,
        on_bad_row: OnBadRow::Error,
        roles_to_train: vec![Role::Assistant],
        weight: None,
        repeat: Some(flywheel.repeat),
        max_samples: None,
        held_out: HeldOut::None,
        license: flywheel.licence.clone(),
        filter: FilterTable::default(),
    }
}

/// Interpreter and time are settings, as numbers depend on them; the rest is of the machine.
fn policy(flywheel: &Flywheel, sandbox: &SandboxArgs, say: &dyn Fn(&str)) -> Result<Policy, TrainError> {
    if let [option, ..] = sandbox.also_settings()[..] {
        let key = format!("flywheel.{}", option.trim_start_matches('-').replace('-', "_"));
        return Err(setting(
            &key,
            format!("`{option}` does not count here"),
            "leave the option out and use this setting",
        ));
    }
    let mut policy = Policy { python: PathBuf::from(&flywheel.python), ..sandbox.policy(None) };
    policy.limits.wall_ms_max = flywheel.cell_seconds as u64 * 1000;
    let opened = sandbox.open(policy.clone()).map_err(|error| TrainError::NoSandbox(Box::new(error)))?;
    say(&opened.1.announcement("tasks, their code in the sandbox: "));
    Ok(policy)
}

/// What is measured must not be practised: the same prompt would be.
fn refuse_trained_tasks(practice: &[Suite], held_out: &[Suite]) -> Result<(), TrainError> {
    let prompt = |task: &Task| hash::of_prompt(&task.prompt);
    let prompts: HashSet<[u64; 2]> = practice.iter().flat_map(|suite| &suite.tasks).map(prompt).collect();
    let same = held_out.iter().flat_map(|suite| &suite.tasks).find(|task| prompts.contains(&prompt(task)));
    match same {
        None => Ok(()),
        Some(task) => Err(setting(
            "flywheel.held_out",
            format!("task `{}` is also in `flywheel.practice`, word for word but for case and blanks", task.id),
            "measure with tasks that are never trained",
        )),
    }
}

pub(super) fn setting(key: &str, what: String, hint: &'static str) -> TrainError {
    TrainError::Setting { key: key.to_owned(), what, hint }
}
