//! The `[evaluation]` table.

use documented::DocumentedFields;
use serde::Serialize;

use super::choices::{Exported, Metric};
use super::range::Range;
use super::reader::TableReader;

/// Most tasks at once, each with a Python of its own.
const PARALLEL_MAX: u32 = 256;

/// Most sample generations.
const SAMPLES_MAX: u32 = 1000;

/// `[evaluation]`: held-out data and tasks measured while the run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Evaluation {
    /// Optimizer steps between measures; the checkpoint of the best one stays. Default: before and after training only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// Tasks that are not trained on, as `codeact-eval` takes them, which the model as it is then solves by running code in
    /// the sandbox. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<String>,
    /// Optimizer steps between such evaluations. Default that of `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_every: Option<usize>,
    /// The first so many tasks only. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_count: Option<usize>,
    /// Tasks that are solved at once. Default 8.
    pub parallel: usize,
    /// Tokens of a conversation while a task is solved, prompt and replies together: memory for one such is planned. Default
    /// 4096, or what the model was made for where that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<usize>,
    /// By what a step is better than another, for `patience`, `export` and the checkpoint that stays. Default `loss`.
    pub metric: Metric,
    /// What the model writes for so many prompts goes to `samples.jsonl` with each measure: the first of the tasks, or
    /// without tasks those of held-out conversations. Default 0.
    pub samples: usize,
    /// Measures in a row without a better one after which the run ends. Default: it takes all steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Of which step the results are, `last` or `best`. Default `best` with `every`, and `last` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Exported>,
}

impl Metric {
    /// What a run that ends early has not had, in words.
    pub fn no_progress(self) -> &'static str {
        match self {
            Metric::Loss => "no better held-out loss",
            Metric::Success => "no more tasks solved",
        }
    }
}

impl Evaluation {
    pub(super) fn read(mut table: TableReader<'_>) -> Evaluation {
        let evaluation = Evaluation {
            every: table.within(Range::at_least(1)).optional("every"),
            tasks: table.optional("tasks"),
            tasks_every: table.within(Range::at_least(1)).optional("tasks_every"),
            task_count: table.within(Range::at_least(1)).optional("task_count"),
            parallel: table.within(Range::to(1, PARALLEL_MAX)).or("parallel", 8),
            context_tokens: table.within(Range::at_least(256)).optional("context_tokens"),
            metric: table.or("metric", Metric::Loss),
            samples: table.within(Range::to(0, SAMPLES_MAX)).or("samples", 0),
            patience: table.within(Range::at_least(1)).optional("patience"),
            export: table.optional("export"),
        };
        table.finish();
        evaluation
    }

    /// Steps between evaluations of tasks, where there are any.
    pub fn tasks_every(&self) -> Option<usize> {
        self.tasks.as_ref().and(self.tasks_every.or(self.every))
    }

    /// Steps between the measures that say which step is the best.
    pub fn best_every(&self) -> Option<usize> {
        match self.metric {
            Metric::Loss => self.every,
            Metric::Success => self.tasks_every(),
        }
    }
}
