//! Where kernels are tried: in the emulation, with several orders of threads and blocks, and on the card if there is one.

use std::cell::OnceCell;

use candle_core::{DType, Device, Tensor};
use codeact_ops::emulation::Emulation;

/// Orders of threads and blocks, and when copies arrive: ascending and late, descending and early, shuffled and either.
pub const SEEDS: [u64; 3] = [0, 1, 5];

/// Relative to the norm of the reference, when kernel and reference both compute in f32.
pub const F32: f64 = 1e-5;
/// The same when the kernel rounds to bf16 (8 bits) what the reference keeps in f32.
pub const BF16: f64 = 8e-3;

/// What an op makes of its inputs.
type Op<'a> = dyn Fn(&[Tensor]) -> Vec<Tensor> + 'a;

/// Reproducible values in `-1..1`.
pub fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = std::iter::repeat_with(next).take(shape.iter().product()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

thread_local! {
    /// Opened once for each test: libraries take their time to start.
    static CARD: OnceCell<Option<Device>> = const { OnceCell::new() };
}

/// The card, in a build that can use one and on a machine that has one.
fn card() -> Option<Device> {
    CARD.with(|card| card.get_or_init(find_card).clone())
}

#[cfg(feature = "cuda")]
fn find_card() -> Option<Device> {
    match codeact_ops::device::open(0) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CODEACT_DEVICE").is_some_and(|device| device == "cuda") => panic!("{error}"),
        Err(error) => {
            println!("skipped: 1 run on a card ({})", error.to_string().lines().next().unwrap_or_default());
            None
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn find_card() -> Option<Device> {
    None
}

/// Runs an op on the CPU in f32, then by its kernels in `dtype`, and compares: within `tolerance` of the reference, and
/// bit for bit among the orders of threads.
///
/// Inputs are rounded to `dtype` first, so that both sides begin with the same numbers.
pub fn check(what: &str, dtype: DType, tolerance: f64, inputs: &[Tensor], op: &Op<'_>) {
    let rounded: Vec<Tensor> = inputs.iter().map(|input| input.to_dtype(dtype).unwrap()).collect();
    let wide: Vec<Tensor> = rounded.iter().map(|input| input.to_dtype(DType::F32).unwrap()).collect();
    let want = op(&wide);
    let mut first: Option<Vec<Vec<f32>>> = None;
    for seed in SEEDS {
        let emulation = Emulation::begin(seed);
        let got: Vec<Vec<f32>> = op(&rounded).iter().map(values).collect();
        drop(emulation);
        compare(&format!("{what} {dtype:?} seed {seed}"), &got, &want, tolerance);
        let expected = first.get_or_insert_with(|| got.clone());
        assert!(bits(expected) == bits(&got), "{what} {dtype:?}: the order of threads changes bits (seed {seed})");
    }
    if let Some(device) = card() {
        let moved: Vec<Tensor> = rounded.iter().map(|input| input.to_device(&device).unwrap()).collect();
        let run = || -> Vec<Vec<f32>> { op(&moved).iter().map(values).collect() };
        let got = run();
        compare(&format!("{what} {dtype:?} on the card"), &got, &want, tolerance);
        assert!(bits(&got) == bits(&run()), "{what} {dtype:?}: two runs on the card differ");
    }
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

fn compare(what: &str, got: &[Vec<f32>], want: &[Tensor], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let want = values(want);
        assert_eq!(got.len(), want.len(), "{what}, output {index}");
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let off = square(&mut got.iter().zip(&want).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let size = square(&mut want.iter().map(|x| f64::from(*x)));
        // Written so that NaN fails.
        assert!(off <= tolerance * size.max(1e-6), "{what}, output {index}: off by {off:.3e} of {size:.3e}");
    }
}
