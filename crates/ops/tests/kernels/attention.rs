//! The attention kernels: tensor cores and plain loops, windows, shared key heads, sequences of every awkward length.

use candle_core::{DType, Tensor};
use codeact_ops::SeqBounds;
use codeact_ops::attention::{Attention, Saved, backward, forward};
use codeact_ops::gemm::Precision;

use super::lab::{BF16, F32, check, numbers};

/// Query heads, key heads, head width, window.
type Shape = (usize, usize, usize, Option<usize>);

fn check_attention(dtype: DType, tolerance: f64, lengths: &[usize], (heads, kv_heads, width, window): Shape) {
    let bounds = SeqBounds::from_lengths(lengths.iter().copied());
    let attention =
        Attention { head_count: heads, kv_head_count: kv_heads, head_width: width, window, precision: Precision::F32 };
    let t = bounds.token_count();
    let inputs = [(numbers(&[t, attention.qkv_width()], 1) * 2.0).unwrap(), numbers(&[t, heads * width], 2)];
    let what = format!("attention {heads}/{kv_heads} x {width}, window {window:?}, {lengths:?}");
    check(&what, dtype, tolerance, &inputs, &|inputs| {
        let [qkv, dout] = inputs else { unreachable!() };
        let (out, lse) = forward(qkv, &bounds, &attention).unwrap();
        let dqkv = backward(dout, &Saved { qkv, out: &out, lse: &lse }, &bounds, &attention).unwrap();
        // Each by itself: the gradient of the values is the largest and would hide the others.
        let q = heads * width;
        let part = |start: usize, width: usize| -> Tensor { dqkv.narrow(1, start, width).unwrap() };
        vec![part(0, q), part(q, kv_heads * width), part(q + kv_heads * width, kv_heads * width), out, lse]
    });
}

#[test]
fn attention_on_tensor_cores() {
    let lengths = [1, 0, 2, 63, 64, 65, 130];
    for shape in [(2, 1, 64, None), (2, 2, 64, Some(5)), (4, 1, 128, None), (2, 1, 128, Some(64))] {
        check_attention(DType::BF16, BF16, &lengths, shape);
    }
    // A window that ends inside a tile far from the diagonal, more than two tiles of queries.
    check_attention(DType::BF16, BF16, &[270], (1, 1, 64, Some(100)));
}

#[test]
fn attention_in_plain_loops() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
        for shape in [(4, 2, 8, None), (2, 2, 16, Some(5)), (3, 1, 40, Some(64)), (1, 1, 256, None)] {
            check_attention(dtype, tolerance, &[1, 0, 2, 70], shape);
        }
    }
    check_attention(DType::F32, F32, &[130], (2, 1, 64, None));
}

#[test]
fn heads_that_no_kernel_has_room_for_are_refused() {
    let emulation = codeact_ops::emulation::Emulation::begin(0);
    for width in [7, 258] {
        let attention =
            Attention { head_count: 1, kv_head_count: 1, head_width: width, window: None, precision: Precision::F32 };
        let error = forward(&numbers(&[2, 3 * width], 1), &SeqBounds::from_lengths([2]), &attention).unwrap_err();
        assert!(error.to_string().contains("at most 256"), "{error}");
    }
    drop(emulation);
}
