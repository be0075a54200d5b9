//! The frame of a GGUF file: metadata, the table of tensors, and where each tensor lies.
//!
//! Layout (version 3, little endian): magic, version, tensor count, metadata count, metadata (key, type, value), tensor
//! infos (name, dimensions, type, offset), padding, tensors, each at a multiple of 32 bytes. Source: the specification
//! in `docs/gguf.md` of ggml.

use codeact_cpu::Format;

const VERSION: u32 = 3;
/// Bytes at whose multiples tensors begin.
pub(super) const ALIGNMENT: usize = 32;

/// A value of metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
}

const I32: u32 = 5;
const F32: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U32(value) => number(out, 4, value.to_le_bytes()),
            Self::F32(value) => number(out, F32, value.to_le_bytes()),
            Self::Bool(value) => number(out, 7, [u8::from(*value)]),
            Self::Text(value) => {
                out.extend(TEXT.to_le_bytes());
                text(out, value);
            }
            Self::Texts(values) => {
                array(out, TEXT, values.len());
                values.iter().for_each(|value| text(out, value));
            }
            Self::F32s(values) => {
                array(out, F32, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Self::I32s(values) => {
                array(out, I32, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
    }
}

fn number<const N: usize>(out: &mut Vec<u8>, kind: u32, bytes: [u8; N]) {
    out.extend(kind.to_le_bytes());
    out.extend(bytes);
}

fn array(out: &mut Vec<u8>, kind: u32, count: usize) {
    out.extend(ARRAY.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A tensor as the table has it.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// Rows first, as Hugging Face has it; the file has them last.
    pub(super) shape: &'a [usize],
    pub(super) format: Format,
}

impl Entry<'_> {
    /// Bytes of the tensor, without padding. Its rows are whole blocks.
    pub(super) fn byte_count(&self) -> usize {
        let elements: usize = self.shape.iter().product();
        elements / self.format.block_len() * self.format.block_bytes()
    }
}

/// Everything before the first tensor, padding included.
pub(super) fn header(metadata: &[(String, Value)], entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        value.write(&mut out);
    }
    let mut offset = 0;
    for entry in entries {
        text(&mut out, entry.name);
        out.extend((entry.shape.len() as u32).to_le_bytes());
        entry.shape.iter().rev().for_each(|length| out.extend((*length as u64).to_le_bytes()));
        out.extend(type_number(entry.format).to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += entry.byte_count().next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}

/// ggml's number of a type.
fn type_number(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q4_1 => 3,
        Format::Q5_0 => 6,
        Format::Q5_1 => 7,
        Format::Q8_0 => 8,
        Format::Q4K => 12,
        Format::Q5K => 13,
        Format::Q6K => 14,
        Format::Bf16 => 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_by_another_reader() {
        let metadata = [
            ("a.text".to_owned(), Value::Text("é".into())),
            ("a.texts".to_owned(), Value::Texts(vec!["x".into(), String::new()])),
            ("a.number".to_owned(), Value::U32(7)),
            ("a.flag".to_owned(), Value::Bool(true)),
            ("a.scores".to_owned(), Value::F32s(vec![-1.0, 0.5])),
            ("a.types".to_owned(), Value::I32s(vec![3, -1])),
        ];
        let entries = [
            Entry { name: "norm", shape: &[5], format: Format::F32 },
            Entry { name: "matrix", shape: &[3, 64], format: Format::Q8_0 },
        ];
        let mut bytes = header(&metadata, &entries);
        let start = bytes.len();
        assert_eq!(start % ALIGNMENT, 0);
        bytes.resize(start + 32 + 3 * 2 * 34, 0);
        let content = candle_core::quantized::gguf_file::Content::read(&mut std::io::Cursor::new(&bytes)).unwrap();
        assert_eq!(content.tensor_data_offset as usize, start);
        assert_eq!(content.tensor_infos["matrix"].shape.dims(), [3, 64]);
        assert_eq!(content.tensor_infos["matrix"].offset, 32, "five f32 and padding");
        assert_eq!(content.metadata["a.text"].to_string().unwrap(), "é");
        assert_eq!(content.metadata["a.number"].to_u32().unwrap(), 7);
        assert!(content.metadata["a.flag"].to_bool().unwrap());
        assert_eq!(content.metadata["a.types"].to_vec().unwrap()[1].to_i32().unwrap(), -1);
        assert_eq!(content.metadata["a.scores"].to_vec().unwrap()[1].to_f32().unwrap(), 0.5);
        assert_eq!(content.metadata["a.texts"].to_vec().unwrap().len(), 2);
    }
}
