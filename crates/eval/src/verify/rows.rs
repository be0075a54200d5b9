//! The rows of a data file: where they stand, and what is in one.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::EvalError;

/// A longer line is no conversation, and would be read into memory for nothing.
const ROW_BYTES_MAX: u64 = 64 << 20;
/// How much of a value a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Instructions.
    System,
    /// A person, or what code printed.
    User,
    /// The model.
    Assistant,
    /// What code printed, in data that has a role for it.
    Output,
}

/// A conversation as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name; empty if it has none.
    pub id: String,
    /// Who says what.
    pub messages: Vec<(Speaker, String)>,
}

/// A file of rows that are read when they are needed.
#[derive(Debug)]
pub struct Rows {
    path: PathBuf,
    file: File,
    places: Vec<Place>,
    /// SHA-256 of the file, in base 16.
    pub digest: String,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    bytes: u64,
    line: usize,
}

impl Rows {
    /// Finds the lines of the file that are not blank.
    ///
    /// # Errors
    /// When it cannot be read, is no plain file (it is read more than once), or has no lines.
    pub fn open(path: &Path) -> Result<Rows, EvalError> {
        let failed = |source| EvalError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(EvalError::NotPlain { path: path.to_owned() });
        }
        let (places, digest) = scan(&file).map_err(failed)?;
        match places.is_empty() {
            true => Err(EvalError::Empty { path: path.to_owned() }),
            false => Ok(Rows { path: path.to_owned(), file, places, digest }),
        }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The line of row `index`, counted from 1.
    pub fn line(&self, index: usize) -> usize {
        self.places[index].line
    }

    /// The bytes of row `index`, without its line break.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>, EvalError> {
        let place = self.places[index];
        let mut bytes = vec![0; place.bytes as usize];
        let read = self.file.read_exact_at(&mut bytes, place.start);
        read.map_err(|source| EvalError::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    /// Row `index`, or what is wrong with it.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn row(&self, index: usize) -> Result<Result<Row, String>, EvalError> {
        let bytes = self.places[index].bytes;
        if bytes > ROW_BYTES_MAX {
            return Ok(Err(format!("a line of {bytes} bytes, at most {ROW_BYTES_MAX}")));
        }
        Ok(parse(&self.bytes(index)?))
    }

    /// The first row that is none, what is wrong with it, and how many such there are.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn faults(&self) -> Result<Option<(usize, String, usize)>, EvalError> {
        let mut found: Option<(usize, String, usize)> = None;
        for index in 0..self.count() {
            if let Err(what) = self.row(index)? {
                found.get_or_insert((self.line(index), what, 0)).2 += 1;
            }
        }
        Ok(found)
    }

    /// Whether the file is still the one that was opened.
    ///
    /// # Errors
    /// When it cannot be read any more, or it is not.
    pub fn check_unchanged(&self) -> Result<(), EvalError> {
        let read = File::open(&self.path).and_then(|file| scan(&file));
        let (_, digest) = read.map_err(|source| EvalError::Read { path: self.path.clone(), source })?;
        match digest == self.digest {
            true => Ok(()),
            false => Err(EvalError::DataChanged { path: self.path.clone() }),
        }
    }
}

/// Where lines are that are not blank, and the digest of the file. No line is ever held in memory.
fn scan(file: &File) -> std::io::Result<(Vec<Place>, String)> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut places, mut hash) = (Vec::new(), Sha256::new());
    let (mut at, mut start, mut line, mut is_blank) = (0_u64, 0_u64, 1_usize, true);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        for &byte in chunk {
            at += 1;
            if byte != b'\n' {
                is_blank &= byte.is_ascii_whitespace();
                continue;
            }
            if !is_blank {
                places.push(Place { start, bytes: at - 1 - start, line });
            }
            (start, line, is_blank) = (at, line + 1, true);
        }
        let count = chunk.len();
        reader.consume(count);
    }
    if !is_blank {
        places.push(Place { start, bytes: at - start, line });
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((places, digest))
}

