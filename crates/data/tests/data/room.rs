//! Data files in a folder that vanishes, and sources of them.

use std::path::{Path, PathBuf};

use codeact_chat::ChatFormat;
use codeact_data::{
    DataError, DataSet, Filter, HeldOut, LengthPolicy, LoadOptions, OnBadRow, Role, RowFormat, Share, Source, TooLong,
    load,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny::{CHATML, byte_level};

pub struct Room {
    dir: TempDir,
    pub chat: ChatFormat,
}

impl Room {
    pub fn new() -> Room {
        Room { dir: tempfile::tempdir().unwrap(), chat: byte_level(CHATML).load().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn lines(&self, name: &str, rows: &[Value]) -> PathBuf {
        self.write(name, rows.iter().map(|row| format!("{row}\n")).collect::<String>())
    }

    pub fn load(&self, sources: &[Source]) -> Result<DataSet, DataError> {
        load(sources, &self.chat, options(None), &())
    }

    /// The only document of a file of one row: its text, and what of it is learned.
    pub fn one(&self, path: &Path) -> Result<(String, Vec<String>), DataError> {
        let data = self.load(&[source(&[path])])?;
        assert_eq!(data.train.documents.len(), 1);
        let example = data.train.example(0)?;
        let mut learned = vec![String::new()];
        for (id, is_target) in example.token_ids.iter().zip(&example.is_target) {
            match is_target {
                true => learned.last_mut().unwrap().push_str(&self.chat.decode(&[*id], false)),
                false if !learned.last().unwrap().is_empty() => learned.push(String::new()),
                false => {}
            }
        }
        learned.retain(|text| !text.is_empty());
        Ok((self.chat.decode(&example.token_ids, false), learned))
    }
}

pub fn options(cache: Option<&Path>) -> LoadOptions<'_> {
    LoadOptions { policy: LengthPolicy { tokens_max: 2000, too_long: TooLong::Drop }, seed: 1, cache }
}

pub fn source(files: &[&Path]) -> Source {
    Source {
        name: "test".to_owned(),
        files: files.iter().map(|path| path.to_path_buf()).collect(),
        format: RowFormat::Auto,
        on_bad_row: OnBadRow::Error,
        roles_to_train: vec![Role::Assistant],
        filter: Filter::default(),
        max_samples: None,
        share: Share::Repeat(1),
        held_out: HeldOut::None,
    }
}

pub fn skipping(files: &[&Path]) -> Source {
    Source { on_bad_row: OnBadRow::Skip, ..source(files) }
}

/// A good row.
pub fn row(id: usize) -> Value {
    let answer = format!("{id} it is{}", ", and again".repeat(id % 7));
    json!({"id": format!("row/{id}"), "conversations": [
        {"role": "user", "content": format!("say {id}")}, {"content": answer, "role": "assistant"}]})
}

pub fn rows(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(row).collect()
}
