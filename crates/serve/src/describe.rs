//! What stands in the start-up line.

use codeact_eval::Sandbox;

/// Model, precision, threads and protection in one line; below it, what must be known besides.
pub fn start_lines(model: &str, dtype: &str, sandbox: &Sandbox) -> String {
    let threads = rayon::current_num_threads();
    sandbox.announcement(&format!("model `{model}`, {dtype}, {threads} threads; "))
}

#[cfg(test)]
mod tests {
    use codeact_sandbox::{Policy, Protection, Rung};

    use super::*;

    #[test]
    fn the_line_names_model_precision_and_the_threads_that_compute() {
        let protection =
            Protection { rung: Rung::Root, refusals: Vec::new(), layers: Vec::new(), missing_modules: Vec::new() };
        let line = start_lines("m", "bf16", &Sandbox::new(Policy::default(), protection));
        let threads = rayon::current_num_threads();
        assert_eq!(line, format!("model `m`, bf16, {threads} threads; sandbox: rung A (root)"));
    }
}
