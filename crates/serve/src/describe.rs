//! What programs say at their start.

use codeact_cpu::paged::PAGE_TOKENS;
use codeact_eval::{Actor, Sandbox, compute_line};
use codeact_model::serving::Facts;

/// What computes. A card comes with its own way to serve; until then it is always the processor.
const DEVICE: &str = "cpu";

/// Model, device, precision, threads and protection in one line; below it, what must be known besides.
pub fn start_lines(model: &str, facts: &Facts, sandbox: &Sandbox) -> String {
    sandbox.announcement(&format!("model `{model}`, device {DEVICE}, {}; ", compute_line(facts)))
}

/// As [`start_lines`], and how much memory and context there is.
pub fn served_lines(name: &str, actor: &Actor, sandbox: &Sandbox) -> String {
    let start = start_lines(name, &actor.facts, sandbox);
    let context = actor.engine.context_tokens_max();
    let tokens = actor.engine.metrics().pages_total * PAGE_TOKENS;
    format!("{start}\n{}", memory_line(&actor.facts, context, tokens))
}

fn memory_line(facts: &Facts, context: usize, tokens: usize) -> String {
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
    format!(
        "memory: {} MiB of weights, {} MiB at most for the {tokens} tokens that all sequences may hold; context {context}",
        mebibytes(facts.weight_bytes),
        mebibytes(facts.page_bytes),
    )
}
