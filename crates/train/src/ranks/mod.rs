//! Ranks: programs that take the steps of one run together, each on its share of every step's passes.
//!
//! All of them have the whole model, make the same plan and keep the same adapter. Before an update the flat gradient is
//! summed over the ranks, and everything a rank decides, it decides on numbers that all have alike. Rank 0 alone writes.

pub mod agreement; // the same run on all of them
mod environment; // where a launcher says which rank this is
mod error;
mod hosts; // SLURM's lists of hosts
mod shares; // what they tell each other of a step
mod rendezvous; // how ranks find each other
mod tcp; // sums through rank 0, and who is still there
mod threads; // ranks of one process
mod wire; // what goes over a connection

pub mod launch; // `--gpus`
#[cfg(feature = "cuda")]
mod nccl;

use std::fmt;

use candle_core::{Device, Tensor};

pub use environment::Team;
pub use error::RankError;
pub use rendezvous::{Meeting, Patience, RendezvousPoint};
pub(crate) use shares::{Passes, SUSPECTS_MAX, Suspect};
pub use tcp::{Outside, Tcp};
pub use threads::Threads;

/// Which of how many ranks this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Less than `count`.
    pub rank: usize,
    /// At least 1.
    pub count: usize,
}

impl Place {
    /// The only one.
    pub const ALONE: Place = Place { rank: 0, count: 1 };

    /// Whether it is rank 0, the one that writes and speaks.
    pub fn is_first(self) -> bool {
        self.rank == 0
    }

    /// Of things that all ranks have in the same order, this one's share: every `count`-th.
    pub fn share<T>(self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.rank).step_by(self.count)
    }
}

/// What ranks do together. Every rank makes the same calls in the same order; each waits for all of them, and ends with
/// [`RankError::Lost`] when one is gone.
pub trait Collective: Send + Sync + fmt::Debug {
    /// Which one this is.
    fn place(&self) -> Place;

    /// Replaces `values` by the sum over all ranks, the same bits on each. Without NCCL the order is that of the ranks.
    ///
    /// * `values`: `(N,)` f32, the same N everywhere.
    ///
    /// # Errors
    /// When a rank is gone, or has another length.
    fn sum(&self, values: &Tensor) -> Result<(), RankError>;

    /// Replaces `values` by those of rank 0.
    ///
    /// * `values`: `(N,)` f32, the same N everywhere.
    ///
    /// # Errors
    /// When a rank is gone, or has another length.
    fn spread(&self, values: &Tensor) -> Result<(), RankError>;

    /// What all ranks gave, in their order. For little: at most 1 MiB each.
    ///
    /// # Errors
    /// When a rank is gone.
    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError>;

    /// Whether all ranks are still there, as far as is known.
    ///
    /// # Errors
    /// The rank that is not.
    fn check(&self) -> Result<(), RankError>;

    /// This rank takes no more part: with everything done, or because of an error of its own.
    fn leave(&self, failure: Option<&str>);

    /// How they are connected, in words.
    fn means(&self) -> &'static str;

