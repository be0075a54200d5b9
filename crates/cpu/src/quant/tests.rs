//! Products of quantised weights against f64, against each other, and on hostile blocks.

use super::random::Random;
use super::*;
use crate::Team;

const QUANTISED: [Format; 8] =
    [Format::Q8_0, Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q4K, Format::Q5K, Format::Q6K];

/// Row counts with every kind of tile and remainder.
const ROW_COUNTS: [usize; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 31];

/// Blocks with random bits and moderate scales.
fn random_rows(format: Format, rows: usize, columns: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..format.row_bytes(columns).unwrap() * rows).map(|_| random.next() as u8).collect();
    let halves: &[usize] = match format {
        Format::Q6K => &[208],
        Format::Q8_0 | Format::Q4_0 | Format::Q5_0 => &[0],
        _ => &[0, 2],
    };
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for &at in halves {
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(0.1 * random.normal()).to_le_bytes());
        }
    }
    bytes
}

fn random_values(count: usize, random: &mut Random) -> Vec<f32> {
    (0..count).map(|_| random.normal()).collect()
}

fn pack(format: Format, bytes: &[u8], rows: usize, columns: usize, isa: Isa) -> QuantPanels {
    QuantPanels::pack(format, bytes, rows, columns, None, isa).unwrap()
}

/// `y` by all threads: tiles by halves of the panels.
fn multiply(weight: &QuantPanels, team: &Team, x: &Int8Rows, y: &mut [f32], y_stride: usize, first_column: usize) {
    let (tiles, panels) = (x.tile_count(), weight.panel_count());
    let y = Disjoint::new(y);
    team.each(2 * tiles, &|task| {
        let (tile, half) = (task / 2, task % 2);
        let panels = half * panels / 2..(half + 1) * panels / 2;
        // SAFETY: tasks differ in their tile or their panels.
        unsafe { weight.multiply_part(x, tile..tile + 1, panels, &y, y_stride, first_column) };
    });
}

fn product(weight: &QuantPanels, team: &Team, isa: Isa, x: &[f32], rows: usize) -> Vec<f32> {
    let mut integers = Int8Rows::new();
    integers.set(team, isa, x, rows, weight.columns());
    let mut y = vec![f32::NAN; rows * weight.rows()];
    multiply(weight, team, &integers, &mut y, weight.rows(), 0);
    y
}

/// Equal bits; one that is not a number equals another.
fn assert_same(left: &[f32], right: &[f32], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}");
    for (index, (left, right)) in left.iter().zip(right).enumerate() {
        let same = left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan();
        assert!(same, "{what}: {left} and {right} at {index}");
    }
}

#[test]
fn packed_rows_decode_to_the_same_bits() {
    let mut random = Random::new(1);
    for format in QUANTISED {
        for (rows, columns) in [(1, 256), (16, 512), (37, 256 * 3)] {
            let bytes: Vec<u8> = (0..format.row_bytes(columns).unwrap() * rows).map(|_| random.next() as u8).collect();
            let weight = pack(format, &bytes, rows, columns, Isa::Portable);
            for (row, bytes) in bytes.chunks_exact(bytes.len() / rows).enumerate() {
                let (mut expected, mut found) = (vec![0.0; columns], vec![1.0; columns]);
                format.decode_row(bytes, &mut expected);
                weight.decode_row(row, &mut found);
                assert_same(&found, &expected, &format!("{format} row {row}"));
            }
        }
    }
}

