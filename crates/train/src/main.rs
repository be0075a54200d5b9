//! Fine-tune a Llama-family model on code-action conversations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};
use codeact_ops::device;
use codeact_train::config::{Config, DeviceChoice};
use codeact_train::folder::{self, Start};
use codeact_train::prepare::Prepared;
use codeact_train::run::{self, Outcome};
use codeact_train::{TrainError, describe};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// As shells report a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Ends `--help`.
const ABOUT_GPUS: &str = if device::BUILT_WITH_CUDA {
    "This build computes on an NVIDIA GPU of compute capability 8.0 or newer where `train.device` is \"cuda\";\n\
     `--version` lists the GPUs it finds."
} else {
    "This build computes on the CPU. For an NVIDIA GPU:\n\n  \
     eval \"$(scripts/cuda-toolkit.sh)\"\n  \
     cargo build --release --package codeact-train --features cuda\n\n\
     Until then `--device cpu` runs a configuration that asks for one."
};

/// Fine-tune a Llama-family model on code-action conversations.
#[derive(Debug, Parser)]
#[command(name = "codeact-train", version, after_long_help = ABOUT_GPUS)]
struct Args {
    /// Training settings; see configs/quickstart.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Put a value over the settings, for example `--set train.steps=20`; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where to compute, whatever the settings say: short for `--set train.device=...`
    #[arg(long, value_enum)]
    device: Option<OnDevice>,
    /// Continue the newest checkpoint of this run
    #[arg(long)]
    resume: bool,
    /// Check settings and data, print the plan, the memory estimate and one conversation with its mask, and stop
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnDevice {
    Cpu,
    Cuda,
}

fn main() -> ExitCode {
    codeact_ops::allocator::keep_freed_pages();
    let mut args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            println!("{error}{}", version_details());
            return ExitCode::SUCCESS;
        }
        Err(error) => error.exit(),
    };
    // The last word: after what `--set` says.
    args.overrides.extend(args.device.map(|device| match device {
        OnDevice::Cpu => "train.device=cpu".to_owned(),
        OnDevice::Cuda => "train.device=cuda".to_owned(),
    }));
    match train(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

/// What `--version` says after the version: the same build behaves differently with another driver or card.
fn version_details() -> String {
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

fn train(args: &Args) -> Result<ExitCode, TrainError> {
    let config = Config::load(&args.config, &args.overrides)?;
    if let Some(threads) = config.train.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.map_err(|source| TrainError::Threads { count: threads, source })?;
    }
    let device = device(&config, args)?;
    let start = start(&config, args)?;
    let run = Prepared::new(config, device, &|line| eprintln!("{line}"))?;
    if args.dry_run {
        print!("{}\n{}", describe::summary(&run), describe::example(&run));
        return Ok(ExitCode::SUCCESS);
    }
    eprint!("{}", describe::summary(&run));
    match &start {
        Start::Continue(checkpoint) => eprintln!("continuing `{}`", checkpoint.display()),
        Start::Fresh if args.resume => eprintln!("no checkpoint in `{}` yet: starting at step 1", run.dir().display()),
        Start::Fresh => {}
    }
    let outcome = run::train(&run, &start, &stop_on_signal())?;
    Ok(conclude(&run, args, &outcome))
}

/// The device of the settings, opened early, so that nobody waits for a download to hear that there is no GPU. A plan
/// can be looked at without one.
fn device(config: &Config, args: &Args) -> Result<Option<Device>, TrainError> {
    match config.train.device {
        DeviceChoice::Cpu => {
            let cuda = if device::BUILT_WITH_CUDA { "with" } else { "without" };
            eprintln!("device   cpu, {} threads; a build {cuda} CUDA", rayon::current_num_threads());
            return Ok(Some(Device::Cpu));
        }
        DeviceChoice::Cuda if args.dry_run && device::gpu(0).is_err() => return Ok(None),
        DeviceChoice::Cuda => {}
    }
    let gpu = device::gpu(0).map_err(TrainError::Device)?;
    eprintln!("device   {gpu}");
    Ok(Some(device::open(0).map_err(TrainError::Device)?))
}

/// Asked early, so that nobody waits for a download to hear it; no result of an earlier run is lost by it.
fn start(config: &Config, args: &Args) -> Result<Start, TrainError> {
    let dir = Path::new(&config.output.dir);
    if !args.dry_run {
        folder::recover(dir)?;
    }
    match folder::inspect(dir, args.resume, config.output.overwrite) {
        // A plan can be looked at while its folder is in use.
        Err(error) if args.dry_run && !matches!(error, TrainError::NotAFolder { .. }) => Ok(Start::Fresh),
        start => start,
    }
}

/// A flag that Ctrl-C or SIGTERM sets; a second one ends the program at once.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        eprintln!("\nstopping after this pass and saving a checkpoint; once more ends the program at once");
    });
    installed.expect("this is the only handler of the program");
    stop
}

fn conclude(run: &Prepared, args: &Args, outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Finished { exports, validation_loss } => {
            if let Some((before, after)) = validation_loss {
                eprintln!("held-out loss before and after training: {before:.4} -> {after:.4}");
            }
            println!("adapter  {}", exports.adapter.display());
            println!("merged   {}", exports.merged.display());
            println!("\nTry it:\n\n  cargo run --release --bin codeact-chat -- --model {}", exports.merged.display());
            ExitCode::SUCCESS
        }
        Outcome::Stopped { checkpoint } => {
            match checkpoint {
                Some(path) => eprintln!("stopped; checkpoint `{}`", path.display()),
                None => eprintln!("stopped before the first step of `{}` was finished", run.dir().display()),
            }
            let overrides = args.overrides.iter().map(|typed| format!(" --set '{typed}'")).collect::<String>();
            let config = args.config.display();
            eprintln!("hint: continue with `codeact-train --config {config}{overrides} --resume`");
            ExitCode::from(EXIT_INTERRUPTED)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Args::command().debug_assert();
    }
}
