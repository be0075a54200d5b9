//! Where a run computes, the processor or the card of this rank; and what there is.

use candle_core::Device;
use codeact_ops::device;

use crate::config::{Config, DeviceChoice};
use crate::error::TrainError;
use crate::ranks::{RankError, Team};

/// Ends `codeact-train --help`: on what this build computes.
pub const ABOUT_GPUS: &str = if device::BUILT_WITH_CUDA {
    "This build computes on an NVIDIA GPU of compute capability 8.0 or newer where `train.device` is \"cuda\";\n\
     `--version` lists the GPUs it finds."
} else {
    "This build computes on the CPU. For an NVIDIA GPU:\n\n  \
     eval \"$(scripts/cuda-toolkit.sh)\"\n  \
     cargo build --release --package codeact-train --features cuda\n\n\
     Until then `--device cpu` runs a configuration that asks for one."
};

/// The device of the settings, opened early, so that nobody waits for a download to hear that there is no GPU. `None` for
/// a plan alone, which can be looked at without one.
///
/// * `team`: the ranks of the run; each takes the card with its number on this machine.
/// * `say`: gets a line for the user.
///
/// # Errors
/// When there is no such card, or it cannot be used.
pub fn open(
    config: &Config,
    is_only_planned: bool,
    team: Option<&Team>,
    say: &dyn Fn(&str),
) -> Result<Option<Device>, TrainError> {
    match config.train.device {
        DeviceChoice::Cpu => {
            let cuda = if device::BUILT_WITH_CUDA { "with" } else { "without" };
            say(&format!("device   cpu, {} threads; a build {cuda} CUDA", rayon::current_num_threads()));
            return Ok(Some(Device::Cpu));
        }
        DeviceChoice::Cuda if is_only_planned && device::gpu(0).is_err() => return Ok(None),
        DeviceChoice::Cuda => {}
    }
    let ordinal = match team {
        None => 0,
        Some(team) => team.ordinal(device::gpus().map_err(TrainError::Device)?.len()),
    };
    let gpu = device::gpu(ordinal).map_err(TrainError::Device)?;
    say(&format!("device   {gpu}"));
    Ok(Some(device::open(ordinal).map_err(TrainError::Device)?))
}

/// Whether `--gpus` can have so many.
///
/// # Errors
/// When the run computes on the processor, or the driver shows fewer.
pub fn check_count(config: &Config, asked: usize) -> Result<(), TrainError> {
    let there = match (config.train.device, device::BUILT_WITH_CUDA) {
        (_, false) => "this build has no CUDA".to_owned(),
        (DeviceChoice::Cpu, true) => "`train.device` is \"cpu\"".to_owned(),
        (DeviceChoice::Cuda, true) => match device::gpus().map_err(TrainError::Device)?.len() {
            count if count >= asked => return Ok(()),
            count => format!("the driver shows {count}"),
        },
    };
    Err(RankError::NotSoManyGpus { asked, there }.into())
}

/// What `--version` says after the version: the same build behaves differently with another driver or card.
pub fn version_details() -> String {
    if !device::BUILT_WITH_CUDA {
        return "cuda     no; see --help".to_owned();
    }
    let mut lines = vec![format!("cuda     {}; kernels {}", device::built_for(), device::kernels().join(", "))];
    match device::gpus() {
        Ok(gpus) => lines.extend(gpus.iter().map(|gpu| format!("gpu {}    {gpu}", gpu.ordinal))),
        Err(error) => lines.push(error.to_string()),
    }
    lines.join("\n")
}
