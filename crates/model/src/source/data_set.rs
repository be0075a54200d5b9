//! Data sets of the hub: the files of one split, as they were published.
use std::path::{Path, PathBuf};

use super::hub::{self, HubError};
use super::hub_worker::{Kind, RemoteFile};
use super::place::{Leftover, finished, place};
use super::{Attempts, Options, SourceError, is_hub_name};

/// Endings of files with rows.
const ENDINGS: [&str; 7] = [".parquet", ".jsonl", ".json", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".json.zst"];

/// Files of a repository that describe it and hold no rows.
const NO_ROWS: [&str; 2] = ["dataset_infos.json", "dataset_info.json"];

/// [`resolve_data_set_with`] and the options of the environment.
///
/// # Errors
/// As [`resolve_data_set_with`].
pub fn resolve_data_set(name: &str, split: Option<&str>, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>, SourceError> {
    resolve_data_set_with(name, split, &Options::from_environment(), progress)
}

/// The files of a data set, in order of name: from an earlier download, or from the hub.
///
/// * `name`: as on the hub, for example `xingyaoww/code-act`.
/// * `split`: files named after it (`data/SPLIT-00000-of-00003.parquet`, `SPLIT.jsonl`) or in a folder of its name;
///   without it all files of rows.
/// * `progress`: gets one line at a time for the user to read.
///
/// # Errors
/// Every error says what was tried, in order, and what to do; a half download is never taken for a data set.
pub fn resolve_data_set_with(
    name: &str,
    split: Option<&str>,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Vec<PathBuf>, SourceError> {
    let is_plain =
        |text: &str| !text.is_empty() && text.chars().all(|one| one.is_alphanumeric() || "-_.".contains(one));
    if !is_hub_name(name) || split.is_some_and(|split| !is_plain(split) || split.contains("..")) {
        return Err(SourceError::Name { name: name.to_string() });
    }
    // No split has the empty name.
    let folder = format!("{}--{}", name.replace('/', "--"), split.unwrap_or_default());
    let target = options.data_dir.join(folder);
    if let Some(folder) = finished(&target, missing_rows)? {
        return Ok(files(&folder));
    }
    let mut attempts = Attempts::default();
    attempts.add(format!("earlier download `{}`", target.display()), "not there");
    let place_of_hub = format!("the hub `{}`", options.endpoint.as_deref().unwrap_or("https://huggingface.co"));
    let exhausted =
        |attempts: Attempts, hint: String| SourceError::Exhausted { name: name.to_string(), attempts, hint };
    if options.offline {
        attempts.add(place_of_hub, "not asked, HF_HUB_OFFLINE is set");
        let hint = "unset HF_HUB_OFFLINE, or put the files at the place above";
        return Err(exhausted(attempts, hint.into()));
    }
    let hub = options.hub();
    let built = place(&target, Leftover::Continue, missing_rows, progress, |folder| {
        let wanted = |name: &str, files| wanted(name, split, files);
        hub::download_wanted(Kind::DataSet, name, &hub, folder, wanted, progress)
    });
    match built {
        Ok(folder) => Ok(files(&folder)),
        Err(HubError::Source(error)) => Err(error),
        Err(HubError::Refused { what, hint }) => {
            attempts.add(place_of_hub, what);
            Err(exhausted(attempts, hint))
        }
        Err(HubError::Unreachable(reason)) => {
            attempts.add(place_of_hub, reason);
            let hint = format!(
                "check the network (HTTPS_PROXY, HF_ENDPOINT), or copy the files of rows to `{}`; run again to continue the download",
                target.display()
            );
            Err(exhausted(attempts, hint))
        }
    }
}

fn is_rows(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    ENDINGS.iter().any(|ending| file.ends_with(ending)) && !NO_ROWS.contains(&file)
}

/// Whether a file of a repository belongs to a split.
fn is_of(name: &str, split: &str) -> bool {
    let mut parts: Vec<&str> = name.split('/').collect();
    let file = parts.pop().unwrap_or(name);
    // `train-00000-of-00003.parquet` is of `train`; `train_sft-00000-of-00001.parquet` and `train-x.jsonl` are not.
    let is_part = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let follows = |rest: &str| rest.starts_with('.') || rest.strip_prefix('-').is_some_and(is_part);
    file.strip_prefix(split).is_some_and(follows) || parts.contains(&split)
}

/// The files of the split, by name.
fn wanted(name: &str, split: Option<&str>, mut files: Vec<RemoteFile>) -> Result<Vec<RemoteFile>, HubError> {
    files.retain(|file| is_rows(&file.name) && !file.name.contains(['\\', ':']) && !file.name.contains(".."));
    let stems: std::collections::BTreeSet<String> = files.iter().map(|file| file.name.clone()).collect();
    files.retain(|file| split.is_none_or(|split| is_of(&file.name, split)));
    files.sort_by(|left, right| left.name.cmp(&right.name));
    if files.is_empty() {
        let found: Vec<String> = stems.into_iter().take(12).map(|name| format!("`{name}`")).collect();
        let what = match (split, found.is_empty()) {
            (_, true) => format!("data set `{name}` has no .parquet, .jsonl or .json file"),
            (Some(split), _) => format!("data set `{name}` has no split `{split}`, only {}", found.join(", ")),
            (None, _) => unreachable!("without a split all files are wanted"),
        };
        let hint = "choose a split that has files of its name, or a data set of such files".to_owned();
        return Err(HubError::Refused { what, hint });
    }
    let folders: std::collections::BTreeSet<&str> = files.iter().map(|file| folder_of(&file.name)).collect();
    if let (Some(split), true) = (split, folders.len() > 1) {
        let found: Vec<String> = folders.into_iter().map(|folder| format!("`{folder}`")).collect();
        let what = format!("data set `{name}` has the split `{split}` more than once, in {}", found.join(", "));
        let hint = "fetch the files of one of them, and name them by `path`".to_owned();
        return Err(HubError::Refused { what, hint });
    }
    Ok(files)
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn missing_rows(folder: &Path) -> Option<String> {
    let all = files(folder);
    let is_filled = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    (all.is_empty() || !all.iter().all(is_filled)).then(|| "a file of rows is missing or empty".to_owned())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| is_rows(&path.to_string_lossy())).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_split_are_told_by_name_or_folder() {
        for name in ["data/general-00000-of-00002.parquet", "general.jsonl", "default/general/0000.parquet"] {
            assert!(is_of(name, "general"), "{name}");
        }
        for name in [
            "data/generally.parquet",
            "data/codeact-00000-of-00001.parquet",
            "general-x/a.jsonl",
            "general_new-00000-of-00001.parquet",
            "general-new.jsonl",
        ] {
            assert!(!is_of(name, "general"), "{name}");
        }
    }
}
