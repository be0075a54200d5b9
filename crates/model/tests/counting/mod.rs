//! Bytes that this thread has allocated and not freed, but for those with which the processor plays the card.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Smaller ones are bookkeeping, not tensors.
const BYTES_MIN: usize = 512;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    if bytes < BYTES_MIN || codeact_ops::emulation::is_at_work() {
        return;
    }
    // A thread that is ending has nothing to count with any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + sign * bytes as isize);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes now.
pub fn live() -> isize {
    LIVE.get()
}

/// Most bytes since the last reset.
pub fn peak() -> isize {
    PEAK.get()
}

/// Begins to look for the most bytes anew.
pub fn reset_peak() {
    PEAK.set(LIVE.get());
}
