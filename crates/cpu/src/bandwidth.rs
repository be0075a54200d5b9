//! How fast this machine reads memory: the bound of decoding.

use std::hint::black_box;
use std::time::Instant;

use crate::Team;
use crate::memory::Table;

/// Far more than caches hold.
const BYTES: usize = 512 << 20;

/// What one task reads.
const PIECE: usize = (1 << 20) / size_of::<u64>();

/// Bytes per second that all threads together read one after the other out of memory: the best of five rounds.
pub fn read_bandwidth(team: &Team) -> f64 {
    // In memory as weights have it, and written: untouched pages are all the same page of zeros.
    let mut values = Table::zeros(BYTES / size_of::<u64>());
    values.iter_mut().zip(0u64..).for_each(|(value, index)| *value = index);
    let pieces: Vec<&[u64]> = values.chunks(PIECE).collect();
    let seconds = (0..5).map(|_| {
        let start = Instant::now();
        team.each(pieces.len(), &|index| {
            black_box(sum(pieces[index]));
        });
        start.elapsed().as_secs_f64()
    });
    BYTES as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// Four sums of vectors at a time, so that memory is what it waits for.
fn sum(values: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in values.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_at_some_speed() {
        let bandwidth = read_bandwidth(&Team::of_machine());
        assert!(bandwidth.is_finite() && bandwidth > 1e6, "{bandwidth}");
    }
}
