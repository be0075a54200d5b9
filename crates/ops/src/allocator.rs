//! The allocator that the binaries install: tensor buffers come and go by the megabyte.

pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay`, from `mimalloc.h`; the bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed pages for the next buffer in place of giving them back to the system.
///
/// Every layer frees and allocates the same sizes. Given back after 10 ms, as by default, each page is cleared by the
/// kernel again on its next use: a sixth of a training step's time. The peak does not change. Call once, first thing
/// in `main`.
pub fn keep_freed_pages() {
    // SAFETY: sets a number inside the allocator, which reads it on each later purge.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
