//! Settings of a run: the tables of the TOML file, checked as a whole before anything is read or written.

mod tables; // read first: what can be set, and the defaults

mod evaluation; // the `[evaluation]` table
mod sources; // the `[[data]]` tables

mod flywheel; // rounds of collecting and training
mod preference; // pairs instead of conversations

mod check; // values that are each fine but wrong together
mod choices; // settings with a fixed list of spellings
mod range; // which numbers a key may have
mod patterns; // settings of single modules
mod reader;
mod schema; // all of it for editors
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

pub use choices::{
    ChatFormatChoice, DeviceChoice, Exported, Method, Metric, NewTokens, OnNotFinite, OnSpike, Precision,
    RecomputeChoice, RoundStart, ScheduleShape,
};
pub use evaluation::Evaluation;
pub use flywheel::Flywheel;
pub use patterns::Patterns;
pub use preference::Preference;
pub use sources::{DataSource, FilterTable, Words};
pub use tables::{Checkpoint, Config, Guard, Lora, Model, Optimizer, Output, Train};
pub use tree::Origin;

use reader::Findings;

/// One fault of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; `None` when it was not written at all.
    pub origin: Option<Origin>,
    /// The key, for example `lora.rank`.
    pub key: String,
    /// What is wrong, continuing "`key` ...".
    pub what: String,
    /// The way out, where there is one to name.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(formatter, "{origin}: ")?;
        }
        write!(formatter, "`{}` {}", self.key, self.what)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n    hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read settings `{path}`: {source}\nhint: the project's own are in configs/")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("`{path}` line {line}: not TOML: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// What the parser said.
        what: String,
    },
    /// A `--set` that cannot be applied.
    #[error("`--set {typed}`: {what}")]
    Set {
        /// As typed.
        typed: String,
        /// What is wrong with it.
        what: String,
    },
    /// Faults in the settings, all of them.
    #[error("{}", problem_list(.path, .problems))]
    Problems {
        /// The file.
        path: PathBuf,
        /// At least one.
        problems: Vec<Problem>,
    },
}

fn problem_list(path: &Path, problems: &[Problem]) -> String {
    let plural = if problems.len() == 1 { "" } else { "s" };
    let mut text = format!("{} problem{plural} in `{}`", problems.len(), path.display());
    for problem in problems {
        text.push_str(&format!("\n  {problem}"));
    }
    text
}

impl Config {
    /// Reads a settings file and puts `overrides` (`key=value`, as after `--set`) over it.
    ///
    /// # Errors
    /// An unreadable file, broken TOML, or all faults of the settings at once.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        Config::parse(&text, path, overrides)
    }

    /// As [`Config::load`], of a text; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Config, ConfigError> {
        let mut root =
            tree::parse(text).map_err(|(line, what)| ConfigError::Syntax { path: path.to_owned(), line, what })?;
        for typed in overrides {
            tree::set(&mut root, typed).map_err(|what| ConfigError::Set { typed: typed.clone(), what })?;
        }
        let findings = Findings::default();
        let config = Config::read(&root, &findings);
        let mut problems = findings.problems.take();
        let places = findings.places.take();
        // A placeholder of a key that is already at fault must not be blamed a second time.
        let faulty: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
        for mut problem in config.problems(&faulty) {
            problem.origin = places.get(&problem.key).cloned();
            problems.push(problem);
        }
        if problems.is_empty() {
            return Ok(config);
        }
        problems.sort_by_key(|problem| match problem.origin {
            Some(Origin::Line(line)) => line,
            _ => usize::MAX,
        });
        Err(ConfigError::Problems { path: path.to_owned(), problems })
    }

    /// The settings with every default filled in, as TOML that [`Config::load`] reads back to the same.
    pub fn resolved(&self) -> String {
        let body = toml::to_string(self).expect("tables of plain values are TOML");
        format!("# Resolved settings of a run of codeact-train, every default filled in.\n\n{body}")
    }
}

/// "did you mean" for a misspelt word.
fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    let word = word.to_lowercase();
    let scored = known.iter().map(|name| (strsim::jaro_winkler(&word, name), name));
    let (score, name) = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    // Below this, suggestions in a list of a dozen short words are mostly noise.
    (score >= 0.75).then(|| format!("did you mean `{name}`?"))
}
