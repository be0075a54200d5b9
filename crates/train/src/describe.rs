//! A prepared run in words: data, plan, memory, and one conversation with its mask made visible.

use std::fmt::Write;

use codeact_chat::{ChatFormat, Example};
use codeact_model::Pass;

use crate::memory::{LEVELS, level_name};
use crate::prepare::Prepared;

/// Stand around learned text.
const MARKS: (&str, &str) = ("⟦", "⟧");

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
    }
    line(
        "plan",
        format!(
            "{} steps over {} epoch{}, {} tokens, {} supervised; packs of at most {} tokens, {} per step",
            plan.steps.len(),
            plan.epoch_count(),
            if plan.epoch_count() == 1 { "" } else { "s" },
            plan.token_count(),
            plan.target_count(),
            config.train.pack_tokens,
            config.train.accumulation,
        ),
    );
    line(
        "adapter",
        format!(
            "{} trainable values, rank {}, {} new tokens",
            run.workload.parameter_count(),
            config.lora.rank,
            run.new_token_count,
        ),
    );
    line(
        "schedule",
        format!(
            "{}, peak {}, {} warm-up steps",
            config.optimizer.schedule,
            config.optimizer.learning_rate,
            run.schedule.warmup_steps()
        ),
    );
    let (fit, plan) = (run.fit, run.fit.plan);
    line(
        "memory",
        format!(
            "about {}: weights {}, adapter {}, gradients and moments {}, saved activations {}, work {}",
            bytes(plan.total()),
            bytes(plan.weights),
            bytes(plan.adapter),
            bytes(plan.optimizer),
            bytes(plan.saved),
            bytes(plan.working)
        ),
    );
    line("passes", format!("at most {} tokens, recompute {}", fit.pass_tokens, level_name(fit.recompute)));
    if run.device.is_none() {
        let pass = Pass { token_count: fit.pass_tokens, target_count: fit.pass_tokens };
        let totals = LEVELS.map(|level| {
            let total = run.workload.plan(pass, level).total();
            format!("{} with recompute {}", bytes(total), level_name(level))
        });
        line("", format!("no card here to fit into; such a pass needs at most {}", totals.join(", ")));
    }
    text
}

/// The first conversation of the first step, as the model sees it; what is learned stands between marks.
pub fn example(run: &Prepared) -> String {
    let first = run.plan.steps[0].packs[0].documents[0];
    let shown = masked_text(&run.format, &run.data.train.examples[first]);
    format!("first conversation of step 1; learned text stands between {} and {}:\n\n{shown}\n", MARKS.0, MARKS.1)
}

/// The text of an example with marks around what is learned.
pub fn masked_text(format: &ChatFormat, example: &Example) -> String {
    let mut text = String::new();
    let mut start = 0;
    while start < example.token_ids.len() {
        let is_target = example.is_target[start];
        let run = example.is_target[start..].iter().take_while(|target| **target == is_target);
        let end = start + run.count();
        let piece = format.decode(&example.token_ids[start..end], false);
        match is_target {
            true => text.extend([MARKS.0, &piece, MARKS.1]),
            false => text.push_str(&piece),
        }
        start = end;
    }
    text
}

/// Bytes as MiB or GiB.
pub(crate) fn bytes(count: usize) -> String {
    let mebibytes = count as f64 / (1 << 20) as f64;
    match mebibytes < 1024.0 {
        true => format!("{mebibytes:.0} MiB"),
        false => format!("{:.1} GiB", mebibytes / 1024.0),
    }
}
