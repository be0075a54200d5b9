//! sha256 of files and bytes, as lower-case hex.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hash of a text.
pub fn of_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// 128 bits that stand for what a user asks first: the same for the same words, whatever their case and the blanks between
/// them. By these a conversation is found that begins with the prompt of a task.
pub fn of_prompt(text: &str) -> [u64; 2] {
    let mut hasher = Sha256::new();
    for word in text.split_whitespace() {
        hasher.update(word.to_lowercase());
        hasher.update(b" ");
    }
    half(&hasher.finalize())
}

/// The first half of a hash of 256 bits.
pub(crate) fn half(hash: &[u8]) -> [u64; 2] {
    let part = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| hash[at + index]));
    [part(0), part(8)]
}

/// Hash of a file.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_the_same_whatever_its_case_and_blanks() {
        let same = of_prompt("How many\n\teggs ARE left?");
        assert_eq!(of_prompt("  how many eggs are  left?\u{a0}"), same);
        for other in ["How many eggs are left", "How manyeggs are left?", "eggs How many are left?", ""] {
            assert_ne!(of_prompt(other), same, "{other}");
        }
    }
}
