//! Lines of the event file: each carries a check over itself and all lines before it.

use super::{Cut, JournalError, Record, digest};
use std::io::{BufRead, BufReader, Read, Take};
use std::path::Path;

/// Longest line, its newline included.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;
const CHECK_KEY: &str = ",\"check\":\"";
const LINE_END: &str = "\"}\n";
const CHECK_DIGITS: usize = 16;

/// What the first line is chained to.
pub(super) const FIRST_CHECK: &str = "0000000000000000";

/// Where the next line goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub sequence: u64,
    pub check: String,
    /// Bytes of the lines so far.
    pub bytes: u64,
}

impl Position {
    pub(super) fn start() -> Position {
        Position { sequence: 0, check: FIRST_CHECK.to_string(), bytes: 0 }
    }

    /// The position behind `line`.
    fn behind(&self, line: &[u8], check: String) -> Position {
        Position { sequence: self.sequence + 1, check, bytes: self.bytes + line.len() as u64 }
    }

    /// Write `record` as the line at this position.
    pub(super) fn line(&self, record: &Record) -> serde_json::Result<(Vec<u8>, Position)> {
        let mut line = serde_json::to_string(record)?;
        // The brace that closes the object moves behind the check.
        line.pop();
        let check = self.check_of(line.as_bytes());
        line.push_str(&format!("{CHECK_KEY}{check}{LINE_END}"));
        let line = line.into_bytes();
        let behind = self.behind(&line, check);
        Ok((line, behind))
    }

    /// Read the line at this position, its newline included.
    fn read(&self, line: &[u8]) -> Result<(Record, Position), String> {
        let tail_bytes = CHECK_KEY.len() + CHECK_DIGITS + LINE_END.len();
        let (body, tail) = line.split_at_checked(line.len().wrapping_sub(tail_bytes)).ok_or("it is too short")?;
        let check = tail.strip_prefix(CHECK_KEY.as_bytes()).and_then(|tail| tail.strip_suffix(LINE_END.as_bytes()));
        let check = check.ok_or("it does not end with its check")?;
        let record: Record = serde_json::from_slice(&[body, b"}"].concat()).map_err(|error| error.to_string())?;
        if record.sequence != self.sequence {
            return Err(format!("its sequence number is {}, and {} comes here", record.sequence, self.sequence));
        }
        let expected = self.check_of(body);
        if check != expected.as_bytes() {
            return Err("its check does not fit: it, or a line before it, was changed".to_string());
        }
        Ok((record, self.behind(line, expected)))
    }

    fn check_of(&self, body: &[u8]) -> String {
        let mut check = digest(&[self.check.as_bytes(), body].concat());
        check.truncate(CHECK_DIGITS);
        check
    }
}

/// Read all lines. A last line that was never finished is told, not an error: what follows the position is to be cut.
pub(super) fn read_all(file: impl Read, path: &Path) -> Result<(Vec<Record>, Position, Option<Cut>), JournalError> {
    let failed = |source| JournalError::System { action: "reading", path: path.to_path_buf(), source };
    let mut reader = BufReader::new(file);
    let (mut records, mut position) = (Vec::new(), Position::start());
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded: Take<_> = reader.by_ref().take(LINE_BYTES_MAX as u64);
        bounded.read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            return Ok((records, position, None));
        }
        let reason = match position.read(&line) {
            Ok((record, behind)) => {
                records.push(record);
                position = behind;
                continue;
            }
            Err(reason) => reason,
        };
        // A crash of the process leaves half a line, one of the machine may leave zeros where a line should be.
        let is_last = reader.fill_buf().map_err(failed)?.is_empty();
        if is_last && (!line.ends_with(b"\n") || line.contains(&0)) {
            let cut = Cut { line: records.len() + 1, bytes: line.len() };
            return Ok((records, position, Some(cut)));
        }
        return Err(JournalError::Line { path: path.to_path_buf(), line: records.len() + 1, reason });
    }
}
