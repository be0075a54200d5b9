//! `[flywheel]`: collect what the model does right, train on it, measure, and do it again.

use documented::DocumentedFields;
use serde::Serialize;
use serde_json::json;

use super::choices::RoundStart;
use super::range::Range;
use super::reader::{Findings, TableReader};
use super::tables::Config;
use super::tree::Node;

/// Most rounds, and most attempts at a task: beyond any use, and small enough to be counted.
const COUNT_MAX: u32 = 1000;

/// `[flywheel]`: rounds of collecting right trajectories, training on them and measuring what that did.
#[derive(Debug, Clone, PartialEq, Serialize, DocumentedFields)]
pub struct Flywheel {
    /// How often to collect, train and measure. Default 2.
    pub rounds: usize,
    /// Tasks to practise on: folders of suites, or `.jsonl` files of tasks. Default: an empty list, which is refused.
    pub practice: Vec<String>,
    /// Tasks that are never practised on, to measure with. Default: an empty list, which is refused.
    pub held_out: Vec<String>,
    /// Which of the held-out tasks decide whether an adapter is better: those whose family has this name or begins with
    /// it and `/`. Default: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Pattern of the ids of the held-out conversations that are chat. Default `*`: all of them.
    pub chat: String,
    /// How many times its value at the start the chat loss may be before a round is rejected, whatever it solves.
    /// Default 1.03.
    pub chat_loss_ratio_max: f64,
    /// Attempts at a task in a round at most. Default 4.
    pub samples: usize,
    /// Right attempts, with `replies_min` replies and an action that worked, after which a task gets no more.
    /// Default 2.
    pub enough: usize,
    /// Sampling temperature of the attempts; measuring is greedy. Default 0.8.
    pub temperature: f64,
    /// Tasks of a round at most, first those that no round has solved, then drawn by the seed. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<usize>,
    /// Minutes of a round for attempts at most: the round goes on with what there is then. Each start of the program
    /// counts anew. Default: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes_max: Option<usize>,
    /// Trajectories of a task that are kept of a round at most. Default 2.
    pub per_task_max: usize,
    /// Replies that a trajectory must have at least. Default 2: an action, and the solution.
    pub replies_min: usize,
    /// Under which terms the tasks may be used, where their suite does not say: each trajectory and the model card name
    /// it. Default: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// How often each trajectory comes up in an epoch, beside the `[[data]]`. Default 1.
    pub repeat: usize,
    /// What a round trains: a fresh adapter on all data and everything collected so far (`base`), or the one that is the
    /// best so far (`best`). Default `base`.
    pub train_from: RoundStart,
    /// Peak learning rate of the rounds. Default that of `[optimizer]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// With `[preference]`: peak learning rate of what a round learns from pairs. Default a tenth of that of the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference_learning_rate: Option<f64>,
    /// With `[preference]`: how often a round goes over its pairs. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference_epochs: Option<usize>,
    /// Tokens of one reply at most. Default 512.
    pub reply_tokens_max: usize,
    /// Measure the base model, too. Default true.
    pub measure_base: bool,
    /// Conversations that are held at once. Default 8.
    pub parallel: usize,
    /// Interpreter that runs what the model writes. Default `python3`.
    pub python: String,
    /// Seconds that a cell may run. Default 10.
    pub cell_seconds: usize,
}

impl Flywheel {
    /// Reads the table, if it is there; faults go to `findings`. What it asks for is noted in any case.
    pub(super) fn read(node: Option<&Node>, findings: &Findings) -> Option<Flywheel> {
        let mut table = TableReader::new("flywheel", node, findings);
        let counts = Range::to(1, COUNT_MAX);
        let some = || json!({"minItems": 1});
        let flywheel = Flywheel {
            rounds: table.within(counts).or("rounds", 2),
            practice: table.noting(some()).optional("practice").unwrap_or_default(),
            held_out: table.noting(some()).optional("held_out").unwrap_or_default(),
            metric: table.optional("metric"),
            chat: table.or("chat", "*".to_owned()),
            chat_loss_ratio_max: table.within(Range::POSITIVE).or("chat_loss_ratio_max", 1.03),
            samples: table.within(counts).or("samples", 4),
            enough: table.within(counts).or("enough", 2),
            temperature: table.within(Range::to(0, 100)).or("temperature", 0.8),
            tasks_max: table.within(Range::at_least(1)).optional("tasks_max"),
            minutes_max: table.within(Range::at_least(1)).optional("minutes_max"),
            per_task_max: table.within(counts).or("per_task_max", 2),
            replies_min: table.within(Range::at_least(1)).or("replies_min", 2),
            licence: table.optional("licence"),
            repeat: table.within(Range::at_least(1)).or("repeat", 1),
            train_from: table.or("train_from", RoundStart::Base),
            learning_rate: table.within(Range::POSITIVE).optional("learning_rate"),
            preference_learning_rate: table.within(Range::POSITIVE).optional("preference_learning_rate"),
            preference_epochs: table.within(counts).optional("preference_epochs"),
            reply_tokens_max: table.within(Range::at_least(1)).or("reply_tokens_max", 512),
            measure_base: table.or("measure_base", true),
            parallel: table.within(Range::to(1, 256)).or("parallel", 8),
            python: table.or("python", "python3".to_owned()),
            cell_seconds: table.within(Range::to(1, 604_800)).or("cell_seconds", 10),
        };
        table.finish();
        node.map(|_| flywheel)
    }
}

/// Faults of the values: key, what is wrong, and the way out.
pub(super) fn check(config: &Config, wrong: &mut dyn FnMut(&str, String, &str)) {
    let Some(flywheel) = &config.flywheel else { return };
    if config.lora.is_none() {
        let what = "is \"full\", and a flywheel trains adapters".to_owned();
        wrong("train.method", what, "\"lora\"; or leave `[flywheel]` out");
    }
    if config.lora.as_ref().is_some_and(|lora| lora.dora) {
        let what = "makes adapters that are served merged, and a flywheel serves them beside their base".to_owned();
        wrong("lora.dora", what, "leave it out");
    }
    for (key, suites) in [("practice", &flywheel.practice), ("held_out", &flywheel.held_out)] {
        if suites.is_empty() {
            wrong(
                &format!("flywheel.{key}"),
                "is missing or empty".to_owned(),
                "list folders of suites, or `.jsonl` files of tasks",
            );
        }
    }
    if let Some(both) = flywheel.practice.iter().find(|suite| flywheel.held_out.contains(suite)) {
        let what = format!("has {both:?}, which is practised on");
        wrong("flywheel.held_out", what, "measure with tasks that are never trained");
    }
    if let Err(error) = glob::Pattern::new(&flywheel.chat) {
        wrong("flywheel.chat", format!("is {:?}, which is no pattern: {}", flywheel.chat, error.msg), "");
    }
    if !config.data.iter().any(|source| source.held_out != codeact_data::HeldOut::None) {
        let what = "needs held-out conversations, to see what becomes of the chat".to_owned();
        wrong("flywheel", what, "mark a `[[data]]` with `held_out = true`");
    }
    if let Some(index) = config.data.iter().position(|source| source.weight.is_some()) {
        let what = "is relative to the other sources, and what is collected is not there yet".to_owned();
        wrong(&format!("data.{index}.weight"), what, "set `repeat`, here and in `[flywheel]`");
    }
    if flywheel.temperature == 0.0 && flywheel.samples > 1 {
        let what = format!("is {}, but at temperature 0 all attempts are the same", flywheel.samples);
        wrong("flywheel.samples", what, "raise `flywheel.temperature`, or set it to 1");
    }
}
