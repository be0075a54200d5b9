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
///
/// * `context_wanted`: the context that was asked for, in tokens.
pub fn served_lines(name: &str, actor: &Actor, sandbox: &Sandbox, context_wanted: Option<usize>) -> String {
    let start = start_lines(name, &actor.facts, sandbox);
    let context = actor.engine.context_tokens_max();
    let tokens = actor.engine.metrics().pages_total * PAGE_TOKENS;
    let warning = context_warning(context_wanted, context, actor.config.context_tokens_max);
    format!("{start}\n{}{}", memory_line(&actor.facts, context, tokens), warning.unwrap_or_default())
}

/// What to say when less than was asked for is served, on a line of its own.
fn context_warning(wanted: Option<usize>, context: usize, model: usize) -> Option<String> {
    let wanted = wanted.filter(|wanted| *wanted > context)?;
    let (reason, way_out) = match model <= context {
        true => ("the model was made for no more", "leave out `--context`"),
        false => ("the memory for keys and values holds no more", "give `--kv-memory` more"),
    };
    Some(format!("\nwarning: the context is {context} tokens, not {wanted}: {reason}\nhint: {way_out}"))
}

fn memory_line(facts: &Facts, context: usize, tokens: usize) -> String {
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
    format!(
        "memory: {} MiB of weights, {} MiB at most for the {tokens} tokens that all sequences may hold; context {context}",
        mebibytes(facts.weight_bytes),
        mebibytes(facts.page_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_cannot_be_is_said() {
        assert_eq!(context_warning(None, 100, 100), None);
        assert_eq!(context_warning(Some(100), 100, 200), None);
        let of_model = context_warning(Some(300), 200, 200).unwrap();
        assert!(of_model.contains("200 tokens, not 300: the model"), "{of_model}");
        let of_memory = context_warning(Some(300), 150, 200).unwrap();
        assert!(of_memory.contains("150 tokens, not 300: the memory") && of_memory.contains("--kv-memory"));
    }
}
