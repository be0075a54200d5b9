//! Which documents an epoch has: all of a source so many times, or as many as its weight says.
//!
//! With weights an epoch has as many conversations as all weighted sources have together, and a source gets the whole
//! number nearest to its part (largest remainders, Hamilton 1792), so none is off by one sample or more. Which ones these
//! are goes on from epoch to epoch through orders that the seed draws: at any time no conversation of a source has come
//! up more than once more often than another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use super::{Document, shuffle};

/// How often the documents of a source come up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Share {
    /// Each so many times in an epoch.
    Repeat(usize),
    /// Together this part of the conversations of an epoch, relative to the other weights; above 0.
    Weight(f64),
}

/// Keeps the random numbers of sources apart from those of epochs.
const SOURCES: u64 = 1 << 63;

pub(super) struct Mix {
    groups: Vec<Group>,
    seed: u64,
}

struct Group {
    documents: Vec<usize>,
    share: Share,
    /// Documents of an epoch, where a weight decides.
    quota: usize,
}

impl Mix {
    pub(super) fn new(documents: &[Document], shares: &[Share], seed: u64) -> Mix {
        let mut members = vec![Vec::new(); shares.len()];
        for (index, document) in documents.iter().enumerate() {
            members[document.group].push(index);
        }
        let weighted = |share: &Share, count: usize| match share {
            Share::Weight(weight) if count > 0 => Some((*weight, count)),
            _ => None,
        };
        let found = shares.iter().zip(&members).map(|(share, members)| weighted(share, members.len()));
        let found: Vec<Option<(f64, usize)>> = found.collect();
        let weights: Vec<f64> = found.iter().flatten().map(|(weight, _)| *weight).collect();
        let mut quotas = quotas(&weights, found.iter().flatten().map(|(_, count)| count).sum()).into_iter();
        let groups = members.into_iter().zip(shares).zip(found).map(|((documents, share), found)| {
            let quota = found.map_or(0, |_| quotas.next().expect("one quota for each weight"));
            Group { documents, share: *share, quota }
        });
        Mix { groups: groups.collect(), seed }
    }

    /// The documents of an epoch, in the order of groups.
    pub(super) fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            match group.share {
                Share::Repeat(count) => {
                    order.extend(group.documents.iter().flat_map(|document| std::iter::repeat_n(*document, count)));
                }
                Share::Weight(_) => self.draw(index, group, epoch, &mut order),
            }
        }
        order
    }

    /// Goes on where the epoch before ended, through one drawn order of the group after the other.
    fn draw(&self, index: usize, group: &Group, epoch: usize, order: &mut Vec<usize>) {
        let count = group.documents.len() as u128;
        let (mut from, to) = (epoch as u128 * group.quota as u128, (epoch as u128 + 1) * group.quota as u128);
        while from < to {
            let (round, offset) = ((from / count) as u64, (from % count) as usize);
            let mut documents = group.documents.clone();
            let mut random = ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(SOURCES | (index as u64) << 40 | round);
            shuffle(&mut documents, &mut random);
            let taken = (documents.len() - offset).min((to - from) as usize);
            order.extend_from_slice(&documents[offset..offset + taken]);
            from += taken as u128;
        }
    }
}

/// Whole numbers in the proportion of `weights` whose sum is `total`, each less than 1 away from its exact part. Equal
/// remainders favour the earlier one.
pub fn quotas(weights: &[f64], total: usize) -> Vec<usize> {
    // By the largest, so that no sum is infinite.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
    let exact = |weight: &f64| total as f64 * (weight / largest / sum);
    let mut counts: Vec<usize> = weights.iter().map(|weight| exact(weight).floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    let remainder = |index: &usize| exact(&weights[*index]) - counts[*index] as f64;
    let remainders: Vec<f64> = by_remainder.iter().map(remainder).collect();
    by_remainder.sort_by(|left, right| remainders[*right].total_cmp(&remainders[*left]).then(left.cmp(right)));
    let missing = total.saturating_sub(counts.iter().sum());
    by_remainder.iter().take(missing).for_each(|index| counts[*index] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_add_up_and_are_off_by_less_than_one() {
        for total in [0, 1, 2, 7, 100, 78_385] {
            for weights in [
                &[1.0][..],
                &[1.0, 1.0, 1.0],
                &[0.1, 0.9],
                &[3.0, 2.0, 2.0, 0.01],
                &[1e-9, 1.0],
                &[1e9, 1.0],
                &[1e308, 1e308],
            ] {
                let counts = quotas(weights, total);
                assert_eq!(counts.iter().sum::<usize>(), total, "{weights:?}");
                let sum: f64 = weights.iter().map(|weight| weight / 2.0).sum();
                for (count, weight) in counts.iter().zip(weights) {
                    let exact = total as f64 * (weight / 2.0 / sum);
                    assert!((*count as f64 - exact).abs() < 1.0, "{count} for {exact}");
                }
            }
        }
    }
}
