//! Vectors of f32 in safetensors files, written and read a part at a time: where all weights are trained, weights and
//! moments fill most of the memory, and no copy of one fits beside them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::ModelError;
use crate::weights::WeightFiles;

/// Values that exist a second time, and once more as bytes.
const AT_ONCE: usize = 1 << 19;

/// The header of a safetensors file has a multiple of so many bytes.
const HEADER_ALIGNMENT: usize = 8;

/// Writes contiguous f32 tensors, on any device and of any shape, as a safetensors file: the bytes that the library
/// writes, but no tensor is copied as a whole.
///
/// * `metadata`: entries of the header's `__metadata__`, if there is to be one.
///
/// # Errors
/// When a tensor is not f32, or the disk does not take it.
pub fn write_f32(path: &Path, tensors: &[(&str, &Tensor)], metadata: Option<(&str, &str)>) -> Result<(), ModelError> {
    let mut tensors = tensors.to_vec();
    tensors.sort_by_key(|(name, _)| *name);
    let (mut infos, mut offset) = (Vec::new(), 0);
    for (name, tensor) in &tensors {
        if tensor.dtype() != DType::F32 {
            return Err(ModelError::weights(path, format!("`{name}` is {:?}, expected F32", tensor.dtype())));
        }
        let end = offset + tensor.elem_count() * size_of::<f32>();
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.dims().to_vec(), data_offsets: (offset, end) };
        infos.push(((*name).to_owned(), info));
        offset = end;
    }
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.to_owned(), value.to_owned())]));
    let metadata = Metadata::new(metadata, infos).map_err(|error| ModelError::weights(path, error.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).expect("names and numbers are JSON");
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
    let io = |source| ModelError::io(path, source);
    let mut file = File::create(path).map_err(io)?;
    file.write_all(&[&(header.len() as u64).to_le_bytes(), &header[..]].concat()).map_err(io)?;
    let mut bytes = Vec::new();
    for (_, tensor) in tensors {
        let (flat, count) = (tensor.flatten_all()?, tensor.elem_count());
        for start in (0..count).step_by(AT_ONCE) {
            let values = flat.narrow(0, start, AT_ONCE.min(count - start))?.to_vec1::<f32>()?;
            bytes.resize(values.len() * size_of::<f32>(), 0);
            let places = bytes.as_chunks_mut::<{ size_of::<f32>() }>().0;
            places.iter_mut().zip(&values).for_each(|(place, value)| *place = value.to_le_bytes());
            file.write_all(&bytes).map_err(io)?;
        }
    }
    Ok(())
}

/// Reads f32 vectors out of a safetensors file, each into the tensor beside its name: `(N,)` f32, on any device.
///
/// # Errors
/// When the file cannot be read, is damaged, or lacks one of them or has it in another type or length. Then some of them may
/// have been read.
pub fn read_f32(path: &Path, vectors: &[(&str, &Tensor)]) -> Result<(), ModelError> {
    let files = WeightFiles::of_file(path)?;
    for (name, into) in vectors {
        let (dtype, shape) = files.describe(name)?;
        if dtype != Dtype::F32 || shape != into.dims() {
            return Err(files.fault(format!("`{name}` is {dtype:?} {shape:?}, expected F32 {:?}", into.dims())));
        }
        let (_, bytes) = files.raw(name, into.dims())?;
        for (index, part) in bytes.chunks(AT_ONCE * size_of::<f32>()).enumerate() {
            let values = part.as_chunks::<{ size_of::<f32>() }>().0.iter();
            let values: Vec<f32> = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let count = values.len();
            into.slice_set(&Tensor::from_vec(values, count, into.device())?, 0, index * AT_ONCE)?;
        }
    }
    Ok(())
}
