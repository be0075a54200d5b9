//! Download from the Hugging Face hub into a folder, continuing what an earlier attempt left there.
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use hf_hub::HFError;

use super::error::SourceError;
use super::gguf::sha256_hex;
use super::hub_progress::Meter;
use super::hub_worker::{self, Event, Fetch, Kind, Pace, RemoteFile};

/// Which commit a half-downloaded folder belongs to.
const COMMIT_FILE: &str = ".commit";

/// Where the hub is and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Hub<'a> {
    pub(super) endpoint: Option<&'a str>,
    /// Longest wait for the first answer.
    pub(super) contact: Duration,
    /// Longest wait without a byte later on.
    pub(super) stall: Duration,
    pub(super) pace: Pace,
}

/// Why the hub did not give the model.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    /// No answer, or none that a hub gives: another place may help.
    #[error("{0}")]
    Unreachable(String),
    /// The hub answered, and the answer is no.
    #[error("{what}")]
    Refused { what: String, hint: String },
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Downloads what a model folder needs: configuration, tokenizer, safetensors. Pickled weights are left alone.
pub(super) fn download(name: &str, hub: &Hub, folder: &Path, progress: &dyn Fn(&str)) -> Result<(), HubError> {
    download_wanted(Kind::Model, name, hub, folder, wanted, progress)
}

/// Downloads the files that `wanted` chooses among those of the repository.
pub(super) fn download_wanted(
    kind: Kind,
    name: &str,
    hub: &Hub,
    folder: &Path,
    wanted: impl FnOnce(&str, Vec<RemoteFile>) -> Result<Vec<RemoteFile>, HubError>,
    progress: &dyn Fn(&str),
) -> Result<(), HubError> {
    let (commit, files) = list(kind, name, hub)?;
    let files = wanted(name, files)?;
    let commit_file = folder.join(COMMIT_FILE);
    if fs::read_to_string(&commit_file).ok().as_deref() != Some(commit.as_str()) {
        // Leftovers of another commit must not be mixed with this one.
        fs::remove_dir_all(folder)
            .and_then(|()| fs::create_dir_all(folder))
            .map_err(SourceError::io("empty", folder))?;
        fs::write(&commit_file, &commit).map_err(SourceError::io("write", &commit_file))?;
    }
    let fetches = files.iter().map(|file| resume(folder, file)).collect::<Result<Vec<_>, _>>()?;
    fetch((kind, name), hub, &commit, fetches, folder, progress)?;
    for file in &files {
        check(folder, file)?;
    }
    Ok(fs::remove_file(&commit_file).map_err(SourceError::io("remove", &commit_file))?)
}

fn list(kind: Kind, name: &str, hub: &Hub) -> Result<(String, Vec<RemoteFile>), HubError> {
    let (sender, events) = sync_channel(1);
    let (thread_name, endpoint) = (name.to_string(), hub.endpoint.map(str::to_string));
    std::thread::spawn(move || hub_worker::list(kind, &thread_name, endpoint.as_deref(), &sender));
    match next(&events, hub.contact)? {
        Event::Listed { commit, files } => Ok((commit, files)),
        Event::Failed(error) => Err(explain(name, error)),
        _ => unreachable!("`list` sends one event of two kinds"),
    }
}

fn next(events: &Receiver<Event>, limit: Duration) -> Result<Event, HubError> {
    events.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => HubError::Unreachable(format!("no answer for {:.0?}", limit)),
        RecvTimeoutError::Disconnected => HubError::Unreachable("the download ended without a result".into()),
    })
}

/// The files to download, in the order of [`rank`].
fn wanted(name: &str, mut files: Vec<RemoteFile>) -> Result<Vec<RemoteFile>, HubError> {
    files.retain(|file| rank(&file.name).is_some());
    files.sort_by_key(|file| (rank(&file.name), file.name.clone()));
    let has = |wanted: &str| files.iter().any(|file| file.name == wanted);
    let missing = if !has("config.json") {
        "config.json"
    } else if !has("tokenizer.json") {
        "tokenizer.json"
    } else if !files.iter().any(|file| file.name.ends_with(".safetensors")) {
        "model.safetensors (pickled weights such as pytorch_model.bin are not read)"
    } else {
        return Ok(files);
    };
    Err(HubError::Refused {
        what: format!("repository `{name}` has no {missing}"),
        hint: "choose a repository with config.json, tokenizer.json and safetensors weights".into(),
    })
}

