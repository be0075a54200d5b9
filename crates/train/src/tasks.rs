//! The agent while it is trained: held-out tasks, solved by the model as it is at the moment, its code in the sandbox.
//!
//! The base weights are served out of the memory they are trained in; of the adapter, which is small, there is a copy for
//! the time of an evaluation. What that takes beside the weights was planned ([`reserved`]), and is given back behind it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use codeact_agent::{ActionFormat, AgentError, AgentOptions, LocalModel, Profile};
use codeact_chat::ChatFormat;
use codeact_data::hash;
use codeact_engine::{Engine, EngineError, EngineLimits, Request, Sampling};
use codeact_eval::{EvalError, Outcome, SandboxArgs, Task, read_tasks, run_task};
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{LiveShape, ServedAdapter, ServedModel, ServingOptions};
use codeact_model::{Adapter, Decoder, MemoryPlan, ModelConfig, Workload};

use crate::checkpoint;
use crate::config::{Config, Evaluation};
use crate::error::TrainError;
use crate::prepare::Prepared;
use crate::samples::Written;
pub use crate::tried::Tried;

/// Tokens of a conversation where the settings do not say more.
const CONTEXT_TOKENS: usize = 4096;

/// The fewest tokens that a served model has pages for.
const POOL_TOKENS_MIN: usize = 256;

/// Prompt tokens that are read at once.
const PROMPT_TOKENS: usize = 256;

/// Tokens of a sample for a held-out conversation.
const SAMPLE_TOKENS: usize = 256;

/// Between two looks for whether the run is to end.
const LOOK: Duration = Duration::from_millis(100);

/// The tasks that the settings name; none where they name none.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub(crate) fn read(evaluation: &Evaluation) -> Result<Arc<[Task]>, TrainError> {
    let Some(path) = &evaluation.tasks else { return Ok(Arc::from([])) };
    let mut tasks = read_tasks(Path::new(path))?;
    tasks.truncate(evaluation.task_count.unwrap_or(usize::MAX));
    Ok(tasks.into())
}

/// Makes sure, before anything is trained, that the code of tasks runs in a sandbox, and says in which.
///
/// # Errors
/// When none holds that is as strong as was asked for, or Python does not start.
pub fn open_sandbox(run: &mut Prepared, arguments: &SandboxArgs, say: &dyn Fn(&str)) -> Result<(), TrainError> {
    run.policy = arguments.policy(None);
    if run.tasks.is_empty() {
        return Ok(());
    }
    let (_, sandbox) = arguments.start(None).map_err(|error| TrainError::NoSandbox(Box::new(error)))?;
    say(&sandbox.announcement(&format!("tasks    {}, their code in the sandbox: ", run.tasks.len())));
    Ok(())
}

/// Tokens of a conversation at most.
pub(crate) fn context_tokens(config: &Config, model: &ModelConfig) -> usize {
    config.evaluation.context_tokens.unwrap_or(CONTEXT_TOKENS).min(model.context_tokens_max)
}

/// What tells these tasks from others, so that what was solved of others is never the best of a run that goes on.
pub(crate) fn identity(tasks: &[Task], config: &Config, model: &ModelConfig) -> Option<(String, String)> {
    let digests: Vec<String> = tasks.iter().map(Task::digest).collect();
    let context = format!("{} tokens", context_tokens(config, model));
    (!tasks.is_empty()).then(|| (checkpoint::TASKS.to_owned(), hash::of_text(&format!("{digests:?}, {context}"))))
}

/// Sequences at once.
fn parallel(config: &Config, task_count: usize) -> usize {
    let count = if task_count > 0 { task_count } else { config.evaluation.samples };
    config.evaluation.parallel.min(count).max(1)
}

fn shape<'a>(config: &Config, workload: &'a Workload) -> LiveShape<'a> {
    let parallel = config.evaluation.parallel;
    // Prompts, and of each sequence a token with its guesses.
    let pass_tokens = PROMPT_TOKENS.max(parallel) + parallel * (1 + EngineLimits::default().draft_tokens_max);
    LiveShape { workload, pass_tokens }
}

/// Pages without which nothing can be evaluated: one whole conversation, and a page for health checks.
fn pages_least(config: &Config, model: &ModelConfig) -> usize {
    context_tokens(config, model).max(POOL_TOKENS_MIN).div_ceil(LiveShape::PAGE_TOKENS) + 1
}

