//! Walk a GGUF header and prove that every count, length and offset fits the file.
//!
//! A file from the network may claim anything. This walk allocates nothing that the file did not pay for, so that
//! candle's reader afterwards meets only headers of reasonable size (its values take 32 bytes each, whatever they
//! hold, and it divides by `general.alignment`).
//!
//! Layout: magic, version, tensor count, metadata count, metadata (key, type, value), tensor infos (name, dimensions,
//! type, offset), padding to the alignment, tensor data. Source: the GGUF specification, versions 2 and 3.
use std::collections::HashSet;
use std::io::{BufReader, Read, Seek};

/// Largest number of array elements in all metadata together; the largest vocabularies in use have 3 x 262,144.
const ARRAY_ELEMENTS_MAX: u64 = 4 << 20;
/// Largest number of metadata keys or tensors.
const ENTRIES_MAX: u64 = 1 << 16;
/// Longest text; chat templates reach some ten thousand bytes.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// Longest name of a value or tensor, as in the specification.
const KEY_BYTES_MAX: u64 = 1 << 16;
const ALIGNMENT_DEFAULT: u64 = 32;

const TYPE_U32: u32 = 4;
const TYPE_TEXT: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// `(number, name, values per block, bytes per block)` of the tensor types that candle dequantises.
const TENSOR_TYPES: [(u32, &str, u64, u64); 13] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (30, "BF16", 1, 2),
];

/// Checks a whole header.
///
/// # Errors
/// Text that names the first fault: truncated, absurd, or of an unknown kind.
pub(super) fn check_header<R: Read + Seek>(reader: &mut BufReader<R>, file_bytes: u64) -> Result<(), String> {
    let (keys, array_elements) = (HashSet::new(), 0);
    let mut walk = Walk { reader, position: 0, file_bytes, keys, array_elements, alignment: ALIGNMENT_DEFAULT };
    if walk.bytes::<4>("the magic number")? != *b"GGUF" {
        return Err("it does not begin with `GGUF`".into());
    }
    let version = walk.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version} is not supported, only 2 and 3"));
    }
    let tensor_count = walk.u64("the tensor count")?;
    let key_count = walk.u64("the metadata count")?;
    if tensor_count > ENTRIES_MAX || key_count > ENTRIES_MAX {
        return Err(format!(
            "{tensor_count} tensors and {key_count} metadata keys are declared, at most {ENTRIES_MAX} are read"
        ));
    }
    for _ in 0..key_count {
        walk.key_and_value()?;
    }
    walk.keys.clear();
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        tensors.push(walk.tensor()?);
    }
    let data_start = walk.position.div_ceil(walk.alignment) * walk.alignment;
    for tensor in &tensors {
        let end = data_start.checked_add(tensor.offset).and_then(|start| start.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > file_bytes) {
            return Err(format!(
                "tensor `{}` needs {} bytes at offset {} of the data, the file has {file_bytes} bytes in all: it is cut short or damaged",
                tensor.name, tensor.bytes, tensor.offset
            ));
        }
    }
    refuse_overlaps(tensors)
}

/// Tensors that share bytes would make a small file a large model.
fn refuse_overlaps(mut tensors: Vec<TensorSpan>) -> Result<(), String> {
    tensors.sort_by(|left, right| (left.offset, &left.name).cmp(&(right.offset, &right.name)));
    match tensors.windows(2).find(|pair| pair[0].offset + pair[0].bytes > pair[1].offset) {
        Some(pair) => Err(format!("the tensors `{}` and `{}` overlap: it is damaged", pair[0].name, pair[1].name)),
        None => Ok(()),
    }
}

struct TensorSpan {
    name: String,
    offset: u64,
    bytes: u64,
}

