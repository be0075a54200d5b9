//! Full fine-tuning: every weight of a decoder in one flat f32 vector.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::ModelError;
use crate::adapter::{Fused, Target};
use crate::config::ModelConfig;
use crate::flat::write_f32;
use crate::save;
use crate::weights::{WeightFiles, WeightSource, Weights};

/// Values that are rounded at once, so that what is rounded never exists a second time.
const ROUNDED_AT_ONCE: usize = 1 << 24;

/// File of all weights in a folder of [`FullWeights::save`].
const WEIGHTS_FILE: &str = "model.safetensors";

/// Where a tensor lies in the flat vector.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    start: usize,
    shape: Vec<usize>,
}

impl Place {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape.iter().product::<usize>()
    }

    /// The tensor in a flat vector: the parameters, what they are rounded to, or their gradients.
    pub(crate) fn view(&self, flat: &Tensor) -> Result<Tensor> {
        flat.narrow(0, self.start, self.range().len())?.reshape(&self.shape[..])
    }
}

/// The tensors of one block.
#[derive(Debug)]
pub(crate) struct BlockPlaces {
    pub(crate) attention_norm: Place,
    pub(crate) mlp_norm: Place,
    projections: [Place; Fused::ALL.len()],
}

impl BlockPlaces {
    /// Projections that share an input, as one weight `(out, in)`.
    pub(crate) fn projection(&self, fused: Fused) -> &Place {
        &self.projections[fused as usize]
    }
}

/// Where every weight lies.
///
/// Embedding, blocks, last norm, and unless tied the head; in a block what shares an input lies side by side. Every tensor
/// has a multiple of `C` values, so that a row begins where wide accesses may wherever its width allows them.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) embedding: Place,
    pub(crate) blocks: Vec<BlockPlaces>,
    pub(crate) norm: Place,
    head: Option<Place>,
    /// All tensors by their names in a Hugging Face folder, in the order of the vector.
    named: Vec<(String, Place)>,
}

impl Layout {
    fn new(model: &ModelConfig) -> Self {
        let (mut named, mut start) = (Vec::new(), 0);
        let mut add = |name: String, shape: &[usize]| {
            let place = Place { start, shape: shape.to_vec() };
            start = place.range().end;
            named.push((name, place.clone()));
            place
        };
        let (c, table) = (model.hidden_size, [model.vocab_size, model.hidden_size]);
        let embedding = add("model.embed_tokens.weight".to_owned(), &table);
        let block = |index: usize| {
            let name = |part: &str| format!("model.layers.{index}.{part}.weight");
            let norm = ["input_layernorm", "post_attention_layernorm"].map(|part| add(name(part), &[c]));
            let projections = Fused::ALL.map(|fused| {
                let of_target = |target: &Target| {
                    let (c_in, c_out) = target.widths(model);
                    add(name(target.module()), &[c_out, c_in])
                };
                let parts: Vec<Place> = fused.targets().iter().map(of_target).collect();
                let rows = parts.iter().map(|part| part.shape[0]).sum();
                Place { start: parts[0].start, shape: vec![rows, parts[0].shape[1]] }
            });
            let [attention_norm, mlp_norm] = norm;
            BlockPlaces { attention_norm, mlp_norm, projections }
        };
        let blocks = (0..model.layer_count).map(block).collect();
        let norm = add("model.norm.weight".to_owned(), &[c]);
        let head = (!model.tie_word_embeddings).then(|| add("lm_head.weight".to_owned(), &table));
        Self { embedding, blocks, norm, head, named }
    }

