//! Files of JSON lines that somebody may be writing at this moment, or that somebody broke.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::TrainError;

/// Longer lines are skipped, so that a file without line ends does not fill the memory.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// What could not be read of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// Lines that are no JSON object.
    pub count: usize,
    /// The first of them, counted from 1.
    pub first: usize,
    /// Whether the file ends in the middle of a line.
    pub is_torn: bool,
}

impl Unread {
    /// What there is to say about it, if anything.
    pub fn note(&self, name: &str) -> Option<String> {
        let lines = match self.count {
            0 => None,
            1 => Some(format!("line {} is not a JSON object and was skipped", self.first)),
            count => {
                Some(format!("{count} lines are not JSON objects and were skipped, the first is line {}", self.first))
            }
        };
        let torn = self.is_torn.then(|| "the last line is incomplete: it is being written, or was cut off".to_owned());
        let all: Vec<String> = lines.into_iter().chain(torn).collect();
        (!all.is_empty()).then(|| format!("{name}: {}", all.join("; ")))
    }
}

/// Hands every object of a file to `act`, until it returns false. A file that is missing has none.
///
/// # Errors
/// When the file cannot be read.
pub fn objects(path: &Path, mut act: impl FnMut(Map<String, Value>) -> bool) -> Result<Unread, TrainError> {
    let mut unread = Unread::default();
    let file = match regular(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(unread),
        file => file.map_err(TrainError::read_back(path))?,
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(TrainError::read_back(path))?;
        if line.is_empty() {
            break;
        }
        let is_whole = line.ends_with(b"\n");
        let is_cut = !is_whole && line.len() as u64 == LINE_BYTES_MAX;
        if is_cut {
            reader.skip_until(b'\n').map_err(TrainError::read_back(path))?;
        }
        match serde_json::from_slice(&line) {
            Ok(Value::Object(object)) if !is_cut => {
                if !act(object) {
                    break;
                }
            }
            _ if line.iter().all(u8::is_ascii_whitespace) => {}
            _ if !is_whole && !is_cut => unread.is_torn = true,
            _ => {
                unread.count += 1;
                if unread.first == 0 {
                    unread.first = number;
                }
            }
        }
    }
    Ok(unread)
}

/// Opens a file; what is none, a pipe for example, is refused before it can make anybody wait.
pub fn regular(path: &Path) -> std::io::Result<File> {
    match std::fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(std::io::Error::new(ErrorKind::InvalidInput, "not a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (usize, Unread) {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("x.jsonl");
        std::fs::write(&path, bytes).expect("a file");
        let mut count = 0;
        let unread = objects(&path, |_| {
            count += 1;
            true
        });
        (count, unread.expect("readable"))
    }

    #[test]
    fn what_is_no_object_is_counted_and_a_torn_end_is_told_apart() {
        assert_eq!(read(b""), (0, Unread::default()));
        assert_eq!(read(b"{}\n\n{\"a\":1}"), (2, Unread::default()));
        let (count, unread) = read(b"{}\nNaN\n[1]\n{\"loss\":NaN}\n\xff\n{\"step\":1}\n{\"st");
        assert_eq!((count, &unread), (2, &Unread { count: 4, first: 2, is_torn: true }));
        let note = unread.note("x.jsonl").expect("there is something to say");
        assert!(note.starts_with("x.jsonl: 4 lines are not JSON objects") && note.contains("cut off"), "{note}");
    }

    #[test]
    fn a_line_without_end_is_skipped_and_the_next_one_read() {
        let mut bytes = b"{\"a\":\"".to_vec();
        bytes.resize(LINE_BYTES_MAX as usize + 1000, b'x');
        bytes.extend(b"\"}\n{}\n");
        assert_eq!(read(&bytes), (1, Unread { count: 1, first: 1, is_torn: false }));
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let room = tempfile::tempdir().expect("a folder");
        assert!(objects(room.path(), |_| true).is_err());
    }
}
