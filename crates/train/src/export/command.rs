//! `codeact-train merge`, `codeact-train gguf` and `codeact-train push`.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::{Subcommand, ValueEnum};
use codeact_model::gguf::{self, Quant};
use codeact_model::serving::{ServedModel, ServingOptions};
use codeact_model::source::{ModelFiles, Options};
use codeact_model::{Adapter, Decoder, ModelConfig, SHARD_BYTES, Weights, merge_into_shards};

use super::agreement::{Agreement, Reference, Rounding};
use super::card;
use super::manifest::{Kind, Manifest};
use super::origin::{Format, Origin};
use super::probe::Probe;
use super::{finish_folder, target, weights_that_fit};
use crate::describe;
use crate::error::TrainError;
use crate::folder;

/// Make something of an adapter or a model.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Merge an adapter into its base: a Hugging Face folder that needs no PEFT
    Merge {
        /// PEFT adapter, or a checkpoint (`step-NNNNNN`) of a run
        #[arg(long, value_name = "DIR")]
        adapter: PathBuf,
        /// Folder, GGUF file or hub name of the base; without it the one that the adapter names
        #[arg(long, value_name = "DIR|NAME")]
        base: Option<String>,
        /// Where the folder goes
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Largest file of weights, for example 5GB or 500MiB
        #[arg(long, value_name = "SIZE", default_value_t = Size(SHARD_BYTES))]
        shard_size: Size,
        /// Replace an earlier export at `--out`
        #[arg(long)]
        overwrite: bool,
    },
    /// Write a GGUF file for llama.cpp and codeact-serve
    Gguf {
        /// Folder or hub name of the model
        #[arg(long, value_name = "DIR|NAME")]
        model: String,
        /// Adapter of this model, or a checkpoint, to merge in while writing
        #[arg(long, value_name = "DIR")]
        adapter: Option<PathBuf>,
        /// The file; its manifest goes beside it, with `.manifest.json` behind its name
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How weights are kept
        #[arg(long, value_enum)]
        quant: QuantChoice,
        /// Replace an earlier file at `--out`
        #[arg(long)]
        overwrite: bool,
    },
    /// Publish an export on the hub: one commit with the files of its manifest
    Push(super::push::Args),
}

/// Spellings of [`Quant`], as llama.cpp has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum QuantChoice {
    /// 16 bits, half precision
    F16,
    /// 16 bits, the upper half of an f32
    Bf16,
    /// 8 bits
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits
    #[value(name = "q4_0")]
    Q4_0,
    /// 4 bits, with more for some layers and the head: llama.cpp's Q4_K_M
    #[value(name = "q4_k_m")]
    Q4KM,
}

impl From<QuantChoice> for Quant {
    fn from(choice: QuantChoice) -> Quant {
        match choice {
            QuantChoice::F16 => Quant::F16,
            QuantChoice::Bf16 => Quant::Bf16,
            QuantChoice::Q8_0 => Quant::Q8_0,
            QuantChoice::Q4_0 => Quant::Q4_0,
            QuantChoice::Q4KM => Quant::Q4KM,
        }
    }
}

/// Bytes, as people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_multiple_of(1_000_000_000) {
            true => write!(formatter, "{}GB", self.0 / 1_000_000_000),
            false => write!(formatter, "{}", self.0),
        }
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err("a number with KB, MB, GB, KiB, MiB or GiB is expected, such as 5GB".to_owned()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        match bytes {
            None | Some(0) => Err("a whole number above 0 is expected, such as 5GB".to_owned()),
            Some(bytes) => Ok(Size(bytes)),
        }
    }
}