/// A row, or what is wrong with it. Keys that are not needed here are let through: the row is written as it is.
pub fn parse(bytes: &[u8]) -> Result<Row, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} of the line is not UTF-8", error.valid_up_to() + 1))?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The parser sees one line, so its own "line 1" would mislead.
        let what = error.to_string();
        format!("column {}: {}", error.column(), what.split(" at line ").next().unwrap_or(&what))
    })?;
    let object = value.as_object().ok_or("it is no object")?;
    let id = match object.get("id") {
        None => String::new(),
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(other) => return Err(format!("`id` is {}; it must be a text", shown(other))),
    };
    let list = object.get("conversations").or_else(|| object.get("messages"));
    let list = list.and_then(Value::as_array).ok_or("it has no list `conversations` (or `messages`)")?;
    let messages: Vec<(Speaker, String)> =
        list.iter().enumerate().map(|(index, message)| spoken(index, message)).collect::<Result<_, String>>()?;
    match messages.is_empty() {
        true => Err("the conversation has no messages".to_owned()),
        false => Ok(Row { id, messages }),
    }
}

fn spoken(index: usize, message: &Value) -> Result<(Speaker, String), String> {
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| message.get(key)).and_then(Value::as_str);
    let role = text(["role", "from"]).ok_or_else(|| format!("message {index} has no text `role`"))?;
    let speaker = match role {
        "system" => Speaker::System,
        "user" | "human" => Speaker::User,
        "assistant" | "gpt" => Speaker::Assistant,
        "observation" | "tool" | "ipython" | "environment" | "execution" => Speaker::Output,
        other => return Err(format!("message {index} has unknown role {}", shown(&Value::from(other)))),
    };
    let content = text(["content", "value"]).ok_or_else(|| format!("message {index} has no text `content`"))?;
    Ok((speaker, content.to_owned()))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Result<Rows, EvalError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, bytes).unwrap();
        Rows::open(&path)
    }

    const GOOD: &str = r#"{"id":"a","conversations":[{"content":"hello","role":"user"},{"role":"assistant","content":"hi","x":1}],"y":2}"#;

    #[test]
    fn lines_are_found_whatever_ends_them() {
        let rows = rows(format!("\n{GOOD}\r\n  \n{GOOD}").as_bytes()).unwrap();
        assert_eq!((rows.count(), rows.line(0), rows.line(1)), (2, 2, 4));
        assert_eq!(rows.row(0).unwrap(), rows.row(1).unwrap());
        assert_eq!(rows.bytes(1).unwrap(), GOOD.as_bytes());
        assert_eq!(rows.faults().unwrap(), None);
        let row = rows.row(1).unwrap().unwrap();
        assert_eq!((row.id.as_str(), row.messages.len()), ("a", 2));
        assert!(matches!(super::tests::rows(b" \n\n"), Err(EvalError::Empty { .. })));
    }

    #[test]
    fn roles_of_other_data_are_known() {
        let row = parse(
            br#"{"messages":[{"from":"human","value":"q"},{"from":"gpt","value":"a"},{"role":"tool","content":"5"}]}"#,
        );
        let speakers: Vec<Speaker> = row.unwrap().messages.into_iter().map(|(speaker, _)| speaker).collect();
        assert_eq!(speakers, [Speaker::User, Speaker::Assistant, Speaker::Output]);
    }

    #[test]
    fn a_bad_row_says_what_it_lacks() {
        let deep = format!("{{\"id\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (line, what) in [
            ("{", "column 1: EOF"),
            ("[]", "no object"),
            (r#"{"id":[1],"conversations":[]}"#, "`id` is `[1]`"),
            (r#"{"id":"a"}"#, "no list `conversations`"),
            (r#"{"id":"a","conversations":[]}"#, "no messages"),
            (r#"{"id":"a","conversations":[{"role":"user"}]}"#, "message 0 has no text `content`"),
            (r#"{"id":"a","conversations":[{"role":"judge","content":""}]}"#, "message 0 has unknown role"),
            (r#"{"id":"a","conversations":[{"role":"user","content":[1]}]}"#, "message 0 has no text `content`"),
            (deep.as_str(), "recursion limit"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(what) && error.len() < 200, "{error}");
        }
        assert!(parse(b"{\"id\":\"\xff\"}").unwrap_err().contains("byte 8"));
        let rows = rows(format!("{GOOD}\n{{\n{GOOD}\n7\n").as_bytes()).unwrap();
        let (line, what, count) = rows.faults().unwrap().unwrap();
        assert_eq!((line, count), (2, 2));
        assert!(what.contains("EOF"), "{what}");
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, GOOD).unwrap();
        let rows = Rows::open(&path).unwrap();
        rows.check_unchanged().unwrap();
        std::fs::write(&path, GOOD.replace("hello", "hullo")).unwrap();
        assert!(matches!(rows.check_unchanged(), Err(EvalError::DataChanged { .. })));
        assert!(matches!(Rows::open(folder.path()), Err(EvalError::NotPlain { .. } | EvalError::Read { .. })));
    }
}
