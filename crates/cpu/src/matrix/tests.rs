//! Products against sums in f64, and rows alone against rows in company.

use super::*;

/// Numbers that look random, in `-1..1`.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

const PLAIN: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

/// The bytes of rows in a format, and the numbers they stand for.
fn encoded(format: Format, values: &[f32], columns: usize) -> (Vec<u8>, Vec<f32>) {
    let (mut bytes, mut seen) = (Vec::new(), values.to_vec());
    for (values, seen) in values.chunks(columns).zip(seen.chunks_mut(columns)) {
        let start = bytes.len();
        format.encode_row(values, &mut bytes);
        format.decode_row(&bytes[start..], seen);
    }
    (bytes, seen)
}

fn product(matrix: &Matrix, team: &Team, x: &[f32], rows: usize) -> Vec<f32> {
    let mut activations = Activations::new();
    activations.set(team, x, rows, matrix.columns(), matrix.wants());
    let mut y = vec![f32::NAN; rows * matrix.rows()];
    matrix.multiply(team, &activations, &mut y);
    y
}

#[test]
fn products_are_those_of_f64_on_every_instruction_set() {
    let team = Team::new(2);
    for isa in Isa::available() {
        for format in PLAIN {
            for (n, k) in [(1, 1), (31, 7), (33, 16), (70, 33), (64, 257), (97, 600)] {
                let (bytes, weights) = encoded(format, &noise(1, n * k), k);
                let part = Part { format, bytes: &bytes, rows: n, columns: k, row_order: None };
                let matrix = Matrix::pack(&[part], isa).unwrap();
                // More rows than a block of them for one shape.
                let most = if k == 16 { 1100 } else { 40 };
                for t in [1, 2, 5, 12, 13, most] {
                    let x = noise(2, t * k);
                    let rounds = format == Format::Bf16 && isa == Isa::Avx512Bf16;
                    let seen = if rounds { encoded(format, &x, k).1 } else { x.clone() };
                    for (index, y) in product(&matrix, &team, &x, t).iter().enumerate() {
                        let (row, output) = (&seen[index / n * k..][..k], &weights[index % n * k..][..k]);
                        let want: f64 = row.iter().zip(output).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                        let error = (f64::from(*y) - want).abs();
                        assert!(error <= 1e-7 * k as f64, "{isa:?} {format} {t}x{k}x{n}: {y} for {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch() {
    let (n, t) = (70, 40);
    for isa in Isa::available() {
        for (format, k) in
            PLAIN.map(|format| (format, 601)).into_iter().chain([(Format::Q8_0, 608), (Format::Q4K, 512)])
        {
            let x = noise(3, t * k);
            let (bytes, _) = encoded(format, &noise(4, n * k), k);
            let part = Part { format, bytes: &bytes, rows: n, columns: k, row_order: None };
            let matrix = Matrix::pack(&[part], isa).unwrap();
            let alone: Vec<f32> = x.chunks(k).flat_map(|row| product(&matrix, &Team::new(1), row, 1)).collect();
            for rows in 2..=t {
                let team = Team::new(1 + rows % 3);
                let first = t - rows;
                let batch = product(&matrix, &team, &x[first * k..], rows);
                let same = batch.iter().zip(&alone[first * n..]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{isa:?} {format}: {rows} rows");
            }
        }
    }
}

/// Numbers as somebody else has them.
struct Held(Vec<f32>, Format);

impl Lender for Held {
    fn lend(&self, act: &mut dyn FnMut(LentRows<'_>)) {
        match self.1 {
            Format::F32 => act(LentRows::F32(&self.0)),
            _ => act(LentRows::Bf16(&self.0.iter().map(|value| bf16::from_f32(*value)).collect::<Vec<_>>())),
        }
    }
}

#[test]
fn lent_weights_give_the_bits_of_packed_ones() {
    for isa in Isa::available() {
        for (format, (n, k)) in [Format::F32, Format::Bf16]
            .into_iter()
            .flat_map(|format| [(1, 1), (31, 7), (70, 33), (97, 600)].map(|shape| (format, shape)))
        {
            let (bytes, values) = encoded(format, &noise(5, n * k), k);
            let part = Part { format, bytes: &bytes, rows: n, columns: k, row_order: None };
            let packed = Matrix::pack(&[part], isa).unwrap();
            let lent = Matrix::lent(Arc::new(Held(values, format)), (n, k), format, isa);
            assert_eq!((lent.rows(), lent.columns(), lent.byte_count()), (n, k, bytes.len()));
            for t in [1, 2, 13, 40] {
                let (x, team) = (noise(6, t * k), Team::new(2));
                let bits = |matrix| product(matrix, &team, &x, t).into_iter().map(f32::to_bits).collect::<Vec<_>>();
                assert!(bits(&lent) == bits(&packed), "{isa:?} {format} {t}x{k}x{n}");
            }
            let row = |matrix: &Matrix| {
                let mut row = vec![0.0; k];
                matrix.decode_row(n - 1, &mut row);
                row
            };
            assert_eq!(row(&lent), row(&packed));
        }
    }
}

#[test]
fn parts_of_several_formats_lie_under_each_other_in_the_order_asked_for() {
    let k = 64;
    for isa in Isa::available() {
        let parts = [
            (Format::F32, 5),
            (Format::F32, 40),
            (Format::Q8_0, 20),
            (Format::Bf16, 33),
            (Format::F16, 3),
            (Format::Q4_0, 7),
        ];
        let encoded: Vec<_> =
            parts.iter().enumerate().map(|(i, (f, n))| encoded(*f, &noise(i as u32, n * k), k)).collect();
        let order: Vec<u32> = (0..40).rev().collect();
        let parts: Vec<Part<'_>> = parts
            .iter()
            .zip(&encoded)
            .map(|((format, rows), (bytes, _))| Part {
                format: *format,
                bytes,
                rows: *rows,
                columns: k,
                row_order: (*rows == 40).then_some(&order),
            })
            .collect();
        let matrix = Matrix::pack(&parts, isa).unwrap();
        assert_eq!((matrix.rows(), matrix.columns()), (108, k));
        let mut want: Vec<Vec<f32>> = encoded.iter().flat_map(|(_, v)| v.chunks(k).map(<[f32]>::to_vec)).collect();
        want[5..45].reverse();
        let x = noise(9, k);
        let y = product(&matrix, &Team::new(2), &x, 1);
        for (row, want) in want.iter().enumerate() {
            let mut got = vec![0.0; k];
            matrix.decode_row(row, &mut got);
            assert_eq!(&got, want);
            let sum: f32 = want.iter().zip(&x).map(|(w, x)| w * x).sum();
            assert!((sum - y[row]).abs() < 0.05, "{isa:?} row {row}: {} for {sum}", y[row]);
        }
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let bytes = [0; 4 * 6];
    let part = Part { format: Format::F32, bytes: &bytes, rows: 2, columns: 3, row_order: None };
    let message = |parts: &[Part<'_>]| Matrix::pack(parts, Isa::Portable).err().unwrap().to_string();
    assert_eq!(message(&[]), "a matrix of no parts");
    assert_eq!(message(&[Part { rows: 3, ..part }]), "3 rows of 3 columns in F32 have 24 bytes instead of 36");
    assert_eq!(message(&[part, Part { rows: 3, columns: 2, ..part }]), "a part of 2 columns under parts of 3");
    assert_eq!(
        message(&[Part { row_order: Some(&[0, 2]), ..part }]),
        "row 2 of the row order is beyond the 2 rows of the weight"
    );
    let blocks = Part { format: Format::Q4K, columns: 300, ..part };
    assert_eq!(
        message(&[blocks]),
        "rows of 300 columns cannot be Q4_K, whose blocks are 256 columns\n\
         hint: quantise this weight to a format with smaller blocks, such as Q8_0"
    );
}
