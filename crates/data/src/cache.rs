//! What was encoded before, by content: two files for each file of data, `KEY.tokens` and `KEY.json`.
//!
//! The key stands for the file's content, the rules, and the chat format. What is damaged is made anew, and where nothing
//! can be written tokens are kept in memory: the cache changes nothing but time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use codeact_chat::ChatFormat;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encode::{Meta, Rules, Watch};
use crate::error::DataError;
use crate::hash;
use crate::tokens::{Tokens, Writer};

/// Changes whenever the same file would be read in another way, or kept in another form.
const VERSION: &str = "codeact tokens 5";

/// What nobody used for so long is removed when something new is kept.
const UNUSED_MAX: Duration = Duration::from_secs(60 * 24 * 3600);

/// After so long nobody writes an entry any more.
const INTERRUPTED_MAX: Duration = Duration::from_secs(24 * 3600);

/// Digits of a key.
const KEY_DIGITS: usize = 32;

/// A folder of encoded files, or none.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: Option<PathBuf>,
    chat: String,
}

/// `KEY.json`, behind a line with the SHA-256 of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: String,
    /// Of `KEY.tokens`.
    tokens_sha256: String,
    meta: Meta,
}

impl Cache {
    pub(crate) fn new(dir: Option<&Path>, chat: &ChatFormat) -> Cache {
        let mut hasher = Sha256::new();
        for text in chat.identity() {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        Cache { dir: dir.map(Path::to_owned), chat: hash::hex(&hasher.finalize()) }
    }

    /// Names what a file of this content becomes.
    pub(crate) fn key(&self, sha256: &str, rules: Rules<'_>) -> String {
        let roles: Vec<&str> = rules.roles.iter().map(|role| role.name()).collect();
        let text = format!("{VERSION}\n{sha256}\n{:?}\n{}\n{}", rules.format, roles.join(","), self.chat);
        hash::of_text(&text)[..KEY_DIGITS].to_owned()
    }

    fn paths(&self, key: &str) -> Option<[PathBuf; 2]> {
        let dir = self.dir.as_ref()?;
        Some([dir.join(format!("{key}.json")), dir.join(format!("{key}.tokens"))])
    }

    /// What is kept under a key, if it is sound.
    pub(crate) fn find(&self, key: &str) -> Option<(Meta, Tokens)> {
        let [meta_path, tokens_path] = self.paths(key)?;
        let text = fs::read_to_string(meta_path).ok()?;
        let (sum, text) = text.split_once('\n')?;
        let kept: Kept = serde_json::from_str(text).ok().filter(|_| hash::of_text(text) == sum)?;
        let last = kept.meta.entries.last()?;
        let words = last.start.checked_add(u64::from(last.token_count))?;
        let file = fs::File::open(&tokens_path).ok()?;
        let is_whole = file.metadata().ok()?.len() == words.checked_mul(4)?;
        let is_sound = kept.version == VERSION && is_whole && is_contiguous(&kept.meta);
        if !is_sound || hash::of_file(&tokens_path).ok()? != kept.tokens_sha256 {
            return None;
        }
        // Best effort: the time of the last use, by which old entries are told.
        let _ =
            fs::File::options().append(true).open(&tokens_path).and_then(|file| file.set_modified(SystemTime::now()));
        Some((kept.meta, Tokens::File { file: Mutex::new(file), path: tokens_path }))
    }

    /// Where the tokens of a new entry go.
    pub(crate) fn writer(&self, key: &str, watch: &dyn Watch) -> Writer {
        let Some(dir) = &self.dir else { return Writer::Memory(Vec::new()) };
        let partial = dir.join(format!("{key}.{}.partial", std::process::id()));
        let created = fs::create_dir_all(dir).and_then(|()| {
            let _ = fs::remove_file(&partial);
            Writer::create(&partial)
        });
        created.unwrap_or_else(|error| {
            watch.note(&format!("note: tokens are not kept for the next start: `{}`: {error}", dir.display()));
            Writer::Memory(Vec::new())
        })
    }

    /// Forgets a half-written entry.
    pub(crate) fn discard(&self, writer: Writer) {
        if let Writer::File { path, .. } = writer {
            let _ = fs::remove_file(path);
        }
    }

    /// Keeps what was written.
    ///
    /// # Errors
    /// When the tokens cannot be brought to the disk.
    pub(crate) fn keep(&self, key: &str, meta: &Meta, writer: Writer, watch: &dyn Watch) -> Result<Tokens, DataError> {
        let (file, hasher, partial) = match writer {
            Writer::Memory(words) => return Ok(Tokens::Memory(words)),
            Writer::File { file, hasher, path, .. } => (file, hasher, path),
        };
        let flushed = file.into_inner().map_err(|error| error.into_error());
        let file = flushed.map_err(|error| {
            let _ = fs::remove_file(&partial);
            DataError::cache(&partial)(error)
        })?;
        let tokens_sha256 = hash::hex(&hasher.finalize());
        let [meta_path, tokens_path] = self.paths(key).expect("a writer of a file has a folder");
        let kept = || -> std::io::Result<()> {
            fs::rename(&partial, &tokens_path)?;
            let text = serde_json::to_string(&KeptRef { version: VERSION, tokens_sha256: &tokens_sha256, meta })?;
            let partial_meta = partial.with_extension("meta");
            fs::write(&partial_meta, format!("{}\n{text}", hash::of_text(&text)))?;
            fs::rename(&partial_meta, &meta_path)
        };
        if let Err(error) = kept() {
            watch.note(&format!("note: tokens are not kept for the next start: `{}`: {error}", meta_path.display()));
        }
        self.sweep();
        Ok(Tokens::File { file: Mutex::new(file), path: tokens_path })
    }

    /// Removes entries that nobody used for long, and what an interrupted run left. Files of other names are not ours.
    fn sweep(&self) {
        let entries = self.dir.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((key, ending)) = name.split_once('.') else { continue };
            let is_key = key.len() == KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            let age_max = match ending.rsplit('.').next() {
                Some("tokens") => UNUSED_MAX,
                Some("partial" | "meta") => INTERRUPTED_MAX,
                _ => continue,
            };
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok());
            if is_key && age.is_some_and(|age| age > age_max) {
                // Best effort, each by itself: an entry with one of its files is made anew.
                let _ = fs::remove_file(&path);
                if ending == "tokens" {
                    let _ = fs::remove_file(path.with_extension("json"));
                }
            }
        }
    }
}

/// [`Kept`] while it is written.
#[derive(Serialize)]
struct KeptRef<'a> {
    version: &'a str,
    tokens_sha256: &'a str,
    meta: &'a Meta,
}

/// Whether the entries lie one after the other, as they were written.
fn is_contiguous(meta: &Meta) -> bool {
    let mut end = 0;
    meta.entries.iter().all(|entry| {
        let is_next = entry.start == end
            && entry.token_count > 0
            && entry.target_count <= entry.token_count
            && entry.second < entry.token_count;
        end = entry.start.saturating_add(u64::from(entry.token_count));
        is_next
    })
}
