//! What a run will take: time, by counting and a short probe of the device, and room on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use codeact_data::Part;
use codeact_model::{Recompute, Target, safetensors_files};
use codeact_ops::linear;

use crate::error::TrainError;
use crate::folder;
use crate::measuring;
use crate::prepare::Prepared;

/// Tokens of the probe's products.
const PROBE_TOKENS: usize = 512;

/// So long the device is probed, after a product to warm up.
const PROBE: Duration = Duration::from_millis(300);

/// Part of the speed of products alone that whole steps reach: norms, softmax, the adapter's narrow products and the
/// optimizer are not counted. Measured with the quickstart; see `bench/results`.
const STEP_SHARE: f64 = 0.75;

/// Checkpoints that somebody asks for while the run goes on, and for which there shall be room.
const ASKED_FOR: usize = 1;

/// Bytes of a trainable value: all are f32.
const VALUE_BYTES: usize = 4;

/// How long a run will take, about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Tokens of data a second.
    pub tokens_per_second: f64,
    /// All steps, and going over held-out data between them.
    pub duration: Duration,
}

/// What a run will write into its folder, at most, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// One checkpoint.
    pub checkpoint: usize,
    /// How many there are at once, one being written included.
    pub checkpoint_count: usize,
    /// The adapter folder; nothing where all weights are trained.
    pub adapter: usize,
    /// The merged or trained model.
    pub model: usize,
}

impl Writes {
    /// What the settings make the run write.
    pub fn of(run: &Prepared) -> Writes {
        let (settings, steps) = (&run.config.checkpoint, run.plan.steps.len());
        // Steps that may be saved: when due, when the best so far, and the last.
        let may_be = |step: usize| {
            let is_due = |every: Option<usize>| every.is_some_and(|every| step.is_multiple_of(every));
            step == steps || is_due(settings.every) || is_due(run.config.evaluation.best_every())
        };
        let saved = (1..=steps).filter(|step| may_be(*step)).count();
        let stays = |step: &usize| settings.keep_every.is_some_and(|every| step.is_multiple_of(every));
        let multiples = (1..=steps).filter(|step| may_be(*step)).filter(stays).count();
        let best = usize::from(run.config.evaluation.best_every().is_some());
        let values = run.workload.parameter_count() * VALUE_BYTES;
        Writes {
            checkpoint: 3 * values,
            checkpoint_count: (settings.keep_last + multiples + best).min(saved + ASKED_FOR) + 1,
            adapter: if run.config.lora.is_some() { values } else { 0 },
            model: weight_bytes(&run.base_dir),
        }
    }

    /// All of it.
    pub fn total(&self) -> usize {
        self.checkpoint * self.checkpoint_count + self.adapter + self.model
    }
}

/// Bytes of the weights in a model's folder: a merged one has as many.
fn weight_bytes(dir: &Path) -> usize {
    let files = safetensors_files(dir).unwrap_or_default();
    files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len() as usize).sum()
}

/// Bytes that are free where `dir` is or will be, if the system says so.
pub fn free_bytes(dir: &Path) -> Option<usize> {
    let dir = std::path::absolute(dir).ok()?;
    let place = dir.ancestors().find(|place| place.exists())?;
    // Some file systems do not count.
    let disk = rustix::fs::statvfs(place).ok().filter(|disk| disk.f_blocks > 0)?;
    usize::try_from(disk.f_bavail.saturating_mul(disk.f_frsize)).ok()
}

/// Refuses a run that the disk cannot hold. Checkpoints of an earlier part of it count as written.
///
/// # Errors
/// When less is free than will be written.
pub fn check_disk(run: &Prepared) -> Result<(), TrainError> {
    let dir = run.dir();
    let need = Writes::of(run).total().saturating_sub(folder::checkpoint_bytes(dir));
    match free_bytes(dir) {
        Some(free) if free < need => Err(TrainError::DiskTooSmall { dir: PathBuf::from(dir), need, free }),
        _ => Ok(()),
    }
}

/// How often a run that takes all its steps has its tasks solved. How long that takes depends on what the model writes and
/// runs: no estimate has it.
pub fn task_rounds(run: &Prepared) -> usize {
    let (steps, every) = (run.plan.steps.len(), run.config.evaluation.tasks_every());
    (0..=steps).filter(|step| measuring::is_due(*step, steps, every)).count()
}

/// Times products of the model's shape on `device` for a moment, and counts.
///
/// # Errors
/// When the device refuses a product.
pub fn speed(run: &Prepared, device: &Device) -> candle_core::Result<Speed> {
    let rate = probe(run, device)? * STEP_SHARE;
    let beside = flops_of_measures(run) + flops_of_start(run);
    let (steps, all) = (flops(run) / rate, (flops(run) + beside) / rate);
    let tokens_per_second = run.plan.token_count() as f64 / steps.max(1e-9);
    Ok(Speed { tokens_per_second, duration: Duration::from_secs_f64(all) })
}

