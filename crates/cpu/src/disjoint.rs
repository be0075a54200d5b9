//! Parts of one slice, written by several threads at a time.

use std::marker::PhantomData;

/// Parts of a slice that tasks write at the same time.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: whoever asks for a part promises that no two overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The part of `len` values from `first`.
    ///
    /// # Safety
    /// No value of it is in another part that is still in use.
    #[inline(always)]
    #[expect(clippy::mut_from_ref)] // the caller's promise
    pub(crate) unsafe fn part(&self, first: usize, len: usize) -> &mut [T] {
        assert!(first <= self.len && len <= self.len - first, "{len} values from {first} of {}", self.len);
        // SAFETY: inside the slice, and nobody else's by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), len) }
    }
}