impl Command {
    /// Does it, and returns what to print. `say` gets lines for the user meanwhile.
    ///
    /// # Errors
    /// When something is missing, broken or in the way, and when the export computes something else than what it was made
    /// of; then it is kept, and named.
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<String, TrainError> {
        match self {
            Command::Merge { adapter, base, out, shard_size, overwrite } => {
                // Without the separator that completion puts behind the name of a folder.
                let out = &out.components().collect::<PathBuf>();
                target::check_folder(out, *overwrite, &[adapter])?;
                let origin = Origin::find(base.as_deref(), Some(adapter), say)?;
                target::check_folder(out, *overwrite, &[adapter, &origin.base_dir])?;
                merge(&origin, out, shard_size.0, say)
            }
            Command::Gguf { model, adapter, out, quant, overwrite } => {
                if out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("gguf")) {
                    return Err(TrainError::NotGgufName { path: out.clone() });
                }
                target::check_file(out, *overwrite, &[Path::new(model)])?;
                target::check_file(&manifest_path(out), *overwrite, &[])?;
                let origin = Origin::find(Some(model), adapter.as_deref(), say)?;
                write_gguf(&origin, out, (*quant).into(), say)
            }
            Command::Push(args) => super::push::run(args, &Options::from_environment(), say),
        }
    }
}

/// The adapter, and what base and adapter say to the probe. Nothing else of the model stays in memory.
fn ask(origin: &Origin, config: &ModelConfig, weights: Weights) -> Result<(Option<Adapter>, Reference), TrainError> {
    let adapter = origin.adapter_dir.as_deref().map(|dir| Adapter::load(dir, config, &Device::Cpu));
    let adapter = adapter.transpose().map_err(TrainError::Load)?;
    let vocab_size = config.vocab_size + adapter.as_ref().map_or(0, Adapter::new_token_count);
    let probe = match &origin.format {
        Format::Chat(format) if format.vocab_size() > vocab_size => {
            return Err(TrainError::VocabularyTooLarge {
                model: origin.base_name.clone(),
                token_count: format.vocab_size(),
                row_count: vocab_size,
            });
        }
        Format::Chat(format) => Probe::of_format(format)?,
        Format::Plain(_) => Probe::drawn(vocab_size),
    };
    let decoder = Decoder::load(&origin.base_dir, weights, &Device::Cpu).map_err(TrainError::Load)?;
    let reference = Reference::of(&decoder, adapter.as_ref(), probe).map_err(TrainError::Load)?;
    Ok((adapter, reference))
}

fn merge(origin: &Origin, out: &Path, shard_bytes: u64, say: &dyn Fn(&str)) -> Result<String, TrainError> {
    let config = ModelConfig::load(&origin.base_dir).map_err(TrainError::Load)?;
    let weights = weights_that_fit(&config);
    let rounding = Rounding::merged(&origin.base_dir, weights).map_err(TrainError::Load)?;
    let mut found = None;
    // The folder first: one that cannot be written to is told before a model is loaded.
    folder::write_whole(out, |partial| {
        let (adapter, reference) = ask(origin, &config, weights)?;
        let adapter = adapter.expect("merging is asked for with an adapter");
        say(&format!("merging into `{}`", origin.base_dir.display()));
        merge_into_shards(&origin.base_dir, &adapter, shard_bytes, partial).map_err(TrainError::export(partial))?;
        origin.format.save(partial)?;
        if let Some(wording) = &origin.wording {
            wording.save(partial).map_err(TrainError::wording(partial))?;
        }
        drop(adapter);
        let decoder = Decoder::load(partial, weights, &Device::Cpu).map_err(TrainError::export(partial))?;
        let agreement = reference.with_decoder(&decoder, None, rounding).map_err(TrainError::export(partial))?;
        drop(decoder);
        finish_folder(partial, out, &manifest(origin, Kind::Merged, &agreement), &origin.base_dir)?;
        found = Some(agreement);
        Ok(())
    })?;
    let agreement = found.expect("it was written");
    agreement.require(out)?;
    Ok(format!("merged   {}\ncheck    {}\n", out.display(), agreement.line()))
}

