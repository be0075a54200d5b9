//! Every kernel against the CPU path of its op, on odd shapes, in f32 and bf16.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod attention;
mod dora;
mod lab;
mod packed;
mod paged;
mod sampling;
mod serving;

use candle_core::{DType, Tensor};
use codeact_ops::cross_entropy::{self, Head, Scale};
use codeact_ops::linear::{self, Lora, Up};
use codeact_ops::nf4::Nf4;
use codeact_ops::noise::{self, Dropout, Key, Rows};
use codeact_ops::optimizer::{self, AdamW};
use codeact_ops::rope::{self, Angles};
use codeact_ops::weight::Weight;
use codeact_ops::{embedding, residual, rms_norm, swiglu};

use lab::{BF16, F32, check, numbers};

const DTYPES: [(DType, f64); 2] = [(DType::F32, F32), (DType::BF16, BF16)];

#[test]
fn rms_norm() {
    for (dtype, tolerance) in DTYPES {
        for (t, c) in [(1, 1), (3, 33), (2, 64), (5, 1048), (0, 8), (600, 5)] {
            let inputs = [numbers(&[t, c], 1), numbers(&[t, c], 2), numbers(&[c], 3), numbers(&[t, c], 4)];
            check("rms_norm weight", dtype, tolerance, &inputs, &|inputs| {
                let [x, _, weight, dy] = inputs else { unreachable!() };
                let gradient = weight.to_dtype(DType::F32).unwrap().copy().unwrap();
                rms_norm::weight_gradient(dy, x, 1e-5, &gradient).unwrap();
                vec![gradient]
            });
            if t == 0 || t > 5 {
                continue;
            }
            check("rms_norm", dtype, tolerance, &inputs, &|inputs| {
                let [x, delta, weight, dy] = inputs else { unreachable!() };
                let (sum, normed) = rms_norm::forward_sum(x, delta, weight, 1e-5).unwrap();
                let alone = rms_norm::forward(x, weight, 1e-5).unwrap();
                let dx = rms_norm::backward(dy, x, weight, 1e-5, None).unwrap();
                let both = rms_norm::backward(dy, x, weight, 1e-5, Some(delta)).unwrap();
                vec![sum, normed, alone, dx, both]
            });
        }
    }
}

#[test]
fn rope() {
    for (dtype, tolerance) in DTYPES {
        for (t, heads, half, rest) in [(1, 1, 1, 0), (4, 3, 3, 6), (3, 2, 32, 64), (5, 3, 64, 128)] {
            let width = heads * 2 * half + rest;
            let positions: Vec<u32> = (0..t as u32).map(|token| token * 37 % 50).collect();
            let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / (1.0 + i as f32)).collect();
            check("rope", dtype, tolerance, &[numbers(&[t, width], 1)], &|inputs| {
                let angles = Angles::new(&positions, &frequencies, &inputs[0]).unwrap();
                let (forth, back) = (inputs[0].copy().unwrap(), inputs[0].copy().unwrap());
                rope::forward(&forth, heads, &angles).unwrap();
                rope::backward(&back, heads, &angles).unwrap();
                vec![forth, back]
            });
        }
    }
}

#[test]
fn swiglu() {
    for (dtype, tolerance) in DTYPES {
        for (t, c) in [(1, 1), (3, 47), (2, 64), (2, 4104)] {
            let inputs = [(numbers(&[t, 2 * c], 1) * 5.0).unwrap(), numbers(&[t, c], 2)];
            check("swiglu", dtype, tolerance, &inputs, &|inputs| {
                let gate_up = inputs[0].copy().unwrap();
                let y = swiglu::forward(&gate_up).unwrap();
                let again = swiglu::backward(inputs[1].copy().unwrap(), &gate_up).unwrap();
                let bits =
                    |y: &Tensor| y.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(bits(&y), bits(&again));
                vec![y, gate_up]
            });
        }
    }
}

#[test]
fn residual() {
    for (dtype, tolerance) in DTYPES {
        for (t, c) in [(1, 1), (3, 33), (9, 256)] {
            check("residual", dtype, tolerance, &[numbers(&[t, c], 1), numbers(&[t, c], 2)], &|inputs| {
                let assigned = inputs[0].copy().unwrap();
                residual::add_assign(&assigned, &inputs[1]).unwrap();
                vec![assigned]
            });
        }
        // Views that begin where no wide access may.
        check("residual view", dtype, tolerance, &[numbers(&[40, 1], 1)], &|inputs| {
            let whole = inputs[0].copy().unwrap();
            residual::add_assign(&whole.narrow(0, 3, 30).unwrap(), &inputs[0].narrow(0, 5, 30).unwrap()).unwrap();
            vec![whole]
        });
    }
}

