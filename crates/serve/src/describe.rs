//! What stands in the start-up line.

use codeact_eval::sandbox_line;
use codeact_sandbox::Protection;

/// Model, precision, threads and protection in one line.
pub fn start_line(model: &str, dtype: &str, protection: &Protection) -> String {
    let threads = rayon::current_num_threads();
    format!("model `{model}`, {dtype}, {threads} threads; {}", sandbox_line(protection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_model_precision_and_the_threads_that_compute() {
        let line = start_line("m", "bf16", &Protection { layers: Vec::new(), gaps: Vec::new() });
        let threads = rayon::current_num_threads();
        assert!(line.starts_with(&format!("model `m`, bf16, {threads} threads; sandbox:")), "{line}");
    }
}
