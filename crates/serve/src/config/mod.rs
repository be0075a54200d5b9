//! Settings of the server: a TOML file, and options of the command line, which go before it.

mod tables; // what a file may hold
mod resolve; // both together, checked
mod agent; // of the agent: where sessions lie, and who acts in them

use std::path::{Path, PathBuf};

use crate::fields::closest;

pub use resolve::{Options, Settings};
pub use tables::{AgentTable, LimitsTable, ListenTable, LogTable, ModelTable, ServeConfig};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read settings `{path}`\nhint: the project's own are in configs/serve.toml")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has keys or values that there are not.
    #[error("`{path}`: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place and fault.
        what: String,
    },
    /// Values that cannot be, all of them.
    #[error("settings cannot be used:\n  {}", .0.join("\n  "))]
    Problems(Vec<String>),
}

impl ServeConfig {
    /// Reads a settings file.
    ///
    /// # Errors
    /// When it cannot be read, or has a key or value that there is not; the message gives the line.
    pub fn read(path: &Path) -> Result<ServeConfig, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        ServeConfig::parse(&text, path)
    }

    /// As [`ServeConfig::read`], of a text; `path` names it in errors.
    ///
    /// # Errors
    /// As [`ServeConfig::read`].
    pub fn parse(text: &str, path: &Path) -> Result<ServeConfig, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let shown = error.to_string();
            let hint = suggestion(error.message()).map(|known| format!("\nhint: did you mean `{known}`?"));
            let what = format!("{}{}", shown.trim_end(), hint.unwrap_or_default());
            ConfigError::Syntax { path: path.to_owned(), what }
        })
    }
}

/// The key that was probably meant, out of a message that names the unknown one and then those there are.
fn suggestion(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    closest(name, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        ServeConfig::parse(text, Path::new("serve.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_shown_in_its_line_with_what_it_was_meant_to_be() {
        let text = error("[listen]\nprot = 80\n");
        assert!(text.contains("line 2") && text.contains("did you mean `port`?"), "{text}");
        let text = error("[modle]\n");
        assert!(text.contains("did you mean `model`?"), "{text}");
        let text = error("[listen]\nport = \"high\"\n");
        assert!(text.contains("line 2") && !text.contains("did you mean"), "{text}");
    }

    #[test]
    fn the_projects_own_settings_are_those_that_hold_without_any() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/serve.toml");
        let written = ServeConfig::read(&path).unwrap();
        let state_dir = Some("state".into());
        let options = |config| Options {
            model: Some("m".to_owned()),
            state_dir: state_dir.clone(),
            config,
            ..Options::default()
        };
        let settings = |config| format!("{:?}", options(config).resolve().unwrap());
        assert_eq!(settings(written), settings(ServeConfig::default()));
    }
}
