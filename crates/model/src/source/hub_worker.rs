//! The calls to the hub, on a thread of their own.
//!
//! hf-hub sets no time limits and does not continue a half-read body. So its calls run on a thread that only sends
//! what it gets; the thread that asked stops listening when nothing comes ([`super::hub`]), and files are fetched in
//! ranges that are asked for again when one fails.
use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::{RepoTreeEntry, RepoType, RepoTypeDataset, RepoTypeModel};
use hf_hub::{HFClient, HFError, HFRepositorySync};

/// How often one range is asked for.
const TRIES: u32 = 4;

/// What a repository is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    DataSet,
}

/// A file of the repository.
#[derive(Debug, Clone)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Lower-case hexadecimal, where the hub gives it.
    pub(super) sha256: Option<String>,
}

/// What the worker sends.
pub(super) enum Event {
    /// The commit that `main` names, and its files at the top level.
    Listed { commit: String, files: Vec<RemoteFile> },
    /// Bytes of the running range that have come so far. Sent when there is room, so some are missing.
    Received(u64),
    /// A whole range of the file with this index.
    Range { file_index: usize, bytes: Vec<u8> },
    /// A range failed and is asked for again.
    Retry(String),
    /// The call ended.
    Failed(HFError),
    /// A range had another length than asked for.
    WrongLength { name: String, wanted: u64, got: u64 },
}

impl RemoteFile {
    /// The file's name in a folder of its own: repositories have folders, what is downloaded has none.
    pub(super) fn local_name(&self) -> String {
        self.name.replace('/', "--")
    }
}

/// Opens the repository `name` (`organisation/name`) with the token from the usual places.
fn open<T: RepoType>(kind: T, name: &str, endpoint: Option<&str>) -> Result<HFRepositorySync<T>, HFError> {
    let mut builder = HFClient::builder().retry_max_attempts(2);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint(endpoint);
    }
    let (owner, name) = name.split_once('/').unwrap_or(("", name));
    Ok(builder.build_sync()?.repository(kind, owner, name))
}

/// Sends [`Event::Listed`] or [`Event::Failed`].
pub(super) fn list(kind: Kind, name: &str, endpoint: Option<&str>, events: &SyncSender<Event>) {
    let listed = match kind {
        Kind::Model => open(RepoTypeModel, name, endpoint).and_then(|repository| {
            let commit = repository.info().send()?.sha;
            try_list(&repository, commit, false)
        }),
        Kind::DataSet => open(RepoTypeDataset, name, endpoint).and_then(|repository| {
            let commit = repository.info().send()?.sha;
            try_list(&repository, commit, true)
        }),
    };
    // A failed send means that nobody listens any more; then there is nothing left to do.
    let _ = events.send(match listed {
        Ok((commit, files)) => Event::Listed { commit, files },
        Err(error) => Event::Failed(error),
    });
}

fn try_list<T: RepoType>(
    repository: &HFRepositorySync<T>,
    commit: Option<String>,
    is_deep: bool,
) -> Result<(String, Vec<RemoteFile>), HFError> {
    let commit = commit.ok_or_else(|| HFError::Other("the hub's answer names no commit".into()))?;
    let entries = repository.list_tree().revision(commit.clone()).recursive(is_deep).send()?;
    let files = entries.into_iter().filter_map(|entry| match entry {
        RepoTreeEntry::File { path, size, lfs, .. } => {
            Some(RemoteFile { name: path, bytes: size, sha256: lfs.and_then(|lfs| lfs.sha256) })
        }
        RepoTreeEntry::Directory { .. } => None,
    });
    Ok((commit, files.collect()))
}

/// How a download is cut into requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes asked for at a time.
    pub(super) range_bytes: u64,
    /// Pause before the first repetition of a request; each further one doubles it.
    pub(super) retry_pause: Duration,
}

/// One file to fetch from byte `start` on.
pub(super) struct Fetch {
    pub(super) file: RemoteFile,
    pub(super) start: u64,
}

/// Sends every missing byte of `fetches` as [`Event::Range`], in order; ends early with [`Event::Failed`].
pub(super) fn fetch(
    kind: Kind,
    name: &str,
    endpoint: Option<&str>,
    commit: &str,
    fetches: &[Fetch],
    pace: Pace,
    events: &SyncSender<Event>,
) {
    match kind {
        Kind::Model => fetch_from(open(RepoTypeModel, name, endpoint), commit, fetches, pace, events),
        Kind::DataSet => fetch_from(open(RepoTypeDataset, name, endpoint), commit, fetches, pace, events),
    }
}

fn fetch_from<T: RepoType>(
    repository: Result<HFRepositorySync<T>, HFError>,
    commit: &str,
    fetches: &[Fetch],
    pace: Pace,
    events: &SyncSender<Event>,
) {
    let repository = match repository {
        Ok(repository) => repository,
        Err(error) => {
            let _ = events.send(Event::Failed(error));
            return;
        }
    };
    for (file_index, fetch) in fetches.iter().enumerate() {
        let mut position = fetch.start;
        while position < fetch.file.bytes {
            let range = position..position.saturating_add(pace.range_bytes).min(fetch.file.bytes);
            position = range.end;
            let event = match range_with_retry(&repository, commit, &fetch.file, range, pace, events) {
                Ok(bytes) => Event::Range { file_index, bytes },
                Err(event) => event,
            };
            let is_last = !matches!(event, Event::Range { .. });
            if events.send(event).is_err() || is_last {
                return;
            }
        }
    }
}

fn range_with_retry<T: RepoType>(
    repository: &HFRepositorySync<T>,
    commit: &str,
    file: &RemoteFile,
    range: Range<u64>,
    pace: Pace,
    events: &SyncSender<Event>,
) -> Result<Vec<u8>, Event> {
    let wanted = range.end - range.start;
    // A small file is asked for whole: not every server in between understands ranges.
    let is_whole = wanted == file.bytes;
    let mut attempt = 1;
    loop {
        let result = repository
            .download_file_to_bytes()
            .filename(file.name.as_str())
            .revision(commit)
            .maybe_range((!is_whole).then(|| range.clone()))
            .progress(Received(events.clone()))
            .send();
        match result {
            Ok(bytes) if bytes.len() as u64 == wanted => return Ok(bytes.to_vec()),
            Ok(bytes) => {
                return Err(Event::WrongLength { name: file.name.clone(), wanted, got: bytes.len() as u64 });
            }
            Err(error) if attempt < TRIES && may_pass(&error) => {
                let _ = events.send(Event::Retry(format!("`{}`: {error}; trying again", file.name)));
                std::thread::sleep(pace.retry_pause * (1 << (attempt - 1)));
                attempt += 1;
            }
            Err(error) => return Err(Event::Failed(error)),
        }
    }
}

fn may_pass(error: &HFError) -> bool {
    match error {
        HFError::Request { .. } | HFError::RateLimited { .. } => true,
        HFError::Http { context } => context.status.is_server_error(),
        _ => false,
    }
}

struct Received(SyncSender<Event>);

impl ProgressHandler for Received {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(DownloadEvent::Progress { files }) = event {
            for file in files {
                // Must not block here: with a full channel the listener has news anyway.
                let _ = self.0.try_send(Event::Received(file.bytes_completed));
            }
        }
    }
}
