//! Every op against candle's tape on its plain, differentiable operations, and against finite differences.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

#[path = "oracle/dora.rs"]
mod dora;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use codeact_ops::attention::{self, Attention, Saved};
use codeact_ops::cross_entropy::{Head, Scale};
use codeact_ops::gemm::Precision;
use codeact_ops::linear::{self, Lora, Up};
use codeact_ops::optimizer::{self, AdamW};
use codeact_ops::rope::Angles;
use codeact_ops::{SeqBounds, cross_entropy, embedding, residual, rms_norm, rope, swiglu};

/// Relative to the largest entry: both sides sum in f32, in different orders.
const F32: f32 = 2e-5;
/// bf16 keeps 8 bits: one rounding is 2^-9, and a sum of rounded factors stays near that.
const BF16: f32 = 2e-2;

fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn var(shape: &[usize], seed: u32) -> Var {
    Var::from_tensor(&numbers(shape, seed)).unwrap()
}

fn assert_close(got: &Tensor, want: &Tensor, relative: f32, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let largest = |t: &Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let (off, scale) = (largest(&(got - want).unwrap()), largest(want));
    assert!(off <= relative * scale.max(1e-3), "{what}: off by {off} of {scale}");
}

/// The gradient of `sum(y * dy)` by the tape.
fn tape(y: &Tensor, dy: &Tensor, inputs: &[&Var]) -> Vec<Tensor> {
    let store = (y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    inputs.iter().map(|input| store.get(input).unwrap().clone()).collect()
}

#[test]
fn rms_norm_agrees_with_the_tape() {
    for (t, c) in [(1, 3), (3, 33), (70, 576)] {
        let (x, weight, dy) = (var(&[t, c], 1), var(&[c], 2), numbers(&[t, c], 3));
        let eps = 1e-5;
        let variance = (x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + eps as f64).unwrap();
        let want = x.broadcast_div(&variance.sqrt().unwrap()).unwrap().broadcast_mul(&weight).unwrap();
        assert_close(&rms_norm::forward(&x, &weight, eps).unwrap(), &want, F32, "rms_norm");
        let dx = rms_norm::backward(&dy, &x, &weight, eps, None).unwrap();
        let wants = tape(&want, &dy, &[&x, &weight]);
        assert_close(&dx, &wants[0], F32, "rms_norm dx");
        let dweight = numbers(&[c], 5);
        let before = dweight.copy().unwrap();
        rms_norm::weight_gradient(&dy, &x, eps, &dweight).unwrap();
        assert_close(&dweight, &(before + &wants[1]).unwrap(), F32, "rms_norm dw, added");
        let past = numbers(&[t, c], 4);
        let both = rms_norm::backward(&dy, &x, &weight, eps, Some(&past)).unwrap();
        assert_close(&both, &(dx + &past).unwrap(), F32, "rms_norm dx and residual");
        let first = (x.as_tensor() - &past).unwrap();
        let (sum, normed) = rms_norm::forward_sum(&first, &past, &weight, eps).unwrap();
        assert_close(&sum, &x, F32, "rms_norm sum");
        assert_close(&normed, &want, F32, "rms_norm of a sum");
    }
}

#[test]
fn swiglu_agrees_with_the_tape() {
    for (t, c) in [(1, 1), (5, 47), (40, 1536)] {
        let (gate, up, dy) = (var(&[t, c], 1), var(&[t, c], 2), numbers(&[t, c], 3));
        let gate = Var::from_tensor(&(gate.as_tensor() * 6.0).unwrap()).unwrap();
        let want = (gate.silu().unwrap() * up.as_tensor()).unwrap();
        let gate_up = Tensor::cat(&[gate.as_tensor(), &up], 1).unwrap();
        assert_close(&swiglu::forward(&gate_up).unwrap(), &want, F32, "swiglu");
        let y = swiglu::backward(dy.copy().unwrap(), &gate_up).unwrap();
        assert_close(&y, &want, F32, "swiglu again");
        let wants = tape(&want, &dy, &[&gate, &up]);
        assert_close(&gate_up.narrow(1, 0, c).unwrap(), &wants[0], F32, "dgate");
        assert_close(&gate_up.narrow(1, c, c).unwrap(), &wants[1], F32, "dup");
    }
}

/// `x` with every head's halves turned by the angles, in differentiable operations.
fn slow_rope(x: &Tensor, positions: &[u32], frequencies: &[f32]) -> Result<Tensor> {
    let (t, width) = x.dims2()?;
    let half = frequencies.len();
    let x = x.reshape((t, width / (2 * half), 2, half))?;
    let angles: Vec<f32> = positions.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f32 * f)).collect();
    let angles = Tensor::from_vec(angles, (t, 1, half), &Device::Cpu)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let (a, b) = (x.narrow(2, 0, 1)?.squeeze(2)?, x.narrow(2, 1, 1)?.squeeze(2)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::stack(&[first, second], 2)?.reshape((t, width))
}

