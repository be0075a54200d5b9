//! Products against a plain triple loop in f64.

use half::bf16 as Half;

use super::*;

/// Odd shapes: tails of tiles, of lanes, of pairs and of depth blocks.
const SHAPES: [(usize, usize, usize); 8] =
    [(1, 1, 1), (12, 32, 2), (13, 33, 7), (5, 16, 31), (25, 70, 64), (40, 17, 2049), (16, 96, 33), (3, 200, 4100)];

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn rounded(values: &[f32]) -> Vec<Half> {
    values.iter().map(|value| Half::from_f32(*value)).collect()
}

fn at(matrix: &Matrix<'_>, row: usize, col: usize, precision: Precision) -> f64 {
    let index = row * matrix.row_stride + col * matrix.col_stride;
    let value = match matrix.values {
        Values::F32(values) => values[index],
        Values::Bf16(values) => values[index].to_f32(),
    };
    match precision {
        Precision::Bf16 if has_bf16_kernel() => Half::from_f32(value).to_f64(),
        _ => value as f64,
    }
}

fn check(precision: Precision, threads: Threads, a: Matrix<'_>, b: Matrix<'_>, beta: f32) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let start = numbers(m * n, 3);
    let mut c = start.clone();
    gemm(precision, threads, 0.5, a, b, beta, (&mut c, n));
    // Rounding of a sum of k products of magnitude up to 1.
    let tolerance = 2e-7 * (k as f64 + 8.0);
    for row in 0..m {
        for col in 0..n {
            let sum: f64 = (0..k).map(|i| at(&a, row, i, precision) * at(&b, i, col, precision)).sum();
            let want = 0.5 * sum + beta as f64 * start[row * n + col] as f64;
            let got = c[row * n + col] as f64;
            assert!((got - want).abs() <= tolerance, "{m}x{n}x{k} {precision:?} at {row},{col}: {got} != {want}");
        }
    }
}

#[test]
fn every_layout_precision_and_tail_agrees_with_the_triple_loop() {
    for (m, n, k) in SHAPES {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let (a_half, b_half) = (rounded(&a), rounded(&b));
        for precision in [Precision::F32, Precision::Bf16] {
            for (left, right) in [
                (Values::F32(&a[..]), Values::F32(&b[..])),
                (Values::F32(&a[..]), Values::Bf16(&b_half[..])),
                (Values::Bf16(&a_half[..]), Values::Bf16(&b_half[..])),
            ] {
                for threads in [Threads::Pool, Threads::Caller] {
                    let (a, a_t) = (Matrix::dense(left, m, k), Matrix::dense(left, k, m).t());
                    let (b, b_t) = (Matrix::dense(right, k, n), Matrix::dense(right, n, k).t());
                    check(precision, threads, a, b, 0.0);
                    check(precision, threads, a, b_t, 1.0);
                    check(precision, threads, a_t, b, -0.5);
                }
            }
        }
    }
}

#[test]
fn a_row_gives_the_same_bits_alone_and_in_a_batch() {
    let (m, n, k) = (29, 50, 77);
    let (a, b) = (numbers(m * k, 4), rounded(&numbers(n * k, 5)));
    let b = Matrix::dense(Values::Bf16(&b), n, k).t();
    let mut all = vec![0.0; m * n];
    let whole = Matrix::dense(Values::F32(&a), m, k);
    gemm(Precision::Bf16, Threads::Pool, 1.0, whole, b, 0.0, (&mut all, n));
    if !has_bf16_kernel() {
        println!("skipped: no bf16 dot instructions here, f32 products make no such promise");
        return;
    }
    for row in 0..m {
        let mut one = vec![0.0; n];
        let alone = Matrix::dense(Values::F32(&a[row * k..][..k]), 1, k);
        gemm(Precision::Bf16, Threads::Caller, 1.0, alone, b, 0.0, (&mut one, n));
        assert_eq!(one, all[row * n..][..n], "row {row}");
    }
}

#[test]
fn few_rows_agree_with_the_triple_loop() {
    for (t, n, k) in [(1, 3, 5), (4, 70, 64), (7, 129, 33), (2, 64, 576)] {
        let (x, weight) = (numbers(t * k, 6), numbers(n * k, 7));
        let half = rounded(&weight);
        for (precision, values) in [(Precision::F32, Values::F32(&weight)), (Precision::Bf16, Values::Bf16(&half))] {
            let mut out = vec![0.0; t * n];
            rows_times_vectors(precision, values, &x, k, &mut out);
            let left = Matrix::dense(Values::F32(&x), t, k);
            let w = Matrix::dense(values, n, k);
            for (index, got) in out.iter().enumerate() {
                let (row, col) = (index / n, index % n);
                let want: f64 = (0..k).map(|i| at(&left, row, i, precision) * at(&w, col, i, precision)).sum();
                assert!((*got as f64 - want).abs() < 2e-7 * (k as f64 + 8.0));
            }
        }
    }
}
