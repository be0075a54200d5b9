//! Adapters by rows, steps in place, and work that is recorded and repeated.

use candle_core::{DType, Device, Tensor};
use codeact_ops::emulation::Emulation;
use codeact_ops::linear::{self, Lora, Up};
use codeact_ops::recording::{Recording, buffer, download, upload};
use codeact_ops::row_lora::{NO_SLOT, Slots};
use codeact_ops::{rms_norm, swiglu};

use super::lab::{BF16, F32, check, numbers, values};

/// An adapter with pairs on these columns of a weight, in this dtype; each pair has a scale, every second a smaller rank.
fn adapter(c_in: usize, rank: usize, pairs: &[(usize, usize)], seed: u32, dtype: DType) -> Lora {
    let of = |shape: &[usize], seed: u32| numbers(shape, seed).to_dtype(dtype).unwrap();
    let up = |((column, columns), seed): (&(usize, usize), u32)| Up {
        column: *column,
        b: of(&[rank - seed as usize % 2, *columns], seed),
        scale: 0.3 + seed as f32 / 10.0,
    };
    let b: Vec<Up> = pairs.iter().zip(seed..).map(up).collect();
    let ranks = b.iter().map(|up| up.b.dim(0).unwrap()).sum();
    Lora { a: of(&[ranks, c_in], seed + 7), b, dropout: None }
}

fn u32s(values: &[u32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

#[test]
fn each_row_goes_through_its_own_adapter() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, 2.0 * BF16)] {
        for (c_in, c_out) in [(48, 150), (33, 40)] {
            let rows = [0, NO_SLOT, 2, 0, 1, 2];
            let inputs = [numbers(&[6, c_in], 1), numbers(&[6, c_out], 2)];
            check("row_lora", dtype, tolerance, &inputs, &|inputs| {
                let dtype = inputs[0].dtype();
                let adapters = [
                    adapter(c_in, 3, &[(0, 10), (10, 20), (30, c_out - 30)], 1, dtype),
                    adapter(c_in, 8, &[(4, c_out - 9)], 2, dtype),
                    adapter(c_in, 2, &[(20, 10), (0, 20)], 3, dtype),
                ];
                if !on_card() {
                    return vec![one_by_one(&inputs[0], &inputs[1], &rows, &adapters)];
                }
                let mut slots = Slots::new(3, 2, 9, &inputs[0]).unwrap();
                // What was there before is gone.
                slots.set(1, 0, Some(adapters[1].clone())).unwrap();
                for (slot, adapter) in adapters.into_iter().enumerate() {
                    slots.set(1, slot, Some(adapter)).unwrap();
                }
                let y = inputs[1].copy().unwrap();
                let side = buffer(&y, 6 * 9, DType::F32).unwrap();
                slots.add(1, &inputs[0], &y, (&u32s(&rows), 9), &side).unwrap();
                // A weight that no adapter touches.
                slots.add(0, &inputs[0], &y, (&u32s(&rows), 9), &side).unwrap();
                vec![y]
            });
        }
    }
}

/// The same by the op of training, a row at a time.
fn one_by_one(x: &Tensor, y: &Tensor, rows: &[u32], adapters: &[Lora]) -> Tensor {
    let ((_, c_in), (_, c_out)) = (x.dims2().unwrap(), y.dims2().unwrap());
    let nothing = Tensor::zeros((c_out, c_in), DType::F32, &Device::Cpu).unwrap();
    let row = |(row, slot): (usize, &u32)| {
        let (x, y) = (x.narrow(0, row, 1).unwrap(), y.narrow(0, row, 1).unwrap());
        match adapters.get(*slot as usize) {
            Some(adapter) => (linear::forward(&x, &nothing, Some(adapter)).unwrap().0 + y).unwrap(),
            None => y,
        }
    };
    let rows: Vec<Tensor> = rows.iter().enumerate().map(row).collect();
    Tensor::cat(&rows, 0).unwrap()
}

fn on_card() -> bool {
    // The reference runs outside of the emulation.
    buffer(&Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(), 1, DType::F32).is_ok()
}