#[test]
fn rope_agrees_with_the_tape() {
    let frequencies = [1.0, 0.3, 0.01];
    let positions = [0, 1, 2, 0, 5, 900];
    let (x, dy) = (var(&[6, 15], 1), numbers(&[6, 15], 2));
    // Two heads of six are turned, three columns behind them are not.
    let turned = slow_rope(&x.narrow(1, 0, 12).unwrap(), &positions, &frequencies).unwrap();
    let want = Tensor::cat(&[&turned, &x.narrow(1, 12, 3).unwrap()], 1).unwrap();
    let angles = Angles::new(&positions, &frequencies, &x).unwrap();
    let y = x.copy().unwrap();
    rope::forward(&y, 2, &angles).unwrap();
    assert_close(&y, &want, F32, "rope");
    let dx = dy.copy().unwrap();
    rope::backward(&dx, 2, &angles).unwrap();
    assert_close(&dx, &tape(&want, &dy, &[&x])[0], F32, "rope dx");
}

/// Two pairs on a weight of three projections; the middle one has none.
fn lora(a: &Tensor, b: [&Tensor; 2], start: usize, scale: [f32; 2]) -> Lora {
    let up = |column, b: &Tensor, scale| Up { column, b: b.clone(), scale };
    Lora { a: a.clone(), b: vec![up(0, b[0], scale[0]), up(start, b[1], scale[1])], dropout: None }
}

#[test]
fn lora_linear_agrees_with_the_tape() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
        for (t, c_in, c_out, rank) in [(1, 3, 5, 1), (9, 33, 17, 2), (50, 64, 96, 16), (200, 576, 192, 8)] {
            let (first, last) = (c_out / 2, c_out / 3);
            let start = c_out - last;
            let (x, dy) = (var(&[t, c_in], 1), numbers(&[t, c_out], 2));
            let trained = Var::from_tensor(&numbers(&[c_out, c_in], 3).to_dtype(dtype).unwrap()).unwrap();
            let weight = trained.as_tensor();
            // Each pair with a rank and a scale of its own.
            let other = rank / 2 + 1;
            let (a, b, c) = (var(&[rank + other, c_in], 4), var(&[rank, first], 5), var(&[other, last], 6));
            let scale = [0.7, 1.3];
            let base = x.matmul(&weight.to_dtype(DType::F32).unwrap().t().unwrap()).unwrap();
            let side = x.matmul(&a.t().unwrap()).unwrap();
            let part = |at: usize, b: &Tensor, scale: f32| {
                let side = side.narrow(1, at, b.dim(0).unwrap()).unwrap();
                (side.matmul(b).unwrap() * f64::from(scale)).unwrap()
            };
            let gap = Tensor::zeros((t, start - first), DType::F32, &Device::Cpu).unwrap();
            let side = Tensor::cat(&[part(0, &b, scale[0]), gap, part(rank, &c, scale[1])], 1).unwrap();
            let want = (base + side).unwrap();
            let wants = tape(&want, &dy, &[&x, &a, &b, &c, &trained]);
            let pairs = lora(&a, [&b, &c], start, scale);
            let (y, xa) = linear::forward(&x, weight, Some(&pairs)).unwrap();
            let what = format!("{dtype:?} {t}x{c_in}x{c_out} rank {rank}");
            assert_close(&y, &want, tolerance, &what);
            let zeros = |like: &Var| like.zeros_like().unwrap();
            let gradients = lora(&zeros(&a), [&zeros(&b), &zeros(&c)], start, scale);
            let (dx, u) = linear::backward(&dy, weight, Some(&pairs)).unwrap();
            linear::pair_gradients((&dy, &u.unwrap()), (&x, &xa.unwrap()), dtype, &gradients).unwrap();
            let dweight = Tensor::zeros((c_out, c_in), DType::F32, &Device::Cpu).unwrap();
            linear::weight_gradient(&dy, &x, dtype, &dweight).unwrap();
            assert_close(&dweight, &wants[4].to_dtype(DType::F32).unwrap(), tolerance, &format!("dW {what}"));
            assert_close(&dx, &wants[0], tolerance, &format!("dx {what}"));
            assert_close(&gradients.a, &wants[1], tolerance, &format!("dA {what}"));
            assert_close(&gradients.b[0].b, &wants[2], tolerance, &format!("dB {what}"));
            assert_close(&gradients.b[1].b, &wants[3], tolerance, &format!("second dB {what}"));
        }
    }
}

