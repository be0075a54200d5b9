//! One skill on the disk: read with suspicion, written whole or not at all.

use super::candidate::{self, DOC_BYTES_MAX, NAME_BYTES_MAX, SIGNATURE_BYTES_MAX, SOURCE_BYTES_MAX};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const ABOUT: &str = "skill.json";
const SOURCE: &str = "skill.py";
const TESTS: &str = "tests.py";
const VERSIONS: &str = "versions";
/// Old versions that are kept, the newest ones.
const VERSIONS_MAX: usize = 20;
/// JSON escapes a letter with up to six.
const ABOUT_BYTES_MAX: usize = 6 * (NAME_BYTES_MAX + SIGNATURE_BYTES_MAX + DOC_BYTES_MAX) + 1024;

/// Begins the name of a folder that is being written. No skill is called so.
pub(super) const PARTIAL: &str = ".partial-";
/// Begins the name of a folder that is being replaced.
pub(super) const OLD: &str = ".old-";

/// What is known about a stored skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skill {
    /// Name of the function.
    pub name: String,
    /// How it is called.
    pub signature: String,
    /// What it does.
    pub doc: String,
    /// Counts from 1; a new source or new tests make a new version.
    pub version: u64,
    /// When this version was stored, in milliseconds since 1970.
    pub created_ms: u64,
    /// How often this version was used.
    pub uses: u64,
    /// How often that went well.
    pub successes: u64,
    /// SHA-256 of the source, a NUL byte and the tests, as they were verified.
    pub source_hash: String,
}

/// A skill with its Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub skill: Skill,
    pub source: String,
    pub tests: String,
}

/// Read the skill in `folder`, which is called as it is; the error says what is wrong with it.
pub(super) fn read(folder: &Path, name: &str) -> Result<Stored, String> {
    candidate::check_name(name).map_err(|error| error.to_string())?;
    let kind = folder.symlink_metadata().map_err(|error| error.to_string())?;
    if !kind.is_dir() {
        return Err("it is not a folder".to_string());
    }
    let text =
        |file: &str, bytes_max| read_text(&folder.join(file), bytes_max).map_err(|why| format!("`{file}` {why}"));
    let about = text(ABOUT, ABOUT_BYTES_MAX)?;
    let skill: Skill = serde_json::from_str(&about).map_err(|error| format!("`{ABOUT}` is malformed: {error}"))?;
    let (source, tests) = (text(SOURCE, SOURCE_BYTES_MAX)?, text(TESTS, SOURCE_BYTES_MAX)?);
    if skill.name != name {
        return Err(format!("`{ABOUT}` is about `{}`", skill.name.escape_debug()));
    }
    let Skill { name, signature, doc, .. } = skill.clone();
    let candidate = candidate::Candidate { name, signature, doc, source, tests };
    candidate.check().map_err(|error| error.to_string())?;
    if candidate::hash(&candidate.source, &candidate.tests) != skill.source_hash {
        return Err(format!("`{SOURCE}` or `{TESTS}` was changed since it was verified"));
    }
    if skill.successes > skill.uses {
        return Err(format!("`{ABOUT}` counts more successes than uses"));
    }
    Ok(Stored { skill, source: candidate.source, tests: candidate.tests })
}

/// Text of a file that may be anything: a pipe, a link, endless, not text.
fn read_text(path: &Path, bytes_max: usize) -> Result<String, String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| format!("cannot be opened: {error}"))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("is not a file".to_string());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_string())
}

/// Put `stored` at `<root>/<name>`; what was there becomes its newest old version. After a crash [`recover`] has the
/// rest to do.
pub(super) fn replace(root: &Path, stored: &Stored, old: Option<&Stored>) -> io::Result<()> {
    let name = &stored.skill.name;
    let (target, partial) = (root.join(name), root.join(format!("{PARTIAL}{name}")));
    let versions = partial.join(VERSIONS);
    remove(&partial)?;
    std::fs::create_dir_all(&versions)?;
    let written =
        write(&partial, stored).and_then(|()| keep_versions(&target.join(VERSIONS), &versions, old)).and_then(|()| {
            sync(&partial)?;
            let aside = root.join(format!("{OLD}{name}"));
            // A folder that cannot be read as a skill goes aside as well: its place is needed.
            let has_old = target.symlink_metadata().is_ok();
            if has_old {
                remove(&aside)?;
                std::fs::rename(&target, &aside)?;
            }
            std::fs::rename(&partial, &target)?;
            sync(root)?;
            if has_old { remove(&aside) } else { Ok(()) }
        });
    if written.is_err() {
        // The first error is the one to report; the next change tries again.
        let _ = remove(&partial);
        let _ = restore(root, name);
    }
    written
}

/// Undo or complete what a crash cut off. Nobody else may change the folder meanwhile.
pub(super) fn recover(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let file_name = entry?.file_name();
        let Some(file_name) = file_name.to_str() else { continue };
        if file_name.starts_with(PARTIAL) {
            remove(&root.join(file_name))?;
        } else if let Some(name) = file_name.strip_prefix(OLD) {
            restore(root, name)?;
        }
    }
    Ok(())
}

/// Put back what was set aside, unless its successor is in place.
fn restore(root: &Path, name: &str) -> io::Result<()> {
    let (target, aside) = (root.join(name), root.join(format!("{OLD}{name}")));
    match (aside.symlink_metadata().is_ok(), target.symlink_metadata().is_ok()) {
        (false, _) => Ok(()),
        (true, true) => remove(&aside),
        (true, false) => std::fs::rename(&aside, &target),
    }
}

/// Fill `to` with the newest old versions: those in `from`, and the one that is replaced.
fn keep_versions(from: &Path, to: &Path, old: Option<&Stored>) -> io::Result<()> {
    let mut kept: Vec<(u64, PathBuf)> = Vec::new();
    // None yet, or not a folder.
    for entry in std::fs::read_dir(from).into_iter().flatten() {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            kept.push((number, entry.path()));
        }
    }
    kept.sort();
    let room = VERSIONS_MAX - usize::from(old.is_some());
    for (number, path) in kept.split_off(kept.len().saturating_sub(room)) {
        let folder = to.join(number.to_string());
        std::fs::create_dir(&folder)?;
        for (file, bytes_max) in [(ABOUT, ABOUT_BYTES_MAX), (SOURCE, SOURCE_BYTES_MAX), (TESTS, SOURCE_BYTES_MAX)] {
            // A damaged old version is kept as far as it goes.
            if let Ok(text) = read_text(&path.join(file), bytes_max) {
                write_file(&folder.join(file), text.as_bytes())?;
            }
        }
        sync(&folder)?;
    }
    if let Some(old) = old {
        let folder = to.join(old.skill.version.to_string());
        remove(&folder)?;
        std::fs::create_dir(&folder)?;
        write(&folder, old)?;
        sync(&folder)?;
    }
    sync(to)
}

/// Replace what is known about a skill, its Python left as it is.
pub(super) fn write_about(folder: &Path, skill: &Skill) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(skill)?)?;
    file.as_file().sync_data()?;
    file.persist(folder.join(ABOUT))?;
    sync(folder)
}

fn write(folder: &Path, stored: &Stored) -> io::Result<()> {
    write_file(&folder.join(ABOUT), &serde_json::to_vec_pretty(&stored.skill)?)?;
    write_file(&folder.join(SOURCE), stored.source.as_bytes())?;
    write_file(&folder.join(TESTS), stored.tests.as_bytes())
}

fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_data()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Remove whatever is there; a link is removed, not followed.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