#[test]
fn products_are_those_of_the_decoded_weights_and_integers() {
    let mut random = Random::new(2);
    let team = Team::new(2);
    for format in QUANTISED {
        let (outputs, columns, rows) = (50, 768, 5);
        let bytes = random_rows(format, outputs, columns, &mut random);
        let x = random_values(rows * columns, &mut random);
        for isa in Isa::available() {
            let weight = pack(format, &bytes, outputs, columns, isa);
            let found = product(&weight, &team, isa, &x, rows);
            let mut integers = Int8Rows::new();
            integers.set(&team, isa, &x, rows, columns);
            for output in 0..outputs {
                let mut weights = vec![0.0; columns];
                weight.decode_row(output, &mut weights);
                for row in 0..rows {
                    let (mut expected, mut magnitude) = (0.0, 0.0);
                    for (column, weight) in weights.iter().enumerate() {
                        let (integer, scale) = integers.at(row, column);
                        let term = f64::from(*weight) * f64::from(integer) * f64::from(scale);
                        expected += term;
                        magnitude += term.abs();
                    }
                    // With a minimum, two large sums may cancel within a group; other rounding is of f32 sums.
                    let found = f64::from(found[row * outputs + output]);
                    let error = (found - expected).abs();
                    assert!(error <= 1e-6 * magnitude + 1e-6, "{format} {isa:?}: {found} for {expected}");
                }
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_bits_of_portable_code() {
    let mut random = Random::new(5);
    let team = Team::new(2);
    for format in QUANTISED {
        for (outputs, columns) in [(16, 256), (33, 512), (100, 768)] {
            let bytes = random_rows(format, outputs, columns, &mut random);
            for rows in ROW_COUNTS {
                let x = random_values(rows * columns, &mut random);
                let results: Vec<(Isa, Vec<f32>)> = Isa::available()
                    .map(|isa| (isa, product(&pack(format, &bytes, outputs, columns, isa), &team, isa, &x, rows)))
                    .collect();
                for (isa, result) in &results[1..] {
                    assert_same(result, &results[0].1, &format!("{format} {isa:?} {rows} rows"));
                }
            }
        }
    }
}

#[test]
fn rows_alone_are_rows_in_any_batch_bit_for_bit() {
    let mut random = Random::new(6);
    let (outputs, columns, rows) = (70, 512, 150);
    let teams = [Team::new(1), Team::new(3)];
    for format in QUANTISED {
        let bytes = random_rows(format, outputs, columns, &mut random);
        let x = random_values(rows * columns, &mut random);
        for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
            let weight = pack(format, &bytes, outputs, columns, isa);
            let alone: Vec<f32> =
                x.chunks_exact(columns).flat_map(|row| product(&weight, &teams[0], isa, row, 1)).collect();
            for count in ROW_COUNTS.into_iter().chain([rows]) {
                for first in [0, 9] {
                    let last = (first + count).min(rows);
                    let x = &x[first * columns..last * columns];
                    let batch = product(&weight, &teams[count % 2], isa, x, last - first);
                    let what = format!("{format} {isa:?} rows {first}..{last}");
                    assert_same(&batch, &alone[first * outputs..last * outputs], &what);
                }
            }
        }
    }
}

#[test]
fn integers_are_the_same_on_every_instruction_set_and_near_the_numbers() {
    let mut random = Random::new(7);
    let team = Team::new(2);
    let (rows, columns) = (29, 96);
    let mut x = random_values(rows * columns, &mut random);
    x[3] = f32::NAN;
    x[40] = f32::NEG_INFINITY;
    x[columns..2 * columns].fill(0.0);
    x[2 * columns..3 * columns].fill(1e-45);
    x[3 * columns..4 * columns].fill(f32::MAX);
    x[4 * columns..4 * columns + 32].iter_mut().enumerate().for_each(|(i, x)| *x = 127.0 - 8.5 * (i % 16) as f32);
    let of = |isa| {
        let mut integers = Int8Rows::new();
        integers.set(&team, isa, &[0.5; 64], 2, 32);
        integers.set(&team, isa, &x, rows, columns);
        (0..rows * columns).map(|i| integers.at(i / columns, i % columns)).collect::<Vec<_>>()
    };
    let portable = of(Isa::Portable);
    for isa in Isa::available() {
        for (found, expected) in of(isa).iter().zip(&portable) {
            assert_eq!((found.0, found.1.to_bits()), (expected.0, expected.1.to_bits()), "{isa:?}");
        }
    }
    for (index, (group, x)) in portable.chunks_exact(32).zip(x.chunks_exact(32)).enumerate() {
        if x.iter().any(|x| !x.is_finite()) {
            assert!(group.iter().all(|(integer, scale)| *integer == 0 && scale.is_nan()), "group {index}");
            continue;
        }
        let peak = x.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
        for ((integer, scale), x) in group.iter().zip(x) {
            let error = (f64::from(*integer) * f64::from(*scale) - f64::from(*x)).abs();
            // Half a step; below the numbers that have an inverse, all of them.
            assert!(error <= f64::from(peak) / 127.0 * 0.500_01 + 1e-36, "group {index}: {integer} * {scale} for {x}");
            assert!(*integer >= -127);
        }
    }
    // Halves go to the even neighbour: 127 - 8.5 is 118.5.
    assert_eq!(portable[4 * columns + 1], (118, 1.0));
    assert_eq!(portable[4 * columns + 3], (102, 1.0));
}

#[test]
fn rows_are_taken_in_the_given_order_into_their_columns_only() {
    let mut random = Random::new(8);
    let team = Team::new(2);
    let (rows, columns) = (20, 64);
    let bytes = random_rows(Format::Q4_1, rows, columns, &mut random);
    let x = random_values(3 * columns, &mut random);
    let order: Vec<u32> = (0..rows as u32).rev().chain([7, 7]).collect();
    let plain = product(&pack(Format::Q4_1, &bytes, rows, columns, Isa::best()), &team, Isa::best(), &x, 3);
    let ordered = QuantPanels::pack(Format::Q4_1, &bytes, rows, columns, Some(&order), Isa::best()).unwrap();
    assert_eq!(ordered.rows(), 22);
    let mut integers = Int8Rows::new();
    integers.set(&team, Isa::best(), &x, 3, columns);
    let mut y = vec![-1.0; 3 * 30];
    multiply(&ordered, &team, &integers, &mut y, 30, 5);
    for (row, y) in y.chunks_exact(30).enumerate() {
        let expected: Vec<f32> = order.iter().map(|output| plain[row * rows + *output as usize]).collect();
        assert_eq!(y[5..27], expected);
        assert!(y[..5].iter().chain(&y[27..]).all(|y| *y == -1.0));
    }
}

#[test]
fn hostile_blocks_and_rows_give_the_same_nonsense_everywhere() {
    let mut random = Random::new(9);
    let team = Team::new(1);
    let (outputs, columns, rows) = (18, 512, 3);
    for format in QUANTISED {
        for _ in 0..4 {
            // Random halves: infinities, what is not a number, and subnormals among them.
            let bytes: Vec<u8> =
                (0..format.row_bytes(columns).unwrap() * outputs).map(|_| random.next() as u8).collect();
            let mut x = random_values(rows * columns, &mut random);
            x[columns + 1] = f32::NAN;
            x[2 * columns + 1] = f32::INFINITY;
            let of = |isa| product(&pack(format, &bytes, outputs, columns, isa), &team, isa, &x, rows);
            let portable = of(Isa::Portable);
            assert!(portable[outputs..].iter().all(|y| y.is_nan()), "{format}");
            for isa in Isa::available() {
                assert_same(&of(isa), &portable, &format!("{format} {isa:?}"));
            }
        }
    }
}

#[test]
fn extreme_levels_and_integers_do_not_overflow() {
    let team = Team::new(1);
    let columns = 256;
    for format in QUANTISED {
        for byte in [0x00, 0xff, 0x7f, 0x80] {
            let mut bytes = vec![byte; format.row_bytes(columns).unwrap()];
            for block in bytes.chunks_exact_mut(format.block_bytes()) {
                let at = if format == Format::Q6K { 208 } else { 0 };
                block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes());
                if matches!(format, Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K) {
                    block[2..4].copy_from_slice(&half::f16::ONE.to_le_bytes());
                }
            }
            let mut weights = vec![0.0; columns];
            format.decode_row(&bytes, &mut weights);
            for sign in [1.0, -1.0] {
                let expected: f64 = weights.iter().map(|weight| f64::from(weight * sign * 127.0)).sum();
                for isa in Isa::available() {
                    let weight = pack(format, &bytes, 1, columns, isa);
                    let found = product(&weight, &team, isa, &vec![sign * 127.0; columns], 1);
                    let error = (f64::from(found[0]) - expected).abs();
                    assert!(error <= 1e-6 * expected.abs(), "{format} {isa:?} {byte:x} {sign}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_packed_is_refused_with_its_numbers() {
    let refuse = |format, bytes: usize, rows, columns, order: Option<&[u32]>| {
        QuantPanels::pack(format, &vec![0; bytes], rows, columns, order, Isa::Portable).err().unwrap().to_string()
    };
    let message = refuse(Format::Q4K, 0, 1, 576, None);
    assert!(message.contains("576") && message.contains("Q4_K") && message.contains("256"), "{message}");
    let message = refuse(Format::Q8_0, 67, 2, 32, None);
    assert!(message.contains("67") && message.contains("68"), "{message}");
    let message = refuse(Format::Q8_0, 68, 2, 32, Some(&[0, 2]));
    assert!(message.contains("row 2") && message.contains("2 rows"), "{message}");
    assert!(refuse(Format::F16, 64, 1, 32, None).contains("F16"));
    let message = refuse(Format::Q8_0, 0, usize::MAX, 32, None);
    assert!(message.contains("bytes"), "{message}");
    assert!(QuantPanels::pack(Format::Q8_0, &[], 0, 32, None, Isa::Portable).unwrap().byte_count() == 0);
}

#[test]
fn memory_is_that_of_the_file_and_little_more() {
    for format in QUANTISED {
        let (rows, columns) = (64, 1536);
        let bytes = vec![0; format.row_bytes(columns).unwrap() * rows];
        let weight = pack(format, &bytes, rows, columns, Isa::Portable);
        let ratio = weight.byte_count() as f64 / bytes.len() as f64;
        assert!((1.0..1.03).contains(&ratio), "{format}: {ratio}");
    }
}
