//! Rows by hand, by the reference package, and at random.

use std::path::PathBuf;

use half::f16;

use super::*;
use crate::quant::random::Random;

/// Numbers of `tests/golden/formats/values.f32`, at the start of each golden.
const GOLDEN_VALUES: usize = 512;

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/formats");
    std::fs::read(folder.join(name)).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn decoded(format: Format, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; bytes.len() / format.block_bytes() * format.block_len()];
    format.decode_row(bytes, &mut out);
    out
}

fn encoded(format: Format, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    format.encode_row(values, &mut bytes);
    assert_eq!(Some(bytes.len()), format.row_bytes(values.len()));
    bytes
}

fn squared_error(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(left - right).powi(2)).sum()
}

/// A block of one format: halves, bytes, and what is repeated.
fn block(halves: &[f32], bytes: &[&[u8]]) -> Vec<u8> {
    let halves = halves.iter().flat_map(|half| f16::from_f32(*half).to_le_bytes());
    halves.chain(bytes.concat()).collect()
}

#[test]
fn decoding_is_that_of_the_gguf_package_bit_for_bit() {
    for format in Format::ALL {
        let expected = floats(&golden(&format!("{format}.f32")));
        let found = decoded(format, &golden(&format!("{format}.bin")));
        assert_eq!(found.len(), expected.len());
        for (column, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{format} column {column}");
        }
    }
}

#[test]
fn encoding_errs_no_more_than_that_of_ggml() {
    let values = floats(&golden("values.f32"));
    for format in Format::ALL {
        let theirs = squared_error(&floats(&golden(&format!("{format}.f32")))[..GOLDEN_VALUES], &values);
        let ours = squared_error(&decoded(format, &encoded(format, &values)), &values);
        println!("{format}: {ours:e} against {theirs:e}");
        assert!(ours <= theirs, "{format}: {ours} against {theirs}");
    }
}

#[test]
fn blocks_of_32_columns_are_what_their_layout_says() {
    let nibbles: [u8; 16] = std::array::from_fn(|i| i as u8 | (15 - i as u8) << 4);
    let levels: Vec<f32> = (0..16).chain((0..16).rev()).map(|level| level as f32).collect();
    let expect = |format: Format, bytes: &[u8], weight: &dyn Fn(f32) -> f32| {
        let expected: Vec<f32> = levels.iter().map(|level| weight(*level)).collect();
        assert_eq!(decoded(format, bytes), expected, "{format}");
    };
    expect(Format::Q4_0, &block(&[0.5], &[&nibbles]), &|level| (level - 8.0) * 0.5);
    expect(Format::Q4_1, &block(&[0.5, -3.0], &[&nibbles]), &|level| level * 0.5 - 3.0);
    // The fifth bits are set in every column.
    expect(Format::Q5_0, &block(&[2.0], &[&[255; 4], &nibbles]), &|level| level * 2.0);
    expect(Format::Q5_1, &block(&[2.0, 1.0], &[&[255; 4], &nibbles]), &|level| (level + 16.0) * 2.0 + 1.0);
    let integers: [u8; 32] = std::array::from_fn(|i| levels[i] as u8 ^ 0x80);
    expect(Format::Q8_0, &block(&[0.25], &[&integers]), &|level| (level - 128.0) * 0.25);
    // Column 9 and column 30 have theirs.
    let found = decoded(Format::Q5_0, &block(&[1.0], &[&[0, 2, 0, 0x40], &[0; 16]]));
    let expected: Vec<f32> = (0..32).map(|column| if column == 9 || column == 30 { 0.0 } else { -16.0 }).collect();
    assert_eq!(found, expected);
}

#[test]
fn blocks_of_256_columns_are_what_their_layout_says() {
    // Scales 1 to 8 and minima 33 to 40: 6 bits, the upper two of the last four apart.
    let integers = [1, 2, 3, 4, 33 | 0x80, 34 | 0x80, 35 | 0x80, 36 | 0x80, 0x55, 0x66, 0x77, 0x88];
    let nibbles: Vec<u8> = (0..128).map(|i| (i / 32) as u8 | (15 - (i / 32) as u8) << 4).collect();
    let level = |group: usize| if group.is_multiple_of(2) { group / 2 } else { 15 - group / 2 } as f32;
    let check = |format: Format, bytes: &[u8], weight: &dyn Fn(usize) -> f32| {
        let expected: Vec<f32> = (0..256).map(|column| weight(column / 32)).collect();
        assert_eq!(decoded(format, bytes), expected, "{format}");
    };
    let scale = |group: usize| (group + 1) as f32;
    // The lower bits of minima 5 to 8 are 5 to 8, their upper bits are in the bytes of the first four: 2 is 32.
    let minimum = |group: usize| (group + 33) as f32;
    let q4 = block(&[0.5, 0.25], &[&integers, &nibbles]);
    check(Format::Q4K, &q4, &|group| 0.5 * scale(group) * level(group) - 0.25 * minimum(group));
    // The fifth bits of groups 1 and 6.
    let q5 = block(&[0.5, 0.25], &[&integers, &[0x42; 32], &nibbles]);
    let fifth = |group| if group == 1 || group == 6 { 16.0 } else { 0.0 };
    check(Format::Q5K, &q5, &|group| 0.5 * scale(group) * (level(group) + fifth(group)) - 0.25 * minimum(group));

    // Low nibbles 1, 2, 3 and 4 in the groups of each half, high bits 0 to 3, scales -8 to 7.
    let low = [[0x31; 32], [0x42; 32], [0x31; 32], [0x42; 32]].concat();
    let scales: Vec<u8> = (0..16).map(|i| (i as i8 - 8) as u8).collect();
    let mut q6 = [&low[..], &[0xe4; 64], &scales].concat();
    q6.extend(f16::from_f32(0.125).to_le_bytes());
    let weight = |column: usize| {
        let group = column / 32 % 4;
        let level = (group as i32 + 1) | (group as i32) << 4;
        0.125 * (column as i32 / 16 - 8) as f32 * (level - 32) as f32
    };
    let expected: Vec<f32> = (0..256).map(weight).collect();
    assert_eq!(decoded(Format::Q6K, &q6), expected);
}

