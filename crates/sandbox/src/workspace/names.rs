//! Names inside a workspace: which ones a caller may ask for, and how any name is shown.
//!
//! A file name is any bytes. It is shown as text that is safe to print and that means the same file when it is given
//! back: a backslash as `\\`, and each byte of what is no printable UTF-8 (control characters, marks that change the
//! direction of text, what is not seen, invalid bytes) as `\xHH`.

use std::fmt::Write;

/// The kernel's limit on one name.
const NAME_BYTES_MAX: usize = 255;
/// The kernel's limit on a path, without its final NUL.
pub(super) const PATH_BYTES_MAX: usize = 4095;

/// How a name or path is shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                hidden if hidden.is_control() || disguises(hidden) => {
                    escape(&mut text, hidden.encode_utf8(&mut [0; 4]).as_bytes());
                }
                plain => text.push(plain),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// A path that a caller gave, as an error shows it: nothing in it can act on a terminal.
pub(super) fn printable(path: &str) -> String {
    shown(path.as_bytes()).replace("\\\\", "\\")
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// Marks that change where the text around them is drawn, line breaks that are no control characters, and what is not
/// seen. With control characters that is `disguises_name` of `codeact-chat`, which this crate does not use.
fn disguises(character: char) -> bool {
    let code = u32::from(character);
    let is_format = matches!(code, 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f);
    let is_unseen = matches!(code, 0xad | 0x34f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x3164)
        || matches!(code, 0xfe00..=0xfe0e | 0xfeff | 0xffa0 | 0xfff0..=0xfffb)
        || matches!(code, 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff);
    is_format || is_unseen
}

/// A path below the workspace as its names; empty for the workspace itself. The error says what is wrong with `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let bytes = unescape(text)?;
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes[0] == b'/' {
        return Err("it is absolute; give a path relative to the workspace");
    }
    if bytes.contains(&0) {
        return Err("it contains a NUL character");
    }
    if bytes.len() > PATH_BYTES_MAX {
        return Err("it is longer than 4095 bytes");
    }
    let names: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect();
    if names.iter().any(|name| name == b"..") {
        return Err("it contains `..`, which could leave the workspace");
    }
    if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err("one of its names is longer than 255 bytes");
    }
    Ok(names)
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        match after {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => return Err(BACKSLASH),
            },
            _ => return Err(BACKSLASH),
        }
    }
    Ok(bytes)
}

const BACKSLASH: &str = "a backslash must be written `\\\\`, and any byte can be written `\\xHH`";

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
