//! Who is measured: models here, with or without an adapter, and models behind an address.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codeact_agent::{AgentOptions, Wording};
use codeact_engine::EngineLimits;
use codeact_model::serving::ServingOptions;
use codeact_model::source::ModelFiles;
use sha2::{Digest, Sha256};

use crate::actor::wording_of;
use crate::help::{Help, HelpFiles};
use crate::{Actor, EvalError, Solver};

/// Files up to this size are hashed whole; of larger ones, the size and as much of both ends.
const HASHED_BYTES_MAX: u64 = 16 << 20;

/// Endings of the files that decide what a model in a folder says: settings, tokenizer, chat template, weights.
const DECISIVE: [&str; 4] = ["json", "jinja", "safetensors", "gguf"];

/// Says what a folder was exported from, and nothing that is read to solve tasks.
const MANIFEST: &str = "manifest.json";

/// One that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// What results call it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// What it is given besides the tasks.
    pub help: HelpFiles,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this process. Contestants of the same model share its weights.
    Here {
        /// A folder, a GGUF file, or a name on the hub.
        model: String,
        /// PEFT adapter on top of it.
        adapter: Option<PathBuf>,
    },
    /// Any server of OpenAI's chat completions.
    Elsewhere {
        /// Base of the address.
        url: String,
        /// Its name there; `None`: the first that is listed.
        model: Option<String>,
    },
}

/// A contestant that was found, before its weights are read.
#[derive(Clone)]
pub struct Entrant {
    /// Who it is.
    pub contestant: Contestant,
    /// The files of its model, shared with others of the same model; `None` for one elsewhere.
    pub files: Option<Arc<ModelFiles>>,
    /// The wording and the form of actions it was trained with.
    pub wording: Wording,
    /// What tells it from another model of the same name.
    pub fingerprint: String,
    /// What it is given besides the tasks.
    pub help: Help,
    /// The one elsewhere.
    solver: Option<Solver>,
}

/// Finds all `contestants`. A model on the hub is fetched, `progress` hears of it; nothing else is loaded.
///
/// # Errors
/// When two have one name, a model is not there, a server does not answer, or help cannot be read.
pub fn find(contestants: &[Contestant], progress: &dyn Fn(&str)) -> Result<Vec<Entrant>, EvalError> {
    let mut found: BTreeMap<String, Arc<ModelFiles>> = BTreeMap::new();
    let mut entrants: Vec<Entrant> = Vec::new();
    for contestant in contestants {
        if entrants.iter().any(|other| other.contestant.name == contestant.name) {
            let what = format!("two contestants are called `{}`\nhint: give each a name of its own", contestant.name);
            return Err(EvalError::Options(what));
        }
        let (contestant, help) = (contestant.clone(), Help::load(&contestant.help)?);
        entrants.push(match &contestant.place {
            Place::Here { model, adapter } => {
                if !found.contains_key(model) {
                    found.insert(model.clone(), Arc::new(ModelFiles::find(model, progress)?));
                }
                let files = Arc::clone(&found[model]);
                let wording = wording_of(files.folder(), adapter.as_deref())?;
                let paths = [Some(files.gguf().unwrap_or(files.folder())), adapter.as_deref()];
                let prints = paths.into_iter().flatten().map(fingerprint).collect::<Result<Vec<_>, _>>()?;
                // Not where it lies: the same model elsewhere says the same.
                let fingerprint = prints.join(" with ");
                Entrant { contestant, files: Some(files), wording, fingerprint, help, solver: None }
            }
            Place::Elsewhere { url, model } => {
                let (solver, name) = Solver::at(url, model.clone())?;
                let AgentOptions { profile, format, .. } = solver.options();
                let (wording, fingerprint) = (Wording { profile, format }, format!("{name} at {url}"));
                Entrant { contestant, files: None, wording, fingerprint, help, solver: Some(solver) }
            }
        });
    }
    Ok(entrants)
}

impl Entrant {
    /// Whether both run on the same weights.
    pub fn shares_weights(&self, other: &Entrant) -> bool {
        match (&self.files, &other.files) {
            (Some(files), Some(others)) => Arc::ptr_eq(files, others),
            _ => self.contestant == other.contestant,
        }
    }

