//! Memory for weights: aligned to the lines of a cache, and in huge pages where the system has some.
//!
//! One row reads all weights once, as fast as memory gives them. Pages of 4 KiB stop the processor's own prefetching at
//! every page and need a table walk for each; pages of 2 MiB do not.

use std::alloc::{self, Layout};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// One line of a cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Bytes of a huge page.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A fixed number of lines, zeros to begin with.
pub(super) struct Lines {
    start: NonNull<Line>,
    len: usize,
}

// SAFETY: the lines belong to this value alone; they are plain bytes.
unsafe impl Send for Lines {}
// SAFETY: shared references only read.
unsafe impl Sync for Lines {}

impl Lines {
    /// # Panics
    /// When there are more than memory can hold.
    pub(super) fn zeros(len: usize) -> Self {
        let layout = Self::layout(len);
        if layout.size() == 0 {
            return Self { start: NonNull::dangling(), len };
        }
        // SAFETY: the size is not zero.
        let start = unsafe { alloc::alloc(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        #[cfg(target_os = "linux")]
        if layout.align() == HUGE_PAGE_BYTES {
            // An advice: without huge pages the memory is the same, only slower, so a refusal is no error.
            // SAFETY: this memory was just allocated, beginning at a page.
            unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        // SAFETY: `layout.size()` bytes were allocated.
        unsafe { start.write_bytes(0, layout.size()) };
        Self { start: start.cast(), len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<Line>()).expect("lines that memory can hold");
        let align = if bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { align_of::<Line>() };
        Layout::from_size_align(bytes, align).expect("lines that memory can hold")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeros` with the same layout.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) };
        }
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        // SAFETY: `len` lines were allocated, aligned, and zeroed; with none, the pointer is aligned and not null.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [Line] {
        // SAFETY: the same, and borrowed by one only.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}
