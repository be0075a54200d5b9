//! Weights out of the safetensors files of a Hugging Face folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use codeact_ops::weight::Weight;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use safetensors::Dtype;
use serde::Deserialize;

use crate::ModelError;
use crate::adapter::Fused;
use crate::config::ModelConfig;
use crate::small_file::{INDEX_BYTES_MAX, read_text, require_plain};

/// How frozen weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// 32 bits; products in f32.
    F32,
    /// 16 bits; products in bf16 with f32 sums.
    Bf16,
    /// Projections in 4 bits (NF4, double quantisation), expanded to bf16 for each product; the rest in bf16.
    Nf4,
}

impl Weights {
    /// Dtype of what is not quantised, and of the products.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 | Self::Nf4 => DType::BF16,
        }
    }
}

impl From<DType> for Weights {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// Where a decoder's weights come from, and how they are to be kept.
pub(crate) struct WeightSource<'a> {
    origin: Origin<'a>,
    weights: Weights,
    device: Device,
}

enum Origin<'a> {
    Files { files: WeightFiles, on_bytes: &'a mut dyn FnMut(u64) },
    Random(Box<ChaCha8Rng>),
}

impl<'a> WeightSource<'a> {
    pub(crate) fn files(
        files: WeightFiles,
        weights: Weights,
        device: &Device,
        on_bytes: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self { origin: Origin::Files { files, on_bytes }, weights, device: device.clone() }
    }

    pub(crate) fn random(weights: Weights, device: &Device, seed: u64) -> Result<Self, ModelError> {
        if !device.is_cpu() {
            device.set_seed(seed)?;
        }
        let random = Box::new(ChaCha8Rng::seed_from_u64(seed));
        Ok(Self { origin: Origin::Random(random), weights, device: device.clone() })
    }

    /// An embedding or head: never quantised.
    pub(crate) fn table(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.matrix(name, shape)
    }

    /// The weight of a norm.
    pub(crate) fn norm(&mut self, name: &str, width: usize) -> Result<Tensor, ModelError> {
        match self.origin {
            Origin::Files { .. } => self.matrix(name, &[width]),
            Origin::Random(_) => Ok(Tensor::ones(width, self.weights.dtype(), &self.device)?),
        }
    }

    /// Projections that share an input, as one weight.
    pub(crate) fn projection(
        &mut self,
        config: &ModelConfig,
        layer: usize,
        fused: Fused,
    ) -> Result<Weight, ModelError> {
        let mut parts = Vec::new();
        for target in fused.targets() {
            let (c_in, c_out) = target.widths(config);
            let name = format!("model.layers.{layer}.{}.weight", target.module());
            parts.push(self.matrix(&name, &[c_out, c_in])?);
        }
        Ok(match (self.weights, parts.len()) {
            (Weights::Nf4, _) => Weight::quantised(&parts)?,
            (_, 1) => parts.remove(0).into(),
            _ => Tensor::cat(&parts, 0)?.into(),
        })
    }

    fn matrix(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let dtype = self.weights.dtype();
        match &mut self.origin {
            Origin::Files { files, on_bytes } => {
                let tensor = files.get(name, shape, dtype, &self.device)?;
                on_bytes((tensor.elem_count() * files.dtype(name).map_or(0, |dtype| dtype.size_in_bytes())) as u64);
                Ok(tensor)
            }
            // candle's generator cannot be seeded on the CPU.
            Origin::Random(random) if self.device.is_cpu() => {
                let width = 0.02 * 12f32.sqrt() / u32::MAX as f32;
                let next = || (random.next_u32() as f32 - u32::MAX as f32 / 2.0) * width;
                let values: Vec<f32> = std::iter::repeat_with(next).take(shape.iter().product()).collect();
                Ok(Tensor::from_vec(values, shape, &self.device)?.to_dtype(dtype)?)
            }
            Origin::Random(_) => Ok(Tensor::randn(0f32, 0.02, shape, &self.device)?.to_dtype(dtype)?),
        }
    }
}

/// The safetensors files of one folder, mapped into memory.
pub(crate) struct WeightFiles {
    folder: PathBuf,
    files: MmapedSafetensors,
}

