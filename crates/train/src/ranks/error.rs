//! Why ranks cannot begin or go on together.

use std::path::PathBuf;
use std::time::Duration;

/// Errors of the ranks of a run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RankError {
    /// A launcher's variable says nothing that can be used.
    #[error("the environment variable `{name}` is {value:?}, expected {expected}\nhint: {hint}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: String,
        /// The way out.
        hint: &'static str,
    },
    /// Only a part of a launcher's variables is there.
    #[error("the environment variable `{there}` is set, and {} not\nhint: {hint}", list(missing))]
    Missing {
        /// One that is set.
        there: &'static str,
        /// Those that are not.
        missing: Vec<&'static str>,
        /// The way out.
        hint: &'static str,
    },
    /// Two ways to say how many ranks there are.
    #[error(
        "`--gpus` starts the ranks, and `{there}` says that they are started already\n\
         hint: leave out one of them"
    )]
    Twice {
        /// The variable.
        there: &'static str,
    },
    /// A flywheel of several ranks.
    #[error(
        "a flywheel runs in one process, on one processor or card\nhint: leave out `--gpus` and launchers of ranks"
    )]
    FlywheelAlone,
    /// `--gpus` without GPUs.
    #[error(
        "`--gpus {asked}` asks for as many GPUs, and {there}\n\
         hint: on processors one rank uses all cores; ranks on several machines are started by torchrun or srun"
    )]
    NotSoManyGpus {
        /// How many were asked for.
        asked: usize,
        /// What there is instead, as a sentence.
        there: String,
    },
    /// The name of rank 0's host means nothing here.
    #[error("cannot find the host `{host}` of rank 0: {what}\nhint: {hint}")]
    Host {
        /// As it was given.
        host: String,
        /// What the system says.
        what: String,
        /// The way out.
        hint: &'static str,
    },
    /// Rank 0 cannot listen.
    #[error(
        "rank 0 cannot listen at `{address}`: {what}\n\
         hint: set MASTER_PORT to a free port; MASTER_ADDR must be an address of the machine of rank 0"
    )]
    Listen {
        /// Host and port.
        address: String,
        /// What the system says.
        what: String,
    },
    /// Rank 0 does not answer.
    #[error(
        "rank {rank} could not reach rank 0 at `{address}` for {}: {what}\n\
         hint: look at what rank 0 says; MASTER_ADDR and MASTER_PORT must lead to it through every firewall",
        seconds(*waited)
    )]
    Unreached {
        /// This one.
        rank: usize,
        /// Host and port.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last try ended with.
        what: String,
    },
    /// Ranks do not come.
    #[error(
        "{} did not come within {}\nhint: look at what they say; there must be {count} of them, all started with the \
         same MASTER_ADDR and MASTER_PORT (with SLURM: by srun, not by sbatch alone)",
        named(missing),
        seconds(*waited)
    )]
    Absent {
        /// Those.
        missing: Vec<usize>,
        /// How many there should be.
        count: usize,
        /// How long they were waited for.
        waited: Duration,
    },
    /// A rank is of another version or number of ranks.
    #[error("{what}\nhint: start all ranks from the same build, with the same number of ranks")]
    Refused {
        /// Which rank and what differs, as a sentence.
        what: String,
    },
    /// Ranks do not have the same where they must.
    #[error(
        "{}: {what}\nhint: all ranks must have the same build, kind of processor, settings, model and data",
        named(ranks)
    )]
    Differ {
        /// Those that differ from rank 0.
        ranks: Vec<usize>,
        /// What differs.
        what: String,
    },
    /// A rank is gone.
    #[error(
        "rank {rank} is gone: {why}\n\
         hint: all ranks end with it; look at its own output, then continue with `--resume`, with as many ranks as you like"
    )]
    Lost {
        /// Which.
        rank: usize,
        /// What is known of it.
        why: String,
    },
    /// A rank says something that it cannot.
    #[error("rank {rank} sent {what}\nhint: only ranks of one build understand each other")]
    Nonsense {
        /// Which.
        rank: usize,
        /// What it sent.
        what: String,
    },
    /// A rank of `--gpus` cannot be started.
    #[error("cannot start rank {rank} as `{program}`: {what}")]
    Start {
        /// Which.
        rank: usize,
        /// This program.
        program: PathBuf,
        /// What the system says.
        what: String,
    },
    /// A vector cannot be read or written.
    #[error("a vector cannot be summed over the ranks: {0}")]
    Tensor(#[source] std::sync::Arc<candle_core::Error>),
    /// NCCL does not do what it is asked.
    #[error("NCCL: {0}\nhint: `NCCL_DEBUG=INFO` lets it say more")]
    Nccl(String),
}

impl RankError {
    /// 2 for what was asked for wrongly, 1 for what failed.
    pub fn exit_code(&self) -> u8 {
        use RankError::{Absent, Lost, Nccl, Nonsense, Start, Tensor, Unreached};
        match self {
            Absent { .. } | Unreached { .. } | Lost { .. } | Nonsense { .. } => 1,
            Start { .. } | Tensor(_) | Nccl(_) => 1,
            _ => 2,
        }
    }

    pub(super) fn out_of_step(rank: usize, found: usize, expected: usize) -> RankError {
        RankError::Nonsense { rank, what: format!("{found} bytes where {expected} were expected") }
    }
}

impl From<candle_core::Error> for RankError {
    fn from(error: candle_core::Error) -> RankError {
        RankError::Tensor(std::sync::Arc::new(error))
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{} {}", quoted.join(", "), if names.len() == 1 { "is" } else { "are" })
}

fn named(numbers: &[usize]) -> String {
    let text: Vec<String> = numbers.iter().map(usize::to_string).collect();
    format!("rank{} {}", if numbers.len() == 1 { "" } else { "s" }, text.join(", "))
}

fn seconds(time: Duration) -> String {
    crate::progress::duration(time)
}
