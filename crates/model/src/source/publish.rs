//! Publish files on the hub: one commit, which is there as a whole or not at all.
//!
//! Weights go to the hub's store of pieces first (Xet), where pieces that it has already are not sent again; the commit
//! that names them comes last. So a stopped publication shows nothing, and goes on quickly when it is repeated.
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use hf_hub::progress::{ProgressEvent, ProgressHandler, UploadEvent};
use hf_hub::repository::{CommitInfo, CommitOperation, RepoTypeModel};
use hf_hub::{HFClient, HFClientSync, HFError};
use indicatif::HumanBytes;

use super::error::SourceError;
use super::hub::{HubError, explain};
use super::{Options, is_hub_name};

/// What is published, and where.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The repository, `owner/name`. It is made when it is not there.
    pub repository: String,
    /// The files: their name there, and where they are.
    pub files: Vec<(String, PathBuf)>,
    /// Whether everybody may see it. A repository that is public already is refused without it.
    pub is_public: bool,
    /// Branch; without it `main`.
    pub revision: Option<String>,
    /// Of the commit.
    pub message: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The page of the repository.
    pub url: String,
    /// The commit, where the hub names it.
    pub commit: Option<String>,
}

/// What the worker sends.
enum Event {
    User(String),
    Line(String),
    Done(Published),
    IsPublic,
    Failed(HFError),
}

/// Publishes files with the token from the usual places (`HF_TOKEN`, `HF_TOKEN_PATH`, `hf auth login`).
///
/// * `progress`: gets one line at a time for the user to read.
///
/// # Errors
/// Without network or with a token that may not do it, and when the repository is public and [`Publication::is_public`]
/// is not said. Nothing is visible on the hub then.
pub fn publish(
    publication: &Publication,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Published, SourceError> {
    let name = &publication.repository;
    if !is_hub_name(name) || !name.contains('/') {
        let hint = "give it as `owner/name`, such as `someone/codeact-mistral-7b-lora`".to_owned();
        return Err(SourceError::Publish { name: name.clone(), what: "this is no name of a repository".into(), hint });
    }
    let failed = |what: String, hint: &str| SourceError::Publish { name: name.clone(), what, hint: hint.to_owned() };
    if options.offline {
        return Err(failed("HF_HUB_OFFLINE is set".into(), "unset it to publish"));
    }
    let (sender, events) = sync_channel(16);
    let (own, endpoint) = (publication.clone(), options.endpoint.clone());
    std::thread::spawn(move || work(&own, endpoint.as_deref(), &sender));
    // Only the first answer has a time limit: hashing and sending of gigabytes take what they take.
    let mut limit = Some(options.contact_timeout);
    loop {
        match next(&events, limit.take()).map_err(|what| failed(what, NETWORK))? {
            Event::User(user) => progress(&format!("publishing as `{user}`")),
            Event::Line(line) => progress(&line),
            Event::Done(published) => return Ok(published),
            Event::IsPublic => {
                return Err(failed(
                    "this repository is public, so everybody would see the files".into(),
                    "give `--public` if they may, or another name: a new repository is private",
                ));
            }
            Event::Failed(error) => {
                return Err(match explain(name, error) {
                    HubError::Source(error) => error,
                    HubError::Refused { what, .. } => failed(what, TOKEN),
                    HubError::Unreachable(what) => failed(what, NETWORK),
                });
            }
        }
    }
}

const TOKEN: &str = "make a token that may write, and set HF_TOKEN or run `hf auth login`; for the name of an \
                     organisation its account must be a member";
const NETWORK: &str = "check the network (HTTPS_PROXY, HF_ENDPOINT) and run again: what was sent is not sent twice";

fn next(events: &Receiver<Event>, limit: Option<Duration>) -> Result<Event, String> {
    let ended = || "the publication ended without a result".to_owned();
    match limit {
        None => events.recv().map_err(|_| ended()),
        Some(limit) => events.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer for {limit:.0?}"),
            RecvTimeoutError::Disconnected => ended(),
        }),
    }
}

fn work(publication: &Publication, endpoint: Option<&str>, events: &SyncSender<Event>) {
    // A failed send means that nobody listens any more; then there is nothing left to do.
    let _ = events.send(match try_work(publication, endpoint, events) {
        Ok(event) => event,
        Err(error) => Event::Failed(error),
    });
}

fn try_work(publication: &Publication, endpoint: Option<&str>, events: &SyncSender<Event>) -> Result<Event, HFError> {
    let mut builder = HFClient::builder().retry_max_attempts(2);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint(endpoint);
    }
    let client: HFClientSync = builder.build_sync()?;
    let _ = events.send(Event::User(client.whoami().send()?.username));
    let name = &publication.repository;
    let (owner, short) = name.split_once('/').unwrap_or(("", name));
    let repository = client.repository(RepoTypeModel, owner, short);
    if !repository.exists().send()? {
        let creation = client.create_repository().repo_id(name).repo_type(RepoTypeModel);
        creation.private(!publication.is_public).exist_ok(true).send()?;
    } else if !publication.is_public && repository.info().send()?.private != Some(true) {
        return Ok(Event::IsPublic);
    }
    let operations = publication.files.iter().map(|(name, path)| CommitOperation::add_file(name, path)).collect();
    let commit = repository
        .create_commit()
        .operations(operations)
        .commit_message(publication.message.as_str())
        .maybe_revision(publication.revision.clone())
        .progress(Sent { events: events.clone(), tenths: Mutex::new(0) });
    let CommitInfo { commit_oid, .. } = commit.send()?;
    let url = format!("{}/{name}", endpoint.unwrap_or("https://huggingface.co").trim_end_matches('/'));
    Ok(Event::Done(Published { url, commit: commit_oid }))
}

/// Says every tenth that is sent.
struct Sent {
    events: SyncSender<Event>,
    tenths: Mutex<u64>,
}

impl ProgressHandler for Sent {
    fn on_progress(&self, event: &ProgressEvent) {
        let line = match event {
            ProgressEvent::Upload(UploadEvent::Start { total_files, total_bytes }) => {
                format!("reading {total_files} files, {}", HumanBytes(*total_bytes))
            }
            ProgressEvent::Upload(UploadEvent::Progress { bytes_completed, total_bytes, .. }) => {
                let tenths = (*bytes_completed as f64 / (*total_bytes).max(1) as f64 * 10.0) as u64;
                let Ok(mut said) = self.tenths.lock() else { return };
                if tenths <= *said {
                    return;
                }
                *said = tenths;
                format!("{} of {} are there", HumanBytes(*bytes_completed), HumanBytes(*total_bytes))
            }
            ProgressEvent::Upload(UploadEvent::Committing) => "committing".to_owned(),
            _ => return,
        };
        // Must not block here: with a full channel the listener has news anyway.
        let _ = self.events.try_send(Event::Line(line));
    }
}
