//! Large tables of numbers, each vector of them in one cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;

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
        Self { values, start, len }
    }
}

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
