//! Weights out of the safetensors files of a Hugging Face folder.

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};

use crate::ModelError;

/// The safetensors files of one folder, mapped into memory.
pub(crate) struct WeightFiles {
    folder: PathBuf,
    files: MmapedSafetensors,
    dtype: DType,
    device: Device,
}

impl WeightFiles {
    /// Maps every `*.safetensors` file of the folder.
    pub(crate) fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        let paths = safetensors_files(folder)?;
        // SAFETY: the files are only read, and a model folder is not rewritten while it is in use: our own exports
        // go to a new folder that is renamed into place.
        let files = unsafe { MmapedSafetensors::multi(&paths) }.map_err(|error| {
            ModelError::weights(folder, format!("not valid safetensors: {error}"))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            files,
            dtype,
            device: device.clone(),
        })
    }

    /// The tensor of this name and shape, in the dtype and on the device of this model.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.files.load(name, &self.device).map_err(|_| {
            ModelError::weights(&self.folder, format!("tensor `{name}` is missing"))
        })?;
        if tensor.dims() != shape {
            let what = format!(
                "tensor `{name}` is {:?}, the config wants {shape:?}",
                tensor.dims()
            );
            return Err(ModelError::weights(&self.folder, what));
        }
        Ok(tensor.to_dtype(self.dtype)?)
    }

    /// Refuses biases: they would be dropped without a word.
    pub(crate) fn refuse_biases(&self) -> Result<(), ModelError> {
        match self
            .files
            .tensors()
            .iter()
            .find(|(name, _)| name.ends_with("_proj.bias"))
        {
            Some((name, _)) => {
                let what = format!("`{name}`: projections with biases are not supported");
                Err(ModelError::weights(&self.folder, what))
            }
            None => Ok(()),
        }
    }
}

/// The folder's safetensors files in order of name.
pub(crate) fn safetensors_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let entries = std::fs::read_dir(folder).map_err(|source| ModelError::io(folder, source))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(ModelError::weights(
            folder,
            "no .safetensors files\nhint: convert .bin weights first",
        ));
    }
    Ok(paths)
}