    /// The head, which may be the embedding.
    pub(crate) fn head(&self) -> &Place {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Whether the head has a place of its own.
    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    fn count(&self) -> usize {
        self.named.last().map_or(0, |(_, place)| place.range().end)
    }
}

/// Every weight of a decoder, to be trained.
///
/// The values are one flat f32 vector `(P,)`. A decoder in f32 reads this vector itself. One in bf16 reads a rounded copy,
/// which [`FullWeights::refresh`] brings up to date, so that small updates are not lost in rounding.
pub struct FullWeights {
    layout: Arc<Layout>,
    model: ModelConfig,
    parameters: Tensor,
    rounded: Option<Tensor>,
}

impl FullWeights {
    /// Takes all weights out of `source`, which gives f32. Rows of the embedding and head that it does not have are left
    /// zero.
    ///
    /// * `model`: the shape, with all rows; `stored_rows`: rows that the source has.
    /// * `weights`: what the decoder computes with.
    pub(crate) fn read_from(
        source: &mut WeightSource<'_>,
        model: &ModelConfig,
        stored_rows: usize,
        weights: Weights,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        if weights == Weights::Nf4 {
            return Err(
                candle_core::Error::msg("weights in 4 bits cannot be trained, only what is put beside them").into()
            );
        }
        let layout = Layout::new(model);
        let parameters = Tensor::zeros(layout.count(), DType::F32, device)?;
        for (name, place) in &layout.named {
            let tensor = match place.shape[..] {
                [width] => source.norm(name, width)?,
                [_, width] if is_table(name) => source.table(name, &[stored_rows, width])?,
                _ => source.table(name, &place.shape)?,
            };
            parameters.slice_set(&tensor.flatten_all()?, 0, place.start)?;
        }
        let dtype = weights.dtype();
        let rounded = (dtype != DType::F32).then(|| Tensor::zeros(layout.count(), dtype, device)).transpose()?;
        let (layout, model) = (Arc::new(layout), model.clone());
        Ok(Self { layout, model, parameters, rounded })
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What the decoder reads, `(P,)` in the dtype of its products.
    pub(crate) fn values(&self) -> &Tensor {
        self.rounded.as_ref().unwrap_or(&self.parameters)
    }

    /// Puts `row` into the rows from `first` on of the embedding or head.
    pub(crate) fn fill_rows(&self, place: &Place, first: usize, row: &Tensor) -> Result<()> {
        for index in first..place.shape[0] {
            self.parameters.slice_set(row, 0, place.start + index * place.shape[1])?;
        }
        Ok(())
    }

    /// Shape of the model, with the rows of new tokens.
    pub fn model(&self) -> &ModelConfig {
        &self.model
    }

    /// All values, `(P,)` f32. After changing them in place call [`FullWeights::refresh`].
    pub fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// Number of trainable values, `P`.
    pub fn parameter_count(&self) -> usize {
        self.parameters.elem_count()
    }

    /// Rounds the values anew where the decoder reads rounded ones.
    ///
    /// # Errors
    /// When the device fails.
    pub fn refresh(&self) -> Result<()> {
        let Some(rounded) = &self.rounded else {
            return Ok(());
        };
        for start in (0..self.parameter_count()).step_by(ROUNDED_AT_ONCE) {
            let part = self.parameters.narrow(0, start, ROUNDED_AT_ONCE.min(self.parameter_count() - start))?;
            rounded.slice_set(&part.to_dtype(rounded.dtype())?, 0, start)?;
        }
        Ok(())
    }

    /// Every tensor of a flat vector, the parameters or their gradients, by its name in a Hugging Face folder.
    ///
    /// # Errors
    /// When the vector is shorter than the parameters.
    pub fn named(&self, flat: &Tensor) -> Result<Vec<(&str, Tensor)>> {
        if flat.dims() != self.parameters.dims() {
            bail!("a flat vector of {:?} for {} weights", flat.dims(), self.parameter_count());
        }
        self.layout.named.iter().map(|(name, place)| Ok((name.as_str(), place.view(flat)?))).collect()
    }

    /// The tensor of this name, `None` when there is none.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Tensor>> {
        let place = self.layout.named.iter().find(|(named, _)| named == name);
        place.map(|(_, place)| place.view(&self.parameters)).transpose()
    }

    /// Names of all tensors, in the order of the vector.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.named.iter().map(|(name, _)| name.as_str())
    }

    /// Where the weights of norms lie, ascending: weight decay is not for them.
    ///
    /// Source: `Trainer.get_decay_parameter_names` of transformers.
    pub fn norm_ranges(&self) -> Vec<Range<usize>> {
        let norms = self.layout.named.iter().filter(|(_, place)| place.shape.len() == 1);
        norms.map(|(_, place)| place.range()).collect()
    }

    /// Writes `config.json` and all weights in f32, bit for bit, into a folder that exists; [`crate::Decoder::load`] and
    /// [`FullWeights::restore`] read it.
    ///
    /// * `base`: the folder of the model that they were; other settings of `config.json` come from it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn save(&self, base: &Path, out: &Path) -> std::result::Result<(), ModelError> {
        save::write_config(base, self.model.vocab_size, out)?;
        let tensors = self.named(&self.parameters)?;
        let tensors: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        write_f32(&out.join(WEIGHTS_FILE), &tensors, Some(("format", "pt")))
    }

    /// Takes over the weights in a folder that [`FullWeights::save`] wrote.
    ///
    /// # Errors
    /// When it is of another shape, or cannot be read.
    pub fn restore(&self, folder: &Path) -> std::result::Result<(), ModelError> {
        let files = WeightFiles::open(folder)?;
        if ModelConfig::load(folder)? != self.model {
            return Err(files.fault("its `config.json` is of another model"));
        }
        let mut nobody = |_| {};
        let device = self.parameters.device();
        let mut source = WeightSource::files(files, Weights::F32, device, &mut nobody);
        for (name, place) in &self.layout.named {
            let tensor = source.table(name, &place.shape)?;
            self.parameters.slice_set(&tensor.flatten_all()?, 0, place.start)?;
        }
        Ok(self.refresh()?)
    }
}

/// Whether a tensor has a row for each token.
fn is_table(name: &str) -> bool {
    save::TABLES.contains(&name)
}