fn write_gguf(origin: &Origin, out: &Path, quant: Quant, say: &dyn Fn(&str)) -> Result<String, TrainError> {
    let config = ModelConfig::load(&origin.base_dir).map_err(TrainError::Load)?;
    let weights = weights_that_fit(&config);
    let files = tempfile::tempdir().map_err(TrainError::write(&std::env::temp_dir()))?;
    origin.format.save(files.path())?;
    let name = origin.adapter_dir.as_deref().unwrap_or(&origin.base_dir).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let facts = gguf::Facts { name, license: card::license_of(&origin.base_dir) };
    let mut found = None;
    folder::write_file_by(out, |partial| {
        let (adapter, reference) = ask(origin, &config, weights)?;
        say(&format!("writing `{}`", out.display()));
        gguf::write(&origin.base_dir, adapter.as_ref(), files.path(), (quant, &facts), partial)
            .map_err(TrainError::export(partial))?;
        drop(adapter);
        let served = ModelFiles::in_gguf(partial)?;
        check_tokens(origin, served.folder(), out)?;
        let mut model = ServedModel::load(&served, &ServingOptions::default()).map_err(TrainError::export(partial))?;
        let rounding = Rounding::gguf(quant, weights);
        found = Some(reference.with_served(&mut model, rounding).map_err(TrainError::export(partial))?);
        Ok(())
    })?;
    let agreement = found.expect("it was written");
    let beside = manifest_path(out);
    manifest(origin, Kind::Gguf, &agreement).write_beside(out, &beside)?;
    agreement.require(out)?;
    let bytes = std::fs::metadata(out).map_err(TrainError::write(out))?.len();
    let size = describe::bytes(bytes as usize);
    Ok(format!("gguf     {} ({size})\nmanifest {}\ncheck    {}\n", out.display(), beside.display(), agreement.line()))
}

pub(super) fn manifest_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".manifest.json");
    PathBuf::from(name)
}

fn manifest(origin: &Origin, kind: Kind, agreement: &Agreement) -> Manifest {
    Manifest {
        kind,
        base: origin.base_name.clone(),
        base_fingerprint: Some(origin.fingerprint.clone()),
        training: origin.training.clone(),
        agreement: agreement.clone(),
    }
}

/// Texts in which tokenizers differ: blanks, digits, contractions, signs, other scripts, and what no vocabulary has.
const TEXTS: [&str; 6] = [
    "Hello  world,\n\n  it's 2026-11-30; 3.14159 and 1000000!",
    "def f(x):\n\treturn {'a': x[0], \"b\": x**2}  # naive",
    "Gr\u{fc}\u{df}e, \u{4f60}\u{597d}, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{1f600}\u{200d}\u{1f32b}\u{fe0f}",
    " leading and trailing ",
    "                \t\t \n \n\n x",
    "I'LL we've DON'T 'quoted' ``code`` <execute>\nprint(1)\n</execute>",
];

/// The tokenizer in a GGUF file must give the ids that the model was trained with.
fn check_tokens(origin: &Origin, unpacked: &Path, out: &Path) -> Result<(), TrainError> {
    let Format::Chat(format) = &origin.format else {
        return Ok(());
    };
    let read = codeact_chat::ChatFormat::load(unpacked).map_err(TrainError::Format)?;
    let probe = (Probe::of_format(format)?, Probe::of_format(&read)?);
    let differs = |what: &str| TrainError::TokensDiffer { path: out.to_owned(), what: what.to_owned() };
    if probe.0 != probe.1 {
        return Err(differs("a conversation"));
    }
    for text in TEXTS {
        let (ours, theirs) = (format.encode_text(text), read.encode_text(text));
        if ours.map_err(TrainError::Format)? != theirs.map_err(TrainError::Format)? {
            return Err(differs(&format!("{text:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(bytes("5GB"), Ok(SHARD_BYTES));
        assert_eq!(bytes("500MiB"), Ok(500 << 20));
        assert_eq!(bytes("12 KB"), Ok(12_000));
        assert_eq!(bytes("7"), Ok(7));
        for wrong in ["", "0", "0GB", "GB", "-1GB", "5TB", "5gb", "99999999999999999999", "99999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Size(SHARD_BYTES).to_string(), "5GB");
    }
}
