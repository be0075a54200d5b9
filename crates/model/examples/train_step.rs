//! A whole LoRA training step on the CPU or on a card: seconds, peak memory, losses, and on request a hash of every
//! gradient, by which two runs are compared bit for bit.
//!
//!     train_step --model checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct --tokens 512
//!     train_step --model bench/shapes/mistral-7b --documents lengths.json --device cuda
//!
//! One step is forward, backward, clipping at norm 1 and AdamW on documents of random ids in which every token but the
//! first of a document is supervised. Prints one JSON line. `bench/train_step.py` and `bench/gpu.sh` run this.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use codeact_model::{Adapter, Batch, Decoder, LoraConfig, ModelConfig, Pass, Recompute, Weights, Workload};
use codeact_ops::optimizer::{self, AdamW};
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Time a LoRA training step.
#[derive(Parser)]
struct Args {
    /// Folder with config.json; its weights where it holds some, else random ones
    #[arg(long, value_name = "FOLDER")]
    model: PathBuf,
    /// Keep only so many layers of a model with random weights
    #[arg(long, value_name = "COUNT")]
    layers: Option<usize>,
    /// One document of so many tokens
    #[arg(long, value_name = "COUNT", required_unless_present = "documents", conflicts_with = "documents")]
    tokens: Option<usize>,
    /// Documents of these lengths, packed: a JSON list
    #[arg(long, value_name = "FILE")]
    documents: Option<PathBuf>,
    /// Inner width of the adapter, on all seven linear layers
    #[arg(long, default_value_t = 16)]
    rank: usize,
    /// The frozen weights
    #[arg(long, value_enum, default_value_t = Dtype::Bf16)]
    dtype: Dtype,
    /// What the backward pass computes again
    #[arg(long, value_enum, default_value_t = Level::None)]
    recompute: Level,
    /// Timed steps
    #[arg(long, default_value_t = 8)]
    steps: usize,
    /// Steps before them that are not timed
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Place::Cpu)]
    device: Place,
    /// Of random weights, the adapter and the token ids
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hash the gradient of every step, between the timed parts
    #[arg(long)]
    checksum: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    Nf4,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    None,
    Mlp,
    Block,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    Cpu,
    Cuda,
}

/// What is held between steps.
struct Training {
    decoder: Decoder,
    adapter: Adapter,
    batch: Batch,
    recompute: Recompute,
    gradients: Tensor,
    moments: (Tensor, Tensor),
}

fn main() -> Result<()> {
    codeact_ops::allocator::keep_freed_pages();
    let args = Args::parse();
    let device = match args.device {
        Place::Cpu => Device::Cpu,
        Place::Cuda => codeact_ops::device::open(0)?,
    };
    let (decoder, is_random) = decoder(&args, &device)?;
    let lengths: Vec<usize> = match (&args.documents, args.tokens) {
        (Some(path), _) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        (None, tokens) => vec![tokens.unwrap_or_default()],
    };
    let training = Training::new(&args, decoder, &lengths)?;
    let (mut seconds, mut losses, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..args.warmup + args.steps {
        let start = Instant::now();
        losses.push(training.step(step as u64 + 1)?);
        device.synchronize()?;
        if step >= args.warmup {
            seconds.push(start.elapsed().as_secs_f64());
        }
        if args.checksum {
            hashes.push(checksum(&training.gradients)?);
        }
    }
    let result = serde_json::json!({
        "model": args.model.file_name().map(|name| name.to_string_lossy()),
        "weights": if is_random { "random" } else { "loaded" },
        "layers": training.decoder.config().layer_count,
        "dtype": name(args.dtype),
        "recompute": name(args.recompute),
        "device": name(args.device),
        "rank": args.rank,
        "tokens": lengths.iter().sum::<usize>(),
        "documents": lengths,
        "seconds": seconds,
        "losses": losses,
        "gradient_sha256": hashes,
        "peak_bytes": peak_bytes(&device)?,
        "planned_bytes": training.planned_bytes(&args),
    });
    println!("{result}");
    Ok(())
}

/// The model, and whether its weights are random.
fn decoder(args: &Args, device: &Device) -> Result<(Decoder, bool)> {
    let weights = weights(args.dtype);
    if !holds_weights(&args.model)? {
        let mut config = ModelConfig::load(&args.model)?;
        config.layer_count = args.layers.unwrap_or(config.layer_count);
        return Ok((Decoder::random(config, weights, device, args.seed)?, true));
    }
    if args.layers.is_some() {
        return Err(format!("`{}` holds weights: --layers is for random ones", args.model.display()).into());
    }
    Ok((Decoder::load(&args.model, weights, device)?, false))
}

fn weights(dtype: Dtype) -> Weights {
    match dtype {
        Dtype::F32 => Weights::F32,
        Dtype::Bf16 => Weights::Bf16,
        Dtype::Nf4 => Weights::Nf4,
    }
}

fn holds_weights(folder: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "safetensors"))))
}