    /// Ready to solve. `loaded` is another entrant on the same weights, if one is loaded already.
    ///
    /// # Errors
    /// When model or adapter cannot be loaded.
    pub fn load(
        &self,
        loaded: Option<&Solver>,
        options: &ServingOptions,
        limits: EngineLimits,
    ) -> Result<Solver, EvalError> {
        let (Some(files), Place::Here { adapter, .. }) = (&self.files, &self.contestant.place) else {
            return Ok(self.solver.clone().expect("one that has no files is elsewhere"));
        };
        let actor = match (loaded, adapter) {
            (Some(Solver::Local(actor)), Some(adapter)) => actor.with_adapter(files.folder(), adapter)?,
            (Some(Solver::Local(actor)), None) => actor.without_adapter(files.folder())?,
            _ => Actor::load(files, adapter.as_deref(), options, limits)?,
        };
        Ok(Solver::Local(actor))
    }
}

/// The beginning of a hash over the names, sizes and contents of the files in a folder that decide what a model says, or
/// over the size and contents of one file, whatever it is called; of files above 16 MiB only both ends are read.
///
/// # Errors
/// When something cannot be read.
fn fingerprint(path: &Path) -> Result<String, EvalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EvalError::Read { path, source }
    };
    let (mut files, is_folder) = (vec![path.to_owned()], path.is_dir());
    if is_folder {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed(path))?;
        files = entries.into_iter().map(|entry| entry.path()).filter(|path| is_decisive(path)).collect();
        files.sort();
    }
    let mut hasher = Sha256::new();
    for path in files {
        let mut file = File::open(&path).map_err(failed(&path))?;
        let size = file.metadata().map_err(failed(&path))?.len();
        if is_folder {
            hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        }
        hasher.update(size.to_le_bytes());
        let mut part = Vec::new();
        file.by_ref().take(HASHED_BYTES_MAX).read_to_end(&mut part).map_err(failed(&path))?;
        hasher.update(&part);
        if size > HASHED_BYTES_MAX {
            part.clear();
            let from = size.saturating_sub(HASHED_BYTES_MAX).max(HASHED_BYTES_MAX);
            file.seek(SeekFrom::Start(from)).map_err(failed(&path))?;
            file.take(HASHED_BYTES_MAX).read_to_end(&mut part).map_err(failed(&path))?;
            hasher.update(&part);
        }
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a file of a model's folder is read to solve tasks, as far as its name says.
fn is_decisive(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_named = path.file_name().is_some_and(|name| name != MANIFEST);
    is_named && ending.is_some_and(|ending| DECISIVE.contains(&ending)) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_follows_names_sizes_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let print = || fingerprint(folder.path()).unwrap();
        write("a.json", b"1");
        let first = print();
        write("a.json", b"2");
        let second = print();
        std::fs::rename(folder.path().join("a.json"), folder.path().join("b.safetensors")).unwrap();
        let third = print();
        assert!(first != second && second != third && first.len() == 16, "{first} {second} {third}");
        let mut large = vec![0; (HASHED_BYTES_MAX + 5) as usize];
        write("b.safetensors", &large);
        let fourth = print();
        *large.last_mut().unwrap() = 1;
        write("b.safetensors", &large);
        assert_ne!(print(), fourth);
        assert!(fingerprint(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_fingerprint_is_the_same_elsewhere_and_with_other_words_beside() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for folder in [&here, &there] {
            std::fs::write(folder.path().join("config.json"), "{}").unwrap();
            std::fs::write(folder.path().join("chat_template.jinja"), "x").unwrap();
        }
        let print = |folder: &tempfile::TempDir| fingerprint(folder.path()).unwrap();
        let before = print(&here);
        assert_eq!(print(&there), before);
        for name in ["README.md", ".gitattributes", "manifest.json", "json"] {
            std::fs::write(there.path().join(name), "words").unwrap();
        }
        std::fs::create_dir(there.path().join("original.json")).unwrap();
        assert_eq!(print(&there), before);
        for name in ["codeact.json", "adapter_model.safetensors", "chat_template.jinja"] {
            std::fs::write(there.path().join(name), "other").unwrap();
            assert_ne!(print(&there), before, "{name}");
        }
        let files = [here.path().join("a.gguf"), there.path().join("b.gguf")];
        let prints = files.map(|path| {
            std::fs::write(&path, "weights").unwrap();
            fingerprint(&path).unwrap()
        });
        assert_eq!(prints[0], prints[1]);
    }
}
