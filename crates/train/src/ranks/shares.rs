//! What a rank tells the others of its share of a step.

use serde::{Deserialize, Serialize};

use super::{Collective, RankError};
use crate::losses::LossSum;
use crate::preference::{Tally, TallyBits};

/// Conversations that are named where a step goes wrong, at most.
pub(crate) const SUSPECTS_MAX: usize = 3;

/// A conversation, or a pair, that may be why a step goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Suspect {
    /// As the plan counts them.
    pub document: usize,
    /// Its losses.
    pub loss: LossSum,
    /// What is usual of its source, per supervised token or pair, where that is known.
    pub usual: Option<f64>,
}

impl Suspect {
    /// By how much its losses together are above what is usual, or 0 where that is not known; what is no number is
    /// worst of all.
    pub fn excess(&self) -> f64 {
        let excess = self.usual.map_or(0.0, |usual| self.loss.sum - self.loss.units as f64 * usual);
        if self.loss.sum.is_finite() { excess } else { f64::INFINITY }
    }
}

/// What came of the passes of a rank, or of all ranks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Passes {
    /// The losses of each source.
    pub by_source: Vec<LossSum>,
    /// The conversations that are the most above what is usual, worst first.
    pub suspects: Vec<Suspect>,
    /// Of pairs, where they are learned.
    pub pairs: Tally,
    /// Whether a stop was asked for, so that passes are missing.
    pub is_stopped: bool,
}

/// The same for a connection: numbers as their bits, because JSON has neither NaN nor infinity.
#[derive(Serialize, Deserialize)]
struct Message {
    by_source: Vec<(u64, usize)>,
    suspects: Vec<(usize, u64, usize, Option<u64>)>,
    pairs: TallyBits,
    is_stopped: bool,
}

impl Passes {
    /// None yet.
    pub fn new(source_count: usize) -> Passes {
        let by_source = vec![LossSum::default(); source_count];
        Passes { by_source, suspects: Vec::new(), pairs: Tally::default(), is_stopped: false }
    }

    /// Takes in the losses of a conversation, or of a pair, of this source.
    pub fn see(&mut self, source: usize, seen: Suspect) {
        self.by_source[source].add(seen.loss);
        self.suspect(seen);
    }

    /// Keeps the worst, each once, the same ones in whatever order they come.
    fn suspect(&mut self, suspect: Suspect) {
        let order = |one: &Suspect, other: &Suspect| {
            other.excess().total_cmp(&one.excess()).then_with(|| one.document.cmp(&other.document))
        };
        match self.suspects.iter_mut().find(|known| known.document == suspect.document) {
            Some(known) if order(&suspect, known).is_lt() => *known = suspect,
            Some(_) => {}
            None => self.suspects.push(suspect),
        }
        self.suspects.sort_by(order);
        self.suspects.truncate(SUSPECTS_MAX);
    }

    /// Those of all ranks, alike on each.
    ///
    /// # Errors
    /// When a rank is gone, or says what makes no sense.
    pub fn of_all(self, ranks: &dyn Collective) -> Result<Passes, RankError> {
        if ranks.place().count == 1 {
            return Ok(self);
        }
        let mut all = Passes::new(self.by_source.len());
        let mine = serde_json::to_vec(&Message::from(self)).expect("plain values are JSON");
        for (rank, theirs) in ranks.gather(&mine)?.iter().enumerate() {
            let nonsense = |what: &dyn std::fmt::Display| RankError::Nonsense {
                rank,
                what: format!("what is no share of a step: {what}"),
            };
            let theirs: Message = serde_json::from_slice(theirs).map_err(|error| nonsense(&error))?;
            if theirs.by_source.len() != all.by_source.len() {
                return Err(nonsense(&format!("{} sources", theirs.by_source.len())));
            }
            all.add(theirs);
        }
        Ok(all)
    }

    fn add(&mut self, theirs: Message) {
        for (source, (sum, units)) in self.by_source.iter_mut().zip(theirs.by_source) {
            source.add(LossSum { sum: f64::from_bits(sum), units });
        }
        for (document, sum, units, usual) in theirs.suspects {
            let loss = LossSum { sum: f64::from_bits(sum), units };
            self.suspect(Suspect { document, loss, usual: usual.map(f64::from_bits) });
        }
        self.pairs.add(Tally::of_bits(theirs.pairs));
        self.is_stopped |= theirs.is_stopped;
    }
}

impl From<Passes> for Message {
    fn from(passes: Passes) -> Message {
        let bits = |Suspect { document, loss, usual }: &Suspect| {
            (*document, loss.sum.to_bits(), loss.units, usual.map(f64::to_bits))
        };
        Message {
            by_source: passes.by_source.iter().map(|loss| (loss.sum.to_bits(), loss.units)).collect(),
            suspects: passes.suspects.iter().map(bits).collect(),
            pairs: passes.pairs.bits(),
            is_stopped: passes.is_stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Threads;
    use super::*;

    fn seen(document: usize, sum: f64, units: usize) -> Suspect {
        Suspect { document, loss: LossSum { sum, units }, usual: Some(0.5) }
    }

    fn documents(passes: &Passes) -> Vec<usize> {
        passes.suspects.iter().map(|suspect| suspect.document).collect()
    }

    #[test]
    fn all_ranks_know_the_same_of_a_step() {
        let losses = [1.0, f64::NAN, 4.0];
        let all: Vec<Passes> = std::thread::scope(|scope| {
            let ranks = Threads::new(4).into_iter().enumerate().map(|(rank, ranks)| {
                scope.spawn(move || {
                    let mut mine = Passes { is_stopped: rank == 2, ..Passes::new(2) };
                    // The last one had no pass.
                    if let Some(sum) = losses.get(rank) {
                        mine.see(rank % 2, seen(rank, *sum, 2));
                        mine.see(0, seen(10 + rank, 8.0, 1));
                    }
                    let all = mine.of_all(&ranks).expect("all are there");
                    ranks.leave(None);
                    all
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
        });
        for whole in all {
            assert!(whole.is_stopped);
            assert_eq!(whole.by_source[0], LossSum { sum: 29.0, units: 7 });
            assert!(whole.by_source[1].sum.is_nan() && whole.by_source[1].units == 2);
            // A loss that is none is the worst, and of equals the first.
            assert_eq!(documents(&whole), [1, 10, 11]);
            assert!(whole.suspects[0].loss.sum.is_nan());
            assert_eq!(whole.suspects[1], seen(10, 8.0, 1));
        }
    }

    #[test]
    fn the_worst_are_the_most_above_the_usual_and_each_is_named_once() {
        let mut passes = Passes::new(1);
        // A long one a little above the usual, and short ones far above.
        passes.see(0, seen(0, 104.0, 200));
        passes.see(0, seen(1, 45.0, 5));
        passes.see(0, seen(2, 40.0, 5));
        passes.see(0, seen(1, 30.0, 5));
        passes.see(0, seen(3, 1.0, 10));
        // Of a source that was never seen nothing can be said.
        passes.see(0, Suspect { usual: None, ..seen(4, 900.0, 100) });
        assert_eq!(documents(&passes), [1, 2, 0]);
        assert_eq!((passes.suspects[0].loss.sum, passes.by_source[0].units), (45.0, 325));
    }
}
