//! `codeact-serve bench`: how fast a model reads prompts and writes answers here, and how far that is from the bound.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use codeact_engine::{Choice, Forward, Step, Wanted};
use codeact_eval::compute_line;
use codeact_model::ModelError;
use codeact_model::serving::{Compute, Facts, ServedAdapter};

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// Tokens of the prompt that is read
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens that are written, one by one
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    new_tokens: u32,
    /// Tokens before the ones that are measured
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    depth: u32,
    /// Sequences that are written at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Rounds; the median is told
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// PEFT adapter; of several, each sequence has the next one
    #[arg(long, value_name = "DIR")]
    adapter: Vec<PathBuf>,
    /// Give the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Tokens per second of each round.
struct Rates(Vec<f64>);

impl Rates {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
    }

    fn range(&self) -> (f64, f64) {
        (self.0.iter().copied().fold(f64::INFINITY, f64::min), self.0.iter().copied().fold(0.0, f64::max))
    }
}

impl BenchArgs {
    /// Folders of the adapters that sequences go through.
    pub fn adapters(&self) -> &[PathBuf] {
        &self.adapter
    }

    /// Measures, and gives the report.
    ///
    /// * `bandwidth`: bytes per second that the model can read, if that is known here; asked for at the end.
    ///
    /// # Errors
    /// When the pages do not hold the sequences, or the model fails.
    pub fn run<F: Forward<Adapter = ServedAdapter>>(
        &self,
        model: &mut F,
        facts: &Facts,
        adapters: &[ServedAdapter],
        bandwidth: impl FnOnce(&F) -> Option<f64>,
    ) -> Result<String, ModelError> {
        let (prompt, new, depth) = (self.prompt_tokens as usize, self.new_tokens as usize, self.depth as usize);
        let rows = Rows::new(model, self.batch as usize, depth + prompt.max(new), adapters)?;
        // Once before: memory that is touched for the first time is not what is asked about.
        rows.read(model, 0, depth + prompt.max(new), 1)?;
        let mut prefill = Rates(Vec::new());
        let mut decode = Rates(Vec::new());
        for _ in 0..self.rounds {
            let start = Instant::now();
            rows.read(model, depth, prompt, 1)?;
            prefill.0.push(prompt as f64 / start.elapsed().as_secs_f64());
        }
        for sequence in 1..self.batch as usize {
            rows.read_one(model, sequence, 0, depth.max(1))?;
        }
        for _ in 0..self.rounds {
            let start = Instant::now();
            for token in 0..new {
                rows.read(model, depth + token, 1, self.batch as usize)?;
            }
            decode.0.push((new * self.batch as usize) as f64 / start.elapsed().as_secs_f64());
        }
        // Before the bandwidth: measuring that takes memory.
        let resident = peak_resident_bytes();
        let bandwidth = bandwidth(model);
        Ok(self.report(facts, &prefill, &decode, (bandwidth, resident)))
    }

