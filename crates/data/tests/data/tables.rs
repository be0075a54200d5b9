//! Parquet files as the hub has them: `id`, and `conversations` as a list of structs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

const SCHEMA: &str = "message schema { optional binary id (UTF8); optional group conversations (LIST) { \
    repeated group list { optional group element { optional binary content (UTF8); optional binary role (UTF8); } } } }";

/// Writes rows of the shape `messages`, each with at least one message.
pub fn conversations(path: &Path, rows: &[Value]) -> PathBuf {
    write(path, rows, SCHEMA)
}

/// The same by a writer that does not say that its text is text.
pub fn unmarked(path: &Path, rows: &[Value]) -> PathBuf {
    write(path, rows, &SCHEMA.replace(" (UTF8)", ""))
}

fn write(path: &Path, rows: &[Value], schema: &str) -> PathBuf {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    // Two groups of rows, if there are enough.
    for rows in rows.chunks(rows.len().div_ceil(2)) {
        let mut group = writer.next_row_group().unwrap();
        let mut put = |values: Vec<ByteArray>, levels: Option<(Vec<i16>, Vec<i16>)>| {
            let mut column = group.next_column().unwrap().unwrap();
            let definitions = levels.as_ref().map_or(vec![1; values.len()], |levels| levels.0.clone());
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&values, Some(&definitions), levels.as_ref().map(|levels| &levels.1[..])).unwrap();
            column.close().unwrap();
        };
        put(rows.iter().map(|row| bytes(&row["id"])).collect(), None);
        for key in ["content", "role"] {
            let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                for (index, message) in row["conversations"].as_array().unwrap().iter().enumerate() {
                    values.push(bytes(&message[key]));
                    definitions.push(4);
                    repetitions.push(i16::from(index > 0));
                }
            }
            put(values, Some((definitions, repetitions)));
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    path.to_owned()
}

fn bytes(value: &Value) -> ByteArray {
    ByteArray::from(value.as_str().unwrap())
}
