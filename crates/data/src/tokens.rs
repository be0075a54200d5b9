//! Where tokens and masks lie: four bytes a token, in memory or in a file of the cache.
//!
//! The lower 31 bits are the id, the upper one says that the token is learned. Only what a batch needs is read from a
//! file, so 80 million tokens take no memory but what the system can take back.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use codeact_chat::Example;
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::hash;

/// Marks a learned token.
const TARGET: u32 = 1 << 31;

/// An example in the form that is kept.
pub(crate) fn pack(example: &Example) -> Vec<u32> {
    let words = example.token_ids.iter().zip(&example.is_target).map(|(id, is_target)| {
        debug_assert!(*id < TARGET, "an embedding of 2^31 rows");
        if *is_target { id | TARGET } else { *id }
    });
    words.collect()
}

/// The inverse of [`pack`].
pub(crate) fn unpack(words: &[u32]) -> Example {
    let token_ids = words.iter().map(|word| word & !TARGET).collect();
    Example { token_ids, is_target: words.iter().map(|word| word & TARGET != 0).collect() }
}

/// Learned tokens among them.
pub(crate) fn count_targets(words: &[u32]) -> usize {
    words.iter().filter(|word| **word & TARGET != 0).count()
}

/// The tokens of a file of data.
#[derive(Debug)]
pub(crate) enum Tokens {
    Memory(Vec<u32>),
    File { file: Mutex<File>, path: PathBuf },
}

impl Tokens {
    /// The words of a range.
    ///
    /// # Errors
    /// When the file of the cache cannot be read any more.
    pub(crate) fn read(&self, range: Range<u64>) -> std::io::Result<Vec<u32>> {
        match self {
            Tokens::Memory(words) => {
                let part = words.get(range.start as usize..range.end as usize);
                part.map(<[u32]>::to_vec).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
            }
            Tokens::File { file, .. } => {
                let mut bytes = vec![0; (range.end - range.start) as usize * 4];
                let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.seek(SeekFrom::Start(range.start * 4))?;
                file.read_exact(&mut bytes)?;
                Ok(words_of(&bytes))
            }
        }
    }

    /// The file they lie in, or nothing for memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Tokens::Memory(_) => None,
            Tokens::File { path, .. } => Some(path),
        }
    }
}

fn words_of(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// Where tokens go while a file is encoded.
pub(crate) enum Writer {
    Memory(Vec<u32>),
    File { file: BufWriter<File>, hasher: Sha256, path: PathBuf, count: u64 },
}

impl Writer {
    /// Into a new file.
    pub(crate) fn create(path: &Path) -> std::io::Result<Writer> {
        let file =
            BufWriter::with_capacity(1 << 20, File::options().read(true).write(true).create_new(true).open(path)?);
        Ok(Writer::File { file, hasher: Sha256::new(), path: path.to_owned(), count: 0 })
    }

    /// Words so far.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Writer::Memory(words) => words.len() as u64,
            Writer::File { count, .. } => *count,
        }
    }

    /// Appends.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub(crate) fn push(&mut self, words: &[u32]) -> Result<(), DataError> {
        match self {
            Writer::Memory(all) => all.extend_from_slice(words),
            Writer::File { file, hasher, count, path } => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                hasher.update(&bytes);
                file.write_all(&bytes).map_err(DataError::cache(path))?;
                *count += words.len() as u64;
            }
        }
        Ok(())
    }
}

/// 128 bits that stand for the tokens and the mask of a conversation.
pub(crate) fn digest(words: &[u32]) -> [u64; 2] {
    let mut hasher = Sha256::new();
    words.iter().for_each(|word| hasher.update(word.to_le_bytes()));
    hash::half(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_survives_packing() {
        let example = Example { token_ids: vec![1, 0, 32001, 7], is_target: vec![false, true, true, false] };
        let words = pack(&example);
        assert_eq!(unpack(&words), example);
        assert_eq!(count_targets(&words), 2);
    }

    #[test]
    fn mask_and_order_change_the_digest() {
        assert_eq!(digest(&[1, 2]), digest(&[1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 2 | TARGET]));
    }
}