/// Small files first, so that a useless repository shows before gigabytes; `None` for what is not needed.
fn rank(file_name: &str) -> Option<u8> {
    // The card says the licence.
    const SMALL: [&str; 12] = [
        "README.md",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "vocab.json",
        "merges.txt",
        "model.safetensors.index.json",
    ];
    let is_weights = file_name.starts_with("model") && file_name.ends_with(".safetensors");
    // Names come from outside and become paths.
    let is_plain = !file_name.contains(['/', '\\', ':']);
    match (SMALL.contains(&file_name), is_weights && is_plain) {
        (true, _) => Some(0),
        (_, true) => Some(1),
        _ => None,
    }
}

fn resume(folder: &Path, file: &RemoteFile) -> Result<Fetch, SourceError> {
    let path = folder.join(file.local_name());
    let start = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() <= file.bytes => metadata.len(),
        Ok(_) => {
            fs::remove_file(&path).map_err(SourceError::io("remove", &path))?;
            0
        }
        Err(_) => 0,
    };
    Ok(Fetch { file: file.clone(), start })
}

fn fetch(
    (kind, name): (Kind, &str),
    hub: &Hub,
    commit: &str,
    fetches: Vec<Fetch>,
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<(), HubError> {
    let total = fetches.iter().map(|fetch| fetch.file.bytes).sum();
    let mut missing: u64 = fetches.iter().map(|fetch| fetch.file.bytes - fetch.start).sum();
    let mut meter = Meter::new(name, total, total - missing, progress);
    let names: Vec<String> = fetches.iter().map(|fetch| fetch.file.local_name()).collect();
    // Two ranges wait at most: the network may run ahead of the disk by that much.
    let (sender, events) = sync_channel(2);
    let (thread_name, thread_commit) = (name.to_string(), commit.to_string());
    let endpoint = hub.endpoint.map(str::to_string);
    let pace = hub.pace;
    std::thread::spawn(move || {
        hub_worker::fetch(kind, &thread_name, endpoint.as_deref(), &thread_commit, &fetches, pace, &sender);
    });
    while missing > 0 {
        match next(&events, hub.stall)? {
            Event::Range { file_index, bytes } => {
                append(&folder.join(&names[file_index]), &bytes)?;
                missing -= bytes.len() as u64;
                meter.reach(total - missing);
            }
            Event::Received(bytes) => meter.reach((total - missing + bytes).min(total)),
            Event::Retry(reason) => progress(&reason),
            Event::WrongLength { name, wanted, got } => {
                return Err(HubError::Unreachable(format!("`{name}`: asked for {wanted} bytes, got {got}")));
            }
            Event::Failed(error) => return Err(explain(name, error)),
            Event::Listed { .. } => unreachable!("`fetch` does not list"),
        }
    }
    Ok(())
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), SourceError> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(SourceError::io("write", path))
}

fn check(folder: &Path, file: &RemoteFile) -> Result<(), HubError> {
    let Some(expected) = &file.sha256 else {
        return Ok(());
    };
    let path = folder.join(file.local_name());
    let sha256 = sha256_hex(&path)?;
    if sha256 == *expected {
        return Ok(());
    }
    fs::remove_file(&path).map_err(SourceError::io("remove", &path))?;
    Err(HubError::Unreachable(format!("`{}` came damaged: its sha256 is {sha256}, the hub says {expected}", file.name)))
}

pub(super) fn explain(name: &str, error: HFError) -> HubError {
    let refused = |what: String, hint: String| HubError::Refused { what, hint };
    match error {
        HFError::AuthRequired { .. } => refused(
            format!("`{name}` needs a valid token, or does not exist (HTTP 401)"),
            format!(
                "check the name; for a gated model accept its licence on its page, make a token, and set HF_TOKEN or run `hf auth login`; a wrong HF_TOKEN also ends here, even for the public `{name}`"
            ),
        ),
        // The hub numbers its answers; a proxy that forbids the way to it does not.
        HFError::Forbidden { context } if context.request_id.is_none() => {
            HubError::Unreachable(format!("HTTP 403 for {}, it seems from a proxy on the way", context.url))
        }
        HFError::Forbidden { .. } => refused(
            format!("the token does not give access to `{name}` (HTTP 403)"),
            "accept the model's licence on its page with the account of the token, or give the token read access"
                .into(),
        ),
        HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => refused(
            format!("there is no repository `{name}` (HTTP 404)"),
            "check the spelling of the name; private ones need HF_TOKEN".into(),
        ),
        HFError::EntryNotFound { path, .. } => refused(
            format!("the hub lists `{path}` of `{name}`, but does not have it (HTTP 404)"),
            "run again; when it persists, choose another repository".into(),
        ),
        other => HubError::Unreachable(with_causes(&other)),
    }
}

/// An error with all its causes: reqwest says why only in the innermost one.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
