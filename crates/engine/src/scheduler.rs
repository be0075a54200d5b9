//! How the prompt tokens of a pass are shared among the requests that read.
//!
//! Pure bookkeeping: no pages, no clocks, no threads. The worker asks, this module answers.

/// What a request would read in the next pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Tokens until its prompt is read.
    pub remaining: usize,
    /// How many of them it takes in one pass at most.
    pub most: usize,
}

/// How many tokens each of `readers`, which are in the order of arrival, reads in a pass of `budget` prompt tokens.
///
/// One half is shared equally; what is left goes to those with the least to read, so that short prompts are not held up
/// by long ones. With P readers (at most `budget`), each reads at least `max(1, budget / 2 / P)` tokens in every pass,
/// or all it wants: a prompt of n tokens is read after `ceil(n / max(1, budget / 2 / P))` passes whatever the others
/// bring. Together they read at most `budget`, so a request that generates waits for no more between two tokens.
pub(crate) fn share(readers: &[Reader], budget: usize) -> Vec<usize> {
    if readers.is_empty() {
        return Vec::new();
    }
    assert!(readers.len() <= budget, "{} readers cannot share {budget} tokens", readers.len());
    let wanted = |reader: &Reader| reader.remaining.min(reader.most);
    let equal = (budget / 2 / readers.len()).max(1);
    let mut shares: Vec<usize> = readers.iter().map(|reader| wanted(reader).min(equal)).collect();
    let mut left = budget - shares.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..readers.len()).collect();
    // Stable: of equal ones the first to arrive.
    order.sort_by_key(|&index| readers[index].remaining);
    for index in order {
        let more = (wanted(&readers[index]) - shares[index]).min(left);
        shares[index] += more;
        left -= more;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(remaining: &[usize], budget: usize) -> Vec<usize> {
        let readers: Vec<Reader> = remaining.iter().map(|&remaining| Reader { remaining, most: usize::MAX }).collect();
        share(&readers, budget)
    }

    #[test]
    fn a_prompt_alone_gets_the_whole_pass() {
        assert_eq!(shares(&[1000], 64), [64]);
        assert_eq!(shares(&[40], 64), [40]);
    }

    #[test]
    fn short_prompts_are_read_first_and_long_ones_go_on() {
        assert_eq!(shares(&[1000, 20, 30], 64), [14, 20, 30]);
        assert_eq!(shares(&[1000, 1000, 1000, 5], 64), [43, 8, 8, 5]);
    }

    #[test]
    fn a_request_takes_no_more_than_it_may() {
        let readers = [Reader { remaining: 500, most: 10 }, Reader { remaining: 600, most: 100 }];
        assert_eq!(share(&readers, 64), [10, 54]);
    }

    /// Small xorshift numbers, enough to shuffle.
    fn random(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 33) as usize
    }

    #[test]
    fn every_reader_moves_on_within_the_bound_and_nothing_is_wasted() {
        let mut state = 7;
        for _ in 0..2000 {
            let count = 1 + random(&mut state) % 40;
            let budget = count + random(&mut state) % 200;
            let remaining: Vec<usize> = (0..count).map(|_| 1 + random(&mut state) % 300).collect();
            let shares = shares(&remaining, budget);
            let least = (budget / 2 / count).max(1);
            for (&share, &remaining) in shares.iter().zip(&remaining) {
                assert!(share <= remaining && share >= remaining.min(least), "{shares:?} of {remaining:?}");
            }
            let read: usize = shares.iter().sum();
            assert_eq!(read, budget.min(remaining.iter().sum()), "{shares:?}");
        }
    }

    #[test]
    fn a_long_prompt_beside_short_ones_is_read_within_the_bound() {
        // Seven places are taken by prompts that always have less to read, the worst company.
        let (budget, readers_max) = (64, 8);
        let bound = 1000usize.div_ceil(budget / 2 / readers_max);
        let (mut remaining, mut passes) = (1000, 0);
        while remaining > 0 {
            let mut readers = vec![remaining];
            readers.resize(readers_max, (remaining - 1).max(1));
            remaining -= shares(&readers, budget)[0];
            passes += 1;
        }
        assert!(passes <= bound, "{passes} passes, at most {bound}");
    }
}