#[test]
fn lora_gradients_add_up_over_calls() {
    let (x, dy, weight) = (numbers(&[20, 12], 1), numbers(&[20, 8], 2), numbers(&[8, 12], 3));
    let pair = |b: Tensor, a: Tensor| Lora { a, b: vec![Up { column: 0, b, scale: 2.0 }], dropout: None };
    let lora = pair(numbers(&[4, 8], 5), numbers(&[4, 12], 4));
    let gradients = pair(lora.b[0].b.zeros_like().unwrap(), lora.a.zeros_like().unwrap());
    let (_, xa) = linear::forward(&x, &weight, Some(&lora)).unwrap();
    let (_, u) = linear::backward(&dy, &weight, Some(&lora)).unwrap();
    let add = || linear::pair_gradients((&dy, u.as_ref().unwrap()), (&x, xa.as_ref().unwrap()), DType::F32, &gradients);
    add().unwrap();
    let once = gradients.a.copy().unwrap();
    add().unwrap();
    assert_close(&gradients.a, &(once * 2.0).unwrap(), F32, "twice");
}

#[test]
fn cross_entropy_agrees_with_the_tape() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
        for (n, c, v, new) in [(1, 4, 3, 0), (7, 24, 97, 2), (300, 32, 500, 0), (300, 32, 500, 3)] {
            let hidden = Var::from_tensor(&(numbers(&[n, c], 1) * 3.0).unwrap()).unwrap();
            let trained = Var::from_tensor(&numbers(&[v, c], 2).to_dtype(dtype).unwrap()).unwrap();
            let frozen = trained.as_tensor();
            let extra = (new > 0).then(|| var(&[new, c], 3));
            let labels: Vec<u32> = (0..n).map(|row| (row * 31 % (v + new)) as u32).collect();
            let mut rows = vec![frozen.to_dtype(DType::F32).unwrap()];
            rows.extend(extra.iter().map(|extra| extra.as_tensor().clone()));
            let logits = hidden.matmul(&Tensor::cat(&rows, 0).unwrap().t().unwrap()).unwrap();
            let sums = logits.exp().unwrap().sum(1).unwrap().log().unwrap();
            let index = Tensor::from_vec(labels.clone(), (n, 1), &Device::Cpu).unwrap();
            let picked = logits.gather(&index, 1).unwrap().squeeze(1).unwrap();
            let want = (sums - picked).unwrap().sum_all().unwrap();
            let scale = 0.25;
            let head = Head { frozen, extra: extra.as_deref() };
            let dhead = Tensor::zeros((v, c), DType::F32, &Device::Cpu).unwrap();
            let got =
                cross_entropy::forward_backward_into(&hidden, head, &labels, Scale::Same(scale), Some(&dhead)).unwrap();
            let want_loss = want.to_scalar::<f32>().unwrap() as f64;
            let loss: f64 = got.losses.of_rows().unwrap().iter().sum();
            assert!((loss - want_loss).abs() < tolerance as f64 * want_loss, "{loss} {want_loss}");
            assert_eq!(loss, cross_entropy::forward(&hidden, head, &labels).unwrap());
            let store = (want * scale as f64).unwrap().backward().unwrap();
            assert_close(&got.dhidden, store.get(&hidden).unwrap(), tolerance, "dhidden");
            let want = store.get(&trained).unwrap().to_dtype(DType::F32).unwrap();
            assert_close(&dhead, &want, tolerance, "dhead");
            if let Some(extra) = &extra {
                assert_close(&got.dextra.unwrap(), store.get(extra).unwrap(), tolerance, "dextra");
            }
        }
    }
}

