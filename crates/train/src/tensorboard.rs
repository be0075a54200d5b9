//! `tensorboard/`: the numbers of `metrics.jsonl` once more, as event files that TensorBoard opens.
//!
//! A file is a row of records as TensorFlow frames them (tensorflow/core/lib/io/record_writer.h): the length (u64), its
//! masked CRC-32C, the bytes, and theirs, all little-endian. The bytes are an `Event` of
//! tensorflow/core/util/event.proto in the wire format of protobuf, of which three kinds of fields are enough.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use crate::error::TrainError;

/// Folder of the event files in the folder of a run.
pub const FOLDER: &str = "tensorboard";

/// Begins the name of every event file; TensorBoard asks for `tfevents` in it.
const PREFIX: &str = "events.out.tfevents.";

/// Numbers of a row that are shown as they are, by their keys.
const SCALARS: [&str; 11] = [
    "loss",
    "learning_rate",
    "gradient_norm",
    "held_out_loss",
    "success_rate",
    "memory_bytes",
    "reward_accuracy",
    "reward_margin",
    "reward_chosen",
    "reward_rejected",
    "chosen_loss",
];

/// The open file.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// Begins a new file in `folder` whose steps go on after `step` ones. TensorBoard then forgets what it has of that
    /// step and later ones, so what still holds of `step` is to be written again.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn begin(folder: &Path, step: usize) -> Result<Events, TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::write(folder))?;
        let path = folder.join(next_name(folder)?);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(TrainError::write(&path))?;
        let mut events = Events { file, path };
        // Event.file_version = 3, Event.session_log = 7 with SessionLog.status = 1 (START).
        events.append(0, 3, b"brain.Event:2")?;
        if step > 0 {
            events.append(step as u64, 7, &[number_key(1), 1])?;
        }
        Ok(events)
    }

    /// Writes the numbers of a row of `metrics.jsonl`, rounded to f32; a row without any leaves nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn row(&mut self, row: &Value) -> Result<(), TrainError> {
        let scalars = scalars(row);
        let Some(step) = row["step"].as_u64().filter(|_| !scalars.is_empty()) else { return Ok(()) };
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            // Summary.value = 1, with Value.tag = 1 and Value.simple_value = 2.
            let mut one = Vec::new();
            put_bytes(&mut one, 1, tag.as_bytes());
            one.push(2 << 3 | 5);
            one.extend((value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &one);
        }
        self.append(step, 5, &summary)
    }

    /// An event with one field of bytes. Event.wall_time = 1, Event.step = 2.
    fn append(&mut self, step: u64, field: u8, content: &[u8]) -> Result<(), TrainError> {
        let mut event = vec![1 << 3 | 1];
        event.extend(since_1970().as_secs_f64().to_le_bytes());
        event.push(number_key(2));
        put_number(&mut event, step);
        put_bytes(&mut event, field, content);
        self.file.write_all(&record(&event)).map_err(TrainError::write(&self.path))
    }
}

/// A name behind those of all files that are there: TensorBoard reads a folder in the order of names. So the time in it
/// only grows, even where the clock was set back.
fn next_name(folder: &Path) -> Result<String, TrainError> {
    let mut seconds = since_1970().as_secs();
    for entry in std::fs::read_dir(folder).map_err(TrainError::write(folder))? {
        let name = entry.map_err(TrainError::write(folder))?.file_name();
        let name = name.to_string_lossy();
        let earlier = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
        seconds = seconds.max(earlier.map_or(0, |earlier| earlier.saturating_add(1)));
    }
    Ok(format!("{PREFIX}{seconds:010}.codeact.{}", std::process::id()))
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What a row says, tag by tag: numbers by their keys, the speed, and losses by source.
fn scalars(row: &Value) -> Vec<(String, f64)> {
    let number = |key: &str| row[key].as_f64();
    let mut scalars: Vec<(String, f64)> =
        SCALARS.iter().filter_map(|key| Some(((*key).to_owned(), number(key)?))).collect();
    if let (Some(tokens), Some(seconds)) = (number("tokens"), number("seconds"))
        && seconds > 0.0
    {
        scalars.push(("tokens_per_second".to_owned(), tokens / seconds));
    }
    for (tag, key) in [("loss", "loss_by_source"), ("held_out_loss", "held_out_by_source")] {
        for (source, loss) in row[key].as_object().into_iter().flatten() {
            scalars.extend(loss.as_f64().map(|loss| (format!("{tag}/{source}"), loss)));
        }
    }
    scalars
}

/// Key of a field that is a number.
fn number_key(field: u8) -> u8 {
    field << 3
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    put_number(out, content.len() as u64);
    out.extend(content);
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(content);
    record.extend(masked_crc(content).to_le_bytes());
    record
}

/// A CRC of bytes that hold CRCs would be weak, so it is turned and moved (record_writer.h, crc32c.h).
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_has_the_bytes_that_tensorboard_writes() {
        // tensorboard.summary.writer.record_writer.RecordWriter(file).write(b"foo")
        let expected = [
            0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xb0, 0x99, 0x49, 0x0e, 0x66, 0x6f, 0x6f, 0x61, 0x8a, 0xbe,
            0xfe,
        ];
        assert_eq!(record(b"foo"), expected);
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_row_gives_its_numbers_its_speed_and_its_sources() {
        let row = json!({"step": 3, "loss": 1.5, "learning_rate": null, "tokens": 10, "seconds": 4.0,
            "loss_by_source": {"d": 1.25}, "held_out_by_source": {"a/b.jsonl": 2.0, "c": "x"}, "other": 1});
        let wanted = [("loss", 1.5), ("tokens_per_second", 2.5), ("loss/d", 1.25), ("held_out_loss/a/b.jsonl", 2.0)];
        assert_eq!(scalars(&row), wanted.map(|(tag, value)| (tag.to_owned(), value)));
        assert!(scalars(&json!({"step": 1, "tokens": 1, "seconds": 0.0})).is_empty());
        assert!(scalars(&json!([1])).is_empty());
    }

    #[test]
    fn a_later_file_has_a_later_name_whatever_the_clock_says() {
        let room = tempfile::tempdir().expect("a folder");
        let future = format!("{PREFIX}9999999990.host.1");
        std::fs::write(room.path().join(&future), b"").expect("a file");
        let name = next_name(room.path()).expect("readable");
        assert!(name > future && name.contains("9999999991"), "{name}");
    }

    #[test]
    fn numbers_are_written_seven_bits_at_a_time() {
        let mut out = Vec::new();
        [0, 127, 128, 300, u64::MAX].into_iter().for_each(|number| put_number(&mut out, number));
        assert_eq!(out[..6], [0, 127, 0x80, 1, 0xac, 2]);
        assert_eq!(out.len(), 16);
    }
}
