//! Weights out of the safetensors of a folder, or out of a GGUF file, as they lie there.

use std::borrow::Cow;

use candle_core::DType;
use codeact_cpu::Format;

use crate::ModelError;
use crate::source::{GgufTensors, ModelFiles};
use crate::weights::WeightFiles;

/// The tensors of a model by their Hugging Face names.
pub(super) enum Tensors {
    Folder(WeightFiles),
    Gguf(GgufTensors),
}

/// A matrix as a file has it.
pub(super) struct Stored<'a> {
    pub(super) format: Format,
    /// Rows one after the other.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Which of these rows is row `i`; `None`: row `i`.
    pub(super) row_order: Option<Vec<u32>>,
}

/// A matrix of which single rows are read.
pub(super) struct Table {
    format: Format,
    bytes: Vec<u8>,
    row_bytes: usize,
}

impl Tensors {
    pub(super) fn open(files: &ModelFiles) -> Result<Self, ModelError> {
        if let Some(path) = files.gguf() {
            return Ok(Self::Gguf(GgufTensors::open(path)?));
        }
        let files = WeightFiles::open(files.folder())?;
        files.refuse_biases()?;
        Ok(Self::Folder(files))
    }

    /// The tensor of this name and shape.
    ///
    /// # Errors
    /// When it is missing, has another shape, or is not made of numbers that weights can be: finite ones.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, ModelError> {
        let stored = self.read(name, shape)?;
        match stored.format.first_not_finite(&stored.bytes) {
            Some(place) => {
                let columns = shape.last().copied().unwrap_or(1).max(1);
                let row = place * stored.format.block_len() / columns;
                let what = format!("tensor `{name}` has a value in row {row} that is not finite");
                Err(match self {
                    Self::Folder(files) => files.fault(what),
                    Self::Gguf(tensors) => ModelError::weights(tensors.path(), what),
                })
            }
            None => Ok(stored),
        }
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, ModelError> {
        match self {
            Self::Folder(files) => {
                let (dtype, bytes) = files.raw(name, shape)?;
                let format = match dtype {
                    DType::F32 => Format::F32,
                    DType::F16 => Format::F16,
                    DType::BF16 => Format::Bf16,
                    other => return Err(files.fault(format!("tensor `{name}` holds {other:?} values, not weights"))),
                };
                Ok(Stored { format, bytes: Cow::Borrowed(bytes), row_order: None })
            }
            Self::Gguf(tensors) => match tensors.read(name, shape)? {
                Some(raw) => Ok(Stored { format: raw.format, bytes: Cow::Owned(raw.bytes), row_order: raw.row_order }),
                None => Err(ModelError::weights(tensors.path(), format!("tensor `{name}` is missing"))),
            },
        }
    }

    /// The weight of a norm, `(width,)`.
    pub(super) fn norm(&self, name: &str, width: usize) -> Result<Vec<f32>, ModelError> {
        let stored = self.get(name, &[width])?;
        let mut values = vec![0.0; width];
        stored.format.decode_row(&stored.bytes, &mut values);
        Ok(values)
    }

    /// A matrix of which single rows are read, `(rows, columns)`.
    pub(super) fn table(&self, name: &str, shape: [usize; 2]) -> Result<Table, ModelError> {
        let Stored { format, bytes, .. } = self.get(name, &shape)?;
        let row_bytes = bytes.len() / shape[0];
        Ok(Table { format, row_bytes, bytes: bytes.into_owned() })
    }
}

impl Table {
    /// Row `index` as `(columns,)` f32.
    pub(super) fn row(&self, index: usize, out: &mut [f32]) {
        self.format.decode_row(&self.bytes[index * self.row_bytes..][..self.row_bytes], out);
    }

    pub(super) fn byte_count(&self) -> usize {
        self.bytes.len()
    }
}