#[test]
fn scales_of_rows_agree_with_the_tape_and_the_losses_of_rows_are_those_of_the_sum() {
    // More rows than a chunk has, tokens of the head and new ones.
    let (n, c, v, new) = (300, 32, 97, 3);
    let (hidden, trained, extra) = (var(&[n, c], 1), var(&[v, c], 2), var(&[new, c], 3));
    let labels: Vec<u32> = (0..n).map(|row| (row * 31 % (v + new)) as u32).collect();
    let scales: Vec<f32> = numbers(&[n], 9).to_vec1().unwrap();
    let rows = Tensor::cat(&[trained.as_tensor(), extra.as_tensor()], 0).unwrap();
    let logits = hidden.matmul(&rows.t().unwrap()).unwrap();
    let index = Tensor::from_vec(labels.clone(), (n, 1), &Device::Cpu).unwrap();
    let picked = logits.gather(&index, 1).unwrap().squeeze(1).unwrap();
    let losses = (logits.exp().unwrap().sum(1).unwrap().log().unwrap() - picked).unwrap();
    let wants = tape(&losses, &numbers(&[n], 9), &[&hidden, &trained, &extra]);
    let head = Head { frozen: trained.as_tensor(), extra: Some(extra.as_tensor()) };
    let run = |scales: &[f32]| {
        let dhead = Tensor::zeros((v, c), DType::F32, &Device::Cpu).unwrap();
        let got =
            cross_entropy::forward_backward_into(&hidden, head, &labels, Scale::OfRows(scales), Some(&dhead)).unwrap();
        (got, dhead)
    };
    let (got, dhead) = run(&scales);
    assert_close(&got.dhidden, &wants[0], F32, "dhidden");
    assert_close(&dhead, &wants[1], F32, "dhead");
    assert_close(&got.dextra.unwrap(), &wants[2], F32, "dextra");
    // The same of all is what it was before, bit for bit, and so is the loss, whatever the scales.
    let (alike, _) = run(&[0.25; 300]);
    let same = cross_entropy::forward_backward(&hidden, head, &labels, 0.25).unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&alike.dhidden), values(&same.dhidden));
    let of_rows = cross_entropy::of_rows(&hidden, head, &labels).unwrap();
    assert_eq!(got.losses.of_rows().unwrap(), of_rows);
    let sum = cross_entropy::forward(&hidden, head, &labels).unwrap();
    assert!((of_rows.iter().sum::<f64>() - sum).abs() < 1e-9 * sum);
    let found: Vec<f32> = of_rows.iter().map(|loss| *loss as f32).collect();
    assert_close(&Tensor::from_vec(found, n, &Device::Cpu).unwrap(), &losses, F32, "losses");
    let short = Scale::OfRows(&scales[1..]);
    let error = cross_entropy::forward_backward_into(&hidden, head, &labels, short, None).err().unwrap();
    assert!(error.to_string().contains("299 scales for 300 labels"), "{error}");
}

#[test]
fn attention_agrees_with_the_tape() {
    let bounds = SeqBounds::from_lengths([5, 1, 0, 130]);
    let t = bounds.token_count();
    for (window, precision, tolerance) in
        [(None, Precision::F32, F32), (Some(4), Precision::F32, F32), (None, Precision::Bf16, BF16)]
    {
        let a = Attention { head_count: 6, kv_head_count: 2, head_width: 16, window, precision };
        let (q, k, v, dout) = (var(&[t, 96], 1), var(&[t, 32], 2), var(&[t, 32], 3), numbers(&[t, 96], 4));
        let want = slow_attention(&q, &k, &v, &bounds, &a).unwrap();
        let qkv = Tensor::cat(&[q.as_tensor(), &k, &v], 1).unwrap();
        let (out, lse) = attention::forward(&qkv, &bounds, &a).unwrap();
        assert_close(&out, &want, tolerance, "attention");
        let saved = Saved { qkv: &qkv, out: &out, lse: &lse };
        let dqkv = attention::backward(&dout, &saved, &bounds, &a).unwrap();
        let wants = tape(&want, &dout, &[&q, &k, &v]);
        for (start, want) in [0, 96, 128].into_iter().zip(&wants) {
            let got = dqkv.narrow(1, start, want.dim(1).unwrap()).unwrap();
            assert_close(&got, want, tolerance, "attention gradient");
        }
    }
}

/// Attention with whole score matrices and a mask across the batch, in differentiable operations.
fn slow_attention(q: &Tensor, k: &Tensor, v: &Tensor, bounds: &SeqBounds, a: &Attention) -> Result<Tensor> {
    let (t, d, group) = (bounds.token_count(), a.head_width, a.head_count / a.kv_head_count);
    let ranges: Vec<_> = bounds.ranges().collect();
    let allowed = |i: usize, j: usize| {
        let together = ranges.iter().any(|range| range.contains(&i) && range.contains(&j));
        together && j <= i && a.window.is_none_or(|window| i - j < window)
    };
    let mask: Vec<f32> = (0..t * t).map(|at| if allowed(at / t, at % t) { 0.0 } else { -1e9 }).collect();
    let mask = Tensor::from_vec(mask, (t, t), &Device::Cpu)?;
    let mut heads = Vec::new();
    for head in 0..a.head_count {
        let q = q.narrow(1, head * d, d)?;
        let (k, v) = (k.narrow(1, head / group * d, d)?, v.narrow(1, head / group * d, d)?);
        let scores = ((q.matmul(&k.t()?)? / (d as f64).sqrt())? + &mask)?;
        let p = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?;
        heads.push(p.broadcast_div(&p.sum_keepdim(1)?)?.matmul(&v.contiguous()?)?);
    }
    Tensor::cat(&heads, 1)
}

