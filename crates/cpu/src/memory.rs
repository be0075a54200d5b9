//! Large tables of numbers, each vector of them in one cache line, in huge pages where the system has some.
//!
//! One request reads all weights for every token, as fast as memory gives them. Pages of 4 KiB need a table walk for
//! each and stop the processor's own prefetching at every page; pages of 2 MiB do not.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;

/// Bytes of a huge page.
#[cfg(target_os = "linux")]
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeros to begin with, aligned to cache lines. Memory that is never written costs nothing.
pub(crate) struct Table<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Table<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        let slack = LINE_BYTES / size_of::<T>().min(LINE_BYTES);
        let values = vec![T::default(); len + slack];
        let start = values.as_ptr().align_offset(LINE_BYTES).min(slack);
        ask_for_huge_pages(&values);
        Self { values, start, len }
    }
}

/// Asks the system for huge pages in memory that was not written yet. It may refuse, which changes nothing but speed.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(values: &[T]) {
    let bytes = values.as_ptr_range();
    let first = (bytes.start as usize).next_multiple_of(HUGE_PAGE_BYTES);
    let end = bytes.end as usize / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if first < end {
        let start = bytes.start.cast::<u8>().wrapping_add(first - bytes.start as usize);
        // SAFETY: whole pages within these values, and the advice does not change what is in them.
        unsafe { libc::madvise(start.cast_mut().cast(), end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages<T>(_: &[T]) {}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Table<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_zeros_in_whole_lines_whatever_their_size() {
        for len in [0, 1, 15, 64, 1000, 3 << 20] {
            let mut table = Table::<f32>::zeros(len);
            assert_eq!(table.len(), len);
            assert!(table.iter().all(|value| *value == 0.0));
            assert!(len == 0 || table.as_ptr().addr().is_multiple_of(LINE_BYTES));
            table.fill(1.0);
            let bytes = Table::<u8>::zeros(len);
            assert!(
                bytes.iter().all(|value| *value == 0) && (len == 0 || bytes.as_ptr().addr().is_multiple_of(LINE_BYTES))
            );
        }
    }
}
