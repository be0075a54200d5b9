//! What a rank tells the others of its share of a step.

use serde::{Deserialize, Serialize};

use super::{Collective, RankError};

/// The pass of a step with the highest loss per supervised token.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Worst {
    /// Nats per token.
    pub loss: f64,
    /// Its conversations, as the plan counts them.
    pub documents: Vec<usize>,
}

impl Worst {
    pub fn see(&mut self, loss: f64, documents: &[usize]) {
        if self.documents.is_empty() || !loss.is_finite() || loss > self.loss {
            *self = Worst { loss, documents: documents.to_vec() };
        }
    }
}

/// What came of the passes of a rank, or of all ranks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Passes {
    /// Sum of the negative log-likelihoods, in nats.
    pub loss: f64,
    pub worst: Worst,
    /// Whether a stop was asked for, so that passes are missing.
    pub is_stopped: bool,
}

/// The same for a connection: numbers as their bits, because JSON has neither NaN nor infinity.
#[derive(Serialize, Deserialize)]
struct Message {
    loss: u64,
    worst: u64,
    documents: Vec<usize>,
    is_stopped: bool,
}

impl Passes {
    /// Those of all ranks, alike on each.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn of_all(self, ranks: &dyn Collective) -> Result<Passes, RankError> {
        if ranks.place().count == 1 {
            return Ok(self);
        }
        let message = Message {
            loss: self.loss.to_bits(),
            worst: self.worst.loss.to_bits(),
            documents: self.worst.documents,
            is_stopped: self.is_stopped,
        };
        let mut all = Passes::default();
        let mine = serde_json::to_vec(&message).expect("plain values are JSON");
        for (rank, theirs) in ranks.gather(&mine)?.iter().enumerate() {
            let message: Message = serde_json::from_slice(theirs)
                .map_err(|error| RankError::Nonsense { rank, what: format!("what is no share of a step: {error}") })?;
            all.loss += f64::from_bits(message.loss);
            all.is_stopped |= message.is_stopped;
            if !message.documents.is_empty() {
                all.worst.see(f64::from_bits(message.worst), &message.documents);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Threads;
    use super::*;

    #[test]
    fn all_ranks_know_the_same_of_a_step() {
        let losses = [1.0, f64::NAN, 4.0];
        let all: Vec<Passes> = std::thread::scope(|scope| {
            let ranks = Threads::new(4).into_iter().enumerate().map(|(rank, ranks)| {
                scope.spawn(move || {
                    let mut mine = Passes { is_stopped: rank == 2, ..Passes::default() };
                    // The last one had no pass.
                    if let Some(loss) = losses.get(rank) {
                        mine.loss = *loss;
                        mine.worst.see(*loss, &[rank, 10 + rank]);
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
            assert!(whole.loss.is_nan() && whole.is_stopped);
            // A loss that is none is the worst until a later one is seen.
            assert_eq!(whole.worst.documents, [1, 11]);
        }
    }
}
