//! A hub and its store of pieces, played on 127.0.0.1: what a publication needs, checked as the real ones do.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xet_core_structures::metadata_shard::streaming_shard::MDBMinimalShard;
use xet_core_structures::xorb_object::reconstruct_xorb_with_footer;

/// What is on the hub.
#[derive(Default)]
pub struct State {
    /// Whether there is the repository, and whether it is private.
    pub repository: Option<bool>,
    /// Answers for paths that contain the first, in place of the real ones.
    pub refuse: Option<(&'static str, u16)>,
    /// Files of the last commit.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Title of the last commit.
    pub message: String,
    pub asked: Vec<String>,
    /// Chunks by the hash of the xorb they came in.
    pub xorbs: BTreeMap<String, Vec<Vec<u8>>>,
    /// Files put together from chunks, by SHA-256.
    pub objects: BTreeMap<String, Vec<u8>>,
}

/// Serves until the test process ends; returns the address and what is there.
pub fn serve(state: State) -> (String, Arc<Mutex<State>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(state));
    let (shared, own) = (Arc::clone(&state), address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (state, address) = (Arc::clone(&shared), own.clone());
            std::thread::spawn(move || answer(&mut stream.unwrap(), &address, &state));
        }
    });
    (address, state)
}

fn answer(stream: &mut TcpStream, address: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut parts = line.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (parts.next(), parts.next()) else { return };
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        is_chunked |= header == "transfer-encoding: chunked";
    }
    assert!(!is_chunked, "{method} {path}: a length is always known");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut state = state.lock().unwrap();
    state.asked.push(format!("{method} {path}"));
    let (status, value) = match state.refuse {
        Some((part, status)) if path.contains(part) => (status, json!({"error": "no"})),
        _ => state.answer(&method, &path, &body, address),
    };
    let text = value.to_string();
    let code = if status == 404 { "X-Error-Code: RepoNotFound\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Request-Id: r\r\n{code}Connection: \
         close\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(text.as_bytes());
    }
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: &[u8], address: &str) -> (u16, Value) {
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, &parts[..]) {
            ("GET", ["api", "whoami-v2"]) => (200, json!({"type": "user", "name": "someone"})),
            ("POST", ["api", "repos", "create"]) => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                self.repository = asked["private"].as_bool();
                (200, json!({"url": format!("{address}/made")}))
            }
            (_, ["api", "models", _, _]) => match self.repository {
                Some(private) => (200, json!({"id": "someone/tiny", "private": private})),
                None => (404, json!({"error": "Repository not found"})),
            },
            (_, ["api", "models", _, _, "preupload", "main"]) => (200, modes(body)),
            (_, [_, _, "info", "lfs", "objects", "batch"]) => (200, json!({"transfer": "xet", "objects": []})),
            (_, ["api", "models", _, _, "xet-write-token", "main"]) => {
                (200, json!({"accessToken": "t", "exp": 4_000_000_000_u64, "casUrl": address}))
            }
            ("POST", ["v1", "xorbs", "default", hash]) => (200, self.keep_xorb(hash, body)),
            ("POST", ["v1", "shards"]) => (200, self.keep_shard(body)),
            ("POST", ["api", "models", _, _, "commit", "main"]) => (200, self.commit(body)),
            _ => (404, json!({"error": "no such route"})),
        }
    }

    /// The pieces of a file, whose hashes must be those of its name.
    fn keep_xorb(&mut self, hash: &str, body: &[u8]) -> Value {
        let mut whole = Vec::new();
        let (object, found) = reconstruct_xorb_with_footer(&mut whole, body).unwrap();
        assert_eq!(found.hex(), hash, "what comes is what its name says");
        let chunk = |index| object.get_bytes_by_chunk_range(&mut Cursor::new(&whole), index, index + 1).unwrap();
        self.xorbs.insert(hash.to_owned(), (0..object.info.num_chunks).map(chunk).collect());
        json!({"was_inserted": true})
    }

    /// Which pieces make a file.
    fn keep_shard(&mut self, body: &[u8]) -> Value {
        let shard = MDBMinimalShard::from_reader(&mut Cursor::new(body), true, true).unwrap();
        for index in 0..shard.num_files() {
            let file = shard.file(index).unwrap();
            let mut bytes = Vec::new();
            for entry in (0..file.num_entries()).map(|entry| file.entry(entry)) {
                let chunks = &self.xorbs[&entry.xorb_hash.hex()];
                let chunks = &chunks[entry.chunk_index_start as usize..entry.chunk_index_end as usize];
                chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
            }
            self.objects.insert(sha256(&bytes), bytes);
        }
        json!({"result": 1})
    }

    fn commit(&mut self, body: &[u8]) -> Value {
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).unwrap();
            let value = &line["value"];
            let path = value["path"].as_str().unwrap_or_default().to_owned();
            match line["key"].as_str() {
                Some("header") => self.message = value["summary"].as_str().unwrap().to_owned(),
                Some("file") => {
                    self.files.insert(path, STANDARD.decode(value["content"].as_str().unwrap()).unwrap());
                }
                Some("lfsFile") => {
                    let bytes = self.objects[value["oid"].as_str().unwrap()].clone();
                    assert_eq!(value["size"], bytes.len());
                    self.files.insert(path, bytes);
                }
                key => panic!("{key:?}"),
            }
        }
        json!({"success": true, "commitOid": "0123456789abcdef0123456789abcdef01234567"})
    }
}

/// Weights go to the store of pieces, text into the commit.
fn modes(body: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let files = asked["files"].as_array().unwrap().iter().map(|file| {
        let is_large = file["path"].as_str().unwrap().ends_with(".safetensors");
        json!({"path": file["path"], "uploadMode": if is_large { "lfs" } else { "regular" }})
    });
    json!({"files": files.collect::<Vec<_>>()})
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
