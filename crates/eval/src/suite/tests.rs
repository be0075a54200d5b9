//! Suites and what is wrong with them.
