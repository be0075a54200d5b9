//! A prepared run in words: data, plan, memory, and one conversation with its mask made visible.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use codeact_data::FileReport;
use codeact_data::preview::{MARKS, Preview, Style, harmless};
use codeact_model::Pass;
use serde_json::json;

use crate::error::TrainError;
use crate::memory::{LEVELS, level_name};
use crate::preflight::{self, Writes};
use crate::prepare::Prepared;
use crate::progress;

/// All there is to say before a run: settings with every default, data, plan, memory, time and disk, and one
/// conversation.
///
/// # Errors
/// When its speed cannot be measured, or the cache of encoded data cannot be read any more.
pub fn whole(run: &Prepared) -> Result<String, TrainError> {
    let (settings, summary) = (run.config.resolved(), summary(run));
    Ok(format!("{settings}\n{summary}{}\n{}", outlook(run)?, example(run)?))
}

/// Data, plan and memory, a line each.
pub fn summary(run: &Prepared) -> String {
    let (config, plan) = (&run.config, &run.plan);
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<8} {what}");
    };
    line("model", format!("{} in `{}`, {}", config.model.name, run.base_dir.display(), config.train.dtype));
    for report in &run.data.reports {
        line("data", report.to_string());
        left_out(report).into_iter().for_each(|what| line("", what));
    }
    line(
        "plan",
        format!(
            "{} steps over {} epoch{}, {} tokens, {} supervised; packs of at most {} tokens, {:.1}% full, {} per step",
            plan.steps.len(),
            plan.epoch_count(),
            if plan.epoch_count() == 1 { "" } else { "s" },
            plan.token_count(),
            plan.target_count(),
            config.train.pack_tokens,
            100.0 * plan.efficiency(config.train.pack_tokens),
            config.train.accumulation,
        ),
    );
    let (count, added) = (run.workload.parameter_count(), run.new_token_count);
    match &config.lora {
        Some(lora) => {
            let from = run.starting_adapter.as_ref();
            let from = from.map_or(String::new(), |from| format!(", from `{}`", from.folder.display()));
            let kind = if lora.dora { "DoRA of " } else { "" };
            let shape = format!("{kind}rank {}", lora.rank);
            line("adapter", format!("{count} trainable values, {shape}, {added} new tokens{from}"));
        }
        None => line("trained", format!("all weights of the model: {count} values, {added} new tokens")),
    }
    line(
        "schedule",
        format!(
            "{}, peak {}, {} warm-up steps",
            config.optimizer.schedule,
            config.optimizer.learning_rate,
            run.schedule.warmup_steps()
        ),
    );
    if let Some(preference) = config.pairs() {
        let (beta, weight) = (preference.beta, preference.sft_weight);
        line("pairs", format!("DPO with beta {beta}, and {weight} times the loss of the chosen conversations"));
    }
    let (fit, plan) = (run.fit, run.fit.plan);
    line(
        "memory",
        format!(
            "about {}: weights {}, {} {}, gradients and moments {}, saved activations {}, work {}",
            bytes(plan.total()),
            bytes(plan.weights),
            if config.lora.is_some() { "adapter" } else { "their 32 bits" },
            bytes(plan.adapter),
            bytes(plan.optimizer),
            bytes(plan.saved),
            bytes(plan.working)
        ),
    );
    line("passes", format!("at most {} tokens, recompute {}", fit.pass_tokens, level_name(fit.recompute)));
    if run.device.is_none() {
        line("", without_card(run));
    }
    text
}

/// What a pass needs of a card that is not here.
fn without_card(run: &Prepared) -> String {
    let pass = Pass { token_count: run.fit.pass_tokens, target_count: run.fit.pass_tokens };
    let totals = LEVELS.map(|level| {
        let total = run.workload.plan(pass, level).total();
        format!("{} with recompute {}", bytes(total), level_name(level))
    });
    format!("no card here to fit into; such a pass needs at most {}", totals.join(", "))
}

