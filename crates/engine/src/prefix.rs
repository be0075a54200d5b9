//! Caches of finished requests, kept for prompts that continue them.
//!
//! An agent's next prompt is its last one plus an answer and an observation, so nearly all of it is here already.

/// Kept caches, bounded by count and bytes; the one unused for longest goes first.
pub(crate) struct KeptCaches<C> {
    kept: Vec<Kept<C>>,
    count_max: usize,
    bytes_max: usize,
}

struct Kept<C> {
    /// The tokens the cache holds, in order.
    token_ids: Vec<u32>,
    cache: C,
    bytes: usize,
}

impl<C> KeptCaches<C> {
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        KeptCaches { kept: Vec::new(), count_max, bytes_max }
    }

    /// Takes out the cache that `prompt` continues, and how many of its tokens are of use; the caller truncates.
    ///
    /// The last token of the prompt is never counted: its logits are wanted, so it must be computed. A cache of which
    /// less than half would be used stays: another conversation may come back for it.
    pub fn take(&mut self, prompt: &[u32]) -> Option<(C, usize)> {
        let reusable = &prompt[..prompt.len().saturating_sub(1)];
        let common = |kept: &Kept<C>| {
            let pairs = kept.token_ids.iter().zip(reusable);
            pairs.take_while(|(kept, wanted)| kept == wanted).count()
        };
        let (index, tokens) = (0..self.kept.len())
            .map(|index| (index, common(&self.kept[index])))
            .filter(|&(index, tokens)| tokens > 0 && 2 * tokens >= self.kept[index].token_ids.len())
            .max_by_key(|&(_, tokens)| tokens)?;
        Some((self.kept.remove(index).cache, tokens))
    }

    /// Keeps `cache`, which holds `token_ids` in `bytes`, and lets go of what no longer fits.
    pub fn put(&mut self, token_ids: Vec<u32>, cache: C, bytes: usize) {
        if token_ids.is_empty() {
            return;
        }
        // What this one contains is of no further use.
        self.kept.retain(|kept| !token_ids.starts_with(&kept.token_ids));
        self.kept.push(Kept { token_ids, cache, bytes });
        while self.kept.len() > self.count_max || self.bytes() > self.bytes_max {
            self.kept.remove(0);
        }
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches() -> KeptCaches<&'static str> {
        KeptCaches::new(2, 100)
    }

    #[test]
    fn the_longest_common_beginning_wins_and_is_taken_out() {
        let mut caches = caches();
        caches.put(vec![1, 2, 9], "short", 1);
        caches.put(vec![1, 2, 3, 4], "long", 1);
        assert_eq!(caches.take(&[1, 2, 3, 5, 6]), Some(("long", 3)));
        assert_eq!(caches.take(&[1, 2, 3, 5, 6]), Some(("short", 2)));
        assert_eq!(caches.take(&[1, 2, 3, 5, 6]), None);
    }

    #[test]
    fn the_last_token_of_a_prompt_is_computed_again() {
        let mut caches = caches();
        caches.put(vec![1, 2, 3], "same", 1);
        assert_eq!(caches.take(&[1, 2, 3]), Some(("same", 2)));
        assert_eq!(caches.take(&[]), None);
    }

    #[test]
    fn a_conversation_that_shares_only_its_opening_keeps_its_cache() {
        let mut caches = caches();
        caches.put((0..100).collect(), "other", 1);
        assert_eq!(caches.take(&[0, 1, 2, 50, 51, 52]), None);
        let same: Vec<u32> = (0..120).collect();
        assert_eq!(caches.take(&same), Some(("other", 100)));
    }

    #[test]
    fn the_oldest_leave_when_count_or_bytes_run_out() {
        let mut caches = caches();
        caches.put(vec![1, 1], "a", 10);
        caches.put(vec![2, 2], "b", 10);
        caches.put(vec![3, 3], "c", 10);
        assert_eq!(caches.take(&[1, 1, 1]), None);
        caches.put(vec![4, 4], "d", 95);
        assert_eq!(caches.take(&[3, 3, 3]), None);
        assert_eq!(caches.take(&[4, 4, 4]), Some(("d", 2)));
        caches.put(vec![5, 5], "too large", 101);
        assert_eq!(caches.take(&[5, 5, 5]), None);
    }

    #[test]
    fn a_longer_cache_replaces_its_own_beginning() {
        let mut caches = caches();
        caches.put(vec![7, 7], "other", 1);
        caches.put(vec![1, 2], "turn 1", 1);
        caches.put(vec![1, 2, 3], "turn 2", 1);
        assert_eq!(caches.take(&[7, 7, 7]), Some(("other", 2)));
    }
}
