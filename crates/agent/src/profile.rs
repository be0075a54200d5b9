//! The wording that a model was trained with: system prompt, task, observation.
//!
//! A model acts best in the words it has seen, so the loop, the training data and the evaluation take them from here.

use crate::{AgentError, Limits};
use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// One wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: &'static str,
}

const FILE: &str = "codeact.json";
/// Longest `codeact.json`: it holds one name.
const FILE_BYTES_MAX: u64 = 4096;
/// How much of an unknown name a message repeats.
const NAME_CHARS_SHOWN: usize = 40;
const QUICKSTART: &str = "quickstart";
const CODEACTINSTRUCT: &str = "codeactinstruct";

/// `codeact.json` in a model folder.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    profile: String,
}

impl Profile {
    /// The names that [`Profile::named`] knows.
    pub const NAMES: [&'static str; 2] = [CODEACTINSTRUCT, QUICKSTART];

    /// The profile of this name, if there is one.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::NAMES.into_iter().find(|known| *known == name).map(|name| Profile { name })
    }

    /// Short wording of the project's own small data set.
    pub fn quickstart() -> Profile {
        Profile { name: QUICKSTART }
    }

    /// The wording of CodeActInstruct: chances are counted down. For models trained on it, and for all that say
    /// nothing else.
    pub fn codeactinstruct() -> Profile {
        Profile { name: CODEACTINSTRUCT }
    }

    /// The profile that a model folder names in `codeact.json`; without that file [`Profile::codeactinstruct`].
    ///
    /// # Errors
    /// When the file cannot be read, or names no known profile.
    pub fn load(model_dir: &Path) -> Result<Profile, AgentError> {
        let path = model_dir.join(FILE);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Profile::codeactinstruct());
            }
            Err(source) => {
                return Err(AgentError::ProfileFile { action: "read", path, source });
            }
        };
        match serde_json::from_str::<ProfileFile>(&text) {
            Ok(file) => Profile::named(&file.profile).ok_or_else(|| {
                let name: String = file.profile.chars().take(NAME_CHARS_SHOWN).collect();
                AgentError::BadProfile { what: format!("unknown profile `{name}`"), path }
            }),
            Err(error) => Err(AgentError::BadProfile { what: error.to_string(), path }),
        }
    }

    /// Write `codeact.json` into a model folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, model_dir: &Path) -> Result<(), AgentError> {
        let path = model_dir.join(FILE);
        let file = ProfileFile { profile: self.name.to_string() };
        let text = serde_json::to_string(&file).expect("a struct of one string is valid JSON") + "\n";
        std::fs::write(&path, text).map_err(|source| AgentError::ProfileFile { action: "write", path, source })
    }

    /// Its name, as in `codeact.json`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The system message of a conversation.
    ///
    /// That of CodeActInstruct is the one of its rows, word for word (`{"role": "system"}`, MIT licence).
    pub fn system_prompt(&self, limits: &Limits) -> String {
        if self.name == QUICKSTART {
            return "Solve tasks by running Python.".to_string();
        }
        format!(
            "You are a helpful assistant assigned with the task of problem-solving. To achieve this, you will be using \
             an interactive coding environment equipped with a variety of tool functions to assist you throughout the \
             process.\n\nAt each turn, you should first provide your step-by-step thinking for solving the task. After \
             that, you have two options:\n\n1) Interact with a Python programming environment and receive the \
             corresponding output. Your code should be enclosed using \"<execute>\" tag, for example: <execute> \
             print(\"Hello World!\") </execute>.\n2) Directly provide a solution that adheres to the required format for \
             the given task. Your solution should be enclosed using \"<solution>\" tag, for example: The answer is \
             <solution> A </solution>.\n\nYou have {} chances to interact with the environment or propose a solution. \
             You can only propose a solution {} times.",
            limits.steps_max, limits.solutions_max
        )
    }

    /// The user message that states a task.
    pub fn task(&self, text: &str) -> String {
        match self.name {
            QUICKSTART => text.to_string(),
            _ => format!("Task:\n{text}"),
        }
    }

    /// The user message after code has run.
    ///
    /// `steps_left` and `solutions_left` are what remains after this step.
    pub fn observation(&self, text: &str, steps_left: usize, solutions_left: usize) -> String {
        if self.name == QUICKSTART {
            return format!("Observation:\n{text}");
        }
        let last = if steps_left <= 1 { "\nYou should take the last step to propose a solution." } else { "" };
        format!(
            "Observation:\n{text}\nYou have {steps_left} steps left and {solutions_left} chances to propose solution \
             left.{last}"
        )
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
    fn a_folder_names_its_profile() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Profile::load(folder.path()).unwrap(), Profile::codeactinstruct());
        Profile::quickstart().save(folder.path()).unwrap();
        assert_eq!(Profile::load(folder.path()).unwrap(), Profile::quickstart());
        for wrong in [r#"{"profile":"quick"}"#, r#"{"profil":"quickstart"}"#, "{"] {
            std::fs::write(folder.path().join(FILE), wrong).unwrap();
            let error = Profile::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains("codeact.json") && error.contains("codeactinstruct, quickstart"), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(matches!(Profile::load(folder.path()), Err(AgentError::ProfileFile { .. })));
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
            let error = Profile::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains("codeact.json") && error.len() < 500, "{error}");
        }
    }

    #[test]
    fn quickstart_observations_hold_nothing_else() {
        assert_eq!(Profile::quickstart().observation("42", 1, 1), "Observation:\n42");
        assert_eq!(Profile::quickstart().task("Add."), "Add.");
    }

    #[test]
    fn codeactinstruct_counts_down() {
        let profile = Profile::codeactinstruct();
        let text = profile.observation("224", 4, 2);
        assert_eq!(text, "Observation:\n224\nYou have 4 steps left and 2 chances to propose solution left.");
        assert!(profile.observation("", 1, 2).ends_with("left.\nYou should take the last step to propose a solution."));
        let prompt = profile.system_prompt(&Limits { steps_max: 7, ..Limits::default() });
        assert!(prompt.contains("You have 7 chances") && prompt.ends_with("propose a solution 2 times."));
    }
}
