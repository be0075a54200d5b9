//! Downloads from a hub that this test plays itself, on 127.0.0.1.
#![allow(clippy::unwrap_used)]

mod source_support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use codeact_model::source::{Options, SourceError, resolve_with};
use source_support::*;

const NAME: &str = "someone/tiny-model";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub holds and how it misbehaves.
#[derive(Default)]
struct Hub {
    files: HashMap<String, Vec<u8>>,
    /// Listed, but answered with 404.
    lost: Option<String>,
    /// Every request gets this status.
    status: Option<u16>,
    /// Answers come from something between here and the hub.
    is_proxy: bool,
    /// This many bodies of weights end in the middle.
    interruptions: AtomicUsize,
    /// sha256 that the listing gives for the weights.
    sha256: Option<String>,
    requests: Mutex<Vec<String>>,
}

impl Hub {
    fn with_model() -> Hub {
        let weights: Vec<u8> = (0..5500u32).map(|index| (index % 251) as u8).collect();
        let files = [
            ("config.json", b"{\"model_type\":\"llama\"}".to_vec()),
            ("tokenizer.json", b"{\"version\":\"1.0\"}".to_vec()),
            ("model.safetensors", weights),
            ("pytorch_model.bin", vec![1; 100]),
            ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
            ("notes.md", b"hello".to_vec()),
        ];
        Hub { files: files.map(|(name, bytes)| (name.to_string(), bytes)).into(), ..Hub::default() }
    }

    /// Serves until the test process ends; returns the address.
    fn serve(self: &Arc<Hub>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hub = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let hub = Arc::clone(&hub);
                std::thread::spawn(move || hub.answer(stream.unwrap()));
            }
        });
        address
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            lines.push(line.trim_end().to_string());
        }
        let Some(first) = lines.first() else { return };
        let range =
            lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(String::from));
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
        self.requests.lock().unwrap().push(format!("{method} {path} {}", range.clone().unwrap_or_default()));
        let (status, mut body) = self.body(&path, range.as_deref());
        let length = body.len();
        let is_weights = method == "GET" && path.ends_with(".safetensors");
        let down = |count: usize| count.checked_sub(1);
        if is_weights && self.interruptions.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down).is_ok() {
            body.truncate(length / 2);
        }
        let request_id = if self.is_proxy { "" } else { "X-Request-Id: r1\r\n" };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nETag: \"e\"\r\nX-Repo-Commit: {COMMIT}\r\n{request_id}Connection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
        if method == "GET" {
            let _ = stream.write_all(&body);
        }
    }

    fn body(&self, path: &str, range: Option<&str>) -> (u16, Vec<u8>) {
        let path = path.split('?').next().unwrap();
        if let Some(status) = self.status {
            return (status, b"{\"error\":\"no\"}".to_vec());
        }
        if path == format!("/api/models/{NAME}") {
            return (200, format!("{{\"id\":\"{NAME}\",\"sha\":\"{COMMIT}\"}}").into_bytes());
        }
        if path == format!("/api/models/{NAME}/tree/{COMMIT}") {
            let entries = self.files.iter().map(|(name, bytes)| {
                let lfs = self.sha256.as_ref().filter(|_| name.ends_with(".safetensors"));
                let lfs = lfs.map(|sha256| serde_json::json!({"sha256": sha256, "size": bytes.len()}));
                serde_json::json!({"type": "file", "oid": "o", "size": bytes.len(), "path": name, "lfs": lfs})
            });
            return (200, serde_json::Value::Array(entries.collect()).to_string().into_bytes());
        }
        let name = path.strip_prefix(&format!("/{NAME}/resolve/{COMMIT}/")).unwrap_or("");
        match self.files.get(name).filter(|_| self.lost.as_deref() != Some(name)) {
            None => (404, Vec::new()),
            Some(bytes) => match range.and_then(|range| range.split_once('-')) {
                None => (200, bytes.clone()),
                Some((from, to)) => (206, bytes[from.parse().unwrap()..=to.parse().unwrap()].to_vec()),
            },
        }
    }

    fn gets(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with("GET")).cloned().collect()
    }
}

fn against(hub: &Arc<Hub>) -> (tempfile::TempDir, Options) {
    let root = scratch();
    let mut settings = options(root.path());
    settings.endpoint = Some(hub.serve());
    (root, settings)
}

fn download(settings: &Options) -> Result<PathBuf, SourceError> {
    resolve_with(NAME, settings, &|_| {})
}