#[test]
fn decoded_rows_encode_to_numbers_as_near_as_their_own() {
    let mut random = Random::new(3);
    for format in Format::ALL {
        let values: Vec<f32> = (0..512).map(|_| random.normal() * 0.05).collect();
        let once = decoded(format, &encoded(format, &values));
        let twice = decoded(format, &encoded(format, &once));
        let power: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let (error, change) = (squared_error(&once, &values), squared_error(&twice, &once));
        // Uniform levels over some deviations to either side: about 1 / 3 of (range / levels) squared.
        let bound = match format {
            Format::F32 => 0.0,
            Format::F16 => 1e-6,
            Format::Bf16 => 1e-5,
            Format::Q8_0 => 5e-5,
            Format::Q6K => 5e-4,
            Format::Q5K | Format::Q5_0 | Format::Q5_1 => 2.5e-3,
            Format::Q4K | Format::Q4_0 | Format::Q4_1 => 1e-2,
        };
        assert!(error <= bound * power, "{format}: {}", error / power);
        assert!(change <= error, "{format}: {change} after {error}");
    }
}

#[test]
fn what_a_format_can_say_exactly_is_said_exactly() {
    // Levels times a power of two, and constant rows for formats with a minimum.
    for (format, zero, top) in [(Format::Q4_0, 8, 15), (Format::Q5_0, 16, 31), (Format::Q8_0, 127, 254)] {
        let values: Vec<f32> = (0..256).map(|i| (i % 32 * top / 31 - zero) as f32 * 0.25).collect();
        assert_eq!(decoded(format, &encoded(format, &values)), values, "{format}");
    }
    for format in Format::ALL {
        let zeros = vec![0.0; 256];
        assert_eq!(decoded(format, &encoded(format, &zeros)), zeros, "{format}");
    }
    for format in [Format::Q4_1, Format::Q5_1] {
        assert_eq!(decoded(format, &encoded(format, &[0.375; 64])), [0.375; 64], "{format}");
    }
}

#[test]
fn numbers_that_are_not_finite_or_very_large_stay_within_their_block() {
    for format in Format::ALL.into_iter().filter(|format| format.block_len() > 1) {
        let len = format.block_len();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0; 2 * len];
            values[5] = bad;
            let decoded = decoded(format, &encoded(format, &values));
            assert!(decoded[..len].iter().all(|value| value.is_nan()), "{format} {bad}");
            assert!(decoded[len..].iter().all(|value| (value - 1.0).abs() < 0.1), "{format} {bad}");
        }
        for extreme in [1e38, -3e38, 1e-38, -1e-45] {
            let values: Vec<f32> = (0..len).map(|i| if i % 3 == 0 { extreme } else { -extreme / 2.0 }).collect();
            assert!(decoded(format, &encoded(format, &values)).iter().all(|value| value.is_finite()), "{format}");
        }
    }
}

#[test]
fn any_bytes_decode() {
    let mut random = Random::new(4);
    for format in Format::ALL {
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..2 * format.block_bytes()).map(|_| random.next() as u8).collect();
            assert_eq!(decoded(format, &bytes).len(), 2 * format.block_len());
        }
    }
}

#[test]
fn rows_are_whole_blocks() {
    assert_eq!(Format::Q4_0.row_bytes(576), Some(324));
    assert_eq!(Format::Q4K.row_bytes(576), None);
    assert_eq!(Format::Q6K.row_bytes(1536), Some(1260));
    assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    assert_eq!(Format::Q8_0.row_bytes(usize::MAX - 31), None);
    let error = std::panic::catch_unwind(|| Format::Q8_0.encode_row(&[0.0; 33], &mut Vec::new()));
    assert!(error.is_err());
}