impl Training {
    fn new(args: &Args, decoder: Decoder, lengths: &[usize]) -> Result<Self> {
        let lora = LoraConfig::all_linear(args.rank, 2.0 * args.rank as f64);
        let vocabulary = decoder.config().vocab_size;
        let adapter = decoder.new_adapter(&lora, vocabulary, args.seed)?;
        let parameters = adapter.parameters();
        Ok(Self {
            batch: random_batch(lengths, vocabulary as u32, args.seed)?,
            recompute: match args.recompute {
                Level::None => Recompute::None,
                Level::Mlp => Recompute::Mlp,
                Level::Block => Recompute::Block,
            },
            gradients: parameters.zeros_like()?,
            moments: (parameters.zeros_like()?, parameters.zeros_like()?),
            decoder,
            adapter,
        })
    }

    /// What the planner says that this holds at the worst moment.
    fn planned_bytes(&self, args: &Args) -> usize {
        let workload = Workload {
            model: self.decoder.config().clone(),
            lora: Some(self.adapter.config().clone()),
            new_token_count: 0,
            weights: weights(args.dtype),
            is_on_card: matches!(args.device, Place::Cuda),
        };
        let pass = Pass { token_count: self.batch.token_ids.len(), target_count: self.batch.labels.len() };
        workload.plan(pass, self.recompute).total()
    }

    /// Returns the mean loss before the update.
    fn step(&self, number: u64) -> Result<f64> {
        let Self { decoder, adapter, batch, recompute, gradients, moments } = self;
        let scale = 1.0 / batch.labels.len() as f64;
        optimizer::zero(gradients)?;
        let losses = decoder.losses_and_gradients(adapter, batch, scale, *recompute, gradients)?;
        let settings = AdamW {
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            gradient_scale: (1.0 / (optimizer::norm(gradients)? + 1e-6)).min(1.0),
        };
        optimizer::adamw_step(adapter.parameters(), gradients, &moments.0, &moments.1, &settings, number)?;
        Ok(losses.iter().sum::<f64>() * scale)
    }
}

fn random_batch(lengths: &[usize], vocabulary: u32, seed: u64) -> Result<Batch> {
    let mut state = seed as u32 + 1;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        20 + (state >> 8) % (vocabulary - 20)
    };
    let documents: Vec<(Vec<u32>, Vec<bool>)> = lengths
        .iter()
        .map(|length| ((0..*length).map(|_| draw()).collect(), (0..*length).map(|index| index > 0).collect()))
        .collect();
    Ok(Batch::new(documents.iter().map(|(ids, targets)| (&ids[..], &targets[..])))?)
}

/// SHA-256 of the bits of all values.
fn checksum(values: &Tensor) -> Result<String> {
    let mut hash = Sha256::new();
    for value in values.to_device(&Device::Cpu)?.to_vec1::<f32>()? {
        hash.update(value.to_le_bytes());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Most memory held at once: of the card, or of this process by the kernel's own high-water mark.
fn peak_bytes(device: &Device) -> Result<usize> {
    if !device.is_cpu() {
        return Ok(codeact_ops::device::peak_bytes(device)?);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}

/// As the argument is spelled.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
