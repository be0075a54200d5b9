//! Raw rows of a file, one batch after another: JSON lines, a JSON array, or a Parquet table; text also compressed.
//!
//! What a file is, is told by its first bytes, not by its name. One bad row of text costs that row alone.

mod lines; // text cut into rows
mod table; // Parquet

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::error::{DataError, Rejection};
use lines::Lines;
use table::Table;

/// Longest row of text. The longest conversation of ShareGPT has some megabytes.
const ROW_BYTES_MAX: usize = 64 << 20;

/// A batch ends with the row that reaches this size.
const BATCH_BYTES: usize = 8 << 20;

/// Most rows of a batch.
const BATCH_ROWS: usize = 2048;

/// A row as it lies in its file.
#[derive(Debug)]
pub(crate) struct RawRow {
    /// Line of a text file, row of a table, counted from 1.
    pub(crate) line: u64,
    pub(crate) body: Body,
}

/// What a row holds.
#[derive(Debug)]
pub(crate) enum Body {
    /// Text that should be JSON.
    Text(Vec<u8>),
    /// Columns of a table.
    Value(Value),
    /// Text of which no more was kept.
    TooLarge,
}

impl RawRow {
    /// The row as JSON.
    pub(crate) fn value(self) -> Result<Value, Rejection> {
        let bytes = match self.body {
            Body::Value(value) => return Ok(value),
            Body::TooLarge => return Err(Rejection::TooLarge { max: ROW_BYTES_MAX }),
            Body::Text(bytes) => bytes,
        };
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|error| Rejection::NotUtf8 { byte: error.valid_up_to() + 1 })?;
        serde_json::from_str(text).map_err(|error| {
            let column = error.column();
            // The parser counts lines within the row; the file's own line is what helps.
            let what = error.to_string().replace(&format!(" at line {} column {column}", error.line()), "");
            Rejection::Json { column, what }
        })
    }
}

/// An open file.
pub(crate) struct Rows {
    path: PathBuf,
    kind: Kind,
    /// Bytes of the file that were read so far, for progress.
    position: Arc<AtomicU64>,
}

enum Kind {
    Lines(Lines<Box<dyn BufRead + Send>>),
    Table(Box<Table>),
}

impl Rows {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged where that shows at once.
    pub(crate) fn open(path: &Path) -> Result<Rows, DataError> {
        let mut file = File::open(path).map_err(DataError::io(path))?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(DataError::io(path))?;
        let position = Arc::new(AtomicU64::new(0));
        let counting = |file| BufReader::with_capacity(1 << 16, Counting { file, position: Arc::clone(&position) });
        let file = || File::open(path).map_err(DataError::io(path));
        let text: Box<dyn BufRead + Send> = match magic[..] {
            [b'P', b'A', b'R', b'1'] => {
                let table = Table::open(file()?, Arc::clone(&position));
                let table = table.map_err(|what| DataError::Damaged { path: path.to_owned(), what })?;
                return Ok(Rows { path: path.to_owned(), kind: Kind::Table(Box::new(table)), position });
            }
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(counting(file()?)))),
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(counting(file()?));
                Box::new(BufReader::new(decoder.map_err(DataError::io(path))?))
            }
            _ => Box::new(counting(file()?)),
        };
        let lines = Lines::new(text).map_err(|what| DataError::Damaged { path: path.to_owned(), what })?;
        Ok(Rows { path: path.to_owned(), kind: Kind::Lines(lines), position })
    }

    /// The next rows, none at the end.
    ///
    /// # Errors
    /// When the file is damaged here, so that where further rows begin cannot be told.
    pub(crate) fn next_batch(&mut self) -> Result<Vec<RawRow>, DataError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let next = match &mut self.kind {
                Kind::Lines(lines) => lines.next_row(),
                Kind::Table(table) => table.next_row(),
            };
            match next.map_err(|what| DataError::Damaged { path: self.path.clone(), what })? {
                None => break,
                Some((row, size)) => {
                    rows.push(row);
                    bytes += size;
                }
            }
        }
        Ok(rows)
    }

    /// Bytes of the file that were read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}

/// Counts what is read.
struct Counting {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
