//! Files on their way between this machine and the workspace, and conversations on their way to the disk.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use codeact_agent::transcript::{jsonl, markdown, notebook};
use codeact_eval::write_atomically;
use codeact_sandbox::{EntryKind, Files};
use codeact_serve::harmless;

use crate::conversation::Conversation;

const ENTRIES_MAX: usize = 200;
const GET_BYTES_MAX: u64 = 256 << 20;
const PUT_BYTES_MAX: u64 = 1 << 30;

fn workspace(conversation: &mut Conversation) -> anyhow::Result<Arc<Files>> {
    let files = conversation.agent.interpreter().files();
    files.context("the files of what runs the code cannot be reached from here")
}

/// What is in a folder of the workspace.
///
/// # Errors
/// When there is no such folder.
pub fn list(conversation: &mut Conversation, folder: &str) -> anyhow::Result<String> {
    let listing = workspace(conversation)?.list(folder, ENTRIES_MAX)?;
    let line = |entry: &codeact_sandbox::FileEntry| match entry.kind {
        EntryKind::File => format!("{:>12}  {}", entry.bytes, entry.path),
        EntryKind::Folder => format!("{:>12}  {}/", "", entry.path),
        EntryKind::Link => format!("{:>12}  {}", "link", entry.path),
        EntryKind::Other => format!("{:>12}  {}", "special", entry.path),
    };
    let mut lines: Vec<String> = listing.entries.iter().map(line).collect();
    if listing.is_cut {
        lines.push(format!("and more; {ENTRIES_MAX} are shown"));
    }
    Ok(if lines.is_empty() { "no files".to_owned() } else { harmless(&lines.join("\n")) })
}

/// Copies a file out of the workspace; nothing is overwritten.
///
/// # Errors
/// When it cannot be read, or there is a file of that name here.
pub fn get(conversation: &mut Conversation, path: &str, to: Option<&Path>) -> anyhow::Result<String> {
    let content = workspace(conversation)?.read(path, GET_BYTES_MAX)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let to = match to {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
        None => PathBuf::from(name),
    };
    let opened = OpenOptions::new().write(true).create_new(true).open(&to);
    let mut file = opened.with_context(|| format!("cannot write `{}`", to.display()))?;
    file.write_all(&content)?;
    Ok(format!("{} bytes in {}", content.len(), harmless(&to.display().to_string())))
}

/// Copies a file into the workspace.
///
/// # Errors
/// When it cannot be read or does not fit.
pub fn put(conversation: &mut Conversation, from: &Path, path: Option<&str>) -> anyhow::Result<String> {
    let mut file = File::open(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    if !file.metadata()?.is_file() {
        bail!("`{}` is not a file", from.display());
    }
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned());
    let path = path.map(str::to_owned).or(name).context("it has no name")?;
    let bytes = conversation.agent.interpreter().upload(&path, &mut file, PUT_BYTES_MAX)?;
    Ok(format!("{bytes} bytes in {path}"))
}

/// Writes the conversation down, in the format that the name of the file ends in. A file that was there before this
/// conversation is not overwritten.
///
/// # Errors
/// When the name ends in something else, there is nothing to write, or the file cannot be written.
pub fn save(conversation: &Conversation, path: &Path, written: &mut BTreeSet<PathBuf>) -> anyhow::Result<String> {
    let (title, events) = (conversation.title(), conversation.events());
    let text = match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => jsonl(&title, conversation.agent.messages())?,
        Some("ipynb") => notebook(&title, &events),
        Some("md") => markdown(&title, &events),
        _ => bail!("`{}` must end in .jsonl, .ipynb or .md", path.display()),
    };
    if path.exists() && !written.contains(path) {
        bail!("`{}` is there already\nhint: another name", path.display());
    }
    write_atomically(path, text.as_bytes())?;
    written.insert(path.to_owned());
    Ok(format!("{} bytes in {}", text.len(), path.display()))
}
