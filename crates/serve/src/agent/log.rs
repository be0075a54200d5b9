//! The events of a session on the disk: one appends them, any number read them, each from where it likes.
//!
//! A line is one event as it goes over the wire. A reader has a file and a place of its own, so that a slow one holds up
//! nobody and takes no memory. What a crash left of the last line is cut off when the log is opened.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::sync::watch;

/// The place of every so many events is kept in memory.
const MARK_EVERY: u64 = 64;
/// A reader takes as much at once, and at least one event.
const READ_BYTES: usize = 64 << 10;

/// All events of a session.
pub(crate) struct EventLog {
    path: PathBuf,
    writer: Mutex<Writer>,
    written: watch::Sender<Written>,
}

/// How far the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Id of the newest event; 0: there is none.
    pub last: u64,
    /// Bytes of all events.
    pub bytes: u64,
    /// Nothing will follow: the session is gone.
    pub is_closed: bool,
}

struct Writer {
    file: File,
    written: Written,
    /// Where events 1, 65, 129, … begin.
    marks: Vec<u64>,
    /// Behind `written` there may be part of a line.
    has_remains: bool,
}

/// What stands at the end of a log: the newest turn in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tail {
    /// The newest turn; 0: there is none.
    pub turn: u64,
    /// Id of its first event.
    pub first_event: u64,
    /// What the user said.
    pub content: String,
    pub steps: usize,
    pub executions: usize,
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    /// The question that was not answered.
    pub question: Option<String>,
    /// When it began and when its newest event came, in seconds since 1970.
    pub began: f64,
    pub newest: f64,
    pub is_ended: bool,
    /// Bytes behind the last whole event, which were cut off.
    pub bytes_cut: u64,
}

/// What is read of a line when a log is opened.
#[derive(Deserialize)]
struct Head<'a> {
    id: u64,
    turn: u64,
    time: f64,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    content: Option<String>,
    prompt_tokens: Option<usize>,
    completion_tokens: Option<usize>,
    approval: Option<String>,
}

impl EventLog {
    /// An empty log.
    pub fn create(path: &Path) -> io::Result<EventLog> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        Ok(EventLog::at(path, file, Written::default(), Vec::new()))
    }

    /// The log as it was left; what follows its last whole event is cut off.
    pub fn open(path: &Path) -> io::Result<(EventLog, Tail)> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let (mut written, mut marks, mut tail) = (Written::default(), Vec::new(), Tail::default());
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = lines.read_until(b'\n', &mut line)?;
            let head = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Head<'_>>(line).ok());
            let Some(head) = head.filter(|head| head.id == written.last + 1) else { break };
            if written.last.is_multiple_of(MARK_EVERY) {
                marks.push(written.bytes);
            }
            written = Written { last: head.id, bytes: written.bytes + count as u64, is_closed: false };
            tail.take(head);
        }
        let all = file.metadata()?.len();
        if all > written.bytes {
            tail.bytes_cut = all - written.bytes;
            file.set_len(written.bytes)?;
            file.sync_data()?;
        }
        Ok((EventLog::at(path, file, written, marks), tail))
    }

    fn at(path: &Path, file: File, written: Written, marks: Vec<u64>) -> EventLog {
        let writer = Writer { file, written, marks, has_remains: false };
        EventLog { path: path.to_owned(), writer: Mutex::new(writer), written: watch::Sender::new(written) }
    }

    /// Appends an event and gives its id. `body`: a JSON object that begins with its type.
    ///
    /// # Errors
    /// When the disk does not take it; the event is then not part of the log.
    pub fn append(&self, turn: u64, body: &str) -> io::Result<u64> {
        let mut writer = self.writer();
        let id = writer.written.last + 1;
        let time = unix_seconds();
        let line = format!("{{\"id\":{id},\"turn\":{turn},\"time\":{time:.3},{}\n", &body[1..]);
        let bytes = writer.written.bytes;
        if std::mem::take(&mut writer.has_remains) {
            writer.file.set_len(bytes)?;
        }
        if let Err(error) = writer.file.write_all(line.as_bytes()) {
            writer.has_remains = writer.file.set_len(bytes).is_err();
            return Err(error);
        }
        if (id - 1).is_multiple_of(MARK_EVERY) {
            writer.marks.push(bytes);
        }
        writer.written = Written { last: id, bytes: bytes + line.len() as u64, ..writer.written };
        self.written.send_replace(writer.written);
        Ok(id)
    }

    /// Waits until all events are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.writer().file.sync_data()
    }

    /// Tells readers that nothing will follow.
    pub fn close(&self) {
        let mut writer = self.writer();
        writer.written.is_closed = true;
        self.written.send_replace(writer.written);
    }

    pub fn written(&self) -> Written {
        *self.written.borrow()
    }

    /// To wait for more.
    pub fn subscribe(&self) -> watch::Receiver<Written> {
        self.written.subscribe()
    }

    /// Reads what follows event `after`.
    pub fn reader(&self, after: u64) -> io::Result<Reader> {
        let (mark, position) = {
            let writer = self.writer();
            let index =
                (after.min(writer.written.last) / MARK_EVERY).min((writer.marks.len() as u64).saturating_sub(1));
            (index * MARK_EVERY, writer.marks.get(index as usize).copied().unwrap_or(0))
        };
        let mut reader = Reader { file: File::open(&self.path)?, position, next: mark + 1 };
        // At most the events between two marks.
        while reader.next <= after {
            let (events, position, next) = reader.peek(self.written().bytes, after - reader.next + 1)?;
            if events.is_empty() {
                break;
            }
            (reader.position, reader.next) = (position, next);
        }
        Ok(reader)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn take(&mut self, head: Head<'_>) {
        self.newest = head.time;
        match &*head.kind {
            "turn.start" => {
                *self = Tail {
                    turn: head.turn,
                    first_event: head.id,
                    content: head.content.unwrap_or_default(),
                    began: head.time,
                    newest: head.time,
                    ..Tail::default()
                }
            }
            "approval.required" => self.question = head.approval,
            "approval.resolved" => self.question = None,
            "step.start" => self.steps += 1,
            "exec.start" => self.executions += 1,
            "usage" => {
                self.prompt_tokens += head.prompt_tokens.unwrap_or(0);
                self.completion_tokens += head.completion_tokens.unwrap_or(0);
            }
            "turn.end" => self.is_ended = true,
            _ => {}
        }
    }
}

