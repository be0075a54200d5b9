//! What a run trains: an adapter beside frozen weights, or the weights themselves.

use std::path::Path;

use candle_core::{Device, Tensor};
use codeact_model::{
    Adapter, Batch, Decoder, FullWeights, LoraConfig, ModelConfig, ModelError, NewRows, Recompute, Target,
};
use codeact_ops::optimizer::norm;

use crate::error::TrainError;
use crate::prepare::Prepared;
use crate::progress::LoadProgress;

/// Trained values, in one flat f32 vector either way.
pub enum Trained {
    /// LoRA pairs, and rows of new tokens.
    Adapter(Adapter),
    /// Every weight of the decoder that was loaded with them.
    Weights(FullWeights),
}

impl Trained {
    /// The base model, shown as it goes to the device, and what is trained of it or beside it: as the run begins, or as a
    /// checkpoint has it.
    ///
    /// # Errors
    /// When something cannot be read, or the device cannot hold it.
    pub fn load(
        run: &Prepared,
        checkpoint: Option<&Path>,
        device: &Device,
        is_shown: bool,
    ) -> Result<(Decoder, Trained), TrainError> {
        match run.config.lora_config() {
            Some(lora) => {
                let progress = LoadProgress::new(&run.base_dir, is_shown);
                let on_bytes = &mut |bytes| progress.add(bytes);
                let decoder = Decoder::load_reporting(&run.base_dir, run.config.weights(), device, on_bytes);
                progress.finish();
                let decoder = decoder.map_err(TrainError::Load)?;
                let adapter = match checkpoint {
                    Some(checkpoint) => Adapter::load(checkpoint, &run.model, device).map_err(TrainError::Load)?,
                    None => starting_adapter(run, &lora, &decoder, device)?,
                };
                Ok((decoder, Trained::Adapter(adapter)))
            }
            None => {
                // A checkpoint is a whole model, with the rows of new tokens.
                let folder = checkpoint.unwrap_or(&run.base_dir);
                let progress = LoadProgress::new(folder, is_shown);
                let rows = (run.format.vocab_size(), run.config.new_rows());
                let loaded = load_weights(run, folder, rows, device, &mut |bytes| progress.add(bytes));
                progress.finish();
                let (decoder, weights) = loaded?;
                Ok((decoder, Trained::Weights(weights)))
            }
        }
    }

    /// Takes the values of another checkpoint of the same run.
    ///
    /// # Errors
    /// When they cannot be read, or are of another shape.
    pub fn restored(self, checkpoint: &Path, model: &ModelConfig) -> Result<Trained, TrainError> {
        match self {
            Trained::Adapter(adapter) => {
                let device = adapter.parameters().device().clone();
                Adapter::load(checkpoint, model, &device).map(Trained::Adapter).map_err(TrainError::Load)
            }
            Trained::Weights(weights) => {
                weights.restore(checkpoint).map_err(TrainError::Load)?;
                Ok(Trained::Weights(weights))
            }
        }
    }

    /// The adapter that the decoder is to be used with, if there is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        match self {
            Trained::Adapter(adapter) => Some(adapter),
            Trained::Weights(_) => None,
        }
    }

    /// It in a word.
    pub fn what(&self) -> &'static str {
        match self {
            Trained::Adapter(_) => "the adapter",
            Trained::Weights(_) => "the weights",
        }
    }

    /// All values, `(P,)` f32. After changing them in place call [`Trained::refresh`].
    pub fn parameters(&self) -> &Tensor {
        match self {
            Trained::Adapter(adapter) => adapter.parameters(),
            Trained::Weights(weights) => weights.parameters(),
        }
    }

    /// Makes the decoder see the values as they are now.
    ///
    /// # Errors
    /// When the device fails.
    pub fn refresh(&self) -> candle_core::Result<()> {
        match self {
            Trained::Adapter(_) => Ok(()),
            Trained::Weights(weights) => weights.refresh(),
        }
    }

    /// The loss of each supervised token of a batch, `(N,)` nats, and the gradient of `scale` times their sum added to
    /// `gradients`, `(P,)` f32.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or an operation fails.
    pub fn losses_and_gradients(
        &self,
        decoder: &Decoder,
        batch: &Batch,
        scale: f64,
        recompute: Recompute,
        gradients: &Tensor,
    ) -> Result<Vec<f64>, ModelError> {
        match self {
            Trained::Adapter(adapter) => decoder.losses_and_gradients(adapter, batch, scale, recompute, gradients),
            Trained::Weights(_) => decoder.losses_and_weight_gradients(batch, scale, recompute, gradients),
        }
    }

    /// The name of a tensor that the first gradient does not reach: it is not part of the loss.
    ///
    /// Of a pair it is `B`, which starts at zero and must be moved by the first step; `A` has no gradient before.
    ///
    /// # Errors
    /// When the device fails.
    pub fn not_reached(&self, gradients: &Tensor, layer_count: usize) -> candle_core::Result<Option<String>> {
        let is_zero = |gradient: &Tensor| Ok::<_, candle_core::Error>(norm(&gradient.flatten_all()?)? == 0.0);
        match self {
            Trained::Adapter(adapter) => {
                let modules = (0..layer_count).flat_map(|layer| Target::ALL.map(|target| (layer, target)));
                for (layer, target) in modules {
                    let pair = adapter.pair(gradients, layer, target)?;
                    if let Some((_, b)) = pair
                        && is_zero(&b)?
                    {
                        return Ok(Some(format!("model.layers.{layer}.{}.lora_B", target.module())));
                    }
                }
            }
            Trained::Weights(weights) => {
                for (name, gradient) in weights.named(gradients)? {
                    if is_zero(&gradient)? {
                        return Ok(Some(name.to_owned()));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Writes the values, bit for bit, into the folder of a checkpoint.
    ///
    /// * `base_name`, `base_dir`: the model that they are of.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, base_name: &str, base_dir: &Path) -> Result<(), ModelError> {
        match self {
            Trained::Adapter(adapter) => adapter.save(folder, base_name),
            Trained::Weights(weights) => weights.save(base_dir, folder),
        }
    }
}

/// The adapter that a run begins with, the same at each call: that of the settings, or a fresh one.
///
/// # Errors
/// When it cannot be read any more, or the device cannot hold it.
pub(crate) fn starting_adapter(
    run: &Prepared,
    lora: &LoraConfig,
    decoder: &Decoder,
    device: &Device,
) -> Result<Adapter, TrainError> {
    match &run.starting_adapter {
        Some(adapter) => adapter.load(lora, &run.model, device),
        // New tokens of the chat format get rows of their own, which are trained like the rest.
        None => {
            let (seed, rows) = (run.config.train.seed, run.config.new_rows());
            decoder.new_adapter_with(lora, run.format.vocab_size(), seed, rows).map_err(TrainError::Load)
        }
    }
}

/// All weights of a model in a folder, which is the base or a checkpoint.
fn load_weights(
    run: &Prepared,
    folder: &Path,
    rows: (usize, NewRows),
    device: &Device,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(Decoder, FullWeights), TrainError> {
    let loaded = Decoder::load_to_train(folder, run.config.weights(), rows, device, on_bytes);
    let (decoder, weights) = loaded.map_err(TrainError::Load)?;
    let wanted = ModelConfig { vocab_size: run.model.vocab_size + run.new_token_count, ..run.model.clone() };
    match *decoder.config() == wanted {
        true => Ok((decoder, weights)),
        false => {
            let what = "its `config.json` is of another model than the run's".to_owned();
            Err(TrainError::BadCheckpoint { path: folder.to_owned(), what })
        }
    }
}
