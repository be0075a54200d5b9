//! Decide which tokens go into the next pass of the model.
//!
//! Pure bookkeeping: no tensors, no clocks, no threads. `worker` asks, this module answers.

use std::ops::Range;

/// How far a running request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Tokens in its cache.
    pub computed: usize,
    /// Tokens that are known: the prompt and what was generated. Always more than `computed`.
    pub known: usize,
}

/// What one request contributes to a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Which of the running requests.
    pub index: usize,
    /// Which of its known tokens.
    pub tokens: Range<usize>,
}

/// The shares of the next pass, in the order of `running`, which is the order of arrival.
///
/// A request with one token to compute always takes part: that is decoding. Longer ones read their prompt in chunks,
/// which end at multiples of `chunk_tokens` so that they do not depend on the company; chunks are added in order while
/// their sum stays within `chunk_tokens`. The first one always fits, so every request is served.
pub(crate) fn plan(running: &[Progress], chunk_tokens: usize) -> Vec<Share> {
    assert!(chunk_tokens > 0, "a pass must read at least one token");
    let mut shares = Vec::with_capacity(running.len());
    let mut room = chunk_tokens;
    let mut is_full = false;
    for (index, progress) in running.iter().enumerate() {
        let Progress { computed, known } = *progress;
        assert!(computed < known, "request {index} has nothing to compute: {progress:?}");
        let chunk_end = (computed / chunk_tokens + 1) * chunk_tokens;
        let tokens = computed..known.min(chunk_end);
        if known - computed > 1 {
            // A later, smaller chunk must not overtake: it would starve the one that did not fit.
            is_full |= tokens.len() > room;
            if is_full {
                continue;
            }
            room -= tokens.len();
        }
        shares.push(Share { index, tokens });
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(computed: usize, known: usize) -> Progress {
        Progress { computed, known }
    }

    fn ranges(running: &[Progress], chunk_tokens: usize) -> Vec<(usize, Range<usize>)> {
        let shares = plan(running, chunk_tokens).into_iter();
        shares.map(|share| (share.index, share.tokens)).collect()
    }

    #[test]
    fn decoding_requests_always_take_part() {
        let running = [at(0, 100), at(7, 8), at(30, 31)];
        assert_eq!(ranges(&running, 64), [(0, 0..64), (1, 7..8), (2, 30..31)]);
    }

    #[test]
    fn chunks_end_at_the_same_positions_alone_and_in_company() {
        assert_eq!(ranges(&[at(10, 200)], 64), [(0, 10..64)]);
        assert_eq!(ranges(&[at(0, 20), at(10, 50)], 64), [(0, 0..20), (1, 10..50)]);
        assert_eq!(ranges(&[at(0, 20), at(10, 200)], 64), [(0, 0..20)]);
        assert_eq!(ranges(&[at(64, 200)], 64), [(0, 64..128)]);
    }

    #[test]
    fn a_prompt_that_does_not_fit_is_not_overtaken() {
        assert_eq!(ranges(&[at(0, 40), at(0, 40), at(0, 10)], 64), [(0, 0..40)]);
    }

    #[test]
    fn every_prompt_is_read_in_the_end() {
        let mut running = [at(0, 300), at(5, 90), at(0, 64), at(63, 65)];
        let wanted: Vec<usize> = running.iter().map(|progress| progress.known).collect();
        let mut read = vec![0; running.len()];
        for _ in 0..100 {
            let open: Vec<usize> =
                (0..running.len()).filter(|&index| running[index].computed < running[index].known).collect();
            let progress: Vec<Progress> = open.iter().map(|&index| running[index]).collect();
            for share in plan(&progress, 64) {
                running[open[share.index]].computed = share.tokens.end;
                read[open[share.index]] = share.tokens.end;
            }
        }
        assert_eq!(read, wanted);
    }
}