/// Time and disk, a line each, and what of the data is never learned.
///
/// # Errors
/// When the device refuses the product that is timed.
pub fn outlook(run: &Prepared) -> Result<String, TrainError> {
    let mut lines = Vec::new();
    if let Some(device) = &run.device {
        let speed = preflight::speed(run, device).map_err(TrainError::Device)?;
        let all = progress::duration(speed.duration);
        let tasks = match run.tasks.len() {
            0 => String::new(),
            count => format!(", and {} times {count} tasks, however long they take", preflight::task_rounds(run)),
        };
        lines.push(format!("speed    about {:.0} tok/s, {all} in all{tasks}", speed.tokens_per_second));
    }
    let writes = Writes::of(run);
    let [total, checkpoint, adapter, model] =
        [writes.total(), writes.checkpoint, writes.adapter, writes.model].map(bytes);
    let results = match run.config.lora {
        Some(_) => format!("adapter {adapter}, merged {model}"),
        None => format!("model {model}"),
    };
    let free = preflight::free_bytes(run.dir()).map_or(String::new(), |free| format!("; {} free", bytes(free)));
    let count = writes.checkpoint_count;
    lines.push(format!(
        "writes   at most {total} into `{}`: {count} checkpoints of {checkpoint}, {results}{free}",
        run.dir().display()
    ));
    let mut is_learned = vec![false; run.data.train.documents.len()];
    run.plan.packs().flat_map(|pack| &pack.documents).for_each(|index| is_learned[*index] = true);
    let unused = is_learned.iter().filter(|is_learned| !**is_learned).count();
    if unused > 0 {
        lines.push(format!(
            "unused   {unused} of {} conversations: the steps end before, or their source has no share left for them",
            is_learned.len()
        ));
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// What of a file was not used.
fn left_out(report: &FileReport) -> Vec<String> {
    let mut lines = Vec::new();
    for rejected in &report.rejected {
        let (count, kind, first) = (rejected.count, &rejected.kind, rejected.first_line);
        lines.push(format!("{count} rejected, {kind}; the first in line {first}: {}", harmless(&rejected.example)));
    }
    if !report.ignored_keys.is_empty() {
        lines.push(format!("keys that are not used: {}", harmless(&report.ignored_keys.join(", "))));
    }
    lines
}

/// The first conversation or pair of the first step, as the model sees it; what is learned stands between marks.
///
/// # Errors
/// When the cache of encoded data cannot be read any more.
pub fn example(run: &Prepared) -> Result<String, TrainError> {
    let first = run.plan.steps[0].packs[0].documents[0];
    let preview = Preview::new(&run.format);
    let examples = run.data.train.conversations(first)?;
    let shown: Vec<String> = examples.iter().map(|example| preview.text(example, Style::Marks)).collect();
    let (what, shown) = match shown.as_slice() {
        [chosen, rejected] => {
            let [chosen, rejected] = [chosen, rejected].map(|text| text.trim_end_matches('\n'));
            ("pair", format!("chosen:\n\n{chosen}\n\nrejected:\n\n{rejected}\n"))
        }
        others => ("conversation", others.concat()),
    };
    Ok(format!("first {what} of step 1; learned text stands between {} and {}:\n\n{shown}\n", MARKS.0, MARKS.1))
}

/// The plan as it is stored with the run: a line about all of it, then one for each step, with the conversations of each
/// pack by their index.
pub fn plan_lines(run: &Prepared) -> String {
    let (plan, data) = (&run.plan, &run.data);
    let planned = planned_tokens(run);
    let files = data.reports.iter().map(|report| {
        json!({
            "path": report.path,
            "sha256": report.sha256,
            "is_held_out": report.is_held_out,
            "rows": report.row_count,
            "conversations": report.train_count,
            "held_out": report.held_out,
            "tokens": report.token_count,
            "supervised_tokens": report.target_count,
            "planned_tokens": planned.get(&(report.source, report.path.as_path())).copied().unwrap_or(0),
        })
    });
    let head = json!({
        "plan_hash": plan.hash(&data.content_hash),
        "files": files.collect::<Vec<_>>(),
        "shares": data.train.shares,
        "conversations": data.train.documents.len(),
        "steps": plan.steps.len(),
        "epochs": plan.epoch_count(),
        "tokens": plan.token_count(),
        "supervised_tokens": plan.target_count(),
        "packing_efficiency": plan.efficiency(run.config.train.pack_tokens),
    });
    let mut text = format!("{head}\n");
    for (index, step) in plan.steps.iter().enumerate() {
        let packs: Vec<&[usize]> = step.packs.iter().map(|pack| pack.documents.as_slice()).collect();
        let line = json!({
            "step": index + 1,
            "epoch": step.epoch,
            "tokens": step.token_count(),
            "supervised_tokens": step.target_count(),
            "packs": packs,
        });
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Tokens that all steps together take of each file, by the index of its source and its path.
fn planned_tokens(run: &Prepared) -> HashMap<(usize, &Path), usize> {
    let train = &run.data.train;
    let mut planned = HashMap::new();
    for index in run.plan.packs().flat_map(|pack| &pack.documents) {
        let document = &train.documents[*index];
        *planned.entry((document.group, train.entry(*index).0.path.as_path())).or_insert(0) += document.token_count;
    }
    planned
}

/// Bytes as MiB or GiB.
pub(crate) fn bytes(count: usize) -> String {
    let mebibytes = count as f64 / (1 << 20) as f64;
    match mebibytes < 1024.0 {
        true => format!("{mebibytes:.0} MiB"),
        false => format!("{:.1} GiB", mebibytes / 1024.0),
    }
}
