//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use codeact_eval::SandboxArgs;
use codeact_train::devices;

/// Fine-tune a Llama-family model on code-action conversations.
#[derive(Debug, Parser)]
#[command(name = "codeact-train", version, after_long_help = devices::ABOUT_GPUS)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    pub look: Option<Look>,
    #[command(flatten)]
    pub train: Option<Args>,
    // Beside the others: an optional group can hold no other one.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
}

/// Which settings.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Training settings; see configs/quickstart.toml
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Put a value over the settings, for example `--set train.steps=20`; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Look at data or runs instead of training.
#[derive(Debug, Subcommand)]
pub enum Look {
    /// Show conversations as the model sees them, with what is learned made visible
    Preview {
        #[command(flatten)]
        settings: Settings,
        /// The conversation with this number, as plan.jsonl counts them; without any of these the first one learned
        #[arg(long, value_name = "N", group = "pick")]
        index: Option<usize>,
        /// The conversations with this id
        #[arg(long, group = "pick")]
        id: Option<String>,
        /// So many, drawn anew each time; each shows its number
        #[arg(long, value_name = "K", group = "pick")]
        random: Option<usize>,
        /// Write a page instead of text
        #[arg(long, value_name = "FILE", conflicts_with = "ids")]
        html: Option<PathBuf>,
        /// List the tokens with their ids
        #[arg(long)]
        ids: bool,
        /// Colours instead of marks
        #[arg(long, value_enum, default_value_t = Colour::Auto)]
        color: Colour,
    },
    /// Write one page about a run, finished or not; about several, their curves over each other
    Report {
        /// Folders of runs
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<PathBuf>,
        /// Where to write it; without it, into the first folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    #[command(flatten)]
    Export(codeact_train::export::command::Command),
    /// Print a JSON Schema of the settings, for editors
    ConfigSchema,
    /// Count: sources, mix, lengths, packs, steps, what was left out
    Stats {
        #[command(flatten)]
        settings: Settings,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    // Not flattened: clap tells by these that there is no subcommand.
    /// Training settings; see configs/quickstart.toml
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Put a value over the settings, for example `--set train.steps=20`; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where to compute, whatever the settings say: short for `--set train.device=...`
    #[arg(long, value_enum)]
    pub device: Option<OnDevice>,
    /// Continue the newest checkpoint of this run
    #[arg(long)]
    pub resume: bool,
    /// Train on so many GPUs of this machine: this program starts itself once more for each of them but one. On several
    /// machines torchrun or srun starts it, and nothing has to be said here
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub gpus: Option<u16>,
    /// Check settings and data, print all settings, plan, memory estimate and one conversation with its mask, and stop
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OnDevice {
    Cpu,
    Cuda,
}