/// Operations a second in products with the weight of an MLP.
fn probe(run: &Prepared, device: &Device) -> candle_core::Result<f64> {
    let (c, width) = (run.model.hidden_size, run.model.intermediate_size);
    let dtype = run.config.weights().dtype();
    let weight = Tensor::full(0.5f32, (width, c), device)?.to_dtype(dtype)?;
    let x = Tensor::full(0.5f32, (PROBE_TOKENS, c), device)?;
    let x = if device.is_cpu() { x } else { x.to_dtype(dtype)? };
    linear::forward(&x, &weight, None)?;
    device.synchronize()?;
    let (begun, mut count) = (Instant::now(), 0.0);
    while begun.elapsed() < PROBE {
        linear::forward(&x, &weight, None)?;
        device.synchronize()?;
        count += 1.0;
    }
    Ok(count * 2.0 * (PROBE_TOKENS * c * width) as f64 / begun.elapsed().as_secs_f64())
}

/// Operations of all steps: two a weight and token forward, two backward, and two more where it is trained; six a value of
/// an adapter; attention over the pairs of each conversation; the head on supervised tokens; what backward computes
/// again.
fn flops(run: &Prepared) -> f64 {
    let model = &run.model;
    let of = |targets: &[Target]| {
        let widths = targets.iter().map(|target| target.widths(model));
        (model.layer_count * widths.map(|(c_in, c_out)| c_in * c_out).sum::<usize>()) as f64
    };
    let (all, mlp) = (of(&Target::ALL), of(&[Target::Gate, Target::Up, Target::Down]));
    let documents = run.plan.packs().flat_map(|pack| &pack.documents);
    let pairs: f64 = documents.map(|index| attended(&run.data.train, *index)).sum();
    let of_pair = (model.layer_count * model.head_count * model.head_width) as f64;
    let (tokens, targets) = (run.plan.token_count() as f64, run.plan.target_count() as f64);
    // Trained weights have a gradient of their own, which is one more product; of an adapter all values are in products.
    let (each_way, adapter) = match run.config.lora {
        Some(_) => (2.0, run.workload.parameter_count() as f64),
        None => (3.0, 0.0),
    };
    // Pairs go through the head once more, before their weights are known.
    let head_ways = if run.config.pairs().is_some() { each_way + 1.0 } else { each_way };
    let head = 2.0 * head_ways * (model.hidden_size * model.vocab_size) as f64;
    // Scores and values: two products of two operations forward, five such backward.
    let (forward, attention) = (4.0 * pairs * of_pair, 14.0 * pairs * of_pair);
    let again = match run.fit.recompute {
        Recompute::None => 0.0,
        Recompute::Mlp => 2.0 * tokens * mlp,
        Recompute::Block => 2.0 * tokens * all + forward,
    };
    tokens * (2.0 * each_way * all + 6.0 * adapter) + attention + head * targets + again
}

/// Pairs of a token and one that it attends to, in all conversations of a document.
fn attended(part: &Part, index: usize) -> f64 {
    part.lengths(index).map(|count| count as f64 * (count as f64 + 1.0) / 2.0).iter().sum()
}

/// Operations of going forward over pairs before the first step, where they are learned.
fn flops_of_start(run: &Prepared) -> f64 {
    if run.config.pairs().is_none() {
        return 0.0;
    }
    let (model, part) = (&run.model, &run.data.train);
    let planned: BTreeSet<usize> = run.plan.packs().flat_map(|pack| &pack.documents).copied().collect();
    let (head, weights) = (model.hidden_size * model.vocab_size, weight_count(run));
    let of_pair = (model.layer_count * model.head_count * model.head_width) as f64;
    let of_document = |index: usize| {
        let document = &part.documents[index];
        let products = document.token_count * weights + document.target_count * head;
        2.0 * products as f64 + 4.0 * attended(part, index) * of_pair
    };
    planned.into_iter().map(of_document).sum()
}

/// Weights in the products of all blocks.
fn weight_count(run: &Prepared) -> usize {
    let widths = Target::ALL.map(|target| target.widths(&run.model));
    run.model.layer_count * widths.map(|(c_in, c_out)| c_in * c_out).iter().sum::<usize>()
}

/// Operations of going forward over held-out data each time that it is measured.
fn flops_of_measures(run: &Prepared) -> f64 {
    let weights = weight_count(run);
    let measures = 2 + run.config.evaluation.every.map_or(0, |every| run.plan.steps.len() / every);
    let tokens: usize = run.data.validation.documents.iter().map(|document| document.token_count).sum();
    2.0 * (measures * tokens * weights) as f64
}
