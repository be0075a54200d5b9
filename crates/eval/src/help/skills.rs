//! Functions that are defined already: those of a skill store, as the terminal and the server take them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use codeact_agent::{define_skills, skills_prompt};
use codeact_sandbox::skills::{Skill, SkillError, SkillStore};
use codeact_sandbox::{Interpreter, SandboxError};
use sha2::{Digest, Sha256};

use crate::EvalError;

/// The functions of a store, read once.
#[derive(Debug)]
pub struct Skills {
    path: PathBuf,
    skills: Vec<Skill>,
    prelude: String,
    prompt: String,
    digest: String,
}

impl Skills {
    /// Reads all functions of the store in `path`. Nothing is counted there as used: what is measured stays as it is.
    ///
    /// # Errors
    /// When there is no store, nothing is in it, or something in it is damaged: what is measured should be whole.
    pub fn load(path: &Path) -> Result<Skills, EvalError> {
        let refused = |reason: String| EvalError::Skills { path: path.to_owned(), reason };
        let failed = |error: SkillError| refused(error.to_string());
        if !path.is_dir() {
            return Err(refused("there is no such folder\nhint: `codeact-eval skills` makes one".to_owned()));
        }
        let store = SkillStore::open(path).map_err(failed)?;
        let (skills, problems) = store.skills().map_err(failed)?;
        if let Some(problem) = problems.first() {
            return Err(refused(problem.to_string()));
        }
        let names: Vec<&str> = skills.iter().map(|skill| skill.name.as_str()).collect();
        let prelude = store.prelude(&names).map_err(failed)?;
        let none = || refused("it has no skills\nhint: `codeact-eval skills` earns some".to_owned());
        let prompt = skills_prompt(&skills).ok_or_else(none)?;
        let mut hasher = Sha256::new();
        for skill in &skills {
            for part in [&skill.name, &skill.signature, &skill.doc, &skill.source_hash] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        let digest = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Skills { path: path.to_owned(), skills, prelude, prompt, digest })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.skills.len()
    }

    /// What results depend on, in a line.
    pub fn line(&self) -> String {
        format!("{} in {}, {}", self.count(), self.path.display(), self.digest)
    }

    /// What the system message says of them.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Defines them in a session that begins.
    ///
    /// # Errors
    /// When they do not run there.
    pub fn define(&self, interpreter: &mut dyn Interpreter) -> Result<(), EvalError> {
        let defined: Result<Result<(), String>, SandboxError> = define_skills(&self.prelude, interpreter);
        let refused =
            |reason| EvalError::Skills { path: self.path.clone(), reason: format!("they cannot be defined: {reason}") };
        defined?.map_err(refused)
    }

    /// Adds those that `code` calls, as its text shows.
    pub fn note_calls(&self, code: &str, called: &mut BTreeSet<String>) {
        let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_';
        let is_called = |name: &str| {
            code.match_indices(name).any(|(at, _)| {
                let before = &code[..at];
                // A definition of the same name is another function.
                let is_other = before.ends_with(is_inside) || before.ends_with('.') || before.ends_with("def ");
                !is_other && code[at + name.len()..].trim_start_matches(' ').starts_with('(')
            })
        };
        let names = self.skills.iter().map(|skill| &skill.name);
        called.extend(names.filter(|name| is_called(name)).cloned());
    }
}