#[test]
fn embedding_and_residual_pick_and_put_back() {
    let table = var(&[11, 5], 1);
    let indices = [0, 3, 10];
    let dy = numbers(&[3, 5], 2);
    let want = table.index_select(&Tensor::new(&indices, &Device::Cpu).unwrap(), 0).unwrap();
    assert_close(&embedding::forward(&table, None, &indices).unwrap(), &want, 0.0, "rows");
    let dx = embedding::backward(&dy, &indices, 11).unwrap();
    assert_close(&dx, &tape(&want, &dy, &[&table])[0], 0.0, "rows back");
    let sum = dy.copy().unwrap();
    residual::add_assign(&sum, &dy).unwrap();
    assert_close(&sum, &(&dy * 2.0).unwrap(), 0.0, "residual");
    assert!(embedding::forward(&table, None, &[11]).is_err(), "a row outside the table is an error");
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (x, weight) = (numbers(&[4, 12], 1), numbers(&[12], 2));
    let up = numbers(&[4, 12], 5);
    let dy = numbers(&[4, 12], 3);
    let objective = |x: &Tensor| -> f64 {
        let gate_up = Tensor::cat(&[&rms_norm::forward(x, &weight, 1e-5).unwrap(), &up], 1).unwrap();
        let y = swiglu::forward(&gate_up).unwrap();
        (y * &dy).unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar().unwrap()
    };
    let normed = rms_norm::forward(&x, &weight, 1e-5).unwrap();
    let gate_up = Tensor::cat(&[&normed, &up], 1).unwrap();
    swiglu::backward(dy.copy().unwrap(), &gate_up).unwrap();
    let dgate = gate_up.narrow(1, 0, 12).unwrap().contiguous().unwrap();
    let dx = rms_norm::backward(&dgate, &x, &weight, 1e-5, None).unwrap().flatten_all().unwrap();
    let dx = dx.to_vec1::<f32>().unwrap();
    for index in [0, 7, 25, 47] {
        let step = 1.0 / 256.0;
        let moved = |delta: f32| {
            let mut values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values[index] += delta;
            objective(&Tensor::from_vec(values, (4, 12), &Device::Cpu).unwrap())
        };
        let want = (moved(step) - moved(-step)) / (2.0 * step as f64);
        assert!((dx[index] as f64 - want).abs() < 1e-3, "{index}: {} {want}", dx[index]);
    }
}

#[test]
fn adamw_follows_the_formula() {
    let settings =
        AdamW { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.5, gradient_scale: 0.5 };
    let start = numbers(&[9], 1);
    let parameters = start.copy().unwrap();
    let (m, v) = (start.zeros_like().unwrap(), start.zeros_like().unwrap());
    let mut want: Vec<f64> = start.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    let (mut want_m, mut want_v) = (vec![0.0; 9], vec![0.0; 9]);
    for step in 1..=5u64 {
        let gradient = numbers(&[9], 10 + step as u32);
        optimizer::adamw_step(&parameters, &gradient, &m, &v, &settings, step).unwrap();
        for (i, g) in gradient.to_vec1::<f32>().unwrap().into_iter().enumerate() {
            let g = g as f64 * 0.5;
            want_m[i] = 0.9 * want_m[i] + 0.1 * g;
            want_v[i] = 0.99 * want_v[i] + 0.01 * g * g;
            let m_hat = want_m[i] / (1.0 - 0.9f64.powi(step as i32));
            let v_hat: f64 = want_v[i] / (1.0 - 0.99f64.powi(step as i32));
            want[i] = want[i] * (1.0 - 0.1 * 0.5) - 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
        }
    }
    let want: Vec<f32> = want.into_iter().map(|x| x as f32).collect();
    assert_close(&parameters, &Tensor::new(want, &Device::Cpu).unwrap(), 1e-5, "parameters");
    let norm = optimizer::norm(&start).unwrap();
    let want: f32 = start.sqr().unwrap().sum_all().unwrap().to_scalar().unwrap();
    assert!((norm - (want as f64).sqrt()).abs() < 1e-5);
    optimizer::zero(&m).unwrap();
    assert_close(&m, &start.zeros_like().unwrap(), 0.0, "zeroed");
}
