//! Where a test computes: on the CPU, with the kernels of a card run by the processor, or on the card itself.
#![allow(dead_code)] // each test file uses its part

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use codeact_ops::emulation::Emulation;

/// One of the three. While an emulated place lives, this thread's ops on CPU tensors run as on a card.
pub struct Place {
    pub name: &'static str,
    pub device: Device,
    _emulation: Option<Emulation>,
}

/// Runs the test once in each place: CPU and emulation, or where `CODEACT_DEVICE=cuda` asks for it the card alone,
/// which then must be there.
pub fn in_each_place(test: impl Fn(&Place)) {
    if std::env::var_os("CODEACT_DEVICE").is_some_and(|device| device == "cuda") {
        let device = codeact_ops::device::open(0).unwrap();
        return test(&Place { name: "card", device, _emulation: None });
    }
    test(&Place { name: "cpu", device: Device::Cpu, _emulation: None });
    emulated(test);
}

/// Runs the test with the kernels of a card alone.
pub fn emulated(test: impl Fn(&Place)) {
    test(&Place { name: "emulation", device: Device::Cpu, _emulation: Some(Emulation::begin(0)) });
}

/// The repository: where it was built, or what `CODEACT_REPOSITORY` says on another machine.
pub fn repository() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("CODEACT_REPOSITORY").map_or(built, PathBuf::from)
}

/// A tensor's values, wherever it lies.
pub fn on_cpu(tensor: &Tensor) -> Tensor {
    tensor.to_device(&Device::Cpu).unwrap()
}