    fn report(
        &self,
        facts: &Facts,
        prefill: &Rates,
        decode: &Rates,
        (bandwidth, resident): (Option<f64>, Option<u64>),
    ) -> String {
        // Every pass reads the weights once, whatever the batch, and the keys and values of each sequence.
        let kv = facts.kv_bytes_per_token * (self.depth as usize + self.new_tokens as usize / 2);
        let bytes = facts.token_bytes as f64 / f64::from(self.batch) + kv as f64;
        let bound = bandwidth.map(|bandwidth| bandwidth / bytes);
        let share = bound.map(|bound| decode.median() / bound);
        let operations = 2.0 * facts.weight_count as f64 * prefill.median();
        if self.json {
            let (isa, threads, card) = match &facts.on {
                Compute::Processor { threads, isa } => (Some(format!("{isa:?}")), Some(threads), None),
                Compute::Card(name) => (None, None, Some(name)),
            };
            let rates = |rates: &Rates| serde_json::json!({"median": rates.median(), "rounds": rates.0});
            let report = serde_json::json!({
                "formats": facts.formats, "isa": isa, "threads": threads, "card": card,
                "adapters": self.adapter.len(), "batch": self.batch, "depth": self.depth,
                "prompt_tokens": self.prompt_tokens, "new_tokens": self.new_tokens,
                "prefill_tokens_per_second": rates(prefill), "decode_tokens_per_second": rates(decode),
                "weight_bytes": facts.weight_bytes, "token_bytes": bytes,
                "bandwidth_bytes_per_second": bandwidth, "share_of_bandwidth": share,
                "peak_resident_bytes": resident,
            });
            return report.to_string();
        }
        let mut text = String::new();
        let (low, high) = prefill.range();
        let _ = writeln!(
            text,
            "prefill {:>5} tokens at {:<5} {:>9.1} tokens/s ({low:.1} to {high:.1}), {:.0} GFLOP/s",
            self.prompt_tokens,
            self.depth,
            prefill.median(),
            operations / 1e9
        );
        let (low, high) = decode.range();
        let _ = writeln!(
            text,
            "decode  {:>5} tokens at {:<5} {:>9.1} tokens/s ({low:.1} to {high:.1}), batch {}{}",
            self.new_tokens,
            self.depth,
            decode.median(),
            self.batch,
            match (share, bound, bandwidth) {
                (Some(share), Some(bound), Some(bandwidth)) => format!(
                    ", {:.0}% of the {bound:.1} tokens/s that memory allows ({:.1} MB a token at {:.1} GB/s)",
                    100.0 * share,
                    bytes / 1e6,
                    bandwidth / 1e9
                ),
                _ => format!(", {:.1} MB a token, {:.1} GB/s", bytes / 1e6, bytes * decode.median() / 1e9),
            }
        );
        let _ = write!(
            text,
            "{} weights in {}, {} adapters, {:.0} MB resident at most",
            facts.weight_count,
            compute_line(facts),
            self.adapter.len(),
            resident.unwrap_or(0) as f64 / 1e6
        );
        text
    }
}

/// Sequences of the same length with pages of their own.
struct Rows<'a> {
    token_ids: Vec<u32>,
    pages: Vec<Vec<u32>>,
    adapters: &'a [ServedAdapter],
    /// For a model that chooses tokens.
    choices: Option<[Choice; 1]>,
}

impl<'a> Rows<'a> {
    fn new<F: Forward<Adapter = ServedAdapter>>(
        model: &F,
        sequences: usize,
        tokens: usize,
        adapters: &'a [ServedAdapter],
    ) -> Result<Self, ModelError> {
        let each = tokens.div_ceil(model.page_tokens());
        if each * sequences > model.page_count() {
            let what = format!(
                "{sequences} sequences of {tokens} tokens need more pages than there are; give --kv-memory more"
            );
            return Err(ModelError::Batch(what));
        }
        let pages = (0..sequences).map(|sequence| (sequence * each) as u32..((sequence + 1) * each) as u32);
        // Any tokens will do: time does not depend on them.
        let vocab_size = model.vocab_size() as u32;
        let token_ids = (0..tokens as u32).map(|index| (index * 7919 + 13) % vocab_size);
        let choices = model.chooses().then_some([Choice::GREEDY]);
        Ok(Self { token_ids: token_ids.collect(), pages: pages.map(Iterator::collect).collect(), adapters, choices })
    }

    /// Reads `count` tokens at `first` of the first sequences in one pass, and asks for what comes after the last.
    fn read<F: Forward<Adapter = ServedAdapter>>(
        &self,
        model: &mut F,
        first: usize,
        count: usize,
        sequences: usize,
    ) -> Result<(), ModelError> {
        let steps: Vec<Step<'_>> = (0..sequences).map(|sequence| self.step(sequence, first, count)).collect();
        model.forward(&steps, &mut |_, _, _| {}).map_err(ModelError::Batch)
    }

    fn read_one<F: Forward<Adapter = ServedAdapter>>(
        &self,
        model: &mut F,
        sequence: usize,
        first: usize,
        count: usize,
    ) -> Result<(), ModelError> {
        model.forward(&[self.step(sequence, first, count)], &mut |_, _, _| {}).map_err(ModelError::Batch)
    }

    fn step(&self, sequence: usize, first: usize, count: usize) -> Step<'_> {
        let from = count - 1;
        Step {
            token_ids: &self.token_ids[first..first + count],
            first,
            pages: &self.pages[sequence],
            adapter: self.adapters.get(sequence % self.adapters.len().max(1)),
            wanted: match &self.choices {
                Some(choices) => Wanted::Tokens { from, choices },
                None => Wanted::Logits { from },
            },
        }
    }
}

/// The most memory this process ever held, as the kernel counts it.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
