//! Passes of a model that serves on a card: decoding at several batch sizes and lengths, reading prompts, and the products
//! that decoding is bound by.
//!
//!     serve_step --model bench/shapes/mistral-7b --weights q8 --batch 1,8 --context 1024,4096 --device cuda
//!
//! Weights are random. Prints one JSON line for each measurement, after the tokens of recorded passes were found to be
//! those of passes that are queued kernel by kernel. `bench/gpu.sh` runs this; `--device emulated` runs the kernels on the
//! processor, for rehearsals.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::{Parser, ValueEnum};
use codeact_model::ModelConfig;
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{ServedWeights, ServingOptions, Step, Wanted};
use codeact_ops::packed::{Block, Format, Matrix, Packed};
use codeact_ops::recording::{Recording, buffer, download};
use codeact_ops::sampling::Choice;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Time passes of a model that serves.
#[derive(Parser)]
struct Args {
    /// Folder with config.json
    #[arg(long, value_name = "FOLDER")]
    model: PathBuf,
    /// How weights are kept
    #[arg(long, value_enum, default_value_t = Kind::Bf16)]
    weights: Kind,
    /// Sequences that decode at once
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,64")]
    batch: Vec<usize>,
    /// Tokens before each new one
    #[arg(long, value_delimiter = ',', default_value = "1024,4096")]
    context: Vec<usize>,
    /// Tokens of a prompt that is read in one pass
    #[arg(long, default_value_t = 2048)]
    prompt: usize,
    /// Rows of the products that are timed alone
    #[arg(long, value_delimiter = ',', default_value = "1,4,8,16,64")]
    rows: Vec<usize>,
    /// Timed passes of each kind
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Keep only so many layers
    #[arg(long, value_name = "COUNT")]
    layers: Option<usize>,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Place::Cuda)]
    device: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Bf16,
    Q8,
    Q4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    Cuda,
    Emulated,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (device, _emulation) = match args.device {
        Place::Cuda => (codeact_ops::device::open(0)?, None),
        Place::Emulated => (Device::Cpu, Some(codeact_ops::emulation::Emulation::begin(0))),
    };
    let mut config = ModelConfig::load(&args.model)?;
    config.layer_count = args.layers.unwrap_or(config.layer_count);
    products(&args, &config, &device)?;
    let weights = match args.weights {
        Kind::Bf16 => ServedWeights::Bf16,
        Kind::Q8 => ServedWeights::Q8_0,
        Kind::Q4 => ServedWeights::Q4K,
    };
    let (batch_max, context_max) = (largest(&args.batch), largest(&args.context));
    let token = 4 * config.layer_count * config.kv_head_count * config.head_width;
    // Pages of the longest passes that fit beside the weights.
    let each = (context_max + args.steps + 32).next_multiple_of(16);
    let tokens = (batch_max * each).max(args.prompt + 16).max(256);
    let room = match args.device {
        Place::Cuda => codeact_ops::device::free_bytes(&device)?.saturating_sub(20 << 30),
        Place::Emulated => usize::MAX,
    };
    let options = ServingOptions { weights, kv_bytes: Some((tokens * token).min(room)), ..ServingOptions::default() };
    let mut model = CardModel::random(config, &options, &device)?;
    for &batch in &args.batch {
        for &context in &args.context {
            decode(&args, &mut model, batch, context)?;
        }
    }
    prompt(&args, &mut model)
}