    /// Sums numbers in the order of the ranks.
    ///
    /// # Errors
    /// When a rank is gone, or has another length.
    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RankError> {
        let mine: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let all = self.gather(&mine)?;
        values.fill(0.0);
        for (rank, theirs) in all.iter().enumerate() {
            if theirs.len() != mine.len() {
                return Err(RankError::out_of_step(rank, theirs.len(), mine.len()));
            }
            let theirs = theirs.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            values.iter_mut().zip(theirs).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    /// Makes sure that all ranks have the same.
    ///
    /// * `what`: begins the sentence that says it is not so, such as `the adapter after step 3`.
    ///
    /// # Errors
    /// Names the ranks that differ from rank 0.
    fn same(&self, what: &str, mine: &[u8]) -> Result<(), RankError> {
        let all = self.gather(mine)?;
        let ranks: Vec<usize> = (0..all.len()).filter(|rank| all[*rank] != all[0]).collect();
        match ranks.is_empty() {
            true => Ok(()),
            false => Err(RankError::Differ { ranks, what: format!("{what} is not what it is on rank 0") }),
        }
    }

    /// A text of rank 0.
    ///
    /// # Errors
    /// When a rank is gone.
    fn spread_text(&self, text: &str) -> Result<String, RankError> {
        let mine = if self.place().is_first() { text.as_bytes() } else { &[] };
        let mut all = self.gather(mine)?;
        String::from_utf8(all.swap_remove(0)).map_err(|_| RankError::Nonsense { rank: 0, what: "no text".to_owned() })
    }
}

/// Which of these are set on any rank.
///
/// # Errors
/// When a rank is gone.
pub fn any<const COUNT: usize>(
    ranks: &(impl Collective + ?Sized),
    mut flags: [bool; COUNT],
) -> Result<[bool; COUNT], RankError> {
    let mine = flags.map(u8::from);
    for (rank, theirs) in ranks.gather(&mine)?.iter().enumerate() {
        if theirs.len() != COUNT {
            return Err(RankError::out_of_step(rank, theirs.len(), COUNT));
        }
        flags.iter_mut().zip(theirs).for_each(|(flag, theirs)| *flag |= *theirs != 0);
    }
    Ok(flags)
}

/// One rank: nothing to wait for.
#[derive(Debug)]
pub struct Alone;

impl Collective for Alone {
    fn place(&self) -> Place {
        Place::ALONE
    }

    fn sum(&self, _values: &Tensor) -> Result<(), RankError> {
        Ok(())
    }

    fn spread(&self, _values: &Tensor) -> Result<(), RankError> {
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        Ok(vec![mine.to_vec()])
    }

    fn check(&self) -> Result<(), RankError> {
        Ok(())
    }

    fn leave(&self, _failure: Option<&str>) {}

    fn means(&self) -> &'static str {
        "alone"
    }
}

/// Meets the other ranks: over TCP, and with NCCL beside it where all of them compute on a card and have it.
///
/// * `team`: who and where; `None` for a run of one rank.
/// * `point`: where rank 0 listens already, if it does.
/// * `say`: gets a line for the user.
/// * `on_stuck`: is called, on a thread of its own, when a rank is gone and this one has not noticed for long, because
///   it hangs; it ends the program.
///
/// # Errors
/// When they do not come, or are of another run.
pub fn join(
    team: Option<&Team>,
    point: Option<RendezvousPoint>,
    device: &Device,
    say: &dyn Fn(&str),
    on_stuck: fn(&RankError),
) -> Result<Box<dyn Collective>, RankError> {
    let Some(team) = team else { return Ok(Box::new(Alone)) };
    let tcp = Tcp::meet(team.place, &team.meeting, point, Patience::default(), on_stuck)?;
    #[cfg(feature = "cuda")]
    let ranks: Box<dyn Collective> = match device.is_cuda() {
        true => nccl::beside(tcp, device, say)?,
        false => Box::new(tcp),
    };
    #[cfg(not(feature = "cuda"))]
    let (ranks, _) = (Box::new(tcp) as Box<dyn Collective>, device);
    say(&format!("ranks    {}, {}", team.place.count, ranks.means()));
    Ok(ranks)
}

/// The values of a vector, on the host.
fn to_host(values: &Tensor) -> Result<Vec<f32>, RankError> {
    values.to_vec1().map_err(RankError::from)
}

/// Puts values back, from place `start` of the vector on.
fn from_host(values: &Tensor, host: Vec<f32>, start: usize) -> Result<(), RankError> {
    let count = host.len();
    let put = || values.slice_set(&Tensor::from_vec(host, count, values.device())?, 0, start);
    if count == 0 { Ok(()) } else { put().map_err(RankError::from) }
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Adds or puts numbers of rank `rank` to or into `values`.
fn take_in(values: &mut [f32], rank: usize, bytes: &[u8], act: fn(&mut f32, f32)) -> Result<(), RankError> {
    if bytes.len() != values.len() * 4 {
        return Err(RankError::out_of_step(rank, bytes.len(), values.len() * 4));
    }
    let theirs = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    values.iter_mut().zip(theirs).for_each(|(value, theirs)| act(value, theirs));
    Ok(())
}
