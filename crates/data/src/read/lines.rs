//! Text cut into rows: a line each, or the elements of one array that spans the file.

use std::io::BufRead;

use super::{Body, ROW_BYTES_MAX, RawRow};

/// Rows of a text.
pub(super) struct Lines<R> {
    reader: R,
    /// Line that comes next, counted from 1.
    line: u64,
    layout: Layout,
}

enum Layout {
    Lines,
    /// Whether an element came already, and so a comma is due.
    Array {
        has_rows: bool,
    },
    Ended,
}

impl<R: BufRead> Lines<R> {
    /// Looks at the first character: `[` opens an array.
    pub(super) fn new(mut reader: R) -> Result<Lines<R>, String> {
        // A mark that some editors put before UTF-8.
        if reader.fill_buf().map_err(describe)?.starts_with(b"\xEF\xBB\xBF") {
            reader.consume(3);
        }
        let mut lines = Lines { reader, line: 1, layout: Layout::Lines };
        if lines.peek_solid()? == Some(b'[') {
            lines.reader.consume(1);
            lines.layout = Layout::Array { has_rows: false };
        }
        Ok(lines)
    }

    /// The next row and its size in bytes.
    pub(super) fn next_row(&mut self) -> Result<Option<(RawRow, usize)>, String> {
        match self.layout {
            Layout::Ended => Ok(None),
            Layout::Lines => self.next_line(),
            Layout::Array { has_rows } => self.next_element(has_rows),
        }
    }

    /// The next byte that is no white space, which stays unread.
    fn peek_solid(&mut self) -> Result<Option<u8>, String> {
        loop {
            let buffer = self.reader.fill_buf().map_err(describe)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.line += count_lines(&buffer[..blank]);
            let found = buffer.get(blank).copied();
            self.reader.consume(blank);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<(RawRow, usize)>, String> {
        if self.peek_solid()?.is_none() {
            self.layout = Layout::Ended;
            return Ok(None);
        }
        let (line, mut bytes, mut size) = (self.line, Vec::new(), 0);
        loop {
            let buffer = self.reader.fill_buf().map_err(describe)?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            size += part.len();
            keep(&mut bytes, part, size);
            let is_last = end.is_some() || buffer.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if is_last {
                break;
            }
        }
        self.line += 1;
        while bytes.last().is_some_and(u8::is_ascii_whitespace) {
            bytes.pop();
        }
        Ok(Some(row(line, bytes, size)))
    }

    /// The next element of the array. Its end is found by brackets and strings alone; what it says is read later.
    fn next_element(&mut self, has_rows: bool) -> Result<Option<(RawRow, usize)>, String> {
        let cut = |line: u64| format!("line {line}: the array ends in the middle; the file seems to be cut off");
        let mut first = self.peek_solid()?.ok_or_else(|| cut(self.line))?;
        if first == b',' && has_rows {
            self.reader.consume(1);
            first = self.peek_solid()?.ok_or_else(|| cut(self.line))?;
        } else if first != b']' && has_rows {
            return Err(format!("line {}: expected `,` or `]` after a row of the array", self.line));
        }
        if first == b']' {
            self.reader.consume(1);
            if self.peek_solid()?.is_some() {
                return Err(format!("line {}: there is more after the array", self.line));
            }
            self.layout = Layout::Ended;
            return Ok(None);
        }
        let (line, mut bytes, mut size) = (self.line, Vec::new(), 0);
        let mut scan = Scan::default();
        loop {
            let buffer = self.reader.fill_buf().map_err(describe)?;
            if buffer.is_empty() {
                return Err(cut(self.line));
            }
            let end = buffer.iter().position(|byte| scan.ends_before(*byte));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            size += part.len();
            keep(&mut bytes, part, size);
            self.line += count_lines(part);
            let (used, is_last) = (part.len(), end.is_some());
            self.reader.consume(used);
            if is_last {
                break;
            }
        }
        if bytes.is_empty() {
            return Err(format!("line {line}: a row of the array is missing"));
        }
        self.layout = Layout::Array { has_rows: true };
        Ok(Some(row(line, bytes, size)))
    }
}

/// Where an element of an array ends.
#[derive(Default)]
struct Scan {
    depth: usize,
    is_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// Whether the element is over before this byte.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.is_text {
            self.is_text = byte != b'"' || self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            return false;
        }
        match byte {
            b'"' => self.is_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            b',' | b']' => return self.depth == 0,
            _ => {}
        }
        false
    }
}