fn largest(values: &[usize]) -> usize {
    values.iter().copied().max().unwrap_or(1)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Decodes some tokens of `batch` sequences behind `context` others; the pages hold what earlier passes left there, which
/// takes as long to read as anything.
fn decode(args: &Args, model: &mut CardModel, batch: usize, context: usize) -> Result<()> {
    let pages_each = (context + args.steps + 32).div_ceil(model.page_tokens());
    if pages_each * batch > model.page_count() {
        let what = serde_json::json!({
            "what": "decode", "weights": args.weights.name(), "batch": batch, "context": context,
            "skipped": format!("{} pages of {}", pages_each * batch, model.page_count()),
        });
        println!("{what}");
        return Ok(());
    }
    let pages: Vec<Vec<u32>> =
        (0..batch).map(|at| (at * pages_each..(at + 1) * pages_each).map(|p| p as u32).collect()).collect();
    fill(model, &pages, context)?;
    let (mut timed, mut tokens) = (Vec::new(), Vec::new());
    for is_recorded in [false, true] {
        model.set_recorded(is_recorded);
        let mut ids: Vec<u32> = (0..batch as u32).map(|row| row % 50 + 1).collect();
        let (mut seconds, mut all) = (Vec::new(), Vec::new());
        // The first passes load kernels and record.
        for step in 0..args.steps + 3 {
            let first = context + step;
            let steps: Vec<Step<'_>> = ids
                .iter()
                .zip(&pages)
                .map(|(id, pages)| Step {
                    token_ids: std::slice::from_ref(id),
                    first,
                    pages,
                    adapter: None,
                    wanted: Wanted::Nothing,
                })
                .collect();
            let start = Instant::now();
            let new = model.choose(&steps, &vec![Choice::GREEDY; batch])?;
            seconds.push(start.elapsed().as_secs_f64());
            all.extend_from_slice(&new);
            ids = new;
        }
        timed.push(median(seconds.split_off(3)));
        tokens.push(all);
    }
    let bytes = model.token_bytes() + batch * (context + args.steps / 2) * model.kv_bytes_per_token();
    let line = serde_json::json!({
        "what": "decode", "weights": args.weights.name(), "batch": batch, "context": context,
        "same_tokens": tokens[0] == tokens[1], "queued_ms": timed[0] * 1e3, "recorded_ms": timed[1] * 1e3,
        "tokens_per_s": batch as f64 / timed[1], "bytes": bytes, "bytes_per_s": bytes as f64 / timed[1],
    });
    println!("{line}");
    Ok(())
}

/// Writes keys and values that are numbers: what memory held before may be none.
fn fill(model: &mut CardModel, pages: &[Vec<u32>], context: usize) -> Result<()> {
    const AT_ONCE: usize = 2048;
    for pages in pages {
        for first in (0..context).step_by(AT_ONCE) {
            let ids: Vec<u32> = (first..context.min(first + AT_ONCE)).map(|at| at as u32 % 50 + 1).collect();
            let step = Step { token_ids: &ids, first, pages, adapter: None, wanted: Wanted::Nothing };
            model.forward(&[step], &mut |_, _, _| {})?;
        }
    }
    Ok(())
}

/// Reads one prompt in one pass.
fn prompt(args: &Args, model: &mut CardModel) -> Result<()> {
    let pages: Vec<u32> = (0..args.prompt.div_ceil(model.page_tokens()) as u32).collect();
    let ids: Vec<u32> = (0..args.prompt as u32).map(|at| at % 50 + 1).collect();
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let from = ids.len() - 1;
        let step = Step { token_ids: &ids, first: 0, pages: &pages, adapter: None, wanted: Wanted::Logits { from } };
        let start = Instant::now();
        model.forward(&[step], &mut |_, _, _| {})?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let seconds = median(seconds.split_off(1));
    let line = serde_json::json!({
        "what": "prompt", "weights": args.weights.name(), "tokens": args.prompt, "ms": seconds * 1e3,
        "tokens_per_s": args.prompt as f64 / seconds,
    });
    println!("{line}");
    Ok(())
}

/// Times the products of a layer and of the head alone, each over weights that are larger than the card's cache.
fn products(args: &Args, config: &ModelConfig, device: &Device) -> Result<()> {
    const BYTES: usize = 400 << 20;
    let (c, d) = (config.hidden_size, config.head_width);
    let shapes = [
        ("qkv", (config.head_count + 2 * config.kv_head_count) * d, c),
        ("output", c, config.head_count * d),
        ("gate_up", 2 * config.intermediate_size, c),
        ("down", c, config.intermediate_size),
        ("head", config.vocab_size, c),
    ];
    let like = Tensor::zeros(1, DType::BF16, device)?;
    for (name, rows, columns) in shapes {
        let one = matrix(args.weights, rows, columns, &like)?;
        let count = match args.device {
            Place::Cuda => (BYTES / one.byte_count()).max(2),
            Place::Emulated => 1,
        };
        let mut matrices = vec![one];
        while matrices.len() < count {
            matrices.push(matrix(args.weights, rows, columns, &like)?);
        }
        for &t in &args.rows {
            let x = Tensor::randn(0f32, 1.0, (t, columns), device)?.to_dtype(DType::BF16)?;
            let y = buffer(&like, (t, rows), DType::BF16)?;
            let all = || matrices.iter().try_for_each(|matrix| matrix.multiply(&x, &y, None));
            all()?;
            let recording = Recording::new(&like, all)?;
            let mut seconds = Vec::new();
            for _ in 0..5 {
                wait(&like)?;
                let start = Instant::now();
                recording.repeat()?;
                wait(&like)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            let each = median(seconds.split_off(1)) / count as f64;
            let bytes = matrices[0].byte_count() + 2 * t * (rows + columns);
            let line = serde_json::json!({
                "what": "product", "weights": args.weights.name(), "shape": name, "n": rows, "k": columns, "rows": t,
                "us": each * 1e6, "bytes": bytes, "bytes_per_s": bytes as f64 / each,
            });
            println!("{line}");
        }
    }
    Ok(())
}

fn matrix(weights: Kind, rows: usize, columns: usize, like: &Tensor) -> Result<Matrix> {
    let format = match weights {
        Kind::Bf16 => None,
        Kind::Q8 => Some(Format::Q8),
        Kind::Q4 => Some(Format::Q4Offset),
    };
    let Some(format) = format.filter(|_| columns.is_multiple_of(32)) else {
        return Ok(Matrix::Dense(Tensor::randn(0f32, 0.02, (rows, columns), like.device())?.to_dtype(DType::BF16)?));
    };
    let read = |row: usize, blocks: &mut [Block]| {
        for (at, block) in blocks.iter_mut().enumerate() {
            let value = |i: usize| ((row * 31 + at * 17 + i * 7) % 16) as i8;
            *block = Block { scale: 0.01, offset: -0.07, values: std::array::from_fn(value) };
        }
    };
    Ok(Matrix::Packed(Packed::new(format, (rows, columns), &read, like)?))
}

/// Until all that was queued is done.
fn wait(like: &Tensor) -> Result<()> {
    let one = buffer(like, 1, DType::U32)?;
    Ok(download(&one, &mut [0u32])?)
}
