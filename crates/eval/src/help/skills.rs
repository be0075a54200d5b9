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

    /// Adds those that `code` calls, as its text shows, without comments and strings.
    pub fn note_calls(&self, code: &str, called: &mut BTreeSet<String>) {
        let code = without_texts(code);
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

/// Python without its comments and its strings but for those that hold code, which begin with `f`.
fn without_texts(code: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(code.len()), code);
    while let Some(at) = rest.find(['#', '\'', '"']) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('#') {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        let quote = &rest[..1];
        let threefold = quote.repeat(3);
        let mark = if rest.starts_with(&threefold) { threefold.as_str() } else { quote };
        let end = string_end(rest, mark);
        let letters = kept.chars().rev().take_while(|letter| letter.is_alphanumeric() || *letter == '_');
        let prefix: String = letters.collect();
        let is_format = prefix.len() <= 2 && prefix.contains(['f', 'F']);
        kept.push_str(if is_format { &rest[..end] } else { "''" });
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// Where the string ends that `text` begins with, between two of `mark`. One of a line ends with it, closed or not.
fn string_end(text: &str, mark: &str) -> usize {
    let mut at = mark.len();
    while let Some(found) = text[at..].find(['\\', '\n', '\'', '"']) {
        at += found;
        let here = &text[at..];
        if here.starts_with(mark) {
            return at + mark.len();
        }
        if here.starts_with('\n') && mark.len() == 1 {
            return at;
        }
        // What stands behind a backslash ends nothing.
        let count = if here.starts_with('\\') { 2 } else { 1 };
        at += here.chars().take(count).map(char::len_utf8).sum::<usize>();
    }
    text.len()
}
