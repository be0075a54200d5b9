//! Weights out of the safetensors files of a Hugging Face folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::ModelError;

/// The safetensors files of one folder, mapped into memory.
pub(crate) struct WeightFiles {
    folder: PathBuf,
    files: MmapedSafetensors,
    dtype: DType,
    device: Device,
}

impl WeightFiles {
    /// Maps the folder's weight files.
    pub(crate) fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        let paths = safetensors_files(folder)?;
        // SAFETY: the files are only read, and a model folder is not rewritten while it is in use: our own exports
        // go to a new folder that is renamed into place.
        let files = unsafe { MmapedSafetensors::multi(&paths) }
            .map_err(|error| ModelError::weights(folder, format!("not valid safetensors: {error}")))?;
        Ok(Self { folder: folder.to_owned(), files, dtype, device: device.clone() })
    }

    /// The tensor of this name and shape, in the dtype and on the device of this model.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        if self.files.get(name).is_err() {
            return Err(ModelError::weights(&self.folder, format!("tensor `{name}` is missing")));
        }
        let tensor = self
            .files
            .load(name, &self.device)
            .map_err(|error| ModelError::weights(&self.folder, format!("tensor `{name}` cannot be read: {error}")))?;
        if !tensor.dtype().is_float() {
            let what = format!("tensor `{name}` holds {:?} values, not weights", tensor.dtype());
            return Err(ModelError::weights(&self.folder, what));
        }
        if tensor.dims() != shape {
            let what = format!("tensor `{name}` is {:?}, the config wants {shape:?}", tensor.dims());
            return Err(ModelError::weights(&self.folder, what));
        }
        Ok(tensor.to_dtype(self.dtype)?)
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

/// The files that hold the model's weights: those of the index, or `model.safetensors`.
///
/// Other safetensors files in the folder (an adapter, another layout of the same weights) are not the model's.
pub(crate) fn safetensors_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        let single = folder.join("model.safetensors");
        if !single.exists() {
            let what = "no model.safetensors and no index\nhint: convert .bin weights to safetensors first";
            return Err(ModelError::weights(folder, what));
        }
        return Ok(vec![single]);
    }
    let text = std::fs::read_to_string(&index).map_err(|source| ModelError::io(&index, source))?;
    let index: Index =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index.clone(), source })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(OsStr::new(name))) {
        return Err(ModelError::weights(folder, format!("the index names `{name}`, which is not a file beside it")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}
