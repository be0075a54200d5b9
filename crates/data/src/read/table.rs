//! Rows of a Parquet table as JSON.
//!
//! The library trusts much of what a file says about itself, so calls into it are contained: a panic there concerns one
//! file, and becomes an error here.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, List, Map, Row};
use serde_json::Value;

use super::{Body, RawRow};

/// Most bytes of one column in one group of rows, unpacked. Files of the hub have groups of some hundred megabytes.
const COLUMN_BYTES_MAX: i64 = 4 << 30;

/// Deepest nesting of a value: a list of messages with parts has 4.
const DEPTH_MAX: usize = 32;

/// An open table.
pub(super) struct Table {
    rows: RowIter<'static>,
    next: u64,
    row_count: u64,
    file_bytes: u64,
    position: Arc<AtomicU64>,
}

impl Table {
    /// Reads the schema and the list of columns.
    pub(super) fn open(file: File, position: Arc<AtomicU64>) -> Result<Table, String> {
        let file_bytes = file.metadata().map_err(|error| error.to_string())?.len();
        contained(|| {
            let reader = SerializedFileReader::new(file).map_err(describe)?;
            let metadata = reader.metadata();
            let mut columns = metadata.row_groups().iter().flat_map(|group| group.columns());
            if let Some(column) = columns.find(|column| !fits(column.uncompressed_size())) {
                let bytes = column.uncompressed_size();
                return Err(format!("a column says that it has {bytes} bytes, at most {COLUMN_BYTES_MAX} are read"));
            }
            let row_count = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
            let rows = RowIter::from_file_into(Box::new(reader));
            Ok(Table { rows, next: 1, row_count, file_bytes, position })
        })
    }

    /// The next row and about its size in bytes.
    pub(super) fn next_row(&mut self) -> Result<Option<(RawRow, usize)>, String> {
        // The list of columns may promise any number of rows; the library ends where the shortest column does.
        if self.next > self.row_count {
            return Ok(None);
        }
        let rows = &mut self.rows;
        let row = contained(|| rows.next().transpose().map_err(describe))?;
        let Some(row) = row else {
            return Err(format!("it ends before row {} of the {} that it says it has", self.next, self.row_count));
        };
        let mut size = 0;
        let value = object(&row, &mut size, 0)?;
        let line = self.next;
        self.next += 1;
        let part = self.file_bytes as f64 * line as f64 / self.row_count as f64;
        self.position.store(part as u64, Ordering::Relaxed);
        Ok(Some((RawRow { line, body: Body::Value(value) }, size)))
    }
}

fn fits(bytes: i64) -> bool {
    (0..=COLUMN_BYTES_MAX).contains(&bytes)
}

fn contained<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // After a panic the table is dropped, so nothing half-done is used again.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let reason = payload.downcast_ref::<String>().map(String::as_str);
        let reason = reason.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(format!("not a sound Parquet table: its library stopped with `{reason}`"))
    })
}

fn describe(error: parquet::errors::ParquetError) -> String {
    format!("not a sound Parquet table: {error}")
}

fn object(row: &Row, size: &mut usize, depth: usize) -> Result<Value, String> {
    let entries = row.get_column_iter().map(|(name, field)| Ok((name.clone(), value(field, size, depth + 1)?)));
    Ok(Value::Object(entries.collect::<Result<_, String>>()?))
}

fn array(list: &List, size: &mut usize, depth: usize) -> Result<Value, String> {
    let items = list.elements().iter().map(|field| value(field, size, depth + 1));
    Ok(Value::Array(items.collect::<Result<_, String>>()?))
}

fn map(map: &Map, size: &mut usize, depth: usize) -> Result<Value, String> {
    let entries = map.entries().iter().map(|(key, field)| {
        let key = if let Field::Str(text) = key { text.clone() } else { key.to_string() };
        Ok((key, value(field, size, depth + 1)?))
    });
    Ok(Value::Object(entries.collect::<Result<_, String>>()?))
}

fn value(field: &Field, size: &mut usize, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("its values are nested more than {DEPTH_MAX} deep"));
    }
    *size += 8;
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::from(*flag),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Str(text) => {
            *size += text.len();
            Value::from(text.as_str())
        }
        Field::Group(row) => object(row, size, depth)?,
        Field::ListInternal(list) => array(list, size, depth)?,
        Field::MapInternal(entries) => map(entries, size, depth)?,
        // Text of writers that do not say that it is text; anything else is no part of a conversation.
        Field::Bytes(bytes) => {
            *size += bytes.len();
            std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from)
        }
        // Dates and decimals: likewise.
        other => {
            let text = other.to_string();
            *size += text.len();
            Value::from(text)
        }
    })
}
