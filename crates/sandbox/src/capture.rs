//! Output under a cap: bytes in, live text out, and the first and last part kept.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Collects one stream of one cell.
#[derive(Debug)]
pub(crate) struct Capture {
    half_bytes_max: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted_bytes: u64,
    /// The start of a character whose end has not arrived yet; at most 3 bytes.
    pending: Vec<u8>,
    streamed_bytes: usize,
    spool: Spool,
}

/// All of the output, in a file, from the moment on at which it does not fit any more.
#[derive(Debug)]
struct Spool {
    folder: PathBuf,
    bytes_left: u64,
    file: Option<tempfile::NamedTempFile>,
}

impl Spool {
    fn write(&mut self, bytes: &[u8]) {
        let fitting = bytes.len().min(usize::try_from(self.bytes_left).unwrap_or(usize::MAX));
        if let Some(file) = &mut self.file
            && fitting > 0
        {
            // A full disk of the host costs the copy for people, and nothing else.
            self.bytes_left = match file.write_all(&bytes[..fitting]) {
                Ok(()) => self.bytes_left - fitting as u64,
                Err(_) => 0,
            };
        }
    }
}

const LIVE_CUT: &str = "\n[... more output, not shown while it runs ...]\n";

impl Capture {
    /// Keep `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Capture {
            half_bytes_max: bytes_max.div_ceil(2),
            head: Vec::new(),
            tail: VecDeque::new(),
            omitted_bytes: 0,
            pending: Vec::new(),
            streamed_bytes: 0,
            spool: Spool { folder: PathBuf::new(), bytes_left: 0, file: None },
        }
    }

    /// Keep the first `bytes_max` of longer output in a file in `folder`, too.
    pub(crate) fn spooling(mut self, folder: &Path, bytes_max: u64) -> Self {
        self.spool = Spool { folder: folder.to_path_buf(), bytes_left: bytes_max, file: None };
        self
    }

    /// The file with all of the output, if it did not fit. It is the caller's from here on.
    pub(crate) fn spooled(&mut self) -> Option<PathBuf> {
        self.spool.file.take()?.into_temp_path().keep().ok()
    }

    /// Keep `bytes`, and return the text to show now. After the cap that is one notice, then nothing.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<String> {
        let kept = self.head.len() + self.tail.len();
        if self.spool.file.is_none() && self.spool.bytes_left > 0 && kept + bytes.len() > 2 * self.half_bytes_max {
            self.spool.file = tempfile::Builder::new().prefix("output-").tempfile_in(&self.spool.folder).ok();
            self.tail.make_contiguous();
            self.spool.write(&self.head);
            self.spool.write(self.tail.as_slices().0);
        }
        self.spool.write(bytes);
        let for_head = bytes.len().min(self.half_bytes_max - self.head.len());
        self.head.extend_from_slice(&bytes[..for_head]);
        let mut rest = &bytes[for_head..];
        if rest.len() > self.half_bytes_max {
            let skipped = rest.len() - self.half_bytes_max;
            self.omitted_bytes += skipped as u64;
            rest = &rest[skipped..];
        }
        let overflow = (self.tail.len() + rest.len()).saturating_sub(self.half_bytes_max);
        self.tail.drain(..overflow);
        self.omitted_bytes += overflow as u64;
        self.tail.extend(rest);
        self.live(bytes)
    }

    fn live(&mut self, bytes: &[u8]) -> Option<String> {
        let bytes_max = 2 * self.half_bytes_max;
        if self.streamed_bytes > bytes_max || bytes.is_empty() {
            return None;
        }
        let shown = bytes.len().min(bytes_max - self.streamed_bytes);
        self.pending.extend_from_slice(&bytes[..shown]);
        let is_cut = shown < bytes.len();
        let whole = if is_cut { self.pending.len() } else { self.pending.len() - partial_bytes(&self.pending) };
        let mut text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        self.streamed_bytes += shown;
        if is_cut {
            self.streamed_bytes = bytes_max + 1;
            text.push_str(LIVE_CUT);
        }
        (!text.is_empty()).then_some(text)
    }

    /// Everything kept, as text, with a line that says how much is missing.
    pub(crate) fn text(&self) -> String {
        let (first, second) = self.tail.as_slices();
        let tail = [first, second].concat();
        if self.omitted_bytes == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        let head_end = self.head.len() - partial_bytes(&self.head);
        // The first bytes of the tail may be the end of a character that was cut.
        let tail_start = tail.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        format!(
            "{}\n[... {} bytes omitted ...]\n{}",
            String::from_utf8_lossy(&self.head[..head_end]),
            self.omitted_bytes,
            String::from_utf8_lossy(&tail[tail_start..])
        )
    }
}

/// How many bytes at the end of `bytes` are the start of a character that is not complete.
fn partial_bytes(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let width = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if width > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_split_between_reads_arrive_whole() {
        let mut capture = Capture::new(100);
        let bytes = "aé€😀z".as_bytes();
        let live: String = bytes.chunks(1).filter_map(|byte| capture.push(byte)).collect();
        assert_eq!(live, "aé€😀z");
        assert_eq!(capture.text(), "aé€😀z");
    }

    #[test]
    fn bytes_that_are_not_text_become_replacement_characters() {
        let mut capture = Capture::new(100);
        let live = capture.push(b"a\xffb").unwrap();
        assert_eq!(live, "a\u{fffd}b");
    }

    #[test]
    fn head_and_tail_are_kept_and_the_middle_counted() {
        for step in [1, 3, 7, 1000] {
            let mut capture = Capture::new(10);
            let text: String = (0..100).map(|index| char::from(b'a' + index % 26)).collect();
            let live: String = text.as_bytes().chunks(step).filter_map(|bytes| capture.push(bytes)).collect();
            assert_eq!(capture.text(), format!("abcde\n[... 90 bytes omitted ...]\n{}", &text[95..]));
            assert_eq!(live, format!("abcdefghij{LIVE_CUT}"), "pieces of {step}");
        }
    }

    #[test]
    fn what_does_not_fit_is_whole_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = Capture::new(10).spooling(folder.path(), 50);
        for bytes in [&b"0123456"[..], b"789abc", &[b'x'; 100]] {
            capture.push(bytes);
        }
        let path = capture.spooled().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("0123456789abc{}", "x".repeat(37)));
        assert_eq!(Capture::new(10).spooling(folder.path(), 50).spooled(), None);
    }

    #[test]
    fn output_of_exactly_the_cap_is_whole() {
        let mut capture = Capture::new(10);
        assert_eq!(capture.push(b"0123456789").as_deref(), Some("0123456789"));
        assert_eq!(capture.text(), "0123456789");
    }
}
