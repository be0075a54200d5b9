//! How contestants are written: one on the command line, or several in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::contestant::{Contestant, Place};
use crate::EvalError;
use crate::help::HelpFiles;

/// Characters of a name.
const NAME_CHARACTERS_MAX: usize = 60;
/// Examples of one contestant, and tokens that they may take.
const EXAMPLES_LIMIT: usize = 100;
const EXAMPLES_TOKENS_LIMIT: usize = 1_000_000;

/// What can stand behind a model or an address: `adapter` behind the one only, and `model` behind the other.
const KEYS: [&str; 6] = ["adapter", "model", "examples", "examples_max", "examples_tokens", "skills"];

/// A file of contestants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lineup {
    contestant: Vec<Entry>,
}

/// One of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// Base of an address.
    url: Option<String>,
    /// A folder, a GGUF file or a name on the hub; beside `url` the name there.
    model: Option<String>,
    adapter: Option<PathBuf>,
    examples: Option<PathBuf>,
    examples_max: Option<usize>,
    examples_tokens: Option<usize>,
    skills: Option<PathBuf>,
}

impl Contestant {
    /// Reads `NAME=MODEL[,adapter=DIR]` or `NAME=URL[,model=NAME]`, with help behind it: `,examples=FILE`,
    /// `,examples_max=NUMBER`, `,examples_tokens=NUMBER`, `,skills=DIR`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Contestant, String> {
        let (name, place) =
            text.split_once('=').ok_or("it must be NAME=MODEL[,adapter=DIR] or NAME=URL[,model=NAME]")?;
        let (place, mut details) = split_details(place)?;
        let mut entry = Entry { name: name.to_owned(), ..Entry::default() };
        (entry.url, entry.model) = match (is_address(place), details.remove("model")) {
            (true, model) => (Some(place.to_owned()), model.map(str::to_owned)),
            (false, None) => (None, Some(place.to_owned())),
            (false, Some(_)) => {
                return Err("`model` is for a name at an address, and not behind a model in this process".to_owned());
            }
        };
        let mut path = |key: &str| details.remove(key).map(PathBuf::from);
        (entry.adapter, entry.examples, entry.skills) = (path("adapter"), path("examples"), path("skills"));
        let mut number = |key: &str| {
            let value = details.remove(key).map(str::parse::<usize>).transpose();
            value.map_err(|_| format!("`{key}` must be a whole number"))
        };
        (entry.examples_max, entry.examples_tokens) = (number("examples_max")?, number("examples_tokens")?);
        entry.contestant()
    }

    /// As [`Contestant::parse`], for one whose conversations are to be learnt from.
    ///
    /// # Errors
    /// When it has help: what it says would be learnt without it.
    pub fn parse_teacher(text: &str) -> Result<Contestant, String> {
        let contestant = Contestant::parse(text)?;
        match contestant.help.is_empty() {
            true => Ok(contestant),
            false => Err("a teacher has no examples and no skills: who learns from it would not have them".to_owned()),
        }
    }
}

/// The contestants of a TOML file: `[[contestant]]` with `name`, `model` or `url` (and then `model` for the name there),
/// `adapter`, `examples`, `examples_max`, `examples_tokens` and `skills`. Paths are those of the command line.
///
/// # Errors
/// When the file cannot be read, a key is unknown, or one is no contestant.
pub fn read_contestants(path: &Path) -> Result<Vec<Contestant>, EvalError> {
    let text = std::fs::read_to_string(path).map_err(|source| EvalError::Read { path: path.to_owned(), source })?;
    let fault = |what: String| EvalError::Options(format!("`{}`: {}", path.display(), what.trim_end()));
    let lineup: Lineup = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    if lineup.contestant.is_empty() {
        return Err(fault("there are no contestants\nhint: each begins with [[contestant]]".to_owned()));
    }
    let numbered = (1..).zip(lineup.contestant);
    numbered.map(|(number, entry)| entry.contestant().map_err(|what| fault(format!("{number}: {what}")))).collect()
}

impl Entry {
    fn contestant(self) -> Result<Contestant, String> {
        check_name(&self.name)?;
        let is_blank = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        if [&self.adapter, &self.examples, &self.skills].into_iter().any(is_blank) {
            return Err("a path is empty".to_owned());
        }
        let place = match (self.url, self.model) {
            (Some(_), _) if self.adapter.is_some() => {
                return Err("`adapter` is for a model in this process, and not for one at an address".to_owned());
            }
            (Some(url), _) if !is_address(&url) => {
                return Err("`url` must begin with http:// or https://".to_owned());
            }
            (_, Some(model)) if model.is_empty() => return Err("no model stands behind the name".to_owned()),
            (Some(url), model) => Place::Elsewhere { url, model },
            (None, Some(model)) => Place::Here { model, adapter: self.adapter },
            (None, None) => return Err("no model stands behind the name: give `model` or `url`".to_owned()),
        };
        if self.examples.is_none() && (self.examples_max.is_some() || self.examples_tokens.is_some()) {
            return Err("`examples_max` and `examples_tokens` mean nothing without `examples`".to_owned());
        }
        let bounded = |key: &str, value: Option<usize>, default: usize, most: usize| match value {
            Some(value) if !(1..=most).contains(&value) => Err(format!("`{key}` is {value}; it can be 1 to {most}")),
            value => Ok(value.unwrap_or(default)),
        };
        let none = HelpFiles::default();
        let help = HelpFiles {
            examples: self.examples,
            examples_max: bounded("examples_max", self.examples_max, none.examples_max, EXAMPLES_LIMIT)?,
            examples_tokens: bounded(
                "examples_tokens",
                self.examples_tokens,
                none.examples_tokens,
                EXAMPLES_TOKENS_LIMIT,
            )?,
            skills: self.skills,
        };
        Ok(Contestant { name: self.name, place, help })
    }
}

fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// What stands before the first `,KEY=`, and the values that stand behind them. A path may have commas of its own.
fn split_details(text: &str) -> Result<(&str, BTreeMap<&'static str, &str>), String> {
    let (mut rest, mut details) = (text, BTreeMap::new());
    loop {
        let places = KEYS.iter().filter_map(|key| Some((rest.rfind(&format!(",{key}="))?, *key)));
        let Some((at, key)) = places.max() else { return Ok((rest, details)) };
        let value = &rest[at + key.len() + 2..];
        if value.is_empty() {
            return Err(format!("nothing stands behind `{key}=`"));
        }
        if details.insert(key, value).is_some() {
            return Err(format!("`{key}` is there twice"));
        }
        rest = &rest[..at];
    }
}

/// # Errors
/// When a name is empty, long, or has characters that command a terminal.
fn check_name(name: &str) -> Result<(), String> {
    match name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
        true => Err(format!("a name has 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(model: &str, adapter: Option<&str>) -> Place {
        Place::Here { model: model.to_owned(), adapter: adapter.map(PathBuf::from) }
    }

    fn elsewhere(url: &str, model: Option<&str>) -> Place {
        Place::Elsewhere { url: url.to_owned(), model: model.map(str::to_owned) }
    }

    fn help(examples: Option<&str>, numbers: (usize, usize), skills: Option<&str>) -> HelpFiles {
        HelpFiles {
            examples: examples.map(PathBuf::from),
            examples_max: numbers.0,
            examples_tokens: numbers.1,
            skills: skills.map(PathBuf::from),
        }
    }

    #[test]
    fn contestants_are_read_with_their_names() {
        for (text, name, place) in [
            ("base=checkpoints/base", "base", here("checkpoints/base", None)),
            ("tuned=org/model,adapter=runs/a=b", "tuned", here("org/model", Some("runs/a=b"))),
            ("a b=m.gguf", "a b", here("m.gguf", None)),
            ("x=http://h:1/v1,model=org/m", "x", elsewhere("http://h:1/v1", Some("org/m"))),
            ("x=https://h/v1", "x", elsewhere("https://h/v1", None)),
        ] {
            let help = HelpFiles::default();
            assert_eq!(Contestant::parse(text), Ok(Contestant { name: name.to_owned(), place, help }), "{text}");
            assert!(Contestant::parse_teacher(text).is_ok(), "{text}");
        }
        for text in [
            "model",
            "=model",
            "a=",
            "a=m,adapter=",
            "a=http://h,model=",
            "a\u{1b}=m",
            "a=,skills=s",
            "a=m,skills=s,skills=t",
            "a=m,examples_max=2",
            "a=m,examples=e,examples_max=0",
            "a=m,examples=e,examples_max=two",
            "a=m,examples=e,examples_tokens=-1",
            "a=http://h/v1,adapter=d",
            "a=http://h/v1,model=n,adapter=d",
            "a=m,model=n",
            &format!("{}=m", "x".repeat(61)),
        ] {
            assert!(Contestant::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn help_stands_behind_a_model_in_any_order() {
        for (text, place, expected) in [
            ("a=m,examples=e.jsonl", here("m", None), help(Some("e.jsonl"), (2, 1000), None)),
            (
                "a=m,x,skills=s,adapter=d,examples_max=4,examples=e,f",
                here("m,x", Some("d")),
                help(Some("e,f"), (4, 1000), Some("s")),
            ),
            (
                "a=http://h/v1,skills=s,examples=e,examples_tokens=300,model=n",
                elsewhere("http://h/v1", Some("n")),
                help(Some("e"), (2, 300), Some("s")),
            ),
        ] {
            let contestant = Contestant::parse(text).unwrap();
            assert_eq!((contestant.place, contestant.help), (place, expected), "{text}");
            assert!(Contestant::parse_teacher(text).unwrap_err().contains("a teacher has no"), "{text}");
        }
    }

    #[test]
    fn a_file_says_the_same_as_the_command_line_and_every_fault_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("who.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_contestants(&path)
        };
        let text = "[[contestant]]\nname = 'a'\nmodel = 'm'\nadapter = 'd'\nexamples = 'e'\nexamples_max = 4\n\
                    [[contestant]]\nname = 'b'\nurl = 'http://h/v1'\nmodel = 'n'\nskills = 's'\n";
        let typed = ["a=m,adapter=d,examples=e,examples_max=4", "b=http://h/v1,model=n,skills=s"];
        assert_eq!(read(text).unwrap(), typed.map(|text| Contestant::parse(text).unwrap()));
        for (text, told) in [
            ("", "missing field `contestant`"),
            ("contestant = []", "no contestants"),
            ("[[contestant]]\nname = 'a'", "1: no model"),
            ("[[contestant]]\nname = 'a'\nmodel = 'm'\nadaptor = 'd'", "unknown field `adaptor`"),
            ("[[contestant]]\nname = 'a'\nurl = 'ftp://h'", "must begin with http"),
            ("[[contestant]]\nname = 'a'\nurl = 'http://h'\nadapter = 'd'", "`adapter` is for"),
            ("[[contestant]]\nname = 'a'\nmodel = ''", "no model"),
            ("[[contestant]]\nname = 'a'\nmodel = 'm'\nskills = ''", "a path is empty"),
            ("[[contestant]]\nname = \"\\u001b\"\nmodel = 'm'", "control character"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(told) && error.is_bad_input(), "{text}: {error}");
        }
        assert!(read_contestants(&folder.path().join("none")).is_err());
    }
}