impl WeightFiles {
    /// Maps the folder's weight files.
    pub(crate) fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::map(folder, &safetensors_files(folder)?)
    }

    /// Maps one file, of whatever tensors.
    pub(crate) fn of_file(path: &Path) -> Result<Self, ModelError> {
        Self::map(path, &[path.to_owned()])
    }

    /// * `folder`: named in errors.
    fn map(folder: &Path, paths: &[PathBuf]) -> Result<Self, ModelError> {
        for path in paths {
            require_plain(path).map_err(|source| ModelError::io(path, source))?;
        }
        // SAFETY: the files are only read, and a model folder is not rewritten while it is in use: our own exports
        // go to a new folder that is renamed into place.
        let files = unsafe { MmapedSafetensors::multi(paths) }
            .map_err(|error| ModelError::weights(folder, format!("not valid safetensors: {error}")))?;
        Ok(Self { folder: folder.to_owned(), files })
    }

    /// Dtype in the file.
    fn dtype(&self, name: &str) -> Option<DType> {
        self.files.get(name).ok()?.dtype().try_into().ok()
    }

    /// The tensor of this name and shape. It goes to the device out of the mapped file, as the file has it, and is
    /// converted there.
    fn get(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor, ModelError> {
        let Ok(view) = self.files.get(name) else {
            return Err(ModelError::weights(&self.folder, format!("tensor `{name}` is missing")));
        };
        // Before anything is allocated: what is in the file may be large, and of any kind.
        if !matches!(view.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            let what = format!("tensor `{name}` holds {:?} values, not weights", view.dtype());
            return Err(ModelError::weights(&self.folder, what));
        }
        if view.shape() != shape {
            let what = format!("tensor `{name}` is {:?}, the config wants {shape:?}", view.shape());
            return Err(ModelError::weights(&self.folder, what));
        }
        let tensor = self
            .files
            .load(name, device)
            .map_err(|error| ModelError::weights(&self.folder, format!("tensor `{name}` cannot be read: {error}")))?;
        Ok(tensor.to_dtype(dtype)?)
    }

    /// Dtype and bytes of the tensor of this name and shape, as the file has them.
    pub(crate) fn raw(&self, name: &str, shape: &[usize]) -> Result<(DType, &[u8]), ModelError> {
        let view = self.files.get(name).map_err(|_| self.fault(format!("tensor `{name}` is missing")))?;
        let what = |error| self.fault(format!("tensor `{name}` cannot be read: {error}"));
        let dtype = DType::try_from(view.dtype()).map_err(what)?;
        if view.shape() != shape {
            return Err(self.fault(format!("tensor `{name}` is {:?}, the config wants {shape:?}", view.shape())));
        }
        Ok((dtype, view.data()))
    }

    /// Names of all tensors, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.files.tensors().into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// Dtype and shape as the file has them.
    pub(crate) fn describe(&self, name: &str) -> Result<(Dtype, Vec<usize>), ModelError> {
        let view = self.files.get(name).map_err(|_| self.fault(format!("tensor `{name}` is missing")))?;
        Ok((view.dtype(), view.shape().to_vec()))
    }

    /// A tensor as the file has it, on the CPU.
    pub(crate) fn load(&self, name: &str) -> Result<Tensor, ModelError> {
        let what = |error| self.fault(format!("tensor `{name}` cannot be read: {error}"));
        self.files.load(name, &Device::Cpu).map_err(what)
    }

    pub(crate) fn fault(&self, what: impl Into<String>) -> ModelError {
        ModelError::weights(&self.folder, what)
    }

    /// Refuses biases: they would be dropped without a word.
    pub(crate) fn refuse_biases(&self) -> Result<(), ModelError> {
        match self.files.tensors().iter().find(|(name, _)| name.ends_with("_proj.bias")) {
            Some((name, _)) => {
                let what = format!("`{name}`: projections with biases are not supported");
                Err(ModelError::weights(&self.folder, what))
            }
            None => Ok(()),
        }
    }
}

/// The dtype in which a model folder has its projections.
///
/// # Errors
/// When the weights cannot be read.
pub fn stored_dtype(folder: &Path) -> Result<DType, ModelError> {
    let files = WeightFiles::open(folder)?;
    let name = "model.layers.0.self_attn.q_proj.weight";
    files.dtype(name).ok_or_else(|| files.fault(format!("tensor `{name}` is missing")))
}

/// The files that hold the model's weights: those of the index, or `model.safetensors`.
///
/// Other safetensors files in the folder (an adapter, another layout of the same weights) are not the model's.
///
/// # Errors
/// When there are none, or the index cannot be read.
pub fn safetensors_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        let single = folder.join("model.safetensors");
        if !single.exists() {
            let what = "no model.safetensors and no index\nhint: convert .bin weights to safetensors first";
            return Err(ModelError::weights(folder, what));
        }
        return Ok(vec![single]);
    }
    Ok(shard_names(&index)?.into_iter().map(|name| folder.join(name)).collect())
}

/// The files that an index names, all of them beside it.
pub(crate) fn shard_names(path: &Path) -> Result<BTreeSet<String>, ModelError> {
    let text = read_text(path, INDEX_BYTES_MAX)?;
    let index: Index =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    // A name that goes on behind a separator, or begins at the root, would be a path out of the folder.
    match names.iter().find(|name| name.contains('\0') || Path::new(name).file_name() != Some(OsStr::new(name))) {
        Some(name) => Err(ModelError::weights(path, format!("it names `{name}`, which is not a file beside it"))),
        None => Ok(names),
    }
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}
