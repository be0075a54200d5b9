//! DoRA's gate: norms of changed rows, columns multiplied, gradients of magnitudes.

use candle_core::{DType, Tensor};
use codeact_ops::dora::{self, Gate};
use codeact_ops::linear::{Lora, Up};
use codeact_ops::noise::{Dropout, Key, Rows};

use crate::DTYPES;
use crate::lab::{check, numbers};

#[test]
fn dora() {
    for (dtype, tolerance) in DTYPES {
        // One pair on all columns; two with a gap before, between and behind them; rows of several slabs.
        for (t, c_in, c_out, rank, columns) in
            [(1, 3, 2, 1, 2), (9, 33, 17, 2, 5), (40, 64, 96, 16, 24), (300, 5, 7, 3, 2)]
        {
            for probability in [None, Some(0.3)] {
                let pair_count = if columns == c_out { 1 } else { 2 };
                let [ranks, changed] = [rank * pair_count, columns * pair_count];
                let shapes = [
                    vec![t, c_in],
                    vec![c_out, c_in],
                    vec![ranks, c_in],
                    vec![ranks, columns],
                    vec![t, c_out],
                    vec![changed],
                ];
                let inputs: Vec<Tensor> = shapes.iter().zip(1..).map(|(shape, seed)| numbers(shape, seed)).collect();
                // Gradients of magnitudes are sums over rounded outputs.
                check("dora", dtype, 2.0 * tolerance, &inputs, &|inputs| {
                    let [x, weight, a, b, dy, m] = inputs else { unreachable!() };
                    let ids = (0..t as u32).map(|row| [row % 3, row / 3]).collect();
                    let rows = Rows::new(ids, x).unwrap();
                    let dropout = probability.map(|p| Dropout::new(p, Key::new(5, 9), rows, vec![8, 10]));
                    let pairs = |a: &Tensor, b: &Tensor| {
                        let up = |index: usize| Up {
                            column: if pair_count == 1 { 0 } else { 1 + index * (columns + 1) },
                            b: b.narrow(0, index * rank, rank).unwrap(),
                            scale: 0.7 + index as f32,
                        };
                        Lora { a: a.clone(), b: (0..pair_count).map(up).collect(), dropout: dropout.clone() }
                    };
                    let of_pair = |m: &Tensor, index: usize| m.narrow(0, index * columns, columns).unwrap();
                    let magnitudes = |m: &Tensor| (0..pair_count).map(|index| of_pair(m, index)).collect::<Vec<_>>();
                    let lora = pairs(a, b);
                    let gate = Gate::new(weight, &lora, &magnitudes(&m.to_dtype(DType::F32).unwrap())).unwrap();
                    let (y, xa) = dora::forward(x, weight, &lora, &gate).unwrap();
                    let (dx, u) = dora::backward(dy, weight, &lora, &gate).unwrap();
                    let (xa, u) = (xa.unwrap(), u.unwrap());
                    let ones = |like: &Tensor| Tensor::ones(like.dims(), DType::F32, like.device()).unwrap();
                    let (da, db, dm) = (ones(a), ones(b), ones(m));
                    let (pairs, places) = (pairs(&da, &db), magnitudes(&dm));
                    dora::gradients((dy, &u), (x, &xa), weight, (&lora, &gate), (&pairs, &places)).unwrap();
                    vec![gate.norms, gate.factors, y, xa, dx, u, da, db, dm]
                });
            }
        }
    }
}
