//! Llama 3's long-context scaling out of a GGUF file, which has its result only.
//!
//! Converters write for each rotary frequency the number that divides it. The rule behind these numbers has four
//! parameters, of which every published model has the same two; the other two follow from the numbers, and what they do
//! not give back is refused.
use candle_core::Device;
use candle_core::quantized::GgmlDType;
use serde_json::{Value, json};

use super::error::SourceError;
use super::gguf::Gguf;
use crate::rotary::Rotary;

/// The tensor with the factors.
pub(crate) const FACTORS: &str = "rope_freqs.weight";

/// Parameters of every published model.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;

/// Factors are f32, made by sums and quotients of f32: they agree to five digits with what the rule gives.
const TOLERANCE: f64 = 1e-4;

/// `rope_scaling` as config.json has it; `None` without the tensor, or when it changes nothing.
///
/// # Errors
/// When it has another shape or type than it must, or no parameters give its numbers.
pub(super) fn read(gguf: &Gguf, head_width: u64, rope_theta: f64) -> Result<Option<Value>, SourceError> {
    let Some(info) = gguf.content.tensor_infos.get(FACTORS) else { return Ok(None) };
    if info.shape.dims() != [head_width as usize / 2] || info.ggml_dtype != GgmlDType::F32 {
        let (shape, dtype) = (info.shape.dims(), info.ggml_dtype);
        return Err(gguf.fault(format!(
            "tensor `{FACTORS}` is {dtype:?} of shape {shape:?}, it must be F32 of [{}]",
            head_width / 2
        )));
    }
    let factors = gguf
        .content
        .tensor(&mut &gguf.file, FACTORS, &Device::Cpu)
        .and_then(|tensor| tensor.dequantize(&Device::Cpu)?.to_vec1::<f32>())
        .map_err(|error| gguf.fault(format!("tensor `{FACTORS}`: {error}")))?;
    if factors.iter().all(|factor| *factor == 1.0) {
        return Ok(None);
    }
    let factor = factors.iter().copied().map(f64::from).fold(f64::NEG_INFINITY, f64::max);
    // The lengths that models were made for before they were stretched.
    let scalings = (10..=20).map(|power| {
        json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW, "high_freq_factor": HIGH,
            "original_max_position_embeddings": 1u64 << power,
        })
    });
    let plain = frequencies(&Value::Null, rope_theta, head_width);
    let fits = |scaling: &Value| {
        let (Some(plain), Some(scaled)) = (&plain, frequencies(scaling, rope_theta, head_width)) else { return false };
        let divided = plain.iter().zip(&factors).map(|(plain, factor)| f64::from(plain / factor));
        divided.zip(scaled).all(|(one, other)| (one / f64::from(other) - 1.0).abs() < TOLERANCE)
    };
    // Published are 8192 alone; where several fit, they give the same frequencies.
    let mut scalings: Vec<Value> = scalings.collect();
    scalings.sort_by_key(|scaling| scaling["original_max_position_embeddings"] != 8192);
    match scalings.into_iter().find(fits) {
        Some(scaling) => Ok(Some(scaling)),
        None => Err(gguf.unsupported(format!("rotary scaling by a tensor `{FACTORS}` that is not that of Llama 3"))),
    }
}

fn frequencies(scaling: &Value, rope_theta: f64, head_width: u64) -> Option<Vec<f32>> {
    let rotary = Rotary::from_json(Some(rope_theta), scaling.as_object(), head_width as usize);
    rotary.ok().map(|rotary| rotary.inverse_frequencies)
}