/// Whether the model is asked for anything while it is trained.
pub(crate) fn is_asked(config: &Config) -> bool {
    config.evaluation.tasks.is_some() || config.evaluation.samples > 0
}

/// A plan under which there is room for evaluating, too: that happens between passes, when what they save and work with is
/// not there.
pub(crate) fn reserved(mut plan: MemoryPlan, config: &Config, workload: &Workload) -> MemoryPlan {
    if is_asked(config) {
        let need = shape(config, workload).bytes(pages_least(config, &workload.model));
        plan.working = plan.working.max(need.saturating_sub(plan.saved));
    }
    plan
}

/// Pages for all sequences at once, or as many as the plan of training has room for.
pub(crate) fn pages(plan: &MemoryPlan, config: &Config, workload: &Workload, task_count: usize) -> usize {
    let least = pages_least(config, &workload.model);
    let wanted = parallel(config, task_count) * (least - 1) + 1;
    shape(config, workload).pages_within(plan.saved + plan.working, least, wanted).unwrap_or(least)
}

/// The model as it is at the moment, ready to act. Dropped, it is gone before training goes on.
pub(crate) struct Live {
    engine: Engine,
    /// None where all weights are trained.
    adapter: Option<Arc<ServedAdapter>>,
    format: Arc<ChatFormat>,
    options: AgentOptions,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

impl Live {
    /// # Errors
    /// When the device cannot hold the pages, or an adapter of this kind is not served there.
    pub(crate) fn begin(run: &Prepared, decoder: &Decoder, adapter: Option<&Adapter>) -> Result<Live, TrainError> {
        let (config, shape) = (&run.config, shape(&run.config, &run.workload));
        let page_count = pages(&run.fit.plan, config, &run.workload, run.tasks.len());
        let adapter = adapter.map(|adapter| ServedAdapter::of(adapter, decoder)).transpose();
        let adapter = adapter.map_err(TrainError::Load)?;
        let options = ServingOptions {
            threads: config.train.threads.and_then(NonZeroUsize::new),
            kv_bytes: Some(page_count * shape.page_bytes()),
            ..ServingOptions::default()
        };
        let parallel = config.evaluation.parallel;
        let limits = EngineLimits {
            running_max: parallel,
            waiting_max: parallel + config.evaluation.samples,
            prompt_tokens_per_pass: PROMPT_TOKENS.max(parallel),
            // So that prompts are cut alike however fast the machine is today.
            pass_time_target: None,
            context_tokens_max: Some(context_tokens(config, &run.model)),
            ..EngineLimits::default()
        };
        let engine = if run.workload.is_on_card {
            adapter.as_ref().map_or(Ok(()), CardModel::check_adapter).map_err(TrainError::Load)?;
            Engine::start(CardModel::of_decoder(decoder, &options).map_err(TrainError::Load)?, limits)
        } else {
            Engine::start(ServedModel::of_decoder(decoder, &options).map_err(TrainError::Load)?, limits)
        };
        let engine = engine.map_err(EvalError::from)?;
        let profile = Profile::named(&config.output.profile).expect("the settings are checked for its name");
        let format = ActionFormat::named(&config.output.action_format).expect("the settings are checked for its name");
        let options = AgentOptions { format, ..AgentOptions::new(profile) };
        Ok(Live { engine, adapter: adapter.map(Arc::new), format: Arc::clone(&run.format), options })
    }

    /// Solves all tasks, several at once. `None` when `is_over` said so meanwhile: what is still running is then left to
    /// end by itself, and nobody waits for a cell.
    ///
    /// * `is_over`: asked several times a second.
    ///
    /// # Errors
    /// What `is_over` says; and when the model fails. A session that dies is a task that is not solved.
    pub(crate) fn solve(
        &self,
        run: &Prepared,
        is_over: &mut dyn FnMut() -> Result<bool, TrainError>,
        say: &dyn Fn(&str),
    ) -> Result<Option<(Tried, Vec<Written>)>, TrainError> {
        let outcomes = self.spawn(run);
        let mut done: Vec<Option<Outcome>> = run.tasks.iter().map(|_| None).collect();
        let mut left = done.len();
        while left > 0 {
            match outcomes.recv_timeout(LOOK) {
                Ok((index, Ok(outcome))) => {
                    done[index] = Some(outcome);
                    left -= 1;
                }
                Ok((_, Err(error))) => {
                    let fatal = is_fatal(&error);
                    let error = TrainError::from(error);
                    if fatal && !is_over()? {
                        return Err(error);
                    }
                    say(&format!("warning: not solved, because it could not be run: {}", error.report()));
                    left -= 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let what = "a task was lost: its thread panicked".to_owned();
                    return Err(EvalError::Options(what).into());
                }
            }
            if is_over()? {
                return Ok(None);
            }
        }
        Ok(Some((Tried::of(&run.tasks, &done), written(run, &done))))
    }

