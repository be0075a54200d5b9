//! Products with weights in few bits, for every number of rows there is a kernel for, and their expansion.

use candle_core::{DType, Device, Tensor};
use codeact_ops::emulation::Emulation;
use codeact_ops::packed::{BLOCK, Block, Format, Matrix, Packed};

use super::lab::{SEEDS, numbers, values};

const FORMATS: [Format; 3] = [Format::Q8, Format::Q4, Format::Q4Offset];

/// Beside sums in f64 of the same factors; results in bf16 are rounded once.
const SUMS: f64 = 1e-6;
const ROUNDED: f64 = 3e-3;

/// The weight of a test, and what its values are.
struct Case {
    matrix: Matrix,
    weights: Vec<f64>,
    shape: (usize, usize),
}

fn packed(format: Format, rows: usize, columns: usize) -> Case {
    let numbers: Vec<f32> = values(&numbers(&[rows, columns], 3));
    let block = |row: usize, at: usize| -> Block {
        let from = &numbers[row * columns + at * BLOCK..][..BLOCK];
        format.quantise(from.try_into().unwrap())
    };
    let read = |row: usize, blocks: &mut [Block]| {
        blocks.iter_mut().enumerate().for_each(|(at, to)| *to = block(row, at));
    };
    let like = Tensor::zeros(1, DType::BF16, &Device::Cpu).unwrap();
    let packed = Packed::new(format, (rows, columns), &read, &like).unwrap();
    let blocks = (0..rows).flat_map(|row| (0..columns / BLOCK).map(move |at| (row, at)));
    let weights = blocks.flat_map(|(row, at)| format.expand(&block(row, at)).map(f64::from));
    Case { weights: weights.collect(), matrix: Matrix::Packed(packed), shape: (rows, columns) }
}

fn dense(rows: usize, columns: usize) -> Case {
    let weight = numbers(&[rows, columns], 3).to_dtype(DType::BF16).unwrap();
    let weights = values(&weight).into_iter().map(f64::from).collect();
    Case { weights, matrix: Matrix::Dense(weight), shape: (rows, columns) }
}

impl Case {
    /// The product with `t` rows, into columns of something wider.
    fn product(&self, t: usize, dtype: DType, expanded: Option<&Tensor>) -> Tensor {
        let (rows, columns) = self.shape;
        let x = numbers(&[64.max(t), columns], 9).to_dtype(DType::BF16).unwrap().narrow(0, 0, t).unwrap();
        let wide = Tensor::full(f32::NAN, (t, rows + 5), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        self.matrix.multiply(&x, &wide.narrow(1, 3, rows).unwrap(), expanded).unwrap();
        let outside = [wide.narrow(1, 0, 3).unwrap(), wide.narrow(1, rows + 3, 2).unwrap()];
        assert!(outside.iter().all(|part| values(part).iter().all(|x| x.is_nan())), "written outside of the columns");
        wide.narrow(1, 3, rows).unwrap().copy().unwrap()
    }

    fn check(&self, t: usize, dtype: DType, tolerance: f64, expanded: Option<&Tensor>) {
        let (rows, columns) = self.shape;
        let x: Vec<f32> = values(&numbers(&[64.max(t), columns], 9).to_dtype(DType::BF16).unwrap());
        for seed in SEEDS {
            let emulation = Emulation::begin(seed);
            let got = values(&self.product(t, dtype, expanded));
            drop(emulation);
            for (at, got) in got.iter().enumerate() {
                let (row, column) = (at / rows, at % rows);
                let terms = (0..columns).map(|k| f64::from(x[row * columns + k]) * self.weights[column * columns + k]);
                let (want, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                let off = (f64::from(*got) - want).abs();
                let what = format!("{:?}, {t} rows, {dtype:?}, seed {seed}", self.shape);
                assert!(off <= tolerance * size, "{what}, output {at}: {got} where {want} was expected");
            }
        }
    }
}

#[test]
fn few_rows_are_multiplied_with_packed_weights() {
    for format in FORMATS {
        // Whole units and not, one unit and more than the warps hold on their way.
        for (rows, columns) in [(32, 32), (40, 96), (7, 2400)] {
            let case = packed(format, rows, columns);
            for t in [1, 3, 8] {
                case.check(t, DType::F32, SUMS, None);
            }
            case.check(2, DType::BF16, ROUNDED, None);
        }
        let case = packed(format, 40, 160);
        for t in [9, 16, 17, 33, 64] {
            case.check(t, DType::F32, SUMS, None);
        }
        case.check(64, DType::BF16, ROUNDED, None);
    }
}

#[test]
fn few_rows_are_multiplied_with_dense_weights() {
    for (rows, columns) in [(32, 32), (40, 96), (7, 1312)] {
        let case = dense(rows, columns);
        for (t, dtype, tolerance) in [(1, DType::F32, SUMS), (8, DType::F32, SUMS), (5, DType::BF16, ROUNDED)] {
            case.check(t, dtype, tolerance, None);
        }
    }
    let case = dense(40, 160);
    for t in [9, 17, 33, 64] {
        case.check(t, DType::F32, SUMS, None);
    }
    case.check(64, DType::BF16, ROUNDED, None);
    // By the library: more rows than ours takes, and columns that ours does not.
    case.check(70, DType::F32, SUMS, None);
    dense(9, 20).check(3, DType::F32, SUMS, None);
}

#[test]
fn many_rows_are_multiplied_with_expanded_weights() {
    let room = Tensor::full(f32::NAN, 40 * 96 + 7, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap();
    for format in FORMATS {
        let case = packed(format, 40, 96);
        assert_eq!(case.matrix.expanded_count(), 40 * 96);
        // Weights are rounded to bf16 here.
        case.check(70, DType::F32, 4e-3, Some(&room));
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let emulation = Emulation::begin(5);
    for case in FORMATS.map(|format| packed(format, 40, 320)).into_iter().chain([dense(40, 320)]) {
        let all = values(&case.product(64, DType::F32, None));
        for t in [1, 7, 8, 12, 30] {
            assert!(values(&case.product(t, DType::F32, None)) == all[..t * 40], "{t} rows");
        }
    }
    drop(emulation);
}

#[test]
fn what_does_not_fit_is_refused() {
    let emulation = Emulation::begin(0);
    let case = packed(Format::Q4, 32, 32);
    let refused = |x: &Tensor, y: &Tensor| case.matrix.multiply(x, y, None).unwrap_err().to_string();
    let bf16 = |shape: &[usize]| Tensor::zeros(shape, DType::BF16, &Device::Cpu).unwrap();
    assert!(refused(&bf16(&[1, 64]), &bf16(&[1, 32])).contains("[1, 64]"));
    assert!(refused(&numbers(&[1, 32], 1), &numbers(&[1, 32], 1)).contains("F32"));
    assert!(refused(&bf16(&[65, 32]), &bf16(&[65, 32])).contains("no room"));
    let like = bf16(&[1]);
    let error = Packed::new(Format::Q8, (4, 40), &|_, _| {}, &like).err().unwrap().to_string();
    assert!(error.contains("4 x 40"), "{error}");
    drop(emulation);
}
