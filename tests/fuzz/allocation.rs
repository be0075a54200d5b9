//! Bytes that the process has allocated and not freed, counted by its allocator.
#![allow(dead_code)] // each test file uses its part

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// No test needs as much at once; a request for it is a fault, and the system might even grant it.
const REQUEST_BYTES_MAX: usize = 4 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    PEAK.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

/// Whether a request is within reason. The process aborts when it is not, so the case is named here.
fn is_sane(bytes: usize) -> bool {
    if bytes > REQUEST_BYTES_MAX {
        let _ = writeln!(std::io::stderr(), "seed {}: {bytes} bytes asked for at once", SEED.load(Relaxed));
    }
    bytes <= REQUEST_BYTES_MAX
}

// SAFETY: every call is handed on to the system's allocator, or refused with a null pointer; counting allocates
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_sane(layout.size()) {
            return std::ptr::null_mut();
        }
        grow(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_sane(layout.size()) {
            return std::ptr::null_mut();
        }
        grow(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if !is_sane(bytes) {
            return std::ptr::null_mut();
        }
        grow(bytes);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The case that runs from now on.
pub fn name_case(seed: u64) {
    SEED.store(seed, Relaxed);
}

/// Bytes that are there now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// Begins to look for the most bytes anew; the bytes that are there now.
pub fn reset_peak() -> usize {
    let live = live();
    PEAK.store(live, Relaxed);
    live
}

/// Most bytes since then.
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}
