//! The kernels run by the processor: the threads of a block are fibers, and whatever a card leaves open is chosen by a
//! seed. For tests; see `kernels/emulation/emulate.h`.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;

use candle_core::{DType, Result, WithDType, bail};
use half::bf16;

use super::recorder::{self, Call, Recorder};
use super::{Argument, Grid, Operand};
use crate::cpu::Values;
use crate::gemm::{Matrix, Precision, Threads, gemm as host_gemm};

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: the signature is that of `kernels/emulation/emulate.cpp`.
unsafe extern "C" {
    fn codeact_emulate(
        name: *const c_char,
        grid: *const c_uint,
        threads: c_uint,
        shared_bytes: usize,
        arguments: *mut *mut c_void,
        seed: u64,
    ) -> c_int;
}

/// While this lives, ops of this thread on CPU tensors run as they would on a card.
pub struct Emulation {
    before: Option<u64>,
    _this_thread: PhantomData<*const ()>,
}

impl Emulation {
    /// Begins. `seed` decides the order of threads and blocks (0 ascending, 1 descending, else shuffled) and when
    /// asynchronous copies arrive (0 when waited for, 1 at once, else either).
    #[must_use]
    pub fn begin(seed: u64) -> Self {
        Self { before: SEED.replace(Some(seed)), _this_thread: PhantomData }
    }
}

impl Drop for Emulation {
    fn drop(&mut self) {
        SEED.set(self.before);
    }
}

/// Whether this thread plays the card right now: what it allocates then is not memory of a card.
pub fn is_at_work() -> bool {
    AT_WORK.get()
}

/// Plays the card.
fn at_work<R>(work: impl FnOnce() -> R) -> R {
    AT_WORK.set(true);
    let result = work();
    AT_WORK.set(false);
    result
}

pub(super) fn seed() -> Option<u64> {
    SEED.get()
}

pub(super) fn launch(kernel: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
    if recorder::note(|| Call::Launch(kernel.to_owned(), grid, arguments.to_vec())) {
        return Ok(());
    }
    let Ok(name) = CString::new(kernel) else {
        bail!("no kernel `{kernel}`");
    };
    let mut values: Vec<[u8; 8]> = arguments.iter().map(|argument| bytes(*argument)).collect();
    let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| value.as_mut_ptr().cast()).collect();
    let blocks = grid.blocks.map(|count| count as c_uint);
    let (threads, shared_bytes) = (grid.threads as c_uint, grid.shared_bytes);
    let seed = seed().unwrap_or(0);
    // SAFETY: the arguments are values of the width that the kernel's signature has there, or addresses of tensors
    // that the caller holds until this returns.
    let ended =
        unsafe { codeact_emulate(name.as_ptr(), blocks.as_ptr(), threads, shared_bytes, pointers.as_mut_ptr(), seed) };
    match ended {
        0 => Ok(()),
        1 => bail!("no kernel `{kernel}` in the emulation"),
        3 => bail!("kernel `{kernel}`: an access of several values at an address that is not aligned for it"),
        _ => bail!("kernel `{kernel}`: not all threads of a block reach a barrier"),
    }
}

/// Records instead of running, as a stream of a card does.
pub(super) fn record(work: impl FnOnce() -> Result<()>) -> Result<Recorder> {
    recorder::begin()?;
    let worked = work();
    let recorder = recorder::end();
    worked.map(|()| recorder)
}

/// Runs what was recorded; the tensors at its addresses live in the recording.
pub(super) fn repeat(recorder: &Recorder) -> Result<()> {
    recorder.calls.iter().try_for_each(|call| match call {
        Call::Launch(kernel, grid, arguments) => launch(kernel, *grid, arguments),
        Call::Gemm(alpha, a, b, beta, c) => gemm(*alpha, *a, *b, *beta, *c),
    })
}

pub(super) fn upload<T: WithDType>(address: u64, values: &[T]) -> Result<()> {
    // SAFETY: the caller's tensor is at the address, of this type and at least as long; nothing else uses it while an op
    // of this thread runs.
    unsafe { (address as *mut T).copy_from(values.as_ptr(), values.len()) };
    Ok(())
}

pub(super) fn download<T: WithDType>(address: u64, values: &mut [T]) -> Result<()> {
    // SAFETY: as for `upload`.
    unsafe { (address as *const T).copy_to(values.as_mut_ptr(), values.len()) };
    Ok(())
}

fn bytes(argument: Argument) -> [u8; 8] {
    let mut bytes = [0; 8];
    match argument {
        Argument::Address(address) => bytes = address.to_ne_bytes(),
        Argument::Int(value) => bytes[..4].copy_from_slice(&value.to_ne_bytes()),
        Argument::Long(value) => bytes = value.to_ne_bytes(),
        Argument::Float(value) => bytes[..4].copy_from_slice(&value.to_ne_bytes()),
    }
    bytes
}

/// The product as cuBLAS defines it: factors as they are, sums in f32, one rounding at the end.
pub(super) fn gemm(alpha: f32, a: Operand, b: Operand, beta: f32, c: Operand) -> Result<()> {
    if recorder::note(|| Call::Gemm(alpha, a, b, beta, c)) {
        return Ok(());
    }
    at_work(|| product(alpha, a, b, beta, c));
    Ok(())
}

fn product(alpha: f32, a: Operand, b: Operand, beta: f32, c: Operand) {
    let (left, right, old) = (gather(a), gather(b), gather(c));
    // A result that does not count may hold NaN.
    let mut sums = if beta == 0.0 { vec![0.0; old.len()] } else { old };
    let left = Matrix::dense(Values::F32(&left), a.rows, a.cols);
    let right = Matrix::dense(Values::F32(&right), b.rows, b.cols);
    host_gemm(Precision::F32, Threads::Caller, alpha, left, right, beta, (&mut sums, c.cols));
    for (index, sum) in sums.into_iter().enumerate() {
        let at = index / c.cols * c.stride + index % c.cols;
        // SAFETY: row and column are inside the tensor that the operand was made of.
        unsafe {
            match c.dtype {
                DType::BF16 => (c.address as *mut bf16).add(at).write(bf16::from_f32(sum)),
                _ => (c.address as *mut f32).add(at).write(sum),
            }
        }
    }
}

/// The operand's elements, row by row.
fn gather(operand: Operand) -> Vec<f32> {
    let Operand { rows, cols, stride, .. } = operand;
    let at = |index: usize| match operand.is_transposed {
        true => index % cols * stride + index / cols,
        false => index / cols * stride + index % cols,
    };
    let element = |index: usize| {
        // SAFETY: row and column are inside the tensor that the operand was made of.
        unsafe {
            match operand.dtype {
                DType::BF16 => (operand.address as *const bf16).add(at(index)).read().to_f32(),
                _ => (operand.address as *const f32).add(at(index)).read(),
            }
        }
    };
    (0..rows * cols).map(element).collect()
}
