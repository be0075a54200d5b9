//! What a model is given besides its task: solved tasks that are like it, shown as examples (the dynamic demonstrations of
//! InteRecAgent, Huang et al., arXiv 2308.16505), and functions that were earned before, defined already (the library of
//! DynaSaur, Nguyen et al., arXiv 2411.01747).

mod examples; // which solved tasks are shown

mod rows; // solved tasks as they lie in a file

mod skills; // functions that are defined already

#[cfg(test)]
mod tests;

pub use examples::{Example, Examples, Shots};
pub(crate) use rows::solved_rows;
pub use skills::Skills;

use std::path::PathBuf;
use std::sync::Arc;

use codeact_agent::ActionFormat;
use serde::{Deserialize, Serialize};

use crate::EvalError;

/// Examples that are shown at most, unless told otherwise.
const EXAMPLES_MAX: usize = 2;
/// Tokens that they may take, unless told otherwise.
const EXAMPLES_TOKENS_MAX: usize = 1000;

/// Where help comes from, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpFiles {
    /// Conversations, one JSON line each, the solved ones of which may be shown as examples.
    pub examples: Option<PathBuf>,
    /// Examples that are shown at most.
    pub examples_max: usize,
    /// Tokens that their texts may take, all together.
    pub examples_tokens: usize,
    /// Folder of a skill store, all of whose functions are defined already.
    pub skills: Option<PathBuf>,
}

impl Default for HelpFiles {
    /// No help.
    fn default() -> HelpFiles {
        HelpFiles { examples: None, examples_max: EXAMPLES_MAX, examples_tokens: EXAMPLES_TOKENS_MAX, skills: None }
    }
}

impl HelpFiles {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_none() && self.skills.is_none()
    }
}

/// Help that was read, so that all tries have the same. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Help {
    /// Solved tasks, of which those that are like the task at hand are shown.
    pub shots: Option<Shots>,
    /// Functions that are defined already.
    pub skills: Option<Arc<Skills>>,
}

/// What a try was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helped {
    /// Ids of the conversations that were shown as examples, in their order.
    pub examples: Vec<String>,
    /// How many functions were defined already.
    pub skills: usize,
    /// Those of them that its code called, sorted.
    pub called: Vec<String>,
}

impl Help {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, there is nothing in it that could help, or it is not what it should be.
    pub fn load(files: &HelpFiles) -> Result<Help, EvalError> {
        let shots = files.examples.as_deref().map(|path| {
            let (count_max, tokens_max) = (files.examples_max, files.examples_tokens);
            Examples::load(path).map(|examples| Shots { examples: Arc::new(examples), count_max, tokens_max })
        });
        let skills = files.skills.as_deref().map(|path| Skills::load(path).map(Arc::new));
        Ok(Help { shots: shots.transpose()?, skills: skills.transpose()? })
    }

    /// Whether help of this kind can be given to a model that acts in `format`.
    ///
    /// # Errors
    /// When it cannot: functions are called in Python only, and examples show the form of action that they are in.
    pub fn check(&self, format: ActionFormat) -> Result<(), EvalError> {
        if self.skills.is_some() && format != ActionFormat::Code {
            let what = format!("skills are called in Python, and not in actions as {}", format.name());
            return Err(EvalError::Options(format!("{what}\nhint: leave `skills` out, or `--action-format code`")));
        }
        self.shots.as_ref().map_or(Ok(()), |shots| shots.examples.check(format))
    }

    /// What results depend on, by name.
    pub fn identity(&self, contestant: &str) -> Vec<(String, String)> {
        let shots = self.shots.as_ref().map(|shots| (format!("examples {contestant}"), shots.line()));
        let skills = self.skills.as_ref().map(|skills| (format!("skills {contestant}"), skills.line()));
        shots.into_iter().chain(skills).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shots.is_none() && self.skills.is_none()
    }
}
