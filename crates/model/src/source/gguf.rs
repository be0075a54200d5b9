//! Convert a GGUF file of the Llama architecture to a Hugging Face folder.
//!
//! Weights are dequantised and stored as bf16, q and k rows go back to the order that Hugging Face models use, and
//! the tokenizer and the chat template are rebuilt from the metadata. What is not supported is refused by name.
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::gguf_config::LlamaConfig;
use super::gguf_tokenizer::TokenizerFiles;
use super::{gguf_check, gguf_config, gguf_tokenizer, gguf_weights};

/// An opened GGUF file whose header was checked.
pub(super) struct Gguf {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) content: Content,
}

/// Writes config.json, generation_config.json, model.safetensors and the tokenizer files into `folder`, which exists.
///
/// # Errors
/// [`SourceError::Gguf`] when the file is damaged or not supported, [`SourceError::Io`] when writing fails. What was
/// written until then stays; the caller owns the folder.
pub(super) fn convert(gguf_path: &Path, folder: &Path, progress: &dyn Fn(&str)) -> Result<(), SourceError> {
    let mut gguf = Gguf::open(gguf_path)?;
    let config = gguf_config::read(&gguf)?;
    let tokenizer = gguf_tokenizer::read(&gguf, &config)?;
    progress(&format!("converting `{}` ({} layers) to a Hugging Face folder", gguf_path.display(), config.layer_count));
    gguf_weights::write(&mut gguf, &config, &folder.join("model.safetensors"))?;
    write_small_files(&config, tokenizer, folder)
}

/// Writes what [`convert`] writes, but no weights.
///
/// # Errors
/// As [`convert`].
pub(super) fn unpack(gguf_path: &Path, folder: &Path) -> Result<(), SourceError> {
    let gguf = Gguf::open(gguf_path)?;
    let config = gguf_config::read(&gguf)?;
    let tokenizer = gguf_tokenizer::read(&gguf, &config)?;
    write_small_files(&config, tokenizer, folder)
}

fn write_small_files(config: &LlamaConfig, tokenizer: TokenizerFiles, folder: &Path) -> Result<(), SourceError> {
    for (name, value) in [
        ("config.json", config.to_json(&tokenizer.special_ids)),
        ("generation_config.json", gguf_config::generation_json(&tokenizer.special_ids)),
        ("tokenizer.json", tokenizer.tokenizer),
        ("tokenizer_config.json", tokenizer.config),
        ("special_tokens_map.json", tokenizer.special_tokens_map),
    ] {
        write_json(&folder.join(name), &value)?;
    }
    Ok(())
}

/// sha256 of a file in lower-case hexadecimal, read in pieces.
pub(super) fn sha256_hex(path: &Path) -> Result<String, SourceError> {
    let mut file = File::open(path).map_err(SourceError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(SourceError::io("read", path))?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), SourceError> {
    let file = File::create(path).map_err(SourceError::io("create", path))?;
    let mut writer = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut writer, value).map_err(|error| SourceError::io("write", path)(error.into()))?;
    writer.flush().map_err(SourceError::io("write", path))
}

impl Gguf {
    /// Opens the file, checks its header, and refuses other architectures than `llama`.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let mut file = File::open(path).map_err(SourceError::io("open", path))?;
        let file_bytes = file.metadata().map_err(SourceError::io("read", path))?.len();
        gguf_check::check_header(&mut BufReader::with_capacity(1 << 16, &mut file), file_bytes)
            .map_err(|what| SourceError::gguf(path, what))?;
        file.seek(SeekFrom::Start(0)).map_err(SourceError::io("read", path))?;
        let content = Content::read(&mut BufReader::with_capacity(1 << 16, &mut file))
            .map_err(|error| SourceError::gguf(path, error))?;
        let gguf = Gguf { path: path.to_path_buf(), file, content };
        match gguf.text("general.architecture")? {
            "llama" => Ok(gguf),
            other => Err(gguf.unsupported(format!("architecture `{other}` is not supported, only `llama`"))),
        }
    }

    pub(super) fn fault(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::gguf(&self.path, what)
    }

    pub(super) fn unsupported(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::unsupported(&self.path, what)
    }

    /// The value of `key` by `read`, `None` when the key is absent, an error when the value has another type.
    fn value<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> candle_core::Result<T>,
    ) -> Result<Option<T>, SourceError> {
        let Some(value) = self.content.metadata.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(self.fault(format!("`{key}` must be {kind}, it is of type {:?}", value.value_type()))),
        }
    }

    pub(super) fn text_option(&self, key: &str) -> Result<Option<&str>, SourceError> {
        Ok(self.value(key, "text", Value::to_string)?.map(String::as_str))
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, SourceError> {
        self.text_option(key)?.ok_or_else(|| self.absent(key))
    }

    pub(super) fn number_option(&self, key: &str) -> Result<Option<u64>, SourceError> {
        self.value(key, "a whole number", |value| match value {
            Value::I32(number) if *number >= 0 => Ok(*number as u64),
            other => other.to_u64(),
        })
    }

    pub(super) fn number(&self, key: &str) -> Result<u64, SourceError> {
        self.number_option(key)?.ok_or_else(|| self.absent(key))
    }

    /// A 32-bit number as the decimal that was meant: 9.999999747e-6 becomes 1e-5.
    pub(super) fn float_option(&self, key: &str) -> Result<Option<f64>, SourceError> {
        let Some(number) = self.value(key, "a 32-bit float", Value::to_f32)? else {
            return Ok(None);
        };
        if !number.is_finite() || number <= 0.0 {
            return Err(self.fault(format!("`{key}` is {number}, it must be a positive number")));
        }
        // Six significant digits are what every f32 holds.
        Ok(Some(format!("{number:.5e}").parse().expect("a formatted float parses")))
    }

    pub(super) fn flag_option(&self, key: &str) -> Result<Option<bool>, SourceError> {
        self.value(key, "true or false", Value::to_bool)
    }

    pub(super) fn array_option(&self, key: &str) -> Result<Option<&Vec<Value>>, SourceError> {
        self.value(key, "an array", Value::to_vec)
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, SourceError> {
        let values = self.array_option(key)?.ok_or_else(|| self.absent(key))?;
        values
            .iter()
            .map(|value| {
                value.to_string().map(String::as_str).map_err(|_| self.fault(format!("`{key}` must hold texts")))
            })
            .collect()
    }

    pub(super) fn absent(&self, key: &str) -> SourceError {
        self.fault(format!("metadata key `{key}` is missing"))
    }
}
