//! The same work on many items, by a few threads, with the results in the order of the items.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Calls `work` with each item and its index, on up to `threads` threads, and returns the results in order.
///
/// `None` from `work` ends everything: no further item is begun, and what is missing is `None`.
pub fn in_order<Item: Sync, Done: Send>(
    items: &[Item],
    threads: usize,
    work: impl Fn(usize, &Item) -> Option<Done> + Sync,
) -> Vec<Option<Done>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Done>>> = items.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let Some(done) = work(index, item) else {
                        next.store(items.len(), Ordering::Relaxed);
                        return;
                    };
                    *results[index].lock().expect("nothing panics while it holds this lock") = Some(done);
                }
            });
        }
    });
    let unlocked = results.into_iter().map(|result| result.into_inner());
    unlocked.map(|result| result.expect("nothing panics while it holds a lock")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = in_order(&items, 7, |index, item| Some((index, item * 2)));
        assert!(doubled.iter().enumerate().all(|(index, done)| *done == Some((index, index * 2))));
        assert!(in_order(&[] as &[u8], 3, |_, _| Some(())).is_empty());
    }

    #[test]
    fn none_ends_everything() {
        let items: Vec<usize> = (0..100).collect();
        let done = in_order(&items, 1, |index, _| (index < 5).then_some(()));
        assert_eq!(done.iter().filter(|done| done.is_some()).count(), 5);
    }
}