fn keep(bytes: &mut Vec<u8>, part: &[u8], size: usize) {
    if size <= ROW_BYTES_MAX {
        bytes.extend_from_slice(part);
    }
}

fn row(line: u64, bytes: Vec<u8>, size: usize) -> (RawRow, usize) {
    let body = if size <= ROW_BYTES_MAX { Body::Text(bytes) } else { Body::TooLarge };
    (RawRow { line, body }, size)
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn describe(error: std::io::Error) -> String {
    format!("cannot be read on: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line and text of every row, then the fault.
    fn rows(text: &str) -> (Vec<(u64, String)>, Option<String>) {
        let mut found = Vec::new();
        // A buffer of 3 bytes: every border falls into every place.
        let reader = std::io::BufReader::with_capacity(3, text.as_bytes());
        let mut lines = match Lines::new(reader) {
            Ok(lines) => lines,
            Err(what) => return (found, Some(what)),
        };
        loop {
            match lines.next_row() {
                Ok(None) => return (found, None),
                Err(what) => return (found, Some(what)),
                Ok(Some((RawRow { line, body: Body::Text(bytes) }, _))) => {
                    found.push((line, String::from_utf8(bytes).unwrap()));
                }
                Ok(Some(_)) => unreachable!("no row is large"),
            }
        }
    }

    fn owned(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
        rows.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn lines_are_numbered_as_editors_do_and_blank_ones_skipped() {
        let (found, fault) = rows("\n{\"a\": 1}\r\n\n  \n{} \n{\"b\"");
        assert_eq!(found, owned(&[(2, "{\"a\": 1}"), (5, "{}"), (6, "{\"b\"")]));
        assert_eq!(fault, None);
        assert_eq!(rows("").0, []);
        assert_eq!(rows(" \n\n").0, []);
    }

    #[test]
    fn elements_of_an_array_end_where_brackets_and_strings_say() {
        let (found, fault) = rows("[\n {\"a\": \"}],\\\"[\"},\n\n{\"b\": [1, {}]} , 7\n]\n");
        assert_eq!(found, owned(&[(2, "{\"a\": \"}],\\\"[\"}"), (4, "{\"b\": [1, {}]} "), (4, "7\n")]));
        assert_eq!(fault, None);
        assert_eq!(rows(" [ ] ").0, []);
    }

    #[test]
    fn a_broken_array_is_an_error_after_its_whole_rows() {
        for (text, count, what) in [
            ("[{}, {\"a\": 1", 1, "ends in the middle"),
            ("[{}", 0, "ends in the middle"),
            ("[{},", 1, "ends in the middle"),
            ("[", 0, "ends in the middle"),
            ("[{}] {}", 1, "more after the array"),
            ("[{},,{}]", 1, "is missing"),
            ("[,{}]", 0, "is missing"),
        ] {
            let (found, fault) = rows(text);
            assert_eq!(found.len(), count, "{text}");
            assert!(fault.as_ref().is_some_and(|fault| fault.contains(what)), "{text}: {fault:?}");
        }
    }

    #[test]
    fn a_mark_before_utf8_is_no_part_of_the_first_row() {
        let marked = "\u{FEFF}{\"a\": 1}\n";
        let mut lines = Lines::new(marked.as_bytes()).unwrap();
        let (row, _) = lines.next_row().unwrap().unwrap();
        assert!(matches!(row.body, Body::Text(bytes) if bytes == b"{\"a\": 1}"));
    }
}
