//! Data sets from a hub that this test plays itself, on 127.0.0.1.
#![allow(clippy::unwrap_used)]

mod source_support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use codeact_model::source::{Options, SourceError, resolve_data_set_with};
use source_support::*;

const NAME: &str = "someone/talks";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// As `xingyaoww/code-act` is laid out, and what else repositories hold.
const FILES: [(&str, &str); 6] = [
    ("README.md", "about"),
    ("data/codeact-00000-of-00001.parquet", "PAR1 codeact"),
    ("data/general-00000-of-00002.parquet", "PAR1 general 0"),
    ("data/general-00001-of-00002.parquet", "PAR1 general 1"),
    ("dataset_infos.json", "{}"),
    ("extra/train.jsonl", "{}"),
];

/// Serves until the test process ends; returns the address and what is asked for.
fn serve() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap().to_owned();
            log.lock().unwrap().push(path.clone());
            let (status, body) = answer(&path);
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nETag: \"e\"\r\nX-Repo-Commit: {COMMIT}\r\nX-Request-Id: r\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            if first.starts_with("GET") {
                let _ = stream.write_all(body.as_bytes());
            }
        }
    });
    (address, asked)
}

fn answer(path: &str) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == format!("/api/datasets/{NAME}") {
        return (200, format!("{{\"id\":\"{NAME}\",\"sha\":\"{COMMIT}\"}}"));
    }
    if path == format!("/api/datasets/{NAME}/tree/{COMMIT}") {
        assert!(query.contains("recursive=true"), "{query}");
        let entries = FILES
            .iter()
            .map(|(name, body)| serde_json::json!({"type": "file", "oid": "o", "size": body.len(), "path": name}));
        return (200, serde_json::Value::Array(entries.collect()).to_string());
    }
    let name = path.strip_prefix(&format!("/datasets/{NAME}/resolve/{COMMIT}/")).unwrap_or_default();
    match FILES.iter().find(|(file, _)| *file == name) {
        Some((_, body)) => (200, (*body).to_owned()),
        None => (404, String::new()),
    }
}

fn resolve(options: &Options, split: Option<&str>) -> Result<Vec<PathBuf>, SourceError> {
    resolve_data_set_with(NAME, split, options, &|_| {})
}

#[test]
fn the_files_of_a_split_are_fetched_once() {
    let root = scratch();
    let (address, asked) = serve();
    let options = Options { endpoint: Some(address), ..options(root.path()) };
    let files = resolve(&options, Some("general")).unwrap();
    let folder = options.data_dir.join("someone--talks--general");
    let wanted = ["data--general-00000-of-00002.parquet", "data--general-00001-of-00002.parquet"];
    assert_eq!(files, wanted.map(|name| folder.join(name)));
    assert_eq!(std::fs::read_to_string(&files[1]).unwrap(), "PAR1 general 1");
    assert_eq!(names(&folder), wanted);
    let count = asked.lock().unwrap().len();
    assert_eq!(resolve(&options, Some("general")).unwrap(), files);
    assert_eq!(asked.lock().unwrap().len(), count, "what is there is not asked for again");
    // Without a split, every file of rows.
    let all = resolve(&options, None).unwrap();
    assert_eq!(all.len(), 4);
    assert!(all[3].ends_with("extra--train.jsonl"));
}

#[test]
fn a_split_that_is_not_there_is_answered_with_the_files() {
    let root = scratch();
    let (address, _) = serve();
    let options = Options { endpoint: Some(address), ..options(root.path()) };
    let error = resolve(&options, Some("gen")).unwrap_err().to_string();
    assert!(error.contains("has no split `gen`, only `data/codeact-00000-of-00001.parquet`"), "{error}");
    assert!(error.contains("hint: choose a split"), "{error}");
    assert!(!options.data_dir.join("someone--talks--gen").exists());
}

#[test]
fn a_hub_that_is_not_there_and_names_that_are_none_are_told() {
    let root = scratch();
    let options = options(root.path());
    let error = resolve(&options, Some("train")).unwrap_err();
    assert!(matches!(error, SourceError::Exhausted { .. }), "{error}");
    assert!(error.to_string().contains("copy the files of rows to `"), "{error}");
    let offline = Options { offline: true, ..options.clone() };
    assert!(resolve(&offline, None).unwrap_err().to_string().contains("HF_HUB_OFFLINE is set"));
    for (name, split) in [("../../etc", None), ("a/b", Some("../x")), ("a/b", Some("x/y")), ("a/b", Some(""))] {
        let error = resolve_data_set_with(name, split, &options, &|_| {}).unwrap_err();
        assert!(matches!(error, SourceError::Name { .. }), "{name} {split:?}: {error}");
    }
}