    /// Threads that take one task after the other, and what comes of each. They end when nobody listens any more.
    fn spawn(&self, run: &Prepared) -> Receiver<(usize, Result<Outcome, EvalError>)> {
        let (sender, outcomes) = channel();
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..parallel(&run.config, run.tasks.len()) {
            let (tasks, next, sender) = (Arc::clone(&run.tasks), Arc::clone(&next), sender.clone());
            let (engine, adapter, format) = (self.engine.clone(), self.adapter.clone(), Arc::clone(&self.format));
            let (options, policy) = (self.options.clone(), run.policy.clone());
            std::thread::spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { return };
                    let model =
                        LocalModel::new(engine.clone(), adapter.clone(), Arc::clone(&format), Sampling::default());
                    let outcome = run_task(task, Box::new(model), &options, &policy);
                    if sender.send((index, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        outcomes
    }

    /// What the model writes after the prompts of the first held-out conversations. `None` when `is_over` said so.
    ///
    /// # Errors
    /// When a conversation cannot be read any more, or the model fails.
    pub(crate) fn continue_held_out(
        &self,
        run: &Prepared,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Written>>, TrainError> {
        let (part, names) = (&run.data.validation, run.source_names());
        let mut samples = Vec::new();
        for index in 0..part.documents.len().min(run.config.evaluation.samples) {
            let example = part.example(index)?;
            let first = example.is_target.iter().position(|is_target| *is_target).unwrap_or(example.token_ids.len());
            let prompt_ids = example.token_ids[..first].to_vec();
            samples.push((prompt_ids, names[part.documents[index].group].clone()));
        }
        let stop_ids = self.format.end_of_turn_ids().to_vec();
        let sampling = Sampling { max_new_tokens: SAMPLE_TOKENS, stop_ids, ..Sampling::default() };
        let written = codeact_eval::in_order(&samples, run.config.evaluation.parallel, |_, (prompt_ids, source)| {
            let request =
                Request { adapter: self.adapter.clone(), ..Request::new(prompt_ids.clone(), sampling.clone()) };
            let reply = match self.engine.generate(request, &mut |_| !is_over()) {
                Ok(reply) => reply.tokens.iter().map(|token| token.id).collect(),
                // The rest of the conversations is no longer.
                Err(EngineError::PromptTooLong { .. }) => Vec::new(),
                Err(error) => return Some(Err(error)),
            };
            let (prompt, text) = (self.format.decode(prompt_ids, true), self.format.decode(&reply, true));
            (!is_over()).then_some(Ok(Written { prompt, text, source: source.clone() }))
        });
        let written: Option<Result<Vec<Written>, EngineError>> = written.into_iter().collect();
        Ok(written.transpose().map_err(EvalError::from)?)
    }
}

/// Whether it is the model that failed, and every other task would, too.
fn is_fatal(error: &EvalError) -> bool {
    match error {
        EvalError::Agent { source: AgentError::Engine(error), .. } => {
            !matches!(error, EngineError::PromptTooLong { .. })
        }
        EvalError::Engine(_) | EvalError::Model(_) => true,
        _ => false,
    }
}

/// The conversations of the first tasks: everything behind what the user says.
fn written(run: &Prepared, done: &[Option<Outcome>]) -> Vec<Written> {
    let samples = run.tasks.iter().zip(done).take(run.config.evaluation.samples);
    let text = |outcome: &Outcome| {
        let said = outcome.transcript.iter().skip_while(|message| message.role != codeact_chat::Role::User).skip(1);
        said.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n")
    };
    let written = samples.map(|(task, outcome)| Written {
        prompt: task.prompt.clone(),
        text: outcome.as_ref().map(text).unwrap_or_default(),
        source: task.id.clone(),
    });
    written.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use codeact_model::{Rotary, Weights};

    use super::*;

    /// Settings that end with what `[evaluation]` has.
    pub(crate) fn config(more: &str) -> Config {
        let text = format!(
            "[model]\nname = \"m\"\n[lora]\nrank = 8\nalpha = 16\n[train]\npack_tokens = 512\n[optimizer]\n\
             learning_rate = 1e-3\n[output]\ndir = \"o\"\n[[data]]\npath = \"d\"\n[evaluation]\n{more}"
        );
        Config::parse(&text, Path::new("x.toml"), &[]).expect("settings")
    }

    /// SmolLM2-135M.
    pub(crate) fn workload(weights: Weights, is_on_card: bool, config: &Config) -> Workload {
        let model = ModelConfig {
            hidden_size: 576,
            intermediate_size: 1536,
            layer_count: 30,
            head_count: 9,
            kv_head_count: 3,
            head_width: 64,
            vocab_size: 49152,
            context_tokens_max: 8192,
            rms_norm_eps: 1e-5,
            rotary: Rotary { inverse_frequencies: vec![1.0; 32] },
            sliding_window: None,
            tie_word_embeddings: true,
        };
        Workload { model, lora: config.lora_config(), new_token_count: 0, weights, is_on_card }
    }

    #[test]
    fn evaluating_takes_no_more_than_was_planned_for_training() {
        let config = config("tasks = \"t\"\nparallel = 16\n");
        for (weights, is_on_card) in [Weights::F32, Weights::Bf16, Weights::Nf4]
            .into_iter()
            .flat_map(|weights| [(weights, false), (weights, true)])
        {
            let workload = workload(weights, is_on_card, &config);
            let shape = shape(&config, &workload);
            let mut fewest = usize::MAX;
            for token_count in [64, 512, 4096, 65536] {
                let pass = codeact_model::Pass { token_count, target_count: token_count };
                let bare = workload.plan(pass, codeact_model::Recompute::Block);
                let plan = reserved(bare, &config, &workload);
                let pages = pages(&plan, &config, &workload, 100);
                assert!(shape.bytes(pages) <= plan.saved + plan.working, "{weights:?} {is_on_card} {token_count}");
                // One whole conversation at least, and no more than sixteen.
                assert!((257..=16 * 256 + 1).contains(&pages), "{pages} pages");
                assert!(plan.total() >= bare.total() && plan.saved == bare.saved);
                fewest = fewest.min(pages);
            }
            assert_eq!(fewest, 257, "a small run leaves no more room than it must");
        }
    }

    #[test]
    fn weights_that_are_all_trained_are_served_without_a_copy() {
        let config = config("tasks = \"t\"\n");
        for is_on_card in [false, true] {
            let workload = Workload { lora: None, ..workload(Weights::F32, is_on_card, &config) };
            let shape = shape(&config, &workload);
            let bytes = shape.bytes(1) - shape.page_bytes();
            let copies = 2 * workload.parameter_count() * size_of::<f32>();
            assert!(bytes < copies, "{bytes} bytes, and {copies} would be two copies");
        }
    }

    #[test]
    fn a_run_that_asks_the_model_for_nothing_has_the_plan_of_before() {
        let config = config("every = 5\n");
        let workload = workload(Weights::F32, false, &config);
        let pass = codeact_model::Pass { token_count: 64, target_count: 32 };
        let plan = workload.plan(pass, codeact_model::Recompute::None);
        assert_eq!(reserved(plan, &config, &workload), plan);
    }

    #[test]
    fn a_task_that_could_not_be_run_is_not_solved_and_counts_in_its_family() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let lines = [("a", "f"), ("b", "f"), ("c", "g")]
            .map(|(id, family)| format!("{{\"id\":\"{id}\",\"family\":\"{family}\",\"prompt\":\"p\",\"answer\":1}}\n"));
        std::fs::write(file.path(), lines.concat()).expect("a file");
        let tasks = read_tasks(file.path()).expect("tasks");
        let tried = Tried::of(&tasks, &[None, None, None]);
        assert_eq!((tried.solved, tried.tasks), (0, 3));
        assert_eq!(tried.by_family, BTreeMap::from([("f".to_owned(), (0, 2)), ("g".to_owned(), (0, 1))]));
    }
}