#[test]
fn a_model_is_downloaded_without_pickled_weights() {
    let hub = Arc::new(Hub::with_model());
    let (_root, settings) = against(&hub);
    let folder = download(&settings).unwrap();
    assert_eq!(folder, settings.base_dir.join("someone--tiny-model"));
    assert_eq!(names(&folder), ["README.md", "config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), hub.files["model.safetensors"]);
    assert_eq!(names(&settings.base_dir), ["someone--tiny-model"]);
    let asked = hub.requests.lock().unwrap().len();
    assert_eq!(download(&settings).unwrap(), folder);
    assert_eq!(hub.requests.lock().unwrap().len(), asked, "the second time asks nobody");
}

#[test]
fn interrupted_ranges_are_asked_for_again() {
    let hub = Arc::new(Hub { interruptions: AtomicUsize::new(3), ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    let folder = download(&settings).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), hub.files["model.safetensors"]);
    let firsts = hub.gets().iter().filter(|request| request.ends_with(" 0-999")).count();
    assert_eq!(firsts, 4);
}

#[test]
fn a_broken_download_is_continued_by_the_next_run() {
    let hub = Arc::new(Hub { interruptions: AtomicUsize::new(100), ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    let error = download(&settings).unwrap_err().to_string();
    assert!(error.contains("run again to continue the download"), "{error}");
    let partial = settings.base_dir.join("someone--tiny-model.partial");
    assert!(!settings.base_dir.join("someone--tiny-model").exists());
    assert_eq!(names(&partial), [".commit", "README.md", "config.json", "tokenizer.json"]);
    // As if the first two ranges and a half had come.
    fs::write(partial.join("model.safetensors"), &hub.files["model.safetensors"][..2500]).unwrap();
    hub.interruptions.store(0, Ordering::SeqCst);
    hub.requests.lock().unwrap().clear();
    let folder = download(&settings).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), hub.files["model.safetensors"]);
    let gets: Vec<String> = hub.gets().into_iter().filter(|request| request.contains("/resolve/")).collect();
    assert!(gets[0].ends_with("model.safetensors 2500-3499") && gets.len() == 3, "{gets:?}");
}

#[test]
fn leftovers_of_another_commit_are_thrown_away() {
    let hub = Arc::new(Hub::with_model());
    let (_root, settings) = against(&hub);
    let partial = settings.base_dir.join("someone--tiny-model.partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join(".commit"), "another").unwrap();
    fs::write(partial.join("model.safetensors"), vec![9; 2500]).unwrap();
    let folder = download(&settings).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), hub.files["model.safetensors"]);
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let hub = Arc::new(Hub { sha256: Some("00".repeat(32)), ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    let error = download(&settings).unwrap_err().to_string();
    assert!(error.contains("came damaged"), "{error}");
    assert!(!settings.base_dir.join("someone--tiny-model").exists());
    assert!(!settings.base_dir.join("someone--tiny-model.partial/model.safetensors").exists());
}

#[test]
fn refusals_say_what_to_do() {
    for (status, word) in [(401, "HF_TOKEN"), (403, "licence"), (404, "spelling")] {
        let hub = Arc::new(Hub { status: Some(status), ..Hub::with_model() });
        let (_root, settings) = against(&hub);
        let error = download(&settings).unwrap_err().to_string();
        assert!(error.contains(&format!("HTTP {status}")) && error.contains(NAME), "{error}");
        let hint = error.split("hint:").nth(1).unwrap();
        assert!(hint.contains(word), "{error}");
        assert!(names(&settings.base_dir).is_empty());
    }
}

#[test]
fn a_proxy_that_forbids_the_hub_counts_as_unreachable() {
    let hub = Arc::new(Hub { status: Some(403), is_proxy: true, ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    let error = download(&settings).unwrap_err().to_string();
    assert!(error.contains("proxy on the way") && error.contains("check the network"), "{error}");
}

#[test]
fn a_repository_that_lacks_a_file_is_refused() {
    for (name, word) in
        [("config.json", "config.json"), ("tokenizer.json", "tokenizer.json"), ("model.safetensors", "pickled")]
    {
        let mut hub = Hub::with_model();
        hub.files.remove(name);
        let hub = Arc::new(hub);
        let (_root, settings) = against(&hub);
        let error = download(&settings).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(hub.gets().iter().all(|request| !request.contains("/resolve/")), "nothing is downloaded");
    }
    let hub = Arc::new(Hub { lost: Some("tokenizer.json".into()), ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    let error = download(&settings).unwrap_err().to_string();
    assert!(error.contains("lists `tokenizer.json`"), "{error}");
}

#[test]
fn a_silent_hub_is_given_up_soon() {
    // Accepts connections (the system does, for a listener) and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = scratch();
    let mut settings = options(root.path());
    settings.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    settings.contact_timeout = Duration::from_millis(200);
    let start = Instant::now();
    let error = download(&settings).unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(8), "took {:?}", start.elapsed());
    assert!(error.contains("no answer for 200ms"), "{error}");
}

#[test]
fn a_server_that_is_no_hub_counts_as_unreachable() {
    let hub = Arc::new(Hub { status: Some(200), ..Hub::with_model() });
    let (_root, settings) = against(&hub);
    assert!(matches!(download(&settings), Err(SourceError::Exhausted { .. })));
}
