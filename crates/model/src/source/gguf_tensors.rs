//! The tensors of a GGUF file as they lie in it, by their Hugging Face names.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use codeact_cpu::Format;

use super::error::SourceError;
use super::gguf::Gguf;
use super::gguf_config;
use super::gguf_weights::{Plan, checked_plan};

/// An opened GGUF file, all of whose tensors are there, in the right shape, and in a known format.
pub(crate) struct GgufTensors {
    gguf: Gguf,
    plans: HashMap<String, (Plan, Format)>,
}

/// A tensor as the file has it.
pub(crate) struct RawTensor {
    /// Rows one after the other, each in blocks of `format`.
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: Format,
    /// For each row of the Hugging Face tensor the row here; `None` when they are in order.
    pub(crate) row_order: Option<Vec<u32>>,
}

impl GgufTensors {
    /// Opens and checks the file.
    ///
    /// # Errors
    /// When it is damaged, or holds something that is not supported; the message names it.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        let gguf = Gguf::open(path)?;
        let config = gguf_config::read(&gguf)?;
        let mut plans = HashMap::new();
        for plan in checked_plan(&gguf, &config)? {
            let dtype = gguf.content.tensor_infos[&plan.gguf_name].ggml_dtype;
            let format = format_of(dtype).ok_or_else(|| {
                gguf.unsupported(format!(
                    "tensor `{}` is {dtype:?}, which cannot be served; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K can",
                    plan.gguf_name
                ))
            })?;
            plans.insert(plan.name.clone(), (plan, format));
        }
        Ok(Self { gguf, plans })
    }

    /// The file.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.gguf.path
    }

    /// Reads the tensor with this name in Hugging Face's models; `None` when the model has none.
    ///
    /// # Errors
    /// When the file cannot be read, or the tensor has another shape.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Option<RawTensor>, SourceError> {
        let Some((plan, format)) = self.plans.get(name) else {
            return Ok(None);
        };
        if plan.shape != shape {
            return Err(self
                .gguf
                .fault(format!("tensor `{}` is {:?}, the config wants {shape:?}", plan.gguf_name, plan.shape)));
        }
        let columns = *shape.last().expect("every planned shape has a dimension");
        let rows = shape.iter().product::<usize>() / columns;
        // The header was checked: rows are whole blocks, and the whole tensor lies in the file.
        let row_bytes = format
            .row_bytes(columns)
            .ok_or_else(|| self.gguf.fault(format!("tensor `{}` has rows of {columns} values", plan.gguf_name)))?;
        let info = &self.gguf.content.tensor_infos[&plan.gguf_name];
        let mut bytes = vec![0; rows * row_bytes];
        let start = self.gguf.content.tensor_data_offset + info.offset;
        self.gguf.file.read_exact_at(&mut bytes, start).map_err(SourceError::io("read", &self.gguf.path))?;
        let order = || (0..rows).map(|row| plan.gguf_row(row) as u32).collect();
        Ok(Some(RawTensor { bytes, format: *format, row_order: plan.is_interleaved().then(order) }))
    }
}

fn format_of(dtype: GgmlDType) -> Option<Format> {
    Some(match dtype {
        GgmlDType::F32 => Format::F32,
        GgmlDType::F16 => Format::F16,
        GgmlDType::BF16 => Format::Bf16,
        GgmlDType::Q4_0 => Format::Q4_0,
        GgmlDType::Q4_1 => Format::Q4_1,
        GgmlDType::Q5_0 => Format::Q5_0,
        GgmlDType::Q5_1 => Format::Q5_1,
        GgmlDType::Q8_0 => Format::Q8_0,
        GgmlDType::Q4K => Format::Q4K,
        GgmlDType::Q5K => Format::Q5K,
        GgmlDType::Q6K => Format::Q6K,
        GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q8_1 | GgmlDType::Q8K => return None,
    })
}