#[test]
fn embedding() {
    let indices = [0, 12, 4, 10, 4, 11, 12];
    for (dtype, tolerance) in DTYPES {
        for c in [1, 5, 130] {
            let inputs = [numbers(&[10, c], 1), numbers(&[3, c], 2), numbers(&[7, c], 3)];
            check("embedding", dtype, tolerance, &inputs, &|inputs| {
                let [table, extra, dy] = inputs else { unreachable!() };
                let extra = extra.to_dtype(DType::F32).unwrap();
                let rows = embedding::forward(table, Some(&extra), &indices).unwrap();
                let back = embedding::backward(dy, &[0, 2, 3, 5, 6, 7, 9], 10).unwrap();
                let gradient = extra.copy().unwrap();
                embedding::backward_extra(dy, &indices, 10, &gradient).unwrap();
                let whole = Tensor::ones((13, c), DType::F32, dy.device()).unwrap();
                embedding::backward_extra(dy, &indices, 0, &whole).unwrap();
                vec![rows, back, gradient, whole]
            });
        }
    }
}

#[test]
fn cross_entropy() {
    for (dtype, tolerance) in DTYPES {
        // More rows than a chunk has: in one format, since each row is a block of fibers.
        let rows = if dtype == DType::F32 { 2053 } else { 40 };
        for (n, c, v, new) in [(1, 4, 3, 0), (7, 24, 97, 2), (5, 16, 1100, 1), (rows, 8, 12, 2)] {
            let inputs = [(numbers(&[n, c], 1) * 3.0).unwrap(), numbers(&[v, c], 2), numbers(&[new.max(1), c], 3)];
            let labels: Vec<u32> = (0..n).map(|row| (row * 31 % (v + new)) as u32).collect();
            let scales: Vec<f32> = (0..n).map(|row| (row % 5) as f32 * 0.2 - 0.3).collect();
            check("cross_entropy", dtype, tolerance, &inputs, &|inputs| {
                let extra = inputs[2].to_dtype(DType::F32).unwrap();
                let head = Head { frozen: &inputs[1], extra: (new > 0).then_some(&extra) };
                let dhead = Tensor::ones((v, c), DType::F32, inputs[1].device()).unwrap();
                let run = |scale| {
                    cross_entropy::forward_backward_into(&inputs[0], head, &labels, scale, Some(&dhead)).unwrap()
                };
                let (output, weighed) = (run(Scale::Same(0.25)), run(Scale::OfRows(&scales)));
                let alone = cross_entropy::forward(&inputs[0], head, &labels).unwrap();
                let with_gradients = output.losses.of_rows().unwrap().iter().sum::<f64>();
                let losses = [with_gradients as f32, alone as f32];
                let cpu = &candle_core::Device::Cpu;
                let losses = Tensor::new(&losses, cpu).unwrap();
                let of_rows = cross_entropy::of_rows(&inputs[0], head, &labels).unwrap();
                let of_rows = Tensor::new(&of_rows.iter().map(|loss| *loss as f32).collect::<Vec<_>>()[..], cpu);
                let known = [losses, of_rows.unwrap(), output.dhidden, weighed.dhidden, dhead];
                known.into_iter().chain(output.dextra).chain(weighed.dextra).collect()
            });
        }
    }
}

#[test]
fn linear() {
    linear_with(None);
}

#[test]
fn linear_with_dropout() {
    linear_with(Some(0.3));
}

