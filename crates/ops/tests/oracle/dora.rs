//! DoRA against candle's tape, in which the norm is a constant.

use candle_core::{DType, Device, Result, Tensor, Var};
use codeact_ops::dora::{self, Gate};
use codeact_ops::linear::{self, Lora, Up};
use codeact_ops::noise::{Dropout, Key, Rows};

use crate::{BF16, F32, assert_close, lora, numbers, tape, var};

#[test]
fn dora_agrees_with_the_tape() {
    for probability in [None, Some(0.3)] {
        for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
            for (t, c_in, c_out, rank) in [(1, 3, 5, 1), (9, 33, 17, 2), (50, 64, 96, 16)] {
                dora_agrees(probability, (dtype, tolerance), (t, c_in, c_out, rank));
            }
        }
    }
}

/// Two pairs with a gap between them; the tape sees masks as numbers, and the norm as a constant.
fn dora_agrees(
    probability: Option<f64>,
    (dtype, tolerance): (DType, f32),
    (t, c_in, c_out, rank): (usize, usize, usize, usize),
) {
    let (first, last, other) = (c_out / 2, c_out / 3, rank / 2 + 1);
    let (start, scale) = (c_out - last, [0.7, 1.3]);
    let (x, dy) = (var(&[t, c_in], 1), numbers(&[t, c_out], 2));
    let weight = numbers(&[c_out, c_in], 3).to_dtype(dtype).unwrap();
    let wide = weight.to_dtype(DType::F32).unwrap();
    let (a, b, c) = (var(&[rank + other, c_in], 4), var(&[rank, first], 5), var(&[other, last], 6));
    let (m, n) = (var(&[first], 7), var(&[last], 8));
    let rows = Rows::new((0..t as u32).map(|row| [row % 3, row]).collect(), &x).unwrap();
    let dropout = probability.map(|p| Dropout::new(p, Key::new(5, 9), rows, vec![8, 10]));
    let part = |pair: usize, (at, column): (usize, usize), b: &Var, m: &Var| -> Result<Tensor> {
        let ones = x.ones_like()?.detach();
        let mask = dropout.as_ref().map_or_else(|| Ok(ones.clone()), |dropout| dropout.kept(&ones, pair))?;
        let (rank, count) = b.dims2()?;
        let (w, a, s) = (wide.narrow(0, column, count)?, a.narrow(0, at, rank)?, f64::from(scale[pair]));
        let norm = (&w + (b.t()?.contiguous()?.matmul(&a)? * s)?)?.detach().sqr()?.sum(1)?.sqrt()?;
        let kept = (x.as_tensor() * mask)?;
        let through = (kept.matmul(&w.t()?)? + (kept.matmul(&a.t()?)?.matmul(b)? * s)?)?;
        (x.as_tensor() - kept)?.matmul(&w.t()?)? + through.broadcast_mul(&(m.as_tensor() / norm)?)?
    };
    let gap = x.matmul(&wide.narrow(0, first, start - first).unwrap().t().unwrap()).unwrap();
    let parts = [part(0, (0, 0), &b, &m).unwrap(), gap, part(1, (rank, start), &c, &n).unwrap()];
    let want = Tensor::cat(&parts, 1).unwrap();
    let wants = tape(&want, &dy, &[&x, &a, &b, &c, &m, &n]);

    let pairs = Lora { dropout: dropout.clone(), ..lora(&a, [&b, &c], start, scale) };
    let gate = Gate::new(&weight, &pairs, &[m.copy().unwrap(), n.copy().unwrap()]).unwrap();
    let (y, xa) = dora::forward(&x, &weight, &pairs, &gate).unwrap();
    let (dx, u) = dora::backward(&dy, &weight, &pairs, &gate).unwrap();
    let (xa, u, zeros) = (xa.unwrap(), u.unwrap(), |like: &Var| like.zeros_like().unwrap());
    let places = Lora { dropout, ..lora(&zeros(&a), [&zeros(&b), &zeros(&c)], start, scale) };
    let magnitudes = [zeros(&m), zeros(&n)];
    dora::gradients((&dy, &u), (&x, &xa), &weight, (&pairs, &gate), (&places, &magnitudes)).unwrap();
    let [db, dc] = &places.b[..] else { unreachable!() };
    let got = [&dx, &places.a, &db.b, &dc.b, &magnitudes[0], &magnitudes[1]];
    let what = format!("{probability:?} {dtype:?} {t}x{c_in}x{c_out} rank {rank}");
    assert_close(&y, &want, tolerance, &what);
    assert_close(&xa, &linear::side(&x, dtype, &pairs).unwrap(), F32, &format!("x A {what}"));
    for ((got, want), name) in got.iter().zip(&wants).zip(["dx", "dA", "dB", "second dB", "dm", "second dm"]) {
        assert_close(got, want, tolerance, &format!("{name} {what}"));
    }
}

#[test]
fn a_row_of_zeros_stays_one_with_dora() {
    let zeros = |rows: usize, columns: usize| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
    let (weight, b) = (zeros(2, 3), zeros(1, 2));
    let lora = Lora { a: numbers(&[1, 3], 2), b: vec![Up { column: 0, b, scale: 1.0 }], dropout: None };
    let norms = dora::norms(&weight, &lora).unwrap();
    let gate = Gate::new(&weight, &lora, &norms).unwrap();
    let y = dora::forward(&numbers(&[1, 3], 3), &weight, &lora, &gate).unwrap().0;
    assert_eq!(y.to_vec2::<f32>().unwrap(), [[0.0, 0.0]]);
    assert!(Gate::new(&weight, &lora, &[]).is_err() && dora::norms(&weight.t().unwrap(), &lora).is_err());
}