struct Walk<'a, R> {
    reader: &'a mut BufReader<R>,
    position: u64,
    file_bytes: u64,
    /// Names of metadata, later of tensors: none may come twice.
    keys: HashSet<String>,
    array_elements: u64,
    alignment: u64,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let mut buffer = [0; N];
        self.reader.read_exact(&mut buffer).map_err(|_| self.cut_short(what))?;
        self.position += N as u64;
        Ok(buffer)
    }

    fn u32(&mut self, what: &str) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    fn skip(&mut self, count: u64, what: &str) -> Result<(), String> {
        if count > self.file_bytes.saturating_sub(self.position) {
            return Err(self.cut_short(what));
        }
        self.reader.seek_relative(count as i64).map_err(|error| format!("cannot read {what}: {error}"))?;
        self.position += count;
        Ok(())
    }

    fn cut_short(&self, what: &str) -> String {
        format!(
            "{what} at byte {} runs past the end of the file ({} bytes): it is cut short or damaged",
            self.position, self.file_bytes
        )
    }

    fn text_bytes(&mut self, what: &str) -> Result<u64, String> {
        let count = self.u64(what)?;
        if count > TEXT_BYTES_MAX {
            return Err(format!("{what} is declared {count} bytes long, at most {TEXT_BYTES_MAX} are read"));
        }
        Ok(count)
    }

    /// A name that did not come before.
    fn key(&mut self, what: &str) -> Result<String, String> {
        let count = self.u64(what)?;
        if count > KEY_BYTES_MAX {
            return Err(format!("{what} is declared {count} bytes long, at most {KEY_BYTES_MAX} are read"));
        }
        if count > self.file_bytes.saturating_sub(self.position) {
            return Err(self.cut_short(what));
        }
        let mut buffer = vec![0; count as usize];
        self.reader.read_exact(&mut buffer).map_err(|_| self.cut_short(what))?;
        self.position += count;
        // As candle reads it, so that no name is two things.
        while buffer.last() == Some(&0) {
            buffer.pop();
        }
        let key = String::from_utf8(buffer).map_err(|_| format!("{what} at byte {} is no text", self.position))?;
        match self.keys.insert(key.clone()) {
            true => Ok(key),
            false => Err(format!("{what} comes twice: `{key}`")),
        }
    }

    fn key_and_value(&mut self) -> Result<(), String> {
        let key = self.key("a metadata key")?;
        let value_type = self.u32(&key)?;
        if key == "general.alignment" {
            if value_type != TYPE_U32 {
                return Err(format!("`{key}` has value type {value_type}, it must be a 32-bit number"));
            }
            let alignment = self.u32(&key)?;
            if !alignment.is_power_of_two() || !(8..=1 << 16).contains(&alignment) {
                return Err(format!("`{key}` is {alignment}, it must be a power of two from 8 to 65536"));
            }
            self.alignment = u64::from(alignment);
            return Ok(());
        }
        let what = format!("the value of `{key}`");
        match value_type {
            TYPE_TEXT => {
                let count = self.text_bytes(&what)?;
                self.skip(count, &what)
            }
            TYPE_ARRAY => self.array(&what),
            other => {
                let width = value_bytes(other).ok_or_else(|| format!("{what} has the unknown type {other}"))?;
                self.skip(width, &what)
            }
        }
    }

    fn array(&mut self, what: &str) -> Result<(), String> {
        let element_type = self.u32(what)?;
        let count = self.u64(what)?;
        self.array_elements = self.array_elements.saturating_add(count);
        if self.array_elements > ARRAY_ELEMENTS_MAX {
            return Err(format!("{what} has {count} elements; all arrays together may have {ARRAY_ELEMENTS_MAX}"));
        }
        if element_type == TYPE_TEXT {
            for _ in 0..count {
                let bytes = self.text_bytes(what)?;
                self.skip(bytes, what)?;
            }
            return Ok(());
        }
        let width = value_bytes(element_type)
            .ok_or_else(|| format!("{what} is an array of the unknown or nested type {element_type}"))?;
        self.skip(count * width, what)
    }

    fn tensor(&mut self) -> Result<TensorSpan, String> {
        let name = self.key("a tensor name")?;
        let dimension_count = self.u32(&name)?;
        if !(1..=4).contains(&dimension_count) {
            return Err(format!("tensor `{name}` has {dimension_count} dimensions"));
        }
        let mut elements = 1u64;
        let mut row = 0;
        for index in 0..dimension_count {
            let length = self.u64(&name)?;
            if index == 0 {
                row = length;
            }
            // Two bits per value is the densest type: more values than four per byte cannot be in the file.
            elements = elements
                .checked_mul(length)
                .filter(|&elements| (1..=self.file_bytes.saturating_mul(4)).contains(&elements))
                .ok_or_else(|| format!("tensor `{name}` is declared larger than the file, or empty"))?;
        }
        let number = self.u32(&name)?;
        let offset = self.u64(&name)?;
        let &(_, type_name, block, block_bytes) =
            TENSOR_TYPES.iter().find(|entry| entry.0 == number).ok_or_else(|| {
                let known = TENSOR_TYPES.map(|entry| entry.1).join(", ");
                format!(
                    "tensor `{name}` has the tensor type number {number}, which is not supported; supported are {known}"
                )
            })?;
        if !row.is_multiple_of(block) {
            return Err(format!("tensor `{name}` has rows of {row} values, {type_name} needs multiples of {block}"));
        }
        if !offset.is_multiple_of(8) {
            return Err(format!("tensor `{name}` begins at the odd offset {offset}"));
        }
        Ok(TensorSpan { name, offset, bytes: elements / block * block_bytes })
    }
}

fn value_bytes(value_type: u32) -> Option<u64> {
    match value_type {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