#[test]
fn adapters_add_tokens_of_their_own() {
    for dtype in [DType::F32, DType::BF16] {
        let of = |shape: &[usize], seed: u32| numbers(shape, seed).to_dtype(dtype).unwrap();
        let (table, new_rows, new_head, x) = (of(&[10, 33], 1), of(&[2, 33], 2), of(&[2, 33], 3), of(&[4, 33], 4));
        let emulation = Emulation::begin(5);
        let mut slots = Slots::new(2, 0, 1, &table).unwrap();
        slots.set_new_tokens(1, Some((new_rows.clone(), new_head.clone()))).unwrap();
        let rows = u32s(&[1, NO_SLOT, 0, 1]);
        let out = buffer(&table, (4, 33), dtype).unwrap();
        slots.embed(&out, &table, &u32s(&[11, 3, 11, 10]), &rows).unwrap();
        let logits = buffer(&table, (4, 13), DType::F32).unwrap();
        slots.head(&logits, 10, &x, &rows).unwrap();
        drop(emulation);
        let zeros = Tensor::zeros((1, 33), dtype, &Device::Cpu).unwrap();
        let want = [&new_rows.narrow(0, 1, 1).unwrap(), &table.narrow(0, 3, 1).unwrap(), &zeros];
        let want = Tensor::cat(&[want[0], want[1], want[2], &new_rows.narrow(0, 0, 1).unwrap()], 0).unwrap();
        assert_eq!(values(&out), values(&want));
        let got: Vec<Vec<f32>> = logits.narrow(1, 10, 3).unwrap().to_vec2().unwrap();
        for (row, got) in got.iter().enumerate() {
            for (token, got) in got.iter().enumerate() {
                let terms = values(&x.get(row).unwrap()).into_iter();
                let want = match (row, token) {
                    (0 | 3, 0 | 1) => {
                        terms.zip(values(&new_head.get(token).unwrap())).map(|(a, b)| f64::from(a) * f64::from(b)).sum()
                    }
                    _ => f64::NEG_INFINITY,
                };
                assert!(
                    f64::from(*got) == want || (f64::from(*got) - want).abs() < 1e-5,
                    "{row} {token}: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn steps_in_place_are_those_that_return() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16)] {
        let inputs = [numbers(&[3, 66], 1), numbers(&[3, 66], 2), numbers(&[66], 3)];
        check("in place", dtype, tolerance, &inputs, &|inputs| {
            let [x, delta, weight] = inputs else { unreachable!() };
            if !on_card() {
                let (sum, normed) = rms_norm::forward_sum(x, delta, weight, 1e-5).unwrap();
                let alone = rms_norm::forward(x, weight, 1e-5).unwrap();
                return vec![sum, normed, alone, swiglu::forward(x).unwrap()];
            }
            let (stream, y) = (x.copy().unwrap(), buffer(x, (3, 33), x.dtype()).unwrap());
            let [normed, alone] = [0, 1].map(|_| buffer(x, (3, 66), x.dtype()).unwrap());
            rms_norm::advance(&stream, None, weight, 1e-5, &alone).unwrap();
            rms_norm::advance(&stream, Some(delta), weight, 1e-5, &normed).unwrap();
            swiglu::forward_into(x, &y).unwrap();
            vec![stream, normed, alone, y]
        });
    }
}

#[test]
fn recorded_work_is_repeated_on_what_its_buffers_hold_then() {
    let emulation = Emulation::begin(5);
    let like = numbers(&[1], 1);
    let recording = {
        // The recording alone keeps these, and what it reads.
        let (stream, weight) = (buffer(&like, (2, 8), DType::F32).unwrap(), numbers(&[8], 3));
        let normed = buffer(&like, (2, 8), DType::F32).unwrap();
        stream.slice_set(&numbers(&[2, 8], 4), 0, 0).unwrap();
        let recording =
            Recording::new(&like, || rms_norm::advance(&stream, Some(&stream), &weight, 0.0, &normed)).unwrap();
        assert!(values(&normed).iter().all(|x| x.is_nan()), "recording did the work");
        recording.repeat().unwrap();
        let want = rms_norm::forward(&numbers(&[2, 8], 4), &weight, 0.0).unwrap();
        assert!(values(&normed).iter().zip(values(&want)).all(|(a, b)| (a - b).abs() < 1e-5));
        stream.slice_set(&numbers(&[2, 8], 5), 0, 0).unwrap();
        recording.repeat().unwrap();
        let want = rms_norm::forward(&numbers(&[2, 8], 5), &weight, 0.0).unwrap();
        assert!(values(&normed).iter().zip(values(&want)).all(|(a, b)| (a - b).abs() < 1e-5));
        recording
    };
    recording.repeat().unwrap();
    drop(emulation);
}

#[test]
fn what_a_recording_would_not_repeat_is_refused() {
    let emulation = Emulation::begin(0);
    let like = numbers(&[4], 1);
    let words = u32s(&[0; 4]);
    let refused =
        |work: &dyn Fn() -> candle_core::Result<()>| Recording::new(&like, work).err().expect("refused").to_string();
    assert!(refused(&|| buffer(&like, 1, DType::F32).map(drop)).contains("memory"));
    assert!(refused(&|| upload(&words, &[1])).contains("uploaded"));
    assert!(refused(&|| download(&words, &mut [0u32])).contains("downloaded"));
    assert!(refused(&|| Recording::new(&like, || Ok(())).map(drop)).contains("recording"));
    // And all of it works again afterwards.
    upload(&words, &[7, 8]).unwrap();
    let mut read = [0u32; 3];
    download(&words, &mut read).unwrap();
    assert_eq!(read, [7, 8, 0]);
    assert!(upload(&words, &[0; 5]).is_err() && download(&words, &mut [0f32]).is_err());
    drop(emulation);
}
