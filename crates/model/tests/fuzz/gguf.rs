//! GGUF files: a good one is taken apart, its fields are changed, and it is put together again.

use std::fs;

use candle_core::quantized::gguf_file::Value;
use codeact_model::source::{missing_file, resolve_with};

use crate::harness::{Bounds, Random, campaign, damage};
use crate::scratch;
use crate::source_support::{metadata, options, tensor_list, write_gguf};

/// A vocabulary is parsed, rebuilt as JSON and parsed by the tokenizers library to prove it; weights are expanded from
/// 4 bits to 32.
const BOUNDS: Bounds = Bounds { factor: 160, constant: 8 << 20 };

/// A file in its parts.
#[derive(Clone)]
pub struct Parts {
    version: u32,
    tensor_count: u64,
    key_count: u64,
    /// Key, type, value.
    values: Vec<(Vec<u8>, u32, Vec<u8>)>,
    tensors: Vec<Info>,
    data: Vec<u8>,
}

#[derive(Clone)]
struct Info {
    name: Vec<u8>,
    lengths: Vec<u64>,
    kind: u32,
    offset: u64,
}

struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Vec<u8> {
        self.1 += count;
        self.0[self.1 - count..self.1].to_vec()
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> Vec<u8> {
        let count = self.u64() as usize;
        self.take(count)
    }

    fn value(&mut self, kind: u32) -> Vec<u8> {
        let start = self.1;
        match kind {
            8 => drop(self.text()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| drop(self.value(kind)));
            }
            _ => drop(self.take([1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][kind as usize])),
        }
        self.0[start..self.1].to_vec()
    }
}

impl Parts {
    pub fn read(bytes: &[u8]) -> Parts {
        let mut reader = Reader(bytes, 4);
        let (version, tensor_count, key_count) = (reader.u32(), reader.u64(), reader.u64());
        let values = (0..key_count).map(|_| {
            let (key, kind) = (reader.text(), reader.u32());
            (key, kind, reader.value(kind))
        });
        let values = values.collect();
        let tensors = (0..tensor_count).map(|_| {
            let (name, count) = (reader.text(), reader.u32());
            let lengths = (0..count).map(|_| reader.u64()).collect();
            Info { name, lengths, kind: reader.u32(), offset: reader.u64() }
        });
        let tensors = tensors.collect();
        let data = bytes[reader.1.next_multiple_of(32)..].to_vec();
        Parts { version, tensor_count, key_count, values, tensors, data }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.key_count.to_le_bytes());
        for (key, kind, value) in &self.values {
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key);
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        for info in &self.tensors {
            bytes.extend((info.name.len() as u64).to_le_bytes());
            bytes.extend(&info.name);
            bytes.extend((info.lengths.len() as u32).to_le_bytes());
            info.lengths.iter().for_each(|length| bytes.extend(length.to_le_bytes()));
            bytes.extend(info.kind.to_le_bytes());
            bytes.extend(info.offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    /// Bytes from the beginning of a tensor to the end of the file.
    pub fn bytes_from(&self, tensor: &str) -> usize {
        let info = self.tensors.iter().find(|info| info.name == tensor.as_bytes()).unwrap();
        self.data.len() - info.offset as usize
    }

    pub fn mutate(&mut self, random: &mut Random) {
        match random.below(10) {
            0 => self.version = random.odd_number() as u32,
            1 => self.tensor_count = random.odd_number(),
            2 => self.key_count = random.odd_number(),
            3..=5 => self.mutate_value(random),
            6..=8 => self.mutate_tensor(random),
            _ => {
                // Scales that are no numbers, among others.
                let (at, end) = (random.below(self.data.len()), random.below(32));
                for byte in self.data.iter_mut().skip(at).take(end) {
                    *byte = *random.pick(&[0xff, 0x7f, 0x80, 0x7c, 0xfc, 0]);
                }
            }
        }
    }

    fn mutate_value(&mut self, random: &mut Random) {
        let at = random.below(self.values.len());
        match random.below(8) {
            0 => self.values[at].1 = random.below(15) as u32,
            1 => drop(self.values.remove(at)),
            2 => {
                let entry = self.values[at].clone();
                self.values.push(entry);
            }
            3 => {
                let key = random.below(self.values.len());
                self.values[at].0 = self.values[key].0.clone();
            }
            4 => {
                let alignment = random.odd_number() as u32;
                let mut key = b"general.alignment".to_vec();
                key.resize(key.len() + random.below(3), 0);
                self.values.push((key, *random.pick(&[4, 4, 5, 10]), alignment.to_le_bytes().to_vec()));
            }
            5 => damage(random, &mut self.values[at].2),
            6 => damage(random, &mut self.values[at].0),
            _ => {
                // Lengths and numbers stand at the beginning, and after the type of an array.
                let number = random.odd_number().to_le_bytes();
                let start = *random.pick(&[0, 0, 4, 12]);
                for (byte, new) in self.values[at].2.iter_mut().skip(start).zip(number) {
                    *byte = new;
                }
            }
        }
        if random.once_in(2) {
            self.key_count = self.values.len() as u64;
        }
    }

    fn mutate_tensor(&mut self, random: &mut Random) {
        let (at, other) = (random.below(self.tensors.len()), random.below(self.tensors.len()));
        let known = self.tensors[other].clone();
        let info = &mut self.tensors[at];
        match random.below(9) {
            0 => info.kind = *random.pick(&[0, 1, 2, 3, 6, 8, 10, 12, 14, 30, 4, 9, 15, 31, u32::MAX]),
            1 => info.offset = random.odd_number(),
            2 => info.offset = known.offset,
            3 => info.name = known.name.clone(),
            4 => info.lengths.push(random.odd_number()),
            5 => drop(info.lengths.pop()),
            6 => info.lengths.reverse(),
            7 => damage(random, &mut info.name),
            _ => {
                let length = random.below(info.lengths.len());
                if let Some(length) = info.lengths.get_mut(length) {
                    *length = random.odd_number();
                }
            }
        }
        if random.once_in(4) {
            self.tensors.push(known);
            self.tensor_count = self.tensors.len() as u64;
        }
    }
}

/// The small model with a SentencePiece vocabulary.
fn sentencepiece() -> (Vec<(String, Value)>, usize) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["\u{2581}", "a", "b", "ab", "\u{2581}a", "\u{2581}ab", "aa", "aaa"].map(String::from));
    let types = |at: usize| [2, 3, 3].get(at).copied().unwrap_or(if at < 259 { 6 } else { 1 });
    let count = tokens.len();
    let mut values = metadata();
    values.retain(|(key, _)| !["tokenizer.ggml.pre", "tokenizer.ggml.merges"].contains(&key.as_str()));
    for (key, value) in &mut values {
        *value = match key.as_str() {
            "tokenizer.ggml.model" => Value::String("llama".into()),
            "tokenizer.ggml.tokens" => Value::Array(tokens.iter().cloned().map(Value::String).collect()),
            "tokenizer.ggml.token_type" => Value::Array((0..count).map(|at| Value::I32(types(at))).collect()),
            _ => continue,
        };
    }
    let scores = Value::Array((0..count).map(|at| Value::F32(-(at as f32))).collect());
    values.push(("tokenizer.ggml.scores".into(), scores));
    (values, count)
}

