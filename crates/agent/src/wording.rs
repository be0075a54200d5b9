//! `codeact.json` in a model folder: which wording the model was trained with, and in which form it acts.

use crate::{ActionFormat, AgentError, Profile};
use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// What a model was trained to say and to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    /// System prompt, task, observation.
    pub profile: Profile,
    /// How it writes its actions.
    pub format: ActionFormat,
}

const FILE: &str = "codeact.json";
/// Longest `codeact.json`: it holds two names.
const FILE_BYTES_MAX: u64 = 4096;
/// How much of an unknown name a message repeats.
const NAME_CHARS_SHOWN: usize = 40;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WordingFile {
    profile: String,
    /// Files from before there were others do not say it.
    #[serde(default = "code", skip_serializing_if = "is_code")]
    action_format: String,
}

fn code() -> String {
    ActionFormat::Code.name().to_string()
}

fn is_code(name: &str) -> bool {
    name == ActionFormat::Code.name()
}

impl Default for Wording {
    /// [`Profile::codeactinstruct`] and Python: for all models that say nothing else.
    fn default() -> Wording {
        Wording { profile: Profile::codeactinstruct(), format: ActionFormat::Code }
    }
}

impl Wording {
    /// What a model folder says in `codeact.json`; without that file [`Wording::default`].
    ///
    /// # Errors
    /// When the file cannot be read, or names no known profile or format.
    pub fn load(model_dir: &Path) -> Result<Wording, AgentError> {
        let path = model_dir.join(FILE);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Wording::default()),
            Err(source) => return Err(AgentError::WordingFile { action: "read", path, source }),
        };
        let bad = |what| AgentError::BadWording { path: path.clone(), what };
        let unknown = |what: &str, name: &str| {
            bad(format!("unknown {what} `{}`", name.chars().take(NAME_CHARS_SHOWN).collect::<String>()))
        };
        let file: WordingFile = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let profile = Profile::named(&file.profile).ok_or_else(|| unknown("profile", &file.profile))?;
        let format =
            ActionFormat::named(&file.action_format).ok_or_else(|| unknown("action format", &file.action_format))?;
        Ok(Wording { profile, format })
    }

    /// Write `codeact.json` into a model folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, model_dir: &Path) -> Result<(), AgentError> {
        let path = model_dir.join(FILE);
        let file =
            WordingFile { profile: self.profile.name().to_string(), action_format: self.format.name().to_string() };
        let text = serde_json::to_string(&file).expect("a struct of strings is valid JSON") + "\n";
        std::fs::write(&path, text).map_err(|source| AgentError::WordingFile { action: "write", path, source })
    }
}

/// The text of a plain file of at most [`FILE_BYTES_MAX`] bytes: a device or a pipe has no end.
fn read_text(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a plain file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_its_profile_and_format() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Wording::load(folder.path()).unwrap(), Wording::default());
        for name in Profile::NAMES {
            for format in ActionFormat::NAMES {
                let profile = Profile::named(name).unwrap();
                let wording = Wording { profile, format: ActionFormat::named(format).unwrap() };
                wording.save(folder.path()).unwrap();
                assert_eq!(Wording::load(folder.path()).unwrap(), wording);
            }
        }
        let old = r#"{"profile":"quickstart"}"#;
        std::fs::write(folder.path().join(FILE), old).unwrap();
        let read = Wording::load(folder.path()).unwrap();
        assert_eq!(read, Wording { profile: Profile::quickstart(), format: ActionFormat::Code });
        read.save(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap().trim(), old);
        for wrong in [
            r#"{"profile":"quick"}"#,
            r#"{"profil":"quickstart"}"#,
            "{",
            r#"{"profile":"chat","action_format":"yaml"}"#,
        ] {
            std::fs::write(folder.path().join(FILE), wrong).unwrap();
            let error = Wording::load(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains("codeact.json")
                    && error.contains("codeactinstruct, quickstart")
                    && error.contains("code, json, text"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(matches!(Wording::load(folder.path()), Err(AgentError::WordingFile { .. })));
        std::fs::remove_file(&path).unwrap();
        let good = br#"{"profile":"quickstart"}"#;
        let deep = "[".repeat(4000);
        let long = format!("{{\"profile\":\"{}\"}}", "x".repeat(4000));
        let huge = " ".repeat(1 << 20);
        let cut = (0..good.len()).map(|end| good[..end].to_vec());
        let flipped = (0..good.len() * 8).map(|bit| {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for bytes in [deep, long, huge].map(String::into_bytes).into_iter().chain(cut).chain(flipped) {
            std::fs::write(&path, &bytes).unwrap();
            // A changed blank or name that still says the same does not exist in this file.
            let error = Wording::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains("codeact.json") && error.len() < 500, "{error}");
        }
    }
}
