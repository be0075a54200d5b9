//! When values are the same.