pub fn goods() -> Vec<Vec<u8>> {
    let (root, (values, token_count)) = (scratch(), sentencepiece());
    let path = root.path().join("good.gguf");
    let mut tensors = tensor_list();
    write_gguf(&path, &metadata(), &tensors);
    let byte_level = fs::read(&path).unwrap();
    tensors[0].1 = token_count;
    write_gguf(&path, &values, &tensors);
    vec![byte_level, fs::read(&path).unwrap()]
}

#[test]
fn damaged_gguf_files() {
    let (root, goods) = (scratch(), goods());
    let (path, settings) = (root.path().join("bad.gguf"), options(root.path()));
    let parts: Vec<Parts> = goods.iter().map(|good| Parts::read(good)).collect();
    for (good, parts) in goods.iter().zip(&parts) {
        assert_eq!(&parts.write(), good, "taking apart and putting together changes nothing");
    }
    let (mut converted, mut refused) = (0, 0);
    campaign("GGUF files", 1500, BOUNDS, |case| {
        let which = case.random.below(parts.len());
        let mut bytes = match case.random.below(4) {
            0 => goods[which].clone(),
            _ => {
                let mut parts = parts[which].clone();
                (0..1 + case.random.below(3)).for_each(|_| parts.mutate(&mut case.random));
                parts.write()
            }
        };
        if case.random.once_in(3) {
            damage(&mut case.random, &mut bytes);
        }
        fs::write(&path, &bytes).unwrap();
        let result = case.measure(bytes.len(), || resolve_with(path.to_str().unwrap(), &settings, &|_| {}));
        match result {
            Ok(folder) => {
                assert_eq!(missing_file(&folder), None);
                let weights = fs::metadata(folder.join("model.safetensors")).unwrap().len();
                assert!(weights <= 8 * bytes.len() as u64 + 4096, "{weights} bytes out of {}", bytes.len());
                codeact_model::ModelConfig::load(&folder).unwrap();
                fs::remove_dir_all(&folder).unwrap();
                converted += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("bad.gguf"), "no place in: {error}");
                refused += 1;
            }
        }
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (converted > 50 && refused > 500), "{converted} converted, {refused} refused");
}