/// A place in a log.
pub(crate) struct Reader {
    file: File,
    position: u64,
    /// Id of the event that begins there.
    next: u64,
}

/// An event as it was written.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    pub id: u64,
    /// One JSON object.
    pub text: String,
}

impl Line {
    /// What kind of event it is.
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str::<Head<'_>>(&self.text).ok().map(|head| head.kind)
    }
}

impl Reader {
    /// The next events of those that make up the first `bytes` bytes of the log; none: there are no more.
    pub fn read(&mut self, bytes: u64) -> io::Result<Vec<Line>> {
        let (lines, position, next) = self.peek(bytes, u64::MAX)?;
        (self.position, self.next) = (position, next);
        Ok(lines)
    }

    fn peek(&mut self, bytes: u64, count_max: u64) -> io::Result<(Vec<Line>, u64, u64)> {
        let (mut position, mut next, mut lines) = (self.position, self.next, Vec::new());
        self.file.seek(SeekFrom::Start(position))?;
        let mut rest = BufReader::with_capacity(READ_BYTES, (&self.file).take(bytes.saturating_sub(position)));
        while position < bytes && position - self.position < READ_BYTES as u64 && (lines.len() as u64) < count_max {
            let mut text = String::new();
            let count = rest.read_line(&mut text)?;
            if count == 0 {
                break;
            }
            text.truncate(text.trim_end_matches('\n').len());
            lines.push(Line { id: next, text });
            position += count as u64;
            next += 1;
        }
        Ok((lines, position, next))
    }
}

/// Now.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ids(log: &EventLog, after: u64) -> Vec<u64> {
        let mut reader = log.reader(after).unwrap();
        let mut ids = Vec::new();
        loop {
            let lines = reader.read(log.written().bytes).unwrap();
            if lines.is_empty() {
                return ids;
            }
            for line in lines {
                let event: Value = serde_json::from_str(&line.text).unwrap();
                assert_eq!(event["id"], line.id);
                ids.push(line.id);
            }
        }
    }

    fn body(kind: &str, more: Value) -> String {
        let mut body = json!({"type": kind});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    }

    #[test]
    fn every_reader_begins_where_it_likes_and_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::create(&folder.path().join("events.jsonl")).unwrap();
        for number in 0..500 {
            // Some are longer than what is read at once.
            let text = "ü".repeat(if number % 100 == 7 { READ_BYTES } else { number % 13 });
            log.append(1, &body("token", json!({"text": text}))).unwrap();
        }
        for after in [0, 1, 6, 7, 8, 63, 64, 65, 128, 499, 500, 501, u64::MAX] {
            assert_eq!(ids(&log, after), (after.saturating_add(1)..=500).collect::<Vec<_>>(), "after {after}");
        }
        let mut live = log.reader(500).unwrap();
        assert_eq!(live.read(log.written().bytes).unwrap(), []);
        log.append(1, &body("token", json!({"text": "new"}))).unwrap();
        assert_eq!(live.read(log.written().bytes).unwrap()[0].id, 501);
    }

    #[test]
    fn a_torn_end_is_cut_and_the_log_goes_on_behind_the_last_whole_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let whole = {
            let log = EventLog::create(&path).unwrap();
            log.append(1, &body("turn.start", json!({"content": "a"}))).unwrap();
            log.append(1, &body("turn.end", json!({}))).unwrap();
            log.append(2, &body("turn.start", json!({"content": "b"}))).unwrap();
            log.append(2, &body("usage", json!({"prompt_tokens": 5, "completion_tokens": 2}))).unwrap();
            log.append(2, &body("exec.start", json!({"code": "x"}))).unwrap();
            log.written().bytes
        };
        let text = std::fs::read(&path).unwrap();
        for cut in [1, 30] {
            for garbage in [&b""[..], b"\0\0\0\0\n", b"{\"id\":9,\"turn\":1,\"time\":1.0,\"type\":\"x\"}\n"] {
                std::fs::write(&path, [&text[..text.len() - cut], garbage].concat()).unwrap();
                let (log, tail) = EventLog::open(&path).unwrap();
                assert_eq!((log.written().last, tail.turn, &*tail.content), (4, 2, "b"));
                assert_eq!((tail.first_event, tail.is_ended, tail.executions), (3, false, 0));
                assert_eq!((tail.prompt_tokens, tail.completion_tokens), (5, 2));
                assert!(tail.bytes_cut > 0 && log.written().bytes < whole);
                assert_eq!(log.append(2, &body("turn.end", json!({}))).unwrap(), 5);
                assert_eq!(ids(&log, 0), [1, 2, 3, 4, 5]);
                assert!(EventLog::open(&path).unwrap().1.is_ended);
            }
        }
    }
}