fn linear_with(probability: Option<f64>) {
    for (dtype, tolerance) in DTYPES {
        // Pairs with a gap between their columns, and without.
        for (t, c_in, c_out, rank, gap) in
            [(1, 3, 9, 1, 2), (9, 33, 17, 2, 3), (9, 33, 17, 2, 0), (40, 64, 96, 16, 16), (40, 64, 96, 16, 0)]
        {
            let first = c_out / 2;
            let last = c_out - first - gap;
            let other = rank / 2 + 1;
            let shapes = [
                vec![t, c_in],
                vec![c_out, c_in],
                vec![rank + other, c_in],
                vec![rank, first],
                vec![other, last],
                vec![t, c_out],
            ];
            let inputs: Vec<Tensor> = shapes.iter().zip(1..).map(|(shape, seed)| numbers(shape, seed)).collect();
            // Results are rounded to the dtype between base product and update.
            check("linear", dtype, 2.0 * tolerance, &inputs, &|inputs| {
                let [x, weight, a, b, c, dy] = inputs else { unreachable!() };
                // Rows of three documents, and a mask for each pair.
                let ids = (0..t as u32).map(|row| [row % 3, row / 3]).collect();
                let rows = Rows::new(ids, x).unwrap();
                let dropout = probability.map(|p| Dropout::new(p, Key::new(5, 9), rows.clone(), vec![8, 10]));
                let pairs = |a: &Tensor, b: &Tensor, c: &Tensor| Lora {
                    a: a.clone(),
                    b: vec![
                        Up { column: 0, b: b.clone(), scale: 0.7 },
                        Up { column: c_out - last, b: c.clone(), scale: 1.3 },
                    ],
                    dropout: dropout.clone(),
                };
                let lora = pairs(a, b, c);
                let (y, xa) = linear::forward(x, weight, Some(&lora)).unwrap();
                let xa = xa.unwrap();
                let ones = |like: &Tensor| Tensor::ones(like.dims(), DType::F32, like.device()).unwrap();
                let gradients = pairs(&ones(a), &ones(b), &ones(c));
                let (dx, u) = linear::backward(dy, weight, Some(&lora)).unwrap();
                let u = u.unwrap();
                linear::pair_gradients((dy, &u), (x, &xa), weight.dtype(), &gradients).unwrap();
                let plain = linear::backward(dy, weight, None).unwrap().0;
                let dweight = ones(weight);
                linear::weight_gradient(dy, x, weight.dtype(), &dweight).unwrap();
                let [db, dc] = &gradients.b[..] else { unreachable!() };
                vec![y, xa, dx, u, plain, gradients.a, db.b.clone(), dc.b.clone(), dweight]
            });
        }
    }
}

#[test]
fn noise() {
    for (dtype, tolerance) in DTYPES {
        for (t, c) in [(1, 1), (5, 33), (4, 1000)] {
            check("noise", dtype, tolerance, &[numbers(&[t, c], 1)], &|inputs| {
                let rows = Rows::new((0..t as u32).map(|row| [row % 2, row * 7]).collect(), &inputs[0]).unwrap();
                let kept = Dropout::new(0.5, Key::new(1, 2), rows.clone(), vec![4]).kept(&inputs[0], 0).unwrap();
                let noisy = inputs[0].copy().unwrap();
                let magnitudes: Vec<f32> = (0..t).map(|row| 0.1 * row as f32).collect();
                noise::add_uniform(&noisy, &rows, &magnitudes, Key::new(3, 4), noise::EMBEDDING_STREAM).unwrap();
                vec![kept, noisy]
            });
        }
    }
}

#[test]
fn optimizer() {
    let settings =
        AdamW { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.5, gradient_scale: 0.5 };
    for count in [1, 700, 5000] {
        let inputs = [1, 2, 3, 4].map(|seed| numbers(&[count], seed));
        // Bit for bit: a step is the same wherever it is taken.
        check("adamw", DType::F32, 0.0, &inputs, &|inputs| {
            let [parameters, gradients, m, v] = [0, 1, 2, 3].map(|at| inputs[at].copy().unwrap());
            let v = v.abs().unwrap();
            optimizer::adamw_step(&parameters, &gradients, &m, &v, &settings, 3).unwrap();
            vec![parameters, m, v]
        });
        check("optimizer", DType::F32, F32, &inputs, &|inputs| {
            let gradients = inputs[1].copy().unwrap();
            let norm = optimizer::norm(&gradients).unwrap() as f32;
            optimizer::zero(&gradients).unwrap();
            vec![Tensor::new(&[norm], &candle_core::Device::Cpu).unwrap(), gradients]
        });
    }
}

#[test]
fn nf4() {
    // One short block; several groups of blocks; three projections under each other.
    for (dtype, shapes) in [
        (DType::F32, vec![[3, 5]]),
        (DType::BF16, vec![[300, 64]]),
        (DType::F32, vec![[24, 128], [8, 128], [8, 128]]),
        (DType::BF16, vec![[5, 24], [3, 24]]),
        (DType::BF16, vec![[5, 7], [3, 7]]),
    ] {
        let inputs: Vec<Tensor> = shapes.iter().zip(1..).map(|(shape, seed)| numbers(shape, seed)).collect();
        // Bit for bit: the tolerance is for the dtype of the reference's input, which is the same number.
        check("nf4", dtype, 0.0, &inputs, &|inputs| {
            let alone = Nf4::quantise(&inputs[0]).unwrap();
            let expanded = [DType::F32, DType::BF16].map(|dtype| alone.dequantise(dtype).unwrap());
            let together = Weight::quantised(inputs).unwrap().dense().unwrap();
            expanded.into_iter().chain([together]).collect()
        });
    }
    let not_finite = [(numbers(&[2, 64], 1) / 0.0).unwrap()];
    let emulation = codeact_ops::emulation::Emulation::begin(0);
    let error = Weight::quantised(&not_finite).err().expect("infinite weights are refused").to_string();
    drop(emulation);
    assert!(error.contains("not finite"), "{error}");
}
